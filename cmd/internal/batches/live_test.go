package batches

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
)

func TestBlock(t *testing.T) {
	loss := 1.25
	running := []batch.Progress{
		{Job: "a", Step: 50, TotalSteps: 100, Loss: &loss, TokensPerSecond: 1234, SecondsLeft: 75},
		{Job: "b", Step: 100, TotalSteps: 100, Done: 5, Total: 20},
		{Job: "c"},
		{Job: "d", Step: 3, TotalSteps: 100, NonFinite: map[string]string{"loss": "nan"}},
	}
	counts := map[batch.Status]int{batch.Completed: 1, batch.Failed: 1, batch.Waiting: 3, batch.Running: 4}
	assert.Equal(t, []string{
		"2 of 9 jobs done",
		"[##########..........] a step 50/100 loss 1.2500 1234 tok/s 1m15s left",
		"[#####...............] b evaluating 5/20",
		"[....................] c preparing",
		"[....................] d step 3/100 loss nan",
	}, block(running, counts, 79, 22))
	assert.Equal(t, "1 of 4 jobs done", doneText(map[batch.Status]int{batch.Completed: 1, batch.Interrupted: 2, batch.Waiting: 1}), "what goes on is not done")
	few := block(running, counts, 30, 4)
	require.Len(t, few, 4)
	assert.Equal(t, "and 2 jobs more", few[3])
	for _, line := range few {
		assert.LessOrEqual(t, len([]rune(line)), 30)
	}
	assert.Empty(t, block(nil, counts, 80, 24))
}

func TestTextOfSeveralLines(t *testing.T) {
	line, ok := lineOf(batch.Event{Kind: batch.EventEnd, Job: "a", Status: batch.Failed, Text: "2 rows are bad\n  a.jsonl:1: no text\n  a.jsonl:2: \x1b[31m"})
	assert.True(t, ok)
	assert.Equal(t, `a: failed: 2 rows are bad; a.jsonl:1: no text; a.jsonl:2: \x1b[31m`, line)
}

func TestProgressOfNothing(t *testing.T) {
	line, ok := lineOf(batch.Event{Kind: batch.EventProgress, Counts: map[batch.Status]int{batch.Completed: 8}})
	assert.True(t, ok)
	assert.Equal(t, "8 of 8 jobs done", line)
}

func TestLiveOutput(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "screen"))
	require.NoError(t, err)
	defer f.Close()
	p := newLivePrinter(f)
	loss := 2.0
	p.Event(batch.Event{Kind: batch.EventProgress, Running: []batch.Progress{{Job: "a"}}, Counts: map[batch.Status]int{}})
	p.Event(batch.Event{Kind: batch.EventStep, Job: "a", Step: 1, TotalSteps: 2, Loss: &loss})
	p.Event(batch.Event{Kind: batch.EventNote, Text: "evil \x1b[31m text"})
	p.Event(batch.Event{Kind: batch.EventStopping, Text: "interrupted"})
	p.Event(batch.Event{Kind: batch.EventEnd, Job: "a", Status: batch.Completed, Seconds: 3})
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "summary.md"), nil, 0o644))
	p.Event(batch.Event{Kind: batch.EventSummary, Batch: dir, Summary: &batch.Summary{Jobs: []batch.Row{{Job: "a", Status: batch.Completed}}}})
	data, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	out := string(data)
	assert.Contains(t, out, `evil \x1b[31m text`)
	assert.NotContains(t, out, "\x1b[31m")
	assert.Contains(t, out, "stopping: every job saves a checkpoint (a second signal ends at once)\n")
	last := out[strings.LastIndex(out, "\x1b[J")+3:]
	assert.True(t, strings.HasPrefix(last, "a: completed in 3.0s\n"), last)
	assert.Contains(t, last, "summary: "+filepath.Join(dir, "summary.md"))
}
