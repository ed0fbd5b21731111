package stats

import (
	"context"
	"math"
	"slices"
)

// Sample is a number taken over examples: the sum of Num over the sum of Den.
type Sample struct {
	Num []float64
	// Den is nil for a plain mean; otherwise its numbers are not negative and
	// their sum is positive.
	Den []float64
	// Of turns the ratio into the number that is meant; it must not decrease.
	// Nil means the ratio itself.
	Of func(float64) float64
}

// Value returns the number, NaN without examples.
func (s Sample) Value() float64 {
	num, den := 0.0, float64(len(s.Num))
	for _, v := range s.Num {
		num += v
	}
	if s.Den != nil {
		den = 0
		for _, v := range s.Den {
			den += v
		}
	}
	return s.of(num, den)
}

func (s Sample) of(num, den float64) float64 { return s.turn(num / den) }

func (s Sample) turn(ratio float64) float64 {
	if s.Of != nil {
		return s.Of(ratio)
	}
	return ratio
}

// columns returns the numbers to be added up.
func (s Sample) columns() [][]float64 {
	if s.Den == nil {
		return [][]float64{s.Num}
	}
	return [][]float64{s.Num, s.Den}
}

// Of returns the interval with its ends turned by a function that does not
// decrease.
func (i Interval) Of(f func(float64) float64) Interval {
	i.Low, i.High = f(i.Low), f(i.High)
	return i
}

// Bootstrap returns the BCa bootstrap interval of a sample (Efron 1987, "Better
// Bootstrap Confidence Intervals"): second-order accurate, and the same
// interval whatever Of is. ok is false where all examples agree, or there is only
// one: there is no variation to go by.
//
// Where the examples are many and not too skewed, the bootstrap distribution is
// known closer than resampling shows it: the ends then come from its
// Cornish-Fisher expansion (Hall 1992, "The Bootstrap and Edgeworth Expansion",
// 3.10), which costs one pass over the examples. The terms left out are smaller
// than the noise of 10,000 resamples.
func Bootstrap(s Sample, opt Options) (interval Interval, ok bool) {
	n := len(s.Num)
	if n < 2 {
		return Interval{}, false
	}
	m := momentsOf(s)
	if m.constant() {
		return Interval{}, false
	}
	if m.tame() {
		interval = Interval{Low: m.end(-1, opt.level()), High: m.end(1, opt.level()), N: n, Method: MethodAnalytic}
	} else {
		cols := s.columns()
		t := newTable(cols)
		values, _ := distribution(context.Background(), opt, purposeMean, t.work(), func() func(int, *stream) float64 {
			sums := make([]float64, len(cols))
			return func(_ int, r *stream) float64 {
				t.draw(r, sums)
				if s.Den == nil {
					return sums[0] / float64(n)
				}
				return sums[0] / sums[1]
			}
		})
		interval = bca(values, m.value(), m.acceleration(), opt.level())
		interval.N = n
	}
	if s.Of != nil {
		interval = interval.Of(s.Of)
	}
	return interval, true
}

// bca turns a bootstrap distribution into the interval. Resamples without a
// value are left out.
func bca(values []float64, theta, acceleration, level float64) Interval {
	values = sortedNumbers(values)
	if len(values) == 0 {
		return Interval{Low: theta, High: theta, Method: MethodBCa}
	}
	// Resamples that equal theta count half on each side, and one of either side
	// is supposed to exist, so that the bias is finite.
	below, _ := slices.BinarySearch(values, theta)
	equal := 0
	for below+equal < len(values) && values[below+equal] == theta {
		equal++
	}
	share := (float64(below) + float64(equal)/2 + 0.5) / (float64(len(values)) + 1)
	bias := NormalQuantile(share)
	end := func(side float64) float64 {
		return quantile(values, NormalCDF(adjusted(bias, acceleration, side*twoSided(level))))
	}
	return Interval{Low: end(-1), High: end(1), Method: MethodBCa}
}

// adjusted is the normal quantile that BCa takes in place of z.
func adjusted(bias, acceleration, z float64) float64 {
	return bias + (bias+z)/(1-acceleration*(bias+z))
}

// sortedNumbers sorts in place and leaves out what is not finite.
func sortedNumbers(values []float64) []float64 {
	values = slices.DeleteFunc(values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	slices.Sort(values)
	return values
}

// moments describe a ratio as the bootstrap sees it.
type moments struct {
	n         float64
	num, den  float64 // means
	spread    float64 // mean square of u = num - ratio*den
	skew      float64 // of u
	kurtosis  float64 // of u, 0 for a normal one
	denSpread float64 // variance of den
	mixed     float64 // covariance of u and den
	scale     float64 // mean square of num, to tell rounding from variation
}

func momentsOf(s Sample) moments {
	m := moments{n: float64(len(s.Num)), den: 1}
	for _, v := range s.Num {
		m.num += v
		m.scale += v * v
	}
	m.num /= m.n
	m.scale /= m.n
	if s.Den != nil {
		m.den = 0
		for _, v := range s.Den {
			m.den += v
		}
		m.den /= m.n
	}
	ratio, den := m.value(), 1.0
	var cube, fourth float64
	for i, v := range s.Num {
		if s.Den != nil {
			den = s.Den[i]
			m.denSpread += (den - m.den) * (den - m.den)
		}
		u := v - ratio*den
		square := u * u
		m.spread += square
		cube += square * u
		fourth += square * square
		m.mixed += u * (den - m.den)
	}
	m.spread /= m.n
	m.denSpread /= m.n
	m.mixed /= m.n
	if m.spread > 0 {
		m.skew = cube / m.n / (m.spread * math.Sqrt(m.spread))
		m.kurtosis = fourth/m.n/(m.spread*m.spread) - 3
	}
	return m
}

func (m moments) value() float64 { return m.num / m.den }

// constant says whether all examples agree, but for rounding.
func (m moments) constant() bool { return m.spread <= m.scale*1e-24 }

// acceleration is BCa's, and to the order of the expansion its bias too: that
// u of a resample is negative on average does not depend on the denominators.
func (m moments) acceleration() float64 { return m.skew / (6 * math.Sqrt(m.n)) }

// tame says whether the expansion may stand for the distribution: the terms that
// it leaves out are at most a few hundredths of a standard error.
func (m moments) tame() bool {
	root := math.Sqrt(m.n)
	return m.n >= 50 && math.Abs(m.skew) <= 0.1*root && m.kurtosis <= 0.3*m.n &&
		math.Sqrt(m.denSpread) <= 0.1*root*m.den
}

// end is the lower (side -1) or upper (1) end by the expansion. A resample has a
// ratio under t when its u less (t - ratio) den has a negative mean, so the
// quantile of the ratio is that of a mean whose spread depends on t a little.
func (m moments) end(side, level float64) float64 {
	a := m.acceleration()
	y := adjusted(a, a, side*twoSided(level))
	reach := (y + a*(y*y-1)) / (math.Sqrt(m.n) * m.den)
	away := 0.0
	for range 4 {
		away = reach * math.Sqrt(max(0, m.spread-2*away*m.mixed+away*away*m.denSpread))
	}
	return m.value() + away
}
