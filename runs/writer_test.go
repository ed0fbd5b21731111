package runs_test

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
)

func TestCreate(t *testing.T) {
	c := newClock()
	root := filepath.Join(t.TempDir(), "a", "runs")
	w, err := runs.Create(root, runs.CreateOptions{Now: c.Now, Meta: runs.Meta{Task: "sft", Seed: "42", BaseModel: "builtin:nano"}})
	require.NoError(t, err)
	defer w.Close()
	assert.Regexp(t, `^run_20250301_123045_[0-9a-f]{6}$`, w.ID())
	assert.Equal(t, filepath.Join(root, w.ID()), w.Dir())

	m, err := open(t, w.Dir()).Meta()
	require.NoError(t, err)
	assert.Equal(t, runs.StatusRunning, m.Status)
	assert.Equal(t, w.ID(), m.RunID)
	assert.Equal(t, "2025-03-01T12:30:45Z", m.StartedAt)
	assert.Equal(t, json.Number("42"), m.Seed)
	assert.Equal(t, w.Meta().BaseModel, m.BaseModel)

	meta := text(t, w.Dir(), "run_meta.json")
	assert.Equal(t, []string{
		"run_id", "job_id", "status", "task", "base_model", "dataset_version", "compute_mode", "device",
		"started_at", "completed_at", "duration_seconds", "metrics", "artifact_path", "config_hash", "data_hash",
		"environment_hash", "reproducibility_hash", "seed", "run_name", "verifily_train_version",
	}, keys(t, meta))
	assert.Contains(t, meta, "\n  \"job_id\": null,\n")
	assert.Contains(t, meta, "\n  \"duration_seconds\": 0.0,\n  \"metrics\": {},\n")
	assert.Contains(t, meta, "\n  \"seed\": 42,\n")
}

func TestCreateWhereNothingCanBeWritten(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "file", "")
	_, err := runs.Create(filepath.Join(dir, "file", "runs"), runs.CreateOptions{})
	require.ErrorIs(t, err, syscall.ENOTDIR)
	require.ErrorContains(t, err, filepath.Join(dir, "file"))

	root := filepath.Join(dir, "runs")
	_, err = runs.Create(root, runs.CreateOptions{Meta: runs.Meta{DurationSeconds: math.NaN()}})
	require.ErrorContains(t, err, "nan has no JSON form")
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	assert.Empty(t, entries, "nothing is left of a run that could not start")
}

// TestARunAppearsWhole: nobody sees a run before what it starts with is there.
func TestARunAppearsWhole(t *testing.T) {
	root := t.TempDir()
	look := func() []runs.Entry {
		entries, err := runs.List(root)
		require.NoError(t, err)
		return entries
	}
	inside := ""
	w, err := runs.Create(root, runs.CreateOptions{Fill: func(w *runs.Writer) error {
		inside = w.Dir()
		assert.Empty(t, look())
		return w.WriteConfig([]byte("task: sft\n"))
	}})
	require.NoError(t, err)
	defer w.Close()
	assert.NoDirExists(t, inside)
	assert.Equal(t, "task: sft\n", text(t, w.Dir(), "config.yaml"))
	require.Len(t, look(), 1)
	assert.Equal(t, runs.StatusRunning, look()[0].Status)
	assert.Equal(t, w.ID(), look()[0].Meta.RunID)

	_, err = runs.Create(root, runs.CreateOptions{Fill: func(*runs.Writer) error { return syscall.ENOSPC }})
	require.ErrorIs(t, err, syscall.ENOSPC)
	left, err := os.ReadDir(root)
	require.NoError(t, err)
	assert.Len(t, left, 1, "nothing is left of a run that could not start")
}

// TestDraftsOfKilledProcessesGo: what was killed while it created a run leaves
// a hidden folder, which a later run removes; one that is being made stays.
func TestDraftsOfKilledProcessesGo(t *testing.T) {
	root := t.TempDir()
	old := time.Now().Add(-2 * time.Hour)
	for _, name := range []string{".run_old.new", ".run_young.new", ".run_other", "run_20250101_000000_abcdef.new"} {
		put(t, filepath.Join(root, name), "run_meta.json", "{}")
		put(t, filepath.Join(root, name), ".lock", "")
		if name != ".run_young.new" {
			require.NoError(t, os.Chtimes(filepath.Join(root, name), old, old))
		}
	}
	w, err := runs.Create(root, runs.CreateOptions{Fill: func(w *runs.Writer) error {
		require.NoError(t, os.Chtimes(w.Dir(), old, old))
		other, err := runs.Create(root, runs.CreateOptions{})
		require.NoError(t, err)
		require.NoError(t, other.Close())
		assert.DirExists(t, w.Dir(), "its lock is held")
		return nil
	}})
	require.NoError(t, err)
	defer w.Close()
	assert.NoDirExists(t, filepath.Join(root, ".run_old.new"))
	for _, kept := range []string{".run_young.new", ".run_other", "run_20250101_000000_abcdef.new"} {
		assert.DirExists(t, filepath.Join(root, kept))
	}
}

