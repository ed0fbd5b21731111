package runs_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// evaluate writes an evaluation whose content depends on round.
func evaluate(t *testing.T, dir string, round int) {
	t.Helper()
	e, err := runs.BeginEval(dir)
	require.NoError(t, err)
	defer e.Abort()
	require.NoError(t, e.Add(runs.Prediction{Input: fmt.Sprint("round ", round), F1: ptr(0.5)}))
	require.NoError(t, e.Commit(runs.EvalResults{NumExamples: 1, Overall: map[string]float64{"f1": float64(round)}}, nil, nil))
}

func collect(t *testing.T, r *runs.Run) []runs.Prediction {
	t.Helper()
	var out []runs.Prediction
	for p, err := range r.Predictions() {
		require.NoError(t, err)
		out = append(out, p)
	}
	return out
}

func TestEvaluationRoundTrip(t *testing.T) {
	w := create(t, runs.Meta{})
	long := strings.Repeat("é", 501)
	predictions := []runs.Prediction{
		{Index: 0, ID: "row_1", Input: "in\x1b[31m", Prediction: "a\nb", Reference: "c", Loss: ptr(0.25), Tags: map[string]string{"source": "human"},
			F1: ptr(0.5), ExactMatch: ptr(0.0), LossTokens: 7},
		{Index: 1, Input: long, Prediction: "yes", Reference: "no", Loss: ptr(math.Inf(1)), Tags: map[string]string{},
			Confidence: ptr(0.1), PredictedConfidence: ptr(0.9), Correct: ptr(false)},
	}
	results := runs.EvalResults{
		RunID: w.ID(), TestDataPath: "test.jsonl", NumExamples: 2, DurationSeconds: 1.5,
		Overall: map[string]float64{"f1": 0.5, "eval_loss": math.NaN()},
		Slices: map[string]map[string]runs.SliceMetrics{
			"source": {"human": {"n": 1, "f1": 0.5}, runs.Untagged: {"n": 1, "f1": 0, "perplexity": math.Inf(1)}},
		},
		PerClass:          map[string]map[string]float64{"recall_per_class": {"yes": 1, "no": 0}},
		TestDataHash:      "sha256:00",
		Intervals:         map[string]runs.Interval{"f1": {Low: 0.25, High: 1, N: 2, Method: "wilson"}, "eval_loss": {High: math.Inf(1)}},
		SliceIntervals:    map[string]map[string]map[string]runs.Interval{"source": {"human": {"f1": {Low: 0, High: 1, N: 1, Method: "wilson"}}}},
		PerClassIntervals: map[string]map[string]runs.Interval{"recall_per_class": {"yes": {Low: 0.5, High: 1, N: 1, Method: "wilson"}}},
	}
	hard := []runs.HardExample{{Rank: 1, PrimaryMetric: 0.1, PrimaryMetricName: "confidence", Input: long, Prediction: "yes", Reference: "no", Index: ptr(1),
		Loss: ptr(2.5), Confidence: ptr(0.1), Slices: map[string]string{"source": runs.Untagged}}}
	confusion := &runs.ConfusionMatrix{Labels: []string{"no", "yes"}, Matrix: [][]int{{0, 1}, {0, 0}}}

	e, err := runs.BeginEval(w.Dir())
	require.NoError(t, err)
	for _, p := range predictions {
		require.NoError(t, e.Add(p))
	}
	assert.NoFileExists(t, filepath.Join(w.Dir(), "eval", "predictions.jsonl"), "nothing is visible before Commit")
	require.NoError(t, e.Commit(results, hard, confusion))
	e.Abort()

	r := open(t, w.Dir())
	for i := range predictions {
		predictions[i].InputHash = runs.InputHash(predictions[i].Input)
	}
	predictions[1].Input = strings.Repeat("é", 500)
	assert.Equal(t, predictions, collect(t, r))

	got, err := r.EvalResults()
	require.NoError(t, err)
	delete(results.Overall, "eval_loss")
	delete(results.Intervals, "eval_loss")
	delete(results.Slices["source"][runs.Untagged], "perplexity")
	results.NonFinite = runs.NonFinite{"eval_loss": "nan"}
	assert.Equal(t, results, got)
	assert.Equal(t, map[string]runs.SliceMetrics{"source=human": {"n": 1, "f1": 0.5}, "source=_untagged": {"n": 1, "f1": 0}}, got.FlatSlices())

	gotHard, err := r.HardExamples()
	require.NoError(t, err)
	hard[0].InputHash, hard[0].Input, hard[0].Tags = runs.InputHash(long), strings.Repeat("é", 500), map[string]string{}
	assert.Equal(t, hard, gotHard)
	gotConfusion, err := r.ConfusionMatrix()
	require.NoError(t, err)
	assert.Equal(t, *confusion, gotConfusion)
	assert.Empty(t, r.Oddities())
}

