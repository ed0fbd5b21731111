package regular_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs/regular"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	require.NoError(t, os.WriteFile(file, []byte("12345"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	require.NoError(t, os.Symlink(file, link))
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	require.NoError(t, os.Symlink(pipe, filepath.Join(dir, "link to pipe")))
	for name, c := range map[string]struct {
		path  string
		most  int64
		want  string
		cause error
	}{
		"whole":           {file, 5, "12345", nil},
		"room to spare":   {file, 1 << 40, "12345", nil},
		"link":            {link, 5, "12345", nil},
		"empty":           {filepath.Join(dir, "empty"), 0, "", nil},
		"a byte too many": {file, 4, "", regular.ErrTooLarge},
		"pipe":            {pipe, 5, "", regular.ErrNotRegular},
		"link to a pipe":  {filepath.Join(dir, "link to pipe"), 5, "", regular.ErrNotRegular},
		"endless device":  {"/dev/zero", 5, "", regular.ErrNotRegular},
		"folder":          {dir, 5, "", syscall.EISDIR},
		"nothing":         {filepath.Join(dir, "none"), 5, "", fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := regular.Read(c.path, c.most)
			if c.cause == nil {
				require.NoError(t, err)
				assert.Equal(t, c.want, string(got))
				return
			}
			require.ErrorIs(t, err, c.cause)
			var on *fs.PathError
			require.ErrorAs(t, err, &on)
			assert.Equal(t, c.path, on.Path)
		})
	}
}

// A file of the kernel has content and no size.
func TestReadWithoutSize(t *testing.T) {
	const path = "/proc/self/status"
	got, err := regular.Read(path, 1<<20)
	if _, missing := os.Stat(path); missing != nil { // another system
		require.ErrorIs(t, err, fs.ErrNotExist)
		return
	}
	require.NoError(t, err)
	assert.Contains(t, string(got), "Pid:")
	_, err = regular.Read(path, 16)
	assert.ErrorIs(t, err, regular.ErrTooLarge)
}

func TestOpenInfo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("12345"), 0o600))
	f, info, err := regular.OpenInfo(path)
	require.NoError(t, err)
	defer f.Close()
	assert.Equal(t, int64(5), info.Size())
	part := make([]byte, 2)
	_, err = f.ReadAt(part, 3)
	require.NoError(t, err)
	assert.Equal(t, "45", string(part))
	_, err = regular.Open(filepath.Dir(path))
	assert.ErrorIs(t, err, syscall.EISDIR)
}
