package runs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Evaluation writes the results of one evaluation. Predictions are added one
// by one; nothing is visible before Commit, and what an earlier evaluation
// left stays until then. It is not safe for concurrent use.
type Evaluation struct {
	dir         string   // the eval folder
	run         string   // the run to refresh, may be empty
	made        []string // folders made for the evaluation, the deepest first
	predictions *atomicfile.File
}

// BeginEval starts an evaluation that goes to eval/ of a run. Every Evaluation
// must be ended with Commit or Abort; Abort after Commit does nothing.
func BeginEval(run string) (*Evaluation, error) { return BeginEvalBelow(run, "") }

// BeginEvalBelow starts an evaluation that goes to a folder below eval/ of a
// run (slash path), beside that of the run's own test data. Readers of the run
// do not look there; hashes.json covers it.
func BeginEvalBelow(run, below string) (*Evaluation, error) {
	if below != "" && !filepath.IsLocal(filepath.FromSlash(below)) {
		return nil, fmt.Errorf("begin evaluation: %q does not lie below %s", below, evalDir)
	}
	e, err := BeginEvalIn(filepath.Join(run, evalDir, filepath.FromSlash(below)))
	if err != nil {
		return nil, err
	}
	e.run = run
	return e, nil
}

// BeginEvalIn starts an evaluation whose files go straight into a folder,
// which is made if need be.
func BeginEvalIn(dir string) (*Evaluation, error) {
	e := &Evaluation{dir: dir, made: missingFolders(dir)}
	err := os.MkdirAll(dir, dirPerm)
	if err == nil {
		for _, name := range []string{predictionsFile, hardFile, confusionFile, resultsFile} {
			atomicfile.Sweep(filepath.Join(dir, name))
		}
		e.predictions, err = atomicfile.Create(filepath.Join(dir, predictionsFile), filePerm)
	}
	if err != nil {
		e.removeMade()
		return nil, fmt.Errorf("begin evaluation: %w", err)
	}
	return e, nil
}

// missingFolders lists what MkdirAll would make, the deepest first.
func missingFolders(dir string) []string {
	var out []string
	for {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			return out
		}
		out = append(out, dir)
		parent := filepath.Dir(dir)
		if parent == dir {
			return out
		}
		dir = parent
	}
}

// removeMade removes the folders that were made, as far as they are empty.
func (e *Evaluation) removeMade() {
	for _, dir := range e.made {
		if os.Remove(dir) != nil {
			return
		}
	}
}

// Add writes the next prediction. An empty InputHash is filled in from Input,
// which is then cut to MaxInput code points.
func (e *Evaluation) Add(p Prediction) error {
	data, err := p.encode()
	if err == nil {
		_, err = e.predictions.Write(data)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", e.predictions.Path(), pathCause(err))
	}
	return nil
}

// Commit puts the files in place: predictions, hard examples, the confusion
// matrix (removed when nil), and eval_results.json last, so a first evaluation
// is whole or absent. An earlier one stays until all files are on disk under
// temporary names; then these are renamed right after one another. A program
// that is killed between two of the renames leaves the earlier
// eval_results.json beside newer files, which no longer have the hashes of a
// completed run; evaluating again replaces them all. In a completed run,
// hashes.json follows.
func (e *Evaluation) Commit(results EvalResults, hard []HardExample, confusion *ConfusionMatrix) error {
	defer e.Abort()
	if e.run == "" {
		return e.replace(results, hard, confusion)
	}
	unlock, err := LockSeal(e.run)
	if err != nil {
		return err
	}
	if err = e.replace(results, hard, confusion); err == nil {
		err = refreshEval(e.run)
	}
	return errors.Join(err, unlock())
}

// replace puts the new files in the place of the old.
func (e *Evaluation) replace(results EvalResults, hard []HardExample, confusion *ConfusionMatrix) error {
	files := []*atomicfile.File{e.predictions}
	defer func() {
		for _, f := range files {
			f.Abort()
		}
	}()
	add := func(name string, write func(io.Writer) error) error {
		f, err := atomicfile.Create(e.path(name), filePerm)
		if err != nil {
			return err
		}
		files = append(files, f)
		if err := write(f); err != nil {
			return fmt.Errorf("write %s: %w", f.Path(), pathCause(err))
		}
		return f.Stage()
	}
	if err := e.predictions.Stage(); err != nil {
		return err
	}
	if err := add(hardFile, func(w io.Writer) error { return writeHard(w, hard) }); err != nil {
		return err
	}
	if confusion != nil {
		encode := func() ([]byte, error) { return canonical.Indent(*confusion) }
		if err := add(confusionFile, func(w io.Writer) error { return writeEncoded(w, encode) }); err != nil {
			return err
		}
	}
	if err := add(resultsFile, func(w io.Writer) error { return writeEncoded(w, results.encode) }); err != nil {
		return err
	}
	if confusion == nil {
		if err := remove(e.path(confusionFile)); err != nil {
			return err
		}
	}
	if err := atomicfile.CommitAll(files...); err != nil {
		// Some files may be in place: results that are not theirs must go.
		return errors.Join(err, remove(e.path(resultsFile)))
	}
	return nil
}

