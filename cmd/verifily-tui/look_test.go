//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
)

// TestInTheBackground starts a batch free of the terminal, looks at it, stops
// it from elsewhere and lets it go on.
func TestInTheBackground(t *testing.T) {
	example(t, strings.NewReplacer("15", "22", "cpu: 2", "cpu: 1").Replace(longPlan))
	out, errs, code := call(t, "--batch", "plan.yaml", "--detach")
	require.Zero(t, code, errs)
	assert.Contains(t, out, "verifily batch follow runs/batch_")
	assert.NotContains(t, out, "verifily-tui batch")
	shown, _, code := call(t, "batch", "show")
	assert.Zero(t, code)
	assert.Contains(t, shown, "running")
	assert.Contains(t, shown, "c: waiting")
	_, errs, code = call(t, "--batch", "plan.yaml")
	assert.Equal(t, batch.ExitToolError, code)
	assert.Contains(t, errs, "works on this batch")

	out, _, code = call(t, "batch", "stop")
	assert.Zero(t, code)
	assert.Contains(t, out, "asked to stop: runs/batch_")
	out, _, code = call(t, "batch", "follow", "--every", "1ms")
	assert.Equal(t, batch.ExitInterrupted, code)
	assert.Contains(t, out, "\ninterrupted\n")
	assert.Contains(t, out, "asked for from elsewhere")
	list, _, _ := call(t, "batch", "ls")
	assert.Regexp(t, `  interrupted  \d of 3 completed`, list)
	_, errs, code = call(t, "batch", "stop")
	assert.Equal(t, batch.ExitToolError, code)
	assert.Contains(t, errs, "no process works on it")

	_, errs, code = call(t, "--batch", "plan.yaml", "--detach")
	require.Zero(t, code, errs)
	out, _, code = call(t, "batch", "follow")
	assert.Zero(t, code)
	for _, want := range []string{"a: completed", "b: completed", "c: completed", "exit 0"} {
		assert.Contains(t, out, want)
	}
	list, _, code = call(t, "batch", "ls")
	assert.Zero(t, code)
	assert.Contains(t, list, "exit 0       3 of 3 completed  ")
	found, err := filepath.Glob("runs/batch_*/" + outputFile)
	require.NoError(t, err)
	require.Len(t, found, 1)
	log, err := os.ReadFile(found[0])
	require.NoError(t, err)
	assert.Contains(t, string(log), "going on with runs/batch_")
	shown, _, code = call(t, "batch", "show", "--json")
	assert.Zero(t, code)
	var look batch.Look
	require.NoError(t, json.Unmarshal([]byte(shown), &look))
	assert.Equal(t, 3, look.Counts[batch.Completed])
}

func TestInTheBackgroundWithABadPlan(t *testing.T) {
	example(t, "jobs: 3\n")
	out, errs, code := call(t, "--batch", "plan.yaml", "--detach")
	assert.Equal(t, batch.ExitToolError, code)
	assert.Empty(t, out)
	assert.Contains(t, errs, "plan.yaml:1: jobs: must be a list of jobs")
}

// TestFollowAKilledBatch: what is left tells that nobody works on it.
func TestFollowAKilledBatch(t *testing.T) {
	example(t, longPlan)
	p := startProcess(t, "--batch", "plan.yaml", "--json")
	p.readTo(`"event":"step"`, `"job":"b"`)
	p.killGroup()
	_, _ = p.end()
	out, _, code := call(t, "batch", "follow")
	assert.Equal(t, batch.ExitInterrupted, code)
	assert.Contains(t, out, "killed")
	assert.Contains(t, out, "a: interrupted")
	for _, args := range [][]string{{"batch", "show", "no-such"}, {"batch", "follow", "--runs-dir", "nowhere"}} {
		_, errs, code := call(t, args...)
		assert.Equal(t, batch.ExitToolError, code)
		assert.Contains(t, errs, "there is no batch")
		assert.NotContains(t, errs, `""`)
	}
	_, errs, code := call(t, "batch", "follow", "--every", "0s")
	assert.Equal(t, batch.ExitToolError, code)
	assert.Contains(t, errs, "--every: must be longer than nothing, not 0s")
	out, _, code = call(t, "batch")
	assert.Zero(t, code)
	assert.Contains(t, out, "follow")
}

func TestQueueDoesNotWaitForItsReader(t *testing.T) {
	var printed []batch.Event
	stuck := make(chan struct{})
	q := newQueue(func(ev batch.Event) {
		<-stuck
		printed = append(printed, ev)
	})
	for i := range 10 * backlog {
		q.add(batch.Event{Kind: batch.EventStep, Step: i})
		if i%backlog == 0 {
			q.add(batch.Event{Kind: batch.EventEnd, Step: i})
		}
	}
	q.add(batch.Event{Kind: batch.EventSummary})
	q.close(time.Millisecond) // does not hang
	close(stuck)
	<-q.done
	ends := 0
	for _, ev := range printed {
		if ev.Kind == batch.EventEnd {
			ends++
		}
	}
	assert.Equal(t, 10, ends, "what matters is kept")
	assert.Equal(t, batch.EventSummary, printed[len(printed)-1].Kind)
	assert.Less(t, len(printed), 2*backlog)
}

// TestOutputThatIsGone: nobody reads, and the batch goes on.
func TestOutputThatIsGone(t *testing.T) {
	example(t, smallPlan)
	p := startProcess(t, "--batch", "plan.yaml", "--json")
	require.NoError(t, p.pipe.Close())
	_ = p.Wait() // the state says how it ended
	assert.Zero(t, p.ProcessState.ExitCode(), p.errs.String())
	again, _, code := call(t, "--batch", "plan.yaml")
	assert.Zero(t, code)
	assert.Equal(t, 3, strings.Count(again, "completed before"))
}
