package stats_test

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/verifily/verifily-tui/core/stats"
)

func draws(n int, seed uint64, of func(*rand.Rand) float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 7))
	out := make([]float64, n)
	for i := range out {
		out[i] = of(r)
	}
	return out
}

func normal(r *rand.Rand) float64      { return r.NormFloat64() }
func exponential(r *rand.Rand) float64 { return r.ExpFloat64() }

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

func deviation(v []float64) float64 {
	m, sum := mean(v), 0.0
	for _, x := range v {
		sum += (x - m) * (x - m)
	}
	return math.Sqrt(sum / float64(len(v)))
}

// plainBootstrap is the definition: draw, add up, sort.
func plainBootstrap(n, resamples int, statistic func(draw []int) float64) []float64 {
	r := rand.New(rand.NewPCG(11, 12))
	out := make([]float64, resamples)
	draw := make([]int, n)
	for i := range out {
		for j := range draw {
			draw[j] = r.IntN(n)
		}
		out[i] = statistic(draw)
	}
	slices.Sort(out)
	return out
}

func TestPairedDifferenceMatchesThePlainBootstrap(t *testing.T) {
	const n = 1500
	a, b := draws(n, 1, exponential), draws(n, 2, exponential)
	den := draws(n, 3, func(r *rand.Rand) float64 { return 1 + float64(r.IntN(9)) })
	other := draws(n, 4, func(r *rand.Rand) float64 { return 1 + float64(r.IntN(9)) })
	for i := range b {
		b[i] = 0.7*a[i] + 0.3*b[i] - 0.02 // pairs have something in common
	}
	round := func(v []float64) []float64 {
		out := make([]float64, len(v))
		for i := range v {
			out[i] = math.Round(v[i])
		}
		return out
	}
	for name, c := range map[string]struct{ a, b stats.Sample }{
		"mean":                   {stats.Sample{Num: a}, stats.Sample{Num: b}},
		"few kinds":              {stats.Sample{Num: round(a)}, stats.Sample{Num: round(b)}},
		"turned mean":            {stats.Sample{Num: a, Of: math.Exp}, stats.Sample{Num: b, Of: math.Exp}},
		"ratio":                  {stats.Sample{Num: a, Den: den}, stats.Sample{Num: b, Den: den}},
		"perplexity":             {stats.Sample{Num: a, Den: den, Of: math.Exp}, stats.Sample{Num: b, Den: den, Of: math.Exp}},
		"different denominators": {stats.Sample{Num: a, Den: den}, stats.Sample{Num: b, Den: other}},
		"one denominator":        {stats.Sample{Num: a}, stats.Sample{Num: b, Den: other}},
	} {
		at := func(s stats.Sample, draw []int) float64 {
			var num, d float64
			for _, i := range draw {
				num += s.Num[i]
				if s.Den != nil {
					d += s.Den[i]
				} else {
					d++
				}
			}
			if s.Of != nil {
				return s.Of(num / d)
			}
			return num / d
		}
		want := plainBootstrap(n, 4000, func(draw []int) float64 { return at(c.b, draw) - at(c.a, draw) })
		got, err := stats.PairedDifference(context.Background(), c.a, c.b, stats.Options{})
		require.NoError(t, err)
		se := deviation(want)
		assert.InDelta(t, c.b.Value()-c.a.Value(), got.Delta, 1e-12, name)
		assert.InDelta(t, want[100], got.Interval.Low, 0.2*se, name)
		assert.InDelta(t, want[3899], got.Interval.High, 0.2*se, name)
		assert.InEpsilon(t, se, got.SE, 0.06, name)
		assert.Equal(t, n, got.Interval.N)
	}
}

func TestUnpairedDifferenceMatchesTheNormalInterval(t *testing.T) {
	a, b := draws(3000, 1, normal), draws(2000, 2, func(r *rand.Rand) float64 { return 0.1 + 2*r.NormFloat64() })
	got, err := stats.UnpairedDifference(context.Background(), stats.Sample{Num: a}, stats.Sample{Num: b}, stats.Options{})
	require.NoError(t, err)
	va, vb := deviation(a), deviation(b)
	se := math.Sqrt(va*va/3000 + vb*vb/2000)
	assert.InDelta(t, mean(b)-mean(a), got.Delta, 1e-12)
	assert.InDelta(t, got.Delta-1.96*se, got.Interval.Low, 0.1*se)
	assert.InDelta(t, got.Delta+1.96*se, got.Interval.High, 0.1*se)
	assert.InDelta(t, 2*stats.NormalCDF(-math.Abs(got.Delta)/se), got.P, 0.01)
	assert.Equal(t, 2000, got.Interval.N)
}

func TestProbabilityAgreesWithTheInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(20, 80).Draw(t, "n")
		shift := rapid.Float64Range(-0.6, 0.6).Draw(t, "shift")
		a := draws(n, rapid.Uint64().Draw(t, "seed"), normal)
		b := make([]float64, n)
		for i := range b {
			b[i] = shift
		}
		d, err := stats.PairedDifference(context.Background(), stats.Sample{Num: a}, stats.Sample{Num: b}, stats.Options{Resamples: 2000})
		require.NoError(t, err)
		if math.Abs(d.P-0.05) > 0.002 {
			require.Equal(t, d.P > 0.05, d.Interval.Contains(0), "p %v, interval %v", d.P, d.Interval)
		}
	})
}

func TestDifferencesOfNothing(t *testing.T) {
	same := draws(200, 1, normal)
	d, err := stats.PairedDifference(context.Background(), stats.Sample{Num: same}, stats.Sample{Num: same}, stats.Options{})
	require.NoError(t, err)
	assert.Equal(t, stats.Difference{P: 1, Interval: stats.Interval{N: 200, Method: stats.MethodPercentile}}, d)

	d, err = stats.PairedDifference(context.Background(), stats.Sample{Num: []float64{1}}, stats.Sample{Num: []float64{3}}, stats.Options{})
	require.NoError(t, err)
	assert.Equal(t, 2.0, d.Interval.Low, "one example always differs by the same")
	assert.Equal(t, 1.0, d.P, "and proves nothing")
}

// TestFewExamplesProveLittle counts false alarms among samples that do not
// differ: 5 % are meant, and few examples must not make them many. Over 500
// samples the count has a standard error of 5.
func TestFewExamplesProveLittle(t *testing.T) {
	ctx, opt := context.Background(), stats.Options{Resamples: 399}
	for _, n := range []int{1, 2, 3, 5, 10, 30} {
		paired, unpaired, covered := 0, 0, 0
		for sample := range uint64(500) {
			a, b := stats.Sample{Num: draws(n, 5000+sample, normal)}, stats.Sample{Num: draws(n, 15000+sample, normal)}
			p, err := stats.PairedDifference(ctx, a, b, opt)
			require.NoError(t, err)
			u, err := stats.UnpairedDifference(ctx, a, b, opt)
			require.NoError(t, err)
			if p.P < 0.05 {
				paired++
			}
			if u.P < 0.05 {
				unpaired++
			}
			if p.Interval.Contains(0) {
				covered++
			}
		}
		assert.Less(t, paired, 40, "paired, n=%d", n)
		assert.Less(t, unpaired, 40, "unpaired, n=%d", n)
		if n >= 10 {
			assert.Greater(t, covered, 460, "n=%d", n)
		}
	}
}

func TestLeastP(t *testing.T) {
	assert.Equal(t, []float64{1, 1, 0.5, 0.25}, []float64{stats.LeastP(0), stats.LeastP(1), stats.LeastP(2), stats.LeastP(3)})
	assert.Equal(t, stats.McNemar(0, 9), stats.LeastP(9), "all in one direction")
	assert.Equal(t, 0.0, stats.LeastP(1_000_000))
}

