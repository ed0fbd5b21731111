package tensor

import (
	"fmt"
	"testing"
)

func BenchmarkGemm(b *testing.B) {
	for _, s := range [][3]int{{256, 256, 256}, {512, 512, 512}, {256, 344, 128}, {24, 24, 32}, {256, 16, 256}, {16, 256, 256}} {
		m, n, k := s[0], s[1], s[2]
		a, x, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
		rng := NewPhilox(1)
		rng.Normal(a, 1)
		rng.Normal(x, 1)
		for _, form := range []string{"NN", "NT", "TN"} {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", m, n, k, form), func(b *testing.B) {
				kern, err := New()
				if err != nil {
					b.Fatal(err)
				}
				left, right := Mat(a, m, k), Mat(x, k, n)
				if form == "NT" {
					right = Mat(x, n, k).T()
				}
				if form == "TN" {
					left = Mat(a, k, m).T()
				}
				out := Mat(c, m, n)
				for b.Loop() {
					kern.Gemm(out, left, right, false)
				}
				b.ReportMetric(2*float64(m)*float64(n)*float64(k)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOPS")
			})
		}
	}
}
