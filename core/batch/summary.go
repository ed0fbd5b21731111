package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// The exit codes of a batch.
const (
	ExitShip        = 0 // all jobs complete, and the decision is SHIP or none was asked
	ExitDontShip    = 1
	ExitInvestigate = 2
	ExitContract    = 3
	ExitToolError   = 4 // or a bad plan
	ExitJobFailed   = 5
	ExitInterrupted = 130
)

// Summary is what became of a batch: summary.json.
type Summary struct {
	BatchID string         `json:"batch_id"`
	Dir     string         `json:"dir"`
	Plan    string         `json:"plan"`
	Exit    int            `json:"exit_code"`
	Stopped string         `json:"stopped" empty:"null"` // why it ended early
	Counts  map[Status]int `json:"counts"`
	// Metric is the one that jobs are compared by, Baseline what they are
	// compared with; empty when nothing was compared.
	Metric   string  `json:"metric" empty:"null"`
	Baseline string  `json:"baseline" empty:"null"`
	Jobs     []Row   `json:"jobs"`
	Groups   []Group `json:"groups"` // combinations with several seeds
	// Decision is the verdict of the batch, that on DecisionJob.
	Decision    string `json:"decision" empty:"null"`
	DecisionJob string `json:"decision_job" empty:"null"`
	// DecisionNote says that others were as good as DecisionJob.
	DecisionNote string   `json:"decision_note,omitempty"`
	Reasons      []string `json:"reasons"`
	// Problems say what could not be compared, judged or written.
	Problems []string `json:"problems"`
}

// Row is what became of one job.
type Row struct {
	Job      string          `json:"job"`
	Status   Status          `json:"status"`
	Run      string          `json:"run" empty:"null"` // folder
	RunID    string          `json:"run_id" empty:"null"`
	Seconds  float64         `json:"seconds"`
	Error    string          `json:"error" empty:"null"`
	Metrics  map[string]Cell `json:"metrics"`
	Decision string          `json:"decision" empty:"null"`
	// Settings are what the job has for the keys that the matrices of the plan
	// set.
	Settings map[string]any `json:"settings,omitempty"`
	// BatchSize is set when it had to be made smaller than planned. Note says
	// what is not as planned, and why.
	BatchSize int    `json:"batch_size,omitempty"`
	Note      string `json:"note,omitempty"`

	results   string
	evaluated bool // there is an evaluation
}

// Cell is a metric of a job with its evidence.
type Cell struct {
	Value    float64         `json:"value"`
	Interval *stats.Interval `json:"interval"` // 95 %, null where it is not known
	Delta    *compare.Delta  `json:"delta"`    // against the baseline
}

// maxCompared bounds how many runs are compared at once: their predictions are
// all in memory. Of more, the best are compared.
const maxCompared = 50

// finish brings the results together, writes the summary and closes the
// journal.
func (s *scheduler) finish(ctx context.Context) (*Summary, error) {
	sum := &Summary{BatchID: s.folder.info.BatchID, Dir: s.folder.dir, Plan: s.plan.Path, Stopped: s.stopped, Counts: s.counts(),
		Jobs: []Row{}, Groups: []Group{}, Reasons: []string{}, Problems: []string{}}
	keys := s.plan.matrixKeys()
	for _, st := range s.jobs {
		row := s.row(st)
		row.Settings = st.values(keys)
		sum.Jobs = append(sum.Jobs, row)
	}
	sum.Groups = append(sum.Groups, s.groups(sum.Jobs)...)
	broken := false
	if s.err != nil {
		sum.problem(s.err)
	}
	interrupted := s.stopped != "" && !s.failure
	code := ExitShip
	if !interrupted {
		if err := s.compare(ctx, sum); err != nil {
			sum.problem(err)
			broken = s.plan.Compare != nil
		}
		var err error
		if code, err = s.decide(ctx, sum); err != nil {
			sum.problem(err)
			broken = true
		}
		if ctx.Err() != nil {
			s.stop("interrupted", false)
			sum.Stopped = s.stopped
		}
	}
	failed := sum.Counts[Failed] + sum.Counts[Skipped]
	switch {
	case interrupted || ctx.Err() != nil:
		sum.Exit = ExitInterrupted
	case failed > 0:
		sum.Exit = ExitJobFailed
	case broken:
		sum.Exit = ExitToolError
	default:
		sum.Exit = code
	}
	if err := s.save(sum); err != nil {
		sum.problem(err)
		if sum.Exit != ExitJobFailed && sum.Exit != ExitInterrupted {
			sum.Exit = ExitToolError // whoever reads the files must not take it for done
		}
	}
	if s.err == nil {
		if err := s.journal.append(record{Kind: recordClose, Exit: &sum.Exit}); err != nil {
			sum.problem(fmt.Errorf("write journal: %w", err))
		}
	}
	s.emit(Event{Kind: EventSummary, Batch: s.folder.dir, Summary: sum})
	return sum, nil
}

