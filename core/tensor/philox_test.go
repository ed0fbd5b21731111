package tensor_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/tensor"
)

func TestPhiloxStreamsDiffer(t *testing.T) {
	seen := map[[4]uint32]string{}
	for seed := range int64(4) {
		for purpose := range uint64(4) {
			for _, p := range []struct {
				name   string
				stream tensor.Philox
			}{
				{fmt.Sprintf("%d", seed), tensor.NewPhilox(seed)},
				{fmt.Sprintf("%d/%d", seed, purpose), tensor.NewPhilox(seed, purpose)},
				{fmt.Sprintf("%d/%d/0", seed, purpose), tensor.NewPhilox(seed, purpose, 0)},
				{fmt.Sprintf("%d/0/%d", seed, purpose+1), tensor.NewPhilox(seed, 0, purpose+1)},
			} {
				block := p.stream.Block(0, 0)
				if other, ok := seen[block]; ok {
					require.Equal(t, other, p.name, "two streams are the same")
				}
				seen[block] = p.name
			}
		}
	}
}

func TestUniformAndNormal(t *testing.T) {
	const n = 100000
	x := make([]float32, n)
	p := tensor.NewPhilox(7, 1)
	moments := func() (mean, variance, most float64) {
		for _, v := range x {
			mean += float64(v) / n
			most = max(most, math.Abs(float64(v)))
		}
		for _, v := range x {
			variance += (float64(v) - mean) * (float64(v) - mean) / n
		}
		return mean, variance, most
	}
	p.Uniform(x, 0.5)
	mean, variance, most := moments()
	assert.InDelta(t, 0, mean, 0.004)
	assert.InDelta(t, 1.0/12, variance, 0.001)
	assert.LessOrEqual(t, most, 0.5)
	p.Normal(x, 2)
	mean, variance, most = moments()
	assert.InDelta(t, 0, mean, 0.025)
	assert.InDelta(t, 4, variance, 0.08)
	assert.Less(t, most, 12.0)
}

func TestPermIsAPermutation(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 100} {
		seen := make([]bool, n)
		for _, i := range tensor.NewPhilox(3, uint64(n)).Perm(n) {
			require.False(t, seen[i])
			seen[i] = true
		}
		assert.NotContains(t, seen, false)
	}
}

// All 24 orders of four things come up equally often: 24 000 draws, mean 1000
// and standard deviation 31 each.
func TestPermIsUnbiased(t *testing.T) {
	counts := map[string]int{}
	for i := range uint64(24000) {
		counts[fmt.Sprint(tensor.NewPhilox(5, i).Perm(4))]++
	}
	assert.Len(t, counts, 24)
	for order, n := range counts {
		assert.InDelta(t, 1000, n, 160, order)
	}
}

func TestDropoutRate(t *testing.T) {
	p := tensor.NewPhilox(11, 2)
	r := source(20)
	for _, rate := range []float32{0, 0.05, 0.5, 0.9} {
		x := values(r, 100000)
		y := make([]float32, len(x))
		p.Dropout(y, x, 3, rate)
		kept := 0
		for i, v := range y {
			if v != 0 {
				kept++
				require.Equal(t, x[i]*(1/(1-rate)), v)
			}
		}
		assert.InDelta(t, 1-float64(rate), float64(kept)/float64(len(x)), 0.006)
		p.Dropout(x, x, 3, rate)
		require.True(t, slices.Equal(y, x), "in place")
	}
}

// The mask of a row depends on its number alone, and rows have different masks.
func TestDropoutMasksByRow(t *testing.T) {
	const n = 200
	p := tensor.NewPhilox(11, 2)
	ones := make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	rows := make([][]float32, 4)
	for i := range rows {
		rows[i] = make([]float32, n)
		p.Dropout(rows[i], ones, uint64(i)<<31, 0.5)
	}
	for i, a := range rows {
		for _, b := range rows[i+1:] {
			same := 0
			for j := range a {
				if a[j] == b[j] {
					same++
				}
			}
			assert.InDelta(t, n/2, same, 45) // six standard deviations
		}
		for _, short := range []int{1, 31, 50, 65, 130} {
			y := make([]float32, short)
			p.Dropout(y, ones[:short], uint64(i)<<31, 0.5)
			assert.Equal(t, a[:short], y, "a shorter row starts alike")
		}
	}
}
