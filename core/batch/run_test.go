package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
)

// fake carries out attempts without a process: what it does is up to a job's
// script, one entry an attempt; without a script a job completes.
type fake struct {
	t       testing.TB
	mu      sync.Mutex
	seen    []batch.Attempt
	scripts map[string][]string
	f1      map[string]float64 // what jobs reach, 0.9 where nothing is said
	running int
	most    int
}

func (f *fake) Run(ctx context.Context, a batch.Attempt, checkpoint, abort <-chan struct{}, report func(batch.Message)) batch.Message {
	f.mu.Lock()
	f.seen = append(f.seen, a)
	f.running++
	f.most = max(f.most, f.running)
	what := "complete"
	if s := f.scripts[a.Job]; len(s) > 0 {
		what, f.scripts[a.Job] = s[0], s[1:]
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	end := batch.Message{Kind: batch.MessageEnd}
	var w *runs.Writer
	if a.Evaluate == "" {
		w = f.open(a)
		report(batch.Message{Kind: batch.MessageRun, Run: w.Dir()})
		defer w.Close()
		end.Run = w.Dir()
	}
	loss := 1.5
	report(batch.Message{Kind: batch.MessageStep, Step: 1, TotalSteps: 2, Loss: &loss, TokensPerSecond: 10})
	switch what {
	case "complete", "no contract":
		if w != nil {
			end.Results = f.finish(w, a, what)
		}
		end.Class = "complete"
	case "wait":
		for end.Class == "" {
			select {
			case <-ctx.Done():
				end.Class = "interrupted"
			case <-abort:
				end.Class = "interrupted"
			case <-checkpoint:
				report(batch.Message{Kind: batch.MessageCheckpoint, Step: 1})
			}
		}
	default:
		class, text, _ := strings.Cut(what, ": ")
		data, err := json.Marshal(class)
		require.NoError(f.t, err)
		require.NoError(f.t, json.Unmarshal(data, &end.Class))
		end.Text = text
	}
	return end
}

// open makes or takes up a run directory as training does.
func (f *fake) open(a batch.Attempt) *runs.Writer {
	if a.Resume != "" {
		w, err := runs.Reopen(a.Resume)
		require.NoError(f.t, err)
		return w
	}
	cfg, err := config.FromMap(a.Config)
	require.NoError(f.t, err)
	w, err := runs.Create(cfg.Output.Dir, runs.CreateOptions{Meta: runs.Meta{Task: cfg.Task, JobID: a.JobID, RunName: *cfg.Name, ConfigHash: cfg.Hash()}})
	require.NoError(f.t, err)
	yaml, err := cfg.YAML()
	require.NoError(f.t, err)
	require.NoError(f.t, w.WriteConfig(yaml))
	require.NoError(f.t, w.WriteManifest([]byte("{}")))
	require.NoError(f.t, w.WriteEnvironment(runs.Environment{RuntimeVersion: "go"}))
	return w
}

// finish completes a run with an evaluation of 40 examples.
func (f *fake) finish(w *runs.Writer, a batch.Attempt, what string) string {
	f1 := 0.9
	if v, ok := f.f1[a.Job]; ok {
		f1 = v
	}
	e, err := runs.BeginEval(w.Dir())
	require.NoError(f.t, err)
	defer e.Abort()
	for i := range 40 {
		exact := 0.0
		if float64(i) < f1*40 {
			exact = 1
		}
		value, loss := exact, 1-f1
		require.NoError(f.t, e.Add(runs.Prediction{Index: i, Input: fmt.Sprint(i), Prediction: "p", Reference: "r", Loss: &loss, F1: &value, ExactMatch: &exact}))
	}
	require.NoError(f.t, e.Commit(runs.EvalResults{RunID: w.ID(), NumExamples: 40, Overall: map[string]float64{"f1": f1, "exact_match": f1, "eval_loss": 1 - f1},
		Intervals: map[string]runs.Interval{"f1": {Low: f1 - 0.1, High: f1 + 0.1, N: 40, Method: "wilson"}}}, nil, nil))
	meta := w.Meta()
	meta.Status, meta.ArtifactPath, meta.Metrics = runs.StatusCompleted, "model", map[string]float64{"train_loss": 0.5}
	require.NoError(f.t, w.Finish(meta))
	if what == "no contract" {
		require.NoError(f.t, os.Remove(filepath.Join(w.Dir(), "environment.json")))
	}
	return filepath.Join(w.Dir(), "eval")
}

// attempts counts those at a job.
func (f *fake) attempts(job string) []batch.Attempt {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []batch.Attempt
	for _, a := range f.seen {
		if a.Job == job {
			out = append(out, a)
		}
	}
	return out
}

// batchOf writes a plan with data beside it and returns a function that runs
// it, each time with a new set of options.
func batchOf(t testing.TB, plan string) func(ctx context.Context, opt batch.Options) (*batch.Summary, []batch.Event) {
	t.Helper()
	rows := ""
	for i := range 8 {
		rows += fmt.Sprintf(`{"instruction":"say","input":"%d","output":"%d","tags":{"half":"%d"}}`+"\n", i, i, i%2)
	}
	inFolder(t, map[string]string{"train.yaml": trainYAML, "train.jsonl": rows, "val.jsonl": rows, "test.jsonl": rows, "other.jsonl": rows + rows, "plan.yaml": plan})
	return func(ctx context.Context, opt batch.Options) (*batch.Summary, []batch.Event) {
		t.Helper()
		p, err := batch.Load("plan.yaml")
		require.NoError(t, err)
		var events []batch.Event
		also := opt.Events
		opt.Events = func(ev batch.Event) {
			events = append(events, ev)
			if also != nil {
				also(ev)
			}
		}
		sum, err := batch.Run(ctx, p, opt)
		require.NoError(t, err)
		require.Equal(t, batch.EventBatch, events[0].Kind)
		require.Equal(t, batch.EventSummary, events[len(events)-1].Kind)
		return sum, events
	}
}

func statuses(sum *batch.Summary) map[string]batch.Status {
	out := map[string]batch.Status{}
	for _, r := range sum.Jobs {
		out[r.Job] = r.Status
	}
	return out
}

func texts(events []batch.Event, kind string) string {
	out := ""
	for _, ev := range events {
		if ev.Kind == kind {
			out += ev.Job + ": " + ev.Text + "\n"
		}
	}
	return out
}

const twoJobs = `jobs:
  - {name: human, config: train.yaml}
  - {name: new, config: train.yaml, set: {seed: 1}}
compare: {metric: f1, baseline: human}
decide: {baseline: human%s}
`

func TestExitCodes(t *testing.T) {
	plan := fmt.Sprintf(twoJobs, "")
	for name, c := range map[string]struct {
		plan    string
		scripts map[string][]string
		f1      map[string]float64
		want    int
		verdict string
	}{
		"ship":          {plan: plan, want: 0, verdict: "SHIP"},
		"not asked":     {plan: "jobs: [{name: human, config: train.yaml}]", want: 0},
		"do not ship":   {plan: plan, f1: map[string]float64{"new": 0.1}, want: 1, verdict: "DONT_SHIP"},
		"investigate":   {plan: fmt.Sprintf(twoJobs, ", policy: ship.yaml"), want: 2, verdict: "INVESTIGATE"},
		"contract":      {plan: plan, scripts: map[string][]string{"new": {"no contract"}}, want: 3, verdict: "DONT_SHIP"},
		"tool error":    {plan: strings.ReplaceAll(plan, "metric: f1", "metric: no_such_metric"), want: 4, verdict: "SHIP"},
		"a job failed":  {plan: plan, scripts: map[string][]string{"new": {"training: loss is NaN at step 3"}}, want: 5},
		"out of memory": {plan: plan, scripts: map[string][]string{"new": {"memory: x", "memory: x", "memory: x"}}, want: 5},
		"disk full":     {plan: plan, scripts: map[string][]string{"new": {"space: no space left on device"}}, want: 130},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			f := &fake{t: t, scripts: c.scripts, f1: c.f1}
			start := batchOf(t, strings.ReplaceAll(c.plan, "ship.yaml", "../ship.yaml"))
			require.NoError(t, os.WriteFile("../ship.yaml", []byte("ship_if: {min_f1: 0.5}\nslices:\n  half=0: {min_f1: 0.5}\n"), 0o644))
			sum, _ := start(t.Context(), batch.Options{Runner: f})
			assert.Equal(t, c.want, sum.Exit, "%v %v", statuses(sum), sum.Problems)
			assert.Equal(t, c.verdict, sum.Decision)
			for _, name := range []string{"plan.yaml", "journal.jsonl", "summary.json", "summary.md", "summary.csv"} {
				assert.FileExists(t, filepath.Join(sum.Dir, name))
			}
			assert.NoFileExists(t, filepath.Join(sum.Dir, ".holder"))
			var back map[string]any
			data, err := os.ReadFile(filepath.Join(sum.Dir, "summary.json"))
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(data, &back))
			assert.EqualValues(t, c.want, back["exit_code"])
		})
	}
}

