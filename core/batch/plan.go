package batch

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Plan is a batch as a plan file asks for it, checked and expanded.
type Plan struct {
	Path    string // of the file
	Source  []byte // the file
	RunsDir string // folder of the run directories and of the batch's own folder
	Jobs    []Job  // in the order of the file; a matrix gives several
	Compare *Compare
	Decide  *Decide
	Slots   Slots
	Stop    Stop
	// Retries is how often a job is tried again after a failure that can pass.
	Retries int
}

// Compare says how the runs of a batch are set side by side.
type Compare struct {
	Metric   string // empty: the usual one of the task
	SliceBy  []string
	Baseline string // a job, or a run by path, id or name; empty: the first job
}

// Decide says how the runs of a batch are judged.
type Decide struct {
	Policy   string // ship.yaml; empty: the usual limits
	Baseline string // a job, or a run by path, id or name; empty: that of Compare, or none
	Job      string // the one whose verdict is the batch's; empty: the best by Compare.Metric
}

// AllGPUs is the value of Slots.CUDA that stands for every GPU there is.
const AllGPUs = -1

// Slots bounds how many jobs run at once.
type Slots struct {
	CPU  int // at least 1
	CUDA int // GPUs used, from index 0; AllGPUs for all there are
}

// Stop says what ends a batch early.
type Stop struct {
	OnFailure   bool
	After       time.Duration // 0: never
	MinFreeDisk int64         // bytes free where the runs are, 0: not watched
}

// DefaultRetries is how often a job is tried again when a plan says nothing.
const DefaultRetries = 2

// maxPlanSize is the largest plan that is read, in bytes: a plan of thousands
// of jobs written out fits.
const maxPlanSize = 4 << 20

const op = "load plan"

// Load reads a plan file, or a train.yaml as a plan of one job. Everything
// that is wrong - with the plan and with the config of any job - is in one
// *fault.ConfigError with lines, keys and hints.
func Load(path string) (*Plan, error) {
	data, err := regular.Read(path, maxPlanSize)
	if err != nil {
		return nil, openError(path, err)
	}
	return Parse(path, data)
}

func openError(path string, err error) error {
	d := fault.Detail{Op: op, Path: path, Err: err, Hint: "check the path"}
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		d.Err = p.Err // the path stands in the message already
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		d.Hint = "make the file readable"
	case errors.Is(err, regular.ErrTooLarge):
		d.Hint = "is it the data set?"
	case errors.Is(err, regular.ErrNotRegular), errors.Is(err, syscall.EISDIR):
		d.Hint = "name a plan, or a train.yaml"
	}
	return &fault.ConfigError{Detail: d}
}

// Parse reads a plan from the bytes of a file; path stands in messages and
// identifies the plan when it is started again.
func Parse(path string, data []byte) (*Plan, error) {
	d := document{path: path}
	root := d.root(data)
	if root == nil {
		return nil, d.err()
	}
	if isConfig(root) {
		return single(path, data)
	}
	p := &Plan{Path: path, Source: data, RunsDir: "runs", Slots: Slots{CPU: 1, CUDA: AllGPUs}, Retries: DefaultRetries}
	r := planReader{document: d, plan: p, files: map[string]configFile{}}
	r.read(root)
	if err := r.err(); err != nil {
		return nil, err
	}
	return p, nil
}

// mostProblems is how many problems are told: nobody reads more.
const mostProblems = 50

// err is everything that was reported, each thing once.
func (d *document) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	var problems []fault.Problem
	seen := map[string]bool{}
	for _, p := range d.problems {
		if s := p.String(); !seen[s] {
			seen[s] = true
			problems = append(problems, p)
		}
	}
	slices.SortStableFunc(problems, func(a, b fault.Problem) int {
		switch {
		case a.Path != b.Path: // the plan first, then config files as found
			return boolOrder(a.Path == d.path, b.Path == d.path)
		case a.Line == 0 || b.Line == 0:
			return boolOrder(a.Line != 0, b.Line != 0)
		}
		return a.Line - b.Line
	})
	reason := "1 problem"
	if n := len(problems); n > mostProblems {
		reason = fmt.Sprintf("%d problems, of which the first %d are", n, mostProblems)
		problems = problems[:mostProblems]
	} else if n > 1 {
		reason = fmt.Sprintf("%d problems", n)
	}
	return &fault.ConfigError{Detail: fault.Detail{Op: op, Path: d.path, Reason: reason, Problems: problems}}
}

