package source

import (
	"cmp"
	"errors"
	"io/fs"
	"math"
	"slices"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

// Interval is a confidence interval; both ends are NaN where it is not known.
type Interval struct{ Low, High float64 }

// Unknown is the interval of a value without one.
var Unknown = Interval{math.NaN(), math.NaN()}

// Known says whether there is an interval.
func (i Interval) Known() bool { return i.Low <= i.High }

// Slice is a part of the test data that shares a tag value.
type Slice struct {
	Key, Value string
	N          int
	Values     map[string]float64
	Intervals  map[string]Interval
	TooFew     bool
	// Errors counts the wrong answers; -1 where there are no predictions.
	Errors int
	// Lift is how much larger the share of the slice among the errors is than
	// among all; NaN where it is not known.
	Lift     float64
	LiftEnds Interval
}

// Name is "key=value".
func (s Slice) Name() string { return s.Key + "=" + s.Value }

// Evaluation is how a run did on its test data.
type Evaluation struct {
	Task      string
	N         int
	TestData  string
	Metrics   []string // that have a value, the primary first
	Values    map[string]float64
	Intervals map[string]Interval
	Errors    int // wrong answers; -1 where there are no predictions
	Keys      []string
	Slices    []Slice
	MinSlice  int
	// Note says what limits the numbers, empty where nothing does.
	Note string
}

// maxScored bounds how many predictions are scored for the screen: beyond it
// the numbers of the evaluation are shown as they are.
const maxScored = 200_000

// Evaluation reads the results of a run and scores its predictions, for
// intervals and the shares of errors. The error is fs.ErrNotExist where the run
// has no results.
func (s *Source) Evaluation(dir string) (*Evaluation, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	results, err := run.EvalResults()
	if err != nil {
		return nil, err
	}
	meta, err := run.Meta()
	if err != nil {
		return nil, err
	}
	e := &Evaluation{Task: meta.Task, N: results.NumExamples, TestData: results.TestDataPath,
		Values: results.Overall, Intervals: map[string]Interval{}, Errors: -1, MinSlice: minSlice(run)}
	if e.Task == "" {
		e.Task = guessTask(results.Overall)
	}
	for name, i := range results.Intervals {
		e.Intervals[name] = Interval{i.Low, i.High}
	}
	for name := range e.Values {
		e.Metrics = append(e.Metrics, name)
	}
	primary := metrics.Primary(e.Task)
	slices.SortFunc(e.Metrics, func(a, b string) int {
		return cmp.Or(-cmp.Compare(truth(a == primary), truth(b == primary)), cmp.Compare(a, b))
	})
	for key := range results.Slices {
		e.Keys = append(e.Keys, key)
	}
	slices.Sort(e.Keys)
	preds, err := predictions(run)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Note = "no predictions: shares of errors are not known"
	case errors.Is(err, errTooMany):
		e.Note = "too many predictions to score here: numbers are those of the evaluation"
	case err != nil:
		e.Note = err.Error()
	}
	e.cut(results, preds)
	return e, nil
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func guessTask(overall map[string]float64) string {
	if _, ok := overall[metrics.NameAccuracy]; ok {
		return metrics.TaskClassification
	}
	return metrics.TaskSFT
}

var errTooMany = errors.New("too many predictions")

func predictions(run *runs.Run) ([]runs.Prediction, error) {
	var out []runs.Prediction
	for p, err := range run.Predictions() {
		var line *runs.LineError
		if errors.As(err, &line) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if out = append(out, p); len(out) > maxScored {
			return nil, errTooMany
		}
	}
	return out, nil
}

// minSlice is the size under which a slice of the run says little.
func minSlice(run *runs.Run) int {
	config, err := run.Config()
	if err == nil {
		if eval, ok := config["eval"].(map[string]any); ok {
			if n, ok := eval["min_slice"].(int); ok && n > 0 {
				return n
			}
		}
	}
	return 30
}

// cut fills in the slices.
func (e *Evaluation) cut(results runs.EvalResults, preds []runs.Prediction) {
	scored := e.score(results, preds)
	right := make([]bool, len(preds))
	if len(preds) > 0 {
		e.Errors = 0
		for i := range preds {
			if right[i] = metrics.Right(e.Task, &preds[i]); !right[i] {
				e.Errors++
			}
		}
	}
	wrong := map[[2]string]int{}
	for _, cut := range metrics.Cuts(preds, e.Keys) {
		for i, value := range cut.Values {
			for _, at := range cut.Members[i] {
				if !right[at] {
					wrong[[2]string{cut.Key, value}]++
				}
			}
		}
	}
	for _, key := range e.Keys {
		for value, values := range results.Slices[key] {
			s := Slice{Key: key, Value: value, N: int(values["n"]), Values: values, Intervals: map[string]Interval{},
				Errors: -1, Lift: math.NaN(), LiftEnds: Unknown}
			s.TooFew = s.N < e.MinSlice
			for name, i := range results.SliceIntervals[key][value] {
				s.Intervals[name] = Interval{i.Low, i.High}
			}
			for name, i := range scored.Intervals[key][value] {
				if _, ok := s.Intervals[name]; !ok {
					s.Intervals[name] = Interval{i.Low, i.High}
				}
			}
			if e.Errors >= 0 {
				s.Errors = wrong[[2]string{key, value}]
			}
			if e.Errors > 0 && s.N > 0 && s.N <= len(preds) && s.Errors <= min(s.N, e.Errors) {
				lift, ends := stats.Lift(s.Errors, e.Errors, s.N, len(preds), stats.Level)
				s.Lift, s.LiftEnds = lift, Interval{ends.Low, ends.High}
			}
			e.Slices = append(e.Slices, s)
		}
	}
	slices.SortFunc(e.Slices, func(a, b Slice) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value)) })
}

// score takes intervals from the predictions where the results have none.
func (e *Evaluation) score(results runs.EvalResults, preds []runs.Prediction) metrics.Sliced {
	if len(preds) == 0 || len(results.Intervals) > 0 {
		return metrics.Sliced{}
	}
	var names []string
	for _, name := range metrics.Defaults(e.Task) {
		if _, ok := results.Overall[name]; ok {
			names = append(names, name)
		}
	}
	scores, err := metrics.Score(e.Task, names, preds, metrics.Options{})
	if err != nil {
		e.Note = err.Error()
		return metrics.Sliced{}
	}
	if overall, err := scores.Result(); err == nil {
		for name, i := range overall.Intervals {
			e.Intervals[name] = Interval{i.Low, i.High}
		}
	}
	return scores.Slice(e.Keys)
}
