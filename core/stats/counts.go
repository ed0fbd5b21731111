package stats

import (
	"context"
	"math"
)

// BootstrapCounts is Bootstrap for a statistic of counts: how many examples are
// of each kind, such as the cells of a confusion matrix. The statistic is called
// from several goroutines and must not keep its argument; where it has no value
// it returns NaN. ok is false with fewer than two kinds of examples, when the
// statistic has no value, and when it does not vary.
func BootstrapCounts(counts []int, statistic func([]int) float64, opt Options) (interval Interval, ok bool) {
	n, kinds := 0, 0
	for _, c := range counts {
		n += c
		if c > 0 {
			kinds++
		}
	}
	theta := math.NaN()
	if kinds >= 2 {
		theta = statistic(counts)
	}
	if math.IsNaN(theta) {
		return Interval{}, false
	}
	j := jackknifeOf(counts, n, theta, statistic)
	if j.tame(n) {
		z := twoSided(opt.level())
		end := func(side float64) float64 {
			y := adjusted(j.acceleration, j.acceleration, side*z)
			return theta + j.se*(y+j.acceleration*(y*y-1))
		}
		return Interval{Low: end(-1), High: end(1), N: n, Method: MethodAnalytic}, true
	}
	m := newMultinomial(counts)
	values, _ := distribution(context.Background(), opt, purposeCounts, m.work(), func() func(int, *stream) float64 {
		drawn := make([]int, len(counts))
		return func(_ int, s *stream) float64 {
			m.draw(s, drawn)
			return statistic(drawn)
		}
	})
	interval = bca(values, theta, j.acceleration, opt.level())
	interval.N = n
	return interval, interval.Low < interval.High
}

// jackknife tells, from the statistic without one example of each kind, how the
// bootstrap distribution is shaped (Efron 1987; Efron and Tibshirani 1993, "An
// Introduction to the Bootstrap", chapter 11).
type jackknife struct {
	done                   bool
	se, bias, acceleration float64
}

// maxJackknife bounds the work: the statistic looks at every kind, once for each
// kind that is left out.
const maxJackknife = 2000

func jackknifeOf(counts []int, n int, theta float64, statistic func([]int) float64) jackknife {
	if len(counts) > maxJackknife {
		return jackknife{}
	}
	without := append([]int(nil), counts...)
	values := make([]float64, len(counts))
	mean := 0.0
	for i, c := range counts {
		if c == 0 {
			continue
		}
		without[i]--
		values[i] = statistic(without)
		without[i]++
		mean += values[i] * float64(c)
	}
	mean /= float64(n)
	var square, cube float64
	for i, c := range counts {
		d := mean - values[i]
		square += float64(c) * d * d
		cube += float64(c) * d * d * d
	}
	j := jackknife{done: !math.IsNaN(square)}
	if j.done && square > 0 {
		j.se = math.Sqrt(square * float64(n-1) / float64(n))
		j.bias = float64(n-1) * (mean - theta)
		j.acceleration = cube / (6 * square * math.Sqrt(square))
	}
	if !j.done {
		j.acceleration = 0
	}
	return j
}

// tame says whether the statistic is close to a mean: next to its standard
// error the bias and the skewness are small.
func (j jackknife) tame(n int) bool {
	return j.done && n >= 50 && j.se > 0 && math.Abs(j.bias) <= 0.05*j.se && math.Abs(j.acceleration) <= 0.1/6
}

// multinomial draws counts with as many examples as there were.
type multinomial struct {
	n      int
	order  []int // kinds, the most frequent first
	counts []int // in that order
}

func newMultinomial(counts []int) *multinomial {
	m := &multinomial{order: byCount(counts, func(a, b int) int { return a - b })}
	for _, at := range m.order {
		if counts[at] == 0 {
			break
		}
		m.counts = append(m.counts, counts[at])
		m.n += counts[at]
	}
	return m
}

func (m *multinomial) draw(s *stream, out []int) {
	clear(out)
	s.multinomial(m.n, m.n, m.counts, func(i, drawn int) { out[m.order[i]] = drawn })
}

func (m *multinomial) work() int { return len(m.counts) * kindsPerExample }
