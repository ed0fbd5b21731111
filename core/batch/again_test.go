package batch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
)

func TestSecondStartGoesOn(t *testing.T) {
	start := batchOf(t, `jobs:
  - {name: done, config: train.yaml}
  - {name: nan, config: train.yaml, set: {seed: 1}}
  - {name: stopped, config: train.yaml, set: {seed: 2}}
  - {name: later, config: train.yaml, set: {seed: 3}}
`)
	ctx, cancel := context.WithCancel(t.Context())
	first := &fake{t: t, scripts: map[string][]string{"nan": {"training: loss is NaN"}, "stopped": {"wait"}}}
	sum, events := start(ctx, batch.Options{Runner: first, Events: func(ev batch.Event) {
		if ev.Kind == batch.EventStep && ev.Job == "stopped" {
			cancel()
		}
	}})
	assert.Equal(t, 130, sum.Exit)
	assert.Equal(t, map[string]batch.Status{"done": batch.Completed, "nan": batch.Failed, "stopped": batch.Interrupted, "later": batch.Waiting}, statuses(sum))
	assert.Contains(t, texts(events, batch.EventStopping), "interrupted")

	second := &fake{t: t}
	again, events := start(t.Context(), batch.Options{Runner: second})
	assert.Equal(t, sum.Dir, again.Dir)
	assert.Equal(t, 5, again.Exit)
	assert.Empty(t, second.attempts("done"))
	assert.Empty(t, second.attempts("nan"), "the same would happen again")
	assert.Equal(t, sum.Jobs[2].Run, second.attempts("stopped")[0].Resume)
	assert.Equal(t, sum.Jobs[0].Run, again.Jobs[0].Run)
	assert.True(t, events[0].Resumed)

	third := &fake{t: t}
	again, _ = start(t.Context(), batch.Options{Runner: third, RetryFailed: true})
	assert.Equal(t, 0, again.Exit)
	assert.Len(t, third.seen, 1)

	fresh := &fake{t: t}
	again, _ = start(t.Context(), batch.Options{Runner: fresh, Fresh: true})
	assert.NotEqual(t, sum.Dir, again.Dir)
	assert.Len(t, fresh.seen, 4)
	end := sum.Dir[len(sum.Dir)-6:]
	found, err := batch.Find(end, "runs")
	require.NoError(t, err)
	assert.Equal(t, filepath.Base(sum.Dir), filepath.Base(found))
	other := "runs/batch_20000101_000000_" + end
	require.NoError(t, os.CopyFS(other, os.DirFS(sum.Dir)))
	_, err = batch.Find(end, "runs")
	assert.ErrorContains(t, err, "several batches end with", "nobody stops another by mistake")
	require.NoError(t, os.RemoveAll(other))
	after := &fake{t: t}
	last, _ := start(t.Context(), batch.Options{Runner: after})
	assert.Equal(t, again.Dir, last.Dir, "the newest batch is gone on with")
	assert.Empty(t, after.seen)
}

// TestTheSameWorkTwice: each of two jobs that differ in their name alone has
// its own run, in every start.
func TestTheSameWorkTwice(t *testing.T) {
	start := batchOf(t, "jobs: [{name: a, config: train.yaml}, {name: b, config: train.yaml}]\nslots: {cpu: 2}\n")
	ctx, cancel := context.WithCancel(t.Context())
	steps := 0
	sum, _ := start(ctx, batch.Options{Runner: &fake{t: t, scripts: map[string][]string{"a": {"wait"}, "b": {"wait"}}}, Events: func(ev batch.Event) {
		if ev.Kind == batch.EventStep {
			if steps++; steps == 2 {
				cancel()
			}
		}
	}})
	require.Equal(t, 130, sum.Exit)
	f := &fake{t: t}
	again, _ := start(t.Context(), batch.Options{Runner: f})
	for i, name := range []string{"a", "b"} {
		assert.Equal(t, sum.Jobs[i].Run, f.attempts(name)[0].Resume)
		assert.Equal(t, sum.Jobs[i].Run, again.Jobs[i].Run)
	}
	assert.NotEqual(t, again.Jobs[0].Run, again.Jobs[1].Run)
}

