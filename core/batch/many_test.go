package batch_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
)

// nothing completes at once.
type nothing struct{}

func (nothing) Run(context.Context, batch.Attempt, <-chan struct{}, <-chan struct{}, func(batch.Message)) batch.Message {
	return batch.Message{Kind: batch.MessageEnd, Class: "complete"}
}

// manyJobs is a plan of jobs that differ in their seed.
func manyJobs(n int) string {
	var plan strings.Builder
	plan.WriteString("jobs:\n  - {name: a, config: train.yaml, matrix: {seed: [0")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&plan, ", %d", i)
	}
	plan.WriteString("]}}\n")
	return plan.String()
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemoryStaysFlat: a thousand jobs go through, and what a batch remembers of
// one that is over is small.
func TestMemoryStaysFlat(t *testing.T) {
	const jobs = 1000
	batchOf(t, manyJobs(jobs))
	p, err := batch.Load("plan.yaml")
	require.NoError(t, err)
	ended := 0
	var early, late int64
	sum, err := batch.Run(t.Context(), p, batch.Options{Runner: nothing{}, Events: func(ev batch.Event) {
		if ev.Kind == batch.EventEnd {
			switch ended++; ended {
			case jobs / 10:
				early = heap()
			case jobs:
				late = heap()
			}
		}
	}})
	require.NoError(t, err)
	require.Equal(t, 0, sum.Exit)
	assert.Equal(t, jobs, sum.Counts[batch.Completed])
	assert.Less(t, late-early, int64(jobs*4096), "bytes for nine hundred jobs")
}
