package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/batch"
)

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
		"tool error":    {plan: "defaults: {set: {eval.metrics: [f1, format_compliance], eval.format_rules: [{name: letters, pattern: a}]}}\n" + strings.ReplaceAll(plan, "metric: f1", "metric: format_compliance"), want: 4, verdict: "SHIP"},
		"not evaluated": {plan: plan[:strings.Index(plan, "decide")], scripts: map[string][]string{"human": {"not evaluated"}, "new": {"not evaluated"}}, want: 4},
		"not compared":  {plan: "jobs: [{name: human, config: train.yaml}, {name: new, config: train.yaml, set: {seed: 1}}]", scripts: map[string][]string{"human": {"not evaluated"}, "new": {"not evaluated"}}, want: 0},
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
			if c.want == 0 {
				assert.Empty(t, sum.Problems)
			}
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

// TestShipOfNothing: a verdict that rests on no metric says so.
func TestShipOfNothing(t *testing.T) {
	start := batchOf(t, "jobs: [{name: a, config: train.yaml}]\ndecide: {policy: ../ship.yaml}\n")
	require.NoError(t, os.WriteFile("../ship.yaml", []byte("ship_if: {min_f1: null, min_exact_match: null}\n"), 0o644))
	sum, _ := start(t.Context(), batch.Options{Runner: &fake{t: t}})
	assert.Equal(t, "SHIP", sum.Decision)
	require.Len(t, sum.Problems, 1)
	assert.Contains(t, sum.Problems[0], "no metric of a was held against a limit")
}

// TestEqualJobs: a verdict says that others were as good as the one that it is
// about.
func TestEqualJobs(t *testing.T) {
	f := &fake{t: t, f1: map[string]float64{"a-1": 0.8, "a-4": 0.7}}
	start := batchOf(t, "jobs: [{name: a, config: train.yaml, matrix: {seed: [1, 2, 3, 4]}}]\ndecide: {}\n")
	sum, _ := start(t.Context(), batch.Options{Runner: f})
	assert.Equal(t, "a-2", sum.DecisionJob)
	var table, md strings.Builder
	require.NoError(t, sum.WriteTable(&table, 0))
	require.NoError(t, sum.WriteMarkdown(&md))
	assert.Contains(t, table.String(), "\nSHIP: a-2, first of 2 with equal f1\n")
	assert.Contains(t, md.String(), "**SHIP** (a-2, first of 2 with equal f1)")
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
	assert.Contains(t, table.String(), "SHIP: sweep-2\n")
	assert.NotContains(t, table.String(), "\x1b")
	head, _, _ := strings.Cut(narrow.String(), "\n")
	assert.LessOrEqual(t, len(head), 100)
	assert.Contains(t, head, "vs human")
	narrow.Reset()
	require.NoError(t, sum.WriteTable(&narrow, 80))
	for line := range strings.Lines(narrow.String()) {
		assert.LessOrEqual(t, len(line), 81, line)
	}
	assert.Contains(t, md.String(), "| sweep-2 | completed | seed=2 learning\\_rate=0.001 | 0.9000")
	assert.Contains(t, md.String(), "| combination | seeds | f1 | eval\\_loss | exact\\_match | train\\_loss |\n| --- | --- | --- | --- | --- | --- |\n| sweep ")
	assert.Contains(t, table.String(), "sweep-2  completed  seed=2 learning_rate=0.001  ")
	assert.NotContains(t, narrow.String(), "settings", "where there is room only")
	assert.Equal(t, 1+4*4, strings.Count(csv.String(), "\n"), "a line for each metric of each job")
	assert.Contains(t, csv.String(), ",decision,seed,training.learning_rate\n")
	assert.Contains(t, csv.String(), ",SHIP,2,0.001\n")
	look, err := batch.Open(sum.Dir)
	require.NoError(t, err)
	back, err := look.Summary()
	require.NoError(t, err)
	assert.Equal(t, filepath.Base(sum.Jobs[2].Run), back.Jobs[2].RunID)
	assert.Equal(t, map[string]any{"seed": json.Number("2"), "training.learning_rate": json.Number("0.001")}, back.Jobs[2].Settings)
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

	failing := &fake{t: t, scripts: map[string][]string{"big": {"memory: out of memory", "training: loss is NaN"}}}
	sum, _ = start(t.Context(), batch.Options{Runner: failing, Fresh: true})
	assert.Equal(t, batch.Failed, statuses(sum)["big"])
	assert.Contains(t, sum.Jobs[1].Note, "it was tried with 3 and")
}

// TestRetriesOfEvaluations: what is said of them is not what is said of
// trainings.
func TestRetriesOfEvaluations(t *testing.T) {
	f := &fake{t: t, scripts: map[string][]string{"a": {"memory: out of memory, evaluating"}, "check": {"died: signal: killed"}, "big": {"memory: out of memory"}}}
	sum, events := batchOf(t, `jobs:
  - {name: a, config: train.yaml}
  - {name: b, config: train.yaml, set: {seed: 1}}
  - {name: check, run: b, eval: {test_data: other.jsonl}}
  - {name: big, run: b, eval: {test_data: train.jsonl}}
`)(t.Context(), batch.Options{Runner: f})
	assert.Equal(t, map[string]batch.Status{"a": batch.Failed, "b": batch.Completed, "check": batch.Completed, "big": batch.Failed}, statuses(sum))
	assert.Contains(t, texts(events, batch.EventRetry), "check: signal: killed; it evaluates again\n")
	for _, i := range []int{0, 3} {
		assert.Contains(t, sum.Jobs[i].Error, "; that was in the evaluation: take a smaller eval.batch_size")
		assert.NotContains(t, sum.Jobs[i].Error, "max_seq_length")
	}
}

