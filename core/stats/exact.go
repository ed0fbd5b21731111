package stats

import (
	"cmp"
	"math"
	"slices"
)

// McNemar is the exact test of two answers to the same examples, from the
// examples that only the first gets right (broken) and that only the second
// gets right (fixed): the two-sided binomial test that a change is as often for
// the better as for the worse (McNemar 1947, exact form). Without changes the
// probability is 1.
func McNemar(broken, fixed int) float64 {
	below, _ := halfTail(min(broken, fixed), broken+fixed)
	return min(1, 2*below)
}

// McNemarMidP is McNemar with half the probability of the observed table left
// out, which makes the test less conservative (Fagerland, Lydersen and Laake
// 2013, "The McNemar test for binary matched-pairs data: mid-p and asymptotic
// are better than exact conditional").
func McNemarMidP(broken, fixed int) float64 {
	below, at := halfTail(min(broken, fixed), broken+fixed)
	if broken == fixed {
		return 1 - at/2
	}
	return min(1, 2*below-at)
}

// halfTail returns the probabilities that a fair coin thrown n times shows at
// most k heads, and exactly k, for k up to n/2. The terms are added from the
// largest down by their ratio, and the first one comes from log-gamma, so n may
// be in the millions.
func halfTail(k, n int) (below, at float64) {
	if n <= 0 {
		return 1, 1
	}
	lg := func(x int) float64 {
		v, _ := math.Lgamma(float64(x) + 1)
		return v
	}
	at = math.Exp(lg(n) - lg(k) - lg(n-k) - float64(n)*math.Ln2)
	sum, term := 1.0, 1.0
	for i := k; i > 0 && term > sum*1e-17; i-- {
		term *= float64(i) / float64(n-i+1)
		sum += term
	}
	return at * sum, at
}

// Holm adjusts the p-values of a family of tests, so that the chance of even
// one false alarm stays under the level that the adjusted values are held
// against (Holm 1979, "A Simple Sequentially Rejective Multiple Test
// Procedure"). The order of the result is that of p; NaN marks a test that was
// not made, stays NaN and does not count.
func Holm(p []float64) []float64 {
	out := slices.Clone(p)
	var order []int
	for i, v := range p {
		if !math.IsNaN(v) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	least := 0.0
	for rank, i := range order {
		least = max(least, min(1, p[i]*float64(len(order)-rank)))
		out[i] = least
	}
	return out
}

// Detectable is the smallest true difference that a two-sided test at level
// alpha finds with the given power, for a difference with that standard error:
// (z(1-alpha/2) + z(power)) se (Lachin 1981, "Introduction to Sample Size
// Determination and Power Analysis for Clinical Trials").
func Detectable(se, alpha, power float64) float64 {
	return (NormalQuantile(1-alpha/2) + NormalQuantile(power)) * se
}

// MoreExamples is how many examples must be added to n so that a width, which
// shrinks with the root of their number, comes down to want: n (width/want)^2
// in all, rounded up, less n. The width may be half an interval and want the
// distance from the value to the limit it is held against, or width what
// Detectable says and want the margin that must not be missed. It is 0 when the
// width is small enough, and ok is false when no number of examples that a
// data set could have would do (want is 0, or more than 10^12 are needed).
func MoreExamples(n int, width, want float64) (more int, ok bool) {
	if width <= want {
		return 0, true
	}
	ratio := width / want
	total := math.Ceil(float64(n) * ratio * ratio)
	if want <= 0 || math.IsNaN(total) || total > 1e12 {
		return 0, false
	}
	return max(0, int(total)-n), true
}
