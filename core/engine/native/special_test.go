package native

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs/regular"
)

// TestNoPipeIsWaitedFor: what is no regular file, or far too large, is refused.
func TestNoPipeIsWaitedFor(t *testing.T) {
	for name, read := range map[string]func(dir string) error{
		configName:        func(dir string) error { _, err := loadArch(dir); return err },
		adapterConfigName: func(dir string) error { _, err := loadAdapterConfig(dir); return err },
		stateName:         func(dir string) error { return new(training).loadCheckpoint(dir) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		require.ErrorIs(t, read(dir), regular.ErrNotRegular)
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.Symlink("/dev/zero", path))
		require.ErrorIs(t, read(dir), regular.ErrNotRegular)
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Truncate(path, 1<<40))
		require.ErrorIs(t, read(dir), regular.ErrTooLarge)
	}
}
