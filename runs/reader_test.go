package runs_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
)

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		file string
		want runs.Kind
	}{
		{"run_meta.json", runs.KindRun},
		{"config.yaml", runs.KindRun},
		{"eval/eval_results.json", runs.KindRun},
		{"trainer_state.json", runs.KindTrainer},
		{"checkpoint-10/trainer_state.json", runs.KindTrainer},
	} {
		dir := t.TempDir()
		put(t, dir, c.file, "{}")
		assert.Equal(t, c.want, open(t, dir).Kind(), c.file)
		t.Chdir(filepath.Dir(dir))
		r := open(t, filepath.Base(dir))
		assert.Equal(t, filepath.Base(dir), r.Path())
		assert.Equal(t, dir, r.Dir())
	}
	dir := t.TempDir()
	put(t, dir, "notes.txt", "")
	_, err := runs.Open(dir)
	require.ErrorIs(t, err, runs.ErrNotRun)
	_, err = runs.Open(filepath.Join(dir, "notes.txt"))
	require.ErrorIs(t, err, runs.ErrNotRun)
	_, err = runs.Open(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestOldMeta(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "run_meta.json", "\xef\xbb\xbf"+`{"status": "completed", "task": 5, "seed": 42.0, "duration_seconds": "long", "metrics": {"train_loss": NaN, "f1": 0.5, "note": "x"}, "run_name": "é", "config_hash": "by hand", "device": ["cpu"], "unknown": {}}`)
	r := open(t, dir)
	m, err := r.Meta()
	require.NoError(t, err)
	assert.Equal(t, runs.Meta{
		RunID: filepath.Base(dir), Status: runs.StatusCompleted, Task: "5", Seed: "42", RunName: "é", ConfigHash: "by hand",
		Metrics: map[string]float64{"f1": 0.5}, NonFinite: runs.NonFinite{"train_loss": "nan"},
	}, m)
	assert.Equal(t, []string{`run_meta.json: "device" has an unexpected value`, `run_meta.json: "duration_seconds" has an unexpected value`}, r.Oddities())
}

func TestBrokenFilesNameThemselves(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"run_meta.json", "train_summary.json", "hashes.json", "environment.json", "eval/eval_results.json", "eval/confusion_matrix.json", "config.yaml"} {
		put(t, dir, name, "{\"a\": [")
	}
	r := open(t, dir)
	for name, read := range map[string]func() error{
		"run_meta.json":         func() error { _, err := r.Meta(); return err },
		"train_summary.json":    func() error { _, err := r.Summary(); return err },
		"hashes.json":           func() error { _, err := r.Hashes(); return err },
		"environment.json":      func() error { _, err := r.Environment(); return err },
		"eval_results.json":     func() error { _, err := r.EvalResults(); return err },
		"confusion_matrix.json": func() error { _, err := r.ConfusionMatrix(); return err },
		"config.yaml":           func() error { _, err := r.Config(); return err },
	} {
		require.ErrorContains(t, read(), name)
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			path = filepath.Join(dir, "eval", name)
		}
		if name != "run_meta.json" {
			require.NoError(t, os.Remove(path))
			require.ErrorIs(t, read(), os.ErrNotExist, name)
		}
	}
	put(t, dir, "hashes.json", "null")
	_, err := r.Hashes()
	require.ErrorContains(t, err, "null instead of an object")
	_, err = r.Log()
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = r.HardExamples()
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = r.Manifest()
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestConfigShapes(t *testing.T) {
	dir := t.TempDir()
	r := func(content string) *runs.Run { put(t, dir, "config.yaml", content); return open(t, dir) }
	got, err := r("a: {1: x, y: [{true: z}]}").Config()
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"a": map[string]any{"1": "x", "y": []any{map[string]any{"true": "z"}}}}, got)
	got, err = r("").Config()
	require.NoError(t, err)
	assert.Empty(t, got)
	_, err = r("[1]").Config()
	require.ErrorContains(t, err, "config.yaml")
}

func TestLogWithFaults(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "train_log.jsonl", strings.Join([]string{
		`{"step": 1, "epoch": 0.1, "loss": 6000.0, "timestamp": "T"}`, ``, `garbage`, `{"loss": 1}`,
		`{"step": 2, "loss": NaN}`, strings.Repeat("x", 3<<20), `{"step": 3, "eval_loss": 1, "eval_f1": 0.5}`, `{"step": 4, "lo`,
	}, "\n"))
	r := open(t, dir)
	log, err := r.Log()
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2, 3}, steps(log))
	assert.Equal(t, 3, log.Bad)
	assert.True(t, math.IsNaN(*log.Lines[1].Loss))
	assert.Equal(t, map[string]float64{"eval_f1": 0.5}, log.Lines[2].Metrics)
	assert.Nil(t, log.Lines[2].Loss)
	assert.Equal(t, []string{"train_log.jsonl: 3 unreadable lines"}, r.Oddities())

	put(t, dir, "train_log.jsonl", "{\"step\": 1}\r\n{\"step\": 2}")
	log, err = open(t, dir).Log()
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2}, steps(log), "a last line that is whole counts")
	assert.Equal(t, int64(24), log.Next)
}

