package tensor_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/tensor"
)

// eps is half the distance from 1 to the next float32.
const eps = 1.0 / (1 << 24)

// eachISA runs a test for every instruction set of this machine.
func eachISA(t *testing.T, test func(t *testing.T, k tensor.Kernels)) {
	for _, name := range tensor.ISAs() {
		t.Run(name, func(t *testing.T) {
			k, err := tensor.NewISA(name)
			require.NoError(t, err)
			require.Equal(t, name, k.ISA())
			test(t, k)
		})
	}
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func values(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// view makes a random rows×cols matrix: plain, with wider rows, transposed with
// or without room between, or with no unit stride at all.
func view(r *rand.Rand, rows, cols int, layout byte) tensor.Matrix {
	pad := 1 + r.IntN(5)
	switch layout {
	case 'p':
		return tensor.Mat(values(r, rows*cols), rows, cols)
	case 's':
		return tensor.Strided(values(r, rows*(cols+pad)), rows, cols, cols+pad)
	case 'u':
		return tensor.Mat(values(r, rows*cols), cols, rows).T()
	case 't':
		return tensor.Strided(values(r, cols*(rows+pad)), cols, rows, rows+pad).T()
	}
	return tensor.Matrix{Data: values(r, rows*cols*6), Rows: rows, Cols: cols, RowStride: 2 * cols, ColStride: 2}
}

func at(a tensor.Matrix, i, j int) float64 { return float64(a.Data[i*a.RowStride+j*a.ColStride]) }

// checkProduct compares got with c + a·b. Each of k products and sums may round
// once: |error| <= (k+2) eps (sum |a||b| + |c|).
func checkProduct(t *testing.T, got, c, a, b tensor.Matrix, acc bool) {
	t.Helper()
	for i := range got.Rows {
		for j := range got.Cols {
			want, size := 0.0, 0.0
			if acc {
				want, size = at(c, i, j), math.Abs(at(c, i, j))
			}
			for p := range a.Cols {
				v := at(a, i, p) * at(b, p, j)
				want += v
				size += math.Abs(v)
			}
			if err := math.Abs(at(got, i, j) - want); !(err <= float64(a.Cols+2)*eps*size) {
				t.Fatalf("%dx%dx%d acc=%v: element %d,%d is %g, want %g", got.Rows, got.Cols, a.Cols, acc, i, j, at(got, i, j), want)
			}
		}
	}
}

func copyOf(a tensor.Matrix) tensor.Matrix {
	a.Data = append([]float32(nil), a.Data...)
	return a
}

func TestGemmAgainstFloat64(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(1)
		sizes := []int{1, 2, 3, 5, 7, 8, 9, 12, 13, 15, 16, 17, 24, 25, 31, 32, 33, 40, 48, 57, 64, 70}
		pick := func() int { return sizes[r.IntN(len(sizes))] }
		for range 1500 {
			m, n, inner := pick(), pick(), pick()
			switch r.IntN(30) {
			case 0:
				inner = 250 + r.IntN(300)
			case 1:
				n = 760 + r.IntN(60)
			case 2:
				m = 100 + r.IntN(100)
			case 3:
				m, n, inner = 1+r.IntN(3), 2000+r.IntN(200), 8+8*r.IntN(3)
			case 4:
				m, inner = 1+r.IntN(3), 512*(1+r.IntN(2))
			}
			a := view(r, m, inner, "pstg"[r.IntN(4)])
			b := view(r, inner, n, "psttug"[r.IntN(6)])
			c := view(r, m, n, "ps"[r.IntN(2)])
			acc := r.IntN(2) == 0
			got := copyOf(c)
			k.Gemm(got, a, b, acc)
			checkProduct(t, got, c, a, b, acc)
			for i := range m {
				for j := n; j < c.RowStride; j++ {
					require.Equal(t, c.Data[i*c.RowStride+j], got.Data[i*c.RowStride+j], "value behind row %d of c", i)
				}
			}
		}
	})
}

func TestGemmOfNothing(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		c := []float32{1, 2, 3, 4}
		k.Gemm(tensor.Mat(c, 2, 2), tensor.Mat(nil, 2, 0), tensor.Mat(nil, 0, 2), true)
		assert.Equal(t, []float32{1, 2, 3, 4}, c)
		k.Gemm(tensor.Mat(c, 2, 2), tensor.Mat(nil, 2, 0), tensor.Mat(nil, 0, 2), false)
		assert.Equal(t, []float32{0, 0, 0, 0}, c)
		k.Gemm(tensor.Mat(nil, 0, 2), tensor.Mat(nil, 0, 3), tensor.Mat(make([]float32, 6), 3, 2), false)
		k.Gemm(tensor.Mat(nil, 2, 0), tensor.Mat(make([]float32, 6), 2, 3), tensor.Mat(nil, 3, 0), false)
	})
}

