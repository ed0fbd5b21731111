package tensor_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/tensor"
)

// rowSizes are the lengths tried: around every vector width and unrolling.
var rowSizes = []int{1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 100, 128, 129, 344, 1000}

// near asserts |got-want| <= ulps·eps·size, where size is the sum of the
// magnitudes that went into the element.
func near(t *testing.T, want float64, got float32, size, ulps float64, what string, i int) {
	t.Helper()
	if err := math.Abs(float64(got) - want); !(err <= ulps*eps*size+1e-37) {
		t.Fatalf("%s[%d] is %g, want %g: off by %.1f of %g", what, i, got, want, err/(eps*size), ulps)
	}
}

func cloned(x []float32) []float32 { return slices.Clone(x) }

func spread(r *rand.Rand, n int, scale float64) []float32 {
	x := values(r, n)
	for i := range x {
		x[i] *= float32(scale)
	}
	return x
}

func TestRMSNorm(t *testing.T) {
	const rmsEps = 1e-5
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(10)
		for _, d := range rowSizes {
			const rows = 3
			x, w, dy := values(r, rows*d), values(r, d), values(r, rows*d)
			out, inv := make([]float32, rows*d), make([]float32, rows)
			k.RMSNorm(out, inv, x, w, d, rmsEps)
			dx, dw := values(r, rows*d), values(r, d)
			dxBefore, dwBefore := cloned(dx), cloned(dw)
			k.RMSNormBackward(dx, dw, dy, x, w, inv, d)
			dxAlone := cloned(dxBefore)
			k.RMSNormBackward(dxAlone, nil, dy, x, w, inv, d)
			assert.Equal(t, dx, dxAlone, "dx without dw")
			inPlace := cloned(x)
			k.RMSNorm(inPlace, inv, inPlace, w, d, rmsEps)
			assert.Equal(t, out, inPlace, "in place")

			sumDW, sizeDW := make([]float64, d), make([]float64, d)
			for row := range rows {
				var sum, dot, dotSize float64
				xr, dyr := x[row*d:][:d], dy[row*d:][:d]
				for i, v := range xr {
					sum += float64(v) * float64(v)
					p := float64(v) * float64(w[i]) * float64(dyr[i])
					dot += p
					dotSize += math.Abs(p)
				}
				s := 1 / math.Sqrt(sum/float64(d)+rmsEps)
				near(t, s, inv[row], s, float64(d)+8, "inv", row)
				for i, v := range xr {
					y := float64(v) * s * float64(w[i])
					near(t, y, out[row*d+i], math.Abs(y), float64(d)+8, "out", i)
					g, f := float64(dyr[i])*float64(w[i])*s, s*s*s/float64(d)*float64(v)
					near(t, float64(dxBefore[row*d+i])+g-f*dot, dx[row*d+i],
						math.Abs(float64(dxBefore[row*d+i]))+math.Abs(g)+math.Abs(f)*dotSize, 4*float64(d)+32, "dx", i)
					sumDW[i] += float64(dyr[i]) * float64(v) * s
					sizeDW[i] += math.Abs(float64(dyr[i]) * float64(v) * s)
				}
			}
			for i := range d {
				near(t, float64(dwBefore[i])+sumDW[i], dw[i], math.Abs(float64(dwBefore[i]))+sizeDW[i], float64(d)+16, "dw", i)
			}
		}
	})
}

func TestRope(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(11)
		for _, dim := range []int{2, 6, 16, 32, 34, 64, 100} {
			const heads = 3
			table := tensor.NewRopeTable(dim, 40, 10000)
			pos := []int32{0, 5, 39, 17}
			x := values(r, len(pos)*heads*dim)
			got := cloned(x)
			k.Rope(got, heads, pos, table, false)
			for row, p := range pos {
				for h := range heads {
					at := (row*heads + h) * dim
					for i := range dim / 2 {
						angle := float64(p) * math.Pow(10000, -2*float64(i)/float64(dim))
						sin, cos := math.Sincos(angle)
						a, b := float64(x[at+i]), float64(x[at+i+dim/2])
						size := math.Abs(a) + math.Abs(b)
						near(t, a*cos-b*sin, got[at+i], size, 4, "low", i)
						near(t, b*cos+a*sin, got[at+i+dim/2], size, 4, "high", i)
					}
				}
			}
			k.Rope(got, heads, pos, table, true)
			for i := range x {
				assert.InDelta(t, x[i], got[i], 1e-5, "rotated there and back")
			}
		}
		k.Rope(nil, 3, nil, tensor.NewRopeTable(8, 2, 10000), false)
	})
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func TestSwiGLU(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(12)
		for _, n := range rowSizes {
			gate, up, dy := spread(r, n, 8), values(r, n), values(r, n)
			out := make([]float32, n)
			k.SwiGLU(out, gate, up)
			dGate, dUp := cloned(gate), cloned(up)
			k.SwiGLUBackward(dGate, dUp, dy)
			for i := range n {
				x, u, d := float64(gate[i]), float64(up[i]), float64(dy[i])
				s := sigmoid(x)
				near(t, x*s*u, out[i], math.Abs(x*s*u), 8, "out", i)
				near(t, d*x*s, dUp[i], math.Abs(d*x*s), 8, "gradient of up", i)
				near(t, d*u*s*(1+x*(1-s)), dGate[i], math.Abs(d*u*s)*(1+math.Abs(x)), 12, "gradient of gate", i)
			}
		}
	})
}

