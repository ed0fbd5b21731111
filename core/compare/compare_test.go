package compare_test

import (
	"bytes"
	"context"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

func third(i int) bool { return i%3 == 0 }
func half(i int) bool  { return i%2 == 0 }

func TestPairedComparison(t *testing.T) {
	a, b := answers(600, third), answers(600, half)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] }) // order does not matter
	r := compareRuns(t, compare.Options{SliceBy: []string{"source"}}, spec{name: "base", preds: a}, spec{name: "new", preds: b})

	assert.Equal(t, "f1", r.Metric)
	assert.Equal(t, []any{"sft", 0.05, 10000, int64(42), 30}, []any{r.Task, r.Alpha, r.Resamples, r.Seed, r.MinSlice})
	require.Len(t, r.Pairing, 1)
	assert.Equal(t, compare.Pairing{Run: r.Runs[1].ID, Paired: true, Matched: 600, ByID: 600}, r.Pairing[0])

	exact := metric(t, r, "exact_match")
	assert.InDelta(t, 1.0/3, exact.Values[0].Value, 1e-12)
	assert.InDelta(t, 1.0/2, exact.Values[1].Value, 1e-12)
	assert.Equal(t, stats.Wilson(200, 600, 0.95), *exact.Values[0].Interval)
	d := exact.Deltas[0]
	assert.InDelta(t, 1.0/6, d.Delta, 1e-12)
	assert.Equal(t, 600, d.N)
	assert.True(t, d.Paired && d.Significant)
	assert.Equal(t, compare.Better, d.Verdict)
	assert.Equal(t, compare.MethodMcNemar, d.PMethod)
	// Of six examples in a row one is broken and two are fixed.
	assert.Equal(t, stats.McNemar(100, 200), *d.P)
	assert.Nil(t, d.MoreExamples)

	f1 := metric(t, r, "f1").Deltas[0]
	assert.Equal(t, compare.MethodBootstrap, f1.PMethod)
	assert.InDelta(t, 1.0/6, f1.Delta, 1e-12)
	se := math.Sqrt((0.5 - 1.0/36) / 600) // of a difference that is -1, 0 or 1
	assert.InDelta(t, se, *f1.SE, 0.03*se)
	assert.InDelta(t, 1.0/6-1.96*se, f1.Interval.Low, 0.1*se)
	assert.InDelta(t, 2.8016*se, *f1.Detectable, 0.1*se)

	loss := metric(t, r, "eval_loss")
	assert.True(t, loss.LowerIsBetter)
	assert.Less(t, loss.Deltas[0].Delta, 0.0)
	assert.Equal(t, compare.Better, loss.Deltas[0].Verdict)
	ppl := metric(t, r, "perplexity")
	assert.InDelta(t, math.Exp(loss.Values[1].Value)-math.Exp(loss.Values[0].Value), ppl.Deltas[0].Delta, 1e-9)

	require.Len(t, r.Examples, 1)
	assert.Len(t, r.Examples[0].Fixed, 200)
	assert.Len(t, r.Examples[0].Broken, 100)
	assert.Equal(t, compare.Example{Index: 2, ID: "row_0002", Input: "question 2", Reference: "right", BasePrediction: "wrong answer", Prediction: "right"},
		r.Examples[0].Fixed[0])
	assert.Equal(t, 3, r.Examples[0].Broken[0].Index)
	assert.True(t, slices.IsSortedFunc(r.Examples[0].Fixed, func(a, b compare.Example) int { return a.Index - b.Index }))
	assert.Empty(t, r.Config)
	assert.Empty(t, r.Data)
}

