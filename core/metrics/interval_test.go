package metrics_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

func TestEveryMeanHasAnInterval(t *testing.T) {
	preds := manyPredictions(3000, true)
	format, err := metrics.NewFormat([]metrics.FormatRule{{Name: "even", Pattern: "[02468]$"}}, nil)
	require.NoError(t, err)
	r := compute(t, "sft", metrics.Names("sft"), preds, metrics.Options{Format: format, Gold: preds[:40]})
	require.Len(t, r.Intervals, len(r.Overall))
	for name, v := range r.Overall {
		i := r.Intervals[name]
		assert.True(t, i.Low < v && v < i.High, "%s: %v in %v", name, v, i)
		method, n := stats.MethodAnalytic, 3000
		switch name {
		case "exact_match", "format_compliance":
			method = stats.MethodWilson
		case "gold_set_accuracy":
			method, n = stats.MethodWilson, 40
		}
		assert.Equal(t, method, i.Method, name)
		assert.Equal(t, n, i.N, name)
	}
	assert.Equal(t, stats.Wilson(1500, 3000, 0.95), r.Intervals["exact_match"])
	assert.Equal(t, r.Intervals["eval_loss"].Of(math.Exp), r.Intervals["perplexity"])

	r = compute(t, "classification", metrics.Names("classification"), preds, metrics.Options{})
	require.Len(t, r.Intervals, 3)
	for name, v := range r.Overall {
		i := r.Intervals[name]
		assert.True(t, i.Low < v && v < i.High, "%s: %v in %v", name, v, i)
		assert.Equal(t, 3000, i.N)
	}
	assert.Equal(t, stats.MethodWilson, r.Intervals["accuracy"].Method)
	for name, values := range r.PerClass {
		for label, v := range values {
			i, told := r.PerClassIntervals[name][label]
			assert.Equal(t, told, label < "value 5" || name == "precision_per_class", "%s %s", name, label)
			if told {
				assert.True(t, i.Contains(v))
			}
		}
	}
}

func TestMissingNumbersDoNotCountForIntervals(t *testing.T) {
	preds := []runs.Prediction{{Loss: ptr(1.0)}, {Loss: ptr(2.0)}, {Loss: ptr(math.NaN())}, {}}
	r := compute(t, "sft", []string{"eval_loss"}, preds, metrics.Options{})
	assert.Equal(t, 2, r.Intervals["eval_loss"].N)
}

func TestWithoutVariation(t *testing.T) {
	preds := make([]runs.Prediction, 50)
	for i := range preds {
		preds[i] = runs.Prediction{Prediction: "a", Reference: "a", Loss: ptr(1.0)}
	}
	r := compute(t, "sft", metrics.Defaults("sft"), preds, metrics.Options{})
	assert.Equal(t, stats.Wilson(50, 50, 0.95), r.Intervals["f1"], "50 right answers do not make certain")
	assert.NotContains(t, r.Intervals, "eval_loss")
	assert.NotContains(t, r.Intervals, "perplexity")
	one := compute(t, "sft", []string{"f1"}, []runs.Prediction{{F1: ptr(0.5)}}, metrics.Options{})
	assert.Equal(t, stats.Wilson(0.5, 1, 0.95), one.Intervals["f1"])
	classes := compute(t, "classification", []string{"accuracy", "macro_f1"}, preds, metrics.Options{})
	assert.Contains(t, classes.Intervals, "accuracy")
	assert.NotContains(t, classes.Intervals, "macro_f1")
}