func TestEvaluationFormat(t *testing.T) {
	dir := t.TempDir()
	e, err := runs.BeginEvalIn(dir)
	require.NoError(t, err)
	require.NoError(t, e.Add(runs.Prediction{Index: 3, ID: "a", Input: "i", Prediction: "p", Reference: "r", Loss: ptr(1.0), F1: ptr(1.0), ExactMatch: ptr(1.0)}))
	require.NoError(t, e.Add(runs.Prediction{Prediction: "<é>", Correct: ptr(true), Confidence: ptr(1e-5), InputHash: "sha256:00"}))
	require.NoError(t, e.Commit(runs.EvalResults{Overall: map[string]float64{"f1": 1}, Slices: map[string]map[string]runs.SliceMetrics{"k": {"v": {"f1": 1, "n": 12}}}},
		[]runs.HardExample{{Rank: 1, PrimaryMetric: 0, PrimaryMetricName: "f1"}}, nil))

	hash := runs.InputHash("i")
	assert.Equal(t, `{"index": 3, "id": "a", "input": "i", "prediction": "p", "reference": "r", "loss": 1.0, "tags": {}, "input_hash": "`+hash+`", "f1": 1.0, "exact_match": 1.0}
{"index": 0, "id": null, "input": "", "prediction": "<é>", "reference": "", "loss": null, "tags": {}, "input_hash": "sha256:00", "confidence": 1e-05, "correct": true}
`, text(t, dir, "predictions.jsonl"))
	assert.Equal(t, `{
  "run_id": "",
  "test_data_path": "",
  "num_examples": 0,
  "overall": {
    "f1": 1.0
  },
  "slices": {
    "k": {
      "v": {
        "n": 12,
        "f1": 1.0
      }
    }
  },
  "eval_duration_seconds": 0.0
}
`, text(t, dir, "eval_results.json"))
	assert.Equal(t, []string{"rank", "primary_metric", "primary_metric_name", "prediction", "reference", "input", "tags", "input_hash"},
		keys(t, text(t, dir, "hard_examples.jsonl")))
}

// Intervals are an addition: of another shape, they cost nothing but themselves.
func TestOddIntervalsArePassedOver(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "run_meta.json", `{"run_id": "r", "status": "completed"}`)
	put(t, dir, "eval/eval_results.json", `{"overall": {"f1": 0.5}, "intervals": {"f1": "narrow"}, "slice_intervals": null,
		"per_class_intervals": {"recall_per_class": {"a": {"low": 0.25, "high": 1, "n": 3, "method": "wilson", "more": true}}}}`)
	r := open(t, dir)
	got, err := r.EvalResults()
	require.NoError(t, err)
	assert.Equal(t, map[string]float64{"f1": 0.5}, got.Overall)
	assert.Nil(t, got.Intervals)
	assert.Equal(t, map[string]map[string]runs.Interval{"recall_per_class": {"a": {Low: 0.25, High: 1, N: 3, Method: "wilson"}}}, got.PerClassIntervals)
	assert.Equal(t, []string{`eval_results.json: "intervals" has an unexpected value`}, r.Oddities())
}