func TestSlicesAreCorrectedForTheirNumber(t *testing.T) {
	a := answers(600, third)
	b := answers(600, func(i int) bool { return third(i) || i%4 == 1 && i%8 == 1 })
	r := compareRuns(t, compare.Options{SliceBy: []string{"source", "rare", "source"}}, spec{preds: a}, spec{preds: b})
	require.Len(t, r.Slices, 4, "a key named twice counts once")
	model, human := findSlice(t, r, "source", "model"), findSlice(t, r, "source", "human")
	assert.Equal(t, 150, model.Values[0].N)
	assert.Equal(t, compare.Better, model.Deltas[0].Verdict)
	assert.Equal(t, 0.0, human.Deltas[0].Delta)
	assert.Equal(t, compare.Unclear, human.Deltas[0].Verdict)
	// Three slices are tested: the one of five examples is not.
	first, second := findSlice(t, r, "rare", "no").Deltas[0], model.Deltas[0]
	require.Less(t, *first.P, *second.P)
	assert.InDelta(t, 3**first.P, *first.PHolm, 1e-12)
	assert.InDelta(t, max(2**second.P, *first.PHolm), *second.PHolm, 1e-12)
	few := findSlice(t, r, "rare", "yes")
	assert.True(t, few.TooFew)
	assert.Equal(t, 5, few.Values[0].N)
	assert.NotNil(t, few.Deltas[0].P)
	assert.Nil(t, few.Deltas[0].PHolm)
	assert.Empty(t, few.Deltas[0].Verdict)
	assert.Equal(t, few, r.Slices[3], "too few come last")
}

func TestSlicesAreSortedByWhatBecameWorse(t *testing.T) {
	a := answers(400, func(i int) bool { return true })
	b := answers(400, func(i int) bool { return i%4 != 1 || i%8 == 1 })
	r := compareRuns(t, compare.Options{SliceBy: []string{"source"}}, spec{preds: a}, spec{preds: b})
	assert.Equal(t, []string{"model", "human"}, []string{r.Slices[0].Value, r.Slices[1].Value})
	assert.Equal(t, compare.Worse, r.Slices[0].Deltas[0].Verdict)
	r = compareRuns(t, compare.Options{SliceBy: []string{"source"}, Metric: "eval_loss"}, spec{preds: a}, spec{preds: b})
	assert.Equal(t, "eval_loss", r.Metric)
	assert.Equal(t, "eval_loss", r.Overall[0].Metric, "the metric asked for comes first")
	assert.Equal(t, []string{"model", "human"}, []string{r.Slices[0].Value, r.Slices[1].Value})
	assert.Equal(t, compare.Worse, r.Slices[0].Deltas[0].Verdict)
}

func TestMatching(t *testing.T) {
	drop := func(p []runs.Prediction) []runs.Prediction {
		for i := range p {
			p[i].ID = ""
		}
		return p
	}
	both := func(change func(a, b []runs.Prediction) ([]runs.Prediction, []runs.Prediction)) compare.Pairing {
		a, b := change(answers(100, third), answers(100, half))
		r := compareRuns(t, compare.Options{Resamples: 100}, spec{preds: a}, spec{preds: b})
		p := r.Pairing[0]
		p.Run = ""
		return p
	}
	type preds = []runs.Prediction
	const some = "differences are over the matched examples, values over all of each run"
	for name, c := range map[string]struct {
		change func(a, b preds) (preds, preds)
		want   compare.Pairing
	}{
		"by input": {func(a, b preds) (preds, preds) { return drop(a), b },
			compare.Pairing{Paired: true, Matched: 100, ByInputHash: 100}},
		"new ids": {func(a, b preds) (preds, preds) {
			for i := range b {
				b[i].ID += "x"
			}
			return a, b
		}, compare.Pairing{Paired: true, Matched: 100, ByInputHash: 100}},
		"some missing": {func(a, b preds) (preds, preds) { return a[:90], b[20:] },
			compare.Pairing{Paired: true, Matched: 70, ByID: 70, UnmatchedBase: 20, UnmatchedRun: 10, Note: some}},
		"same id twice": {func(a, b preds) (preds, preds) { b[4].ID = "row_0003"; return a, b },
			compare.Pairing{Paired: true, Matched: 98, ByID: 98, UnmatchedBase: 2, DuplicatesRun: 2, Note: some}},
		"same input twice": {func(a, b preds) (preds, preds) {
			a[1].Input = a[0].Input
			return drop(a), drop(b)
		}, compare.Pairing{Paired: true, Matched: 98, ByInputHash: 98, DuplicatesBase: 2, UnmatchedRun: 2, Note: some}},
		"same input, other answer": {func(a, b preds) (preds, preds) {
			for _, p := range []preds{a, b} {
				p[1].Input, p[1].Reference = p[0].Input, "another"
			}
			return drop(a), drop(b)
		}, compare.Pairing{Paired: true, Matched: 100, ByInputHash: 100}},
		"changed": {func(a, b preds) (preds, preds) { a[0].Reference, b[1].Input = "other", "other"; return a, b },
			compare.Pairing{Paired: true, Matched: 98, ByID: 98, Changed: 2, Note: some}},
		"others": {func(a, b preds) (preds, preds) {
			for i := range b[10:] {
				b[10+i].ID, b[10+i].Input = "", "else"
			}
			return a, b
		}, compare.Pairing{Matched: 10, ByID: 10, UnmatchedBase: 90, DuplicatesRun: 90, Note: `only 10 of 100 examples match: differences are not paired; inputs repeat, give the rows an "id"`}},
		"the same id": {func(a, b preds) (preds, preds) {
			for i := range b[10:] {
				b[10+i].ID = "row"
			}
			return a, b
		}, compare.Pairing{Matched: 10, ByID: 10, UnmatchedBase: 90, DuplicatesRun: 90, Note: "only 10 of 100 examples match: differences are not paired"}},
	} {
		assert.Equal(t, c.want, both(c.change), name)
	}
}