// TestMacroF1IntervalMeetsThePlainBootstrap draws predictions themselves.
func TestMacroF1IntervalMeetsThePlainBootstrap(t *testing.T) {
	for _, n := range []int{45, 900} {
		preds := manyPredictions(n, true)
		names := []string{"macro_f1", "weighted_f1"}
		r := compute(t, "classification", names, preds, metrics.Options{})
		values := map[string][]float64{}
		random := rand.New(rand.NewPCG(1, 2))
		drawn := make([]runs.Prediction, n)
		for range 1000 {
			for i := range drawn {
				drawn[i] = preds[random.IntN(n)]
			}
			nested, err := metrics.Slices("classification", names, drawn, []string{"none"}, metrics.Options{})
			require.NoError(t, err)
			for _, name := range names {
				values[name] = append(values[name], nested["none"][runs.Untagged][name])
			}
		}
		for _, name := range names {
			slices.Sort(values[name])
			low, high := values[name][24], values[name][974]
			assert.InDelta(t, high-low, r.Intervals[name].High-r.Intervals[name].Low, 0.15*(high-low), "%s of %d", name, n)
			assert.InDelta(t, low, r.Intervals[name].Low, 0.15*(high-low), "%s of %d", name, n)
		}
	}
}

func TestSliceIntervalsAreThoseOfTheirRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		preds := anyPredictions(t)
		for task, names := range map[string][]string{
			"sft": {"eval_loss", "perplexity", "f1", "exact_match", "wer"}, "classification": {"accuracy", "macro_f1", "weighted_f1"},
		} {
			s, err := metrics.Score(task, names, preds, metrics.Options{})
			require.NoError(t, err)
			sliced := s.Slice([]string{"p"})
			plain, err := metrics.Slices(task, names, preds, []string{"p"}, metrics.Options{})
			require.NoError(t, err)
			require.Equal(t, plain, sliced.Metrics)
			byValue := map[string][]runs.Prediction{}
			for _, p := range preds {
				byValue[metrics.SliceOf(p.Tags, "p")] = append(byValue[metrics.SliceOf(p.Tags, "p")], p)
			}
			for value, rows := range byValue {
				want, err := metrics.Compute(task, names, rows, metrics.Options{})
				require.NoError(t, err)
				got := sliced.Intervals["p"][value]
				for name, w := range want.Intervals {
					require.Contains(t, got, name)
					require.Equal(t, w.N, got[name].N)
					if w.Method == stats.MethodWilson {
						require.Equal(t, w, got[name])
					}
				}
			}
			for _, row := range sliced.Rows("f1", 0) {
				require.Equal(t, sliced.Intervals[row.Key][row.Value], row.Intervals)
			}
		}
	})
}

func TestNumbersDoNotDependOnProcessors(t *testing.T) {
	preds := manyPredictions(2000, false)
	all := func() (out []any) {
		for task, names := range map[string][]string{"sft": {"eval_loss", "f1", "rougeL", "wer"}, "classification": {"accuracy", "macro_f1"}} {
			s, err := metrics.Score(task, names, preds, metrics.Options{})
			require.NoError(t, err)
			r, err := s.Result()
			require.NoError(t, err)
			out = append(out, task, r.Overall, r.Intervals, s.Slice([]string{"c", "a*b"}))
		}
		if out[0] != "sft" {
			out = append(out[4:], out[:4]...)
		}
		return out
	}
	want := all()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	assert.Equal(t, want, all())
}

func TestSamples(t *testing.T) {
	preds := []runs.Prediction{
		{Prediction: "a b", Reference: "a c", Loss: ptr(2.0), LossTokens: 3, F1: ptr(0.25)},
		{Prediction: "a", Reference: "a"},
	}
	s, err := metrics.Score("sft", []string{"perplexity", "wer", "f1"}, preds, metrics.Options{})
	require.NoError(t, err)
	loss, err := s.Sample("perplexity")
	require.NoError(t, err)
	assert.Equal(t, 6.0, loss.Num[0])
	assert.True(t, math.IsNaN(loss.Num[1]))
	assert.Equal(t, []float64{3, 0}, loss.Den)
	assert.InDelta(t, math.E, loss.Of(1), 1e-12)
	wer, err := s.Sample("wer")
	require.NoError(t, err)
	assert.Equal(t, stats.Sample{Num: []float64{1, 0}, Den: []float64{2, 1}}, wer)
	f1, err := s.Sample("f1")
	require.NoError(t, err)
	assert.Equal(t, stats.Sample{Num: []float64{0.25, 1}}, f1)
	_, err = s.Sample("exact_match")
	require.ErrorIs(t, err, metrics.ErrNotASum)

	s, err = metrics.Score("classification", []string{"accuracy", "macro_f1"}, preds, metrics.Options{})
	require.NoError(t, err)
	right, err := s.Sample("accuracy")
	require.NoError(t, err)
	assert.Equal(t, stats.Sample{Num: []float64{0, 1}}, right)
	_, err = s.Sample("macro_f1")
	require.ErrorIs(t, err, metrics.ErrNotASum)
}