func TestSummaryHasEvidence(t *testing.T) {
	f := &fake{t: t, f1: map[string]float64{"human": 0.5, "sweep-1": 0.8, "sweep-2": 0.9, "sweep-3": 0.7}}
	start := batchOf(t, `jobs:
  - {name: human, config: train.yaml}
  - {name: sweep, config: train.yaml, matrix: {seed: [1, 2, 3], training.learning_rate: [1.0e-3]}}
compare: {metric: f1, baseline: human}
decide: {baseline: human}
slots: {cpu: 2}
`)
	sum, _ := start(t.Context(), batch.Options{Runner: f, Cores: 8})
	require.Equal(t, 0, sum.Exit, sum.Problems)
	assert.LessOrEqual(t, f.most, 2)
	assert.Equal(t, 4, f.seen[0].Threads)
	cell := sum.Jobs[2].Metrics["f1"]
	assert.Equal(t, 0.9, cell.Value)
	assert.Equal(t, 40, cell.Interval.N)
	assert.InDelta(t, 0.4, cell.Delta.Delta, 1e-9)
	assert.Equal(t, "better", string(cell.Delta.Verdict))
	require.Len(t, sum.Groups, 1)
	assert.Equal(t, "sweep learning_rate=1.0e-3", sum.Groups[0].Name)
	assert.Equal(t, []string{"sweep-1", "sweep-2", "sweep-3"}, sum.Groups[0].Jobs)
	assert.InDelta(t, 0.8, sum.Groups[0].Metrics["f1"].Mean, 1e-9)
	assert.InDelta(t, 0.1, sum.Groups[0].Metrics["f1"].SD, 1e-9)
	assert.Equal(t, "sweep-2", sum.DecisionJob, "the best by the metric is judged")
	var table, narrow, md, csv strings.Builder
	require.NoError(t, sum.WriteTable(&table, 0))
	require.NoError(t, sum.WriteTable(&narrow, 100))
	require.NoError(t, sum.WriteMarkdown(&md))
	require.NoError(t, sum.WriteCSV(&csv))
	assert.Contains(t, table.String(), "0.9000 [0.8000, 1.0000]")
	assert.Contains(t, table.String(), "combination                 seeds  f1")
	assert.Contains(t, table.String(), "sweep learning_rate=1.0e-3  3      0.8000 sd 0.1000")
	assert.Contains(t, table.String(), "SHIP: sweep-2")
	assert.NotContains(t, table.String(), "\x1b")
	head, _, _ := strings.Cut(narrow.String(), "\n")
	assert.LessOrEqual(t, len(head), 100)
	assert.Contains(t, head, "vs human")
	narrow.Reset()
	require.NoError(t, sum.WriteTable(&narrow, 80))
	for line := range strings.Lines(narrow.String()) {
		assert.LessOrEqual(t, len(line), 81, line)
	}
	assert.Contains(t, md.String(), "| sweep-2 | completed |")
	assert.Equal(t, 1+4*4, strings.Count(csv.String(), "\n"), "a line for each metric of each job")
	for _, name := range []string{"compare.json", "compare.md", "compare.csv"} {
		assert.FileExists(t, filepath.Join(sum.Dir, name))
	}
}

