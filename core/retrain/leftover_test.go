package retrain_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/retrain"
)

// What programs that were killed left is removed; what one that works has, and
// what only looks alike, stays.
func TestHiddenFoldersAreSwept(t *testing.T) {
	data, out := artifact(t), t.TempDir()
	folder := filepath.Join(out, "runs")
	put(t, folder, ".retrain_0123456789abcdef/train/model/model.safetensors", "weights")
	put(t, folder, ".retrain_fedcba9876543210/config.yaml", "task: sft\n")
	put(t, folder, ".retrain_mine/notes", "not of a retrain")
	put(t, folder, ".retrain_00000000000000ff", "a file")
	working, err := os.Open(filepath.Join(folder, ".retrain_fedcba9876543210"))
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(working.Fd()), syscall.LOCK_EX))

	run(t, retrain.Request{DatasetDir: data, OutputDir: out})
	hidden := func() []string {
		found, err := filepath.Glob(filepath.Join(folder, ".retrain_*"))
		require.NoError(t, err)
		for i := range found {
			found[i] = filepath.Base(found[i])
		}
		return found
	}
	assert.Equal(t, []string{".retrain_00000000000000ff", ".retrain_fedcba9876543210", ".retrain_mine", ".retrain_number"}, hidden())
	require.NoError(t, working.Close())
	run(t, retrain.Request{DatasetDir: data, OutputDir: out})
	assert.Equal(t, []string{".retrain_00000000000000ff", ".retrain_mine", ".retrain_number"}, hidden())
}

func TestOutputFolderThatCannotBe(t *testing.T) {
	data, in := artifact(t), t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(in, "nowhere"), filepath.Join(in, "link")))
	put(t, in, "file", "")
	for _, out := range []string{"link", "file/below"} {
		_, err := retrain.Run(t.Context(), retrain.Request{DatasetDir: data, OutputDir: filepath.Join(in, out)}, deps())
		require.ErrorContains(t, err, filepath.Join(in, out))
	}
	assert.Equal(t, []string{filepath.Join(in, "file"), filepath.Join(in, "link")}, names(t, in))
}