func TestTallyOfTwoSides(t *testing.T) {
	tally := metrics.NewTally(2)
	for _, row := range []string{"a a b", "a a a", "b b b", "b a b", "a a a"} { // true, first, second
		w := strings.Fields(row)
		tally.Add(w[0], w[1], w[2])
	}
	assert.Equal(t, []int{1, 2, 1, 1}, tally.Counts())
	assert.InDelta(t, 0.8, tally.Score("accuracy", 0, tally.Counts()), 1e-12)
	assert.InDelta(t, (6.0/7+2.0/3)/2, tally.Score("macro_f1", 0, tally.Counts()), 1e-12)
	assert.InDelta(t, (4.0/5+4.0/5)/2, tally.Score("macro_f1", 1, tally.Counts()), 1e-12)
	assert.InDelta(t, 1, tally.Score("macro_f1", 1, []int{0, 3, 0, 0}), 1e-12, "a label that no row has or gets does not count")
	assert.Equal(t, 0.0, tally.Score("macro_f1", 0, []int{0, 0, 0, 0}))
}

func TestWordErrors(t *testing.T) {
	for _, c := range []struct {
		prediction, reference string
		edits, words          int
	}{
		{"", "", 0, 0},
		{"a b", "", 2, 0},
		{"", "a b c", 3, 3},
		{"The  CAT sat", "the cat sat", 0, 3},
		{"K AE T", "K AE T S", 1, 4},
		{"x K AE T", "K AE T", 1, 3},
		{"b c d", "a b c", 2, 3},
		{"a x c", "a b c", 1, 3},
	} {
		edits, words := metrics.WordErrors(c.prediction, c.reference)
		assert.Equal(t, []int{c.edits, c.words}, []int{edits, words}, "%q, %q", c.prediction, c.reference)
	}
}

func TestWordErrorsMatchTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.SampledFrom([]int{8, 70, 200}).Draw(t, "length")
		text := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, length)
		p, r := text.Draw(t, "prediction"), text.Draw(t, "reference")
		row := make([]int, len(r)+1)
		for j := range row {
			row[j] = j
		}
		for i := range p {
			diagonal := row[0]
			row[0] = i + 1
			for j := range r {
				change := diagonal
				if p[i] != r[j] {
					change++
				}
				diagonal = row[j+1]
				row[j+1] = min(change, row[j+1]+1, row[j]+1)
			}
		}
		edits, words := metrics.WordErrors(strings.Join(p, " "), strings.Join(r, " "))
		require.Equal(t, row[len(r)], edits)
		require.Equal(t, len(r), words)
	})
}

func TestWERIsOverAllWords(t *testing.T) {
	preds := []runs.Prediction{{Prediction: "a", Reference: "a b c d"}, {Prediction: "x", Reference: "y", Tags: map[string]string{"k": "v"}}}
	s, err := metrics.Score("sft", []string{"wer"}, preds, metrics.Options{})
	require.NoError(t, err)
	r, err := s.Result()
	require.NoError(t, err)
	assert.InDelta(t, 4.0/5, r.Overall["wer"], 1e-12)
	assert.Equal(t, 1.0, s.Slice([]string{"k"}).Metrics["k"]["v"]["wer"])
	assert.True(t, metrics.LowerIsBetter("wer"))
	assert.NotContains(t, metrics.Defaults("sft"), "wer")
}

