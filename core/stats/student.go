package stats

import "math"

// StudentCDF is the probability that a number with Student's t distribution of
// so many degrees of freedom is at most t.
func StudentCDF(t, freedom float64) float64 {
	tail := incompleteBeta(freedom/2, 0.5, freedom/(freedom+t*t)) / 2
	if t > 0 {
		return 1 - tail
	}
	return tail
}

// studentQuantile inverts StudentCDF for p up to a half.
func studentQuantile(p, freedom float64) float64 {
	if p >= 0.5 {
		return 0
	}
	// Student's tails are longer than the normal ones, and those of one degree of
	// freedom the longest.
	high := NormalQuantile(p)
	low := math.Min(high, -1/math.Tan(math.Pi*p))
	for range 200 {
		middle := low + (high-low)/2
		if middle <= low || middle >= high {
			break
		}
		if StudentCDF(middle, freedom) < p {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// incompleteBeta is the regularised incomplete beta function by its continued
// fraction (Abramowitz and Stegun 1964, 26.5.8), which converges fast on the side
// of the mean that x is taken to.
func incompleteBeta(a, b, x float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - incompleteBeta(b, a, 1-x)
	}
	lg := func(v float64) float64 { l, _ := math.Lgamma(v); return l }
	front := math.Exp(lg(a+b) - lg(a) - lg(b) + a*math.Log(x) + b*math.Log1p(-x))
	// Lentz's evaluation from the front; tiny keeps it from dividing by zero.
	const tiny = 1e-300
	c, d := 1.0, 1/math.Max(math.Abs(1-(a+b)*x/(a+1)), tiny)
	if 1-(a+b)*x/(a+1) < 0 {
		d = -d
	}
	sum := d
	for m := 1.0; m < 10_000; m++ {
		step := func(term float64) float64 {
			if d = 1 + term*d; math.Abs(d) < tiny {
				d = tiny
			}
			if c = 1 + term/c; math.Abs(c) < tiny {
				c = tiny
			}
			d = 1 / d
			sum *= d * c
			return d * c
		}
		step(m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m)))
		if math.Abs(step(-(a+m)*(a+b+m)*x/((a+2*m)*(a+2*m+1)))-1) < 1e-15 {
			break
		}
	}
	return front * sum / a
}
