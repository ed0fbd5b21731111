package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/verifily/verifily-tui/core/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNormal(t *testing.T) {
	for p, z := range map[float64]float64{0.5: 0, 0.975: 1.959963984540054, 0.005: -2.5758293035489004, 0.8: 0.8416212335729143} {
		assert.InDelta(t, z, stats.NormalQuantile(p), 1e-12)
		assert.InDelta(t, p, stats.NormalCDF(z), 1e-12)
	}
	assert.True(t, math.IsInf(stats.NormalQuantile(1), 1))
}

func TestStudent(t *testing.T) {
	// Closed forms of one and two degrees of freedom, and the usual table.
	for x := -40.0; x <= 40; x += 0.37 {
		assert.InDelta(t, 0.5+math.Atan(x)/math.Pi, stats.StudentCDF(x, 1), 1e-12)
		assert.InDelta(t, 0.5+x/(2*math.Sqrt(2+x*x)), stats.StudentCDF(x, 2), 1e-12)
		assert.InDelta(t, stats.NormalCDF(x), stats.StudentCDF(x, 1e7), 1e-6)
	}
	for freedom, x := range map[float64]float64{1: 12.7062, 2: 4.30265, 5: 2.57058, 10: 2.22814, 30: 2.04227, 120: 1.97993} {
		assert.InDelta(t, 0.975, stats.StudentCDF(x, freedom), 1e-6)
	}
}

func TestWilson(t *testing.T) {
	for _, c := range []struct {
		hits      float64
		n         int
		low, high float64
	}{
		// Newcombe 1998, "Two-sided confidence intervals for the single
		// proportion", table I, method 3.
		{81, 263, 0.2553, 0.3662},
		{15, 148, 0.0624, 0.1605},
		{0, 20, 0, 0.1611},
		{1, 29, 0.0061, 0.1718},
		{20, 20, 0.8389, 1},
		{0, 0, 0, 1},
	} {
		got := stats.Wilson(c.hits, c.n, 0.95)
		assert.InDelta(t, c.low, got.Low, 5e-5, "%v of %d", c.hits, c.n)
		assert.InDelta(t, c.high, got.High, 5e-5, "%v of %d", c.hits, c.n)
		assert.Equal(t, c.n, got.N)
		assert.Equal(t, stats.MethodWilson, got.Method)
	}
	assert.Equal(t, 0.0, stats.Wilson(0, 7, 0.95).Low)
	assert.Equal(t, 1.0, stats.Wilson(7, 7, 0.95).High)
}

func TestWilsonProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 100_000).Draw(t, "n")
		k := rapid.IntRange(0, n).Draw(t, "k")
		i, mirror := stats.Wilson(float64(k), n, 0.95), stats.Wilson(float64(n-k), n, 0.95)
		require.True(t, 0 <= i.Low && i.Low < i.High && i.High <= 1)
		require.True(t, i.Contains(float64(k)/float64(n)))
		require.InDelta(t, i.Low, 1-mirror.High, 1e-12)
		wide := stats.Wilson(float64(k), n, 0.99)
		require.True(t, wide.Low <= i.Low && wide.High >= i.High)
	})
}

// binomialTail adds up the definition: all outcomes of n fair throws as far from
// the middle as k or farther.
func binomialTail(k, n int) (p, at float64) {
	choose := make([]float64, n+1)
	choose[0] = 1
	for i := 1; i <= n; i++ {
		choose[i] = choose[i-1] * float64(n-i+1) / float64(i)
	}
	all := math.Pow(2, float64(n))
	for i := range choose {
		if math.Abs(2*float64(i)-float64(n)) >= math.Abs(2*float64(k)-float64(n)) {
			p += choose[i] / all
		}
	}
	return p, choose[k] / all
}

func TestMcNemarMatchesTheDefinition(t *testing.T) {
	for b := range 25 {
		for c := range 25 {
			if b+c == 0 {
				continue
			}
			p, at := binomialTail(b, b+c)
			require.InDelta(t, p, stats.McNemar(b, c), 1e-12, "%d %d", b, c)
			want := p - at
			if b == c {
				want = 1 - at/2
			}
			require.InDelta(t, want, stats.McNemarMidP(b, c), 1e-12, "%d %d", b, c)
		}
	}
}

func TestMcNemar(t *testing.T) {
	assert.Equal(t, 1.0, stats.McNemar(0, 0))
	// Fagerland, Lydersen and Laake 2013, table 1: 1 against 7 of 21 pairs.
	assert.InDelta(t, 0.0703, stats.McNemar(1, 7), 5e-5)
	assert.InDelta(t, 0.0391, stats.McNemarMidP(1, 7), 5e-5)
	// With many changes the test meets the normal approximation with
	// continuity correction.
	b, c := 500_700, 499_300
	z := (float64(b-c) - 1) / math.Sqrt(float64(b+c))
	assert.InEpsilon(t, 2*stats.NormalCDF(-z), stats.McNemar(b, c), 1e-4)
	assert.Equal(t, stats.McNemar(b, c), stats.McNemar(c, b))
	assert.Equal(t, 1.0, stats.McNemar(1_000_000, 1_000_000))
	assert.Equal(t, 0.0, stats.McNemar(0, 1_000_000))
}

