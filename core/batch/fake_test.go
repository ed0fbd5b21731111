package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
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
	flat    bool               // a larger batch takes no more memory
	over    chan struct{}      // when "wait for big" goes on
	running int
	most    int
}

func (f *fake) Run(ctx context.Context, a batch.Attempt, checkpoint, abort <-chan struct{}, report func(batch.Message)) batch.Message {
	if a.Estimate {
		return f.estimate(a)
	}
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
	} else {
		report(batch.Message{Kind: batch.MessageRun, Run: a.Evaluate})
	}
	loss := 1.5
	report(batch.Message{Kind: batch.MessageStep, Step: 1, TotalSteps: 2, Loss: &loss, TokensPerSecond: 10})
	switch what {
	case "wait for big":
		<-f.over
		fallthrough
	case "complete", "no contract", "not evaluated":
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
		if strings.HasSuffix(text, "evaluating") {
			report(batch.Message{Kind: batch.MessagePredict, Done: 1, Total: 2})
		}
	}
	return end
}

// estimate says what memory training would need: more for a larger batch,
// unless flat.
func (f *fake) estimate(a batch.Attempt) batch.Message {
	end := batch.Message{Kind: batch.MessageEnd, Class: "complete", MemoryBytes: 1e9}
	if !f.flat {
		rows, err := strconv.Atoi(fmt.Sprint(a.Config["training"].(map[string]any)["batch_size"]))
		require.NoError(f.t, err)
		end.MemoryBytes += int64(rows) * 1e9
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
	data, err := dataset.Resolve(f.t.Context(), dataset.Spec{Task: cfg.Task, Train: cfg.DataPaths.Train, Val: cfg.DataPaths.Val, Test: cfg.DataPaths.Test})
	require.NoError(f.t, err)
	defer data.Close()
	manifest, err := data.Manifest.JSON()
	require.NoError(f.t, err)
	require.NoError(f.t, w.WriteManifest(manifest))
	require.NoError(f.t, w.WriteEnvironment(runs.Environment{RuntimeVersion: "go"}))
	return w
}

// finish completes a run with an evaluation of 40 examples.
func (f *fake) finish(w *runs.Writer, a batch.Attempt, what string) string {
	f1 := 0.9
	if v, ok := f.f1[a.Job]; ok {
		f1 = v
	}
	if what == "not evaluated" {
		f.complete(w)
		return ""
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
	f.complete(w)
	if what == "no contract" {
		require.NoError(f.t, os.Remove(filepath.Join(w.Dir(), "environment.json")))
	}
	return filepath.Join(w.Dir(), "eval")
}

func (f *fake) complete(w *runs.Writer) {
	meta := w.Meta()
	meta.Status, meta.ArtifactPath, meta.Metrics = runs.StatusCompleted, "model", map[string]float64{"train_loss": 0.5, "test_loss": 0.2}
	require.NoError(f.t, w.Finish(meta))
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
