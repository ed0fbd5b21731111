package source_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/tui/source"
)

func TestFindConfigs(t *testing.T) {
	t.Chdir(t.TempDir())
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for i, f := range []struct{ path, content string }{
		{"train.yaml", "task: sft\n"},
		{"deep/er/other.yml", "seed: 1\nbase_model : builtin:nano\n"},
		{"broken.yaml", "task: sft\n  : [\n"},
		{"plan.yaml", "jobs:\n- {config: train.yaml}\ntask: x\n"},
		{"ship.yaml", "ship_if: {min_f1: 0.5}\n"},
		{"binary.yaml", "task: \x00\n"},
		{".hidden/train.yaml", "task: sft\n"},
		{"runs/run_a/config.yaml", "task: sft\n"},
		{"a/b/c/d/e/train.yaml", "task: sft\n"},
		{"notes.txt", "task: sft\n"},
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(f.path), 0o755))
		require.NoError(t, os.WriteFile(f.path, []byte(f.content), 0o644))
		require.NoError(t, os.Chtimes(f.path, at, at.Add(time.Duration(i)*time.Minute)))
	}
	var paths []string
	for _, f := range source.FindConfigs(context.Background(), ".", "runs") {
		paths = append(paths, f.Path)
	}
	assert.Equal(t, []string{"broken.yaml", "deep/er/other.yml", "train.yaml"}, paths, "the newest first; one that is broken can be picked to see why")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.Empty(t, source.FindConfigs(ctx, ".", "runs"))
}
