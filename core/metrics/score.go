package metrics

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

// measure is a pair of numbers that every sft example has; a metric is the sum
// of the first over the sum of the second.
type measure int

const (
	measureLoss measure = iota
	measureF1
	measureExact
	measureRouge1
	measureRougeL
	measureFormat
	measureWER
	numMeasures
)

var measureOf = map[string]measure{
	NameEvalLoss:         measureLoss,
	NamePerplexity:       measureLoss,
	NameF1:               measureF1,
	NameExactMatch:       measureExact,
	NameRouge1:           measureRouge1,
	NameRougeL:           measureRougeL,
	NameFormatCompliance: measureFormat,
	NameWER:              measureWER,
}

// Scores holds what every prediction adds to the metrics, so that they can be
// taken over all of them, over slices and over resamples without looking at the
// texts again. A Scores does not change once it is made.
type Scores struct {
	task  string
	names []string // the metrics asked for
	preds []runs.Prediction
	opt   Options
	// num has NaN where a prediction has no value; den is nil where every
	// prediction counts alike.
	num, den [numMeasures][]float64
	// labels and cells are for classification; cellOf has the cell of each
	// prediction.
	labels labels
	cells  []cell
	cellOf []uint32
}

// Score looks at every prediction once. The errors are those of Compute. The
// predictions must not change as long as the scores are used.
func Score(task string, names []string, preds []runs.Prediction, opt Options) (*Scores, error) {
	if err := checkNames(task, names); err != nil {
		return nil, err
	}
	if slices.Contains(names, NameFormatCompliance) && opt.Format == nil {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "compute metrics",
			Reason: "format_compliance needs rules", Hint: "set eval.format_rules in the config"}}
	}
	s := &Scores{task: task, names: slices.Clone(names), preds: preds, opt: opt, labels: labels{number: map[string]uint32{}}}
	if task == TaskClassification {
		s.fillCells()
		return s, nil
	}
	for _, name := range names {
		if m, ok := measureOf[name]; ok && s.num[m] == nil {
			if err := s.fill(m); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *Scores) fillCells() {
	number := map[cell]uint32{}
	s.cellOf = make([]uint32, len(s.preds))
	for i := range s.preds {
		c := cell{s.labels.of(s.preds[i].Reference), s.labels.of(s.preds[i].Prediction)}
		at, seen := number[c]
		if !seen {
			at = uint32(len(s.cells))
			number[c] = at
			s.cells = append(s.cells, c)
		}
		s.cellOf[i] = at
	}
}

func (s *Scores) fill(m measure) error {
	num := make([]float64, len(s.preds))
	var den []float64
	perToken := m == measureLoss && tokensKnown(s.preds)
	if perToken || m == measureWER {
		den = make([]float64, len(s.preds))
	}
	err := forEach(len(s.preds), func(i int) error {
		p := &s.preds[i]
		switch m {
		case measureLoss:
			num[i] = math.NaN()
			if loss, ok := finite(p.Loss); ok {
				num[i] = loss
				if perToken {
					num[i], den[i] = loss*float64(p.LossTokens), float64(p.LossTokens)
				}
			}
		case measureF1:
			num[i] = exampleF1(p)
		case measureExact:
			num[i] = exampleExact(p)
		case measureRouge1:
			num[i] = Rouge1(p.Prediction, p.Reference)
		case measureRougeL:
			num[i] = RougeL(p.Prediction, p.Reference)
		case measureWER:
			edits, words := WordErrors(p.Prediction, p.Reference)
			num[i], den[i] = float64(edits), float64(words)
		case measureFormat:
			ok, err := s.opt.Format.Complies(p.Prediction)
			if err != nil {
				return &fault.EvalError{Detail: fault.Detail{Op: "check the format of predictions", Err: err,
					Hint: "simplify the pattern: nested repetition such as (a+)+ is slow"}}
			}
			if ok {
				num[i] = 1
			}
		}
		return nil
	})
	s.num[m], s.den[m] = num, den
	return err
}

// tokensKnown says whether losses can be weighted by their tokens: every
// prediction with a loss has them. It holds for all slices of a file, so that
// they can be compared with the whole.
func tokensKnown(preds []runs.Prediction) bool {
	for i := range preds {
		if _, ok := finite(preds[i].Loss); ok && preds[i].LossTokens <= 0 {
			return false
		}
	}
	return true
}

// stretch is how many items a goroutine takes at a time.
const stretch = 256

// forEach calls do for 0 to n-1 from as many goroutines as there are
// processors. It returns the error of the lowest number.
func forEach(n int, do func(i int) error) error {
	var taken atomic.Int64
	run := func() (at int, err error) {
		for {
			first := int(taken.Add(stretch)) - stretch
			for i := first; i < min(first+stretch, n); i++ {
				if err := do(i); err != nil {
					return i, err
				}
			}
			if first >= n {
				return n, nil
			}
		}
	}
	workers := min(runtime.GOMAXPROCS(0), n/stretch+1)
	places, errs := make([]int, workers), make([]error, workers)
	var wait sync.WaitGroup
	for w := 1; w < workers; w++ {
		wait.Go(func() { places[w], errs[w] = run() })
	}
	places[0], errs[0] = run()
	wait.Wait()
	first := 0
	for w := range errs {
		if errs[w] != nil && (errs[first] == nil || places[w] < places[first]) {
			first = w
		}
	}
	return errs[first]
}

func exampleF1(p *runs.Prediction) float64 {
	if given, ok := share(p.F1); ok {
		return given
	}
	return TokenF1(p.Prediction, p.Reference)
}

func exampleExact(p *runs.Prediction) float64 {
	if given, ok := share(p.ExactMatch); ok {
		return given
	}
	return ExactMatch(p.Prediction, p.Reference)
}

// share returns the score if there is one that can be one: of any other the texts
// tell.
func share(f *float64) (float64, bool) {
	if f == nil || !(*f >= 0 && *f <= 1) {
		return 0, false
	}
	return *f, true
}

// finite returns the number if there is one that can be added up.
func finite(f *float64) (float64, bool) {
	if f == nil || math.IsNaN(*f) || math.IsInf(*f, 0) {
		return 0, false
	}
	return *f, true
}

// ErrNotASum: the metric is not a sum over examples, or was not scored.
var ErrNotASum = errors.New("not a metric that is a sum over examples")

// Sample returns what each prediction adds to a metric, for statistics. Num has
// NaN where a prediction has no value; such predictions must be left out. The
// error is ErrNotASum for macro_f1, weighted_f1 and what Tally is for, and for
// metrics that were not among the names given to Score. The slices are shared:
// they must not be changed.
func (s *Scores) Sample(metric string) (stats.Sample, error) {
	if s.task == TaskClassification {
		if metric != NameAccuracy || !slices.Contains(s.names, metric) {
			return stats.Sample{}, ErrNotASum
		}
		out := stats.Sample{Num: make([]float64, len(s.preds))}
		for i, c := range s.cellOf {
			if s.cells[c].actual == s.cells[c].predicted {
				out.Num[i] = 1
			}
		}
		return out, nil
	}
	m, ok := measureOf[metric]
	if !ok || s.num[m] == nil {
		return stats.Sample{}, ErrNotASum
	}
	out := stats.Sample{Num: s.num[m], Den: s.den[m]}
	if metric == NamePerplexity {
		out.Of = Perplexity
	}
	return out, nil
}
