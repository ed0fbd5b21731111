package batch

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// work is what a job comes down to once all that it builds on is there.
type work struct {
	key, data string // identify it, see record
	config    *config.Config
	evaluate  string // run directory
	eval      Evaluation
}

// resolve says what the work of a job is. The error says why it cannot be done.
func (s *scheduler) resolve(st *state) (*work, error) {
	if st.Config == nil {
		return s.evaluation(st)
	}
	data := s.data[dataKey(st)]
	if data.err != nil {
		return nil, data.err
	}
	cfg := st.Config
	if base := st.BaseJob(); base != "" {
		var err error
		cfg, err = config.FromMap(cfg.Map(), config.Override{Key: "base_model", Value: s.byName[base].run})
		if err != nil {
			return nil, err
		}
	}
	m := cfg.Map()
	delete(m, "name") // a job that is renamed stays the same work
	key, err := canonical.Hash(m)
	if err != nil {
		return nil, err
	}
	return &work{key: key, data: data.all, config: cfg}, nil
}

func (s *scheduler) evaluation(st *state) (*work, error) {
	w := &work{eval: st.Eval}
	if other := s.byName[st.Run]; other != nil {
		w.evaluate = other.run
	} else {
		dir, err := findRun(st.Run, s.plan.RunsDir)
		if err != nil {
			return nil, err
		}
		w.evaluate = dir
	}
	test := "" // the run's own, which belongs to it
	if w.eval.TestData != "" {
		sum, err := canonical.FileHash(w.eval.TestData)
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			return nil, &fs.PathError{Op: "read test data", Path: p.Path, Err: p.Err}
		}
		if err != nil {
			return nil, err
		}
		test = sum
	}
	options, err := json.Marshal(w.eval)
	if err != nil {
		return nil, err
	}
	w.key = hashOf([]byte("evaluate " + s.below(w.evaluate) + " " + string(options)))
	w.data = hashOf([]byte(test))
	return w, nil
}

// smaller is the config with the batch size made smaller a number of times and
// the accumulation larger by as much: a step sees the same rows. It is false
// when the batch is a single row already.
func (w *work) smaller(times int) (*config.Config, bool) {
	cfg := w.config
	for range times {
		if cfg == nil || cfg.Training.BatchSize < 2 {
			return nil, false
		}
		factor := 2
		for cfg.Training.BatchSize%factor != 0 {
			factor++
		}
		next, err := config.FromMap(cfg.Map(),
			config.Override{Key: "training.batch_size", Value: cfg.Training.BatchSize / factor},
			config.Override{Key: "training.gradient_accumulation_steps", Value: cfg.Training.GradientAccumulationSteps * factor})
		if err != nil {
			return nil, false
		}
		cfg = next
	}
	return cfg, cfg != nil
}

// attempt is what a process is asked to do next.
func (w *work) attempt(st *state, batchID string) Attempt {
	a := Attempt{Job: st.Name, Evaluate: w.evaluate, Eval: w.eval}
	if w.config == nil {
		return a
	}
	cfg, ok := w.smaller(st.halved)
	if !ok {
		cfg = w.config
	}
	a.Config, a.Resume, a.JobID = cfg.Map(), st.run, w.jobID(batchID, st.halved)
	return a
}

// settle looks whether the work of a job was done, begun or given up in an
// earlier start.
func (s *scheduler) settle(st *state) {
	w, err := s.resolve(st)
	if err != nil {
		end := ending(s.attempt, err)
		st.text, st.class = end.Text, end.Class
		s.end(st, Failed)
		if s.plan.Stop.OnFailure {
			s.stop(st.Name+" failed (stop.on_failure)", true)
		}
		return
	}
	st.work = w
	s.number(w)
	p := s.history.work[identity(w.key, w.data)]
	if p == nil {
		return
	}
	st.halved, st.known = p.Halved, p.run
	dir, results := s.within(p.run), s.within(p.Results)
	if w.config != nil && !isRun(dir) {
		dir = s.orphan(w.jobID(s.folder.info.BatchID, p.Halved))
		if all, ok := dataOf(dir); ok && all != w.data {
			dir = "" // it was made just after the data had changed
		}
		results = filepath.Join(dir, "eval")
	}
	switch {
	case p.Status == Completed && s.stands(w, dir, results):
		st.run, st.results, st.seconds, st.earlier = dir, results, p.Seconds, true
		if p.Job != st.Name {
			s.note(st.Name, "is complete already, as "+p.Job)
		}
		s.end(st, Completed)
	case p.Status == Completed && (w.config == nil || dir == ""):
		s.note(st.Name, "was complete, but its run is gone: it is done again")
		st.halved = 0
	case p.Status == Failed && permanent(p.Class) && p.run != "" && dir == "":
		s.note(st.Name, "failed, and its run is gone: it is done again")
		st.halved = 0
	case p.Status == Failed && permanent(p.Class) && !s.opt.RetryFailed:
		st.run, st.text, st.class, st.earlier = dir, p.Error, p.Class, true
		s.end(st, Failed)
		s.note(st.Name, "is not tried again, since the same would happen; --retry-failed tries it all the same")
	case w.config != nil && dir != "":
		s.takeUp(st, dir, p.Seconds)
	}
}

// number tells work apart that a plan has more than once.
func (s *scheduler) number(w *work) {
	id := identity(w.key, w.data)
	if s.asked[id]++; s.asked[id] > 1 {
		w.key += fmt.Sprintf("#%d", s.asked[id])
	}
}

// permanent says whether a failure comes again when nothing is changed.
func permanent(c class) bool {
	return c == classConfig || c == classData || c == classTraining || c == classEval
}