// problem takes note of an error; that of an interruption is told by Stopped.
func (sum *Summary) problem(err error) {
	if !errors.Is(err, context.Canceled) {
		sum.Problems = append(sum.Problems, err.Error())
	}
}

// row reads what a job left.
func (s *scheduler) row(st *state) Row {
	row := Row{Job: st.Name, Status: st.status, Run: st.run, Seconds: st.seconds, Error: st.text, Metrics: map[string]Cell{}, results: st.results}
	if st.run != "" {
		row.RunID = filepath.Base(st.run)
	}
	if st.halved > 0 && st.work != nil {
		if cfg, ok := st.work.smaller(st.halved); ok {
			row.BatchSize = cfg.Training.BatchSize
			done := "trained"
			if st.status != Completed {
				done = "tried"
			}
			row.Note = fmt.Sprintf("ran out of memory with batch_size %d; it was %s with %d and gradient_accumulation_steps %d, so that a step sees as many rows as planned",
				st.work.config.Training.BatchSize, done, cfg.Training.BatchSize, cfg.Training.GradientAccumulationSteps)
		}
	}
	if st.changed && row.Note == "" {
		row.Note = "was trained on data that changed while the batch ran"
	}
	if st.status != Completed || st.run == "" {
		return row
	}
	run, err := runs.Open(st.run)
	if err != nil {
		row.Error = err.Error()
		return row
	}
	if meta, err := run.Meta(); err == nil && st.Config != nil {
		for name, v := range meta.Metrics {
			row.Metrics[name] = Cell{Value: v}
		}
	}
	results, err := readResults(run, st.results)
	if err != nil {
		return row // it was not evaluated
	}
	row.evaluated = true
	if _, ok := results.Overall["eval_loss"]; ok {
		delete(row.Metrics, "test_loss") // the same under another name
	}
	for name, v := range results.Overall {
		c := Cell{Value: v}
		if i, ok := results.Intervals[name]; ok {
			c.Interval = &stats.Interval{Low: i.Low, High: i.High, N: i.N, Method: i.Method}
		}
		row.Metrics[name] = c
	}
	return row
}

