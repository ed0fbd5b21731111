package metrics_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

func ptr[T any](v T) *T { return &v }

func compute(t *testing.T, task string, names []string, preds []runs.Prediction, opt metrics.Options) metrics.Result {
	t.Helper()
	r, err := metrics.Compute(task, names, preds, opt)
	require.NoError(t, err)
	return r
}

func TestNamesAndDefaults(t *testing.T) {
	assert.Equal(t, []string{"eval_loss", "perplexity", "f1", "exact_match"}, metrics.Defaults("sft"))
	assert.Equal(t, []string{"accuracy", "macro_f1", "confusion_matrix"}, metrics.Defaults("classification"))
	assert.Equal(t, []string{"eval_loss", "perplexity", "exact_match", "f1", "rouge1", "rougeL", "format_compliance", "gold_set_accuracy", "wer"}, metrics.Names("sft"))
	assert.Equal(t, []string{"accuracy", "macro_f1", "weighted_f1", "precision_per_class", "recall_per_class", "confusion_matrix"}, metrics.Names("classification"))
	assert.Nil(t, metrics.Names("regression"))
	metrics.Names("sft")[0] = "changed"
	assert.Equal(t, "eval_loss", metrics.Names("sft")[0])
}

func TestComputeSFT(t *testing.T) {
	format, err := metrics.NewFormat([]metrics.FormatRule{{Name: "short", MaxTokens: 2}}, countWords)
	require.NoError(t, err)
	preds := []runs.Prediction{
		{Prediction: "a b", Reference: "a b", Loss: ptr(1.0), LossTokens: 3, F1: ptr(0.9)}, // the field wins
		{Prediction: "a c x", Reference: "b a c", Loss: ptr(2.0), LossTokens: 1},
	}
	r := compute(t, "sft", metrics.Names("sft"), preds, metrics.Options{
		Format: format,
		Gold:   []runs.Prediction{{Prediction: "x", Reference: "X"}, {Prediction: "x", Reference: "y"}, {ExactMatch: ptr(1.0)}, {ExactMatch: ptr(0.0)}},
	})
	assert.Equal(t, 2, r.N)
	want := map[string]float64{
		"eval_loss": 1.25, "perplexity": math.Exp(1.25), "exact_match": 0.5, "f1": (0.9 + 2.0/3) / 2,
		"rouge1": (1 + 2.0/3) / 2, "rougeL": (1 + 2.0/3) / 2, "format_compliance": 0.5, "gold_set_accuracy": 0.5, "wer": 2.0 / 5,
	}
	require.Len(t, r.Overall, len(want))
	for name, v := range want {
		assert.InDelta(t, v, r.Overall[name], 1e-12, name)
	}
	assert.Empty(t, r.Missing)
	assert.Nil(t, r.Confusion)
}

func TestLossIsAPlainMeanWhenTokensAreUnknown(t *testing.T) {
	preds := []runs.Prediction{{Loss: ptr(1.0), LossTokens: 30}, {Loss: ptr(2.0)}, {Loss: ptr(6.0), LossTokens: 1}}
	assert.Equal(t, 3.0, compute(t, "sft", []string{"eval_loss"}, preds, metrics.Options{}).Overall["eval_loss"])
}

func TestNumbersThatAreNotFiniteAreLeftOutAndCounted(t *testing.T) {
	preds := []runs.Prediction{
		{Prediction: "a", Reference: "a", Loss: ptr(math.NaN()), F1: ptr(math.NaN()), ExactMatch: ptr(math.Inf(1))},
		{Prediction: "a", Reference: "b", Loss: ptr(math.Inf(1))},
		{Prediction: "a", Reference: "b", Loss: ptr(0.5), LossTokens: 2},
		{Prediction: "a", Reference: "b"},
	}
	r := compute(t, "sft", metrics.Defaults("sft"), preds, metrics.Options{})
	assert.Equal(t, map[string]float64{"eval_loss": 0.5, "perplexity": math.Exp(0.5), "f1": 0.25, "exact_match": 0.25}, r.Overall)
	assert.Equal(t, map[string]int{"eval_loss": 3, "perplexity": 3}, r.Missing)
}

// What a file says in place of a score does not make a model better than it is.
func TestScoresThatAreNoneAreTakenFromTheTexts(t *testing.T) {
	preds := []runs.Prediction{{Prediction: "a", Reference: "a", F1: ptr(50.0), ExactMatch: ptr(-1.0)},
		{Prediction: "a", Reference: "b", F1: ptr(1e308), ExactMatch: ptr(7.0)}}
	r := compute(t, "sft", []string{"f1", "exact_match"}, preds, metrics.Options{})
	assert.Equal(t, map[string]float64{"f1": 0.5, "exact_match": 0.5}, r.Overall)
}

