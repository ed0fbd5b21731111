package metrics

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

// Slices scores predictions by the values of their tags: by key, then value,
// the metrics of Compute that are one number, and "n", the predictions in the
// slice. A key such as a*b crosses two tags (or more); its values read x*y,
// with \* for a * inside a value and \\ for a \. Predictions that lack a tag of the key
// go to runs.Untagged. gold_set_accuracy has no slices.
func Slices(task string, names []string, preds []runs.Prediction, keys []string, opt Options) (map[string]map[string]runs.SliceMetrics, error) {
	s, err := Score(task, names, preds, opt)
	if err != nil {
		return nil, err
	}
	return s.slice(keys, false).Metrics, nil
}

// Sliced holds the metrics of slices and their intervals, by key, then value.
type Sliced struct {
	Metrics   map[string]map[string]runs.SliceMetrics
	Intervals map[string]map[string]map[string]stats.Interval
}

// Slice is like Slices and adds the 95 % intervals that Result describes.
// Bootstraps that have to be resampled draw SliceResamples times, which leaves
// the ends of an interval a noise of 5 % of a standard error: slices are many.
func (s *Scores) Slice(keys []string) Sliced { return s.slice(keys, true) }

// SliceResamples is how often a bootstrap of a slice is drawn.
const SliceResamples = 2000

func (s *Scores) slice(keys []string, wantIntervals bool) Sliced {
	out := Sliced{Metrics: make(map[string]map[string]runs.SliceMetrics, len(keys))}
	if wantIntervals {
		out.Intervals = make(map[string]map[string]map[string]stats.Interval, len(keys))
	}
	for i, c := range Cuts(s.preds, keys) {
		values, intervals := make([]map[string]float64, len(c.Values)), make([]map[string]stats.Interval, len(c.Values))
		// The error is nil: no slice fails.
		_ = forEach(len(c.Values), func(v int) error {
			g := group{s: s, members: c.Members[v], opt: stats.Options{Resamples: SliceResamples}}
			values[v], intervals[v] = g.numbers(wantIntervals)
			values[v][sliceSize] = float64(g.size())
			return nil
		})
		metrics := make(map[string]runs.SliceMetrics, len(c.Values))
		bounds := make(map[string]map[string]stats.Interval, len(c.Values))
		for v, name := range c.Values {
			metrics[name], bounds[name] = values[v], intervals[v]
		}
		out.Metrics[keys[i]] = metrics
		if wantIntervals {
			out.Intervals[keys[i]] = bounds
		}
	}
	return out
}

// sliceSize is the key under which a slice has its number of predictions.
const sliceSize = "n"

// Cut is predictions split by a tag, or by crossed tags.
type Cut struct {
	Key    string
	Values []string // in the order they were met
	// Members lists, for each value, the places of its predictions, ascending.
	// A value has at least one.
	Members [][]int32
}

// Cuts splits predictions by each of the keys, as Slices describes.
func Cuts(preds []runs.Prediction, keys []string) []Cut {
	out := make([]Cut, len(keys))
	var wait sync.WaitGroup
	for i, key := range keys {
		wait.Go(func() { out[i] = cutBy(preds, key) })
	}
	wait.Wait()
	return out
}

func cutBy(preds []runs.Prediction, key string) Cut {
	c := newCutter(key)
	valueOf := make([]int32, len(preds))
	var sizes []int
	for i := range preds {
		v := c.number(preds[i].Tags)
		if int(v) == len(sizes) {
			sizes = append(sizes, 0)
		}
		sizes[v]++
		valueOf[i] = v
	}
	out := Cut{Key: key, Values: c.values, Members: make([][]int32, len(sizes))}
	all := make([]int32, 0, len(preds))
	for v, size := range sizes {
		start := len(all)
		all = all[:start+size]
		out.Members[v] = all[start:start:len(all)]
	}
	for i, v := range valueOf {
		out.Members[v] = append(out.Members[v], int32(i))
	}
	return out
}

// SliceOf names the slice of a key that tags fall into.
func SliceOf(tags map[string]string, key string) string {
	c := newCutter(key)
	return c.values[c.number(tags)]
}

// cutter numbers the values of a key.
type cutter struct {
	tags    []string // the key's parts, one unless it is crossed
	numbers map[string]int32
	values  []string
	value   []byte // scratch
}

func newCutter(key string) *cutter {
	return &cutter{tags: strings.Split(key, "*"), numbers: map[string]int32{}}
}

func (c *cutter) number(tags map[string]string) int32 {
	value := runs.Untagged
	if len(c.tags) == 1 {
		if v, ok := tags[c.tags[0]]; ok {
			value = v
		}
		if n, ok := c.numbers[value]; ok {
			return n
		}
	} else {
		c.value = c.value[:0]
		for i, tag := range c.tags {
			v, ok := tags[tag]
			if !ok {
				c.value = append(c.value[:0], runs.Untagged...)
				break
			}
			if i > 0 {
				c.value = append(c.value, '*')
			}
			c.value = append(c.value, escaped(v)...)
		}
		if n, ok := c.numbers[string(c.value)]; ok {
			return n
		}
		value = string(c.value)
	}
	n := int32(len(c.values))
	c.numbers[value] = n
	c.values = append(c.values, value)
	return n
}

var crossEscape = strings.NewReplacer(`\`, `\\`, `*`, `\*`)

// escaped keeps crossed values apart whatever they contain.
func escaped(v string) string {
	if strings.ContainsAny(v, `\*`) {
		return crossEscape.Replace(v)
	}
	return v
}

// SliceRow is one slice, for a table.
type SliceRow struct {
	Key, Value string
	N          int
	Metrics    map[string]float64        // without n
	Intervals  map[string]stats.Interval // by metric, nil where they are not known
	TooFew     bool                      // N is under the minimum: the numbers say little
}

// Rows lists slices worst first by a metric: those with too few predictions
// (under minSlice) come after the others, those without the metric last.
// Equal ones are sorted by key and value.
func Rows(nested map[string]map[string]runs.SliceMetrics, metric string, minSlice int) []SliceRow {
	return Sliced{Metrics: nested}.Rows(metric, minSlice)
}

// Rows is like the function Rows, with the intervals.
func (s Sliced) Rows(metric string, minSlice int) []SliceRow {
	var rows []SliceRow
	for key, values := range s.Metrics {
		for value, m := range values {
			row := SliceRow{Key: key, Value: value, N: int(m[sliceSize]), Metrics: make(map[string]float64, len(m)),
				Intervals: s.Intervals[key][value]}
			for name, v := range m {
				if name != sliceSize {
					row.Metrics[name] = v
				}
			}
			row.TooFew = row.N < minSlice
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b SliceRow) int {
		va, hasA := a.number(metric)
		vb, hasB := b.number(metric)
		if LowerIsBetter(metric) {
			va, vb = -va, -vb
		}
		return cmp.Or(
			compareBool(!hasA, !hasB),
			compareBool(a.TooFew, b.TooFew),
			cmp.Compare(va, vb),
			cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.Value, b.Value),
		)
	})
	return rows
}

func (r SliceRow) number(metric string) (float64, bool) {
	v, ok := r.Metrics[metric]
	if !ok {
		return 0, false
	}
	return finite(&v)
}

// compareBool puts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