// TestTestDataThatIsRemoved: it was there when the batch started, and is named
// once.
func TestTestDataThatIsRemoved(t *testing.T) {
	start := batchOf(t, "jobs:\n  - {name: a, config: train.yaml}\n  - {name: b, run: a, eval: {test_data: other.jsonl}}\n")
	sum, _ := start(t.Context(), batch.Options{Runner: &fake{t: t}, Events: func(ev batch.Event) {
		if ev.Kind == batch.EventStart {
			_ = os.Remove("other.jsonl")
		}
	}})
	assert.Equal(t, batch.Failed, sum.Jobs[1].Status)
	assert.Equal(t, "read test data other.jsonl: no such file or directory", sum.Jobs[1].Error)
}

// TestFolderThatIsRemoved: the folder of a batch goes while it runs. The jobs
// complete, and the exit code says that the summary is not there.
func TestFolderThatIsRemoved(t *testing.T) {
	sum, events := batchOf(t, "jobs: [{name: a, config: train.yaml}]")(t.Context(), batch.Options{Runner: &fake{t: t}, Events: func(ev batch.Event) {
		if ev.Kind == batch.EventEnd {
			found, err := filepath.Glob("runs/batch_*")
			require.NoError(t, err)
			require.Len(t, found, 1)
			require.NoError(t, os.RemoveAll(found[0]))
		}
	}})
	assert.Equal(t, batch.ExitToolError, sum.Exit)
	assert.Equal(t, map[string]batch.Status{"a": batch.Completed}, statuses(sum))
	require.NotEmpty(t, sum.Problems)
	assert.Contains(t, sum.Problems[0], "summary.json")
	for _, ev := range events {
		if ev.Kind == batch.EventRun || ev.Kind == batch.EventEnd {
			assert.Equal(t, sum.Jobs[0].Run, ev.Run, "all events name a run alike")
		}
	}
}

// TestMemoryThatNoBatchSaves: where a smaller batch would not help, it is
// not tried. A job goes on only if others had a part of the memory.
func TestMemoryThatNoBatchSaves(t *testing.T) {
	plan := "jobs:\n  - {name: big, config: train.yaml, set: {training.batch_size: 8}}\n  - {name: other, config: train.yaml, set: {seed: 1}}\nslots: {cpu: %d}\n"
	t.Run("alone", func(t *testing.T) {
		f := &fake{t: t, flat: true, scripts: map[string][]string{"big": {"memory: out of memory"}}}
		sum, _ := batchOf(t, fmt.Sprintf(plan, 1))(t.Context(), batch.Options{Runner: f})
		assert.Equal(t, map[string]batch.Status{"big": batch.Failed, "other": batch.Completed}, statuses(sum))
		assert.Len(t, f.attempts("big"), 1)
		assert.Contains(t, sum.Jobs[0].Error, "out of memory; a smaller batch would not help")
	})
	t.Run("beside another", func(t *testing.T) {
		over := make(chan struct{})
		f := &fake{t: t, flat: true, scripts: map[string][]string{"big": {"memory: out of memory"}, "other": {"wait for big"}}, over: over}
		sum, events := batchOf(t, fmt.Sprintf(plan, 2))(t.Context(), batch.Options{Runner: f, Events: func(ev batch.Event) {
			if ev.Kind == batch.EventEnd && ev.Job == "big" {
				close(over)
			}
		}})
		assert.Equal(t, map[string]batch.Status{"big": batch.Completed, "other": batch.Completed}, statuses(sum))
		big := f.attempts("big")
		require.Len(t, big, 2)
		assert.Equal(t, sum.Jobs[0].Run, big[1].Resume)
		assert.EqualValues(t, 8, big[1].Config["training"].(map[string]any)["batch_size"])
		assert.Contains(t, texts(events, batch.EventRetry), "big: out of memory; it goes on from its last checkpoint")
		assert.Zero(t, sum.Jobs[0].BatchSize)
	})
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
		stop := sync.OnceFunc(func() { close(abort) }) // a step that was under way may still be told
		f := &fake{t: t, scripts: map[string][]string{"a": {"wait"}}}
		sum, _ := batchOf(t, jobs)(t.Context(), batch.Options{Runner: f, Abort: abort, Events: func(ev batch.Event) {
			if ev.Kind == batch.EventStep {
				stop()
			}
		}})
		assert.Equal(t, 130, sum.Exit)
	})
	t.Run("while it compares", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		sum, events := batchOf(t, jobs+"compare: {metric: f1}\ndecide: {}\n")(ctx, batch.Options{Runner: &fake{t: t}, Events: func(ev batch.Event) {
			if ev.Kind == batch.EventEnd && ev.Job == "b" {
				cancel()
			}
		}})
		assert.Equal(t, map[string]batch.Status{"a": batch.Completed, "b": batch.Completed}, statuses(sum))
		assert.Equal(t, 130, sum.Exit)
		assert.Equal(t, "interrupted", sum.Stopped)
		assert.Empty(t, sum.Problems)
		assert.Contains(t, texts(events, batch.EventStopping), "interrupted")
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
