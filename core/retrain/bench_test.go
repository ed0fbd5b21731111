package retrain_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/retrain"
)

// BenchmarkMock runs mock retrains of 64 clients at once, to disk.
func BenchmarkMock(b *testing.B) {
	data, out := artifact(b), b.TempDir()
	b.SetParallelism(64)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			_, err := retrain.Run(context.Background(), retrain.Request{DatasetDir: data, OutputDir: out}, deps())
			require.NoError(b, err)
		}
	})
}