// Far from zero the gate is open or shut, and what is not a number stays so.
func TestSwiGLUAtTheEnds(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		gate := []float32{-1e30, -200, -100, 100, 200, 1e30, float32(math.NaN()), float32(math.Inf(1))}
		up := []float32{1, 1, 1, 1, 1, 1, 1, 1}
		out := make([]float32, len(gate))
		k.SwiGLU(out, gate, up)
		assert.InDeltaSlice(t, []float32{0, 0, 0, 100, 200}, out[:5], 1e-6)
		assert.Equal(t, float32(1e30), out[5])
		assert.True(t, math.IsNaN(float64(out[6])))
		assert.True(t, math.IsInf(float64(out[7]), 1))
	})
}

func TestCausalSoftmax(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(13)
		for _, n := range rowSizes {
			m := min(n, 20)
			offset, scale := n-m, float32(0.3)
			s := view(r, m, n, 's')
			for i := range s.Data {
				s.Data[i] *= 20
			}
			got := copyOf(s)
			k.CausalSoftmax(got, offset, scale)
			for i := range m {
				top, sum := math.Inf(-1), 0.0
				for j := range offset + i + 1 {
					top = max(top, at(s, i, j))
				}
				for j := range offset + i + 1 {
					sum += math.Exp((at(s, i, j) - top) * float64(scale))
				}
				for j := range n {
					want := 0.0
					if j <= offset+i {
						want = math.Exp((at(s, i, j)-top)*float64(scale)) / sum
					}
					// An argument of size z is rounded to z·eps.
					near(t, want, got.Row(i)[j], want, float64(n)+8+2*math.Abs(at(s, i, j)-top), "p", j)
				}
				for j := n; j < s.RowStride && i < m-1; j++ {
					require.Equal(t, s.Data[i*s.RowStride+j], got.Data[i*s.RowStride+j], "value behind row %d", i)
				}
			}
		}
	})
}

func TestSoftmaxBackward(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(14)
		for _, n := range rowSizes {
			dp, p := view(r, 3, n, 's'), view(r, 3, n, 's')
			got := copyOf(dp)
			k.SoftmaxBackward(got, p, 0.25)
			for i := range 3 {
				var dot, size float64
				for j := range n {
					dot += at(dp, i, j) * at(p, i, j)
					size += math.Abs(at(dp, i, j) * at(p, i, j))
				}
				for j := range n {
					near(t, 0.25*at(p, i, j)*(at(dp, i, j)-dot), got.Row(i)[j],
						0.25*math.Abs(at(p, i, j))*(math.Abs(at(dp, i, j))+size), float64(n)+6, "ds", j)
				}
			}
		}
	})
}

func TestCrossEntropy(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(15)
		for _, n := range append([]int{511, 512, 513, 20000}, rowSizes...) {
			logits := spread(r, n, 5)
			target := r.IntN(n)
			top, sum := math.Inf(-1), 0.0
			for _, v := range logits {
				top = max(top, float64(v))
			}
			for _, v := range logits {
				sum += math.Exp(float64(v) - top)
			}
			lse := top + math.Log(sum)
			assert.InDelta(t, lse, k.LogSumExp(logits), 3e-7*math.Max(1, math.Abs(lse)), "n=%d", n)
			before := cloned(logits)
			loss := k.CrossEntropy(logits, target, 0.125)
			assert.InDelta(t, lse-float64(before[target]), loss, 3e-7*math.Max(1, math.Abs(loss)), "n=%d", n)
			for i, v := range before {
				p := math.Exp(float64(v) - lse)
				want, size := p*0.125, p*0.125
				if i == target {
					want, size = want-0.125, size+0.125
				}
				near(t, want, logits[i], size, 16+2*math.Abs(float64(v)-top), "gradient", i)
			}
		}
	})
}

