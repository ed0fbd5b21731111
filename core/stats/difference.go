package stats

import (
	"context"
	"math"
	"slices"
)

// Difference is how far two numbers are apart, second less first.
type Difference struct {
	Delta    float64
	Interval Interval
	// P is the two-sided bootstrap probability of a difference as large if
	// there were none: twice the share of resamples on the other side of zero,
	// one added on both sides of the fraction line (Davison and Hinkley 1997,
	// 4.2.3; it inverts the percentile interval), corrected for few examples as
	// the interval is. It is at least 2/(resamples+1), and at least what
	// flipping signs or exchanging examples at random could show: LeastP.
	P  float64
	SE float64 // standard error
}

// PairedDifference compares two samples of the same examples, in the same
// order, by drawing examples with replacement and keeping both numbers of each:
// the percentile interval (Efron and Tibshirani 1993, chapter 13), which is as
// good as a corrected one for differences, since pairing makes them nearly
// symmetric, expanded so that it holds for few examples too (Hesterberg 2015,
// "What Teachers Should Know About the Bootstrap", 3.4.2). There must be at
// least one example; of one alone nothing is known, so its interval is its own
// difference and P is 1. The error is the context's.
func PairedDifference(ctx context.Context, a, b Sample, opt Options) (Difference, error) {
	return paired(ctx, a, b, opt)
}

// PairedDifferences is PairedDifference for several functions of the same
// ratios, such as a mean loss and its perplexity, at the price of one: each takes
// the place of Of in both samples, nil meaning the ratio itself.
func PairedDifferences(ctx context.Context, a, b Sample, of []func(float64) float64, opt Options) ([]Difference, error) {
	cols, ratios := ratioColumns(a, b)
	t := newTable(cols)
	n := len(a.Num)
	draws := make([][]float64, len(of)) // by function, the difference in each resample
	ratio := make([][2]float64, opt.resamples())
	_, err := distribution(ctx, opt, purposePaired, t.work(), func() func(int, *stream) float64 {
		sums := make([]float64, len(cols))
		return func(i int, s *stream) float64 {
			t.draw(s, sums)
			ratio[i] = ratios(sums)
			return 0
		}
	})
	if err != nil {
		return nil, err
	}
	out := make([]Difference, len(of))
	for k, f := range of {
		a.Of, b.Of = f, f
		draws[k] = make([]float64, len(ratio))
		for i, r := range ratio {
			draws[k][i] = b.turn(r[1]) - a.turn(r[0])
		}
		out[k] = differenceOf(draws[k], b.Value()-a.Value(), n, LeastP(changed(a, b)), opt)
	}
	return out, nil
}

func paired(ctx context.Context, a, b Sample, opt Options) (Difference, error) {
	cols, statistic := pairedColumns(a, b)
	t := newTable(cols)
	values, err := distribution(ctx, opt, purposePaired, t.work(), func() func(int, *stream) float64 {
		sums := make([]float64, len(cols))
		return func(_ int, s *stream) float64 {
			t.draw(s, sums)
			return statistic(sums)
		}
	})
	if err != nil {
		return Difference{}, err
	}
	return differenceOf(values, b.Value()-a.Value(), len(a.Num), LeastP(changed(a, b)), opt), nil
}

// changed counts the examples that are not the same in both samples.
func changed(a, b Sample) int {
	n := 0
	for i := range a.Num {
		if a.Num[i] != b.Num[i] || a.den(i) != b.den(i) {
			n++
		}
	}
	return n
}

// LeastP is the smallest two-sided probability that any test which flips the
// signs of paired differences at random can show, when so many pairs differ: that
// all of them happen to differ in the same direction.
func LeastP(changed int) float64 { return math.Min(1, math.Ldexp(1, 1-changed)) }

// leastUnpairedP is the same for exchanging examples between two samples: the
// most extreme way to part them and its mirror image.
func leastUnpairedP(n, m int) float64 {
	ways := 1.0
	for i := 1; i <= min(n, m) && ways < 1e9; i++ {
		ways *= float64(n+m-i+1) / float64(i)
	}
	return math.Min(1, 2/ways)
}

// pairedColumns returns as few columns as the difference can be computed from.
func pairedColumns(a, b Sample) ([][]float64, func([]float64) float64) {
	n := float64(len(a.Num))
	plain, same := a.Of == nil && b.Of == nil, a.sameDen(b)
	switch {
	case plain && same && a.Den == nil:
		return [][]float64{gains(a, b)}, func(s []float64) float64 { return s[0] / n }
	case plain && same:
		return [][]float64{gains(a, b), a.Den}, func(s []float64) float64 { return s[0] / s[1] }
	}
	cols, ratios := ratioColumns(a, b)
	return cols, func(s []float64) float64 {
		r := ratios(s)
		return b.turn(r[1]) - a.turn(r[0])
	}
}

// ratioColumns returns as few columns as both ratios can be computed from.
func ratioColumns(a, b Sample) ([][]float64, func([]float64) [2]float64) {
	n := float64(len(a.Num))
	switch {
	case a.Den == nil && b.Den == nil:
		return [][]float64{a.Num, b.Num}, func(s []float64) [2]float64 { return [2]float64{s[0] / n, s[1] / n} }
	case a.sameDen(b):
		return [][]float64{a.Num, b.Num, a.Den}, func(s []float64) [2]float64 { return [2]float64{s[0] / s[2], s[1] / s[2]} }
	}
	return [][]float64{a.Num, b.Num, a.denominators(), b.denominators()},
		func(s []float64) [2]float64 { return [2]float64{s[0] / s[2], s[1] / s[3]} }
}

