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
	// 4.2.3; it inverts the percentile interval). It is at least
	// 2/(resamples+1).
	P  float64
	SE float64 // standard error
}

// PairedDifference compares two samples of the same examples, in the same
// order, by drawing examples with replacement and keeping both numbers of each:
// the percentile interval (Efron and Tibshirani 1993, chapter 13), which is as
// good as a corrected one for differences, since pairing makes them nearly
// symmetric. There must be at least one example; the error is the context's.
func PairedDifference(ctx context.Context, a, b Sample, opt Options) (Difference, error) {
	n := len(a.Num)
	cols, statistic := pairedColumns(a, b)
	t := newTable(cols)
	values, err := distribution(ctx, opt, purposePaired, t.work(), func() func(*stream) float64 {
		sums := make([]float64, len(cols))
		return func(s *stream) float64 {
			t.draw(s, sums)
			return statistic(sums)
		}
	})
	if err != nil {
		return Difference{}, err
	}
	return differenceOf(values, b.Value()-a.Value(), n, opt), nil
}

// pairedColumns returns as few columns as the difference can be computed from.
func pairedColumns(a, b Sample) ([][]float64, func([]float64) float64) {
	n := float64(len(a.Num))
	switch {
	case a.Den == nil && b.Den == nil && a.Of == nil && b.Of == nil:
		d := make([]float64, len(a.Num))
		for i := range d {
			d[i] = b.Num[i] - a.Num[i]
		}
		return [][]float64{d}, func(s []float64) float64 { return s[0] / n }
	case a.Den == nil && b.Den == nil:
		return [][]float64{a.Num, b.Num}, func(s []float64) float64 { return b.of(s[1], n) - a.of(s[0], n) }
	case a.Den != nil && b.Den != nil && slices.Equal(a.Den, b.Den):
		return [][]float64{a.Num, b.Num, a.Den}, func(s []float64) float64 { return b.of(s[1], s[2]) - a.of(s[0], s[2]) }
	}
	return [][]float64{a.Num, b.Num, a.denominators(), b.denominators()},
		func(s []float64) float64 { return b.of(s[1], s[3]) - a.of(s[0], s[2]) }
}

func (s Sample) denominators() []float64 {
	if s.Den != nil {
		return s.Den
	}
	return slices.Repeat([]float64{1}, len(s.Num))
}

// UnpairedDifference compares samples of different examples: each is resampled
// by itself (Efron and Tibshirani 1993, chapter 8). Both must have examples.
func UnpairedDifference(ctx context.Context, a, b Sample, opt Options) (Difference, error) {
	ta, tb := newTable([][]float64{a.Num, a.denominators()}), newTable([][]float64{b.Num, b.denominators()})
	values, err := distribution(ctx, opt, purposeUnpaired, ta.work()+tb.work(), func() func(*stream) float64 {
		sums := make([]float64, 2)
		return func(s *stream) float64 {
			ta.draw(s, sums)
			first := a.of(sums[0], sums[1])
			tb.draw(s, sums)
			return b.of(sums[0], sums[1]) - first
		}
	})
	if err != nil {
		return Difference{}, err
	}
	return differenceOf(values, b.Value()-a.Value(), min(len(a.Num), len(b.Num)), opt), nil
}

// PairedCountsDifference is PairedDifference for a statistic of counts, such as
// how often each pair of answers was given: statistic returns the difference,
// NaN where it has none, is called from several goroutines and must not keep its
// argument.
func PairedCountsDifference(ctx context.Context, counts []int, statistic func([]int) float64, opt Options) (Difference, error) {
	m := newMultinomial(counts)
	values, err := distribution(ctx, opt, purposePairedCounts, m.work(), func() func(*stream) float64 {
		drawn := make([]int, len(counts))
		return func(s *stream) float64 {
			m.draw(s, drawn)
			return statistic(drawn)
		}
	})
	if err != nil {
		return Difference{}, err
	}
	return differenceOf(values, statistic(counts), m.n, opt), nil
}

// UnpairedCountsDifference is UnpairedDifference for statistics of counts.
func UnpairedCountsDifference(ctx context.Context, a, b []int, first, second func([]int) float64, opt Options) (Difference, error) {
	ma, mb := newMultinomial(a), newMultinomial(b)
	values, err := distribution(ctx, opt, purposeUnpairedCounts, ma.work()+mb.work(), func() func(*stream) float64 {
		da, db := make([]int, len(a)), make([]int, len(b))
		return func(s *stream) float64 {
			ma.draw(s, da)
			mb.draw(s, db)
			return second(db) - first(da)
		}
	})
	if err != nil {
		return Difference{}, err
	}
	return differenceOf(values, second(b)-first(a), min(ma.n, mb.n), opt), nil
}

func differenceOf(values []float64, delta float64, n int, opt Options) Difference {
	values = sortedNumbers(values)
	d := Difference{Delta: delta, P: 1, Interval: Interval{Low: delta, High: delta, N: n, Method: MethodPercentile}}
	if len(values) == 0 {
		return d
	}
	outside := (1 - opt.level()) / 2
	d.Interval.Low, d.Interval.High = quantile(values, outside), quantile(values, 1-outside)
	var mean, square float64
	low, high := 0, 0 // resamples at most and at least zero
	for _, v := range values {
		mean += v
		if v <= 0 {
			low++
		}
		if v >= 0 {
			high++
		}
	}
	mean /= float64(len(values))
	for _, v := range values {
		square += (v - mean) * (v - mean)
	}
	d.SE = math.Sqrt(square / float64(len(values)))
	d.P = min(1, 2*float64(min(low, high)+1)/float64(len(values)+1))
	return d
}
