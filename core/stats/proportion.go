package stats

import "math"

// Wilson is the score interval of a proportion of hits among n (Wilson 1927,
// "Probable Inference, the Law of Succession, and Statistical Inference",
// without continuity correction). Hits may be fractional: for the mean of
// numbers between 0 and 1 it is a conservative interval, since no such numbers
// vary more than a proportion. Without examples it is 0 to 1.
func Wilson(hits float64, n int, level float64) Interval {
	if n <= 0 {
		return Interval{Low: 0, High: 1, Method: MethodWilson}
	}
	low, high := wilson(hits/float64(n), float64(n), level)
	return Interval{Low: low, High: high, N: n, Method: MethodWilson}
}

// wilson takes a sample size that need not be whole.
func wilson(p, size, level float64) (low, high float64) {
	z := twoSided(level)
	middle := (p + z*z/(2*size)) / (1 + z*z/size)
	half := z / (1 + z*z/size) * math.Sqrt(p*(1-p)/size+z*z/(4*size*size))
	low, high = max(0, middle-half), min(1, middle+half)
	if p == 0 { // exact where rounding would leave a trace
		low = 0
	}
	if p == 1 {
		high = 1
	}
	return low, high
}

// Lift says how much more frequent a property is among marked examples than
// among all: (both/marked) / (with/all), where both counts the marked examples
// that have the property and with all that have it. The marked ones are part of
// all, and how many are marked is chosen, not observed.
//
// Lift is also the share of marked ones among those with the property over the
// share among all, and the latter is known. So the interval is Wilson's for the
// former, divided by the latter, with the effective sample size of a part of a
// finite whole, with (all-1)/(all-with) (Cochran 1977, "Sampling Techniques",
// 2.6): a property of all examples has a lift of 1 for certain. Unlike intervals
// on the log scale it holds for a few examples, and when both is 0 or with.
// Without marked examples or examples with the property nothing is known: the
// lift is NaN and the interval all it could be.
func Lift(both, marked, with, all int, level float64) (float64, Interval) {
	if marked <= 0 || with <= 0 {
		return math.NaN(), Interval{Low: 0, High: math.Inf(1), N: all, Method: MethodWilson}
	}
	base := float64(marked) / float64(all)
	share := float64(both) / float64(with)
	lift := share / base
	out := Interval{Low: lift, High: lift, N: all, Method: MethodWilson}
	if with < all {
		size := float64(with) * float64(all-1) / float64(all-with)
		low, high := wilson(share, size, level)
		out.Low, out.High = low/base, high/base
	}
	return lift, out
}
