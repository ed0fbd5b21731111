// Package stats says how far a number can be trusted: intervals, tests of
// differences and the number of examples that a verdict would take.
//
// Everything is deterministic: random numbers are drawn from counters, one
// stream a resample, so results depend on the data, the seed and the number of
// resamples, not on processors, nor on what ran before. Inputs must be finite
// unless a function says otherwise. All tests are two-sided.
package stats

import "math"

// Interval is a two-sided confidence interval.
type Interval struct {
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	N      int     `json:"n"`      // examples behind it
	Method string  `json:"method"` // one of the Method constants
}

// Contains says whether v lies in the interval, its ends included.
func (i Interval) Contains(v float64) bool { return i.Low <= v && v <= i.High }

// The methods that intervals come from.
const (
	MethodWilson     = "wilson"               // Wilson's score interval
	MethodBCa        = "bootstrap_bca"        // BCa bootstrap, resampled
	MethodAnalytic   = "bootstrap_analytic"   // BCa bootstrap, by its expansion
	MethodPercentile = "bootstrap_percentile" // percentile bootstrap, resampled
)

// The customary choices.
const (
	Level     = 0.95  // of confidence
	Resamples = 10000 // of a bootstrap
	Seed      = 42
)

// Options tune a bootstrap; a zero value stands for the customary choice.
type Options struct {
	Level     float64 // of confidence, between 0 and 1
	Resamples int
	// Seed picks the random numbers; nil stands for Seed.
	Seed *int64
}

func (o Options) level() float64 {
	if o.Level == 0 {
		return Level
	}
	return o.Level
}

func (o Options) resamples() int {
	if o.Resamples == 0 {
		return Resamples
	}
	return o.Resamples
}

func (o Options) seed() int64 {
	if o.Seed == nil {
		return Seed
	}
	return *o.Seed
}

// NormalCDF is the probability that a standard normal number is at most x.
func NormalCDF(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

// NormalQuantile is the number that a standard normal one stays under with
// probability p; infinite at 0 and 1.
func NormalQuantile(p float64) float64 { return -math.Sqrt2 * math.Erfcinv(2*p) }

// twoSided is the quantile that leaves out (1-level)/2 at each end.
func twoSided(level float64) float64 { return NormalQuantile(0.5 + level/2) }
