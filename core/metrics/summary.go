package metrics

import (
	"cmp"
	"math"
	"slices"

	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

// TagLift says how much more frequent a slice is among the hard examples than
// among all.
type TagLift struct {
	Key, Value string
	Hard       int // hard examples in the slice
	N          int // predictions in the slice
	// Lift is the share of the slice among the hard examples over its share
	// among all: 2 means twice as many as chance would put there.
	Lift     float64
	Interval stats.Interval // 95 %
}

// HardSummary says which slices are over-represented among hard examples, which
// must come from the predictions. Worst first: by the lower end of the interval,
// so that a slice of few predictions does not lead by chance; then by lift, key
// and value. Slices without a hard example are listed too, with lift 0. Keys may
// be crossed, as for Slices.
func HardSummary(hard []runs.HardExample, preds []runs.Prediction, keys []string) []TagLift {
	if len(hard) == 0 {
		return nil
	}
	var out []TagLift
	for _, cut := range Cuts(preds, keys) {
		among := map[string]int{}
		c := newCutter(cut.Key)
		for _, h := range hard {
			among[c.values[c.number(h.Tags)]]++
		}
		for v, value := range cut.Values {
			l := TagLift{Key: cut.Key, Value: value, Hard: among[value], N: len(cut.Members[v])}
			l.Lift, l.Interval = stats.Lift(min(l.Hard, l.N), len(hard), l.N, len(preds), stats.Level)
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b TagLift) int {
		return cmp.Or(
			cmp.Compare(b.Interval.Low, a.Interval.Low),
			cmp.Compare(b.Lift, a.Lift),
			cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.Value, b.Value),
		)
	})
	return out
}

// Primary is the metric that says most about a task: f1 or accuracy, empty for a
// task that is not known.
func Primary(task string) string {
	switch task {
	case TaskSFT:
		return NameF1
	case TaskClassification:
		return NameAccuracy
	}
	return ""
}

// Right says whether a prediction counts as right: an exact match, or the true
// label.
func Right(task string, p *runs.Prediction) bool {
	if task == TaskClassification {
		return p.Prediction == p.Reference
	}
	return math.Abs(exampleExact(p)-1) < 1e-9
}
