// Package compare sets runs side by side: their metrics and slices with
// intervals, what is really different and what may be chance, what went into
// them, and which examples one gets right and the other does not.
//
// The first run is the base. Where another run holds predictions for the same
// examples, differences are paired: a bootstrap interval over examples, and
// McNemar's exact test for right and wrong answers. Where they cannot be paired
// the result says so and the interval is that of independent samples; where
// there are no predictions, only the plain numbers are given. The same run
// folders and options give the same bytes.
package compare

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

// Options tune a comparison; the zero value stands for the customary choices.
type Options struct {
	// Metric is the one that slices are compared by. Empty: f1 or accuracy, by
	// task, or else the first metric that all runs have.
	Metric string
	// Only leaves the other metrics out, which take as long each.
	Only bool
	// SliceBy lists tag keys, also crossed as a*b. Nil: the keys that the runs were
	// evaluated by, those of the base first.
	SliceBy   []string
	Resamples int     // of a bootstrap; 0 means 10,000
	Seed      *int64  // of the random numbers; nil means 42
	Alpha     float64 // level of the tests; 0 means 0.05
	// MinSlice is the size under which a slice is not tested; 0 means the base
	// run's eval.min_slice, or else 30.
	MinSlice int
}

func (o Options) bootstrap() stats.Options {
	return stats.Options{Level: 1 - o.Alpha, Resamples: o.Resamples, Seed: o.Seed}
}

func (o Options) filled() Options {
	if o.Resamples == 0 {
		o.Resamples = stats.Resamples
	}
	if o.Seed == nil {
		seed := int64(stats.Seed)
		o.Seed = &seed
	}
	if o.Alpha == 0 {
		o.Alpha = 0.05
	}
	return o
}

// Runs compares two or more runs. What a user can get wrong - too few runs, runs
// without an evaluation, different tasks, a metric that is not there - is a
// *fault.ConfigError or *fault.EvalError; a cancelled context gives its error.
func Runs(ctx context.Context, list []*runs.Run, opt Options) (*Result, error) {
	if err := opt.check(len(list)); err != nil {
		return nil, err
	}
	opt = opt.filled()
	sides, err := loadAll(ctx, list)
	if err != nil {
		return nil, err
	}
	c := comparison{ctx: ctx, opt: opt, sides: sides}
	return c.run()
}

