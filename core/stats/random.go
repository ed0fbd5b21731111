package stats

import "math"

// stream is a sequence of random 64-bit numbers: SplitMix64, a mixed counter
// (Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number
// Generators").
type stream struct{ counter uint64 }

const gamma = 0x9e3779b97f4a7c15

// newStream returns the stream of a resample: streams of different seeds,
// purposes or numbers have nothing to do with each other.
func newStream(seed int64, purpose, number uint64) stream {
	return stream{mix(mix(mix(uint64(seed)+gamma)^purpose) + number*0xd1342543de82ef95)}
}

func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

func (s *stream) next() uint64 {
	s.counter += gamma
	return mix(s.counter)
}

// uniform is between 0 and 1, both left out.
func (s *stream) uniform() float64 { return (float64(s.next()>>12) + 0.5) * (1.0 / (1 << 52)) }

// inversionLimit is the mean from which on rejection is faster than inversion;
// the rejection method needs at least 10.
const inversionLimit = 10

// binomial counts the hits of n trials, each with probability p.
func (s *stream) binomial(n int, p float64) int {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - s.binomial(n, 1-p)
	case float64(n)*p < inversionLimit:
		return s.binomialInversion(n, p)
	}
	return s.binomialRejection(n, p)
}

// binomialInversion adds up probabilities until they pass a uniform number
// (Kachitvichyanukul and Schmeiser 1988, "Binomial Random Variate Generation",
// algorithm BINV).
func (s *stream) binomialInversion(n int, p float64) int {
	odds := p / (1 - p)
	start := math.Exp(float64(n) * math.Log1p(-p))
	for {
		u, term := s.uniform(), start
		for k := 0; k <= n; k++ {
			if u < term {
				return k
			}
			u -= term
			term *= odds * float64(n-k) / float64(k+1)
		}
	}
}

// binomialRejection is transformed rejection with squeeze (Hörmann 1993, "The
// Generation of Binomial Random Variates", algorithm BTRS), for p up to 0.5 and
// n p of at least 10. The numbers are the paper's.
func (s *stream) binomialRejection(n int, p float64) int {
	size := float64(n)
	spq := math.Sqrt(size * p * (1 - p))
	b := 1.15 + 2.53*spq
	a := -0.0873 + 0.0248*b + 0.01*p
	c := size*p + 0.5
	squeeze := 0.92 - 4.2/b
	for {
		u, v := s.uniform()-0.5, s.uniform()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + c)
		if us >= 0.07 && v <= squeeze {
			return int(k)
		}
		if k < 0 || k > size {
			continue
		}
		alpha, odds := (2.83+5.1/b)*spq, p/(1-p)
		m := math.Floor((size + 1) * p)
		v = math.Log(v * alpha / (a/(us*us) + b))
		bound := (m+0.5)*math.Log((m+1)/(odds*(size-m+1))) +
			(size+1)*math.Log((size-m+1)/(size-k+1)) +
			(k+0.5)*math.Log(odds*(size-k+1)/(k+1)) +
			stirling(m) + stirling(size-m) - stirling(k) - stirling(size-k)
		if v <= bound {
			return int(k)
		}
	}
}

// stirlingTail holds, for k from 0 to 9, log k! less
// (k+1/2) log(k+1) - (k+1) + log(2 pi)/2.
var stirlingTail = func() (tail [10]float64) {
	for k := range tail {
		x := float64(k)
		lg, _ := math.Lgamma(x + 1)
		tail[k] = lg - ((x+0.5)*math.Log(x+1) - (x + 1) + 0.5*math.Log(2*math.Pi))
	}
	return tail
}()

// stirling continues the table by Stirling's series.
func stirling(k float64) float64 {
	if k < 10 {
		return stirlingTail[int(k)]
	}
	square := (k + 1) * (k + 1)
	return (1.0/12 - (1.0/360-1.0/1260/square)/square) / (k + 1)
}