func TestHardSummary(t *testing.T) {
	var preds []runs.Prediction
	for i := range 400 {
		p := runs.Prediction{Index: i, F1: ptr(1.0), Tags: map[string]string{"source": "human", "length": "short"}}
		if i%4 == 0 {
			p.Tags = map[string]string{"source": "model", "length": "short"}
			if i%8 == 0 {
				p.F1 = ptr(0.0)
			}
		}
		if i == 1 {
			p.F1, p.Tags = ptr(0.0), map[string]string{"source": "rare"}
		}
		preds = append(preds, p)
	}
	hard := metrics.Hard("sft", preds, 51)
	got := metrics.HardSummary(hard, preds, []string{"source", "length", "source*length"})
	var order []string
	for _, l := range got {
		order = append(order, fmt.Sprintf("%s=%s %d/%d %.2f", l.Key, l.Value, l.Hard, l.N, l.Lift))
		assert.Equal(t, 400, l.Interval.N)
		assert.True(t, l.Interval.Contains(l.Lift) || l.Hard == 0)
	}
	assert.Equal(t, []string{
		"source=model 50/100 3.92", "source*length=model*short 50/100 3.92", "length=_untagged 1/1 7.84", "source=rare 1/1 7.84",
		"source*length=_untagged 1/1 7.84", "length=short 50/399 0.98", "source=human 0/299 0.00", "source*length=human*short 0/299 0.00",
	}[0:2], order[0:2])
	assert.ElementsMatch(t, []string{
		"source=model 50/100 3.92", "source*length=model*short 50/100 3.92", "length=_untagged 1/1 7.84", "source=rare 1/1 7.84",
		"source*length=_untagged 1/1 7.84", "length=short 50/399 0.98", "source=human 0/299 0.00", "source*length=human*short 0/299 0.00",
	}, order)
	assert.Greater(t, got[0].Interval.Low, 2.0)
	assert.Nil(t, metrics.HardSummary(nil, preds, []string{"source"}))
	s, err := metrics.Score("sft", []string{"f1"}, preds, metrics.Options{})
	require.NoError(t, err)
	assert.Equal(t, got, s.Slice([]string{"source", "length", "source*length"}).HardSummary(hard, len(preds)))
}

func TestSliceOf(t *testing.T) {
	tags := map[string]string{"a": "x", "b": "y*z"}
	assert.Equal(t, "x", metrics.SliceOf(tags, "a"))
	assert.Equal(t, `x*y\*z`, metrics.SliceOf(tags, "a*b"))
	assert.Equal(t, runs.Untagged, metrics.SliceOf(tags, "c"))
}

func TestPrimaryAndRight(t *testing.T) {
	assert.Equal(t, []string{"f1", "accuracy", ""}, []string{metrics.Primary("sft"), metrics.Primary("classification"), metrics.Primary("x")})
	assert.True(t, metrics.Right("sft", &runs.Prediction{Prediction: "A", Reference: "a"}))
	assert.False(t, metrics.Right("sft", &runs.Prediction{Prediction: "A", Reference: "a", ExactMatch: ptr(0.0)}))
	assert.False(t, metrics.Right("classification", &runs.Prediction{Prediction: "A", Reference: "a"}))
}

// BenchmarkMillion is the figure that the package is held to: predictions with
// four tag keys, everything that an evaluation computes from them.
func BenchmarkMillion(b *testing.B) {
	for _, task := range []string{"sft", "classification"} {
		b.Run(task, func(b *testing.B) {
			preds := manyPredictions(1_000_000, true)
			debug.FreeOSMemory() // what made them does not count
			b.ReportAllocs()
			for b.Loop() {
				s, err := metrics.Score(task, metrics.Defaults(task), preds, metrics.Options{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Result(); err != nil {
					b.Fatal(err)
				}
				s.Slice([]string{"a", "b", "c", "d"}).HardSummary(metrics.Hard(task, preds, 50), len(preds))
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.Sys-m.HeapReleased)/(1<<20), "MiB")
		})
	}
}