// TestRunThatTheJournalDoesNotName: everything was killed between the moment a
// run directory was made and the line of the journal about it. The run is gone
// on with, also when the clock stepped back meanwhile.
func TestRunThatTheJournalDoesNotName(t *testing.T) {
	start := batchOf(t, "jobs: [{name: a, config: train.yaml}]\n")
	ctx, cancel := context.WithCancel(t.Context())
	now := time.Now()
	sum, _ := start(ctx, batch.Options{Runner: &fake{t: t, scripts: map[string][]string{"a": {"wait"}}}, Now: func() time.Time { return now.Add(time.Hour) },
		Events: func(ev batch.Event) {
			if ev.Kind == batch.EventStep {
				cancel()
			}
		}})
	require.Equal(t, 130, sum.Exit)
	path := filepath.Join(sum.Dir, "journal.jsonl")
	journal, err := os.ReadFile(path)
	require.NoError(t, err)
	before, _, found := strings.Cut(string(journal), `{"time":"`+runs.FormatTime(now.Add(time.Hour))+`","kind":"run"`)
	require.True(t, found, string(journal))
	require.NoError(t, os.WriteFile(path, []byte(before), 0o644))
	f := &fake{t: t}
	start(t.Context(), batch.Options{Runner: f, Now: func() time.Time { return now }})
	assert.Equal(t, sum.Jobs[0].Run, f.attempts("a")[0].Resume)

	// The same when it was complete already.
	require.NoError(t, os.WriteFile(path, []byte(before), 0o644))
	f = &fake{t: t}
	sum, _ = start(t.Context(), batch.Options{Runner: f})
	assert.Equal(t, 0, sum.Exit)
	assert.Empty(t, f.seen)
	entries, err := runs.List("runs")
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

// TestFolderWithTwoNames: a login that came to the folder by a link goes on with
// the same batch.
func TestFolderWithTwoNames(t *testing.T) {
	start := batchOf(t, "jobs: [{name: a, config: train.yaml}]\n")
	sum, _ := start(t.Context(), batch.Options{Runner: &fake{t: t}})
	here, err := os.Getwd()
	require.NoError(t, err)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(here, link))
	t.Chdir(link)
	f := &fake{t: t}
	again, _ := start(t.Context(), batch.Options{Runner: f})
	assert.Equal(t, sum.Dir, again.Dir)
	assert.Empty(t, f.seen)
}

func TestPlanEditedBetweenStarts(t *testing.T) {
	plan := "jobs:\n  - {name: a, config: train.yaml}\n  - {name: s, config: train.yaml, matrix: {seed: [1, 2]}}\n  - {name: gone, config: train.yaml, set: {seed: 9}}\n"
	start := batchOf(t, plan)
	first, _ := start(t.Context(), batch.Options{Runner: &fake{t: t}})

	edited := "jobs:\n  - {name: a, config: train.yaml, set: {training.num_epochs: 7, data_paths.val: null}}\n  - {name: s, config: train.yaml, matrix: {seed: [5, 1, 2]}}\n"
	require.NoError(t, os.WriteFile("plan.yaml", []byte(edited), 0o644))
	f := &fake{t: t}
	sum, events := start(t.Context(), batch.Options{Runner: f})
	notes := texts(events, batch.EventNote)
	assert.Contains(t, notes, "a: training.num_epochs is now 7, was 2")
	assert.Contains(t, notes, "a: data_paths.val is now null, was val.jsonl")
	assert.Contains(t, notes, "the plan has a new job: s-3")
	assert.Contains(t, notes, "the plan no longer has the job gone")
	assert.Contains(t, notes, "s-2: is complete already, as s-1")
	assert.Len(t, f.attempts("a"), 1)
	assert.Len(t, f.attempts("s-1"), 1, "only the new seed is trained")
	assert.Len(t, f.seen, 2)
	assert.Equal(t, first.Jobs[1].Run, sum.Jobs[2].Run)
	old, err := os.ReadFile(filepath.Join(sum.Dir, "plan-1.yaml"))
	require.NoError(t, err)
	assert.Equal(t, plan, string(old))

	// Other data is other work, though the config is the same.
	rows, err := os.ReadFile("train.jsonl")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("train.jsonl", append(rows, rows...), 0o644))
	f = &fake{t: t}
	_, events = start(t.Context(), batch.Options{Runner: f})
	assert.Contains(t, texts(events, batch.EventNote), "a: its data changed")
	assert.Len(t, f.seen, 4)

	// So is another evaluation.
	edited += "  - {name: e, run: a, eval: %s}\n"
	require.NoError(t, os.WriteFile("plan.yaml", fmt.Appendf(nil, edited, "{slice_by: half}"), 0o644))
	start(t.Context(), batch.Options{Runner: &fake{t: t}})
	require.NoError(t, os.WriteFile("plan.yaml", fmt.Appendf(nil, edited, "{test_data: other.jsonl, slice_by: [half, kind], hard_examples: 3, batch_size: 4}"), 0o644))
	_, events = start(t.Context(), batch.Options{Runner: &fake{t: t}})
	notes = texts(events, batch.EventNote)
	assert.Contains(t, notes, "e: eval.test_data is now other.jsonl, was that of the run")
	assert.Contains(t, notes, "e: eval.slice_by is now half, kind, was half")
	assert.Contains(t, notes, "e: eval.hard_examples is now 3, was that of the run")
	assert.Contains(t, notes, "e: eval.batch_size is now 4, was that of the run")
	require.NoError(t, os.WriteFile("plan.yaml", []byte(strings.TrimSuffix(edited, "  - {name: e, run: a, eval: %s}\n")), 0o644))

	// Data that is bad for a while does not undo what was complete.
	rows, err = os.ReadFile("train.jsonl")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("train.jsonl", []byte("{}\n"), 0o644))
	sum, _ = start(t.Context(), batch.Options{Runner: &fake{t: t}})
	require.Equal(t, batch.Failed, statuses(sum)["a"])
	require.NoError(t, os.WriteFile("train.jsonl", rows, 0o644))
	sum, _ = start(t.Context(), batch.Options{Runner: &fake{t: t}})
	assert.Equal(t, batch.Completed, statuses(sum)["a"])

	// A run that was removed is made again.
	f = &fake{t: t}
	sum, _ = start(t.Context(), batch.Options{Runner: f})
	assert.Empty(t, f.seen)
	require.NoError(t, os.RemoveAll(sum.Jobs[0].Run))
	_, events = start(t.Context(), batch.Options{Runner: f})
	assert.Len(t, f.attempts("a"), 1)
	assert.Contains(t, texts(events, batch.EventNote), "its run is gone")

	// So is one that failed, perhaps because it was removed.
	require.NoError(t, os.WriteFile("plan.yaml", []byte("jobs: [{name: f, config: train.yaml, set: {seed: 77}}]"), 0o644))
	sum, _ = start(t.Context(), batch.Options{Runner: &fake{t: t, scripts: map[string][]string{"f": {"training: cannot save"}}}})
	require.Equal(t, batch.Failed, statuses(sum)["f"])
	require.NoError(t, os.RemoveAll(sum.Jobs[0].Run))
	sum, events = start(t.Context(), batch.Options{Runner: &fake{t: t}})
	assert.Equal(t, batch.Completed, statuses(sum)["f"])
	assert.Contains(t, texts(events, batch.EventNote), "f: failed, and its run is gone")
}

