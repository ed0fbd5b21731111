package tensor

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The search finds what trying every level finds.
func TestNearestLevel(t *testing.T) {
	nearest := func(x float32) (best byte) {
		for i, l := range nf4Levels {
			if math.Abs(float64(x-l)) < math.Abs(float64(x-nf4Levels[best])) {
				best = byte(i)
			}
		}
		return best
	}
	try := func(x float32) {
		require.Equal(t, nearest(x), nearestLevel(x), "%g", x)
	}
	inf := float32(math.Inf(1))
	centres := nf4Levels[:]
	for i, l := range nf4Levels[1:] {
		centres = append(centres, (nf4Levels[i]+l)/2)
	}
	for _, centre := range centres {
		up, down := centre, centre
		for range 500 {
			try(up)
			try(down)
			up, down = math.Nextafter32(up, inf), math.Nextafter32(down, -inf)
		}
	}
	x := make([]float32, 100000)
	for _, bound := range []float32{1.5, 1e-3, 100, 1 << 22} {
		NewPhilox(6).Uniform(x, bound)
		for _, v := range x {
			try(v)
		}
	}
	try(-inf)
	assert.EqualValues(t, 15, nearestLevel(inf))
}
