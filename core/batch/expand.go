package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Job is one training, or one evaluation of what is trained already.
type Job struct {
	Name string // unique
	// Group is the name in the plan that the job comes from.
	Group string
	// ConfigPath is the train.yaml that Settings change; it may be empty.
	ConfigPath string
	Settings   []Setting
	// Config is what to train, nil for an evaluation. A base_model of the form
	// job:NAME stands for the run of that job.
	Config *config.Config
	// Run is what to evaluate: a job, or a run by path, id or name.
	Run  string
	Eval Evaluation // of Run
	// After lists the jobs that must be complete before this one starts.
	After []string

	lines lines
	// combination is the part of Settings that the matrix gives.
	combination []Setting
}

// Setting is a key of the config that a job sets.
type Setting struct {
	Key   string // dotted
	Value any    // json.Number stands for a plain YAML scalar
	line  int
}

// String gives "key: value".
func (s Setting) String() string { return s.Key + ": " + valueText(s.Value) }

func valueText(v any) string {
	switch v := v.(type) {
	case json.Number:
		return v.String()
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = valueText(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// Evaluation says how to evaluate a run; the zero value of a field leaves the
// matter to the run's config.
type Evaluation struct {
	TestData     string   `json:"test_data,omitempty"`
	Metrics      []string `json:"metrics,omitempty"`
	SliceBy      []string `json:"slice_by,omitempty"`
	HardExamples *int     `json:"hard_examples,omitempty"`
	BatchSize    int      `json:"batch_size,omitempty"`
}

// maxJobs bounds what the matrices of a plan multiply to.
const maxJobs = 10_000

// baseJob is the prefix of a base_model that is the run of another job.
const baseJob = "job:"

// BaseJob returns the job whose run is the base model, empty if it is none.
func (j *Job) BaseJob() string {
	if j.Config == nil {
		return ""
	}
	name, ok := strings.CutPrefix(j.Config.BaseModel, baseJob)
	if !ok {
		return ""
	}
	return name
}

// lines are where a job stands in the plan, and its keys.
type lines struct {
	job  int
	keys map[string]int // shared by the jobs of a matrix
}

// of is the line of a key, that of the job where it is not written there.
func (l lines) of(key string) int {
	if line, ok := l.keys[key]; ok {
		return line
	}
	return l.job
}

// lineOf is where a job sets a key of its config, or else its own line.
func (j *Job) lineOf(key string) int {
	for _, s := range slices.Backward(j.Settings) {
		if s.Key == key {
			return s.line
		}
	}
	return j.lines.job
}

// expand turns the drafts into jobs.
func (r *planReader) expand() {
	for _, dr := range r.drafts {
		if dr.run != "" {
			r.checkTestData(dr)
			r.plan.Jobs = append(r.plan.Jobs, Job{Name: dr.name, Group: dr.name, Run: dr.run, Eval: dr.eval, After: dr.after, lines: dr.lines})
			continue
		}
		job := func(c []Setting) Job {
			job := Job{Name: dr.name, Group: dr.name, ConfigPath: dr.config, After: dr.after, lines: dr.lines, combination: c}
			job.Settings = slices.Concat(r.defaults.evalKeys, r.defaults.settings, dr.evalKeys, dr.settings, c)
			return job
		}
		combinations := r.combinations(dr)
		if len(combinations) == 0 { // that is reported, and what it sets may be wrong too
			wrong := job(nil)
			r.config(&wrong)
			continue
		}
		if len(combinations) > maxJobs-len(r.plan.Jobs) {
			r.tooMany(dr)
			return
		}
		for i, c := range combinations {
			job := job(c)
			if dr.expandable {
				job.Name += "-" + strconv.Itoa(i+1)
			}
			job.Config = r.config(&job)
			r.plan.Jobs = append(r.plan.Jobs, job)
		}
	}
}

func (r *planReader) tooMany(dr draft) {
	r.report(dr.lines.of("matrix"), dr.name+".matrix", fmt.Sprintf("makes more than %d jobs", maxJobs), "use fewer values")
}

// combinations lists what the matrix of a draft multiplies to, the last key
// varying fastest, without what is excluded and with what is included. There
// are none when that is wrong, which is reported.
func (r *planReader) combinations(dr draft) [][]Setting {
	if !dr.expandable {
		if len(dr.exclude) > 0 {
			r.report(dr.exclude[0][0].line, dr.name+".exclude", "means nothing without matrix", "")
		}
		return [][]Setting{nil}
	}
	total := 1
	for _, a := range dr.matrix {
		if total *= len(a.values); total > maxJobs-len(r.plan.Jobs) {
			r.tooMany(dr)
			return nil
		}
	}
	var out [][]Setting
	if len(dr.matrix) > 0 && total > 0 {
		out = [][]Setting{nil}
		for _, a := range dr.matrix {
			var next [][]Setting
			for _, head := range out {
				for _, v := range a.values {
					next = append(next, append(slices.Clip(head), v...))
				}
			}
			out = next
		}
	}
	for _, ex := range dr.exclude {
		before := len(out)
		out = slices.DeleteFunc(out, func(c []Setting) bool { return matches(c, ex) })
		if len(out) == before && !dr.broken {
			r.report(ex[0].line, dr.name+".exclude", "excludes nothing", "no combination of the matrix has these values")
		}
	}
	out = append(out, dr.include...)
	if len(out) == 0 && !dr.broken {
		r.report(dr.lines.of("matrix"), dr.name+".matrix", "leaves no job", "")
	}
	return out
}

// matches says whether a combination has every setting of a pattern.
func matches(c, pattern []Setting) bool {
	for _, want := range pattern {
		if !slices.ContainsFunc(c, func(s Setting) bool { return s.Key == want.Key && sameValue(s.Value, want.Value) }) {
			return false
		}
	}
	return true
}

// sameValue compares values as they are meant: 1e-4 is 0.0001.
func sameValue(a, b any) bool {
	x, y := valueText(a), valueText(b)
	if x == y {
		return true
	}
	f, errA := strconv.ParseFloat(x, 64)
	g, errB := strconv.ParseFloat(y, 64)
	return errA == nil && errB == nil && f == g
}

// config makes the config of a job; problems are reported where they stand in
// the plan.
func (r *planReader) config(job *Job) *config.Config {
	overrides := make([]config.Override, 0, len(job.Settings)+2)
	for _, s := range job.Settings {
		overrides = append(overrides, config.Override{Key: s.Key, Value: s.Value})
	}
	overrides = append(overrides, config.Override{Key: "name", Value: job.Name}, config.Override{Key: "output.dir", Value: r.plan.RunsDir})
	var cfg *config.Config
	var err error
	if job.ConfigPath == "" {
		cfg, err = config.FromMap(map[string]any{}, overrides...)
	} else {
		var data []byte
		if data, err = r.file(job.ConfigPath); err == nil {
			cfg, err = config.Parse(job.ConfigPath, data, overrides...)
		}
	}
	var wrong *fault.ConfigError
	switch {
	case err == nil:
		return cfg
	case !errors.As(err, &wrong) || len(wrong.Problems) == 0:
		r.report(job.lines.of("config"), job.Group+".config", text.Escape(err.Error()), "check the path")
	default:
		for _, p := range wrong.Problems {
			if p.Path == "" || p.Line == 0 {
				p.Path, p.Line = r.path, job.lineOf(p.Key)
				p.Key = text.Escape(job.Group) + ": " + p.Key
			}
			r.problems = append(r.problems, p)
		}
	}
	return nil
}

// file reads a config file once for all jobs.
func (r *planReader) file(path string) ([]byte, error) {
	f, ok := r.files[path]
	if !ok {
		if f.data, f.err = regular.Read(path, config.MaxFileSize); f.err != nil {
			_, f.err = config.Load(path) // it says what is wrong in its own words
		}
		r.files[path] = f
	}
	return f.data, f.err
}

// checkNames checks what refers to jobs: after, run, base_model, compare,
// decide.
func (r *planReader) checkNames() {
	p := r.plan
	names := map[string]int{}
	groups := map[string][]string{}
	var known []string
	for i := range p.Jobs {
		j := &p.Jobs[i]
		if first, twice := names[j.Name]; twice && p.Jobs[first].lines.job != j.lines.job {
			r.report(j.lines.job, j.Name, fmt.Sprintf("is the name of a job on line %d too", p.Jobs[first].lines.job), "names are unique")
		}
		names[j.Name] = i
		groups[j.Group] = append(groups[j.Group], j.Name)
		known = append(known, j.Name)
	}
	for _, dr := range r.drafts {
		if !slices.Contains(known, dr.name) {
			known = append(known, dr.name)
		}
	}
	drafted := func(name string) bool {
		return slices.ContainsFunc(r.drafts, func(d draft) bool { return d.name == name })
	}
	for i := range p.Jobs {
		j := &p.Jobs[i]
		var after []string
		for _, name := range j.After {
			switch _, one := names[name]; {
			case one:
				after = append(after, name)
			case len(groups[name]) > 0:
				after = append(after, groups[name]...)
			case !drafted(name):
				near, close := config.Nearest(name, known)
				hint := ""
				if close {
					hint = "did you mean " + near + "?"
				}
				r.report(j.lines.of("after"), j.Group+".after", "there is no job "+strconv.Quote(name), hint)
			}
		}
		if _, ok := names[j.Run]; ok && j.Run != "" {
			after = append(after, j.Run)
		} else if j.Run != "" {
			r.checkRun(j.lines.of("run"), j.Name+".run", j.Run, known, groups)
		}
		if base := j.BaseJob(); base != "" {
			if _, ok := names[base]; !ok {
				near, _ := config.Nearest(base, known)
				hint := "did you mean " + baseJob + near + "?"
				if of := groups[base]; len(of) > 0 {
					hint = oneOf(of)
				}
				r.report(j.lineOf("base_model"), j.Group+": base_model", "there is no job "+strconv.Quote(text.Escape(base)), hint)
			} else {
				after = append(after, base)
			}
		}
		slices.SortFunc(after, func(a, b string) int { return names[a] - names[b] }) // sweep-2 before sweep-10
		j.After = slices.Compact(after)
		if i > 0 && slices.Equal(j.After, p.Jobs[i-1].After) {
			j.After = p.Jobs[i-1].After // those of a matrix share a list, which may be long
		}
	}
	r.checkCycles(names)
	r.checkEvaluations(names)
	if c := p.Compare; c != nil && c.Baseline != "" {
		if _, ok := names[c.Baseline]; !ok {
			r.checkRun(r.compareLine, "compare.baseline", c.Baseline, known, groups)
		}
	}
	if c := p.Compare; c != nil && c.Metric != "" {
		r.checkMetric(c.Metric)
	}
	if dc := p.Decide; dc != nil && dc.Baseline != "" {
		if _, ok := names[dc.Baseline]; !ok {
			r.checkRun(r.decideBaseline, "decide.baseline", dc.Baseline, known, groups)
		}
	}
	if dc := p.Decide; dc != nil && dc.Job != "" {
		if _, ok := names[dc.Job]; !ok {
			near, _ := config.Nearest(dc.Job, known)
			hint := "did you mean " + near + "?"
			if of := groups[dc.Job]; len(of) > 0 {
				hint = oneOf(of)
			}
			r.report(r.decideLine, "decide.job", "there is no job "+strconv.Quote(dc.Job), hint)
		}
	}
}

// checkMetric reports a metric that no run of the plan will have.
func (r *planReader) checkMetric(name string) {
	var known []string
	for _, task := range metrics.Tasks() {
		for _, m := range metrics.Names(task) {
			if !slices.Contains(known, m) {
				known = append(known, m)
			}
		}
	}
	if !slices.Contains(known, name) {
		hint := "known are " + strings.Join(known, ", ")
		if near, close := config.Nearest(name, known); close {
			hint = "did you mean " + near + "?"
		}
		r.report(r.metricLine, "compare.metric", "there is no metric "+strconv.Quote(name), hint)
		return
	}
	for i := range r.plan.Jobs {
		cfg := r.plan.Jobs[i].Config
		if cfg != nil && cfg.Eval.Enabled && slices.Contains(metrics.Names(cfg.Task), name) && !slices.Contains(cfg.MetricNames(), name) {
			r.report(r.metricLine, "compare.metric", "is "+name+", which the evaluation of "+r.plan.Jobs[i].Name+" does not compute", "add it to eval.metrics")
			return
		}
	}
}

// oneOf is the hint for the name of a matrix where one job is wanted.
func oneOf(jobs []string) string {
	return "it is a matrix: name one of its jobs, such as " + jobs[0]
}

// checkRun reports what is neither a job nor a run that exists.
func (r *planReader) checkRun(line int, key, name string, jobs []string, groups map[string][]string) {
	if _, err := findRun(name, r.plan.RunsDir); err == nil {
		return
	}
	hint := "name a job of the plan, a run directory, or the id or name of a run in " + r.plan.RunsDir
	if of := groups[name]; len(of) > 0 {
		hint = oneOf(of)
	} else if near, close := config.Nearest(name, jobs); close {
		hint = "did you mean the job " + near + "?"
	}
	r.report(line, key, "there is no job or run "+strconv.Quote(name), hint)
}

// findRun returns the folder of a run given by path, id or name; of several
// with the name it is the newest.
func findRun(name, runsDir string) (string, error) {
	if _, err := runs.Open(name); err == nil {
		return name, nil
	}
	entries, err := runs.List(runsDir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Name == name || e.Meta.RunName == name {
			return e.Dir, nil
		}
	}
	return "", fmt.Errorf("find run %q in %s: %w", name, runsDir, runs.ErrNotRun)
}

// checkCycles reports jobs that wait for themselves.
func (r *planReader) checkCycles(names map[string]int) {
	jobs := r.plan.Jobs
	const visiting, done = 1, 2
	state := make([]int, len(jobs))
	var visit func(i int) bool
	visit = func(i int) bool {
		switch state[i] {
		case visiting:
			r.report(jobs[i].lines.job, jobs[i].Name, "waits for itself", "its after, run or base_model leads back to it")
			return false
		case done:
			return true
		}
		state[i] = visiting
		for _, name := range jobs[i].After {
			if !visit(names[name]) {
				state[i] = done
				return false
			}
		}
		state[i] = done
		return true
	}
	for i := range jobs {
		visit(i)
	}
}

// checkPolicy reads the policy before anything starts.
func (r *planReader) checkPolicy(e entry, path string) {
	if path == "" {
		return
	}
	if _, err := decision.LoadPolicy(path); err != nil {
		var typed fault.TrainError
		if errors.As(err, &typed) && len(typed.Fault().Problems) > 0 {
			r.problems = append(r.problems, typed.Fault().Problems...)
			return
		}
		r.report(e.line, e.key, text.Escape(err.Error()), "check the path")
	}
}
