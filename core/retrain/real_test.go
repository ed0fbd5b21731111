package retrain_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// realDeps trains by writing a run directory, as the engine would.
func realDeps(t *testing.T, finish func(dir string) error) retrain.Deps {
	d := deps()
	d.Getenv = func(name string) string { return map[string]string{retrain.RealModeVariable: "1"}[name] }
	d.Train = func(ctx context.Context, job retrain.Job) (*retrain.Trained, error) {
		splits, err := retrain.Split(ctx, job)
		if err != nil {
			return nil, err
		}
		w, err := runs.Create(filepath.Join(job.OutputDir, "train"), runs.CreateOptions{})
		require.NoError(t, err)
		require.NoError(t, w.WriteConfig([]byte("task: sft\n")))
		require.NoError(t, w.WriteManifest([]byte("{}\n")))
		require.NoError(t, w.WriteEnvironment(environment))
		put(t, w.Dir(), "model/model.safetensors", "weights")
		put(t, w.Dir(), "checkpoints/checkpoint-1/model.safetensors", "weights")
		e, err := runs.BeginEval(w.Dir())
		require.NoError(t, err)
		score := 0.75
		require.NoError(t, e.Add(runs.Prediction{Input: "in", Prediction: "out", Reference: "out", F1: &score}))
		require.NoError(t, e.Commit(runs.EvalResults{RunID: w.ID(), NumExamples: 1, TestDataPath: "splits/test.jsonl", TestDataHash: "sha256:ab",
			Overall:   map[string]float64{"eval_loss": 1.5, "f1": 0.75, "exact_match": 1},
			Slices:    map[string]map[string]runs.SliceMetrics{"source": {"human": {"n": 1, "f1": 0.75}}},
			Intervals: map[string]runs.Interval{"f1": {Low: 0.5, High: 1, N: 1, Method: "bootstrap"}},
			SliceIntervals: map[string]map[string]map[string]runs.Interval{
				"source": {"human": {"f1": {Low: 0.25, High: 1, N: 1, Method: "bootstrap"}}}}},
			[]runs.HardExample{{Rank: 1, PrimaryMetricName: "f1", PrimaryMetric: 0.75}}, nil))
		m := w.Meta()
		m.Status, m.ArtifactPath, m.Metrics = runs.StatusCompleted, "model", map[string]float64{"train_loss": 0.25}
		require.NoError(t, w.Finish(m))
		if err := finish(w.Dir()); err != nil {
			return nil, errors.Join(err, os.RemoveAll(w.Dir()))
		}
		return &retrain.Trained{RunDir: w.Dir(), Task: "sft", Seed: "7", RowsOut: splits.Rows}, nil
	}
	return d
}

func TestRealMode(t *testing.T) {
	out := t.TempDir()
	res, err := retrain.Run(context.Background(), retrain.Request{DatasetDir: artifact(t), OutputDir: out, Mode: "real"},
		realDeps(t, func(string) error { return nil }))
	require.NoError(t, err)
	assert.Equal(t, map[string]float64{"f1": 0.75, "exact_match": 1, "eval_loss": 1.5}, res.EvalSummary)
	r, err := runs.Open(res.RunDir)
	require.NoError(t, err)
	meta, err := r.Meta()
	require.NoError(t, err)
	assert.Equal(t, "train/model", meta.ArtifactPath)
	assert.Equal(t, json.Number("7"), meta.Seed)
	assert.Equal(t, 0.25, meta.Metrics["train_loss"])
	results := read(t, res.Artifacts.EvalResults)
	assert.Contains(t, results, "\"overall\": {\n    \"f1\": 0.75,\n    \"exact_match\": 1.0,\n    \"eval_loss\": 1.5\n  }")
	assert.Contains(t, results, "\"source\": {\n      \"human\": {\n        \"n\": 1,\n        \"f1\": 0.75\n      }\n    }")
	evaluated, err := r.EvalResults()
	require.NoError(t, err)
	assert.Equal(t, runs.Interval{Low: 0.5, High: 1, N: 1, Method: "bootstrap"}, evaluated.Intervals["f1"])
	assert.Equal(t, "splits/test.jsonl", evaluated.TestDataPath)
	assert.Equal(t, "sha256:ab", evaluated.TestDataHash)
	assert.Equal(t, 0.25, evaluated.SliceIntervals["source"]["human"]["f1"].Low)
	assert.FileExists(t, filepath.Join(res.RunDir, "eval/predictions.jsonl"))
	for _, dir := range []string{res.RunDir, filepath.Join(res.RunDir, "train")} {
		seal, err := contract.Verify(context.Background(), dir)
		require.NoError(t, err)
		assert.True(t, seal.Intact(), seal.String())
		assert.True(t, contract.Check(dir).Valid)
	}
	require.NoError(t, os.RemoveAll(filepath.Join(res.RunDir, "train/checkpoints")))
	seal, err := contract.Verify(context.Background(), res.RunDir)
	require.NoError(t, err)
	assert.True(t, seal.Intact(), "checkpoints may be deleted")
}

