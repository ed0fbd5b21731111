package tensor

import (
	"fmt"
	"testing"
)

// eachISA runs a benchmark for every instruction set of this machine.
func eachISA(b *testing.B, run func(b *testing.B, k Kernels)) {
	for _, name := range ISAs() {
		b.Run(name, func(b *testing.B) {
			k, err := NewISA(name)
			if err != nil {
				b.Fatal(err)
			}
			run(b, k)
		})
	}
}

func random(n int, seed int64) []float32 {
	x := make([]float32, n)
	NewPhilox(seed).Normal(x, 1)
	return x
}

func rate(b *testing.B, flops int) {
	b.ReportMetric(float64(flops)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOPS")
}

// BenchmarkPeak is what the multiply-add units can do: a tile whose operands
// never leave the first-level cache. The share of the peak of another figure
// is its ratio to this one.
func BenchmarkPeak(b *testing.B) {
	eachISA(b, func(b *testing.B, k Kernels) {
		run, flops := peakProbe(k)
		for b.Loop() {
			run()
		}
		rate(b, flops)
	})
}

// portableProbe is the peak of code without assembly: a product that fits in
// the first-level cache.
func portableProbe(k Kernels) (run func(), flops int) {
	const n = 32
	a, b, c := random(n*n, 1), random(n*n, 2), make([]float32, n*n)
	return func() { k.Gemm(Mat(c, n, n), Mat(a, n, n), Mat(b, n, n), false) }, 2 * n * n * n
}

// BenchmarkGemm runs the shapes of training and generation: square ones, the
// projections of small models, adapters with r 8 and 16, tiles of attention and
// few rows.
func BenchmarkGemm(b *testing.B) {
	shapes := [][3]int{
		{256, 256, 256}, {512, 512, 512}, {256, 344, 128}, {256, 688, 256}, {256, 1536, 576}, {128, 400, 128},
		{256, 16, 256}, {256, 256, 16}, {16, 256, 256}, {256, 8, 256}, {256, 256, 8}, {8, 256, 256},
		{24, 24, 32}, {64, 64, 32}, {64, 2048, 64}, {64, 64, 2048},
		{1, 576, 576}, {4, 576, 576}, {16, 576, 576}, {32, 576, 576},
	}
	eachISA(b, func(b *testing.B, kern Kernels) {
		for _, s := range shapes {
			m, n, k := s[0], s[1], s[2]
			a, x, c := random(m*k, 1), random(k*n, 2), make([]float32, m*n)
			for _, form := range []string{"NN", "NT", "TN"} {
				left, right, out := Mat(a, m, k), Mat(x, k, n), Mat(c, m, n)
				if form[0] == 'T' {
					left = Mat(a, k, m).T()
				}
				if form[1] == 'T' {
					right = Mat(x, n, k).T()
				}
				b.Run(fmt.Sprintf("%dx%dx%d/%s", m, n, k, form), func(b *testing.B) {
					for b.Loop() {
						kern.Gemm(out, left, right, false)
					}
					rate(b, 2*m*n*k)
				})
			}
		}
	})
}

// BenchmarkRows runs the row kernels on 64 rows of 512 values, which stay in
// the second-level cache, and reports the time of one value.
func BenchmarkRows(b *testing.B) {
	const rows, d = 64, 512
	eachISA(b, func(b *testing.B, k Kernels) {
		x, y, z, u := random(rows*d, 1), random(rows*d, 2), random(rows*d, 3), random(rows*d, 4)
		w, inv, pos := random(d, 5), make([]float32, rows), make([]int32, rows)
		mean, variance := make([]float32, rows*d), make([]float32, rows*d)
		table := NewRopeTable(64, rows, 10000)
		step := AdamWStep{LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Correction1: 1, Correction2: 1, GradScale: 1}
		for _, op := range []struct {
			name string
			run  func()
		}{
			{"RMSNorm", func() { k.RMSNorm(z, inv, x, w, d, 1e-5) }},
			{"RMSNormBackward", func() { k.RMSNormBackward(z, w, y, x, w, inv, d) }},
			{"Rope", func() { k.Rope(x, d/64, pos, table, false) }},
			{"SwiGLU", func() { k.SwiGLU(z, x, y) }},
			{"SwiGLUBackward", func() { copy(z, x); copy(u, y); k.SwiGLUBackward(z, u, y) }},
			{"CausalSoftmax", func() { k.CausalSoftmax(Mat(z, rows, d), d, 1) }},
			{"SoftmaxBackward", func() { copy(z, x); k.SoftmaxBackward(Mat(z, rows, d), Mat(y, rows, d), 1) }},
			{"CrossEntropy", func() {
				copy(z, x)
				for r := range rows {
					k.CrossEntropy(z[r*d:(r+1)*d], r, 1)
				}
			}},
			{"LogSumExp", func() { k.LogSumExp(x) }},
			{"AdamW", func() { k.AdamW(u, x, mean, variance, step) }},
			{"Add", func() { clear(z); k.Add(z, x) }},
			{"Scale", func() { k.Scale(z, 1) }},
			{"SumSquares", func() { k.SumSquares(x) }},
		} {
			b.Run(op.name, func(b *testing.B) {
				for b.Loop() {
					op.run()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows/d, "ns/value")
			})
		}
	})
}

// BenchmarkExact runs what gives the same bits everywhere, by each assembly and
// by plain Go, on values that stay in the second-level cache.
func BenchmarkExact(b *testing.B) {
	const rows, cols = 16, 1024
	x, y, p := random(rows*cols, 1), make([]float32, rows*cols), NewPhilox(1)
	int8, nf4 := NewInt8(x, rows, cols), NewNF4(x, rows, cols)
	for _, e := range append(machineExact(), exactSet{isa: "generic"}) {
		for _, op := range []struct {
			name string
			run  func()
		}{
			{"Dropout", func() { p.dropout(&e, y, x, 1, 0.1) }},
			{"Uniform", func() { p.uniform(&e, y, 1) }},
			{"Normal", func() { p.normal(&e, y, 1) }},
			{"Int8.Rows", func() { int8.decode(&e, y, 0, rows) }},
			{"NF4.Rows", func() { nf4.decode(&e, y, 0, rows) }},
		} {
			b.Run(e.isa+"/"+op.name, func(b *testing.B) {
				b.SetBytes(4 * rows * cols)
				for b.Loop() {
					op.run()
				}
			})
		}
	}
}

// BenchmarkQuantize is what loading a model does once to each matrix.
func BenchmarkQuantize(b *testing.B) {
	const rows, cols = 64, 1024
	x := random(rows*cols, 1)
	for _, format := range []struct {
		name string
		run  func()
	}{
		{"int8", func() { NewInt8(x, rows, cols) }},
		{"nf4", func() { NewNF4(x, rows, cols) }},
	} {
		b.Run(format.name, func(b *testing.B) {
			b.SetBytes(4 * rows * cols)
			for b.Loop() {
				format.run()
			}
		})
	}
}
