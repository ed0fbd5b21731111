package metrics

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/fault"
)

// The tasks that have metrics.
const (
	TaskSFT            = "sft"
	TaskClassification = "classification"
)

// The metrics, by the names that stand in configs and result files.
const (
	NameEvalLoss         = "eval_loss"
	NamePerplexity       = "perplexity"
	NameExactMatch       = "exact_match"
	NameF1               = "f1"
	NameRouge1           = "rouge1"
	NameRougeL           = "rougeL"
	NameFormatCompliance = "format_compliance"
	NameGoldSetAccuracy  = "gold_set_accuracy"
	NameWER              = "wer"

	NameAccuracy          = "accuracy"
	NameMacroF1           = "macro_f1"
	NameWeightedF1        = "weighted_f1"
	NamePrecisionPerClass = "precision_per_class"
	NameRecallPerClass    = "recall_per_class"
	NameConfusionMatrix   = "confusion_matrix"
)

var byTask = map[string]struct{ all, standard []string }{
	TaskSFT: {
		all: []string{NameEvalLoss, NamePerplexity, NameExactMatch, NameF1, NameRouge1,
			NameRougeL, NameFormatCompliance, NameGoldSetAccuracy, NameWER},
		standard: []string{NameEvalLoss, NamePerplexity, NameF1, NameExactMatch},
	},
	TaskClassification: {
		all: []string{NameAccuracy, NameMacroF1, NameWeightedF1, NamePrecisionPerClass,
			NameRecallPerClass, NameConfusionMatrix},
		standard: []string{NameAccuracy, NameMacroF1, NameConfusionMatrix},
	},
}

// Tasks lists the tasks that have metrics.
func Tasks() []string { return []string{TaskSFT, TaskClassification} }

// Names lists every metric of a task, nil for a task that is not known.
func Names(task string) []string { return slices.Clone(byTask[task].all) }

// Defaults lists the metrics of a task when none are asked for, nil for a
// task that is not known.
func Defaults(task string) []string { return slices.Clone(byTask[task].standard) }

// LowerIsBetter says whether a smaller value of the metric is the better one.
func LowerIsBetter(metric string) bool {
	return metric == NameEvalLoss || metric == NamePerplexity || metric == NameWER
}

// checkNames returns a *fault.ConfigError that lists what the task cannot
// compute.
func checkNames(task string, names []string) error {
	known := Names(task)
	if known == nil {
		return &fault.ConfigError{Detail: fault.Detail{Op: "compute metrics",
			Reason: "unknown task " + strconv.Quote(task),
			Hint:   "known tasks: " + strings.Join(Tasks(), ", ")}}
	}
	var unknown []string
	for _, name := range names {
		if !slices.Contains(known, name) {
			unknown = append(unknown, strconv.Quote(name))
		}
	}
	if unknown == nil {
		return nil
	}
	return &fault.ConfigError{Detail: fault.Detail{Op: "compute metrics",
		Reason: fmt.Sprintf("the task %s has no metric %s", task, strings.Join(unknown, ", ")),
		Hint:   "known metrics: " + strings.Join(known, ", ")}}
}