func TestNamesAreUnique(t *testing.T) {
	c := newClock()
	root := t.TempDir()
	seen := map[string]bool{}
	for range 20 {
		w, err := runs.Create(root, runs.CreateOptions{Now: c.Now})
		require.NoError(t, err)
		require.NoError(t, w.Close())
		seen[w.ID()] = true
	}
	assert.Len(t, seen, 20)
}

func TestOneWriterARun(t *testing.T) {
	w := create(t, runs.Meta{})
	_, err := runs.Reopen(w.Dir())
	require.ErrorIs(t, err, runs.ErrLocked)
	require.ErrorContains(t, err, w.Dir())
	require.NoError(t, w.Close())
	again, err := runs.Reopen(w.Dir())
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func TestReopenRefuses(t *testing.T) {
	_, err := runs.Reopen(t.TempDir())
	require.ErrorIs(t, err, runs.ErrNotRun)

	w := create(t, runs.Meta{})
	complete(t, w)
	_, err = runs.Reopen(w.Dir())
	require.ErrorIs(t, err, runs.ErrCompleted)

	broken := t.TempDir()
	put(t, broken, "run_meta.json", `{"run_id": `)
	_, err = runs.Reopen(broken)
	require.ErrorContains(t, err, "run_meta.json")
}

func TestReopenMendsWhatACrashLeft(t *testing.T) {
	w := create(t, runs.Meta{Task: "sft", Seed: "123456789012345678901234567890", Error: "old", CompletedAt: "x"})
	require.NoError(t, w.AppendLog(runs.LogLine{Step: 1, Loss: ptr(2.5)}))
	require.NoError(t, w.Close())
	whole := text(t, w.Dir(), "train_log.jsonl")
	put(t, w.Dir(), "train_log.jsonl", whole+`{"step": 2, "lo`)
	put(t, w.Dir(), "hashes.json", "{}")
	put(t, w.Dir(), ".run_meta.json123456", "{")
	left := []string{"eval/.predictions.jsonl98765", "eval/other-1a2b3c4d/.eval_results.json1", "model/.model.safetensors123",
		"tokenizer/.tokenizer.json7", "adapter/.adapter_config.json99"}
	others := []string{"model/model.safetensors", "decision/.decision.json12", "checkpoints/.kept.json12"}
	for _, name := range append(left, others...) {
		put(t, w.Dir(), name, "{")
	}

	again, err := runs.Reopen(w.Dir())
	require.NoError(t, err)
	require.NoError(t, again.AppendLog(runs.LogLine{Step: 2, Loss: ptr(2.0)}))
	require.NoError(t, again.Close())

	assert.NoFileExists(t, filepath.Join(w.Dir(), "hashes.json"))
	assert.NoFileExists(t, filepath.Join(w.Dir(), ".run_meta.json123456"))
	for _, name := range left {
		assert.NoFileExists(t, filepath.Join(w.Dir(), name))
	}
	for _, name := range others {
		assert.FileExists(t, filepath.Join(w.Dir(), name))
	}
	r := open(t, w.Dir())
	log, err := r.Log()
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2}, steps(log))
	assert.Zero(t, log.Bad)
	m, err := r.Meta()
	require.NoError(t, err)
	assert.Equal(t, runs.StatusRunning, m.Status)
	assert.Equal(t, json.Number("123456789012345678901234567890"), m.Seed)
	assert.Empty(t, m.Error)
	assert.Empty(t, m.CompletedAt)
}

// A log that leads out of the run would have another file cut and written to.
func TestReopenRefusesALogThatIsNone(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"link":          func(path string) error { return os.Symlink(filepath.Join(filepath.Dir(path), "other"), path) },
		"dangling link": func(path string) error { return os.Symlink(filepath.Join(filepath.Dir(path), "none"), path) },
		"pipe":          func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder":        func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			w := create(t, runs.Meta{})
			require.NoError(t, w.Close())
			put(t, w.Dir(), "other", "no line end")
			path := filepath.Join(w.Dir(), "train_log.jsonl")
			require.NoError(t, os.Remove(path))
			require.NoError(t, replace(path))
			_, err := runs.Reopen(w.Dir())
			require.ErrorContains(t, err, path)
			assert.Equal(t, "no line end", text(t, w.Dir(), "other"))
			assert.NoFileExists(t, filepath.Join(w.Dir(), "none"))
		})
	}
}