func TestRealModeFailsWithoutATrace(t *testing.T) {
	broken := errors.New("broken")
	for name, finish := range map[string]func(dir string) error{
		"training":   func(string) error { return broken },
		"evaluation": func(dir string) error { return os.Remove(filepath.Join(dir, "eval/eval_results.json")) },
	} {
		t.Run(name, func(t *testing.T) {
			in := t.TempDir()
			out := filepath.Join(in, "out")
			_, err := retrain.Run(context.Background(), retrain.Request{DatasetDir: artifact(t), OutputDir: out, Mode: "real"}, realDeps(t, finish))
			require.Error(t, err)
			entries, err := os.ReadDir(in)
			require.NoError(t, err)
			assert.Empty(t, entries)
		})
	}
}

// The splits are there for as long as something needs them.
func TestSplitsStayWhereTheyAreNeeded(t *testing.T) {
	data, out := artifact(t), t.TempDir()
	try := func(finish func(string) error) (*retrain.Result, error) {
		return retrain.Run(context.Background(), retrain.Request{DatasetDir: data, OutputDir: out, Mode: "real"}, realDeps(t, finish))
	}
	fails := func(string) error { return errors.New("broken") }
	splits := func() []string {
		found, err := filepath.Glob(filepath.Join(out, "splits/*/*.jsonl"))
		require.NoError(t, err)
		return found
	}

	// By a training that goes on at the same time.
	_, err := try(func(string) error {
		_, err := try(fails)
		require.Error(t, err)
		assert.NotEmpty(t, splits())
		return nil
	})
	require.NoError(t, err)
	assert.NoDirExists(t, filepath.Join(out, "train"), "it is empty")
	// By a retrain that was finished.
	_, err = try(fails)
	require.Error(t, err)
	assert.NotEmpty(t, splits())
	require.NoError(t, os.RemoveAll(filepath.Join(out, "runs")))
	// By the training of a retrain that was killed.
	put(t, out, "train/run_20260501_120000_abcdef/run_meta.json", "{}")
	_, err = try(fails)
	require.Error(t, err)
	assert.NotEmpty(t, splits())
	require.NoError(t, os.RemoveAll(filepath.Join(out, "train")))
	// A file of somebody else stays.
	put(t, filepath.Dir(splits()[0]), "notes", "mine")
	_, err = try(fails)
	require.Error(t, err)
	assert.Empty(t, splits())
	found, err := filepath.Glob(filepath.Join(out, "splits/*/notes"))
	require.NoError(t, err)
	assert.Len(t, found, 1)
}

