package roots_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/server/roots"
)

// tree makes a root with files, and a folder outside of it.
func tree(t testing.TB) (root, outside string, set *roots.Set) {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	root, outside = filepath.Join(top, "root"), filepath.Join(top, "rootless") // shares the beginning of its name
	for _, dir := range []string{root + "/a/b", outside + "/c"} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	require.NoError(t, os.WriteFile(root+"/a/file", nil, 0o644))
	for name, target := range map[string]string{
		"in": "a/b", "in-abs": root + "/a", "out": "../rootless", "out-abs": outside, "etc": "/etc", "up": "..", "loop": "loop",
		"chain": "in-abs/b", "a/back": "../a/file", "dangling": "a/none", "dangling-out": outside + "/none", "out-and-in": outside + "/back",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(root, name)))
	}
	require.NoError(t, os.Symlink(root+"/a", filepath.Join(outside, "back")))
	set, err = roots.New(root)
	require.NoError(t, err)
	return root, outside, set
}

func TestExisting(t *testing.T) {
	root, outside, set := tree(t)
	for path, want := range map[string]string{
		root: "", root + "/": "", root + "/a/b": "/a/b", root + "//a/./b/": "/a/b", root + "/a/../a/file": "/a/file", root + "/in": "/a/b",
		root + "/in/..": "/a", root + "/in-abs/file": "/a/file", root + "/chain": "/a/b", root + "/chain/../file": "/a/file", root + "/a/back": "/a/file",
	} {
		got, err := set.Existing(path)
		if assert.NoError(t, err, path) {
			assert.Equal(t, root+want, got, path)
		}
	}
	for path, want := range map[string]error{
		"": fs.ErrNotExist, root + "/none": fs.ErrNotExist, root + "/a/none/../file": fs.ErrNotExist, root + "/dangling": fs.ErrNotExist,
		root + "\x00": fs.ErrNotExist, root + "/a/file/x": syscall.ENOTDIR, root + "/a/file/": syscall.ENOTDIR, root + "/a/back/.": syscall.ENOTDIR, root + "/loop": syscall.ELOOP, root + "/" + strings.Repeat("x", 300): syscall.ENAMETOOLONG,
		outside: roots.ErrOutside, outside + "/none": roots.ErrOutside, "/": roots.ErrOutside, "/etc/passwd": roots.ErrOutside, "..": roots.ErrOutside,
		root + "/..": roots.ErrOutside, root + "/../root/a": roots.ErrOutside, root + "/out/c": roots.ErrOutside, root + "/out-abs": roots.ErrOutside,
		root + "/etc/passwd": roots.ErrOutside, root + "/up": roots.ErrOutside, root + "/up/root/a": roots.ErrOutside, root + "/dangling-out": roots.ErrOutside,
		root + "/out-and-in/file": roots.ErrOutside, root + "x": roots.ErrOutside, root + "/a/../../rootless": roots.ErrOutside,
	} {
		_, err := set.Existing(path)
		assert.ErrorIs(t, err, want, "%q", path)
	}
}

func TestCreatable(t *testing.T) {
	root, outside, set := tree(t)
	for path, want := range map[string]string{root + "/new/er": "/new/er", root + "/in/new": "/a/b/new", root + "/dangling": "/a/none", root + "/a": "/a"} {
		got, err := set.Creatable(path)
		if assert.NoError(t, err, path) {
			assert.Equal(t, root+want, got, path)
		}
	}
	for _, path := range []string{outside + "/new", root + "/out/new", root + "/new/../../rootless/x", root + "/dangling-out", root + "/up/new",
		root + "/new/../out", root + "/new/../out/x", // behind what is not there yet
		root + "/in/../out", root + "/in/../out/x"} { // a/out, or out for who takes the ".." out of the text
		_, err := set.Creatable(path)
		assert.ErrorIs(t, err, roots.ErrOutside, "%q", path)
	}
}

