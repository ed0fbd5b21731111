package metrics

import (
	"math"
	"slices"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
)

// measure is a number that every sft example has; a metric is its mean.
type measure int

const (
	measureLoss measure = iota
	measureF1
	measureExact
	measureRouge1
	measureRougeL
	measureFormat
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
}

// scorer takes examples one after the other and gives each to the groups it
// belongs to.
type scorer struct {
	task  string
	names []string // the metrics asked for
	opt   Options
	// perToken weights losses by their tokens. It holds for all groups of a
	// file, so that slices can be compared with the whole.
	perToken bool
	wants    [numMeasures]bool
	labels   labels
}

func newScorer(task string, names []string, preds []runs.Prediction, opt Options) (*scorer, error) {
	if err := checkNames(task, names); err != nil {
		return nil, err
	}
	if slices.Contains(names, NameFormatCompliance) && opt.Format == nil {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "compute metrics",
			Reason: "format_compliance needs rules", Hint: "set eval.format_rules in the config"}}
	}
	s := &scorer{task: task, names: names, opt: opt, perToken: true, labels: labels{number: map[string]uint32{}}}
	for _, name := range names {
		if m, ok := measureOf[name]; ok {
			s.wants[m] = true
		}
	}
	for i := range preds {
		if _, ok := finite(preds[i].Loss); ok && preds[i].LossTokens <= 0 {
			s.perToken = false
			break
		}
	}
	return s, nil
}

// example is what the groups add up about one prediction.
type example struct {
	value  [numMeasures]float64 // NaN where there is none
	weight float64              // of the loss
	cell   cell                 // classification
}

// score fills e with the numbers of p that are wanted.
func (s *scorer) score(p *runs.Prediction, e *example) error {
	if s.task == TaskClassification {
		e.cell = cell{s.labels.of(p.Reference), s.labels.of(p.Prediction)}
		return nil
	}
	for m := range numMeasures {
		if !s.wants[m] {
			continue
		}
		switch m {
		case measureLoss:
			e.value[m], e.weight = math.NaN(), 1
			if loss, ok := finite(p.Loss); ok {
				e.value[m] = loss
			}
			if s.perToken {
				e.weight = float64(p.LossTokens)
			}
		case measureF1:
			e.value[m] = exampleF1(p)
		case measureExact:
			if given, ok := finite(p.ExactMatch); ok {
				e.value[m] = given
			} else {
				e.value[m] = ExactMatch(p.Prediction, p.Reference)
			}
		case measureRouge1:
			e.value[m] = Rouge1(p.Prediction, p.Reference)
		case measureRougeL:
			e.value[m] = RougeL(p.Prediction, p.Reference)
		case measureFormat:
			ok, err := s.opt.Format.Complies(p.Prediction)
			if err != nil {
				return &fault.EvalError{Detail: fault.Detail{Op: "check the format of predictions", Err: err,
					Hint: "simplify the pattern: nested repetition such as (a+)+ is slow"}}
			}
			e.value[m] = 0
			if ok {
				e.value[m] = 1
			}
		}
	}
	return nil
}

func exampleF1(p *runs.Prediction) float64 {
	if given, ok := finite(p.F1); ok {
		return given
	}
	return TokenF1(p.Prediction, p.Reference)
}

// finite returns the number if there is one that can be added up.
func finite(f *float64) (float64, bool) {
	if f == nil || math.IsNaN(*f) || math.IsInf(*f, 0) {
		return 0, false
	}
	return *f, true
}

// group adds up the examples of a slice, or all of them.
type group struct {
	n       int
	sum     [numMeasures]float64
	weight  [numMeasures]float64
	missing [numMeasures]int
	cells   map[cell]int // classification
}

func (s *scorer) add(g *group, e *example) {
	g.n++
	if s.task == TaskClassification {
		if g.cells == nil {
			g.cells = map[cell]int{}
		}
		g.cells[e.cell]++
		return
	}
	for m := range numMeasures {
		if !s.wants[m] {
			continue
		}
		v, w := e.value[m], 1.0
		if m == measureLoss {
			w = e.weight
		}
		if math.IsNaN(v) {
			g.missing[m]++
			continue
		}
		g.sum[m] += v * w
		g.weight[m] += w
	}
}

// numbers returns the metrics that are one number, leaving out those that have
// no finite value.
func (s *scorer) numbers(g *group) map[string]float64 {
	out := make(map[string]float64, len(s.names)+1)
	var all []class
	if g.cells != nil {
		all = classes(g.cells, s.labels.names)
	}
	for _, name := range s.names {
		v := math.NaN()
		if m, ok := measureOf[name]; ok {
			if g.weight[m] > 0 {
				v = g.sum[m] / g.weight[m]
			}
			if name == NamePerplexity {
				v = Perplexity(v)
			}
		} else if isClassScore(name) && g.n > 0 {
			v = classScore(name, all, g.n)
		}
		if _, ok := finite(&v); ok {
			out[name] = v
		}
	}
	return out
}

func isClassScore(name string) bool {
	return name == NameAccuracy || name == NameMacroF1 || name == NameWeightedF1
}