// An evaluation below eval/ leaves that of the run alone and is covered by its
// hashes; one that is given up leaves no folder.
func TestEvaluationBelow(t *testing.T) {
	w := create(t, runs.Meta{})
	evaluate(t, w.Dir(), 1)
	complete(t, w)
	for _, bad := range []string{"../other", "/tmp", "a/../../b"} {
		_, err := runs.BeginEvalBelow(w.Dir(), bad)
		require.ErrorContains(t, err, "below eval", bad)
	}
	e, err := runs.BeginEvalBelow(w.Dir(), "a/b")
	require.NoError(t, err)
	e.Abort()
	assert.NoDirExists(t, filepath.Join(w.Dir(), "eval", "a"))

	e, err = runs.BeginEvalBelow(w.Dir(), "other")
	require.NoError(t, err)
	require.NoError(t, e.Add(runs.Prediction{Input: "other"}))
	require.NoError(t, e.Commit(runs.EvalResults{NumExamples: 1}, nil, nil))
	e.Abort()
	assert.FileExists(t, filepath.Join(w.Dir(), "eval", "other", "eval_results.json"))
	r := open(t, w.Dir())
	assert.Equal(t, "round 1", collect(t, r)[0].Input)
	h, err := r.Hashes()
	require.NoError(t, err)
	assert.Contains(t, h.Files, "eval/other/predictions.jsonl")
	assert.Equal(t, canonical.ChainHash(h.Files), h.ChainHash)
}

func TestAbandonedEvaluationLeavesTheEarlierOne(t *testing.T) {
	w := create(t, runs.Meta{})
	evaluate(t, w.Dir(), 1)
	e, err := runs.BeginEval(w.Dir())
	require.NoError(t, err)
	require.NoError(t, e.Add(runs.Prediction{Input: "other"}))
	e.Abort()
	e.Abort()

	e, err = runs.BeginEval(w.Dir())
	require.NoError(t, err)
	require.ErrorContains(t, e.Commit(runs.EvalResults{DurationSeconds: math.NaN()}, nil, nil), "eval_results.json")

	got := collect(t, open(t, w.Dir()))
	require.Len(t, got, 1)
	assert.Equal(t, "round 1", got[0].Input)
	entries, err := os.ReadDir(filepath.Join(w.Dir(), "eval"))
	require.NoError(t, err)
	assert.Len(t, entries, 3, "no temporary files stay")
}

// When a file cannot be put in place, no eval_results.json claims that the
// evaluation is there.
func TestHalfCommittedEvaluationIsAbsent(t *testing.T) {
	w := create(t, runs.Meta{})
	evaluate(t, w.Dir(), 1)
	path := filepath.Join(w.Dir(), "eval", "hard_examples.jsonl")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
	e, err := runs.BeginEval(w.Dir())
	require.NoError(t, err)
	require.ErrorContains(t, e.Commit(runs.EvalResults{}, nil, nil), "hard_examples.jsonl")
	_, err = open(t, w.Dir()).EvalResults()
	require.ErrorIs(t, err, os.ErrNotExist)
}

// What cannot be written leaves the earlier evaluation as it was.
func TestRefusedEvaluationLeavesTheEarlierOne(t *testing.T) {
	w := create(t, runs.Meta{})
	evaluate(t, w.Dir(), 1)
	put(t, w.Dir(), "eval/confusion_matrix.json", "{}")
	before := map[string]string{}
	for _, name := range []string{"predictions.jsonl", "hard_examples.jsonl", "confusion_matrix.json", "eval_results.json"} {
		before[name] = text(t, w.Dir(), "eval", name)
	}
	e, err := runs.BeginEval(w.Dir())
	require.NoError(t, err)
	require.NoError(t, e.Add(runs.Prediction{Input: "new"}))
	require.ErrorContains(t, e.Commit(runs.EvalResults{Overall: map[string]float64{"f1": 1},
		PerClass: map[string]map[string]float64{"f1": {"yes": 1}}}, []runs.HardExample{{Rank: 1}}, nil), "both a number and a value a label")
	for name, want := range before {
		assert.Equal(t, want, text(t, w.Dir(), "eval", name), name)
	}
	entries, err := os.ReadDir(filepath.Join(w.Dir(), "eval"))
	require.NoError(t, err)
	assert.Len(t, entries, len(before), "no temporary file is left")
}

