package show

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// RunsJSONHelp documents what the printer of JSON writes about runs, and what
// the commands that look at batches write.
const RunsJSONHelp = `
DOCUMENTS of runs and batch:

  runs ls         a list of runs, each: run_id, run_dir, name, status, error,
                  task, base_model, dataset_version, device, seed, started_at,
                  completed_at, duration_seconds, metrics {name: number},
                  decision, job_id, config_hash, data_hash
  runs show       one such run, and total_steps, last_log_line {step, epoch,
                  loss, eval_loss, timestamp}, summary (train_summary.json),
                  evaluation {eval_dir, test_data, num_examples, metrics,
                  intervals, per_class, slices, slice_intervals}
  batch ls        a list of batches, each: batch_id, plan_path, created_at,
                  number, dir, phase (running, over or killed), exit_code,
                  holder {host, pid, time}, counts {status: jobs}, jobs [{job,
                  status, run, error, seconds, earlier (it was over before
                  the last start)}]
  batch show      one such batch

runs follow prints the lines of train; batch follow those of verifily-tui
--batch (verifily-tui help json).
`

// Runs is a listing of runs.
type Runs struct {
	Dir    string // where they are, as the user would type it
	Total  int    // how many runs there are; List has those asked for
	Metric string // to show of each; empty: the usual one of its task
	List   []ListedRun
}

// ListedRun is a run in a listing, or one that is shown by itself.
type ListedRun struct {
	Dir      string // as the user would type it
	Entry    runs.Entry
	Name     string  // for people
	Age      float64 // seconds since it started
	Lasted   float64 // seconds that it took, or has taken so far
	Decision string  // that was recorded, may be empty
}

// metric is what a listing shows of a run: name and value, empty without one.
func (r *ListedRun) metric(name string) string {
	m := r.Entry.Meta.Metrics
	if name == "" {
		name = primaryMetric(r.Entry.Meta.Task, m)
	}
	if v, ok := m[name]; ok {
		return name + " " + score(v)
	}
	return ""
}

// status says how far a run has come, or what was decided about it.
func (r *ListedRun) status() string {
	if r.Entry.Err != nil {
		return "unreadable"
	}
	return string(r.Entry.Status)
}

func (l *lines) ListedRuns(list Runs) error {
	if len(list.List) == 0 {
		if list.Total > 0 {
			l.con.Print(fmt.Sprintf("none of %s in %s passes the filter", plural(list.Total, "run", "runs"), text.Escape(list.Dir)))
		} else {
			l.con.Print("there are no runs in " + text.Escape(list.Dir))
		}
		return nil
	}
	columns := []column{{head: "name", least: 10}, {head: "run", least: 20}, {head: "status"}, {head: "metric", least: 8}, {head: "age", right: true},
		{head: "decision", optional: true}, {head: "eval loss", right: true, optional: true}, {head: "time", right: true, optional: true}}
	var rows [][]string
	decided := false
	for i := range list.List {
		r := &list.List[i]
		m := &r.Entry.Meta
		lasted := ""
		if r.Lasted > 0 {
			lasted = duration(r.Lasted)
		}
		decided = decided || r.Decision != ""
		rows = append(rows, []string{r.Name, r.Entry.Name, r.status(), r.metric(list.Metric), text.Ago(r.Age), r.Decision, valueOf(m.Metrics, "eval_loss"), lasted})
	}
	if !decided {
		columns, rows = without(5, columns, rows)
	}
	l.con.Print(table(l.con.Width(), columns, rows)...)
	return nil
}

func (o *objects) ListedRuns(list Runs) error {
	out := make([]canonical.Object, 0, len(list.List))
	for i := range list.List {
		out = append(out, list.List[i].object())
	}
	return o.document(out)
}

