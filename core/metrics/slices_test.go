package metrics_test

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

func TestSlices(t *testing.T) {
	preds := []runs.Prediction{
		{F1: ptr(1.0), Loss: ptr(1.0), Tags: map[string]string{"source": "human", "length": "short"}},
		{F1: ptr(0.5), Loss: ptr(3.0), Tags: map[string]string{"source": "human", "length": "long"}},
		{F1: ptr(0.0), Tags: map[string]string{"source": "model"}},
		{F1: ptr(0.25)},
	}
	got, err := metrics.Slices("sft", []string{"f1", "eval_loss"}, preds, []string{"source", "source*length", "nothing"}, metrics.Options{})
	require.NoError(t, err)
	assert.Equal(t, map[string]map[string]runs.SliceMetrics{
		"source": {
			"human":       {"n": 2, "f1": 0.75, "eval_loss": 2},
			"model":       {"n": 1, "f1": 0},
			runs.Untagged: {"n": 1, "f1": 0.25},
		},
		"source*length": {
			"human*short": {"n": 1, "f1": 1, "eval_loss": 1},
			"human*long":  {"n": 1, "f1": 0.5, "eval_loss": 3},
			runs.Untagged: {"n": 2, "f1": 0.125},
		},
		"nothing": {runs.Untagged: {"n": 4, "f1": 0.4375, "eval_loss": 2}},
	}, got)
}