// TestNothingOutsideIsTouched: a folder that cannot be looked into tells when
// somebody tries.
func TestNothingOutsideIsTouched(t *testing.T) {
	root, outside, set := tree(t)
	before, err := set.Existing(root + "/out/c")
	require.NoError(t, os.RemoveAll(outside))
	after, wrong := set.Existing(root + "/out/c")
	assert.Equal(t, before, after)
	assert.Equal(t, err.Error(), wrong.Error(), "the answer does not depend on what is there")
}

func TestRelative(t *testing.T) {
	root, _, _ := tree(t)
	t.Chdir(root + "/a")
	set, err := roots.New(".")
	require.NoError(t, err)
	got, err := set.Existing("file")
	require.NoError(t, err)
	assert.Equal(t, root+"/a/file", got)
	_, err = set.Existing("../in")
	assert.ErrorIs(t, err, roots.ErrOutside)

	other, err := roots.New(root + "/a/b")
	require.NoError(t, err)
	_, err = other.Existing("file")
	assert.ErrorIs(t, err, roots.ErrOutside, "the current folder is no root")
	got, err = other.Existing("b")
	require.NoError(t, err)
	assert.Equal(t, root+"/a/b", got)
}

// TestLinkedRoot: a root may be named by a link, and so may what is in it.
func TestLinkedRoot(t *testing.T) {
	root, _, _ := tree(t)
	set, err := roots.New(root + "/in-abs")
	require.NoError(t, err)
	for _, path := range []string{root + "/in-abs/file", root + "/a/file"} {
		got, err := set.Existing(path)
		require.NoError(t, err)
		assert.Equal(t, root+"/a/file", got)
	}
	assert.Equal(t, []string{root + "/a"}, set.Folders())
	_, err = roots.New(root + "/none")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = roots.New(root + "/a/file")
	assert.ErrorIs(t, err, syscall.ENOTDIR)
}

func TestFolder(t *testing.T) {
	root, outside, set := tree(t)
	got, err := set.Folder(root+"/a", 10)
	require.NoError(t, err)
	assert.Equal(t, root+"/a", got)
	_, err = set.Folder(root+"/a", 2)
	assert.ErrorIs(t, err, roots.ErrTooMany)
	_, err = set.Folder(root, 100)
	assert.Error(t, err, "it has links that lead out")
	_, err = set.Folder(root+"/in/..", 100)
	assert.ErrorIs(t, err, roots.ErrOutside, "without the '..' of its text it is the root")
	require.NoError(t, os.Symlink(outside+"/c", root+"/a/b/hidden"))
	_, err = set.Folder(root+"/a", 10)
	assert.ErrorIs(t, err, roots.ErrOutside)
	require.NoError(t, os.Remove(root+"/a/b/hidden"))
	require.NoError(t, syscall.Mkfifo(root+"/a/b/pipe", 0o644))
	_, err = set.Folder(root+"/a", 10)
	assert.ErrorContains(t, err, "not a regular file")
}

// FuzzPaths: what is let through is in the root, as the system sees it.
func FuzzPaths(f *testing.F) {
	for _, seed := range []string{"a/b", "../x", "out/c", "in/../../..", "up/root/a", "//a//./file", "a/back/..", "chain/../../in-abs/file", "dangling/../..", "\x00", "out-and-in"} {
		f.Add(seed)
		f.Add(seed + "/")
	}
	root, _, set := tree(f)
	f.Fuzz(func(t *testing.T, path string) {
		for _, p := range []string{root + "/" + path, path} {
			real, err := set.Existing(p)
			if err != nil {
				assert.Empty(t, real)
				continue
			}
			want, err := filepath.EvalSymlinks(p)
			require.NoError(t, err)
			want, err = filepath.Abs(want)
			require.NoError(t, err)
			assert.Equal(t, want, real)
			assert.True(t, real == root || strings.HasPrefix(real, root+"/"), real)
		}
		if made, err := set.Creatable(root + "/" + path); err == nil {
			assert.True(t, made == root || strings.HasPrefix(made, root+"/"), made)
			assert.NotContains(t, strings.Split(made, "/"), "..")
		} else {
			var known *fs.PathError
			assert.True(t, errors.Is(err, roots.ErrOutside) || errors.As(err, &known), "%v", err)
		}
	})
}