func TestMetricsWithoutAValueAreLeftOut(t *testing.T) {
	for name, preds := range map[string][]runs.Prediction{
		"no predictions":      nil,
		"no losses":           {{}, {}},
		"all losses infinite": {{Loss: ptr(math.Inf(1))}},
	} {
		r := compute(t, "sft", []string{"eval_loss", "perplexity"}, preds, metrics.Options{})
		assert.Empty(t, r.Overall, name)
	}
	r := compute(t, "sft", []string{"eval_loss", "perplexity"}, []runs.Prediction{{Loss: ptr(1e4)}}, metrics.Options{})
	assert.Equal(t, map[string]float64{"eval_loss": 1e4}, r.Overall, "e to the power of 10000 is no number")

	r = compute(t, "classification", metrics.Names("classification"), nil, metrics.Options{})
	assert.Empty(t, r.Overall)
	assert.Equal(t, &runs.ConfusionMatrix{Labels: []string{}, Matrix: [][]int{}}, r.Confusion)
}

func TestComputeClassification(t *testing.T) {
	var preds []runs.Prediction
	for _, pair := range []string{"a a", "a a", "a b", "b b", "c b", "c d"} { // true, predicted
		actual, predicted, _ := strings.Cut(pair, " ")
		preds = append(preds, runs.Prediction{Reference: actual, Prediction: predicted})
	}
	r := compute(t, "classification", metrics.Names("classification"), preds, metrics.Options{})
	// a: P 1, R 2/3, f1 0.8. b: P 1/3, R 1, f1 0.5. c and d: 0.
	assert.InDelta(t, 0.5, r.Overall["accuracy"], 1e-15)
	assert.InDelta(t, (0.8+0.5)/4, r.Overall["macro_f1"], 1e-15)
	assert.InDelta(t, (3*0.8+0.5)/6, r.Overall["weighted_f1"], 1e-15)
	assert.Len(t, r.Overall, 3)
	assert.Equal(t, map[string]map[string]float64{
		"precision_per_class": {"a": 1, "b": 1.0 / 3, "c": 0, "d": 0},
		"recall_per_class":    {"a": 2.0 / 3, "b": 1, "c": 0, "d": 0},
	}, r.PerClass)
	assert.Equal(t, &runs.ConfusionMatrix{
		Labels: []string{"a", "b", "c", "d"},
		Matrix: [][]int{{2, 1, 0, 0}, {0, 1, 0, 0}, {0, 1, 0, 1}, {0, 0, 0, 0}},
	}, r.Confusion)
}

func TestConfusionMatrixHasALimit(t *testing.T) {
	preds := make([]runs.Prediction, metrics.MaxConfusionLabels+1)
	for i := range preds {
		preds[i].Reference = fmt.Sprint(i)
		preds[i].Prediction = preds[i].Reference
	}
	names := []string{"confusion_matrix", "accuracy"}
	r := compute(t, "classification", names, preds, metrics.Options{})
	assert.Nil(t, r.Confusion)
	assert.Equal(t, 1.0, r.Overall["accuracy"])
	assert.Len(t, compute(t, "classification", names, preds[1:], metrics.Options{}).Confusion.Labels, metrics.MaxConfusionLabels)
}

func TestWhatCannotBeComputedIsAnError(t *testing.T) {
	for want, c := range map[string]struct{ task, name string }{
		`unknown task "regression"`:               {"regression", "f1"},
		`the task sft has no metric "accuracy"`:   {"sft", "accuracy"},
		`classification has no metric "f1"`:       {"classification", "f1"},
		"format_compliance needs rules":           {"sft", "format_compliance"},
		"gold_set_accuracy needs a gold set":      {"sft", "gold_set_accuracy"},
		`the task sft has no metric "\x1b[31mf1"`: {"sft", "\x1b[31mf1"},
	} {
		_, err := metrics.Compute(c.task, []string{c.name}, nil, metrics.Options{})
		var configErr *fault.ConfigError
		require.ErrorAs(t, err, &configErr)
		require.ErrorContains(t, err, want)
		assert.NotEmpty(t, configErr.Hint)
	}
	slow, err := metrics.NewFormat([]metrics.FormatRule{{Name: "slow", Pattern: `^(a+)+$`}}, nil)
	require.NoError(t, err)
	preds := []runs.Prediction{{Prediction: strings.Repeat("a", 60) + "!"}}
	var evalErr *fault.EvalError
	_, err = metrics.Compute("sft", []string{"format_compliance"}, preds, metrics.Options{Format: slow})
	require.ErrorAs(t, err, &evalErr)
}