func TestCrossedValuesStayApart(t *testing.T) {
	preds := []runs.Prediction{
		{Tags: map[string]string{"a": "x*y", "b": "z"}},
		{Tags: map[string]string{"a": "x", "b": "y*z"}},
		{Tags: map[string]string{"a": `x\`, "b": "y"}},
		{Tags: map[string]string{"a": `x\*y`, "b": "z"}},
	}
	got, err := metrics.Slices("sft", nil, preds, []string{"a*b"}, metrics.Options{})
	require.NoError(t, err)
	one := runs.SliceMetrics{"n": 1}
	assert.Equal(t, map[string]runs.SliceMetrics{`x\*y*z`: one, `x*y\*z`: one, `x\\*y`: one, `x\\\*y*z`: one}, got["a*b"])
}

func TestSlicesEqualComputeOnTheSameRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		preds := anyPredictions(t)
		for task, names := range map[string][]string{
			"sft": metrics.Defaults("sft"), "classification": {"accuracy", "macro_f1", "weighted_f1", "confusion_matrix"},
		} {
			sliced, err := metrics.Slices(task, names, preds, []string{"p", "p*q"}, metrics.Options{})
			require.NoError(t, err)
			byValue := map[[2]string][]runs.Prediction{}
			for _, p := range preds {
				v, ok := p.Tags["p"]
				if !ok {
					v = runs.Untagged
				}
				byValue[[2]string{"p", v}] = append(byValue[[2]string{"p", v}], p)
			}
			require.Len(t, sliced["p"], len(byValue))
			for at, rows := range byValue {
				want, err := metrics.Compute(task, names, rows, metrics.Options{})
				require.NoError(t, err)
				want.Overall["n"] = float64(len(rows))
				got := sliced[at[0]][at[1]]
				require.Len(t, got, len(want.Overall))
				for name, v := range want.Overall {
					require.InDelta(t, v, got[name], 1e-12, name)
				}
			}
			total := 0.0
			for _, m := range sliced["p*q"] {
				total += m["n"]
			}
			require.Equal(t, float64(len(preds)), total)
		}
	})
}

func TestRowsAreSortedWorstFirst(t *testing.T) {
	nested := map[string]map[string]runs.SliceMetrics{
		"b": {"good": {"n": 40, "f1": 0.9, "eval_loss": 1}, "bad": {"n": 50, "f1": 0.1, "eval_loss": 3}},
		"a": {"tiny": {"n": 3, "f1": 0}, "bad": {"n": 30, "f1": 0.1, "eval_loss": 2}, "none": {"n": 90}, "nan": {"n": 90, "f1": math.NaN()}},
	}
	order := func(metric string) (out []string) {
		for _, r := range metrics.Rows(nested, metric, 30) {
			out = append(out, fmt.Sprintf("%s=%s %d %v", r.Key, r.Value, r.N, r.TooFew))
		}
		return out
	}
	assert.Equal(t, []string{"a=bad 30 false", "b=bad 50 false", "b=good 40 false", "a=tiny 3 true", "a=nan 90 false", "a=none 90 false"}, order("f1"))
	assert.Equal(t, []string{"b=bad 50 false", "a=bad 30 false", "b=good 40 false", "a=nan 90 false", "a=none 90 false", "a=tiny 3 true"}, order("eval_loss"))
	assert.Equal(t, map[string]float64{"f1": 0.1, "eval_loss": 2}, metrics.Rows(nested, "f1", 0)[1].Metrics)
	assert.Empty(t, metrics.Rows(nil, "f1", 30))
}

func TestHardSFT(t *testing.T) {
	preds := []runs.Prediction{
		{Index: 0, F1: ptr(0.5)},
		{Index: 1, Prediction: "a", Reference: "b", Loss: ptr(1.0)}, // f1 0 from the texts
		{Index: 2, F1: ptr(0.0), Loss: ptr(2.0), ID: "row_2", Input: "in", Tags: map[string]string{"k": "v"}, InputHash: "sha256:x", Prediction: "p", Reference: "r"},
		{Index: 4, F1: ptr(0.0), Loss: ptr(1.0)},
		{Index: 3, F1: ptr(0.0), Loss: ptr(1.0)},
		{Index: 5, F1: ptr(0.0), Loss: ptr(math.NaN())},
	}
	hard := metrics.Hard("sft", preds, 5)
	var order []int
	for i, h := range hard {
		assert.Equal(t, i+1, h.Rank)
		assert.Equal(t, "f1", h.PrimaryMetricName)
		order = append(order, *h.Index)
	}
	assert.Equal(t, []int{2, 1, 3, 4, 5}, order)
	assert.Equal(t, runs.HardExample{Rank: 1, PrimaryMetric: 0, PrimaryMetricName: "f1", Prediction: "p", Reference: "r", Input: "in",
		Tags: map[string]string{"k": "v"}, InputHash: "sha256:x", Index: ptr(2), ID: "row_2", Loss: ptr(2.0)}, hard[0])
}

func TestHardClassification(t *testing.T) {
	preds := []runs.Prediction{
		{Index: 0, Prediction: "a", Reference: "a", Confidence: ptr(0.9)},
		{Index: 1, Prediction: "a", Reference: "b", Confidence: ptr(0.2)},
		{Index: 2, Prediction: "a", Reference: "a", PredictedConfidence: ptr(0.6)},
		{Index: 3, Prediction: "a", Reference: "b", PredictedConfidence: ptr(0.6)},
		{Index: 4, Prediction: "a", Reference: "a", Confidence: ptr(math.NaN())}, // right, as far as is known
		{Index: 5, Prediction: "a", Reference: "a", Confidence: ptr(1.0)},
	}
	var got []string
	for _, h := range metrics.Hard("classification", preds, 10) {
		got = append(got, fmt.Sprintf("%d %s %v", *h.Index, h.PrimaryMetricName, h.PrimaryMetric))
	}
	assert.Equal(t, []string{"3 correct 0", "1 confidence 0.2", "2 confidence 0.6", "0 confidence 0.9"}, got)
}

func TestHardOfNothing(t *testing.T) {
	assert.Empty(t, metrics.Hard("sft", nil, 10))
	assert.Empty(t, metrics.Hard("sft", make([]runs.Prediction, 3), 0))
	assert.Empty(t, metrics.Hard("sft", make([]runs.Prediction, 3), -1))
}

func TestHardEqualsAFullSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		preds := anyPredictions(t)
		for i := range preds {
			preds[i].Index = i
		}
		n := rapid.IntRange(1, 45).Draw(t, "n")
		f1 := func(p runs.Prediction) float64 {
			if isScore(p.F1) {
				return *p.F1
			}
			return metrics.TokenF1(p.Prediction, p.Reference)
		}
		loss := func(p runs.Prediction) float64 {
			if isFinite(p.Loss) {
				return *p.Loss
			}
			return math.Inf(-1)
		}
		sorted := slices.DeleteFunc(slices.Clone(preds), func(p runs.Prediction) bool { return f1(p) >= 1 && metrics.Right("sft", &p) })
		sort.SliceStable(sorted, func(i, j int) bool {
			a, b := sorted[i], sorted[j]
			return f1(a) < f1(b) || f1(a) == f1(b) && loss(a) > loss(b)
		})
		hard := metrics.Hard("sft", preds, n)
		require.Len(t, hard, min(n, len(sorted)))
		for i, h := range hard {
			require.Equal(t, sorted[i].Index, *h.Index)
			require.Equal(t, f1(sorted[i]), h.PrimaryMetric)
		}
	})
}

// manyPredictions has four tag keys with 5 to 1000 values.
func manyPredictions(n int, scored bool) []runs.Prediction {
	values := make([]string, 1000)
	for i := range values {
		values[i] = fmt.Sprintf("value %d", i)
	}
	preds := make([]runs.Prediction, n)
	for i := range preds {
		p := &preds[i]
		p.Index, p.Prediction, p.Reference = i, values[i%7], values[i%5]
		p.Loss, p.LossTokens = ptr(float64(i%13)), 1+i%9
		if scored {
			p.F1, p.ExactMatch = ptr(float64(i%11)/10), ptr(float64(i%2))
			p.Confidence = ptr(float64(i%17) / 16)
		}
		p.Tags = map[string]string{"a": values[i%5], "b": values[i%10], "c": values[i%100], "d": values[i%1000]}
	}
	return preds
}

func BenchmarkMetrics(b *testing.B) {
	const rows = 100_000
	for _, c := range []struct {
		name, task string
		scored     bool
	}{{"sft", "sft", true}, {"sft from texts", "sft", false}, {"classification", "classification", true}} {
		preds := manyPredictions(rows, c.scored)
		names := metrics.Defaults(c.task)
		b.Run(c.name+"/compute", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := metrics.Compute(c.task, names, preds, metrics.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
		b.Run(c.name+"/slices", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := metrics.Slices(c.task, names, preds, []string{"a", "b", "c", "d"}, metrics.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
		b.Run(c.name+"/hard", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				metrics.Hard(c.task, preds, 50)
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
