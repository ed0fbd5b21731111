package stats

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fits holds counts against expected ones by Pearson's chi-squared. With k cells
// the statistic is about normal with mean k and variance 2k; the draws are
// fixed, so five standard deviations never flake.
func fits(t *testing.T, counts []int, expected []float64, msg ...any) {
	t.Helper()
	chi, cells := 0.0, 0.0
	restCount, restExpected := 0.0, 0.0
	for i, e := range expected {
		if e < 5 {
			restCount += float64(counts[i])
			restExpected += e
			continue
		}
		chi += (float64(counts[i]) - e) * (float64(counts[i]) - e) / e
		cells++
	}
	if restExpected > 1 {
		chi += (restCount - restExpected) * (restCount - restExpected) / restExpected
		cells++
	}
	require.Greater(t, cells, 1.0)
	assert.Less(t, chi, cells+5*math.Sqrt(2*cells), msg...)
}

func TestBinomialFollowsItsDistribution(t *testing.T) {
	const draws = 200_000
	for _, c := range []struct {
		n int
		p float64
	}{{1, 0.3}, {10, 0.5}, {1000, 0.002}, {25, 0.4}, {40, 0.25}, {100, 0.7}, {5000, 0.01}, {2_000_000, 0.00002}, {300, 0.5}} {
		s := newStream(1, 2, uint64(c.n))
		size := min(c.n, 1000)
		counts := make([]int, size+1)
		for range draws {
			k := s.binomial(c.n, c.p)
			require.True(t, k >= 0 && k <= c.n)
			counts[min(k, size)]++
		}
		expected := make([]float64, size+1)
		for k := range expected {
			a, _ := math.Lgamma(float64(c.n + 1))
			b, _ := math.Lgamma(float64(k + 1))
			d, _ := math.Lgamma(float64(c.n - k + 1))
			expected[k] = draws * math.Exp(a-b-d+float64(k)*math.Log(c.p)+float64(c.n-k)*math.Log1p(-c.p))
		}
		fits(t, counts, expected, "n=%d p=%v", c.n, c.p)
	}
	s := newStream(1, 2, 3)
	assert.Equal(t, []int{0, 0, 7, 0}, []int{s.binomial(0, 0.5), s.binomial(7, 0), s.binomial(7, 1), s.binomial(-1, 0.5)})
}

// TestBlocksDrawEveryExampleAlike marks examples one by one with powers that
// keep them apart, and counts how often each is drawn.
func TestBlocksDrawEveryExampleAlike(t *testing.T) {
	for _, n := range []int{1, 3, 700, block, block + 1, 3*block + 5} {
		const resamples = 200
		table := &table{n: n, two: make([][2]float64, n)}
		for i := range table.two {
			table.two[i][1] = 1
		}
		counts := make([]int, n)
		expected := make([]float64, n)
		sums := make([]float64, 2)
		for i := range n {
			if n > block && i%31 != 0 && i != n-1 {
				continue // a part will do
			}
			table.two[i][0] = 1
			for r := range uint64(resamples) {
				s := newStream(9, uint64(i), r)
				table.draw(&s, sums)
				require.Equal(t, float64(n), sums[1], "a resample has as many examples as there are")
				counts[i] += int(sums[0])
			}
			table.two[i][0] = 0
			expected[i] = resamples
		}
		if n == 1 {
			assert.Equal(t, resamples, counts[0])
			continue
		}
		fits(t, counts, expected, "n=%d", n)
	}
}

// TestColumnsSeeTheSameDraws takes every number of columns, each of which is drawn
// by a loop of its own.
func TestColumnsSeeTheSameDraws(t *testing.T) {
	n := 2*block + 77
	one := make([]float64, n)
	for i := range one {
		one[i] = float64(i)
	}
	cols := [][]float64{one}
	want := make([]float64, 1)
	for factor := 2.0; len(cols) < maxColumns; factor++ {
		next := make([]float64, n)
		for i := range next {
			next[i] = factor * one[i]
		}
		cols = append(cols, next)
		single, several := &table{n: n}, &table{n: n}
		single.fill(cols[:1])
		several.fill(cols)
		sums := make([]float64, len(cols))
		for r := range uint64(50) {
			s, again := newStream(3, 4, r), newStream(3, 4, r)
			single.draw(&s, want)
			several.draw(&again, sums)
			for j := range sums {
				require.Equal(t, float64(j+1)*want[0], sums[j])
			}
			require.Equal(t, s, again)
		}
	}
}

func TestFewKindsAreGrouped(t *testing.T) {
	n := 640
	a, b := make([]float64, n), make([]float64, n)
	for i := range a {
		a[i], b[i] = float64(i%3), float64(i%2)
	}
	grouped := newTable([][]float64{a, b})
	require.Len(t, grouped.rows, 6)
	total := 0
	for _, c := range grouped.rows {
		total += c
	}
	assert.Equal(t, n, total)
	a[0] = 0.5
	for i := range 20 {
		a[i] = float64(i) + 10
	}
	assert.Nil(t, newTable([][]float64{a, b}).rows, "more than 20 kinds among 640 are not worth it")
}

// TestGroupedAndSingleDrawsAgree compares the two ways to draw the same
// distribution by its first two moments.
func TestGroupedAndSingleDrawsAgree(t *testing.T) {
	n := 2000
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(i % 5)
	}
	grouped := newTable([][]float64{values})
	require.NotNil(t, grouped.rows)
	single := &table{n: n, one: values}
	moments := func(t *table) (mean, sd float64) {
		const resamples = 20000
		sums := make([]float64, 1)
		var square float64
		for r := range uint64(resamples) {
			s := newStream(5, 6, r)
			t.draw(&s, sums)
			d := sums[0]/float64(n) - 2
			mean += d / resamples
			square += d * d / resamples
		}
		return mean, math.Sqrt(square - mean*mean)
	}
	se := math.Sqrt(2 / float64(n)) // the variance of 0..4 is 2
	for _, table := range []*table{grouped, single} {
		mean, sd := moments(table)
		assert.InDelta(t, 0, mean, 5*se/math.Sqrt(20000))
		assert.InEpsilon(t, se, sd, 5/math.Sqrt(2*20000))
	}
}

func TestStreamsHaveNothingInCommon(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range int64(10) {
		for purpose := range uint64(10) {
			for number := range uint64(50) {
				s := newStream(seed, purpose, number)
				seen[s.next()] = true
			}
		}
	}
	assert.Len(t, seen, 5000)
}

func TestQuantile(t *testing.T) {
	sorted := []float64{10, 20, 30, 40}
	for p, want := range map[float64]float64{0: 10, 0.2: 10, 0.3: 15, 0.5: 25, 0.8: 40, 1: 40, math.NaN(): 10} {
		assert.InDelta(t, want, quantile(sorted, p), 1e-9, "%v", p)
	}
}

func BenchmarkBinomial(b *testing.B) {
	for name, c := range map[string]struct {
		n int
		p float64
	}{"inversion": {1000, 0.005}, "rejection": {100_000, 0.01}} {
		b.Run(name, func(b *testing.B) {
			s := newStream(1, 2, 3)
			for b.Loop() {
				s.binomial(c.n, c.p)
			}
		})
	}
}
