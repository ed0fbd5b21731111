package compare

import (
	"context"
	"math"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/stats"
)

// test compares two runs by a metric that both have from predictions.
type test struct {
	ctx         context.Context
	opt         stats.Options
	metric      string
	base, other *side
	// kept has the differences of the losses over all examples that were worked
	// out already; nil for a slice.
	kept map[string]stats.Difference
}

// rightOrWrong says whether the metric is a mean of right and wrong answers.
func (t *test) rightOrWrong() bool {
	return t.metric == metrics.NameExactMatch || t.metric == metrics.NameAccuracy
}

// paired compares pairs of examples, given by their places; nil without any.
func (t *test) paired(base, other []int32) (*Delta, error) {
	a, errA := t.base.scores.Sample(t.metric)
	b, errB := t.other.scores.Sample(t.metric)
	if errA != nil || errB != nil {
		return t.pairedLabels(base, other)
	}
	var one, two gatherer
	broken, fixed, whole, alike := 0, 0, true, true
	for k := range base {
		i, j := base[k], other[k]
		if math.IsNaN(a.Num[i]) || math.IsNaN(b.Num[j]) {
			continue
		}
		one.add(a, i)
		two.add(b, j)
		alike = alike && a.Num[i] == b.Num[j]
		switch [2]float64{a.Num[i], b.Num[j]} {
		case [2]float64{0, 1}:
			fixed++
		case [2]float64{1, 0}:
			broken++
		case [2]float64{0, 0}, [2]float64{1, 1}:
		default:
			whole = false
		}
	}
	first, second := one.sample(a), two.sample(b)
	if !finite(first.Value()) || !finite(second.Value()) {
		return nil, nil
	}
	d, err := t.difference(first, second)
	if err != nil {
		return nil, err
	}
	out := deltaOf(d, t.opt, true)
	if out != nil && alike && !metrics.LowerIsBetter(t.metric) {
		out.unvaried(len(first.Num), t.opt.Level)
	}
	if out != nil && t.rightOrWrong() && whole {
		p := stats.McNemar(broken, fixed)
		out.P, out.PMethod = &p, MethodMcNemar
	}
	return out, nil
}

// unvaried gives scores between 0 and 1, or made of labels, that are equal in
// every pair the interval that they allow: the bootstrap sees no variation, but an
// example that is not among them may differ. No more of these than Wilson's
// interval of none among n has do so, by 1 at most and in either direction.
func (d *Delta) unvaried(n int, level float64) {
	most := stats.Wilson(0, n, level).High
	d.Interval = &stats.Interval{Low: -most, High: most, N: n, Method: stats.MethodWilson}
	d.SE, d.Detectable = nil, nil
}

// difference is that of two samples. The loss and the perplexity of all examples
// come from the same resamples: whichever is asked for first keeps both.
func (t *test) difference(a, b stats.Sample) (stats.Difference, error) {
	if t.kept == nil || t.metric != metrics.NameEvalLoss && t.metric != metrics.NamePerplexity {
		return stats.PairedDifference(t.ctx, a, b, t.opt)
	}
	if d, known := t.kept[t.metric]; known {
		return d, nil
	}
	both, err := stats.PairedDifferences(t.ctx, a, b, []func(float64) float64{nil, metrics.Perplexity}, t.opt)
	if err != nil {
		return stats.Difference{}, err
	}
	t.kept[metrics.NameEvalLoss], t.kept[metrics.NamePerplexity] = both[0], both[1]
	return t.kept[t.metric], nil
}

// pairedLabels compares a metric over labels.
func (t *test) pairedLabels(base, other []int32) (*Delta, error) {
	if len(base) == 0 {
		return nil, nil
	}
	tally := metrics.NewTally(2)
	changed := 0
	for k := range base {
		a, b := &t.base.preds[base[k]], &t.other.preds[other[k]]
		tally.Add(a.Reference, a.Prediction, b.Prediction)
		if a.Prediction != b.Prediction {
			changed++
		}
	}
	d, err := stats.PairedCountsDifference(t.ctx, tally.Counts(), changed, func(counts []int) float64 {
		return tally.Score(t.metric, 1, counts) - tally.Score(t.metric, 0, counts)
	}, t.opt)
	if err != nil {
		return nil, err
	}
	out := deltaOf(d, t.opt, true)
	if out != nil && changed == 0 {
		out.unvaried(len(base), t.opt.Level)
	}
	return out, nil
}

// unpaired compares examples of one run with others of the other.
func (t *test) unpaired(base, other []int32) (*Delta, error) {
	if len(base) == 0 || len(other) == 0 {
		return nil, nil
	}
	a, errA := t.base.scores.Sample(t.metric)
	b, errB := t.other.scores.Sample(t.metric)
	if errA != nil || errB != nil {
		return t.unpairedLabels(base, other)
	}
	first, second := gather(a, base), gather(b, other)
	if !finite(first.Value()) || !finite(second.Value()) {
		return nil, nil
	}
	d, err := stats.UnpairedDifference(t.ctx, first, second, t.opt)
	if err != nil {
		return nil, err
	}
	return deltaOf(d, t.opt, false), nil
}

func (t *test) unpairedLabels(base, other []int32) (*Delta, error) {
	count := func(s *side, members []int32) (*metrics.Tally, func([]int) float64) {
		tally := metrics.NewTally(1)
		for _, i := range members {
			tally.Add(s.preds[i].Reference, s.preds[i].Prediction)
		}
		return tally, func(counts []int) float64 { return tally.Score(t.metric, 0, counts) }
	}
	a, first := count(t.base, base)
	b, second := count(t.other, other)
	d, err := stats.UnpairedCountsDifference(t.ctx, a.Counts(), b.Counts(), first, second, t.opt)
	if err != nil {
		return nil, err
	}
	return deltaOf(d, t.opt, false), nil
}

// gatherer collects the numbers of some examples.
type gatherer struct{ num, den []float64 }

func (g *gatherer) add(s stats.Sample, i int32) {
	g.num = append(g.num, s.Num[i])
	if s.Den != nil {
		g.den = append(g.den, s.Den[i])
	}
}

func (g *gatherer) sample(like stats.Sample) stats.Sample {
	return stats.Sample{Num: g.num, Den: g.den, Of: like.Of}
}

// gather collects the members that have a number.
func gather(s stats.Sample, members []int32) stats.Sample {
	var g gatherer
	for _, i := range members {
		if !math.IsNaN(s.Num[i]) {
			g.add(s, i)
		}
	}
	return g.sample(s)
}

// power is the customary chance to find a difference that is there.
const power = 0.8

// deltaOf is a difference as the result has it, nil when it is no number. What is
// out of the range of numbers is left out.
func deltaOf(d stats.Difference, opt stats.Options, paired bool) *Delta {
	if !finite(d.Delta) {
		return nil
	}
	out := &Delta{Delta: d.Delta, Paired: paired, N: d.Interval.N, P: &d.P, PMethod: MethodBootstrap}
	if finite(d.Interval.Low) && finite(d.Interval.High) {
		out.Interval = &d.Interval
	}
	if detectable := stats.Detectable(d.SE, 1-opt.Level, power); finite(detectable) {
		out.SE, out.Detectable = &d.SE, &detectable
	}
	half := (d.Interval.High - d.Interval.Low) / 2
	if d.Interval.Low > 0 || d.Interval.High < 0 {
		return out // it is clear of zero
	}
	if more, ok := stats.MoreExamples(d.Interval.N, half, math.Abs(d.Delta)); ok && more > 0 {
		out.MoreExamples = &more
	}
	return out
}