func TestGemmRefusesShapesThatDoNotFit(t *testing.T) {
	data := make([]float32, 12)
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		for name, f := range map[string]func(){
			"inner sizes differ": func() { k.Gemm(tensor.Mat(data, 2, 2), tensor.Mat(data, 2, 3), tensor.Mat(data, 2, 2), false) },
			"rows differ":        func() { k.Gemm(tensor.Mat(data, 3, 2), tensor.Mat(data, 2, 3), tensor.Mat(data, 3, 2), false) },
			"c transposed":       func() { k.Gemm(tensor.Mat(data, 2, 2).T(), tensor.Mat(data, 2, 3), tensor.Mat(data, 3, 2), false) },
			"a too short":        func() { k.Gemm(tensor.Mat(data, 2, 2), tensor.Mat(data[:5], 2, 3), tensor.Mat(data, 3, 2), false) },
			"b too short": func() {
				k.Gemm(tensor.Mat(data, 2, 2), tensor.Mat(data, 2, 3), tensor.Strided(data[:7], 3, 2, 3), false)
			},
			"c too short":     func() { k.Gemm(tensor.Strided(data, 2, 2, 11), tensor.Mat(data, 2, 3), tensor.Mat(data, 3, 2), false) },
			"negative stride": func() { k.Gemm(tensor.Mat(data, 2, 2), tensor.Strided(data, 2, 3, -1), tensor.Mat(data, 3, 2), false) },
		} {
			assert.Panics(t, f, name)
		}
	})
}

// A row of the product has the same bytes whether it is computed alone, in a
// few rows or in many: the paths for few rows must sum in the order of the
// others.
func TestGemmRowsAreIndependent(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(2)
		for _, s := range []struct{ m, n, k int }{{70, 48, 40}, {33, 24, 300}, {64, 8, 520}, {40, 100, 16}, {37, 64, 8}, {30, 780, 20}, {57, 1, 33}, {9, 41, 512}, {6, 33, 1024}, {24, 100, 264}, {90, 8, 96}, {100, 5, 264}} {
			for _, layout := range []string{"pp", "pt", "pu", "tp", "tt", "gs", "gg"} {
				for _, acc := range []bool{false, true} {
					a, b := view(r, s.m, s.k, layout[0]), view(r, s.k, s.n, layout[1])
					c := view(r, s.m, s.n, 'p')
					batch := copyOf(c)
					k.Gemm(batch, a, b, acc)
					for _, rows := range []int{1, 2, 3, 4, 5, 6, 7, 8, 13, 25} {
						for first := 0; first+rows <= s.m; first += rows {
							part := tensor.Mat(append([]float32(nil), c.Data[first*s.n:(first+rows)*s.n]...), rows, s.n)
							slice := a
							slice.Data, slice.Rows = a.Data[first*a.RowStride:], rows
							k.Gemm(part, slice, b, acc)
							require.Equal(t, batch.Data[first*s.n:(first+rows)*s.n], part.Data, "%v %s acc=%v rows %d+%d", s, layout, acc, first, rows)
						}
					}
				}
			}
		}
	})
}

// What is announced to be next, sensible or not, changes no bit of a product.
func TestNextChangesNothing(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(4)
		for _, s := range []struct{ m, n, k int }{{70, 48, 40}, {8, 300, 600}, {20, 700, 520}, {60, 33, 127}, {2, 64, 512}, {1, 1, 1}} {
			for _, layout := range []string{"pp", "pt", "pu", "tp", "gg"} {
				a, b, c := view(r, s.m, s.k, layout[0]), view(r, s.k, s.n, layout[1]), view(r, s.m, s.n, 'p')
				want := copyOf(c)
				k.Gemm(want, a, b, true)
				for _, next := range []tensor.Matrix{
					{}, tensor.Mat(nil, 0, 5), tensor.Mat(nil, 3, 4), tensor.Mat(values(r, 3), 1, 3),
					view(r, 300, 400, 'p'), view(r, 300, 400, 'u'), view(r, s.n, s.k, 'u'), view(r, 9, 700, 'g'), b,
				} {
					got := copyOf(c)
					k.Next(next)
					k.Gemm(got, a, b, true)
					require.Equal(t, want.Data, got.Data, "%v %s, next %dx%d", s, layout, next.Rows, next.Cols)
				}
			}
		}
	})
}

// The instruction sets with fused multiply-add sum in the same order.
func TestGemmInstructionSetsAgree(t *testing.T) {
	r := source(3)
	for _, s := range []struct{ m, n, k int }{{70, 60, 40}, {33, 24, 600}, {5, 800, 300}, {1, 70, 96}, {2, 70, 200}, {3, 70, 512}, {4, 70, 96}, {5, 40, 264}, {6, 32, 8}, {7, 99, 520}, {8, 2100, 72}, {50, 100, 16}, {23, 64, 8}, {16, 70, 12}, {90, 8, 96}, {100, 4, 264}} {
		for _, layout := range []string{"pp", "pt", "pu", "tp", "tt"} {
			a, b, c := view(r, s.m, s.k, layout[0]), view(r, s.k, s.n, layout[1]), view(r, s.m, s.n, 's')
			var first []float32
			for _, name := range tensor.ISAs() {
				if name == "generic" {
					continue
				}
				k, err := tensor.NewISA(name)
				require.NoError(t, err)
				got := copyOf(c)
				k.Gemm(got, a, b, true)
				if first == nil {
					first = got.Data
				}
				require.Equal(t, first, got.Data, fmt.Sprintf("%s %v %s", name, s, layout))
			}
		}
	}
}
