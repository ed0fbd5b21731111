package artifact

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// folder is an artifact in the making: a hidden folder beside its place until
// commit.
type folder struct {
	target  string
	temp    string
	replace bool // there is a folder at target, empty or an artifact
	done    bool
}

// newFolder checks the place of an artifact and makes the hidden folder.
func newFolder(path string, overwrite bool) (*folder, error) {
	refuse := func(reason, hint string, err error) error {
		return &fault.DataError{Detail: fault.Detail{Op: opIngest, Path: path, Reason: reason, Hint: hint, Err: err}}
	}
	target, err := filepath.Abs(path)
	if err != nil {
		return nil, refuse("is no path", "", err)
	}
	if real, err := filepath.EvalSymlinks(target); err == nil {
		target = real // a link to a folder keeps leading there
	}
	f := &folder{target: target}
	entries, err := os.ReadDir(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, refuse("cannot be used as the output folder", "give a folder that does not exist yet", err)
	case len(entries) > 0 && !overwrite:
		return nil, refuse("is not empty", "give a folder that does not exist yet, or ask for the artifact in it to be replaced", nil)
	default:
		for _, e := range entries {
			if !isArtifactFile(e) {
				return nil, refuse(fmt.Sprintf("holds %.60q, which is no part of an artifact", e.Name()), "only an artifact is replaced; give another folder", nil)
			}
		}
		f.replace = true
	}
	parent := filepath.Dir(target)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return nil, refuse("the folder above cannot be made", "", err)
	}
	f.temp = beside(target)
	if err := os.Mkdir(f.temp, 0o777); err != nil {
		return nil, refuse("no folder can be made there", "check the permissions of the folder above", err)
	}
	return f, nil
}

func isArtifactFile(e fs.DirEntry) bool {
	switch e.Name() {
	case DataName, ManifestName, ReportName, HashesName:
		return e.Type().IsRegular()
	}
	return false
}

// beside returns a hidden name next to path that nothing has.
func beside(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:8]+".tmp")
}

func (f *folder) path(name string) string { return filepath.Join(f.temp, name) }

func (f *folder) write(name string, fn func(io.Writer) error) error {
	// Errors of fn tell of the input and must not be wrapped in a name that
	// goes away.
	var own error
	err := atomicfile.Write(f.path(name), 0o666, func(w io.Writer) error {
		own = fn(w)
		return own
	})
	if own != nil {
		return own
	}
	return err
}

// writeJSON writes a document and returns its sha256 in hex.
func (f *folder) writeJSON(name string, v any) (string, error) {
	data, err := canonical.Indent(v)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), atomicfile.WriteBytes(f.path(name), 0o666, data)
}

// commit puts the folder in its place. An artifact that is replaced is moved
// aside first and put back when the new one cannot take its place.
func (f *folder) commit() error {
	failed := func(err error) error {
		return fmt.Errorf("%s: put the artifact at %s: %w", opIngest, f.target, err)
	}
	old := ""
	if f.replace {
		old = beside(f.target)
		if err := os.Rename(f.target, old); err != nil {
			return failed(err)
		}
	}
	if err := os.Rename(f.temp, f.target); err != nil {
		if old != "" {
			err = errors.Join(err, os.Rename(old, f.target))
		}
		return failed(err)
	}
	f.done = true
	if err := atomicfile.SyncDir(filepath.Dir(f.target)); err != nil {
		return failed(err)
	}
	if old != "" {
		if err := os.RemoveAll(old); err != nil {
			return failed(err)
		}
	}
	return nil
}

// abort throws the folder away unless it was committed.
func (f *folder) abort() {
	if !f.done {
		// What failed before is what the caller needs to hear of; the folder is
		// hidden and harmless.
		_ = os.RemoveAll(f.temp)
	}
}