func TestUnpairedComparison(t *testing.T) {
	a, b := answers(500, third), answers(400, half)
	for i := range b {
		b[i].ID, b[i].Input = "", b[i].Input+" of another test"
	}
	r := compareRuns(t, compare.Options{SliceBy: []string{"source"}}, spec{preds: a}, spec{preds: b})
	assert.False(t, r.Pairing[0].Paired)
	assert.Empty(t, r.Examples)
	d := metric(t, r, "exact_match").Deltas[0]
	assert.False(t, d.Paired)
	assert.Equal(t, compare.MethodBootstrap, d.PMethod)
	se := math.Sqrt(0.25/400 + 2.0/9/500)
	assert.InDelta(t, se, *d.SE, 0.03*se)
	assert.True(t, d.Significant)
	s := findSlice(t, r, "source", "model")
	assert.False(t, s.Deltas[0].Paired)
	assert.NotNil(t, s.Deltas[0].PHolm)
}

func TestWithoutPredictions(t *testing.T) {
	nested := func(v float64) map[string]map[string]runs.SliceMetrics {
		return map[string]map[string]runs.SliceMetrics{"source": {"human": {"n": 40, "f1": v}}}
	}
	plain := func(v float64) spec {
		return spec{overall: map[string]float64{"f1": v, "gold_set_accuracy": v / 2}, slices: nested(v), noPreds: true}
	}
	for name, others := range map[string][2]spec{
		"neither": {plain(0.5), plain(0.7)},
		"one":     {plain(0.5), {preds: answers(40, func(i int) bool { return i%10 < 7 })}},
	} {
		r := compareRuns(t, compare.Options{}, others[0], others[1])
		assert.Equal(t, "f1", r.Metric, name)
		row := metric(t, r, "f1")
		assert.InDelta(t, 0.5, row.Values[0].Value, 1e-12)
		assert.Nil(t, row.Values[0].Interval)
		d := row.Deltas[0]
		assert.InDelta(t, row.Values[1].Value-0.5, d.Delta, 1e-12)
		assert.Nil(t, d.P)
		assert.Nil(t, d.Interval)
		assert.Empty(t, d.Verdict)
		assert.Equal(t, "no predictions on one side: plain differences only", r.Pairing[0].Note)
		human := findSlice(t, r, "source", "human")
		assert.InDelta(t, 0.5, human.Values[0].Value, 1e-12)
		assert.Contains(t, r.Notes, r.Runs[0].ID+" has no predictions.jsonl")
	}
}