func TestFailuresAndOrder(t *testing.T) {
	plan := `jobs:
  - {name: first, config: train.yaml}
  - {name: second, config: train.yaml, set: {seed: 1}, after: first}
  - {name: third, config: train.yaml, set: {base_model: 'job:second'}}
  - {name: check, run: fourth, eval: {test_data: other.jsonl}}
  - {name: fourth, config: train.yaml, set: {seed: 2}}
%s`
	t.Run("others go on", func(t *testing.T) {
		f := &fake{t: t, scripts: map[string][]string{"first": {"data: bad row"}}}
		sum, _ := batchOf(t, fmt.Sprintf(plan, ""))(t.Context(), batch.Options{Runner: f})
		assert.Equal(t, map[string]batch.Status{"first": batch.Failed, "second": batch.Skipped, "third": batch.Skipped, "check": batch.Completed, "fourth": batch.Completed}, statuses(sum))
		assert.Len(t, f.attempts("first"), 1, "bad data does not pass")
		assert.Equal(t, 5, sum.Exit)
		assert.Equal(t, sum.Jobs[4].Run, f.attempts("check")[0].Evaluate)
	})
	t.Run("unless asked", func(t *testing.T) {
		f := &fake{t: t, scripts: map[string][]string{"first": {"data: bad row"}}}
		sum, _ := batchOf(t, fmt.Sprintf(plan, "stop: {on_failure: true}"))(t.Context(), batch.Options{Runner: f})
		assert.Equal(t, batch.Waiting, statuses(sum)["fourth"])
		assert.Equal(t, 5, sum.Exit)
	})
	t.Run("in order", func(t *testing.T) {
		f := &fake{t: t}
		sum, _ := batchOf(t, fmt.Sprintf(plan, "slots: {cpu: 4}"))(t.Context(), batch.Options{Runner: f})
		assert.Equal(t, 0, sum.Exit)
		assert.Equal(t, sum.Jobs[1].Run, f.attempts("third")[0].Config["base_model"])
	})
	t.Run("data that is not there", func(t *testing.T) {
		f := &fake{t: t}
		start := batchOf(t, "jobs:\n  - {name: a, config: train.yaml, set: {data_paths.train: none.jsonl}}\n  - {name: b, config: train.yaml}\n")
		sum, _ := start(t.Context(), batch.Options{Runner: f})
		assert.Equal(t, map[string]batch.Status{"a": batch.Failed, "b": batch.Completed}, statuses(sum))
		assert.Contains(t, sum.Jobs[0].Error, "none.jsonl")
		assert.Empty(t, f.attempts("a"))
	})
}