// object is a run for programs.
func (r *ListedRun) object() canonical.Object {
	m := &r.Entry.Meta
	var failed, decision, seed any
	if r.Entry.Err != nil {
		failed = r.Entry.Err.Error()
	} else if m.Error != "" {
		failed = m.Error
	}
	if m.Seed != "" {
		seed = m.Seed
	}
	if r.Decision != "" {
		decision = r.Decision
	}
	known := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	metrics := m.Metrics
	if metrics == nil {
		metrics = map[string]float64{}
	}
	return canonical.Object{
		{Key: "run_id", Value: cmp.Or(m.RunID, r.Entry.Name)}, {Key: "run_dir", Value: r.Dir}, {Key: "name", Value: known(m.RunName)},
		{Key: "status", Value: known(string(r.Entry.Status))}, {Key: "error", Value: failed}, {Key: "task", Value: known(m.Task)},
		{Key: "base_model", Value: known(m.BaseModel)}, {Key: "dataset_version", Value: known(m.DatasetVersion)},
		{Key: "device", Value: known(m.Device)}, {Key: "seed", Value: seed}, {Key: "started_at", Value: known(m.StartedAt)},
		{Key: "completed_at", Value: known(m.CompletedAt)}, {Key: "duration_seconds", Value: m.DurationSeconds},
		{Key: "metrics", Value: metrics}, {Key: "decision", Value: decision}, {Key: "job_id", Value: known(m.JobID)},
		{Key: "config_hash", Value: known(m.ConfigHash)}, {Key: "data_hash", Value: known(m.DataHash)},
	}
}

// ShownRun is all that is told of one run.
type ShownRun struct {
	Run ListedRun
	// Last is the last line of the log of its training, nil without one;
	// TotalSteps how many it will have, 0 when that is not known.
	Last       *runs.LogLine
	TotalSteps int
	Result     Result // without a summary and an evaluation as long as there is none
	Resume     string // the command that takes an interrupted run up again, may be empty
}

func (l *lines) ShownRun(s ShownRun) error {
	r, m := &s.Run, &s.Run.Entry.Meta
	heading := l.con.Paint(console.Bold, text.Line(r.Name, l.con.Width()-len(r.status())-2)) + "  " + r.status()
	rows := [][]string{{"run", r.Dir}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	if r.Entry.Err != nil {
		add("problem", r.Entry.Err.Error())
	}
	add("error", m.Error)
	add("task", m.Task)
	add("model", m.BaseModel)
	add("data", m.DatasetVersion)
	add("seed", m.Seed.String())
	add("device", m.Device)
	add("started", m.StartedAt)
	add("ended", m.CompletedAt)
	if s.Last != nil && s.Result.Summary == nil {
		step := fmt.Sprint(s.Last.Step)
		if s.TotalSteps > 0 {
			step += fmt.Sprintf(" of %d", s.TotalSteps)
		}
		add("step", step)
		if s.Last.Loss != nil {
			add("loss", score(*s.Last.Loss))
		}
	}
	add("decision", r.Decision)
	add("resume", s.Resume)
	l.con.Print(heading)
	l.con.Print(table(l.con.Width(), []column{{}, {least: 20, wraps: true}}, rows)...)
	if s.Result.Summary != nil || s.Result.Eval != nil {
		l.Finished(s.Result)
	}
	return nil
}

func (o *objects) ShownRun(s ShownRun) error {
	out := s.Run.object()
	var last, summary, evaluation any
	if s.Last != nil {
		last = canonical.Object{{Key: "step", Value: s.Last.Step}, {Key: "epoch", Value: s.Last.Epoch}, {Key: "loss", Value: finite(s.Last.Loss)},
			{Key: "eval_loss", Value: finite(s.Last.EvalLoss)}, {Key: "timestamp", Value: s.Last.Timestamp}}
	}
	if s.Result.Summary != nil {
		summary = s.Result.Summary
	}
	if e := s.Result.Eval; e != nil {
		evaluation = canonical.Object{{Key: "eval_dir", Value: e.Dir}, {Key: "test_data", Value: e.Results.TestDataPath},
			{Key: "num_examples", Value: e.Results.NumExamples}, {Key: "metrics", Value: e.Results.Overall},
			{Key: "intervals", Value: e.Results.Intervals}, {Key: "per_class", Value: e.Results.PerClass}, {Key: "slices", Value: e.Results.Slices},
			{Key: "slice_intervals", Value: e.Results.SliceIntervals}}
	}
	return o.document(slices.Concat(out, canonical.Object{{Key: "total_steps", Value: s.TotalSteps}, {Key: "last_log_line", Value: last},
		{Key: "summary", Value: summary}, {Key: "evaluation", Value: evaluation}}))
}

// finite is a number as JSON can hold it.
func finite(f *float64) any {
	if f == nil || *f-*f != 0 {
		return nil
	}
	return *f
}
