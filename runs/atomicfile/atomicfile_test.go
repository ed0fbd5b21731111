package atomicfile_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs/atomicfile"
)

// only asserts that the folder holds exactly the named files.
func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	got := []string{}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	assert.Equal(t, append([]string{}, names...), got)
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestWriteReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.json")
	require.NoError(t, atomicfile.WriteBytes(path, 0o640, []byte("one")))
	require.NoError(t, atomicfile.WriteBytes(path, 0o640, []byte("two")))
	assert.Equal(t, "two", content(t, path))
	only(t, dir, "f.json")
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&^0o640, "mode %v", info.Mode())
}

func TestFailedWriteLeavesTheOldContent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	require.NoError(t, atomicfile.WriteBytes(path, 0o644, []byte("old")))
	broken := errors.New("source broke")
	err := atomicfile.Write(path, 0o644, func(w io.Writer) error {
		_, err := w.Write(bytes.Repeat([]byte("x"), 1<<20))
		require.NoError(t, err)
		return broken
	})
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, path)
	assert.Equal(t, "old", content(t, path))
	only(t, dir, "f")
}

func TestReadersSeeNothingBeforeCommit(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	f, err := atomicfile.Create(path, 0o644)
	require.NoError(t, err)
	_, err = f.Write([]byte("whole"))
	require.NoError(t, err)
	assert.NoFileExists(t, path)
	assert.Equal(t, path, f.Path())
	require.NoError(t, f.Commit())
	f.Abort()
	assert.Equal(t, "whole", content(t, path))
	require.ErrorIs(t, f.Commit(), os.ErrClosed)

	f, err = atomicfile.Create(filepath.Join(dir, "g"), 0o644)
	require.NoError(t, err)
	f.Abort()
	f.Abort()
	only(t, dir, "f")
}

// Files that belong together are replaced together: while one of them cannot be
// written, none is.
func TestCommitAll(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	create := func(dir, name, text string) *atomicfile.File {
		f, err := atomicfile.Create(filepath.Join(dir, name), 0o644)
		require.NoError(t, err)
		_, err = f.Write([]byte(text))
		require.NoError(t, err)
		return f
	}
	a, b := create(dir, "a", "1"), create(other, "b", "1")
	require.NoError(t, a.Stage())
	require.NoError(t, a.Stage())
	assert.NoFileExists(t, filepath.Join(dir, "a"))
	require.NoError(t, atomicfile.CommitAll(a, b))
	require.ErrorIs(t, a.Stage(), os.ErrClosed)

	gone := create(other, "b", "2")
	gone.Abort()
	require.ErrorIs(t, atomicfile.CommitAll(create(dir, "a", "2"), gone), os.ErrClosed)
	assert.Equal(t, "1", content(t, filepath.Join(dir, "a")))
	assert.Equal(t, "1", content(t, filepath.Join(other, "b")))
	only(t, dir, "a")
	only(t, other, "b")
}

func TestFolderThatCannotHoldFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, atomicfile.WriteBytes(file, 0o644, nil))
	target := filepath.Join(file, "f")
	err := atomicfile.WriteBytes(target, 0o644, []byte("x"))
	require.ErrorIs(t, err, syscall.ENOTDIR)
	require.ErrorContains(t, err, target)
	require.ErrorIs(t, atomicfile.SyncDir(filepath.Join(dir, "none")), os.ErrNotExist)
}

func TestTargetThatIsAFolder(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "d")
	require.NoError(t, os.Mkdir(target, 0o755))
	require.Error(t, atomicfile.WriteBytes(target, 0o644, []byte("x")))
	only(t, dir, "d")
}

// A limit on the size of files stands in for a full disk: the kernel refuses
// the bytes beyond it in the same call.
func TestNoRoomForTheContent(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	require.NoError(t, atomicfile.WriteBytes(path, 0o644, []byte("old")))

	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: limit.Max}))
	err := atomicfile.WriteBytes(path, 0o644, make([]byte, 8192))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))

	require.ErrorIs(t, err, syscall.EFBIG)
	require.ErrorContains(t, err, path)
	assert.Equal(t, "old", content(t, path))
	only(t, dir, "f")
}

// From Stage on nothing is left to do but renames, in the order given: a file
// that vouches for others can come after them.
func TestCommitAllOnlyRenames(t *testing.T) {
	dir := t.TempDir()
	create := func(name string) (*atomicfile.File, os.FileInfo) {
		before, err := os.ReadDir(dir)
		require.NoError(t, err)
		f, err := atomicfile.Create(filepath.Join(dir, name), 0o644)
		require.NoError(t, err)
		_, err = f.Write([]byte("content of " + name))
		require.NoError(t, err)
		require.NoError(t, f.Stage())
		after, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, after, len(before)+1)
		for _, e := range after {
			if strings.HasPrefix(e.Name(), "."+name) {
				assert.Equal(t, "content of "+name, content(t, filepath.Join(dir, e.Name())), "whole before its name is given")
				info, err := e.Info()
				require.NoError(t, err)
				return f, info
			}
		}
		t.Fatalf("%s has no temporary file", name)
		return nil, nil
	}
	a, staged := create("a")
	b, _ := create("b")
	c, _ := create("c")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "b"), 0o755)) // no file can take its place
	require.ErrorContains(t, atomicfile.CommitAll(a, b, c), filepath.Join(dir, "b"))
	only(t, dir, "a", "b")
	info, err := os.Stat(filepath.Join(dir, "a"))
	require.NoError(t, err)
	assert.True(t, os.SameFile(staged, info))
}

// What killed programs left is removed; what is being written, by this or by
// another program, and what only looks alike, stays.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, name := range []string{".f12345", ".f", ".f12x", ".fg1", ".g1", "f1"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".f7"), 0o755))
	require.NoError(t, os.Symlink("f1", filepath.Join(dir, ".f8")))
	f, err := atomicfile.Create(path, 0o644)
	require.NoError(t, err)
	_, err = f.Write([]byte("whole"))
	require.NoError(t, err)
	atomicfile.Sweep(path)
	require.NoError(t, f.Stage())
	atomicfile.Sweep(path)
	require.NoError(t, f.Commit())
	atomicfile.Sweep(path)
	assert.Equal(t, "whole", content(t, path))
	only(t, dir, ".f", ".f12x", ".f7", ".f8", ".fg1", ".g1", "f", "f1")
	atomicfile.Sweep(filepath.Join(dir, "none", "f"))
}

// Writers and sweepers of the same file do not disturb one another.
func TestSweepWhileOthersWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for range 25 {
				atomicfile.Sweep(path)
				errs[i] = errors.Join(errs[i], atomicfile.WriteBytes(path, 0o644, []byte("whole")))
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	assert.Equal(t, "whole", content(t, path))
	only(t, dir, "f")
}