func TestClassification(t *testing.T) {
	labels := []string{"a", "b", "c"}
	labelled := func(right func(i int) bool) []runs.Prediction {
		out := answers(300, right)
		for i := range out {
			p := &out[i]
			p.Reference, p.Loss, p.LossTokens = labels[i%3], nil, 0
			p.Prediction = labels[(i+1)%3]
			if right(i) {
				p.Prediction = p.Reference
			}
			p.Correct = ptr(right(i))
		}
		return out
	}
	a, b := labelled(half), labelled(func(i int) bool { return i%5 != 0 })
	r := compareRuns(t, compare.Options{SliceBy: []string{"source"}}, spec{task: "classification", preds: a}, spec{task: "classification", preds: b})
	assert.Equal(t, "accuracy", r.Metric)
	acc, macro := metric(t, r, "accuracy").Deltas[0], metric(t, r, "macro_f1")
	assert.InDelta(t, 0.3, acc.Delta, 1e-12)
	assert.Equal(t, compare.MethodMcNemar, acc.PMethod)
	assert.InDelta(t, macro.Values[1].Value-macro.Values[0].Value, macro.Deltas[0].Delta, 1e-12)
	assert.True(t, macro.Deltas[0].Paired && macro.Deltas[0].Significant)
	assert.InDelta(t, *acc.SE, *macro.Deltas[0].SE, 0.2**acc.SE, "with even labels macro f1 varies as accuracy does")
	fixed, broken := 0, 0
	for i := range a {
		was, is := half(i), i%5 != 0
		if is && !was {
			fixed++
		}
		if was && !is {
			broken++
		}
	}
	assert.Len(t, r.Examples[0].Fixed, fixed)
	assert.Len(t, r.Examples[0].Broken, broken)
	r = compareRuns(t, compare.Options{SliceBy: []string{"source"}, Metric: "macro_f1"}, spec{task: "classification", preds: a}, spec{task: "classification", preds: b})
	assert.True(t, findSlice(t, r, "source", "model").Deltas[0].Paired)
	for i := range b {
		b[i].ID, b[i].Input = "", ""
	}
	r = compareRuns(t, compare.Options{}, spec{task: "classification", preds: a}, spec{task: "classification", preds: b})
	d := metric(t, r, "macro_f1").Deltas[0]
	assert.False(t, d.Paired)
	assert.True(t, d.Significant)
}

func TestSeveralRuns(t *testing.T) {
	r := compareRuns(t, compare.Options{SliceBy: []string{"source"}},
		spec{name: "a", preds: answers(200, third)}, spec{name: "b", preds: answers(200, half)}, spec{name: "c", preds: answers(200, third)})
	require.Len(t, r.Pairing, 2)
	f1 := metric(t, r, "f1")
	require.Len(t, f1.Values, 3)
	require.Len(t, f1.Deltas, 2)
	assert.Equal(t, compare.Better, f1.Deltas[0].Verdict)
	same := f1.Deltas[1]
	assert.Equal(t, []any{0.0, 1.0, compare.Unclear}, []any{same.Delta, *same.P, same.Verdict})
	assert.Nil(t, same.MoreExamples, "no number of examples shows a difference of nothing")
	require.Len(t, r.Examples, 2)
	assert.Empty(t, r.Examples[1].Fixed)
}

func TestMoreExamplesThatAVerdictTakes(t *testing.T) {
	a := answers(200, third)
	b := answers(200, func(i int) bool { return third(i) && i != 0 || i == 1 || i == 2 || i == 4 })
	d := metric(t, compareRuns(t, compare.Options{}, spec{preds: a}, spec{preds: b}), "f1").Deltas[0]
	assert.Equal(t, compare.Unclear, d.Verdict)
	require.NotNil(t, d.MoreExamples)
	half := (d.Interval.High - d.Interval.Low) / 2
	assert.InDelta(t, 200*(half/d.Delta)*(half/d.Delta)-200, float64(*d.MoreExamples), 1)
}

