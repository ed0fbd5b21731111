package core_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/runs"
)

// limitVariable bounds the size of files the child may write, in bytes: what a
// full disk does to a large file.
const limitVariable = "VERIFILY_TEST_FILE_LIMIT"

func limitFileSize() {
	n, err := strconv.ParseUint(os.Getenv(limitVariable), 10, 64)
	if err != nil {
		return
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
		panic(err)
	}
}

// TestDiskFull: when a checkpoint cannot be written, the run fails with a
// typed error, stays readable, and can be resumed when there is room.
func TestDiskFull(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	want := mustTrain(t, core.TrainOptions{Config: cfg})
	yaml, err := cfg.YAML()
	require.NoError(t, err)
	path := write(t, filepath.Join(t.TempDir(), "train.yaml"), string(yaml))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+path, limitVariable+"=120000")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "checkpoint")
	entries, err := runs.List(cfg.Output.Dir)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	for _, e := range entries {
		if e.Dir == want.Dir() {
			continue
		}
		assert.Equal(t, runs.StatusFailed, e.Status)
		assert.NotEmpty(t, e.Meta.Error)
		left, err := filepath.Glob(filepath.Join(e.Dir, "checkpoints", "*"))
		require.NoError(t, err)
		assert.Empty(t, left)
		got := mustTrain(t, core.TrainOptions{ResumeFrom: e.Dir})
		assert.Equal(t, weights(t, want), weights(t, got))
	}
}
