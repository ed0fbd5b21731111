package tensor

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The assembly draws the bits of the plain code.
func TestDropoutVectorsAreThePlainOnes(t *testing.T) {
	p := NewPhilox(11, 2)
	for _, d := range droppers {
		for _, n := range []int{0, d.group - 1, d.group, 3*d.group + 5, chunk + 2*d.group} {
			for _, rate := range []float32{0, 0.1, 0.5, 0.999} {
				src := make([]float32, n)
				p.Normal(src, 1)
				row, threshold, keep := uint64(n)<<33+7, uint32(float64(rate)*(1<<32)), 1/(1-rate)
				want, got := make([]float32, n), make([]float32, n)
				p.dropout(want, src, 0, row, threshold, keep)
				done := d.do(p, got, src, row, threshold, keep)
				require.Equal(t, n/d.group*d.group, done)
				require.True(t, slices.Equal(want[:done], got[:done]), "group %d, n %d, rate %g", d.group, n, rate)
			}
		}
	}
}