// anyPredictions draws predictions with few labels and tags, so that groups
// have several members, and with fields missing or broken here and there.
func anyPredictions(t *rapid.T) []runs.Prediction {
	number := rapid.Custom(func(t *rapid.T) *float64 {
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return ptr(math.NaN())
		case 2:
			return ptr(math.Inf(1))
		}
		return ptr(float64(rapid.IntRange(0, 20).Draw(t, "number")) / 4)
	})
	label := rapid.SampledFrom([]string{"a", "b", "c", "A b"})
	tag := rapid.SampledFrom([]string{"x", "y", "*", `\`, runs.Untagged, ""})
	known := rapid.Bool().Draw(t, "tokens known")
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) runs.Prediction {
		p := runs.Prediction{
			Index:      rapid.IntRange(0, 5).Draw(t, "index"),
			Prediction: label.Draw(t, "prediction"), Reference: label.Draw(t, "reference"),
			Loss: number.Draw(t, "loss"), F1: number.Draw(t, "f1"), ExactMatch: number.Draw(t, "exact_match"),
			Confidence: number.Draw(t, "confidence"), PredictedConfidence: number.Draw(t, "predicted_confidence"),
			Tags: rapid.MapOfN(rapid.SampledFrom([]string{"p", "q"}), tag, 0, 2).Draw(t, "tags"),
		}
		if known {
			p.LossTokens = rapid.IntRange(1, 5).Draw(t, "tokens")
		}
		return p
	}), 0, 40).Draw(t, "predictions")
}

func isFinite(f *float64) bool { return f != nil && !math.IsNaN(*f) && !math.IsInf(*f, 0) }

func isScore(f *float64) bool { return f != nil && *f >= 0 && *f <= 1 }

func TestComputeMatchesDefinitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		preds := anyPredictions(t)
		r, err := metrics.Compute("sft", metrics.Defaults("sft"), preds, metrics.Options{})
		require.NoError(t, err)
		var lossSum, lossWeight, f1Sum, exactSum float64
		for _, p := range preds {
			if isFinite(p.Loss) {
				w := float64(max(1, p.LossTokens))
				lossSum += *p.Loss * w
				lossWeight += w
			}
			f1, exact := metrics.TokenF1(p.Prediction, p.Reference), metrics.ExactMatch(p.Prediction, p.Reference)
			if isScore(p.F1) {
				f1 = *p.F1
			}
			if isScore(p.ExactMatch) {
				exact = *p.ExactMatch
			}
			f1Sum += f1
			exactSum += exact
		}
		want := map[string]float64{}
		if n := float64(len(preds)); n > 0 {
			want["f1"], want["exact_match"] = f1Sum/n, exactSum/n
		}
		if lossWeight > 0 {
			want["eval_loss"] = lossSum / lossWeight
			want["perplexity"] = math.Exp(want["eval_loss"])
		}
		require.Len(t, r.Overall, len(want))
		for name, v := range want {
			require.InDelta(t, v, r.Overall[name], 1e-9, name)
		}
	})
}

func TestClassificationMatchesDefinitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		preds := anyPredictions(t)
		r, err := metrics.Compute("classification", metrics.Names("classification"), preds, metrics.Options{})
		require.NoError(t, err)
		labels := map[string]bool{}
		for _, p := range preds {
			labels[p.Prediction], labels[p.Reference] = true, true
		}
		count := func(is func(runs.Prediction) bool) (n float64) {
			for _, p := range preds {
				if is(p) {
					n++
				}
			}
			return n
		}
		share := func(a, b float64) float64 {
			if b == 0 {
				return 0
			}
			return a / b
		}
		var macro, weighted float64
		for l := range labels {
			both := count(func(p runs.Prediction) bool { return p.Prediction == l && p.Reference == l })
			guessed := count(func(p runs.Prediction) bool { return p.Prediction == l })
			actual := count(func(p runs.Prediction) bool { return p.Reference == l })
			precision, recall := share(both, guessed), share(both, actual)
			require.InDelta(t, precision, r.PerClass["precision_per_class"][l], 1e-12)
			require.InDelta(t, recall, r.PerClass["recall_per_class"][l], 1e-12)
			f1 := share(2*precision*recall, precision+recall)
			macro += f1
			weighted += f1 * actual
		}
		require.Len(t, r.PerClass["recall_per_class"], len(labels))
		require.True(t, slices.IsSorted(r.Confusion.Labels))
		for i, actual := range r.Confusion.Labels {
			for j, predicted := range r.Confusion.Labels {
				require.Equal(t, count(func(p runs.Prediction) bool {
					return p.Reference == actual && p.Prediction == predicted
				}), float64(r.Confusion.Matrix[i][j]))
			}
		}
		if len(preds) == 0 {
			require.Empty(t, r.Overall)
			return
		}
		n := float64(len(preds))
		require.InDelta(t, count(func(p runs.Prediction) bool { return p.Prediction == p.Reference })/n, r.Overall["accuracy"], 1e-12)
		require.InDelta(t, macro/float64(len(labels)), r.Overall["macro_f1"], 1e-12)
		require.InDelta(t, weighted/n, r.Overall["weighted_f1"], 1e-12)
	})
}