// A run that was evaluated has an evaluation at any time while it is evaluated
// again.
func TestEvaluatedRunNeverLacksResults(t *testing.T) {
	w := create(t, runs.Meta{})
	evaluate(t, w.Dir(), 1)
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			_, err := os.Stat(filepath.Join(w.Dir(), "eval", "eval_results.json"))
			if !assert.NoError(t, err) {
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for round := range 20 {
		evaluate(t, w.Dir(), round)
	}
	close(done)
	reader.Wait()
}

func TestStaleConfusionMatrixGoes(t *testing.T) {
	w := create(t, runs.Meta{})
	put(t, w.Dir(), "eval/confusion_matrix.json", "{}")
	evaluate(t, w.Dir(), 1)
	assert.NoFileExists(t, filepath.Join(w.Dir(), "eval", "confusion_matrix.json"))
}

func TestEvaluationWhereNothingCanBeWritten(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "eval", "a file")
	_, err := runs.BeginEval(dir)
	require.ErrorContains(t, err, filepath.Join(dir, "eval"))
}

func TestEvalResultShapes(t *testing.T) {
	nested := map[string]map[string]runs.SliceMetrics{"source": {"human": {"n": 3, "f1": 0.5}}}
	for _, c := range []struct {
		name, file, content string
		want                runs.EvalResults
		odd                 []string
	}{
		{"at the top, flat, aggregate", "eval_results.json",
			`{"run_id": "r", "num_test_examples": 4, "aggregate": {"f1": 0.25}, "slices": {"source=human": {"n": 3, "f1": 0.5}}}`,
			runs.EvalResults{RunID: "r", NumExamples: 4, Overall: map[string]float64{"f1": 0.25}, Slices: nested}, nil},
		{"nested, other names of n", "eval/eval_results.json",
			`{"num_examples": 4, "overall": {"f1": 0.25}, "slices": {"source": {"human": {"num_examples": 3, "f1": 0.5}}}}`,
			runs.EvalResults{NumExamples: 4, Overall: map[string]float64{"f1": 0.25}, Slices: nested}, nil},
		{"values with signs of their own", "eval/eval_results.json",
			`{"overall": {}, "slices": {"expr=a=b": {"n": 1}, "loose": {"n": 2}}}`,
			runs.EvalResults{Overall: map[string]float64{}, Slices: map[string]map[string]runs.SliceMetrics{"expr": {"a=b": {"n": 1}}, "": {"loose": {"n": 2}}}}, nil},
		{"bare NaN, texts among the numbers", "eval/eval_results.json",
			`{"overall": {"f1": NaN, "loss": -Infinity, "note": "NaN of old", "ok": 1, "x": null, "flag": true}, "num_examples": "many"}`,
			runs.EvalResults{Overall: map[string]float64{"ok": 1}, NonFinite: runs.NonFinite{"f1": "nan", "loss": "-inf"}, Slices: map[string]map[string]runs.SliceMetrics{}},
			[]string{`eval_results.json: "num_examples" has an unexpected value`}},
		{"the Trainer's", "eval_results.json",
			`{"epoch": 3.0, "eval_loss": 0.5, "eval_accuracy": 0.75, "eval_runtime": 12.5, "eval_samples": 100, "eval_samples_per_second": 8.0}`,
			runs.EvalResults{NumExamples: 100, DurationSeconds: 12.5, Overall: map[string]float64{"eval_loss": 0.5, "accuracy": 0.75}, Slices: map[string]map[string]runs.SliceMetrics{}}, nil},
		{"broken slices", "eval/eval_results.json",
			`{"overall": {"f1": 1}, "slices": {"a": 3, "b=c": {}}}`,
			runs.EvalResults{Overall: map[string]float64{"f1": 1}, Slices: map[string]map[string]runs.SliceMetrics{"b": {"c": {}}}},
			[]string{`eval_results.json: "slices.a" has an unexpected value`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "run_meta.json", "{}")
			put(t, dir, c.file, c.content)
			r := open(t, dir)
			got, err := r.EvalResults()
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
			assert.Equal(t, c.odd, r.Oddities())
		})
	}
}