func TestTruncateLogAfter(t *testing.T) {
	for _, c := range []struct {
		after int
		want  []int
	}{{0, nil}, {2, []int{1, 2, 2}}, {3, []int{1, 2, 2, 3}}, {99, []int{1, 2, 2, 3, 4}}} {
		w := create(t, runs.Meta{})
		for _, step := range []int{1, 2, 2, 3, 4} {
			require.NoError(t, w.AppendLog(runs.LogLine{Step: step, EvalLoss: ptr(1.0)}))
		}
		require.NoError(t, w.TruncateLogAfter(c.after))
		require.NoError(t, w.AppendLog(runs.LogLine{Step: 77}))
		require.NoError(t, w.SyncLog())
		log, err := open(t, w.Dir()).Log()
		require.NoError(t, err)
		assert.Equal(t, append(c.want, 77), steps(log), "after %d", c.after)
	}
}

func TestWriterFiles(t *testing.T) {
	w := create(t, runs.Meta{})
	require.NoError(t, w.WriteConfig([]byte("task: sft\nlora: {r: 8}\n")))
	require.NoError(t, w.WriteManifest([]byte(`{"dataset_id": "d"}`)))
	env := runs.Environment{RuntimeVersion: "go1.26", Platform: "linux/amd64", OS: "linux", GPU: map[string]any{"count": 2, "memory": 1e9}}
	require.NoError(t, w.WriteEnvironment(env))
	sum := runs.Summary{TotalSteps: 10, TotalEpochs: 2, FinalTrainLoss: ptr(math.Inf(1)), BestEvalLoss: ptr(1.5), BestEvalStep: ptr(8), TokensProcessed: 99}
	require.NoError(t, w.WriteSummary(sum))

	r := open(t, w.Dir())
	config, err := r.Config()
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"task": "sft", "lora": map[string]any{"r": 8}}, config)
	manifest, err := r.Manifest()
	require.NoError(t, err)
	assert.JSONEq(t, `{"dataset_id": "d"}`, string(manifest))

	assert.Equal(t, []string{"runtime_version", "platform", "os", "packages", "gpu"}, keys(t, text(t, w.Dir(), "environment.json")))
	gotEnv, err := r.Environment()
	require.NoError(t, err)
	want, err := env.Hash()
	require.NoError(t, err)
	got, err := gotEnv.Hash()
	require.NoError(t, err)
	assert.Equal(t, want, got, "the hash of what was read is the hash of what was written")

	assert.Equal(t, []string{
		"total_steps", "total_epochs", "final_train_loss", "best_eval_loss", "best_eval_step", "total_train_samples",
		"tokens_processed", "wall_time_seconds", "gpu_hours", "non_finite",
	}, keys(t, text(t, w.Dir(), "train_summary.json")))
	gotSum, err := r.Summary()
	require.NoError(t, err)
	sum.NonFinite = runs.NonFinite{"final_train_loss": "inf"}
	assert.Equal(t, sum, gotSum)
}

func TestMetaWithValuesThatAreNotFinite(t *testing.T) {
	w := create(t, runs.Meta{})
	m := w.Meta()
	m.Status, m.Metrics = runs.StatusFailed, map[string]float64{"train_loss": math.NaN(), "eval_loss": 2}
	m.Error = "loss is nan at step 12"
	require.NoError(t, w.Finish(m))
	assert.Contains(t, text(t, w.Dir(), "run_meta.json"), `"train_loss": null`)
	got, err := open(t, w.Dir()).Meta()
	require.NoError(t, err)
	assert.Equal(t, map[string]float64{"eval_loss": 2}, got.Metrics)
	assert.Equal(t, runs.NonFinite{"train_loss": "nan"}, got.NonFinite)
	assert.Equal(t, runs.StatusFailed, got.Status)
	assert.Equal(t, m.Error, got.Error)
}

func TestClosedWriter(t *testing.T) {
	w := create(t, runs.Meta{})
	require.NoError(t, w.Close())
	require.NoError(t, w.Close())
	require.ErrorIs(t, w.AppendLog(runs.LogLine{Step: 1}), runs.ErrClosed)
	require.ErrorIs(t, w.WriteMeta(runs.Meta{}), runs.ErrClosed)
	require.ErrorIs(t, w.WriteConfig(nil), runs.ErrClosed)
	require.ErrorIs(t, w.SyncLog(), runs.ErrClosed)
	require.ErrorIs(t, w.TruncateLogAfter(1), runs.ErrClosed)
	require.ErrorIs(t, w.Finish(runs.Meta{Status: runs.StatusFailed}), runs.ErrClosed)
}

