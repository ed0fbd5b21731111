// Package metrics scores predictions: text and classification metrics with
// their intervals, slices by tag, and the hardest examples.
//
// Everything is computed from predictions alone, whoever wrote them. Fields
// that are absent are derived from the texts where that is possible. A number
// that is missing, NaN or infinite is left out of its mean and counted; a
// metric that has no finite value is left out of the result. Results do not
// depend on the order of a map or the number of processors: the same
// predictions give the same numbers.
package metrics

import (
	"slices"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

// Options holds what some metrics need besides the predictions.
type Options struct {
	Format *Format           // for format_compliance
	Gold   []runs.Prediction // predictions for the gold set, for gold_set_accuracy
}

// Result holds the metrics of a set of predictions.
type Result struct {
	N       int                // predictions
	Overall map[string]float64 // the metrics that are one number, by name
	// Intervals holds the 95 % interval of every metric in Overall for which
	// one can be told: Wilson's for exact_match, accuracy, format_compliance and
	// gold_set_accuracy, bootstrap for the others; perplexity has that of the
	// loss. One example, or examples without any variation, tell nothing about
	// a loss, a word error rate or a mean over labels.
	Intervals map[string]stats.Interval
	// PerClass holds precision_per_class and recall_per_class, by label.
	PerClass map[string]map[string]float64
	// PerClassIntervals holds Wilson's interval for each; those of labels that
	// were never predicted, or that no row has, are left out.
	PerClassIntervals map[string]map[string]stats.Interval
	// Confusion is nil unless confusion_matrix was asked for, and when there
	// are more than MaxConfusionLabels labels.
	Confusion *runs.ConfusionMatrix
	// Missing counts, by metric, the predictions that its mean leaves out
	// because they have no finite value.
	Missing map[string]int
}

// Compute scores predictions with the named metrics of a task.
//
// sft: eval_loss is the mean of the losses, weighted by LossTokens if every
// prediction with a loss has them; perplexity is e to its power; f1,
// exact_match, rouge1, rougeL and format_compliance are means over the
// predictions; wer is all word errors over all words expected;
// gold_set_accuracy is exact match over Options.Gold.
// classification: macro_f1 is the plain mean of the f1 of every label that is
// true or predicted somewhere, weighted_f1 the mean weighted by true rows;
// precision without predictions and recall without true rows are 0.
//
// A metric that the task does not have, or whose options are missing, is a
// *fault.ConfigError; a format pattern that runs out of time is a
// *fault.EvalError.
func Compute(task string, names []string, preds []runs.Prediction, opt Options) (Result, error) {
	s, err := Score(task, names, preds, opt)
	if err != nil {
		return Result{}, err
	}
	return s.Result()
}

// Result takes the metrics over all predictions. The error is that of Compute.
func (s *Scores) Result() (Result, error) {
	all := group{s: s}
	out := Result{N: len(s.preds), PerClass: map[string]map[string]float64{}, PerClassIntervals: map[string]map[string]stats.Interval{},
		Missing: map[string]int{}}
	out.Overall, out.Intervals = all.numbers(true)
	for _, name := range s.names {
		if m, ok := measureOf[name]; ok {
			if missing := all.missing(m); missing > 0 {
				out.Missing[name] = missing
			}
		}
	}
	if slices.Contains(s.names, NameGoldSetAccuracy) {
		if s.opt.Gold == nil {
			return Result{}, &fault.ConfigError{Detail: fault.Detail{Op: "compute metrics",
				Reason: "gold_set_accuracy needs a gold set", Hint: "set eval.gold_set in the config"}}
		}
		gold, err := Compute(s.task, []string{NameExactMatch}, s.opt.Gold, Options{})
		if err != nil {
			return Result{}, err
		}
		if v, ok := gold.Overall[NameExactMatch]; ok {
			out.Overall[NameGoldSetAccuracy] = v
			out.Intervals[NameGoldSetAccuracy] = gold.Intervals[NameExactMatch]
		}
	}
	if s.task == TaskClassification {
		s.perClass(all.tally(), &out)
	}
	return out, nil
}

func (s *Scores) perClass(t *Tally, out *Result) {
	list := t.sorted()
	table := func(name string, of func(class) float64, size func(class) int) {
		values, intervals := make(map[string]float64, len(list)), make(map[string]stats.Interval, len(list))
		for _, c := range list {
			values[c.label] = of(c)
			if n := size(c); n > 0 {
				intervals[c.label] = stats.Wilson(float64(c.correct), n, stats.Level)
			}
		}
		out.PerClass[name], out.PerClassIntervals[name] = values, intervals
	}
	for _, name := range s.names {
		switch name {
		case NamePrecisionPerClass:
			table(name, class.precision, func(c class) int { return c.guessed })
		case NameRecallPerClass:
			table(name, class.recall, func(c class) int { return c.support })
		case NameConfusionMatrix:
			out.Confusion = t.confusion()
		}
	}
}