// readResults reads the evaluation in a folder, which may be below eval/ of the
// run, where readers of runs do not look.
func readResults(run *runs.Run, dir string) (runs.EvalResults, error) {
	if dir == "" || sameFolder(dir, filepath.Join(run.Dir(), "eval")) {
		return run.EvalResults()
	}
	data, err := regular.Read(filepath.Join(dir, resultsFile), mostOfFile)
	if err != nil {
		return runs.EvalResults{}, err
	}
	var file struct {
		Overall   map[string]any           `json:"overall"`
		Intervals map[string]runs.Interval `json:"intervals"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return runs.EvalResults{}, fmt.Errorf("read %s: %w", dir, err)
	}
	out := runs.EvalResults{Overall: map[string]float64{}, Intervals: file.Intervals}
	for name, v := range file.Overall {
		if f, ok := v.(float64); ok {
			out.Overall[name] = f
		}
	}
	return out, nil
}

// compare sets the completed runs beside the baseline.
func (s *scheduler) compare(ctx context.Context, sum *Summary) error {
	c := s.plan.Compare
	asked := c != nil
	if c == nil {
		c = &Compare{}
	}
	rows := slices.DeleteFunc(slices.Clone(sum.Jobs), func(r Row) bool {
		return !r.evaluated || !s.ownEvaluation(r)
	})
	if asked && len(rows) == 0 && sum.Counts[Completed] > 0 {
		return errors.New("nothing is compared: no job that completed was evaluated")
	}
	base, label, err := s.baseline(c.Baseline)
	if err != nil {
		return err
	}
	if base == "" {
		if c.Baseline != "" {
			return fmt.Errorf("nothing is compared: the baseline %s did not complete", c.Baseline)
		}
		if len(rows) == 0 {
			return nil
		}
		base, label = rows[0].Run, rows[0].Job
	}
	task := taskOf(base)
	rows = slices.DeleteFunc(rows, func(r Row) bool {
		other := taskOf(r.Run)
		if other != task {
			sum.Problems = append(sum.Problems, fmt.Sprintf("%s is not compared: its task is %s, that of %s is %s", r.Job, other, label, task))
		}
		return other != task || sameFolder(r.Run, base)
	})
	if len(rows) == 0 || (!asked && len(sum.Jobs) < 2) {
		return nil
	}
	if more := len(rows) - (maxCompared - 1); more > 0 {
		sortByMetric(rows, c.Metric)
		sum.Problems = append(sum.Problems, fmt.Sprintf("%d jobs are not compared, the best %d are", more, maxCompared-1))
		rows = rows[:maxCompared-1]
	}
	list := []string{base}
	for _, r := range rows {
		list = append(list, r.Run)
	}
	res, err := core.Compare(ctx, core.CompareOptions{Runs: list, Metric: c.Metric, SliceBy: c.SliceBy})
	if err != nil {
		return err
	}
	sum.Metric, sum.Baseline = res.Metric, label
	byRun := map[string]int{}
	for i, r := range rows {
		byRun[r.Job] = i
	}
	for i := range sum.Jobs {
		at, ok := byRun[sum.Jobs[i].Job]
		if !ok {
			continue
		}
		for _, m := range res.Overall {
			if cell, ok := sum.Jobs[i].Metrics[m.Metric]; ok && m.Deltas[at] != nil {
				cell.Delta = m.Deltas[at]
				sum.Jobs[i].Metrics[m.Metric] = cell
			}
		}
	}
	if !asked {
		return nil
	}
	return errors.Join(s.saveWith("compare.json", res.WriteJSON), s.saveWith("compare.csv", res.WriteCSV), s.saveWith("compare.md", res.WriteMarkdown))
}

// taskOf is the task of a run, empty when it is not known.
func taskOf(dir string) string {
	run, err := runs.Open(dir)
	if err != nil {
		return ""
	}
	meta, err := run.Meta()
	if err != nil {
		return ""
	}
	return meta.Task
}

// ownEvaluation says whether a row's results are those in eval/ of its run,
// which is what comparisons read.
func (s *scheduler) ownEvaluation(r Row) bool {
	return r.results == "" || sameFolder(r.results, filepath.Join(r.Run, "eval"))
}

func sameFolder(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y
}

// baseline finds the run that a name stands for; empty when it is that of a
// job that did not complete, or when there is no name.
func (s *scheduler) baseline(name string) (dir, label string, err error) {
	if name == "" {
		return "", "", nil
	}
	if st := s.byName[name]; st != nil {
		if st.status != Completed {
			return "", name, nil
		}
		return st.run, name, nil
	}
	dir, err = findRun(name, s.plan.RunsDir)
	return dir, name, err
}

// decide judges the job that the plan names, or else every completed training
// but the baseline and those of another task.
func (s *scheduler) decide(ctx context.Context, sum *Summary) (int, error) {
	dc := s.plan.Decide
	if dc == nil {
		return ExitShip, nil
	}
	name := dc.Baseline
	if name == "" && s.plan.Compare != nil {
		name = s.plan.Compare.Baseline
	}
	base, _, err := s.baseline(name)
	if err != nil {
		return 0, err
	}
	if base == "" && name != "" {
		return 0, fmt.Errorf("nothing is decided: the baseline %s did not complete", name)
	}
	verdicts := map[string]*core.Decision{}
	var judged []Row
	for i := range sum.Jobs {
		row := &sum.Jobs[i]
		switch {
		case row.Status != Completed, sameFolder(row.Run, base), !s.ownEvaluation(*row):
			continue
		case dc.Job != "" && row.Job != dc.Job, base != "" && dc.Job == "" && taskOf(row.Run) != taskOf(base):
			continue
		}
		d, err := core.Decide(ctx, core.DecideOptions{Run: row.Run, Baseline: base, Policy: dc.Policy})
		if err != nil {
			return 0, fmt.Errorf("decide on %s: %w", row.Job, err)
		}
		row.Decision = d.Recommendation
		verdicts[row.Job] = d
		judged = append(judged, *row)
	}
	chosen := dc.Job
	if chosen == "" && len(judged) > 0 {
		metric := sum.Metric
		if metric == "" {
			metric = mainMetric(judged)
		}
		sortByMetric(judged, metric)
		chosen = judged[0].Job
		best, same := worth(judged[0], metric), 0
		for _, r := range judged {
			if worth(r, metric) == best {
				same++
			}
		}
		if same > 1 && !math.IsInf(best, -1) {
			sum.DecisionNote = fmt.Sprintf("first of %d with equal %s", same, metric)
		}
	}
	d := verdicts[chosen]
	if d == nil {
		if chosen == "" {
			chosen = "any job"
		}
		return 0, fmt.Errorf("there is no decision on %s: it is not complete, or it is the baseline", chosen)
	}
	sum.Decision, sum.DecisionJob, sum.Reasons = d.Recommendation, chosen, append(sum.Reasons, d.Reasons...)
	if words := decision.Unjudged(chosen, d.Recommendation, d.Gates, d.Metrics.Names()); words != "" {
		sum.Problems = append(sum.Problems, words)
	}
	if d.ExitCode == decision.ExitToolError {
		return ExitToolError, nil
	}
	return d.ExitCode, nil
}

// mainMetric is the usual one of the task of rows.
func mainMetric(rows []Row) string {
	for _, name := range []string{"f1", "accuracy"} {
		if slices.ContainsFunc(rows, func(r Row) bool { _, ok := r.Metrics[name]; return ok }) {
			return name
		}
	}
	return "eval_loss"
}

// sortByMetric puts the best first; what has no value comes last.
func sortByMetric(rows []Row, metric string) {
	if metric == "" {
		metric = mainMetric(rows)
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		x, y := worth(a, metric), worth(b, metric)
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
}

// worth is what a row has of a metric, the larger the better.
func worth(r Row, metric string) float64 {
	c, ok := r.Metrics[metric]
	switch {
	case !ok || math.IsNaN(c.Value):
		return math.Inf(-1)
	case metrics.LowerIsBetter(metric):
		return -c.Value
	}
	return c.Value
}

// save writes the summary in its three forms.
func (s *scheduler) save(sum *Summary) error {
	return errors.Join(
		s.saveWith("summary.json", func(w io.Writer) error {
			data, err := canonical.Indent(finite(sum))
			if err == nil {
				_, err = w.Write(data)
			}
			return err
		}),
		s.saveWith("summary.csv", sum.WriteCSV),
		s.saveWith("summary.md", sum.WriteMarkdown))
}

func (s *scheduler) saveWith(name string, write func(io.Writer) error) error {
	return atomicfile.Write(s.folder.path(name), 0o644, write)
}

// finite is a summary without the metrics that JSON cannot hold.
func finite(sum *Summary) *Summary {
	out := *sum
	out.Jobs = slices.Clone(sum.Jobs)
	for i, row := range out.Jobs {
		cells := map[string]Cell{}
		for name, c := range row.Metrics {
			if !math.IsNaN(c.Value) && !math.IsInf(c.Value, 0) {
				cells[name] = c
			}
		}
		out.Jobs[i].Metrics = cells
	}
	return &out
}

// plain makes a text of data fit for a line of a table.
func plain(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return text.Escape(s)
}
