package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/internal/commands"
	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/filter"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// runs is the commands that look at runs.
func (a *app) runs() *cobra.Command {
	var runsDir string
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List, show and follow runs",
		Long: `Look at the runs of a folder, also those that other processes are training. A
run is named by its path, or by its id or name in --runs-dir; show and follow
without a name take the newest.`,
		Example: `  verifily runs ls --filter 'status:completed f1>0.8' --sort f1
  verifily runs show pronounce
  verifily runs follow`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.Args = commands.Known
	cmd.PersistentFlags().StringVar(&runsDir, "runs-dir", "runs", "`FOLDER` of the runs")
	cmd.AddCommand(a.runsList(&runsDir), a.runsShow(&runsDir), a.runsFollow(&runsDir))
	return cmd
}

func (a *app) runsList(runsDir *string) *cobra.Command {
	var where, sort string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List runs, the newest first",
		Long: `List the runs of a folder. A filter is words, which names, ids, models and data
are searched for, and conditions such as status:completed, f1>0.8, age<2d or
name~warm; all of them must hold. A status, a decision and a task are named
whole, in capitals or not, or by how they alone begin: decision:ship leaves
DONT_SHIP out. The keys are name, id, status, task, model, data, device, seed,
age, duration, decision, every metric and metric (the primary one), every key of
the configuration by its dotted name or the last part of it, such as
training.learning_rate, learning_rate or lr for short, and every tag of the
data.

--sort takes one of these keys: metrics sort best first, the others upwards;
a minus before the key turns that round. Runs without a value come last.`,
		Example: `  verifily runs ls
  verifily runs ls --filter 'status:completed f1>0.8' --sort f1
  verifily runs ls --filter 'pronounce training.num_epochs>5' --sort -age --json`,
		Args: noArguments("narrow the list with --filter EXPR"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notEmpty(cmd, "runs-dir", "sort"); err != nil {
				return err
			}
			return a.listRuns(*runsDir, where, sort)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&where, "filter", "", "only runs that `EXPR` holds for")
	flags.StringVar(&sort, "sort", "", "`KEY` to sort by (default: age)")
	flags.Bool("json", false, "print one JSON document (see verifily help json)")
	return cmd
}

func (a *app) listRuns(dir, where, sort string) error {
	defer a.warnLostOutput()
	query, err := filter.Parse(where)
	if err != nil {
		return &core.ConfigError{Detail: fault.Detail{Reason: "--filter: " + err.Error(), Hint: "see verifily runs ls --help"}}
	}
	entries, err := runs.List(dir)
	if err != nil {
		return &core.ConfigError{Detail: fault.Detail{Op: "list runs", Path: dir, Err: cause(err), Hint: "name the folder of the runs with --runs-dir"}}
	}
	now := time.Now()
	var all, list []*listedRun
	for i := range entries {
		r := &listedRun{entry: &entries[i], now: now}
		all = append(all, r)
		if query.Match(r) {
			list = append(list, r)
		}
	}
	if len(all) > 0 {
		if wrong := query.Check(rows(all)); wrong != "" {
			return usage("--filter: "+wrong, "see verifily runs ls --help")
		}
	}
	key := strings.TrimPrefix(sort, "-")
	if key != "" {
		if !slices.ContainsFunc(list, func(r *listedRun) bool { _, ok := r.Field(key); return ok }) && len(list) > 0 {
			reason := cmp.Or(filter.NoRun(strings.ToLower(key), rows(all)), fmt.Sprintf("no run has a value for %q", key))
			return usage("--sort: "+reason, "see verifily runs ls --help for the keys")
		}
		slices.SortStableFunc(list, func(a, b *listedRun) int { return order(a, b, key, key != sort) })
	}
	out := show.Runs{Dir: shortPath(dir), Total: len(entries)}
	for _, r := range list {
		out.List = append(out.List, r.shown())
		out.Metric = cmp.Or(metricOf(r, key), out.Metric)
	}
	return a.printer.ListedRuns(out)
}

