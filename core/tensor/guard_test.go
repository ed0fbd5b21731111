//go:build linux

package tensor_test

import (
	"fmt"
	"runtime/debug"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/tensor"
)

// guarded is memory between two pages that may not be touched.
type guarded struct{ floats []float32 }

func newGuarded(t *testing.T, bytes int) guarded {
	t.Helper()
	page := syscall.Getpagesize()
	bytes = (bytes + page - 1) / page * page
	all, err := syscall.Mmap(-1, 0, bytes+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Munmap(all)) })
	require.NoError(t, syscall.Mprotect(all[:page], syscall.PROT_NONE))
	require.NoError(t, syscall.Mprotect(all[page+bytes:], syscall.PROT_NONE))
	return guarded{unsafe.Slice((*float32)(unsafe.Pointer(&all[page])), bytes/4)}
}

// slice is n values right behind the first guard or right before the last.
func (g guarded) slice(n int, end bool) []float32 {
	if end {
		return g.floats[len(g.floats)-n:]
	}
	return g.floats[:n:n]
}

// eachGuarded runs a test for every instruction set and for slices at the
// start and at the end of four guarded areas; a fault fails the test.
func eachGuarded(t *testing.T, test func(k tensor.Kernels, slice func(area, n int) []float32)) {
	var areas [4]guarded
	for i := range areas {
		areas[i] = newGuarded(t, 1<<20)
	}
	eachISA(t, func(t *testing.T, k tensor.Kernels) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		for _, end := range []bool{false, true} {
			t.Run(fmt.Sprintf("end=%v", end), func(t *testing.T) {
				defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
				test(k, func(area, n int) []float32 { return areas[area].slice(n, end) })
			})
		}
	})
}

func TestGemmStaysInItsOperands(t *testing.T) {
	sizes := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 15, 16, 17, 23, 24, 25, 29, 31, 32, 33, 41}
	eachGuarded(t, func(k tensor.Kernels, slice func(area, n int) []float32) {
		try := func(m, n, inner int) {
			for layouts := range 8 {
				a, b := tensor.Mat(slice(0, m*inner), m, inner), tensor.Mat(slice(1, inner*n), inner, n)
				if layouts&1 != 0 {
					a = tensor.Mat(slice(0, m*inner), inner, m).T()
				}
				if layouts&2 != 0 {
					b = tensor.Mat(slice(1, inner*n), n, inner).T()
				}
				k.Next([]tensor.Matrix{a, b}[layouts&1])
				k.Gemm(tensor.Mat(slice(2, m*n), m, n), a, b, layouts&4 != 0)
			}
		}
		for _, m := range sizes {
			for _, n := range sizes {
				for _, inner := range sizes {
					if k.ISA() != "generic" || (m+n+inner)%4 == 0 {
						try(m, n, inner)
					}
				}
			}
		}
		for m := range 3 {
			try(m+1, 37, 512)
		}
		try(15, 801, 20)
		try(30, 17, 300)
		try(101, 100, 270)
		try(33, 130, 513)
		try(70, 530, 290)
	})
}

func TestRowKernelsStayInTheirOperands(t *testing.T) {
	eachGuarded(t, func(k tensor.Kernels, slice func(area, n int) []float32) {
		table := tensor.RopeTable{Positions: 1}
		for n := 1; n <= 140; n++ {
			k.Add(slice(0, n), slice(1, n))
			k.Scale(slice(0, n), 0)
			k.SumSquares(slice(0, n))
			k.SwiGLU(slice(0, n), slice(1, n), slice(2, n))
			k.SwiGLUBackward(slice(0, n), slice(1, n), slice(2, n))
			k.RMSNorm(slice(0, 2*n), slice(3, 2), slice(1, 2*n), slice(2, n), n, 1e-5)
			k.RMSNormBackward(slice(0, 2*n), slice(1, n), slice(2, 2*n), slice(2, 2*n), slice(1, n), slice(3, 2), n)
			k.CausalSoftmax(tensor.Mat(slice(0, 3*n), 3, n), max(0, n-2), 1)
			k.SoftmaxBackward(tensor.Mat(slice(0, 3*n), 3, n), tensor.Mat(slice(1, 3*n), 3, n), 1)
			k.LogSumExp(slice(0, n))
			k.CrossEntropy(slice(0, n), n-1, 1)
			k.AdamW(slice(0, n), slice(1, n), slice(2, n), slice(3, n), tensor.AdamWStep{Correction1: 1, Correction2: 1, Eps: 1})
			table.Dim, table.Cos, table.Sin = 2*n, slice(1, n), slice(2, n)
			k.Rope(slice(0, 6*n), 3, []int32{0}, &table, false)
		}
	})
}

func TestExactOperationsStayInTheirOperands(t *testing.T) {
	eachGuarded(t, func(k tensor.Kernels, slice func(area, n int) []float32) {
		tensor.ForceExact(t, k.ISA())
		p, w := tensor.NewPhilox(1), make([]float32, 2*300)
		p.Normal(w, 1)
		// bytes takes n bytes at either end of the values that hold them.
		bytes := func(area int, last bool) func(n int) []byte {
			return func(n int) []byte {
				floats := slice(area, (n+3)/4)
				b := unsafe.Slice((*byte)(unsafe.Pointer(&floats[0])), 4*len(floats))
				if last {
					return b[len(b)-n:]
				}
				return b[:n]
			}
		}
		for n := 1; n <= 300; n++ {
			p.Dropout(slice(0, n), slice(1, n), 1, 0.5)
			p.Uniform(slice(0, n), 1)
			p.Normal(slice(0, n), 1)
			for _, last := range []bool{false, true} {
				int8 := tensor.NewInt8(w[:2*n], 2, n)
				int8.Move(bytes(1, last))
				int8.Rows(slice(0, 2*n), 0, 2)
				nf4 := tensor.NewNF4(w[:2*n], 2, n)
				nf4.Move(bytes(1, last), bytes(2, last))
				nf4.Rows(slice(0, 2*n), 0, 2)
			}
		}
	})
}
