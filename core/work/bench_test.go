package work_test

import (
	"encoding/json"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/jobs/jobstest"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/work"
)

// BenchmarkMockRetrains lets 64 clients submit mock retrains and wait for them:
// jobs and run directories are on disk.
func BenchmarkMockRetrains(b *testing.B) {
	places := map[string]jobs.Options{"sqlite": {DataDir: b.TempDir()}}
	if url := os.Getenv(jobstest.Variable); url != "" {
		places["postgres"] = jobs.Options{Database: jobstest.Fresh(b, url)}
	}
	for name, opt := range places {
		b.Run(name, func(b *testing.B) {
			ctx := b.Context()
			opt.Kinds, opt.Heavy = work.Kinds(work.Options{}), work.Heavy
			q, err := jobs.Open(ctx, opt)
			require.NoError(b, err)
			defer func() { require.NoError(b, q.Close()) }()
			require.NoError(b, q.Start(ctx))
			out := b.TempDir()
			input, err := json.Marshal(wire.RetrainRequest{DatasetDir: dataSet(b), OutputDir: &out})
			require.NoError(b, err)
			const clients = 64
			var left atomic.Int64
			left.Store(int64(b.N))
			took := make([][]time.Duration, clients)
			var wg sync.WaitGroup
			used := cpu(b)
			b.ResetTimer()
			for c := range clients {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						start := time.Now()
						job, err := q.Submit(ctx, jobs.Request{Kind: work.Retrain, Input: input})
						if err == nil {
							job, err = q.Wait(ctx, job.ID)
						}
						if err != nil || job.Status != jobs.Succeeded {
							b.Error(err, job)
							return
						}
						took[c] = append(took[c], time.Since(start))
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			used = cpu(b) - used
			var all []time.Duration
			for _, t := range took {
				all = append(all, t...)
			}
			sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
			b.ReportMetric(used.Seconds()*1e3/float64(b.N), "cpu-ms/run") // what counts where others use the machine too
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
			b.ReportMetric(float64(all[len(all)/2].Milliseconds()), "p50-ms")
			b.ReportMetric(float64(all[len(all)*99/100].Milliseconds()), "p99-ms")
		})
	}
}

// cpu is the processor time that the process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