// rows are runs for a filter.
func rows(list []*listedRun) iter.Seq[filter.RunRow] {
	return func(yield func(filter.RunRow) bool) {
		for _, r := range list {
			if !yield(r) {
				return
			}
		}
	}
}

// order compares two runs by a key: metrics best first, other values upwards,
// and what has none last.
func order(a, b *listedRun, key string, reverse bool) int {
	x, okX := a.Field(key)
	y, okY := b.Field(key)
	switch {
	case !okX || !okY:
		return cmp.Compare(rank(okX), rank(okY))
	case x.IsNumber != y.IsNumber:
		return cmp.Compare(rank(x.IsNumber), rank(y.IsNumber))
	}
	c := cmp.Compare(strings.ToLower(x.Text), strings.ToLower(y.Text))
	if x.IsNumber {
		c = cmp.Compare(x.Number, y.Number)
		if name := metricOf(a, key); name != "" && !metrics.LowerIsBetter(name) {
			c = -c
		}
	}
	if reverse {
		return -c
	}
	return c
}

// metricOf is the metric that a key stands for, empty where it is none.
func metricOf(r *listedRun, key string) string {
	if slices.Contains(filter.PrimaryKeys, key) {
		name, _, _ := filter.Primary(&r.entry.Meta)
		return name
	}
	if _, ok := r.entry.Meta.Metrics[key]; ok {
		return key
	}
	return ""
}

// rank puts what is true first.
func rank(b bool) int {
	if b {
		return 0
	}
	return 1
}

// listedRun is a run as filters see it. What is not in run_meta.json is read
// when a filter asks for it.
type listedRun struct {
	entry    *runs.Entry
	now      time.Time
	settings *filter.Settings // nil until asked for
	judged   bool             // decision was looked for
	said     string
}

// Words implements filter.Row.
func (r *listedRun) Words() string {
	m := &r.entry.Meta
	return strings.Join([]string{r.name(), r.entry.Name, m.BaseModel, m.DatasetVersion}, " ")
}

// Entry implements filter.RunRow.
func (r *listedRun) Entry() *runs.Entry { return r.entry }

func (r *listedRun) name() string { return filter.RunName(r.entry) }

// Field implements filter.Row.
func (r *listedRun) Field(key string) (filter.Value, bool) {
	key = strings.ToLower(key)
	if key == "decision" {
		return filter.Choice(key, r.decision())
	}
	if v, ok := filter.Run(r.entry, key, r.now); ok {
		return v, true
	}
	if r.settings == nil {
		r.settings = filter.ReadSettings(r.entry.Dir)
	}
	return filter.Setting(r.settings.Value(key))
}

// age is how many seconds ago the run started.
func (r *listedRun) age() float64 {
	return r.now.Sub(filter.Started(r.entry)).Seconds()
}

// decision is the verdict that was recorded about the run, empty if none was.
func (r *listedRun) decision() string {
	if r.judged {
		return r.said
	}
	r.judged = true
	const most = 1 << 20 // bytes; a decision has a few kilobytes
	var verdict struct{ Recommendation string }
	data, err := regular.Read(filepath.Join(r.entry.Dir, "decision", "decision.json"), most)
	if err == nil && json.Unmarshal(data, &verdict) == nil {
		r.said = verdict.Recommendation
	}
	return r.said
}

func (r *listedRun) shown() show.ListedRun {
	return show.ListedRun{Dir: shortPath(r.entry.Dir), Entry: *r.entry, Name: r.name(), Age: r.age(), Lasted: filter.Duration(r.entry, r.now), Decision: r.decision()}
}

func (a *app) runsShow(runsDir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [RUN]",
		Short: "Show a run: its state, its training, its evaluation",
		Example: `  verifily runs show
  verifily runs show pronounce
  verifily runs show runs/run_20260101_120000_abcdef --json`,
		Args: oneRun,
		RunE: func(_ *cobra.Command, args []string) error {
			entry, err := findEntry(args, *runsDir)
			if err != nil {
				return err
			}
			return a.showRun(entry)
		},
	}
	cmd.Flags().Bool("json", false, "print one JSON document (see verifily help json)")
	return cmd
}

