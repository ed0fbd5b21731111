package metrics

import (
	"cmp"
	"maps"
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
	sizes := map[string]map[string]int{}
	for _, cut := range Cuts(preds, keys) {
		sizes[cut.Key] = make(map[string]int, len(cut.Values))
		for v, value := range cut.Values {
			sizes[cut.Key][value] = len(cut.Members[v])
		}
	}
	return lifts(hard, keys, sizes, len(preds))
}

// HardSummary is like the function HardSummary, for hard examples of the
// predictions that were sliced, total in all, and for the same keys.
func (s Sliced) HardSummary(hard []runs.HardExample, total int) []TagLift {
	sizes := make(map[string]map[string]int, len(s.Metrics))
	for key, values := range s.Metrics {
		sizes[key] = make(map[string]int, len(values))
		for value, m := range values {
			sizes[key][value] = int(m[sliceSize])
		}
	}
	return lifts(hard, slices.Sorted(maps.Keys(sizes)), sizes, total)
}

func lifts(hard []runs.HardExample, keys []string, sizes map[string]map[string]int, total int) []TagLift {
	if len(hard) == 0 {
		return nil
	}
	var out []TagLift
	for _, key := range keys {
		among := map[string]int{}
		c := newCutter(key)
		for _, h := range hard {
			among[c.values[c.number(h.Tags)]]++
		}
		for value, n := range sizes[key] {
			l := TagLift{Key: key, Value: value, Hard: among[value], N: n}
			l.Lift, l.Interval = stats.Lift(min(l.Hard, l.N), len(hard), l.N, total, stats.Level)
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