func gains(a, b Sample) []float64 {
	d := make([]float64, len(a.Num))
	for i := range d {
		d[i] = b.Num[i] - a.Num[i]
	}
	return d
}

func (s Sample) sameDen(other Sample) bool {
	return s.Den == nil && other.Den == nil || s.Den != nil && other.Den != nil && slices.Equal(s.Den, other.Den)
}

func (s Sample) den(i int) float64 {
	if s.Den == nil {
		return 1
	}
	return s.Den[i]
}

func (s Sample) denominators() []float64 {
	if s.Den != nil {
		return s.Den
	}
	return slices.Repeat([]float64{1}, len(s.Num))
}

// UnpairedDifference compares samples of different examples: each is resampled
// by itself (Efron and Tibshirani 1993, chapter 8), and the interval is expanded
// for the smaller one. Both must have examples.
func UnpairedDifference(ctx context.Context, a, b Sample, opt Options) (Difference, error) {
	ta, tb := newTable(a.columns()), newTable(b.columns())
	values, err := distribution(ctx, opt, purposeUnpaired, ta.work()+tb.work(), func() func(int, *stream) float64 {
		sums := make([]float64, 2)
		draw := func(t *table, s Sample, r *stream) float64 {
			if s.Den == nil {
				t.draw(r, sums[:1])
				return s.of(sums[0], float64(len(s.Num)))
			}
			t.draw(r, sums)
			return s.of(sums[0], sums[1])
		}
		return func(_ int, s *stream) float64 {
			first := draw(ta, a, s)
			return draw(tb, b, s) - first
		}
	})
	if err != nil {
		return Difference{}, err
	}
	n, m := len(a.Num), len(b.Num)
	return differenceOf(values, b.Value()-a.Value(), min(n, m), leastUnpairedP(n, m), opt), nil
}

// PairedCountsDifference is PairedDifference for a statistic of counts, such as
// how often each pair of answers was given: statistic returns the difference,
// NaN where it has none, is called from several goroutines and must not keep its
// argument. changed is how many examples are not the same on both sides.
func PairedCountsDifference(ctx context.Context, counts []int, changed int, statistic func([]int) float64, opt Options) (Difference, error) {
	m := newMultinomial(counts)
	values, err := distribution(ctx, opt, purposePairedCounts, m.work(), func() func(int, *stream) float64 {
		drawn := make([]int, len(counts))
		return func(_ int, s *stream) float64 {
			m.draw(s, drawn)
			return statistic(drawn)
		}
	})
	if err != nil {
		return Difference{}, err
	}
	return differenceOf(values, statistic(counts), m.n, LeastP(changed), opt), nil
}

// UnpairedCountsDifference is UnpairedDifference for statistics of counts.
func UnpairedCountsDifference(ctx context.Context, a, b []int, first, second func([]int) float64, opt Options) (Difference, error) {
	ma, mb := newMultinomial(a), newMultinomial(b)
	values, err := distribution(ctx, opt, purposeUnpairedCounts, ma.work()+mb.work(), func() func(int, *stream) float64 {
		da, db := make([]int, len(a)), make([]int, len(b))
		return func(_ int, s *stream) float64 {
			ma.draw(s, da)
			mb.draw(s, db)
			return second(db) - first(da)
		}
	})
	if err != nil {
		return Difference{}, err
	}
	return differenceOf(values, second(b)-first(a), min(ma.n, mb.n), leastUnpairedP(ma.n, mb.n), opt), nil
}

func differenceOf(values []float64, delta float64, n int, leastP float64, opt Options) Difference {
	values = sortedNumbers(values)
	d := Difference{Delta: delta, P: 1, Interval: Interval{Low: delta, High: delta, N: n, Method: MethodPercentile}}
	if len(values) == 0 || n < 2 {
		return d
	}
	outside := expanded((1-opt.level())/2, n)
	d.Interval.Low, d.Interval.High = quantile(values, outside), quantile(values, 1-outside)
	low, high := 0, 0 // resamples at most and at least zero
	for _, v := range values {
		if v <= 0 {
			low++
		}
		if v >= 0 {
			high++
		}
	}
	d.SE = deviation(values)
	half := float64(min(low, high)+1) / float64(len(values)+1)
	d.P = math.Max(leastP, math.Min(1, 2*contracted(half, n)))
	return d
}

// deviation is the standard deviation of sorted numbers, of any size.
func deviation(sorted []float64) float64 {
	scale := math.Max(math.Abs(sorted[0]), math.Abs(sorted[len(sorted)-1]))
	if scale == 0 {
		return 0
	}
	n := float64(len(sorted))
	var mean, square float64
	for _, v := range sorted {
		mean += v / scale
	}
	mean /= n
	for _, v := range sorted {
		square += (v/scale - mean) * (v/scale - mean)
	}
	return math.Min(scale*math.Sqrt(square/n), math.MaxFloat64)
}

// expanded returns the share to leave out at one end of a bootstrap
// distribution, so that the share that the true value is beyond it comes down to
// outside: resamples vary less than samples by (n-1)/n, and their spread is an
// estimate, for which Student's quantiles stand in.
func expanded(outside float64, n int) float64 {
	size := float64(n)
	return NormalCDF(studentQuantile(outside, size-1) * math.Sqrt(size/(size-1)))
}

// contracted is the inverse of expanded.
func contracted(share float64, n int) float64 {
	size := float64(n)
	return StudentCDF(NormalQuantile(share)*math.Sqrt((size-1)/size), size-1)
}
