package jobs_test

import (
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
)

// slowTests runs the long versions of tests.
const slowTests = "VERIFILY_SLOW_TESTS"

// TestManyJobs queues many jobs, lists and filters them, and drains them; memory
// does not grow with their number.
func TestManyJobs(t *testing.T) {
	many := 3_000
	if os.Getenv(slowTests) != "" {
		many = 100_000
	}
	onEach(t, func(t *testing.T, p place) {
		q := p.open(jobs.Options{Kinds: map[string]jobs.Handler{"ECHO": echo}, Workers: 64, Lease: time.Minute, MaxQueued: -1})
		clock := time.Now()
		lap := func(what string) {
			t.Logf("%-32s %v", what, time.Since(clock).Round(time.Millisecond))
			clock = time.Now()
		}
		projects := []string{"a", "b", "c", "d"}
		var wg sync.WaitGroup
		const writers = 32
		for w := range writers {
			wg.Go(func() {
				for i := w; i < many; i += writers {
					_, err := q.Submit(t.Context(), jobs.Request{Kind: "ECHO", Input: object(`{"dataset_dir": "/data"}`), ProjectID: projects[i%4]})
					if !assert.NoError(t, err) {
						return
					}
				}
			})
		}
		wg.Wait()
		lap("submitted")
		s, err := q.Stats(t.Context())
		require.NoError(t, err)
		require.Equal(t, many, s.Queued)
		lap("counted")
		pages := func(f jobs.Filter) (n int) {
			f.Limit = jobs.MaxList
			for {
				list, err := q.List(t.Context(), f)
				require.NoError(t, err)
				for _, j := range list {
					require.True(t, f.ProjectID == "" || j.ProjectID == f.ProjectID)
				}
				n += len(list)
				if len(list) < f.Limit {
					return n
				}
				f.After = list[len(list)-1].ID
			}
		}
		assert.Equal(t, many, pages(jobs.Filter{}))
		lap("listed, 500 a page")
		assert.Equal(t, many/4, pages(jobs.Filter{ProjectID: "b", Status: jobs.Queued}))
		lap("filtered by project and status")
		assert.Zero(t, pages(jobs.Filter{Status: jobs.Failed}))
		lap("filtered by a status of none")

		before := heap()
		require.NoError(t, q.Start(t.Context()))
		lap("started")
		require.Eventually(t, func() bool {
			s, err := q.Stats(t.Context())
			return err == nil && s.Succeeded == many
		}, 10*time.Minute, 100*time.Millisecond)
		lap("drained")
		after := heap()
		t.Logf("heap %d KiB before, %d KiB after", before>>10, after>>10)
		const grown = 16 << 20
		assert.Less(t, after, before+grown)
	})
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