// stands says whether completed work is still there.
func (s *scheduler) stands(w *work, dir, results string) bool {
	if dir == "" {
		return false
	}
	run, err := runs.Open(dir)
	if err != nil {
		return false
	}
	if w.config == nil {
		_, err := os.Stat(filepath.Join(results, resultsFile))
		return err == nil
	}
	status, err := run.State(s.opt.Now())
	return err == nil && status == runs.StatusCompleted
}

// takeUp makes a job go on with the run directory of an earlier start, if that
// can be gone on with. seconds is how long it took so far, as the journal has it.
func (s *scheduler) takeUp(st *state, dir string, seconds float64) {
	run, err := runs.Open(dir)
	if err != nil {
		return // it is gone: a new one is made
	}
	status, err := run.State(s.opt.Now())
	switch {
	case err != nil:
		return
	case status == runs.StatusCompleted:
		// It was killed between the end of the run and its line in the journal.
		st.run, st.results = dir, filepath.Join(dir, "eval")
		st.class = classComplete
		s.write(record{Kind: recordStart, Job: st.Name, Key: st.work.key, Data: st.work.data, Halved: st.halved})
		s.end(st, Completed)
		return
	}
	st.run, st.seconds = dir, seconds
}

// jobID is what run_meta.json of a run says about the work that it was made
// for. It is known before there is a run, so that one is found again which was
// made just before everything was killed, and which the journal does not name.
func (w *work) jobID(batchID string, halved int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", batchID, identity(w.key, w.data), halved))
	return hex.EncodeToString(sum[:8])
}

// orphan finds the run directory that was made for a piece of work, empty if
// there is none.
func (s *scheduler) orphan(jobID string) string {
	entries, err := runs.List(s.plan.RunsDir)
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(entries, func(e runs.Entry) bool { return e.Meta.JobID == jobID })
	if i < 0 {
		return ""
	}
	return entries[i].Dir
}

func isRun(dir string) bool {
	_, err := runs.Open(dir)
	return dir != "" && err == nil
}

// before is what jobs.json keeps of a job for the next start.
type before struct {
	Name   string         `json:"name"`
	Config map[string]any `json:"config,omitempty"`
	Run    string         `json:"run,omitempty"`
	Eval   *Evaluation    `json:"eval,omitempty"` // of Run
	Data   string         `json:"data,omitempty"`
}

// compareWithBefore says what changed in the plan since the last start.
func (s *scheduler) compareWithBefore() error {
	now := make([]before, 0, len(s.jobs))
	for _, st := range s.jobs {
		b := before{Name: st.Name, Run: st.Run}
		if st.Config != nil {
			b.Config, b.Data = st.Config.Map(), s.data[dataKey(st)].all
		} else {
			b.Eval = &st.Eval
		}
		now = append(now, b)
	}
	old, err := readBefore(s.folder.path(jobsFile))
	if err != nil {
		return err
	}
	if old != nil {
		for _, line := range changes(old, now) {
			s.note("", line)
		}
	}
	return s.folder.writeJSON(jobsFile, now)
}

func readBefore(path string) ([]before, error) {
	data, err := regular.Read(path, mostOfFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	out := []before{}
	if err := dec.Decode(&out); err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: %w", errDamaged, err)}
	}
	return out, nil
}

// changes lists how a plan differs from what it was.
func changes(old, now []before) []string {
	was := map[string]before{}
	for _, b := range old {
		was[b.Name] = b
	}
	var out []string
	for _, b := range now {
		o, ok := was[b.Name]
		delete(was, b.Name)
		if !ok {
			out = append(out, "the plan has a new job: "+b.Name)
			continue
		}
		if b.Data != o.Data && b.Data != "" && o.Data != "" {
			out = append(out, b.Name+": its data changed")
		}
		if b.Run != o.Run {
			out = append(out, fmt.Sprintf("%s: run is now %q, was %q", b.Name, b.Run, o.Run))
		}
		if b.Eval != nil && o.Eval != nil {
			out = append(out, evalChanges(b.Name, *o.Eval, *b.Eval)...)
		}
		if b.Config == nil || o.Config == nil {
			continue
		}
		x, errX := config.FromMap(o.Config)
		y, errY := config.FromMap(b.Config)
		if errX != nil || errY != nil {
			continue // an older version wrote it
		}
		for _, c := range config.Diff(x, y) {
			out = append(out, fmt.Sprintf("%s: %s is now %s, was %s", b.Name, c.Key, ValueText(c.B), ValueText(c.A)))
		}
	}
	for _, b := range old {
		if _, gone := was[b.Name]; gone {
			out = append(out, "the plan no longer has the job "+b.Name)
		}
	}
	return out
}

// ValueText writes a value of a configuration; what is not set is null there.
func ValueText(v any) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprint(v)
}

// evalChanges lists how the evaluation of a job differs from what it was.
func evalChanges(job string, was, now Evaluation) []string {
	size := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	var out []string
	for _, c := range []struct {
		key      string
		was, now string
	}{
		{"test_data", was.TestData, now.TestData},
		{"metrics", strings.Join(was.Metrics, ", "), strings.Join(now.Metrics, ", ")},
		{"slice_by", strings.Join(was.SliceBy, ", "), strings.Join(now.SliceBy, ", ")},
		{"hard_examples", count(was.HardExamples), count(now.HardExamples)},
		{"batch_size", size(was.BatchSize), size(now.BatchSize)},
	} {
		if c.was != c.now {
			out = append(out, fmt.Sprintf("%s: eval.%s is now %s, was %s", job, c.key, cmp.Or(c.now, ofRun), cmp.Or(c.was, ofRun)))
		}
	}
	return out
}

// ofRun stands for what is left to the run's own configuration.
const ofRun = "that of the run"

func count(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}
