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
	dir         string // the eval folder
	run         string // the run to refresh, may be empty
	predictions *atomicfile.File
}

// BeginEval starts an evaluation that goes to eval/ of a run. Every Evaluation
// must be ended with Commit or Abort; Abort after Commit does nothing.
func BeginEval(run string) (*Evaluation, error) {
	e, err := BeginEvalIn(filepath.Join(run, evalDir))
	if err != nil {
		return nil, err
	}
	e.run = run
	return e, nil
}

// BeginEvalIn starts an evaluation whose files go straight into a folder,
// which is made if need be.
func BeginEvalIn(dir string) (*Evaluation, error) {
	if err := os.MkdirAll(dir, dirPerm); err != nil {
		return nil, fmt.Errorf("begin evaluation: %w", err)
	}
	f, err := atomicfile.Create(filepath.Join(dir, predictionsFile), filePerm)
	if err != nil {
		return nil, fmt.Errorf("begin evaluation: %w", err)
	}
	return &Evaluation{dir: dir, predictions: f}, nil
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
// matrix (removed when nil), and eval_results.json last. A crash in between
// leaves no eval_results.json, so the evaluation is whole or absent. In a
// completed run, hashes.json follows.
func (e *Evaluation) Commit(results EvalResults, hard []HardExample, confusion *ConfusionMatrix) error {
	defer e.Abort()
	if e.run == "" {
		return e.replace(results, hard, confusion)
	}
	lock, err := lockFileIn(e.run, evalLockFile, sealPatience)
	if err != nil {
		return err
	}
	if err = e.replace(results, hard, confusion); err == nil {
		err = refreshEval(e.run)
	}
	return errors.Join(err, lock.Unlock())
}

// replace puts the new files in the place of the old.
func (e *Evaluation) replace(results EvalResults, hard []HardExample, confusion *ConfusionMatrix) error {
	data, err := results.encode()
	if err != nil {
		return fmt.Errorf("write %s: %w", e.path(resultsFile), err)
	}
	// Staged before anything is touched: a full disk shows here.
	final, err := stage(e.path(resultsFile), data)
	if err != nil {
		return err
	}
	defer final.Abort()
	if err := remove(e.path(resultsFile)); err != nil {
		return err
	}
	if err := e.predictions.Commit(); err != nil {
		return err
	}
	if err := e.writeHard(hard); err != nil {
		return err
	}
	if err := e.writeConfusion(confusion); err != nil {
		return err
	}
	return final.Commit()
}

// Abort throws the evaluation away. Earlier results stay.
func (e *Evaluation) Abort() { e.predictions.Abort() }

func (e *Evaluation) path(name string) string { return filepath.Join(e.dir, name) }

func stage(path string, data []byte) (*atomicfile.File, error) {
	f, err := atomicfile.Create(path, filePerm)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(data); err != nil {
		f.Abort()
		return nil, fmt.Errorf("write %s: %w", path, pathCause(err))
	}
	return f, nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (e *Evaluation) writeHard(hard []HardExample) error {
	return atomicfile.Write(e.path(hardFile), filePerm, func(w io.Writer) error {
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
	})
}

func (e *Evaluation) writeConfusion(c *ConfusionMatrix) error {
	if c == nil {
		return remove(e.path(confusionFile))
	}
	data, err := canonical.Indent(*c)
	if err != nil {
		return fmt.Errorf("write %s: %w", e.path(confusionFile), err)
	}
	return atomicfile.WriteBytes(e.path(confusionFile), filePerm, data)
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
	if bad := nonFiniteOf(r.Overall); len(bad) > 0 {
		o = append(o, canonical.Member{Key: "non_finite", Value: map[string]string(bad)})
	}
	return canonical.Indent(o)
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