func TestHolm(t *testing.T) {
	got := stats.Holm([]float64{0.01, 0.04, math.NaN(), 0.03, 0.005})
	for i, want := range []float64{0.03, 0.06, math.NaN(), 0.06, 0.02} {
		if math.IsNaN(want) {
			assert.True(t, math.IsNaN(got[i]))
			continue
		}
		assert.InDelta(t, want, got[i], 1e-12)
	}
	assert.Equal(t, []float64{1, 1}, stats.Holm([]float64{0.6, 0.7}))
	assert.Empty(t, stats.Holm(nil))
}

func TestHolmIsTheStepDownProcedure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Float64Range(0, 1), 1, 12).Draw(t, "p")
		alpha := rapid.Float64Range(0.001, 0.5).Draw(t, "alpha")
		got := stats.Holm(p)
		// The procedure itself: as long as the least p left is under alpha over
		// the tests left, reject it.
		rejected := map[int]bool{}
		for {
			least := -1
			for i := range p {
				if !rejected[i] && (least < 0 || p[i] < p[least]) {
					least = i
				}
			}
			if least < 0 || p[least] > alpha/float64(len(p)-len(rejected)) {
				break
			}
			rejected[least] = true
		}
		for i := range p {
			require.GreaterOrEqual(t, got[i], p[i])
			if math.Abs(got[i]-alpha) > 1e-12 {
				require.Equal(t, rejected[i], got[i] <= alpha, "%v", p)
			}
		}
	})
}

func TestLift(t *testing.T) {
	lift, i := stats.Lift(30, 50, 200, 1000, 0.95)
	assert.InDelta(t, 3, lift, 1e-12) // 60 % of the marked, 20 % of all
	// 15 % of those with the property are marked, as if among 249.75.
	wilson := stats.Wilson(0.15*250, 250, 0.95)
	assert.InDelta(t, wilson.Low/0.05, i.Low, 2e-3)
	assert.InDelta(t, wilson.High/0.05, i.High, 2e-3)
	assert.Equal(t, 1000, i.N)

	lift, i = stats.Lift(50, 50, 1000, 1000, 0.95)
	assert.Equal(t, []float64{1, 1, 1}, []float64{lift, i.Low, i.High}, "a property that all have")

	lift, i = stats.Lift(0, 50, 20, 1000, 0.95)
	assert.Equal(t, []float64{0, 0}, []float64{lift, i.Low})
	assert.True(t, i.High > 2 && i.High < 4, "%v", i.High)

	lift, i = stats.Lift(1, 50, 1, 1000, 0.95)
	assert.Equal(t, []float64{20, 20}, []float64{lift, i.High})
	assert.Less(t, i.Low, 5.0, "one example tells little")

	lift, i = stats.Lift(0, 0, 20, 1000, 0.95)
	assert.True(t, math.IsNaN(lift))
	assert.True(t, math.IsInf(i.High, 1))
}

// TestLiftCoverage marks 50 of 1000 examples by chance: the true lift is 1.
func TestLiftCoverage(t *testing.T) {
	for _, with := range []int{5, 100, 900} {
		hits := 0
		for seed := range uint64(1000) {
			both := 0
			for _, i := range rand.New(rand.NewPCG(seed, 1)).Perm(1000)[:50] {
				if i < with {
					both++
				}
			}
			if _, i := stats.Lift(both, 50, with, 1000, 0.95); i.Contains(1) {
				hits++
			}
		}
		assert.Greater(t, hits, 930, "%d", with)
		assert.Less(t, hits, 990, "%d", with)
	}
}

func TestMoreExamples(t *testing.T) {
	for _, c := range []struct {
		n           int
		width, want float64
		more        int
		ok          bool
	}{
		{400, 0.05, 0.05, 0, true},
		{400, 0.04, 0.05, 0, true},
		{400, 0.05, 0.025, 1200, true},
		{100, 0.1, 0.03, 1012, true}, // 1111.1 in all
		{400, 0.05, 0, 0, false},
		{400, 0.05, 1e-9, 0, false},
		{400, math.NaN(), 0.1, 0, false},
	} {
		more, ok := stats.MoreExamples(c.n, c.width, c.want)
		assert.Equal(t, c.more, more, "%+v", c)
		assert.Equal(t, c.ok, ok, "%+v", c)
	}
}

func TestDetectable(t *testing.T) {
	// Cohen's rule of thumb: 2.8 standard errors at 5 % and power 0.8.
	assert.InDelta(t, 2.8016, stats.Detectable(1, 0.05, 0.8), 1e-4)
	more, ok := stats.MoreExamples(100, stats.Detectable(0.1, 0.05, 0.8), 0.14008)
	assert.True(t, ok)
	assert.InDelta(t, 300, more, 1, "half the difference takes four times the examples")
}