// boolOrder puts what is true first.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// isConfig tells a train.yaml from a plan: it says what to train and has no
// jobs.
func isConfig(root *yaml.Node) bool {
	keys := map[string]bool{}
	for i := 0; i < len(root.Content); i += 2 {
		keys[root.Content[i].Value] = true
	}
	return !keys["jobs"] && (keys["task"] || keys["base_model"] || keys["data_paths"])
}

// single makes a plan of one job out of a train.yaml.
func single(path string, data []byte) (*Plan, error) {
	cfg, err := config.Parse(path, data)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if cfg.Name != nil {
		name = *cfg.Name
	}
	if !namePattern.MatchString(name) {
		name = "train"
	}
	p := &Plan{Path: path, Source: data, RunsDir: cfg.Output.Dir, Slots: Slots{CPU: 1, CUDA: AllGPUs}, Retries: DefaultRetries}
	p.Jobs = []Job{{Name: name, Group: name, ConfigPath: path, Config: cfg}}
	return p, nil
}

// namePattern is what a job may be called: a name is part of file names.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// planReader turns the nodes of a plan file into a Plan.
type planReader struct {
	document
	plan     *Plan
	defaults draft
	drafts   []draft
	files    map[string]configFile // config files read so far, by path
	// Lines of what is checked once all jobs are known.
	compareLine, metricLine, decideLine, decideBaseline int
}

type configFile struct {
	data []byte
	err  error
}

// draft is a job as it is written, before its matrix is expanded.
type draft struct {
	name       string
	lines      lines
	config     string
	settings   []Setting
	eval       Evaluation
	evalKeys   []Setting // what eval: sets in a training config
	matrix     []axis
	include    [][]Setting
	exclude    [][]Setting
	run        string
	after      []string
	expandable bool // there is a matrix or an include
	broken     bool // something of it was reported
}

// axis is one key of a matrix with its values, each one or several settings.
type axis struct {
	values [][]Setting
}

func (r *planReader) read(root *yaml.Node) {
	p := r.plan
	var jobs *entry
	r.section(root, "", map[string]func(entry){
		"runs_dir": func(e entry) { p.RunsDir = r.text(e) },
		"defaults": func(e entry) { r.readDefaults(e) },
		"jobs":     func(e entry) { jobs = &e },
		"compare":  func(e entry) { r.readCompare(e) },
		"decide":   func(e entry) { r.readDecide(e) },
		"slots":    func(e entry) { r.readSlots(e) },
		"stop":     func(e entry) { r.readStop(e) },
		"retries":  func(e entry) { p.Retries = r.whole(e, 0) },
	})
	if jobs == nil {
		r.report(0, "jobs", "is required", "list what to train, each with a name")
		return
	}
	if jobs.value.Kind != yaml.SequenceNode || len(jobs.value.Content) == 0 {
		r.report(jobs.line, "jobs", "must be a list of jobs, not "+describe(jobs.value), "start each job with - name: ...")
		return
	}
	if len(jobs.value.Content) > maxJobs {
		r.report(jobs.line, "jobs", fmt.Sprintf("lists more than %d jobs", maxJobs), "make several plans")
		return
	}
	for i, n := range jobs.value.Content {
		r.readJob(n, fmt.Sprintf("jobs[%d]", i+1))
	}
	r.expand()
	r.checkNames()
}

func (r *planReader) readDefaults(e entry) {
	dr := &r.defaults
	dr.lines.keys = map[string]int{}
	r.section(e.value, e.key, map[string]func(entry){
		"config": func(e entry) { dr.config, dr.lines.keys["config"] = r.text(e), e.line },
		"set":    func(e entry) { dr.settings = r.settings(e) },
		"eval":   func(e entry) { dr.evalKeys = r.readEval(e, &dr.eval) },
	})
}

