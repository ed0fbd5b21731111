package runs_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Readers wait for no pipe and read no endless device, whatever a run consists
// of.
func TestReadersRefuseWhatIsNoFile(t *testing.T) {
	kinds := map[string]func(path string) error{
		"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"device": func(path string) error { return os.Symlink("/dev/zero", path) },
	}
	drain := func(r *runs.Run) error {
		for _, err := range r.Predictions() {
			return err
		}
		return nil
	}
	for kind, replace := range kinds {
		for file, read := range map[string]func(r *runs.Run) error{
			"run_meta.json":              func(r *runs.Run) error { _, err := r.Meta(); return err },
			"config.yaml":                func(r *runs.Run) error { _, err := r.Config(); return err },
			"manifest.json":              func(r *runs.Run) error { _, err := r.Manifest(); return err },
			"environment.json":           func(r *runs.Run) error { _, err := r.Environment(); return err },
			"hashes.json":                func(r *runs.Run) error { _, err := r.Hashes(); return err },
			"train_summary.json":         func(r *runs.Run) error { _, err := r.Summary(); return err },
			"train_log.jsonl":            func(r *runs.Run) error { _, err := r.Log(); return err },
			"eval/eval_results.json":     func(r *runs.Run) error { _, err := r.EvalResults(); return err },
			"eval/confusion_matrix.json": func(r *runs.Run) error { _, err := r.ConfusionMatrix(); return err },
			"eval/hard_examples.jsonl":   func(r *runs.Run) error { _, err := r.HardExamples(); return err },
			"eval/predictions.jsonl":     drain,
		} {
			t.Run(kind+" "+file, func(t *testing.T) {
				root := t.TempDir()
				dir := filepath.Join(root, "run")
				put(t, dir, "eval/keep", "")
				put(t, dir, "config.yaml", "")
				put(t, dir, "run_meta.json", `{"status": "running"}`)
				path := filepath.Join(dir, filepath.FromSlash(file))
				if err := os.Remove(path); err != nil {
					require.ErrorIs(t, err, os.ErrNotExist)
				}
				require.NoError(t, replace(path))
				for _, hidden := range []string{".lock", ".heartbeat"} {
					require.NoError(t, replace(filepath.Join(dir, hidden)))
				}
				r := open(t, dir)
				err := read(r)
				require.ErrorContains(t, err, path)
				require.ErrorContains(t, err, regular.ErrNotRegular.Error())

				_, err = canonical.FileHash(path)
				require.ErrorIs(t, err, regular.ErrNotRegular)
				if file == "train_log.jsonl" {
					_, err = runs.ReadLog(path, 0, 0)
					require.ErrorContains(t, err, regular.ErrNotRegular.Error())
					_, _, err = r.TailLog().Next(0)
					require.ErrorContains(t, err, regular.ErrNotRegular.Error())
				}
				_, err = r.State(time.Now())
				assert.Equal(t, file == "run_meta.json", err != nil)
				if kind == "pipe" && file == "run_meta.json" {
					_, err = runs.Reopen(dir)
					require.ErrorContains(t, err, regular.ErrNotRegular.Error())
				}
				entries, err := runs.List(root)
				require.NoError(t, err)
				require.Len(t, entries, 1)
				assert.Equal(t, file == "run_meta.json", errors.Is(entries[0].Err, regular.ErrNotRegular))
				_, err = runs.List(path)
				assert.Error(t, err)
			})
		}
	}
}

func TestReadersRefuseHugeFiles(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "run_meta.json", "{}")
	require.NoError(t, os.Truncate(filepath.Join(dir, "run_meta.json"), 1<<40))
	_, err := open(t, dir).Meta()
	require.ErrorContains(t, err, regular.ErrTooLarge.Error())
	entries, err := runs.List(filepath.Dir(dir))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.ErrorIs(t, entries[0].Err, regular.ErrTooLarge)
}
