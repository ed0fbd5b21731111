package tensor_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/verifily/verifily-tui/core/tensor"
)

// TestQuantize: every value comes back within half a step of its row or block,
// zero exactly, and the memory is what the formats promise.
func TestQuantize(t *testing.T) {
	for _, shape := range [][2]int{{1, 1}, {3, 64}, {5, 65}, {7, 129}, {40, 344}, {300, 64}} {
		rows, cols := shape[0], shape[1]
		w := make([]float32, rows*cols)
		tensor.NewPhilox(3).Normal(w, 0.02)
		w[0] = 0
		for name, c := range map[string]struct {
			q     tensor.Quantized
			block int
			step  float64 // largest gap between levels over the magnitude, halved
		}{
			"int8": {tensor.NewInt8(w, rows, cols), cols, 0.5 / 127},
			"nf4":  {tensor.NewNF4(w, rows, cols), 64, (1 - 0.6961928) / 2},
		} {
			got := make([]float32, len(w))
			c.q.Rows(got, 0, rows)
			assert.Zero(t, got[0], name)
			for r := range rows {
				for b := 0; b < cols; b += c.block {
					end := min(b+c.block, cols)
					top := 0.0
					for i := b; i < end; i++ {
						top = max(top, math.Abs(float64(w[r*cols+i])))
					}
					for i := b; i < end; i++ {
						e := math.Abs(float64(got[r*cols+i] - w[r*cols+i]))
						// Magnitudes kept in 8 bits may be off by a few percent.
						assert.LessOrEqual(t, e, top*(c.step+0.05*step(name))+1e-9, "%s %v row %d value %d", name, shape, r, i)
					}
				}
			}
			part := make([]float32, cols)
			c.q.Rows(part, rows-1, 1)
			assert.Equal(t, got[(rows-1)*cols:], part, name)
		}
	}
	w := make([]float32, 512*512)
	tensor.NewPhilox(4).Normal(w, 0.02)
	assert.Less(t, float64(tensor.NewInt8(w, 512, 512).Bytes()), 0.26*4*float64(len(w)))
	assert.Less(t, float64(tensor.NewNF4(w, 512, 512).Bytes()), 0.13*4*float64(len(w)))
}

func step(name string) float64 {
	if name == "nf4" {
		return 1
	}
	return 0
}

func TestQuantizeZeros(t *testing.T) {
	w := make([]float32, 130)
	for _, q := range []tensor.Quantized{tensor.NewInt8(w, 2, 65), tensor.NewNF4(w, 2, 65)} {
		got := []float32{9: 1, 129: 1}
		q.Rows(got, 0, 2)
		assert.Equal(t, w, got)
	}
}