// loadAll reads the runs side by side. The error is that of the first run which
// has one.
func loadAll(ctx context.Context, list []*runs.Run) ([]*side, error) {
	sides, errs := make([]*side, len(list)), make([]error, len(list))
	var wait sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, run := range list {
		free <- struct{}{}
		wait.Go(func() {
			sides[i], errs[i] = load(ctx, run, i == 0)
			<-free
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return sides, nil
}

// MaxResamples bounds the resamples: they are all held in memory, and so many give
// p to six decimals.
const MaxResamples = 10_000_000

func (o Options) check(n int) error {
	wrong := func(reason, hint string) error {
		return &fault.ConfigError{Detail: fault.Detail{Op: "compare", Reason: reason, Hint: hint}}
	}
	switch {
	case n < 2:
		return wrong(fmt.Sprintf("%d runs are given", n), "name at least two runs, the base first")
	case o.Resamples < 0 || o.Resamples > 0 && o.Resamples < 100:
		return wrong(fmt.Sprintf("%d resamples are too few", o.Resamples), "use 100 or more; 10000 is customary")
	case o.Resamples > MaxResamples:
		return wrong(fmt.Sprintf("%d resamples are more than %d", o.Resamples, MaxResamples), "10000 is customary")
	case o.Alpha != 0 && !(o.Alpha > 0 && o.Alpha < 0.5):
		return wrong(fmt.Sprintf("alpha %v is out of range", o.Alpha), "use a number between 0 and 0.5, such as 0.05")
	}
	return nil
}

// comparison is one comparison under way.
type comparison struct {
	ctx   context.Context
	opt   Options
	sides []*side
	task  string
	// pairs has, for every run after the first, its match with the base; nil
	// where either has no predictions.
	pairs []*pairs
	kept  []map[string]stats.Difference // by run, see test
	out   Result
}

func (c *comparison) run() (*Result, error) {
	if err := c.findTask(); err != nil {
		return nil, err
	}
	c.out = Result{Task: c.task, Alpha: c.opt.Alpha, Resamples: c.opt.Resamples, Seed: *c.opt.Seed, MinSlice: c.minSlice(),
		Slices: []Slice{}, Examples: []Examples{}, Notes: []string{}}
	for _, s := range c.sides {
		s.info.shared = slices.ContainsFunc(c.sides, func(other *side) bool { return other != s && other.info.Name == s.info.Name })
		c.out.Runs = append(c.out.Runs, s.info)
		c.out.Notes = append(c.out.Notes, s.notes...)
	}
	if err := c.findMetric(); err != nil {
		return nil, err
	}
	names := c.names()
	for _, s := range c.sides {
		if err := s.score(c.task, names); err != nil {
			return nil, err
		}
		c.out.Notes = append(c.out.Notes, s.contradictions(names)...)
	}
	c.pair()
	if err := c.overall(names); err != nil {
		return nil, err
	}
	if err := c.slices(); err != nil {
		return nil, err
	}
	c.examples()
	c.out.Config = Differences(c.configs()...)
	c.out.Data = Differences(data(c.sides)...)
	c.out.Environment = Differences(environments(c.sides)...)
	return &c.out, nil
}

// findTask makes sure that the runs do the same thing.
func (c *comparison) findTask() error {
	for _, s := range c.sides {
		if c.task == "" {
			c.task = s.task
		}
		if s.task != "" && s.task != c.task {
			return &fault.EvalError{Detail: fault.Detail{Op: "compare", Path: s.info.Path,
				Reason: fmt.Sprintf("the task is %s, that of the others %s", strconv.Quote(s.task), strconv.Quote(c.task)),
				Hint:   "compare runs of the same task"}}
		}
	}
	return nil
}

func (c *comparison) minSlice() int {
	if c.opt.MinSlice > 0 {
		return c.opt.MinSlice
	}
	if eval, ok := c.sides[0].config["eval"].(map[string]any); ok {
		if n, ok := eval["min_slice"].(int); ok && n > 0 {
			return n
		}
	}
	return 30
}

// fromPredictions lists the metrics that predictions give, those that take
// longer last.
func fromPredictions(task string) (quick, slow []string) {
	switch task {
	case metrics.TaskSFT:
		return []string{metrics.NameF1, metrics.NameExactMatch, metrics.NameEvalLoss, metrics.NamePerplexity},
			[]string{metrics.NameRouge1, metrics.NameRougeL, metrics.NameWER}
	case metrics.TaskClassification:
		return []string{metrics.NameAccuracy, metrics.NameMacroF1, metrics.NameWeightedF1}, nil
	}
	return nil, nil
}

// findMetric settles on the metric that slices are compared by.
func (c *comparison) findMetric() error {
	quick, slow := fromPredictions(c.task)
	has := func(s *side, name string) bool {
		_, plain := s.results.Overall[name]
		return plain || len(s.preds) > 0 && (slices.Contains(quick, name) || slices.Contains(slow, name))
	}
	var known []string // by all runs
	for _, name := range c.allNames() {
		if !slices.ContainsFunc(c.sides, func(s *side) bool { return !has(s, name) }) {
			known = append(known, name)
		}
	}
	want := c.opt.Metric
	switch {
	case want == "" && slices.Contains(known, metrics.Primary(c.task)):
		want = metrics.Primary(c.task)
	case want == "" && len(known) > 0:
		want = known[0]
	}
	if want == "" || !slices.Contains(known, want) {
		reason, hint := "the runs have no metric in common", "evaluate them on the same data: verifily eval --run RUN"
		if want != "" {
			reason = fmt.Sprintf("not all runs have the metric %s", strconv.Quote(want))
		}
		if len(known) > 0 {
			hint = "metrics of all runs: " + strings.Join(known, ", ")
		}
		if len(known) > 0 { // then it is another one that was asked for
			return &fault.ConfigError{Detail: fault.Detail{Op: "compare", Reason: reason, Hint: hint}}
		}
		return &fault.EvalError{Detail: fault.Detail{Op: "compare", Path: c.sides[0].info.Path, Reason: reason, Hint: hint}}
	}
	c.out.Metric = want
	return nil
}

// allNames lists what could be compared: the metrics of the task, then those of
// the result files by name.
func (c *comparison) allNames() []string {
	quick, slow := fromPredictions(c.task)
	out := slices.Concat(quick, slow)
	var others []string
	for _, s := range c.sides {
		for name := range s.results.Overall {
			if !slices.Contains(out, name) && !slices.Contains(others, name) {
				others = append(others, name)
			}
		}
	}
	slices.Sort(others)
	return append(out, others...)
}

// names lists the metrics to compare, the one asked for first. Metrics that take
// long are left out unless a run has them already or they are asked for.
func (c *comparison) names() []string {
	_, slow := fromPredictions(c.task)
	out := []string{c.out.Metric}
	if c.opt.Only {
		return out
	}
	for _, name := range c.allNames() {
		used := slices.ContainsFunc(c.sides, func(s *side) bool { _, ok := s.results.Overall[name]; return ok })
		if name != c.out.Metric && (used || !slices.Contains(slow, name)) {
			out = append(out, name)
		}
	}
	return out
}

func (c *comparison) pair() {
	base := c.sides[0]
	c.pairs = make([]*pairs, len(c.sides))
	c.kept = make([]map[string]stats.Difference, len(c.sides))
	for i := range c.kept {
		c.kept[i] = map[string]stats.Difference{}
	}
	for i, s := range c.sides[1:] {
		info := Pairing{Run: s.info.ID}
		switch {
		case len(base.preds) == 0 || len(s.preds) == 0:
			info.Note = "no predictions on one side: plain differences only"
		default:
			p := match(base.preds, s.preds)
			c.pairs[i+1] = p
			info = p.info
			info.Run = s.info.ID
		}
		c.out.Pairing = append(c.out.Pairing, info)
	}
}

// overall compares every metric over all examples.
func (c *comparison) overall(names []string) error {
	for _, name := range names {
		row := Metric{Metric: name, LowerIsBetter: metrics.LowerIsBetter(name)}
		for i, s := range c.sides {
			row.Values = append(row.Values, s.value(name))
			if i == 0 {
				continue
			}
			d, err := c.delta(name, i, nil, nil, row.Values[0], row.Values[i])
			if err != nil {
				return err
			}
			if d != nil {
				d.judge(d.P, c.opt.Alpha, row.LowerIsBetter)
			}
			row.Deltas = append(row.Deltas, d)
		}
		if slices.ContainsFunc(row.Values, func(v *Value) bool { return v != nil }) {
			c.out.Overall = append(c.out.Overall, row)
		}
	}
	return nil
}

// delta compares run i with the base by a metric. Members restrict the examples
// of the base and of the run to those of a slice; nil means all. Without
// predictions on both sides the plain values are subtracted, if there are two.
func (c *comparison) delta(name string, i int, baseMembers, members []int32, from, to *Value) (*Delta, error) {
	base, s, p := c.sides[0], c.sides[i], c.pairs[i]
	plain := func() *Delta {
		if from == nil || to == nil || !finite(to.Value-from.Value) {
			return nil
		}
		return &Delta{Delta: to.Value - from.Value, N: min(from.N, to.N)}
	}
	if p == nil || !base.scored(name) || !s.scored(name) {
		return plain(), nil
	}
	t := test{ctx: c.ctx, opt: c.opt.bootstrap(), metric: name, base: base, other: s}
	if baseMembers == nil && slices.Contains(s.names, metrics.NameEvalLoss) && slices.Contains(s.names, metrics.NamePerplexity) {
		t.kept = c.kept[i]
	}
	var d *Delta
	var err error
	if p.info.Paired {
		d, err = t.paired(p.among(baseMembers))
	} else {
		d, err = t.unpaired(all(baseMembers, len(base.preds)), all(members, len(s.preds)))
	}
	if err != nil || d != nil {
		return d, err
	}
	return plain(), nil
}

// all returns the members, or 0 to n-1 where they are nil.
func all(members []int32, n int) []int32 {
	if members != nil {
		return members
	}
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// judge sets what the adjusted probability says about the difference.
func (d *Delta) judge(adjusted *float64, alpha float64, lowerIsBetter bool) {
	if adjusted == nil {
		return
	}
	d.PHolm = adjusted
	d.Significant = *adjusted < alpha
	if d.Significant {
		d.MoreExamples = nil
		d.Verdict = Worse
		if (d.Delta > 0) != lowerIsBetter {
			d.Verdict = Better
		}
		return
	}
	d.Verdict = Unclear
}

// finite says whether v can be written and compared.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// folder is the name of a run folder.
func folder(r *runs.Run) string { return filepath.Base(r.Dir()) }