// What is trained on, and what the decision reads, is what was verified.
func TestDataSetChangesMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		change func(data string, d *retrain.Deps)
		reason string
	}{
		"before the training": {func(data string, d *retrain.Deps) {
			train := d.Train
			d.Train = func(ctx context.Context, job retrain.Job) (*retrain.Trained, error) {
				put(t, data, "dataset.jsonl", strings.Repeat(`{"instruction": "say", "output": "else"}`+"\n", 5))
				return train(ctx, job)
			}
		}, "was changed after its hashes were verified"},
		"after the training": {func(data string, d *retrain.Deps) {
			train := d.Train
			d.Train = func(ctx context.Context, job retrain.Job) (*retrain.Trained, error) {
				trained, err := train(ctx, job)
				put(t, data, "report.json", `{"row_count": 5, "pii_total_hits": 5}`)
				return trained, err
			}
		}, "report.json: was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			data, in := artifact(t), t.TempDir()
			d := realDeps(t, func(string) error { return nil })
			c.change(data, &d)
			_, err := retrain.Run(context.Background(), retrain.Request{DatasetDir: data, OutputDir: filepath.Join(in, "out"), Mode: "real"}, d)
			var dataError *fault.DataError
			require.ErrorAs(t, err, &dataError)
			assert.ErrorContains(t, err, c.reason)
			for _, path := range names(t, in) {
				assert.NotContains(t, path, "splits")
				assert.NotRegexp(t, `\.retrain_[0-9a-f]|retrain_0`, path)
			}
		})
	}
}

// A folder that cannot be written leaves nothing of the training either.
func TestWriteErrorLeavesNothing(t *testing.T) {
	out := t.TempDir()
	d := realDeps(t, func(string) error { return nil })
	put(t, out, "runs", "a file where the folder belongs")
	_, err := retrain.Run(context.Background(), retrain.Request{DatasetDir: artifact(t), OutputDir: out, Mode: "real"}, d)
	var training *fault.TrainingError
	require.ErrorAs(t, err, &training)
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, "runs", entries[0].Name())
}

func TestSplit(t *testing.T) {
	split := func(dir string) (train, val, test []string) {
		sum, err := canonical.FileHash(filepath.Join(dir, "dataset.jsonl"))
		require.NoError(t, err)
		s, err := retrain.Split(context.Background(), retrain.Job{DataPath: filepath.Join(dir, "dataset.jsonl"), DataHash: sum, OutputDir: t.TempDir()})
		require.NoError(t, err)
		lines := func(path string) []string {
			if path == "" {
				return nil
			}
			return strings.Split(strings.TrimSpace(read(t, path)), "\n")
		}
		return lines(s.Train), lines(s.Val), lines(s.Test)
	}
	row := func(i int) string { return fmt.Sprintf(`{"instruction":"say","output":"%d","id":"row_%d"}`, i, i) }
	var small, large strings.Builder
	for i := range 2000 {
		if i < 1000 {
			small.WriteString(row(i) + "\n")
		}
		large.WriteString(row(i) + "\n")
	}
	a, b := t.TempDir(), t.TempDir()
	put(t, a, "dataset.jsonl", small.String())
	put(t, b, "dataset.jsonl", large.String())
	train, val, test := split(a)
	assert.Equal(t, 1000, len(train)+len(val)+len(test))
	assert.InDelta(t, 100, len(val), 40)
	assert.InDelta(t, 100, len(test), 40)
	again, _, _ := split(a)
	assert.Equal(t, train, again)
	largeTrain, _, largeTest := split(b)
	for _, line := range test {
		assert.Contains(t, largeTest, line, "a row stays in its split")
		assert.NotContains(t, largeTrain, line)
	}
	// Rows of one id stay together; two rows are enough.
	tiny := t.TempDir()
	put(t, tiny, "dataset.jsonl", row(1)+"\n"+row(1)+"\n"+row(2)+"\n")
	train, val, test = split(tiny)
	assert.Equal(t, 3, len(train)+len(val)+len(test))
	assert.NotEmpty(t, test)
	for _, line := range test {
		assert.NotContains(t, train, line)
	}
}