func TestOneProcessWorksOnABatch(t *testing.T) {
	jobs := "jobs: [{name: a, config: train.yaml}]"
	start := batchOf(t, jobs)
	tried := false
	sum, _ := start(t.Context(), batch.Options{Runner: &fake{t: t}, Events: func(ev batch.Event) {
		if ev.Kind != batch.EventStep {
			return
		}
		tried = true
		p, err := batch.Load("plan.yaml")
		require.NoError(t, err)
		_, err = batch.Run(t.Context(), p, batch.Options{Runner: &fake{t: t}})
		var typed *fault.ConfigError
		require.ErrorAs(t, err, &typed)
		host, herr := os.Hostname()
		require.NoError(t, herr)
		assert.Contains(t, err.Error(), fmt.Sprintf("process %d on %s works on this batch", os.Getpid(), host))
	}})
	require.True(t, tried)

	holder := func(host string, age time.Duration) {
		path := filepath.Join(sum.Dir, ".holder")
		require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `{"host":%q,"pid":4194304}`, host), 0o644))
		at := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	host, err := os.Hostname()
	require.NoError(t, err)
	holder(host, 0) // this machine's locks tell that it is gone
	_, events := start(t.Context(), batch.Options{Runner: &fake{t: t}})
	assert.Contains(t, texts(events, batch.EventNote), "process 4194304 on "+host+", which had this batch, is gone")
	holder("elsewhere", time.Hour)
	_, events = start(t.Context(), batch.Options{Runner: &fake{t: t}})
	assert.Contains(t, texts(events, batch.EventNote), "on elsewhere, which had this batch, is gone")
	holder("elsewhere", 0) // another machine's lock may not be seen here
	p, err := batch.Load("plan.yaml")
	require.NoError(t, err)
	_, err = batch.Run(t.Context(), p, batch.Options{Runner: &fake{t: t}})
	assert.ErrorContains(t, err, "process 4194304 on elsewhere works on this batch")
}

func TestClockStepsBack(t *testing.T) {
	start := batchOf(t, "jobs: [{name: a, config: train.yaml}, {name: b, config: train.yaml, set: {seed: 1}}]")
	now := time.Now()
	back := func() time.Time { now = now.Add(-time.Hour); return now }
	f := &fake{t: t}
	first, _ := start(t.Context(), batch.Options{Runner: f, Now: back})
	assert.Equal(t, 0, first.Exit)
	second, _ := start(t.Context(), batch.Options{Runner: f, Now: back, Fresh: true})
	third, _ := start(t.Context(), batch.Options{Runner: f, Now: back})
	assert.Equal(t, second.Dir, third.Dir, "the later batch is gone on with, whatever the clock said")
	assert.Len(t, f.seen, 4)
}

