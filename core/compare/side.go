package compare

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

// side is one run with what is compared of it.
type side struct {
	info        Run
	task        string
	meta        runs.Meta
	hashes      runs.Hashes
	results     runs.EvalResults
	config      map[string]any
	training    map[string]any // of a retrain that trained: the config of that
	environment map[string]any // flat
	preds       []runs.Prediction
	notes       []string

	scores *metrics.Scores
	totals metrics.Result
	names  []string // that the scores are for
}

// load reads a run. Only what makes a comparison impossible is an error: a run
// without results and predictions, or predictions that cannot be read.
// Inputs are kept of the base only: a matched example has the same.
func load(ctx context.Context, run *runs.Run, isBase bool) (*side, error) {
	s := &side{info: Run{ID: folder(run), Path: run.Path()}}
	var err error
	if s.meta, err = run.Meta(); err != nil {
		s.missing("run_meta.json", err)
	}
	if s.meta.RunID != "" {
		s.info.ID = s.meta.RunID
	}
	s.info.Name, s.info.BaseModel, s.task = s.meta.RunName, s.meta.BaseModel, s.meta.Task
	if s.config, err = run.Config(); err != nil {
		s.missing("config.yaml", err)
	}
	if _, retrain := s.config["dataset_dir"]; retrain {
		// Most settings are those of the training that it holds.
		if training, err := runs.Open(filepath.Join(run.Dir(), "train")); err == nil {
			s.training, _ = training.Config() // what cannot be read is not compared
		}
	}
	if task, ok := s.config["task"].(string); ok && s.task == "" {
		s.task = task
	}
	if env, err := run.Environment(); err != nil {
		s.missing("environment.json", err)
	} else {
		s.environment = Environment(env)
	}
	if s.hashes, err = run.Hashes(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.missing("hashes.json", err)
	}
	resultsErr := s.readResults(run)
	if err := s.readPredictions(ctx, run, isBase); err != nil {
		return nil, err
	}
	if s.task == "" {
		s.task = taskOf(s.preds)
	}
	if resultsErr != nil && len(s.preds) == 0 {
		return nil, &fault.EvalError{Detail: fault.Detail{Op: "compare", Path: run.Path(),
			Reason: "the run has neither predictions nor evaluation results", Hint: "evaluate it first: verifily eval --run " + run.Path()}}
	}
	s.info.HasPredictions = len(s.preds) > 0
	s.info.NumExamples = s.results.NumExamples
	if s.info.HasPredictions {
		s.info.NumExamples = len(s.preds)
	}
	return s, nil
}

// missing notes a file that could not be read, with the reason if it is there.
func (s *side) missing(file string, err error) {
	s.info.lacks = append(s.info.lacks, file)
	if errors.Is(err, fs.ErrNotExist) {
		s.notes = append(s.notes, fmt.Sprintf("%s has no %s", s.info.ID, file))
		return
	}
	s.notes = append(s.notes, fmt.Sprintf("%s of %s cannot be read: %v", file, s.info.ID, err))
}

func (s *side) readResults(run *runs.Run) (err error) {
	s.results, err = run.EvalResults()
	if err != nil {
		s.missing("eval_results.json", err)
		s.results = runs.EvalResults{}
	}
	return err
}

// lookEvery is how many predictions are read between two looks at the context.
const lookEvery = 1024

func (s *side) readPredictions(ctx context.Context, run *runs.Run, keepInput bool) error {
	bad, lines := 0, 0
	for p, err := range run.Predictions() {
		if lines++; lines%lookEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var lineErr *runs.LineError
		switch {
		case errors.As(err, &lineErr):
			bad++
		case errors.Is(err, fs.ErrNotExist):
			s.missing("predictions.jsonl", err)
		case err != nil:
			return &fault.EvalError{Detail: fault.Detail{Op: "read predictions", Path: run.Path(), Err: err}}
		default:
			p.InputHash = inputHash(&p)
			if !keepInput {
				p.Input = ""
			}
			s.preds = append(s.preds, p)
		}
	}
	if bad > 0 {
		s.notes = append(s.notes, fmt.Sprintf("predictions of %s: %s that cannot be read left out", s.info.ID, count(bad, "line", "lines")))
	}
	return ctx.Err()
}

// taskOf tells the task from the fields that only one of them has.
func taskOf(preds []runs.Prediction) string {
	for i := range preds {
		p := &preds[i]
		switch {
		case p.Correct != nil || p.Confidence != nil || p.PredictedConfidence != nil:
			return metrics.TaskClassification
		case p.F1 != nil || p.ExactMatch != nil:
			return metrics.TaskSFT
		}
	}
	if len(preds) > 0 {
		return metrics.TaskSFT
	}
	return ""
}

// score computes those of the metrics that predictions give.
func (s *side) score(task string, names []string) error {
	quick, slow := fromPredictions(task)
	for _, name := range names {
		for _, known := range append(quick, slow...) {
			if name == known {
				s.names = append(s.names, name)
			}
		}
	}
	if len(s.preds) == 0 || len(s.names) == 0 {
		return nil
	}
	var err error
	if s.scores, err = metrics.Score(task, s.names, s.preds, metrics.Options{}); err != nil {
		return err
	}
	s.totals, err = s.scores.Result()
	return err
}

// scored says whether a metric was computed from the predictions.
func (s *side) scored(name string) bool {
	_, ok := s.totals.Overall[name]
	return ok
}

// value is a metric of the run: from its predictions, or else as its results
// give it, nil where it has none.
func (s *side) value(name string) *Value {
	if v, ok := s.totals.Overall[name]; ok {
		out := &Value{Value: v, N: s.totals.N - s.totals.Missing[name]}
		if i, told := s.totals.Intervals[name]; told {
			out.Interval = &i
		}
		return out
	}
	if v, ok := s.results.Overall[name]; ok {
		return &Value{Value: v, N: s.results.NumExamples}
	}
	return nil
}

// contradictions are the metrics that the results give otherwise than the
// predictions do.
func (s *side) contradictions(names []string) []string {
	var out []string
	for _, name := range names {
		told, has := s.results.Overall[name]
		counted, scored := s.totals.Overall[name]
		// Other programs round their results.
		if has && scored && math.Abs(told-counted) > 1e-4*max(1, math.Abs(counted)) {
			out = append(out, fmt.Sprintf("%s: eval_results.json gives %s %s, the predictions %s; the latter is used",
				s.info.ID, name, number(told), number(counted)))
		}
	}
	return out
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// sliceValue is the metric of a slice: from the predictions where they were
// scored, or else from the results.
func (s *side) sliceValue(scored *metrics.Sliced, metric, key, value string) *Value {
	from := s.results.Slices
	var intervals map[string]stats.Interval
	if scored != nil {
		from, intervals = scored.Metrics, scored.Intervals[key][value]
	}
	numbers, ok := from[key][value]
	if !ok {
		return nil
	}
	v, ok := numbers[metric]
	if !ok || !finite(v) {
		return nil
	}
	out := &Value{Value: v, N: int(numbers["n"])}
	if i, told := intervals[metric]; told {
		out.Interval = &i
	}
	return out
}
