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
	"strings"
	"syscall"

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
	lock    *os.File // of temp
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
	entries, err := listed(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, refuse("cannot be used as the output folder", "give a folder that does not exist yet", err)
	case len(entries) > 0 && !overwrite:
		return nil, refuse("is not empty", "give a folder that does not exist yet, or replace the artifact in it with --overwrite", nil)
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
	sweep(target)
	for f.lock == nil {
		f.temp = beside(target)
		if err := os.Mkdir(f.temp, 0o777); err != nil {
			return nil, refuse("no folder can be made there", "check the permissions of the folder above", err)
		}
		// One that a sweeper holds is about to go: another one is made.
		if f.lock, err = lockFolder(f.temp); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(refuse("no folder can be used there", "", err), os.RemoveAll(f.temp))
		}
	}
	return f, nil
}

// listed is what a folder holds. One that is replaced and removed while it is
// read seems not to exist; then the one in its place is read.
func listed(path string) ([]fs.DirEntry, error) {
	for {
		entries, err := os.ReadDir(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return entries, err
		}
		if _, gone := os.Stat(path); gone != nil {
			return nil, err
		}
	}
}

// sweep removes what programs that were killed left of the same artifact. The
// folder of one that still works is locked.
func sweep(target string) {
	entries, err := os.ReadDir(filepath.Dir(target))
	if err != nil {
		return // whoever makes the folder is told
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), "."+filepath.Base(target)+".") || !strings.HasSuffix(e.Name(), tempSuffix) {
			continue
		}
		path := filepath.Join(filepath.Dir(target), e.Name())
		if lock, err := lockFolder(path); err == nil {
			_ = os.RemoveAll(path) // hidden and harmless if it stays
			_ = lock.Close()
		}
	}
}

// lockFolder locks a folder for as long as the file is open, without waiting.
func lockFolder(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	if _, err := os.Stat(path); err != nil { // swept between the making and the lock
		_ = f.Close()
		return nil, err
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

// tempSuffix is that of the folders of artifacts in the making.
const tempSuffix = ".tmp"

// beside returns a hidden name next to path that nothing has.
func beside(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:8]+tempSuffix)
}

func (f *folder) path(name string) string { return filepath.Join(f.temp, name) }

// failed is an error of the output folder; that of the hidden one would name what
// goes away.
func (f *folder) failed(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	return &fault.DataError{Detail: fault.Detail{Op: opIngest, Path: f.target, Reason: "the artifact cannot be written", Err: err,
		Hint: "check free space and permissions; nothing was changed there"}}
}

func (f *folder) write(name string, fn func(io.Writer) error) error {
	// Errors of fn tell of the input and must not be taken for those of writing.
	var own error
	err := atomicfile.Write(f.path(name), 0o666, func(w io.Writer) error {
		own = fn(w)
		return own
	})
	if own != nil {
		return own
	}
	if err != nil {
		return f.failed(err)
	}
	return nil
}

// writeJSON writes a document and returns its sha256 in hex.
func (f *folder) writeJSON(name string, v any) (string, error) {
	data, err := canonical.Indent(v)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	if err := atomicfile.WriteBytes(f.path(name), 0o666, data); err != nil {
		return "", f.failed(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// commit puts the folder in its place. An artifact that is replaced changes
// places with the new one, so that there is a whole one at any time, and is
// removed afterwards.
func (f *folder) commit() error {
	var err error
	if f.replace {
		err = exchange(f.temp, f.target)
	} else {
		err = os.Rename(f.temp, f.target)
	}
	switch {
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTEMPTY):
		return &fault.DataError{Detail: fault.Detail{Op: opIngest, Path: f.target, Reason: "another program has put something there meanwhile",
			Hint: "look at it, or give another folder"}}
	case err != nil:
		if link := (*os.LinkError)(nil); errors.As(err, &link) {
			err = link.Err
		}
		return f.failed(err)
	}
	f.done = true
	if err := atomicfile.SyncDir(filepath.Dir(f.target)); err != nil {
		return f.failed(err)
	}
	if f.replace {
		_ = os.RemoveAll(f.temp) // the old one; hidden and harmless if it stays
	}
	return f.lock.Close()
}

// exchangePlainly moves what is at target aside and puts it back when the new
// folder cannot take its place.
func exchangePlainly(from, target string) error {
	old := strings.TrimSuffix(from, tempSuffix) + ".old"
	if err := os.Rename(target, old); err != nil {
		return err
	}
	if err := os.Rename(from, target); err != nil {
		return errors.Join(err, os.Rename(old, target))
	}
	return os.Rename(old, from)
}

// abort throws the folder away unless it was committed.
func (f *folder) abort() {
	if !f.done {
		// What failed before is what the caller needs to hear of; the folder is
		// hidden and harmless.
		_ = os.RemoveAll(f.temp)
		_ = f.lock.Close()
	}
}
