package compare

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

// sliceKeys lists what to slice by.
func (c *comparison) sliceKeys() []string {
	asked := c.opt.SliceBy
	if asked == nil { // as the runs were evaluated, the base first
		for _, s := range c.sides {
			asked = append(asked, slices.Sorted(maps.Keys(s.results.Slices))...)
		}
	}
	var out []string
	for _, key := range asked {
		if !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	return out
}

// slices compares the runs by the metric within each slice.
func (c *comparison) slices() error {
	keys := c.sliceKeys()
	if len(keys) == 0 {
		return nil
	}
	keys = c.withKnownTags(keys)
	metric := c.out.Metric
	scored := make([]*metrics.Sliced, len(c.sides))
	members := make([]map[slice][]int32, len(c.sides))
	for i, s := range c.sides {
		if !s.scored(metric) {
			continue
		}
		only, err := metrics.Score(c.task, []string{metric}, s.preds, metrics.Options{})
		if err != nil {
			return err
		}
		sliced := only.Slice(keys)
		scored[i] = &sliced
		members[i] = membersOf(s.preds, keys)
	}
	for _, at := range c.allSlices(keys, scored) {
		row := Slice{Key: at.key, Value: at.value}
		for i, s := range c.sides {
			v := s.sliceValue(scored[i], metric, at.key, at.value)
			row.Values = append(row.Values, v)
			if v == nil || v.N < c.out.MinSlice {
				row.TooFew = true
			}
		}
		for i := range c.sides[1:] {
			d, err := c.sliceDelta(metric, i+1, at, members, row.Values)
			if err != nil {
				return err
			}
			row.Deltas = append(row.Deltas, d)
		}
		c.out.Slices = append(c.out.Slices, row)
	}
	c.adjust()
	c.sortSlices()
	return nil
}

// withKnownTags returns the keys whose tags examples have, and notes the others:
// all examples in one slice of a misspelt tag would say nothing.
func (c *comparison) withKnownTags(keys []string) []string {
	known := map[string]bool{}
	looked := false
	for _, s := range c.sides {
		for i := range s.preds {
			looked = true
			for tag := range s.preds[i].Tags {
				known[tag] = true
			}
		}
	}
	if !looked {
		return keys // there are only the slices of the results
	}
	var out []string
	for _, key := range keys {
		all := true
		for _, tag := range strings.Split(key, "*") {
			if known[tag] {
				continue
			}
			all = false
			note := fmt.Sprintf("no example has the tag %q", tag)
			const most = 10
			if have := slices.Sorted(maps.Keys(known)); len(have) > 0 {
				note += "; there are " + strings.Join(have[:min(len(have), most)], ", ")
			}
			c.out.Notes = append(c.out.Notes, note)
		}
		if all {
			out = append(out, key)
		}
	}
	return out
}

// slice names one slice.
type slice struct{ key, value string }

func membersOf(preds []runs.Prediction, keys []string) map[slice][]int32 {
	out := map[slice][]int32{}
	for _, cut := range metrics.Cuts(preds, keys) {
		for v, value := range cut.Values {
			out[slice{cut.Key, value}] = cut.Members[v]
		}
	}
	return out
}

// allSlices lists the slices of every run, by key in the order asked for, then
// by value.
func (c *comparison) allSlices(keys []string, scored []*metrics.Sliced) []slice {
	var out []slice
	for _, key := range keys {
		values := map[string]bool{}
		for i, s := range c.sides {
			from := s.results.Slices
			if scored[i] != nil {
				from = scored[i].Metrics
			}
			for value := range from[key] {
				values[value] = true
			}
		}
		for _, value := range slices.Sorted(maps.Keys(values)) {
			out = append(out, slice{key, value})
		}
	}
	return out
}

// sliceDelta compares a slice. Pairs belong to the slice that the base has them
// in.
func (c *comparison) sliceDelta(metric string, i int, at slice, members []map[slice][]int32, values []*Value) (*Delta, error) {
	if values[0] == nil || values[i] == nil {
		return nil, nil
	}
	return c.delta(metric, i, members[0][at], members[i][at], values[0], values[i])
}

// adjust corrects the probabilities of each run for the number of slices that
// were tested. Slices with too few examples are not tested, so they do not make
// the others harder to find.
func (c *comparison) adjust() {
	lower := metrics.LowerIsBetter(c.out.Metric)
	for i := range c.sides[1:] {
		p := make([]float64, len(c.out.Slices))
		for k, row := range c.out.Slices {
			p[k] = math.NaN()
			if d := row.Deltas[i]; d != nil && d.P != nil && !row.TooFew {
				p[k] = *d.P
			}
		}
		for k, adjusted := range stats.Holm(p) {
			if !math.IsNaN(adjusted) {
				c.out.Slices[k].Deltas[i].judge(&adjusted, c.opt.Alpha, lower)
			}
		}
	}
}

func (c *comparison) sortSlices() {
	sign := 1.0
	if metrics.LowerIsBetter(c.out.Metric) {
		sign = -1
	}
	gain := func(s Slice) float64 {
		if d := s.Deltas[0]; d != nil {
			return sign * d.Delta
		}
		return math.Inf(1)
	}
	last := func(s Slice) int {
		if s.TooFew {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(c.out.Slices, func(a, b Slice) int {
		return cmp.Or(cmp.Compare(last(a), last(b)), cmp.Compare(gain(a), gain(b)))
	})
}