func (r *planReader) readJob(n *yaml.Node, at string) {
	dr := draft{lines: lines{n.Line, map[string]int{}}, config: r.defaults.config, eval: r.defaults.eval}
	if line, ok := r.defaults.lines.keys["config"]; ok {
		dr.lines.keys["config"] = line
	}
	before := len(r.problems)
	note := func(e entry) { dr.lines.keys[lastPart(e.key)] = e.line }
	own := map[string]int{} // keys that make no sense beside run:
	alone := func(e entry) { note(e); own[e.key] = e.line }
	r.section(n, at, map[string]func(entry){
		"name":    func(e entry) { dr.name, dr.lines.job = r.text(e), e.line },
		"config":  func(e entry) { alone(e); dr.config = r.text(e) },
		"set":     func(e entry) { alone(e); dr.settings = r.settings(e) },
		"eval":    func(e entry) { note(e); dr.evalKeys = r.readEval(e, &dr.eval) },
		"matrix":  func(e entry) { alone(e); dr.expandable = true; dr.matrix = r.readMatrix(e) },
		"include": func(e entry) { alone(e); dr.expandable = true; dr.include = r.readCombinations(e) },
		"exclude": func(e entry) { alone(e); dr.exclude = r.readCombinations(e) },
		"run":     func(e entry) { note(e); dr.run = r.text(e) },
		"after":   func(e entry) { note(e); dr.after = r.texts(e) },
	})
	switch {
	case n.Kind != yaml.MappingNode: // reported
		return
	case dr.name == "":
		r.report(n.Line, at+".name", "is required", "every job has a name of its own")
		return // what is said about jobs needs their names
	case !namePattern.MatchString(dr.name):
		r.report(dr.lines.job, at+".name", "must be letters, digits, . _ and -, starting with a letter or a digit, 100 at most", "")
	}
	if dr.run != "" {
		for key, line := range own {
			r.report(line, key, "means nothing beside run", "a job with run evaluates what is trained already")
		}
	}
	for _, other := range r.drafts {
		if other.name == dr.name && dr.name != "" {
			r.report(dr.lines.job, at+".name", fmt.Sprintf("%s is the name of the job on line %d too", dr.name, other.lines.job), "names are unique")
		}
	}
	dr.broken = len(r.problems) > before
	r.drafts = append(r.drafts, dr)
}

// settings reads dotted or nested keys of a config with their values.
func (r *planReader) settings(e entry) []Setting {
	var out []Setting
	for _, inner := range r.entries(e.value, e.key) {
		out = append(out, r.flatten(inner.key, inner)...)
	}
	lines := map[string]int{}
	for _, s := range out {
		r.once(lines, e.key, s)
	}
	return out
}

// once reports a setting that is there already, nested in one place and dotted
// in another.
func (r *planReader) once(lines map[string]int, at string, s Setting) {
	if first, twice := lines[s.Key]; twice {
		r.report(s.line, join(at, s.Key), fmt.Sprintf("is set twice, first on line %d", first), "keep one of them")
		return
	}
	lines[s.Key] = s.line
}

func (r *planReader) flatten(key string, e entry) []Setting {
	if strings.Count(key, ".") > maxDepth {
		r.report(e.line, text.Line(key, 40), "is nested too deeply", "")
		return nil
	}
	if e.value.Kind == yaml.MappingNode && len(e.value.Content) > 0 {
		var out []Setting
		for _, inner := range r.entries(e.value, key) {
			out = append(out, r.flatten(key+"."+inner.key, inner)...)
		}
		return out
	}
	switch key {
	case "name":
		r.report(e.line, key, "is given by the job's name", "leave it out")
		return nil
	case "output.dir":
		r.report(e.line, key, "is the same for all jobs of a batch", "set runs_dir at the top of the plan")
		return nil
	}
	return []Setting{{Key: key, Value: r.value(entry{key, e.line, e.value}, 0), line: e.line}}
}

func (r *planReader) readMatrix(e entry) []axis {
	out := r.axes("", e)
	lines := map[string]int{}
	for _, a := range out {
		own := map[string]bool{} // its values set the same keys, one at a time
		for _, s := range slices.Concat(a.values...) {
			if !own[s.Key] {
				own[s.Key] = true
				r.once(lines, e.key, s)
			}
		}
	}
	return out
}

