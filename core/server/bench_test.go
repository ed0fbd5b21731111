package server_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// benchClients is how many clients the benchmarks have.
const benchClients = 64

// pace is how many runs a second are asked for by clients that keep to one.
const pace = 300

// BenchmarkRetrain measures complete mock retrains, each written to disk, by 64
// clients over sockets: those that wait for the answer (waiting), and those that
// submit a job and wait for its end (jobs). They ask as fast as they are answered
// (flat), or 300 times a second in all (paced). It reports runs a second and the
// 50th and 99th percentile of the time from when a run was due to its end, in
// milliseconds. Of 64 clients that never pause, nobody can wait less than 64
// divided by the runs a second.
func BenchmarkRetrain(b *testing.B) {
	for name, complete := range map[string]func(*service, string){
		"waiting": func(s *service, body string) {
			require.Equal(s.t, 200, s.post("/v1/retrain", body).status)
		},
		"jobs": func(s *service, body string) {
			a := s.post("/v1/jobs/retrain", body)
			require.Equal(s.t, 200, a.status, "%s", a.body)
			id := a.doc["job_id"].(string)
			s.get("/v1/jobs/" + id + "/events")
			require.Equal(s.t, 200, s.get("/v1/jobs/"+id+"/result").status)
		},
	} {
		for _, rate := range []int{0, pace} {
			b.Run(name+map[int]string{0: "/flat", pace: "/paced"}[rate], func(b *testing.B) { measure(b, complete, rate) })
		}
	}
}

// measure lets the clients complete b.N runs, rate a second; 0: flat out.
func measure(b *testing.B, complete func(*service, string), rate int) {
	s := start(b, setup{})
	data := s.dataset("data")
	var next atomic.Int64
	times := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	b.ResetTimer()
	begun := time.Now()
	for i := range min(benchClients, b.N) {
		body := s.retrainBody(data, fmt.Sprintf(`"seed": %d`, i))
		wg.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= int64(b.N) {
					return
				}
				start := time.Now()
				if rate > 0 {
					start = begun.Add(time.Duration(n) * time.Second / time.Duration(rate))
					time.Sleep(time.Until(start))
				}
				complete(s, body)
				times[n] = time.Since(start)
			}
		})
	}
	wg.Wait()
	took := time.Since(begun)
	b.StopTimer()
	slices.Sort(times)
	ms := func(share float64) float64 {
		return float64(times[int(share*float64(len(times)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(float64(b.N)/took.Seconds(), "runs/s")
	b.ReportMetric(ms(0.50), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(0, "ns/op")
	written, err := filepath.Glob(filepath.Join(s.root, "out", "runs", "retrain_*"))
	require.NoError(b, err)
	require.GreaterOrEqual(b, len(written), b.N)
	require.NoError(b, s.stop())
}