func TestRetries(t *testing.T) {
	f := &fake{t: t, scripts: map[string][]string{"dies": {"died: signal: killed", "died: again"}, "big": {"memory: out of memory"}, "tiny": {"memory: out of memory"}}}
	start := batchOf(t, `jobs:
  - {name: dies, config: train.yaml}
  - {name: big, config: train.yaml, set: {training.batch_size: 6}}
  - {name: tiny, config: train.yaml, set: {training.batch_size: 1}}
`)
	sum, events := start(t.Context(), batch.Options{Runner: f})
	assert.Equal(t, map[string]batch.Status{"dies": batch.Completed, "big": batch.Completed, "tiny": batch.Failed}, statuses(sum))
	dies := f.attempts("dies")
	require.Len(t, dies, 3)
	assert.Empty(t, dies[0].Resume)
	assert.Equal(t, sum.Jobs[0].Run, dies[1].Resume, "it goes on from its checkpoint")
	big := f.attempts("big")
	require.Len(t, big, 2)
	training := big[1].Config["training"].(map[string]any)
	assert.EqualValues(t, 3, training["batch_size"])
	assert.EqualValues(t, 4, training["gradient_accumulation_steps"], "a step sees as many rows as before")
	assert.Equal(t, 3, sum.Jobs[1].BatchSize)
	var table, md strings.Builder
	require.NoError(t, sum.WriteTable(&table, 0))
	require.NoError(t, sum.WriteMarkdown(&md))
	assert.Contains(t, table.String(), "note: big ran out of memory with batch_size 6; it was trained with 3 and gradient_accumulation_steps 4")
	assert.Contains(t, md.String(), "note: big ran out of memory")
	assert.Contains(t, texts(events, batch.EventRetry), "big: out of memory; it starts again with batch_size 3")
	assert.Len(t, f.attempts("tiny"), 1)

	again := &fake{t: t}
	sum, _ = start(t.Context(), batch.Options{Runner: again})
	assert.Equal(t, batch.Completed, statuses(sum)["tiny"], "what can pass is tried again in the next start")
	assert.Empty(t, again.attempts("big"))
	assert.Equal(t, 3, sum.Jobs[1].BatchSize)
}

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

func TestPlanEditedBetweenStarts(t *testing.T) {
	plan := "jobs:\n  - {name: a, config: train.yaml}\n  - {name: s, config: train.yaml, matrix: {seed: [1, 2]}}\n  - {name: gone, config: train.yaml, set: {seed: 9}}\n"
	start := batchOf(t, plan)
	first, _ := start(t.Context(), batch.Options{Runner: &fake{t: t}})

	edited := "jobs:\n  - {name: a, config: train.yaml, set: {training.num_epochs: 7}}\n  - {name: s, config: train.yaml, matrix: {seed: [5, 1, 2]}}\n"
	require.NoError(t, os.WriteFile("plan.yaml", []byte(edited), 0o644))
	f := &fake{t: t}
	sum, events := start(t.Context(), batch.Options{Runner: f})
	notes := texts(events, batch.EventNote)
	assert.Contains(t, notes, "a: training.num_epochs is now 7, was 2")
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

	// A run that was removed is made again.
	f = &fake{t: t}
	sum, _ = start(t.Context(), batch.Options{Runner: f})
	assert.Empty(t, f.seen)
	require.NoError(t, os.RemoveAll(sum.Jobs[0].Run))
	_, events = start(t.Context(), batch.Options{Runner: f})
	assert.Len(t, f.attempts("a"), 1)
	assert.Contains(t, texts(events, batch.EventNote), "its run is gone")
}

