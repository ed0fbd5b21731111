package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/verifily/verifily-tui/core/fault"
)

// Verify reads every file of a loaded manifest and compares its sha256 and its
// number of rows (lines that are not blank). One *fault.DataError lists all
// that differ. A content_hash of this program's form (see ContentHashOf) must
// match the files' hashes; one of another form is a foreign writer's and is
// left alone, since the hashes of the files say all that it could.
func (m *Manifest) Verify(ctx context.Context) error {
	const op = "verify data set"
	problems := m.checkContentHash()
	root, err := os.OpenRoot(m.dir())
	if err != nil {
		return openError(op, m.dir(), err)
	}
	defer func() { _ = root.Close() }() // nothing was written
	for _, file := range m.Files {
		f, path, err := m.open(op, root, file)
		if err != nil {
			problems = append(problems, asProblem(err))
			continue
		}
		sum, rows, err := fingerprint(ctx, f)
		_ = f.Close() // opened for reading only
		if err != nil {
			if err = readError(op, path, 0, err); ctx.Err() != nil {
				return err
			}
			problems = append(problems, asProblem(err))
			continue
		}
		problems = append(problems, mismatch(path, file, sum, rows)...)
	}
	return m.mismatchError(op, problems)
}

// checkContentHash compares a content_hash of our own form with the files.
func (m *Manifest) checkContentHash() []fault.Problem {
	if !strings.HasPrefix(m.ContentHash, contentPrefix) || m.ContentHash == ContentHashOf(m.Files) {
		return nil
	}
	return []fault.Problem{{
		Path: m.path, Key: "content_hash",
		Reason: "does not match the hashes of the files listed",
		Hint:   "the manifest was changed after it was written",
	}}
}

// mismatch compares a file with its entry. A row count of -1 is not known.
func mismatch(path string, file ManifestFile, sum string, rows int) []fault.Problem {
	var out []fault.Problem
	if sum != file.SHA256 {
		out = append(out, fault.Problem{
			Path: path, Key: "sha256",
			Reason: fmt.Sprintf("does not match the manifest: the file has %s, the manifest says %s", short(sum), short(file.SHA256)),
		})
	}
	if rows >= 0 && rows != file.NumRows {
		out = append(out, fault.Problem{
			Path: path, Key: "num_rows",
			Reason: fmt.Sprintf("does not match the manifest: the file has %d rows, the manifest says %d", rows, file.NumRows),
		})
	}
	return out
}

// short cuts a hash to what a reader compares.
func short(sum string) string { return sum[:min(len(sum), 12)] }

func (m *Manifest) mismatchError(op string, problems []fault.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &fault.DataError{Detail: fault.Detail{
		Op: op, Path: m.path, Reason: "the files of " + m.Ref() + " are not what the manifest says",
		Hint:     "restore the files, or write a new version with its own manifest",
		Problems: problems[:min(len(problems), maxProblems)],
	}}
}

// asProblem turns an error of this package into a line of a list.
func asProblem(err error) fault.Problem {
	var data *fault.DataError
	if !errors.As(err, &data) {
		return fault.Problem{Reason: err.Error()}
	}
	p := fault.Problem{Path: data.Path, Line: data.Line, Reason: data.Reason, Hint: data.Hint}
	if data.Err != nil {
		p.Reason += ": " + data.Err.Error()
	}
	return p
}

// open opens a file of the manifest. root keeps links from leading out of the
// manifest's folder.
func (m *Manifest) open(op string, root *os.Root, file ManifestFile) (*os.File, string, error) {
	name := filepath.FromSlash(file.Path)
	path := filepath.Join(m.dir(), name)
	f, err := openRegular(op, root, name, path)
	if err == nil {
		return f, path, nil
	}
	_, inside := root.Stat(name)
	if _, anywhere := os.Stat(path); inside != nil && anywhere == nil {
		err = &fault.DataError{Detail: fault.Detail{
			Op: op, Path: path, Reason: "leads out of the manifest's folder by a link",
			Hint: "copy the file to where the manifest is",
		}}
	}
	return nil, path, err
}

// load opens a file of the manifest for use and verifies it in the same pass.
func (m *Manifest) load(ctx context.Context, op string, file ManifestFile) (*File, error) {
	root, err := os.OpenRoot(m.dir())
	if err != nil {
		return nil, openError(op, m.dir(), err)
	}
	defer func() { _ = root.Close() }() // nothing was written
	f, path, err := m.open(op, root, file)
	if err != nil {
		return nil, err
	}
	x, sum, err := index(ctx, op, path, f, m.Task)
	if sum == "" {
		return nil, err // not read to its end, so there is nothing to compare
	}
	rows := -1
	if x != nil {
		rows = x.Len()
	}
	problems := mismatch(path, file, sum, rows)
	if len(problems) == 0 {
		return x, err
	}
	if x != nil {
		_ = x.Close() // opened for reading only
	}
	var bad *fault.DataError
	if errors.As(err, &bad) {
		problems = append(problems, bad.Problems...)
	}
	return nil, m.mismatchError(op, problems)
}

// fingerprint returns the sha256 of a file and its number of lines that are
// not blank.
func fingerprint(ctx context.Context, f *os.File) (sum string, rows int, err error) {
	hash := sha256.New()
	src := newLines(io.TeeReader(stoppable{ctx, f}, hash))
	for {
		l, err := src.next()
		if err == io.EOF {
			return hex.EncodeToString(hash.Sum(nil)), rows, nil
		}
		if err != nil {
			return "", 0, err
		}
		if !l.blank() {
			rows++
		}
	}
}