func TestForeignPredictions(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "run_meta.json", "{}")
	put(t, dir, "eval/predictions.jsonl", `{"index": 0, "id": 17, "prediction": 3, "reference": true, "loss": NaN, "exact_match": true, "tags": {"n": 5, "gone": null, "deep": {}}}`+"\r\n"+
		"\n"+`not JSON`+"\n"+`{"index": 2, "correct": 1}`+"\n"+`{"index": 3, "pred`)
	r := open(t, dir)
	var got []runs.Prediction
	var bad []string
	for p, err := range r.Predictions() {
		if err != nil {
			lineErr := (*runs.LineError)(nil)
			require.True(t, errors.As(err, &lineErr))
			bad = append(bad, lineErr.Error())
			assert.Equal(t, 3, lineErr.Line)
			continue
		}
		got = append(got, p)
	}
	require.Len(t, bad, 1)
	assert.Contains(t, bad[0], "predictions.jsonl:3: ")
	require.Len(t, got, 2)
	assert.Equal(t, "17", got[0].ID)
	assert.Equal(t, "3", got[0].Prediction)
	assert.Equal(t, "true", got[0].Reference)
	assert.Equal(t, 1.0, *got[0].ExactMatch)
	assert.True(t, math.IsNaN(*got[0].Loss))
	assert.Equal(t, map[string]string{"n": "5"}, got[0].Tags)
	assert.True(t, *got[1].Correct)
	assert.Equal(t, []string{
		`predictions.jsonl: "tags.deep" has an unexpected value`,
		"predictions.jsonl:3: not a JSON object", "predictions.jsonl:5: not a JSON object",
	}, r.Oddities())

	for range r.Predictions() {
		break // a reader may stop early
	}
	count := 0
	for _, err := range open(t, filepath.Dir(writeMeta(t))).Predictions() {
		require.ErrorIs(t, err, os.ErrNotExist)
		count++
	}
	assert.Equal(t, 1, count)
}

func writeMeta(t *testing.T) string {
	dir := t.TempDir()
	put(t, dir, "run_meta.json", "{}")
	return filepath.Join(dir, "run_meta.json")
}

func TestConfusionMatrixMustBeSquare(t *testing.T) {
	for _, content := range []string{`{"labels": ["a"], "matrix": [[1, 2]]}`, `{"labels": ["a", "b"], "matrix": [[1, 2]]}`, `[]`} {
		dir := t.TempDir()
		put(t, dir, "run_meta.json", "{}")
		put(t, dir, "eval/confusion_matrix.json", content)
		_, err := open(t, dir).ConfusionMatrix()
		require.ErrorContains(t, err, "confusion_matrix.json")
	}
}

func TestShortInput(t *testing.T) {
	assert.Equal(t, "abc", runs.ShortInput("abc"))
	assert.Equal(t, strings.Repeat("😀", 500), runs.ShortInput(strings.Repeat("😀", 500)))
	assert.Equal(t, strings.Repeat("😀", 500), runs.ShortInput(strings.Repeat("😀", 501)))
}

func TestHashes(t *testing.T) {
	assert.Equal(t, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", runs.InputHash(""))
	assert.Equal(t, runs.InputHash("sha256:a|sha256:b|sha256:c|42"), runs.ReproducibilityHash("sha256:a", "sha256:b", "sha256:c", "42"))
}
