package tensor_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/verifily/verifily-tui/core/tensor"
)

func TestNothingIsAllocated(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		const m, n, d = 40, 130, 270
		a, b, c := make([]float32, m*d), make([]float32, n*d), make([]float32, m*n)
		x, y, z, inv := make([]float32, m*d), make([]float32, m*d), make([]float32, m*d), make([]float32, m)
		table, pos := tensor.NewRopeTable(d, m, 1e4), make([]int32, m)
		p := tensor.NewPhilox(1)
		int8, nf4 := tensor.NewInt8(a, m, d), tensor.NewNF4(a, m, d)
		tensor.ForceExact(t, k.ISA())
		allocated := testing.AllocsPerRun(3, func() {
			k.Gemm(tensor.Mat(c, m, n), tensor.Mat(a, m, d), tensor.Mat(b, d, n), false)
			k.Gemm(tensor.Mat(c, m, n), tensor.Mat(a, m, d), tensor.Mat(b, n, d).T(), true)
			k.Gemm(tensor.Mat(c, m, n), tensor.Mat(a, d, m).T(), tensor.Mat(b, d, n), true)
			k.Gemm(tensor.Mat(c[:n], 1, n), tensor.Mat(a[:d], 1, d), tensor.Mat(b, n, d).T(), false)
			k.RMSNorm(y, inv, x, z[:d], d, 1e-5)
			k.RMSNormBackward(y, z[:d], x, x, a[:d], inv, d)
			k.Rope(x, 1, pos, table, false)
			k.SwiGLU(x, y, z)
			k.SwiGLUBackward(x, y, z)
			k.CausalSoftmax(tensor.Mat(c, m, n), n, 1)
			k.SoftmaxBackward(tensor.Mat(c, m, n), tensor.Mat(a, m, n), 1)
			k.CrossEntropy(x, 0, 1)
			k.LogSumExp(x)
			k.AdamW(x, y, z, a, tensor.AdamWStep{Correction1: 1, Correction2: 1, Eps: 1})
			k.Add(x, y)
			k.Scale(x, 1)
			k.SumSquares(x)
			p.Dropout(x, y, 1, 0.1)
			p.Uniform(x, 1)
			p.Normal(x, 1)
			int8.Rows(x, 0, m)
			nf4.Rows(x, 0, m)
		})
		assert.Zero(t, allocated)
	})
}

// The garbage collector may look at a Kernels value while a kernel runs on
// another core. Operands of their own allocations make it notice a pointer that
// has left its operand.
func TestKernelsRunBesideTheCollector(t *testing.T) {
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
					runtime.GC()
				}
			}
		}()
		defer func() { close(stop); <-done }()
		r := source(30)
		for range 60 {
			m, n, inner := 1+r.IntN(40), 1+r.IntN(200), 8*(1+r.IntN(10))
			for _, layout := range []string{"pp", "pt", "tp"} {
				a, b := view(r, m, inner, layout[0]), view(r, inner, n, layout[1])
				c := view(r, m, n, 'p')
				got := copyOf(c)
				k.Gemm(got, a, b, true)
				checkProduct(t, got, c, a, b, true)
			}
		}
	})
}

// FuzzGemm tries shapes, strides and layouts on every instruction set.
func FuzzGemm(f *testing.F) {
	f.Add(uint16(3), uint16(17), uint16(9), byte(0), uint64(1), true)
	f.Add(uint16(29), uint16(33), uint16(300), byte(5), uint64(2), false)
	f.Add(uint16(1), uint16(800), uint16(8), byte(7), uint64(3), true)
	f.Add(uint16(64), uint16(1), uint16(1), byte(14), uint64(4), false)
	f.Fuzz(func(t *testing.T, m, n, inner uint16, layouts byte, seed uint64, acc bool) {
		r := source(seed)
		rows, cols, depth := 1+int(m)%120, 1+int(n)%900, 1+int(inner)%600
		for rows*cols*depth > 1<<21 {
			cols, depth = 1+cols/2, 1+depth/2
		}
		a := view(r, rows, depth, "pstg"[layouts&3])
		b := view(r, depth, cols, "pstg"[layouts>>2&3])
		c := view(r, rows, cols, "ps"[layouts>>4&1])
		for _, name := range tensor.ISAs() {
			k, err := tensor.NewISA(name)
			if err != nil {
				t.Fatal(err)
			}
			got := copyOf(c)
			k.Gemm(got, a, b, acc)
			checkProduct(t, got, c, a, b, acc)
		}
	})
}