// TestLookWhileAnEditedPlanRuns: what stays complete is seen as that, and what
// is to be done again, since what it builds on is, waits.
func TestLookWhileAnEditedPlanRuns(t *testing.T) {
	plan := "jobs:\n  - {name: a, config: train.yaml}\n  - {name: on-a, config: train.yaml, set: {base_model: 'job:a'}}\n  - {name: bad, config: train.yaml, set: {seed: 2}}\n  - {name: other, config: train.yaml, set: {seed: 3}}\n"
	start := batchOf(t, plan)
	start(t.Context(), batch.Options{Runner: &fake{t: t, scripts: map[string][]string{"bad": {"data: bad row"}}}})
	require.NoError(t, os.WriteFile("plan.yaml", []byte(strings.Replace(plan, "a, config: train.yaml", "a, config: train.yaml, set: {seed: 9}", 1)), 0o644))
	seen := map[string]batch.Status{}
	look := func(dir string) map[string]batch.Status {
		l, err := batch.Open(dir)
		require.NoError(t, err)
		out := map[string]batch.Status{}
		for _, j := range l.Jobs {
			out[j.Job] = j.Status
		}
		return out
	}
	dir := ""
	sum, _ := start(t.Context(), batch.Options{Runner: &fake{t: t}, Events: func(ev batch.Event) {
		switch {
		case ev.Kind == batch.EventBatch:
			dir = ev.Batch
		case ev.Kind == batch.EventEnd && ev.Job == "a":
			seen = look(dir)
		}
	}})
	assert.Equal(t, map[string]batch.Status{"a": batch.Completed, "on-a": batch.Waiting, "bad": batch.Failed, "other": batch.Completed}, seen)
	assert.Equal(t, statuses(sum), look(dir))
}

// TestRequestToStopAtOnce: a request is heard from the moment that a process is
// seen to work on the batch, and one that is left over is not.
func TestRequestToStopAtOnce(t *testing.T) {
	start := batchOf(t, "jobs: [{name: a, config: train.yaml}]")
	f := &fake{t: t, scripts: map[string][]string{"a": {"wait"}}}
	sum, _ := start(t.Context(), batch.Options{Runner: f, Events: func(ev batch.Event) {
		if ev.Kind == batch.EventBatch {
			require.NoError(t, batch.RequestStop(ev.Batch))
		}
	}})
	assert.Equal(t, "asked for from elsewhere", sum.Stopped)
	require.NoError(t, os.WriteFile(filepath.Join(sum.Dir, ".stop"), nil, 0o644))
	sum, _ = start(t.Context(), batch.Options{Runner: f})
	assert.Empty(t, sum.Stopped)
}

// TestDataThatChangesWhileABatchRuns: a run counts as that of the data that it
// was made for, which may be other than when the batch was started.
func TestDataThatChangesWhileABatchRuns(t *testing.T) {
	start := batchOf(t, "jobs: [{name: a, config: train.yaml}, {name: b, config: train.yaml, set: {seed: 1}}]")
	old, err := os.ReadFile("train.jsonl")
	require.NoError(t, err)
	sum, events := start(t.Context(), batch.Options{Runner: &fake{t: t}, Events: func(ev batch.Event) {
		if ev.Kind == batch.EventEnd && ev.Job == "a" {
			require.NoError(t, os.WriteFile("train.jsonl", append(old, old...), 0o644))
		}
	}})
	require.Equal(t, 0, sum.Exit)
	assert.Contains(t, texts(events, batch.EventNote), "b: its data is other than when the batch was started")
	assert.Empty(t, sum.Jobs[0].Note)
	assert.Contains(t, sum.Jobs[1].Note, "data that changed")

	f := &fake{t: t}
	again, _ := start(t.Context(), batch.Options{Runner: f})
	require.Len(t, f.seen, 1, "b was trained on what is there now")
	assert.Equal(t, "a", f.seen[0].Job)
	assert.Equal(t, sum.Jobs[1].Run, again.Jobs[1].Run)

	require.NoError(t, os.WriteFile("train.jsonl", old, 0o644))
	f = &fake{t: t}
	again, _ = start(t.Context(), batch.Options{Runner: f})
	require.Len(t, f.seen, 1, "and a on what was")
	assert.Equal(t, "b", f.seen[0].Job)
	assert.Empty(t, f.seen[0].Resume)
	assert.Equal(t, sum.Jobs[0].Run, again.Jobs[0].Run)
	assert.NotEqual(t, sum.Jobs[1].Run, again.Jobs[1].Run)
}