func TestLogSumExpOfTheUnusual(t *testing.T) {
	inf := float32(math.Inf(1))
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		assert.Equal(t, math.Inf(-1), k.LogSumExp(nil))
		assert.Equal(t, math.Inf(-1), k.LogSumExp([]float32{-inf, -inf}))
		assert.Equal(t, math.Inf(1), k.LogSumExp([]float32{1, inf}))
		assert.True(t, math.IsNaN(k.LogSumExp([]float32{1, float32(math.NaN()), 2})))
		nan := float32(math.NaN())
		assert.True(t, math.IsNaN(k.LogSumExp([]float32{nan})))
		assert.True(t, math.IsNaN(k.LogSumExp([]float32{nan, -inf, nan})))
		assert.True(t, math.IsNaN(k.LogSumExp([]float32{inf, nan})))
		assert.InDelta(t, 1e4+math.Log(2), k.LogSumExp([]float32{1e4, 1e4, -1e4}), 1e-9)
		assert.True(t, math.IsNaN(k.CrossEntropy([]float32{1, float32(math.NaN()), 2}, 0, 1)))
	})
}

// In a row whose greatest value is 0 the probabilities are exp(x) times that of
// the 0: the error of the exponential over the whole range.
func TestExponential(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(16)
		for range 20 {
			s := make([]float32, 4096)
			for i := range s {
				s[i] = -float32(r.Float64() * 87)
			}
			s[0] = 0
			x := cloned(s)
			k.CausalSoftmax(tensor.Mat(s, 1, len(s)), len(s), 1)
			for i, v := range x {
				want := math.Exp(float64(v)) * float64(s[0])
				near(t, want, s[i], want, 4, "exp", i)
			}
		}
	})
}

func TestAdamW(t *testing.T) {
	step := tensor.AdamWStep{LR: 1e-2, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, Correction1: 0.271, Correction2: 0.0297, GradScale: 0.7}
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(17)
		for _, n := range append([]int{0, 5000}, rowSizes...) {
			p, g, m, v := values(r, n), values(r, n), values(r, n), values(r, n)
			for i := range v {
				v[i] *= v[i]
			}
			p0, g0, m0, v0 := cloned(p), cloned(g), cloned(m), cloned(v)
			k.AdamW(p, g, m, v, step)
			assert.Equal(t, g0, g)
			for i := range p {
				x := float64(g0[i]) * float64(step.GradScale)
				a, b := float64(step.Beta1)*float64(m0[i]), (1-float64(step.Beta1))*x
				near(t, a+b, m[i], math.Abs(a)+math.Abs(b), 16, "m", i)
				c := float64(step.Beta2)*float64(v0[i]) + (1-float64(step.Beta2))*x*x
				near(t, c, v[i], c, 128, "v", i) // 1-Beta2 in float32 has lost seven bits
				adam := (a + b) / float64(step.Correction1) / (math.Sqrt(c/float64(step.Correction2)) + float64(step.Eps))
				decay := float64(step.WeightDecay) * float64(p0[i])
				size := math.Abs(float64(p0[i])) + float64(step.LR)*(math.Abs(decay)+(math.Abs(a)+math.Abs(b))*math.Abs(adam/(a+b)))
				near(t, float64(p0[i])-float64(step.LR)*(adam+decay), p[i], size, 16, "p", i)
			}
		}
	})
}

func TestAddScaleSumSquares(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		r := source(18)
		for _, n := range append([]int{0, 16384, 40001}, rowSizes...) {
			a, b := values(r, n+3), values(r, n)
			sum, tail := cloned(a), cloned(a[n:])
			k.Add(sum, b)
			scaled := cloned(b)
			k.Scale(scaled, 0.3)
			var squares float64
			for i, v := range b {
				require.Equal(t, a[i]+v, sum[i])
				require.Equal(t, v*0.3, scaled[i])
				squares += float64(v) * float64(v)
			}
			assert.Equal(t, tail, sum[n:], "values behind the slice")
			assert.InEpsilon(t, 1+squares, 1+k.SumSquares(b), 1e-13)
		}
	})
}

// What a row kernel makes of a row does not depend on the rows around it.
func TestRowsAreIndependent(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		const rows, d = 300, 77
		r := source(19)
		x, w, dy := values(r, rows*d), values(r, d), values(r, rows*d)
		out, inv := make([]float32, rows*d), make([]float32, rows)
		k.RMSNorm(out, inv, x, w, d, 1e-6)
		dx := make([]float32, rows*d)
		k.RMSNormBackward(dx, nil, dy, x, w, inv, d)
		for row := range rows {
			one, oneInv, oneDX := make([]float32, d), make([]float32, 1), make([]float32, d)
			part := x[row*d : (row+1)*d]
			k.RMSNorm(one, oneInv, part, w, d, 1e-6)
			k.RMSNormBackward(oneDX, nil, dy[row*d:(row+1)*d], part, w, oneInv, d)
			require.Equal(t, out[row*d:(row+1)*d], one)
			require.Equal(t, inv[row], oneInv[0])
			require.Equal(t, dx[row*d:(row+1)*d], oneDX)
		}
	})
}
