// Package metrics scores predictions: text and classification metrics,
// slices by tag, and the hardest examples.
//
// Everything is computed from predictions alone, whoever wrote them. Fields
// that are absent are derived from the texts where that is possible. A number
// that is missing, NaN or infinite is left out of its mean and counted; a
// metric that has no finite value is left out of the result. Results do not
// depend on the order of a map: the same predictions give the same numbers.
package metrics

import (
	"slices"

	"github.com/verifily/verifily-tui/core/fault"
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
	// PerClass holds precision_per_class and recall_per_class, by label.
	PerClass map[string]map[string]float64
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
// predictions; gold_set_accuracy is exact match over Options.Gold.
// classification: macro_f1 is the plain mean of the f1 of every label that is
// true or predicted somewhere, weighted_f1 the mean weighted by true rows;
// precision without predictions and recall without true rows are 0.
//
// A metric that the task does not have, or whose options are missing, is a
// *fault.ConfigError; a format pattern that runs out of time is a
// *fault.EvalError.
func Compute(task string, names []string, preds []runs.Prediction, opt Options) (Result, error) {
	s, err := newScorer(task, names, preds, opt)
	if err != nil {
		return Result{}, err
	}
	var all group
	var e example
	for i := range preds {
		if err := s.score(&preds[i], &e); err != nil {
			return Result{}, err
		}
		s.add(&all, &e)
	}
	out := Result{N: all.n, Overall: s.numbers(&all), PerClass: map[string]map[string]float64{}, Missing: map[string]int{}}
	for _, name := range names {
		if m, ok := measureOf[name]; ok && all.missing[m] > 0 {
			out.Missing[name] = all.missing[m]
		}
	}
	if slices.Contains(names, NameGoldSetAccuracy) {
		if opt.Gold == nil {
			return Result{}, &fault.ConfigError{Detail: fault.Detail{Op: "compute metrics",
				Reason: "gold_set_accuracy needs a gold set", Hint: "set eval.gold_set in the config"}}
		}
		gold, err := Compute(task, []string{NameExactMatch}, opt.Gold, Options{})
		if err != nil {
			return Result{}, err
		}
		if v, ok := gold.Overall[NameExactMatch]; ok {
			out.Overall[NameGoldSetAccuracy] = v
		}
	}
	if task == TaskClassification {
		s.perClass(&all, &out)
	}
	return out, nil
}

func (s *scorer) perClass(all *group, out *Result) {
	list := classes(all.cells, s.labels.names)
	table := func(of func(class) float64) map[string]float64 {
		t := make(map[string]float64, len(list))
		for _, c := range list {
			t[c.label] = of(c)
		}
		return t
	}
	for _, name := range s.names {
		switch name {
		case NamePrecisionPerClass:
			out.PerClass[name] = table(class.precision)
		case NameRecallPerClass:
			out.PerClass[name] = table(class.recall)
		case NameConfusionMatrix:
			out.Confusion = confusion(list, all.cells)
		}
	}
}