func oneRun(_ *cobra.Command, args []string) error {
	if len(args) < 2 {
		return nil
	}
	return usage(fmt.Sprintf("unexpected argument %q", args[1]), "name one run")
}

// findEntry finds the run that is named, or else the newest.
func findEntry(args []string, runsDir string) (*runs.Entry, error) {
	if len(args) == 0 {
		entries, err := runs.List(runsDir)
		if err != nil {
			return nil, &core.ConfigError{Detail: fault.Detail{Op: "list runs", Path: runsDir, Err: cause(err), Hint: "name the folder of the runs with --runs-dir"}}
		}
		if len(entries) == 0 {
			return nil, usage("there are no runs in "+runsDir, "name the folder of the runs with --runs-dir")
		}
		return &entries[0], nil
	}
	dir, err := core.FindRun(args[0], runsDir)
	if err != nil {
		return nil, &core.ConfigError{Detail: *faultOf(err)}
	}
	entry, err := entryOf(dir)
	if err != nil {
		return nil, &core.ConfigError{Detail: fault.Detail{Op: "find run", Path: args[0], Err: cause(err), Hint: "verifily runs ls lists the runs"}}
	}
	return entry, nil
}

func faultOf(err error) *fault.Detail {
	var typed core.VerifilyTrainError
	if errors.As(err, &typed) {
		return typed.Fault()
	}
	return &fault.Detail{Err: err}
}

// entryOf reads what a listing would tell of one run.
func entryOf(dir string) (*runs.Entry, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	e := &runs.Entry{Name: filepath.Base(run.Dir()), Dir: dir, Kind: run.Kind()}
	if e.Meta, e.Err = run.Meta(); e.Err == nil {
		e.Status, e.Err = run.State(time.Now())
	}
	return e, nil
}

func (a *app) showRun(entry *runs.Entry) error {
	defer a.warnLostOutput()
	listed := &listedRun{entry: entry, now: time.Now()}
	out := show.ShownRun{Run: listed.shown()}
	run, err := runs.Open(entry.Dir)
	if err != nil {
		return err
	}
	switch entry.Status {
	case runs.StatusCompleted:
		result, err := resultOf(run)
		if err == nil {
			out.Result = result
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the result of %s: %w", entry.Dir, err)
		}
		// Another program wrote the run: what it has is shown.
		out.Result = foreignResult(run, out.Run)
	case runs.StatusInterrupted, runs.StatusFailed:
		if entry.Kind == runs.KindRun {
			out.Resume = "verifily train --resume " + show.Quote(out.Run.Dir)
		}
	}
	if log, err := run.Log(); err == nil && len(log.Lines) > 0 { // without one nothing is trained yet
		last := log.Lines[len(log.Lines)-1]
		out.Last, out.TotalSteps = &last, last.TotalSteps(epochsOf(run))
	}
	return a.printer.ShownRun(out)
}

// foreignResult is what can be read of the result of a run that lacks some of
// our files.
func foreignResult(run *runs.Run, listed show.ListedRun) show.Result {
	out := show.Result{Run: show.Run{Dir: listed.Dir, Meta: listed.Entry.Meta}}
	if s, err := run.Summary(); err == nil {
		out.Summary = &s
	}
	if results, err := run.EvalResults(); err == nil {
		out.Eval = &show.Evaluation{Dir: listed.Dir, Results: results}
	}
	return out
}

// epochsOf is how many epochs a run is trained for, 0 when that is not known.
func epochsOf(run *runs.Run) int {
	cfg, err := run.Config()
	if err != nil {
		return 0
	}
	training, _ := cfg["training"].(map[string]any)
	epochs, _ := training["num_epochs"].(int)
	return epochs
}