// axes reads the lists below a key, which may be nested as in a config.
func (r *planReader) axes(prefix string, e entry) []axis {
	var out []axis
	for _, inner := range r.entries(e.value, e.key) {
		key := join(prefix, inner.key)
		inner.key = join(e.key, inner.key)
		switch n := inner.value; {
		case n.Kind == yaml.MappingNode && strings.Count(key, ".") <= maxDepth:
			out = append(out, r.axes(key, inner)...)
		case n.Kind != yaml.SequenceNode:
			r.report(inner.line, inner.key, "must be a list of values, not "+describe(n), "write ["+text.Line(n.Value, 40)+", ...]")
		case len(n.Content) == 0:
			r.report(inner.line, inner.key, "must have a value at least", "leave the key out")
		default:
			var a axis
			for _, item := range n.Content {
				if s := r.flatten(key, entry{key, item.Line, item}); len(s) > 0 {
					a.values = append(a.values, s)
				}
			}
			out = append(out, a)
		}
	}
	return out
}

// readCombinations reads a list of settings that belong together.
func (r *planReader) readCombinations(e entry) [][]Setting {
	if e.value.Kind != yaml.SequenceNode {
		r.report(e.line, e.key, "must be a list, not "+describe(e.value), "write - {training.learning_rate: 3e-4, seed: 1}")
		return nil
	}
	var out [][]Setting
	for _, item := range e.value.Content {
		if s := r.settings(entry{e.key, item.Line, item}); len(s) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// readEval reads how to evaluate; it returns the same as settings of a config.
func (r *planReader) readEval(e entry, ev *Evaluation) []Setting {
	var out []Setting
	set := func(e entry, key string, value any) {
		out = append(out, Setting{Key: key, Value: value, line: e.line})
	}
	r.section(e.value, e.key, map[string]func(entry){
		"test_data":     func(e entry) { ev.TestData = r.text(e); set(e, "data_paths.test", ev.TestData) },
		"metrics":       func(e entry) { ev.Metrics = r.texts(e); set(e, "eval.metrics", anyList(ev.Metrics)) },
		"slice_by":      func(e entry) { ev.SliceBy = r.texts(e); set(e, "eval.slice_by_tags", anyList(ev.SliceBy)) },
		"hard_examples": func(e entry) { n := r.whole(e, 0); ev.HardExamples = &n; set(e, "eval.hard_examples", n) },
		"batch_size":    func(e entry) { ev.BatchSize = r.whole(e, 1); set(e, "eval.batch_size", ev.BatchSize) },
	})
	return out
}

func anyList(texts []string) []any {
	out := make([]any, len(texts))
	for i, s := range texts {
		out[i] = s
	}
	return out
}

func (r *planReader) readCompare(e entry) {
	c := &Compare{}
	r.plan.Compare, r.compareLine = c, e.line
	r.section(e.value, e.key, map[string]func(entry){
		"metric":   func(e entry) { c.Metric, r.metricLine = r.text(e), e.line },
		"slice_by": func(e entry) { c.SliceBy = r.texts(e) },
		"baseline": func(e entry) { c.Baseline, r.compareLine = r.text(e), e.line },
	})
}

func (r *planReader) readDecide(e entry) {
	dc := &Decide{}
	r.plan.Decide = dc
	r.section(e.value, e.key, map[string]func(entry){
		"policy":   func(e entry) { dc.Policy = r.text(e); r.checkPolicy(e, dc.Policy) },
		"baseline": func(e entry) { dc.Baseline, r.decideBaseline = r.text(e), e.line },
		"job":      func(e entry) { dc.Job, r.decideLine = r.text(e), e.line },
	})
}

func (r *planReader) readSlots(e entry) {
	s := &r.plan.Slots
	r.section(e.value, e.key, map[string]func(entry){
		"cpu": func(e entry) { s.CPU = r.whole(e, 1) },
		"cuda": func(e entry) {
			if e.value.Value != "all" {
				s.CUDA = r.whole(e, 0)
			}
		},
	})
}

func (r *planReader) readStop(e entry) {
	s := &r.plan.Stop
	r.section(e.value, e.key, map[string]func(entry){
		"on_failure":    func(e entry) { s.OnFailure = r.truth(e) },
		"after":         func(e entry) { s.After = r.duration(e) },
		"min_free_disk": func(e entry) { s.MinFreeDisk = r.size(e) },
	})
}

// formatBytes writes a size in the unit that a person would use.
func formatBytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	v, i := float64(n), 0
	for v >= 1000 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if i == 0 {
		return strconv.FormatInt(n, 10) + " B"
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + units[i]
}