// Several functions of the same ratios get what each would get alone.
func TestPairedDifferences(t *testing.T) {
	const n = 3000
	a, b := draws(n, 1, exponential), draws(n, 2, exponential)
	den := draws(n, 3, func(r *rand.Rand) float64 { return 1 + float64(r.IntN(9)) })
	for name, d := range map[string][2][]float64{"means": {nil, nil}, "ratios": {den, den}, "other ratios": {den, nil}} {
		x, y := stats.Sample{Num: a, Den: d[0]}, stats.Sample{Num: b, Den: d[1]}
		got, err := stats.PairedDifferences(context.Background(), x, y, []func(float64) float64{nil, math.Exp}, stats.Options{Resamples: 1000})
		require.NoError(t, err)
		for i, of := range []func(float64) float64{nil, math.Exp} {
			x.Of, y.Of = of, of
			want, err := stats.PairedDifference(context.Background(), x, y, stats.Options{Resamples: 1000})
			require.NoError(t, err)
			assert.Equal(t, want.P, got[i].P, name)
			for _, p := range [][2]float64{{want.Delta, got[i].Delta}, {want.SE, got[i].SE}, {want.Interval.Low, got[i].Interval.Low}, {want.Interval.High, got[i].Interval.High}} {
				assert.InDelta(t, p[0], p[1], 1e-9, name)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := stats.PairedDifferences(ctx, stats.Sample{Num: a}, stats.Sample{Num: b}, []func(float64) float64{nil}, stats.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// Numbers near the end of the range have a difference like any others.
func TestHugeNumbers(t *testing.T) {
	huge, zero := stats.Sample{Num: slices.Repeat([]float64{1e200, 2e200, 4e200}, 20)}, stats.Sample{Num: make([]float64, 60)}
	small := stats.Sample{Num: slices.Repeat([]float64{1, 2, 4}, 20)}
	got, err := stats.PairedDifference(context.Background(), huge, zero, stats.Options{})
	require.NoError(t, err)
	want, err := stats.PairedDifference(context.Background(), small, zero, stats.Options{})
	require.NoError(t, err)
	assert.InEpsilon(t, want.SE, got.SE/1e200, 1e-9)
	assert.InEpsilon(t, want.Interval.Low, got.Interval.Low/1e200, 1e-9)
	assert.Equal(t, want.P, got.P)
}

func TestResultsDoNotDependOnProcessors(t *testing.T) {
	a, b := draws(5000, 1, exponential), draws(5000, 2, exponential)
	counts := []int{500, 300, 40, 200, 3}
	statistic := func(c []int) float64 { return float64(c[0]-c[1]) / float64(c[2]+c[3]+1) }
	all := func() (out []any) {
		ctx, opt := context.Background(), stats.Options{Resamples: 1000}
		d, err := stats.PairedDifference(ctx, stats.Sample{Num: a}, stats.Sample{Num: b}, opt)
		require.NoError(t, err)
		u, err := stats.UnpairedDifference(ctx, stats.Sample{Num: a}, stats.Sample{Num: b}, opt)
		require.NoError(t, err)
		c, err := stats.PairedCountsDifference(ctx, counts, 500, statistic, opt)
		require.NoError(t, err)
		i, ok := stats.Bootstrap(stats.Sample{Num: append([]float64{1e6}, a...)}, opt)
		require.True(t, ok)
		return []any{d, u, c, i}
	}
	want := all()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, processors := range []int{1, 3, 8} {
		runtime.GOMAXPROCS(processors)
		assert.Equal(t, want, all())
	}
}

func TestSeeds(t *testing.T) {
	a, b := stats.Sample{Num: draws(300, 1, normal)}, stats.Sample{Num: draws(300, 2, normal)}
	at := func(seed *int64) stats.Difference {
		d, err := stats.PairedDifference(context.Background(), a, b, stats.Options{Seed: seed, Resamples: 500})
		require.NoError(t, err)
		return d
	}
	zero, standard := int64(0), int64(stats.Seed)
	assert.Equal(t, at(nil), at(&standard))
	assert.NotEqual(t, at(nil), at(&zero))
}

func TestCancelledDifferencesStop(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a := stats.Sample{Num: draws(5000, 1, normal)}
	_, err := stats.PairedDifference(ctx, a, a, stats.Options{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = stats.UnpairedDifference(ctx, a, a, stats.Options{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = stats.PairedCountsDifference(ctx, []int{3, 4}, 4, func([]int) float64 { return 0 }, stats.Options{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = stats.UnpairedCountsDifference(ctx, []int{3}, []int{4}, func([]int) float64 { return 0 }, func([]int) float64 { return 0 }, stats.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestBootstrapNeedsVariation(t *testing.T) {
	_, ok := stats.Bootstrap(stats.Sample{Num: []float64{1}}, stats.Options{})
	assert.False(t, ok)
	_, ok = stats.Bootstrap(stats.Sample{Num: []float64{0.1, 0.1, 0.1}}, stats.Options{})
	assert.False(t, ok)
	_, ok = stats.Bootstrap(stats.Sample{Num: []float64{0.3, 0.6, 0.9}, Den: []float64{1, 2, 3}}, stats.Options{})
	assert.False(t, ok, "ratios that agree but for rounding")
}

// TestExpansionMeetsResampling takes samples that the expansion is used for and
// holds it against the plain bootstrap with BCa's formulas.
func TestExpansionMeetsResampling(t *testing.T) {
	const n, resamples = 400, 20000
	for name, s := range map[string]stats.Sample{
		"skewed mean":  {Num: draws(n, 1, exponential)},
		"skewed ratio": {Num: draws(n, 1, exponential), Den: draws(n, 3, func(r *rand.Rand) float64 { return 1 + float64(r.IntN(20)) })},
	} {
		got, ok := stats.Bootstrap(s, stats.Options{})
		require.True(t, ok)
		require.Equal(t, stats.MethodAnalytic, got.Method, name)
		values := plainBootstrap(n, resamples, func(draw []int) float64 {
			var num, den float64
			for _, i := range draw {
				num += s.Num[i]
				den++
				if s.Den != nil {
					den += s.Den[i] - 1
				}
			}
			return num / den
		})
		theta := s.Value()
		below, _ := slices.BinarySearch(values, theta)
		bias := stats.NormalQuantile(float64(below) / resamples)
		var square, cube float64 // of the jackknife values, leaving out one example at a time
		num, den := mean(s.Num)*n, float64(n)
		if s.Den != nil {
			den = mean(s.Den) * n
		}
		left := make([]float64, n)
		for i := range left {
			d := 1.0
			if s.Den != nil {
				d = s.Den[i]
			}
			left[i] = (num - s.Num[i]) / (den - d)
		}
		for _, v := range left {
			square += (mean(left) - v) * (mean(left) - v)
			cube += math.Pow(mean(left)-v, 3)
		}
		a := cube / (6 * math.Pow(square, 1.5))
		end := func(z float64) float64 {
			p := stats.NormalCDF(bias + (bias+z)/(1-a*(bias+z)))
			return values[int(p*resamples)]
		}
		se := deviation(values)
		assert.InDelta(t, end(-1.96), got.Low, 0.07*se, name)
		assert.InDelta(t, end(1.96), got.High, 0.07*se, name)
		assert.Greater(t, got.High-theta, theta-got.Low, "%s: the long tail is above", name)
	}
}

func TestWildSamplesAreResampled(t *testing.T) {
	few := draws(20, 1, exponential)
	outlier := append(draws(1000, 2, normal), 1e4)
	for _, v := range [][]float64{few, outlier} {
		got, ok := stats.Bootstrap(stats.Sample{Num: v}, stats.Options{})
		require.True(t, ok)
		assert.Equal(t, stats.MethodBCa, got.Method)
		assert.True(t, got.Contains(mean(v)))
		assert.True(t, got.Low >= slices.Min(v) && got.High <= slices.Max(v))
	}
}

func TestIncreasingFunctionsTurnTheEnds(t *testing.T) {
	for _, n := range []int{30, 500} {
		v := draws(n, 5, exponential)
		plain, _ := stats.Bootstrap(stats.Sample{Num: v}, stats.Options{})
		turned, _ := stats.Bootstrap(stats.Sample{Num: v, Of: math.Exp}, stats.Options{})
		assert.Equal(t, plain.Of(math.Exp), turned)
	}
}

// TestCoverage counts how often intervals hold the true mean. Over 500 samples
// a coverage of 95 % has a standard error of 1 point; small skewed samples
// are known to stay a few points below.
func TestCoverage(t *testing.T) {
	for name, c := range map[string]struct {
		n     int
		of    func(*rand.Rand) float64
		truth float64
		least int
	}{
		"normal 30":       {30, normal, 0, 450},
		"exponential 30":  {30, exponential, 1, 443},
		"exponential 200": {200, exponential, 1, 457},
		"ones in ten 100": {100, func(r *rand.Rand) float64 { return math.Floor(r.Float64() + 0.1) }, 0.1, 445},
	} {
		hits := 0
		for sample := range uint64(500) {
			i, ok := stats.Bootstrap(stats.Sample{Num: draws(c.n, 1000+sample, c.of)}, stats.Options{Resamples: 999})
			if ok && i.Contains(c.truth) {
				hits++
			}
		}
		assert.Greater(t, hits, c.least, name)
		assert.Less(t, hits, 490, name)
	}
}

func TestCountsAreAMeanInDisguise(t *testing.T) {
	ones := func(c []int) float64 { return float64(c[1]) / float64(c[0]+c[1]) }
	for n, method := range map[int]string{40: stats.MethodBCa, 4000: stats.MethodAnalytic} {
		counts := []int{n * 6 / 10, n * 4 / 10, 0}
		var v []float64
		for kind, c := range counts {
			v = append(v, slices.Repeat([]float64{float64(kind)}, c)...)
		}
		got, ok := stats.BootstrapCounts(counts, ones, stats.Options{})
		require.True(t, ok)
		want, ok := stats.Bootstrap(stats.Sample{Num: v}, stats.Options{})
		require.True(t, ok)
		assert.Equal(t, method, got.Method)
		assert.InDelta(t, want.Low, got.Low, 0.02*(want.High-want.Low)+1.01/float64(n)*float64(40/n))
		assert.InDelta(t, want.High, got.High, 0.02*(want.High-want.Low)+1.01/float64(n)*float64(40/n))
		assert.Equal(t, n, got.N)
	}
	_, ok := stats.BootstrapCounts([]int{1}, ones, stats.Options{})
	assert.False(t, ok)
	_, ok = stats.BootstrapCounts([]int{5, 0}, ones, stats.Options{})
	assert.False(t, ok)
	for _, v := range []float64{math.NaN(), 0.5} {
		_, ok = stats.BootstrapCounts([]int{5, 5}, func([]int) float64 { return v }, stats.Options{})
		assert.False(t, ok)
	}
}

func TestCountDifferences(t *testing.T) {
	// 100 pairs: 5 broken, 15 fixed, the rest alike.
	v := slices.Concat(slices.Repeat([]float64{-1}, 5), slices.Repeat([]float64{1}, 15), make([]float64, 80))
	share := func(c []int) float64 { return float64(c[1]-c[0]) / 100 }
	got, err := stats.PairedCountsDifference(context.Background(), []int{5, 15, 80}, 20, share, stats.Options{})
	require.NoError(t, err)
	want, err := stats.PairedDifference(context.Background(), stats.Sample{Num: make([]float64, 100)}, stats.Sample{Num: v}, stats.Options{})
	require.NoError(t, err)
	assert.Equal(t, 0.1, got.Delta)
	assert.InDelta(t, want.Interval.Low, got.Interval.Low, 0.0101)
	assert.InDelta(t, want.Interval.High, got.Interval.High, 0.0101)
	assert.InDelta(t, want.P, got.P, 0.01)

	ones := func(c []int) float64 { return float64(c[0]) / float64(c[0]+c[1]) }
	free, err := stats.UnpairedCountsDifference(context.Background(), []int{50, 50}, []int{60, 40}, ones, ones, stats.Options{})
	require.NoError(t, err)
	assert.InDelta(t, 0.1, free.Delta, 1e-12)
	assert.InDelta(t, math.Sqrt(0.25/100+0.24/100), free.SE, 0.002)
}

func BenchmarkPairedBootstrap100k(b *testing.B) {
	const n = 100_000
	x, y := draws(n, 1, exponential), draws(n, 2, exponential)
	den := draws(n, 3, func(r *rand.Rand) float64 { return 1 + float64(r.IntN(50)) })
	bits := func(seed uint64) []float64 {
		return draws(n, seed, func(r *rand.Rand) float64 { return float64(r.IntN(2)) })
	}
	for _, c := range []struct {
		name string
		a, b stats.Sample
	}{
		{"any numbers", stats.Sample{Num: x}, stats.Sample{Num: y}},
		{"mean by tokens", stats.Sample{Num: x, Den: den}, stats.Sample{Num: y, Den: den}},
		{"perplexity", stats.Sample{Num: x, Of: math.Exp}, stats.Sample{Num: y, Of: math.Exp}},
		{"right or wrong", stats.Sample{Num: bits(1)}, stats.Sample{Num: bits(2)}},
		{"perplexity by tokens", stats.Sample{Num: x, Den: den, Of: math.Exp}, stats.Sample{Num: y, Den: den, Of: math.Exp}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := stats.PairedDifference(context.Background(), c.a, c.b, stats.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