func TestStops(t *testing.T) {
	jobs := "jobs:\n  - {name: a, config: train.yaml}\n  - {name: b, config: train.yaml, set: {seed: 1}}\n"
	t.Run("disk is low", func(t *testing.T) {
		free := int64(10e9)
		f := &fake{t: t}
		start := batchOf(t, jobs+"stop: {min_free_disk: 5GB}\n")
		sum, _ := start(t.Context(), batch.Options{Runner: f, FreeDisk: func(dir string) (int64, error) {
			defer func() { free = 1e9 }()
			return free, nil
		}})
		assert.Equal(t, map[string]batch.Status{"a": batch.Completed, "b": batch.Waiting}, statuses(sum))
		assert.Equal(t, 130, sum.Exit)
		assert.Equal(t, "1.0 GB are free, less than stop.min_free_disk 5.0 GB", sum.Stopped)
	})
	t.Run("time is over", func(t *testing.T) {
		f := &fake{t: t, scripts: map[string][]string{"a": {"wait"}}}
		sum, _ := batchOf(t, jobs+"stop: {after: 10ms}\n")(t.Context(), batch.Options{Runner: f})
		assert.Equal(t, map[string]batch.Status{"a": batch.Interrupted, "b": batch.Waiting}, statuses(sum))
		assert.Equal(t, 130, sum.Exit)
		assert.Contains(t, sum.Stopped, "stop.after")
	})
	t.Run("at once", func(t *testing.T) {
		abort := make(chan struct{})
		f := &fake{t: t, scripts: map[string][]string{"a": {"wait"}}}
		sum, _ := batchOf(t, jobs)(t.Context(), batch.Options{Runner: f, Abort: abort, Events: func(ev batch.Event) {
			if ev.Kind == batch.EventStep {
				close(abort)
			}
		}})
		assert.Equal(t, 130, sum.Exit)
	})
	t.Run("before it starts", func(t *testing.T) {
		f := &fake{t: t}
		batchOf(t, jobs)
		p, err := batch.Load("plan.yaml")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = batch.Run(ctx, p, batch.Options{Runner: f})
		assert.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, f.seen)
	})
}

func TestCheckpointAndProgress(t *testing.T) {
	defer goleak.VerifyNone(t)
	checkpoint := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := &fake{t: t, scripts: map[string][]string{"a": {"wait"}}}
	saved, told := false, false
	sum, _ := batchOf(t, "jobs: [{name: a, config: train.yaml}]")(ctx, batch.Options{Runner: f, Checkpoint: checkpoint, Every: time.Millisecond,
		Events: func(ev batch.Event) {
			switch ev.Kind {
			case batch.EventStep:
				checkpoint <- struct{}{}
			case batch.EventCheckpoint:
				saved = true
			case batch.EventProgress:
				if len(ev.Running) == 1 && ev.Running[0].Step == 1 {
					told = true
					assert.Equal(t, 1, ev.Counts[batch.Running])
				}
			}
			if saved && told {
				cancel()
			}
		}})
	assert.Equal(t, 130, sum.Exit)
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

func TestGPUsAreSharedByIndex(t *testing.T) {
	f := &fake{t: t}
	sum, events := batchOf(t, "jobs: [{name: a, config: train.yaml, matrix: {seed: [1, 2, 3]}, set: {compute.device: cuda}}]")(t.Context(), batch.Options{Runner: f, GPUs: []int{0, 1}})
	assert.Equal(t, 0, sum.Exit)
	assert.LessOrEqual(t, f.most, 2)
	for _, a := range f.seen {
		assert.Contains(t, []int{0, 1}, a.GPU)
		assert.Equal(t, "cuda", a.Config["compute"].(map[string]any)["device"], "the config is what was planned")
	}
	devices := map[string]bool{}
	for _, ev := range events {
		if ev.Kind == batch.EventStart {
			devices[ev.Device] = true
		}
	}
	assert.Contains(t, devices, "cuda:0")
}

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