// A difference that is clear of zero and still not sure has too few examples that
// changed: no number of others is told.
func TestNoMoreExamplesThatAreNotTheReason(t *testing.T) {
	all := func(int) bool { return true }
	a, b := answers(120, all), answers(120, all)
	for i, f1 := range []float64{0, 0.8, 0.8, 0.8} {
		a[i].F1 = &f1
	}
	d := metric(t, compareRuns(t, compare.Options{}, spec{preds: a}, spec{preds: b}), "f1").Deltas[0]
	assert.Equal(t, compare.Unclear, d.Verdict)
	assert.Positive(t, d.Interval.Low)
	assert.Nil(t, d.MoreExamples)
}

// Without tags that are named, runs are sliced by what either was sliced by.
func TestSlicesOfEitherRun(t *testing.T) {
	in := func(key string) map[string]map[string]runs.SliceMetrics {
		return map[string]map[string]runs.SliceMetrics{key: {"a": {"n": 1}}}
	}
	r := compareRuns(t, compare.Options{}, spec{preds: answers(40, third), slices: in("source")}, spec{preds: answers(40, half), slices: in("rare")})
	var keys []string
	for _, s := range r.Slices {
		keys = append(keys, s.Key)
	}
	assert.Contains(t, keys, "source")
	assert.Contains(t, keys, "rare")
}

func TestContradictionsAndBadLinesAreNoted(t *testing.T) {
	s := spec{preds: answers(50, half), overall: map[string]float64{"f1": 0.9, "exact_match": 0.50001}}
	a := s.folder(t)
	path := filepath.Join(a.Dir(), "eval", "predictions.jsonl")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append([]byte("{broken}\n"), data...), 0o600))
	r, err := compare.Runs(context.Background(), []*runs.Run{a, a}, compare.Options{})
	require.NoError(t, err)
	id := r.Runs[0].ID
	assert.Contains(t, r.Notes, "predictions of "+id+": 1 line that cannot be read left out")
	assert.Contains(t, r.Notes, id+": eval_results.json gives f1 0.9, the predictions 0.5; the latter is used")
	assert.Equal(t, 0.5, metric(t, r, "f1").Values[0].Value)
}

func TestSlowMetricsAreComparedWhereARunHasThem(t *testing.T) {
	preds := answers(60, half)
	r := compareRuns(t, compare.Options{}, spec{preds: preds, overall: map[string]float64{"wer": 1, "mystery": 3}}, spec{preds: preds})
	wer := metric(t, r, "wer")
	assert.InDelta(t, 1, wer.Values[1].Value, 1e-12, "half the answers have two words in place of one")
	assert.NotNil(t, wer.Deltas[0].P)
	assert.Nil(t, metric(t, r, "mystery").Deltas[0])
	for _, m := range r.Overall {
		assert.NotEqual(t, "rougeL", m.Metric)
	}
	r = compareRuns(t, compare.Options{Metric: "rougeL"}, spec{preds: preds}, spec{preds: preds})
	assert.Equal(t, "rougeL", r.Overall[0].Metric)
}

