package source

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// Crossing is how a run does on the parts of the test data that share the values
// of two tags.
type Crossing struct {
	A, B string // the tags
	// ValuesA and ValuesB are the most frequent values of each, the most frequent
	// first.
	ValuesA, ValuesB []string
	// Cells has those that hold an example, by value of A and of B. Key is "A*B"
	// and Value the name of the slice under it.
	Cells map[[2]string]Slice
	// LeftOut counts the examples whose value is not among the most frequent.
	LeftOut int
}

// MostCrossed bounds the values of a tag that are crossed.
const MostCrossed = 40

// Cross scores the predictions of a run by the values of two tags. The error is
// fs.ErrNotExist where the run has no predictions.
func (s *Source) Cross(dir, a, b string) (*Crossing, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	meta, err := run.Meta()
	if err != nil {
		return nil, err
	}
	preds, err := predictions(run)
	if errors.Is(err, errTooMany) {
		return nil, fmt.Errorf("there are more than %d predictions to cross", maxScored)
	}
	if err != nil {
		return nil, err
	}
	if len(preds) == 0 {
		return nil, fs.ErrNotExist
	}
	task := meta.Task
	if !slices.Contains(metrics.Tasks(), task) {
		task = metrics.TaskSFT
		if results, err := run.EvalResults(); err == nil {
			task = guessTask(results.Overall)
		}
	}
	out := &Crossing{A: a, B: b, ValuesA: frequent(preds, a), ValuesB: frequent(preds, b), Cells: map[[2]string]Slice{}}
	all := len(preds)
	preds = slices.DeleteFunc(preds, func(p runs.Prediction) bool {
		return !slices.Contains(out.ValuesA, metrics.SliceOf(p.Tags, a)) || !slices.Contains(out.ValuesB, metrics.SliceOf(p.Tags, b))
	})
	out.LeftOut = all - len(preds)
	return out, out.fill(task, preds, minSlice(run))
}

// frequent lists the most frequent values of a tag.
func frequent(preds []runs.Prediction, key string) []string {
	n := map[string]int{}
	for i := range preds {
		n[metrics.SliceOf(preds[i].Tags, key)]++
	}
	values := make([]string, 0, len(n))
	for v := range n {
		values = append(values, v)
	}
	slices.SortFunc(values, func(x, y string) int { return cmp.Or(cmp.Compare(n[y], n[x]), cmp.Compare(x, y)) })
	return values[:min(len(values), MostCrossed)]
}

func (c *Crossing) fill(task string, preds []runs.Prediction, least int) error {
	key := c.A + "*" + c.B
	scores, err := metrics.Score(task, metrics.Defaults(task), preds, metrics.Options{})
	if err != nil {
		return err
	}
	sliced := scores.Slice([]string{key})
	for i := range preds {
		tags := preds[i].Tags
		at := [2]string{metrics.SliceOf(tags, c.A), metrics.SliceOf(tags, c.B)}
		cell, ok := c.Cells[at]
		if !ok {
			cell = Slice{Key: key, Value: metrics.SliceOf(tags, key), Lift: math.NaN(), LiftEnds: Unknown, Intervals: map[string]Interval{}}
			cell.Values = sliced.Metrics[key][cell.Value]
			for name, i := range sliced.Intervals[key][cell.Value] {
				cell.Intervals[name] = Interval{i.Low, i.High}
			}
		}
		cell.N++
		cell.TooFew = cell.N < least
		if !metrics.Right(task, &preds[i]) {
			cell.Errors++
		}
		c.Cells[at] = cell
	}
	return nil
}