// TestLogThatNoLongerFits writes, in a child process whose files may have a few
// kilobytes at most, until a line does not fit. The limit stands in for a full
// disk: the kernel refuses the bytes beyond it in the same call.
func TestLogThatNoLongerFits(t *testing.T) {
	if root := os.Getenv("RUNS_TEST_ROOT"); root != "" {
		fillLog(t, root)
		return
	}
	root := t.TempDir()
	cmd := exec.Command("sh", "-c", `ulimit -f 8 && trap '' XFSZ && exec "$0" -test.run '^TestLogThatNoLongerFits$'`, os.Args[0])
	cmd.Env = append(os.Environ(), "RUNS_TEST_ROOT="+root)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)

	entries, err := runs.List(root)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, runs.StatusInterrupted, entries[0].Status)
	data := text(t, entries[0].Dir, "train_log.jsonl")
	require.True(t, strings.HasSuffix(data, "}\n"), "a line that did not fit is taken back: %q", data[max(0, len(data)-40):])
	log, err := open(t, entries[0].Dir).Log()
	require.NoError(t, err)
	assert.NotEmpty(t, log.Lines)
	assert.Zero(t, log.Bad)
	assert.NoFileExists(t, filepath.Join(entries[0].Dir, "config.yaml"))
	assert.NoFileExists(t, filepath.Join(entries[0].Dir, "hashes.json"))
}

// fillLog is the child's part.
func fillLog(t *testing.T, root string) {
	w, err := runs.Create(root, runs.CreateOptions{})
	require.NoError(t, err)
	for step := 1; err == nil; step++ {
		require.Less(t, step, 10000)
		err = w.AppendLog(runs.LogLine{Step: step, Loss: ptr(1.0)})
	}
	require.ErrorIs(t, err, syscall.EFBIG)
	require.ErrorContains(t, err, "train_log.jsonl")
	err = w.WriteConfig(make([]byte, 8192))
	require.ErrorIs(t, err, syscall.EFBIG)
	require.ErrorContains(t, err, "config.yaml")
	require.NoError(t, w.Close())
}

func steps(log *runs.Log) []int {
	var out []int
	for _, line := range log.Lines {
		out = append(out, line.Step)
	}
	return out
}

func TestDurationLeavesOutThePause(t *testing.T) {
	c := newClock()
	w, err := runs.Create(t.TempDir(), runs.CreateOptions{Now: c.Now})
	require.NoError(t, err)
	c.now = c.now.Add(90 * time.Second)
	m := w.Meta()
	m.Status = runs.StatusInterrupted
	require.NoError(t, w.Finish(m))
	assert.InDelta(t, 90, w.Meta().DurationSeconds, 1e-9)
	assert.Equal(t, "2025-03-01T12:32:15Z", w.Meta().CompletedAt)
	assert.NoFileExists(t, filepath.Join(w.Dir(), ".heartbeat"))

	again, err := runs.Reopen(w.Dir())
	require.NoError(t, err)
	m = again.Meta()
	m.Status = runs.StatusInterrupted
	require.NoError(t, again.Finish(m))
	assert.GreaterOrEqual(t, again.Meta().DurationSeconds, 90.0)
	assert.Less(t, again.Meta().DurationSeconds, 1e6, "the years since the clock's date are no part of it")
}

// A run that was killed does not know how long it took. Who resumes it may.
func TestDurationCountsWhatIsKnownOfEarlier(t *testing.T) {
	w, err := runs.Create(t.TempDir(), runs.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, w.Close()) // as when it was killed
	again, err := runs.Reopen(w.Dir())
	require.NoError(t, err)
	m := again.Meta()
	m.DurationSeconds = 3600
	require.NoError(t, again.WriteMeta(m))
	m.Status = runs.StatusInterrupted
	require.NoError(t, again.Finish(m))
	assert.Greater(t, again.Meta().DurationSeconds, 3600.0)
	assert.Less(t, again.Meta().DurationSeconds, 3660.0)
}

// The locks of a completed run have no use.
func TestCompletedRunHasNoLockFiles(t *testing.T) {
	w := create(t, runs.Meta{})
	complete(t, w)
	evaluate(t, w.Dir(), 1)
	require.NoError(t, runs.RefreshEval(w.Dir()))
	_, err := runs.Reopen(w.Dir())
	require.ErrorIs(t, err, runs.ErrCompleted)
	entries, err := os.ReadDir(w.Dir())
	require.NoError(t, err)
	for _, e := range entries {
		assert.NotEqual(t, ".", e.Name()[:1], e.Name())
	}
}

// The lock of a seal keeps others out even though its file is removed each time.
func TestSealLockExcludes(t *testing.T) {
	dir := t.TempDir()
	var holders atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 20 {
				unlock, err := runs.LockSeal(dir)
				if !assert.NoError(t, err) {
					return
				}
				assert.EqualValues(t, 1, holders.Add(1))
				holders.Add(-1)
				assert.NoError(t, unlock())
			}
		})
	}
	wait.Wait()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}
