// Package atomicfile writes files that are whole or absent.
//
// Content goes to a hidden temporary file in the folder of the target, is
// flushed to disk, and then renamed over the target; the folder is flushed
// last. A reader sees the old content or the new one, never a part, and so
// does a program that starts after a power failure. When anything fails, the
// target keeps its old content and the temporary file is removed; only a
// killed process can leave one behind, under a name that starts with a dot;
// Sweep removes it.
//
// A target that is a symbolic link is replaced by a regular file.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
)

// Write replaces the file at path with what the callback writes. The bits of
// perm that the process's umask masks are left out. The error names path and
// wraps the cause.
func Write(path string, perm fs.FileMode, write func(io.Writer) error) error {
	f, err := Create(path, perm)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := write(f); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Commit()
}

// WriteBytes replaces the file at path with data.
func WriteBytes(path string, perm fs.FileMode, data []byte) error {
	return Write(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// File is a file in the making: invisible under its name until Commit.
// It is not safe for concurrent use.
type File struct {
	path    string
	pending *renameio.PendingFile
	buf     *bufio.Writer
	staged  bool
	done    bool
}

// Create starts a file that Commit will put at path. Every File must be ended
// with Commit or Abort; Abort after Commit does nothing, so it can be deferred.
func Create(path string, perm fs.FileMode) (*File, error) {
	for {
		pending, err := renameio.NewPendingFile(path,
			renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(perm))
		if err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
		if !claim(pending.File) {
			_ = pending.Cleanup() // swept before it was locked
			continue
		}
		// 256 KiB a write call: streams of small records then cost few calls.
		return &File{path: path, pending: pending, buf: bufio.NewWriterSize(pending, 256<<10)}, nil
	}
}

// claim locks a temporary file, for Sweep to leave it alone; on a file system
// without locks Sweep removes nothing. It returns false for a file that is being
// swept.
func claim(f *os.File) bool {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false
	}
	_, gone := os.Lstat(f.Name())
	return !errors.Is(gone, fs.ErrNotExist)
}

// Write adds p to the file.
func (f *File) Write(p []byte) (int, error) { return f.buf.Write(p) }

// Path returns where Commit will put the file.
func (f *File) Path() string { return f.path }

// Stage brings the content to disk under its temporary name, so that a full
// disk shows before anything is replaced. On error the content is thrown away.
// Nothing may be written afterwards.
func (f *File) Stage() error {
	switch {
	case f.done:
		return fmt.Errorf("write %s: %w", f.path, fs.ErrClosed)
	case f.staged:
		return nil
	}
	err := f.buf.Flush()
	if err == nil {
		err = f.pending.Sync()
	}
	if err != nil {
		f.Abort()
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	f.staged = true
	return nil
}

// Commit flushes the content and puts it in place. On error nothing has
// changed at the target, except when only the last step, the flush of the
// folder, failed: then the content is in place but may not survive a power
// failure.
func (f *File) Commit() error { return CommitAll(f) }

// CommitAll puts files in place that belong together, in the order given. All
// are on disk before the first gets its name; then one rename follows the other, and the folders are flushed last, so only a program that
// is killed between two of the renames leaves the new content of some beside
// the old of others. A file that vouches for the others, such as one with their
// hashes, belongs at the end: it then never speaks of content that is not
// there yet. On error files that are not in place are thrown away.
func CommitAll(files ...*File) error {
	defer func() {
		for _, f := range files {
			f.Abort()
		}
	}()
	for _, f := range files {
		if err := f.Stage(); err != nil {
			return err
		}
	}
	var folders []string
	for _, f := range files {
		if err := os.Rename(f.pending.Name(), f.path); err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
		f.done = true // and closed below
		defer f.pending.File.Close()
		if dir := filepath.Dir(f.path); !slices.Contains(folders, dir) {
			folders = append(folders, dir)
		}
	}
	for _, dir := range folders {
		if err := SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// Abort throws the content away.
func (f *File) Abort() {
	if !f.done {
		f.done = true
		// What failed before is what the caller needs to hear of; a temporary
		// file that cannot be removed is hidden and harmless.
		_ = f.pending.Cleanup()
	}
}

// Sweep removes the temporary files that programs which were killed have left of
// the file at path. Those of programs that still write it stay. What cannot be
// removed is hidden and harmless.
func Sweep(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // whoever creates a file there is told
	}
	for _, e := range entries {
		number, found := strings.CutPrefix(e.Name(), "."+filepath.Base(path))
		if !found || number == "" || strings.Trim(number, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		left := filepath.Join(filepath.Dir(path), e.Name())
		f, err := os.OpenFile(left, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		// A file that was locked may have got its name by now: only what still
		// has the temporary one is removed.
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.Remove(left)
		}
		_ = f.Close()
	}
}

// SyncDir flushes a folder, so that the names created, renamed and removed in
// it survive a power failure. File systems that cannot flush a folder are
// taken as they are.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("flush folder %s: %w", path, err)
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	if err := errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("flush folder %s: %w", path, err)
	}
	return nil
}