func TestReadLogInPieces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "train_log.jsonl")
	var all strings.Builder
	const n = 30000
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&all, "{\"step\": %d, \"epoch\": 1.0, \"loss\": %d.5, \"timestamp\": \"%0*d\"}\n", i, i, 1+i%50, i)
	}
	require.NoError(t, os.WriteFile(path, []byte(all.String()), 0o644))
	whole, err := runs.ReadLog(path, 0, 0)
	require.NoError(t, err)
	require.Len(t, whole.Lines, n)
	assert.Equal(t, int64(all.Len()), whole.Next)

	for _, limit := range []int64{1, 1000, 1 << 20} {
		var got []runs.LogLine
		var at int64
		for calls := 0; calls < 2000 && len(got) < n; calls++ {
			part, err := runs.ReadLog(path, at, limit)
			require.NoError(t, err)
			require.NotEmpty(t, part.Lines, "every call gets on")
			require.Zero(t, part.Bad)
			got = append(got, part.Lines...)
			at = part.Next
		}
		assert.Equal(t, whole.Lines[:len(got)], got)
		assert.GreaterOrEqual(t, len(got), 2000)
	}
	end, err := runs.ReadLog(path, whole.Next, 0)
	require.NoError(t, err)
	assert.Empty(t, end.Lines)
	past, err := runs.ReadLog(path, whole.Next+10, 100)
	require.NoError(t, err)
	assert.Empty(t, past.Lines)
	_, err = runs.ReadLog(path+"x", 0, 0)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "train_log.jsonl")
	tail := runs.NewLogTail(path)
	next := func(wantRestart bool, want ...int) {
		t.Helper()
		log, restarted, err := tail.Next(0)
		require.NoError(t, err)
		assert.Equal(t, wantRestart, restarted)
		assert.Equal(t, want, steps(log))
	}
	next(false)
	put(t, dir, "train_log.jsonl", "{\"step\": 1}\n{\"step\": 2")
	next(false, 1)
	next(false)
	put(t, dir, "train_log.jsonl", "{\"step\": 1}\n{\"step\": 2}\n{\"step\": 3}\n")
	next(false, 2, 3)
	next(false)
	// Cut back and written anew, longer than before: the size does not tell.
	put(t, dir, "train_log.jsonl", "{\"step\": 1}\n{\"step\": 2, \"loss\": 5}\n{\"step\": 3}\n{\"step\": 4}\n")
	next(true, 1, 2, 3, 4)
	put(t, dir, "train_log.jsonl", "{\"step\": 1}\n")
	next(true, 1)
	require.NoError(t, os.Remove(path))
	next(true)
	next(false)
}

func TestTailFollowsAResume(t *testing.T) {
	w := create(t, runs.Meta{})
	tail := open(t, w.Dir()).TailLog()
	for step := range 5 {
		require.NoError(t, w.AppendLog(runs.LogLine{Step: step + 1, Loss: ptr(1.0), Timestamp: "2025-03-01T00:00:00Z"}))
	}
	log, _, err := tail.Next(0)
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2, 3, 4, 5}, steps(log))
	require.NoError(t, w.TruncateLogAfter(3))
	require.NoError(t, w.AppendLog(runs.LogLine{Step: 4, Loss: ptr(1.0), Timestamp: "2025-03-02T00:00:00Z"}))
	require.NoError(t, w.AppendLog(runs.LogLine{Step: 5, Loss: ptr(1.0), Timestamp: "2025-03-02T00:00:00Z"}))
	log, restarted, err := tail.Next(0)
	require.NoError(t, err)
	assert.True(t, restarted)
	assert.Equal(t, []int{1, 2, 3, 4, 5}, steps(log))
}

func TestOldEnvironment(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "config.yaml", "")
	put(t, dir, "environment.json", `{"python_version": "3.11", "packages": {"torch": "2.1", "x": 3}, "gpu": []}`)
	r := open(t, dir)
	e, err := r.Environment()
	require.NoError(t, err)
	assert.Equal(t, runs.Environment{RuntimeVersion: "3.11", Packages: map[string]string{"torch": "2.1", "x": "3"}}, e)
	assert.Equal(t, []string{`environment.json: "gpu" has an unexpected value`}, r.Oddities())
}