func TestWhatCannotBeComparedIsAnError(t *testing.T) {
	ok := spec{preds: answers(40, half)}.folder(t)
	empty := spec{noEval: true}.folder(t)
	classes := spec{task: "classification", preds: answers(40, half)}.folder(t)
	var evalErr *fault.EvalError
	var configErr *fault.ConfigError
	for _, c := range []struct {
		runs   []*runs.Run
		opt    compare.Options
		target any
		says   string
		hint   string
	}{
		{[]*runs.Run{ok}, compare.Options{}, &configErr, "1 runs are given", "base first"},
		{[]*runs.Run{ok, ok}, compare.Options{Resamples: 5}, &configErr, "5 resamples are too few", "10000"},
		{[]*runs.Run{ok, ok}, compare.Options{Resamples: 99_999_999_999}, &configErr, "99999999999 resamples are more than 10000000", "10000"},
		{[]*runs.Run{ok, ok}, compare.Options{Alpha: 0.7}, &configErr, "out of range", "0.05"},
		{[]*runs.Run{ok, ok}, compare.Options{Alpha: math.NaN()}, &configErr, "out of range", "0.05"},
		{[]*runs.Run{ok, empty}, compare.Options{}, &evalErr, "neither predictions nor evaluation results", "verifily eval --run " + empty.Dir()},
		{[]*runs.Run{ok, classes}, compare.Options{}, &evalErr, `the task is "classification", that of the others "sft"`, "same task"},
		{[]*runs.Run{ok, ok}, compare.Options{Metric: "\x1b[1m"}, &configErr, `metric "\x1b[1m"`, "f1, exact_match"},
	} {
		_, err := compare.Runs(context.Background(), c.runs, c.opt)
		require.ErrorAs(t, err, c.target, c.says)
		require.ErrorContains(t, err, c.says)
		var typed fault.TrainError
		require.ErrorAs(t, err, &typed)
		assert.Contains(t, typed.Fault().Hint, c.hint)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := compare.Runs(ctx, []*runs.Run{ok, ok}, compare.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// Runs are called by what the user called them, and two of one name by their
// ids too.
func TestRunsAreToldApart(t *testing.T) {
	a, b, c := spec{name: "mine", preds: answers(40, half)}.folder(t), spec{name: "mine", preds: answers(40, third)}.folder(t),
		spec{name: "other", preds: answers(40, third)}.folder(t)
	id := filepath.Base(a.Dir())
	t.Chdir(filepath.Dir(a.Dir()))
	r, err := compare.Runs(context.Background(), []*runs.Run{reopen(t, id), b, c}, compare.Options{Resamples: 200})
	require.NoError(t, err)
	assert.Equal(t, []string{"mine (" + id + ")", "mine (" + filepath.Base(b.Dir()) + ")", "other"},
		[]string{r.Runs[0].Label(), r.Runs[1].Label(), r.Runs[2].Label()})
	assert.Equal(t, []string{id, b.Dir()}, []string{r.Runs[0].Path, r.Runs[1].Path})
	var out bytes.Buffer
	require.NoError(t, r.WriteJSON(&out))
	assert.Contains(t, out.String(), `"path": "`+id+`"`)
	assert.NotContains(t, out.String(), a.Dir())
}

func TestOnlyOneMetric(t *testing.T) {
	a, b := spec{preds: answers(60, third)}, spec{preds: answers(60, half)}
	all := compareRuns(t, compare.Options{}, a, b)
	for _, name := range []string{"f1", "eval_loss", "perplexity"} {
		only := compareRuns(t, compare.Options{Metric: name, Only: true}, a, b)
		require.Len(t, only.Overall, 1)
		want, got := metric(t, all, name).Deltas[0], only.Overall[0].Deltas[0]
		assert.Equal(t, []any{want.P, want.Verdict, want.N}, []any{got.P, got.Verdict, got.N}, name)
		assert.InDelta(t, want.Interval.Low, got.Interval.Low, 1e-9, name)
		assert.InDelta(t, want.Interval.High, got.Interval.High, 1e-9, name)
	}
}

// A key that no example has is noted, and makes no slice of all examples.
func TestUnknownTagsAreNoted(t *testing.T) {
	r := compareRuns(t, compare.Options{SliceBy: []string{"sauce", "source*rear"}}, spec{preds: answers(40, third)}, spec{preds: answers(40, half)})
	assert.Subset(t, r.Notes, []string{`no example has the tag "sauce"; there are rare, source`, `no example has the tag "rear"; there are rare, source`})
	assert.Empty(t, r.Slices)
	r = compareRuns(t, compare.Options{SliceBy: []string{"source*rare"}}, spec{preds: answers(40, third)}, spec{preds: answers(40, half)})
	assert.NotContains(t, strings.Join(r.Notes, "\n"), "tag")
}

// The configs of a training and of a retrain have little in common: what only
// one of them has is no difference.
func TestConfigsOfTwoKinds(t *testing.T) {
	training := spec{preds: answers(40, third), config: "task: sft\nseed: 1\nbase_model: x\ntraining: {batch_size: 8}\n"}
	retrain := spec{preds: answers(40, third), config: "task: sft\nseed: 2\nmode: mock\ndataset_dir: data\n"}
	r := compareRuns(t, compare.Options{}, training, retrain)
	require.Len(t, r.Config, 1)
	assert.Equal(t, "seed 1, now 2", r.Config[0].String())
	assert.Contains(t, strings.Join(r.Notes, "\n"), "only those that all have are compared")
	assert.NotContains(t, strings.Join(compareRuns(t, compare.Options{}, training, training).Notes, "\n"), "only those that all have are compared")
}

// What a retrain trained with stands in the training that it holds.
func TestTrainingsOfRetrains(t *testing.T) {
	retrain := func(epochs string) *runs.Run {
		run := spec{preds: answers(40, third), config: "task: sft\nmode: real\ndataset_dir: data\n"}.folder(t)
		dir := filepath.Join(run.Dir(), "train")
		require.NoError(t, os.Mkdir(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("training: {num_epochs: "+epochs+"}\n"), 0o644))
		return reopen(t, run.Dir())
	}
	r, err := compare.Runs(context.Background(), []*runs.Run{retrain("2"), retrain("5")}, compare.Options{})
	require.NoError(t, err)
	require.Len(t, r.Config, 1)
	assert.Equal(t, "train.training.num_epochs 2, now 5", r.Config[0].String())
}

// Losses near the end of the range are compared as far as there are numbers for
// it, and the result can be written.
func TestHugeLosses(t *testing.T) {
	with := func(loss float64) spec {
		s := spec{preds: answers(40, third)}
		for i := range s.preds {
			s.preds[i].Loss = ptr(loss * float64(1+i%3) / 3)
		}
		return s
	}
	for _, pair := range [][2]float64{{1e200, 2e200}, {1e308, -1e308}, {1.7e308, 1}, {5e-324, 1e-320}} {
		r := compareRuns(t, compare.Options{}, with(pair[0]), with(pair[1]))
		for _, write := range []func(io.Writer) error{r.WriteJSON, r.WriteCSV, r.WriteMarkdown, func(w io.Writer) error { return r.WriteTable(w, 80) }} {
			require.NoError(t, write(io.Discard), "%v", pair)
		}
	}
}

func BenchmarkCompare100k(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	scored := func() []runs.Prediction {
		out := answers(100_000, func(int) bool { return r.IntN(2) == 0 })
		for i := range out {
			*out[i].Loss += r.Float64()
			out[i].F1, out[i].ExactMatch = ptr(r.Float64()), ptr(float64(r.IntN(2)))
		}
		return out
	}
	x, y := spec{preds: scored()}.folder(b), spec{preds: scored()}.folder(b)
	for b.Loop() {
		if _, err := compare.Runs(context.Background(), []*runs.Run{x, y}, compare.Options{SliceBy: []string{"source"}}); err != nil {
			b.Fatal(err)
		}
	}
}

// Answers that are the same in all pairs leave the bootstrap nothing to vary: the
// interval is that of examples that may differ and are not among them.
func TestPairsThatAreAllAlike(t *testing.T) {
	for n, most := range map[int]float64{30: 0.1135, 1000: 0.0038} {
		r := compareRuns(t, compare.Options{}, spec{name: "base", preds: answers(n, half)}, spec{name: "new", preds: answers(n, half)})
		for _, name := range []string{"f1", "exact_match"} {
			d := metric(t, r, name).Deltas[0]
			assert.Zero(t, d.Delta)
			assert.Equal(t, 1.0, *d.P)
			assert.InDelta(t, most, d.Interval.High, 5e-5, name)
			assert.Equal(t, stats.Interval{Low: -d.Interval.High, High: d.Interval.High, N: n, Method: stats.MethodWilson}, *d.Interval)
			assert.Nil(t, d.Detectable, "nothing is known of the spread")
		}
		assert.Zero(t, metric(t, r, "eval_loss").Deltas[0].Interval.High, "losses have no bounds to go by")
		r = compareRuns(t, compare.Options{}, spec{task: "classification", preds: answers(n, half)}, spec{task: "classification", preds: answers(n, half)})
		for _, name := range []string{"accuracy", "macro_f1"} {
			assert.InDelta(t, most, metric(t, r, name).Deltas[0].Interval.High, 5e-5, name)
		}
	}
}