func writeEncoded(w io.Writer, encode func() ([]byte, error)) error {
	data, err := encode()
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

// Abort throws the evaluation away, with the folders made for it. Earlier
// results stay.
func (e *Evaluation) Abort() {
	e.predictions.Abort()
	e.removeMade() // after Commit they are not empty
}

func (e *Evaluation) path(name string) string { return filepath.Join(e.dir, name) }

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func writeHard(w io.Writer, hard []HardExample) error {
	for _, h := range hard {
		h.InputHash = cmp.Or(h.InputHash, InputHash(h.Input))
		h.Input = ShortInput(h.Input)
		if h.Tags == nil {
			h.Tags = map[string]string{}
		}
		data, err := canonical.Line(h)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(data, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// encode returns the line for predictions.jsonl, newline included.
func (p Prediction) encode() ([]byte, error) {
	bad := NonFinite{}
	o := make(canonical.Object, 0, 16)
	put := func(name string, v any) { o = append(o, canonical.Member{Key: name, Value: v}) }
	number := func(name string, f *float64) {
		bad.add(name, f)
		if f == nil || !isFinite(*f) {
			put(name, nil)
			return
		}
		put(name, *f)
	}
	put("index", p.Index)
	if p.ID == "" {
		put("id", nil)
	} else {
		put("id", p.ID)
	}
	put("input", ShortInput(p.Input))
	put("prediction", p.Prediction)
	put("reference", p.Reference)
	number("loss", p.Loss)
	tags := p.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	put("tags", tags)
	put("input_hash", cmp.Or(p.InputHash, InputHash(p.Input)))
	for _, m := range []struct {
		name  string
		value *float64
	}{{"f1", p.F1}, {"exact_match", p.ExactMatch}, {"confidence", p.Confidence}, {"predicted_confidence", p.PredictedConfidence}} {
		if m.value != nil {
			number(m.name, m.value)
		}
	}
	if p.Correct != nil {
		put("correct", *p.Correct)
	}
	if p.LossTokens > 0 {
		put("loss_tokens", p.LossTokens)
	}
	if len(bad) > 0 {
		put("non_finite", map[string]string(bad))
	}
	data, err := canonical.Line(o)
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// encode returns the content of eval_results.json.
func (r EvalResults) encode() ([]byte, error) {
	overall := metricsObject(r.Overall)
	for _, name := range slices.Sorted(maps.Keys(r.PerClass)) {
		if _, taken := r.Overall[name]; taken {
			return nil, fmt.Errorf("metric %q is both a number and a value a label", name)
		}
		overall = append(overall, canonical.Member{Key: name, Value: metricsObject(r.PerClass[name])})
	}
	bySlice := canonical.Object{}
	for _, key := range slices.Sorted(maps.Keys(r.Slices)) {
		values := canonical.Object{}
		for _, value := range slices.Sorted(maps.Keys(r.Slices[key])) {
			values = append(values, canonical.Member{Key: value, Value: metricsObject(r.Slices[key][value])})
		}
		bySlice = append(bySlice, canonical.Member{Key: key, Value: values})
	}
	o := canonical.Object{
		{Key: "run_id", Value: r.RunID},
		{Key: "test_data_path", Value: r.TestDataPath},
		{Key: "num_examples", Value: r.NumExamples},
		{Key: "overall", Value: overall},
		{Key: "slices", Value: bySlice},
		{Key: "eval_duration_seconds", Value: r.DurationSeconds},
	}
	add := func(key string, value any, there bool) {
		if there {
			o = append(o, canonical.Member{Key: key, Value: value})
		}
	}
	add("test_data_hash", r.TestDataHash, r.TestDataHash != "")
	add("intervals", finiteIntervals(r.Intervals), len(r.Intervals) > 0)
	bySlice = canonical.Object{}
	for _, key := range slices.Sorted(maps.Keys(r.SliceIntervals)) {
		bySlice = append(bySlice, canonical.Member{Key: key, Value: eachFinite(r.SliceIntervals[key])})
	}
	add("slice_intervals", bySlice, len(bySlice) > 0)
	add("per_class_intervals", eachFinite(r.PerClassIntervals), len(r.PerClassIntervals) > 0)
	bad := nonFiniteOf(r.Overall)
	add("non_finite", map[string]string(bad), len(bad) > 0)
	return canonical.Indent(o)
}

// finiteIntervals leaves out intervals that have no form in JSON.
func finiteIntervals(m map[string]Interval) map[string]Interval {
	out := make(map[string]Interval, len(m))
	for name, i := range m {
		if isFinite(i.Low) && isFinite(i.High) {
			out[name] = i
		}
	}
	return out
}

func eachFinite(m map[string]map[string]Interval) map[string]map[string]Interval {
	out := make(map[string]map[string]Interval, len(m))
	for name, intervals := range m {
		out[name] = finiteIntervals(intervals)
	}
	return out
}

// metricsObject puts n first, as a whole number, and the rest by name; what is
// not finite is null.
func metricsObject(m map[string]float64) canonical.Object {
	o := make(canonical.Object, 0, len(m))
	if n, ok := m["n"]; ok && n == math.Trunc(n) && math.Abs(n) <= maxExact {
		o = append(o, canonical.Member{Key: "n", Value: int64(n)})
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if name == "n" && len(o) > 0 && o[0].Key == "n" {
			continue
		}
		var v any
		if isFinite(m[name]) {
			v = m[name]
		}
		o = append(o, canonical.Member{Key: name, Value: v})
	}
	return o
}
