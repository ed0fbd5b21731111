package metrics

import (
	"cmp"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/runs"
)

// Slices scores predictions by the values of their tags: by key, then value,
// the metrics of Compute that are one number, and "n", the predictions in the
// slice. A key such as a*b crosses two tags (or more); its values read x*y,
// with \* for a * inside a value and \\ for a \. Predictions that lack a tag of the key
// go to runs.Untagged. gold_set_accuracy has no slices.
func Slices(task string, names []string, preds []runs.Prediction, keys []string, opt Options) (map[string]map[string]runs.SliceMetrics, error) {
	s, err := newScorer(task, names, preds, opt)
	if err != nil {
		return nil, err
	}
	cuts := make([]cut, 0, len(keys))
	for _, key := range keys {
		cuts = append(cuts, cut{key: key, tags: strings.Split(key, "*"), groups: map[string]*group{}})
	}
	var e example
	for i := range preds {
		if err := s.score(&preds[i], &e); err != nil {
			return nil, err
		}
		for j := range cuts {
			s.add(cuts[j].group(preds[i].Tags), &e)
		}
	}
	out := make(map[string]map[string]runs.SliceMetrics, len(cuts))
	for _, c := range cuts {
		values := make(map[string]runs.SliceMetrics, len(c.groups))
		for value, g := range c.groups {
			m := s.numbers(g)
			m[sliceSize] = float64(g.n)
			values[value] = m
		}
		out[c.key] = values
	}
	return out, nil
}

// sliceSize is the key under which a slice has its number of predictions.
const sliceSize = "n"

// cut is one key that predictions are sliced by.
type cut struct {
	key    string
	tags   []string // the key's parts, one unless it is crossed
	groups map[string]*group
	value  []byte // scratch
}

func (c *cut) group(tags map[string]string) *group {
	value := runs.Untagged
	if len(c.tags) == 1 {
		if v, ok := tags[c.tags[0]]; ok {
			value = v
		}
		if g := c.groups[value]; g != nil {
			return g
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
		if g := c.groups[string(c.value)]; g != nil {
			return g
		}
		value = string(c.value)
	}
	g := &group{}
	c.groups[value] = g
	return g
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
	Metrics    map[string]float64 // without n
	TooFew     bool               // N is under the minimum: the numbers say little
}

// Rows lists slices worst first by a metric: those with too few predictions
// (under minSlice) come after the others, those without the metric last.
// Equal ones are sorted by key and value.
func Rows(nested map[string]map[string]runs.SliceMetrics, metric string, minSlice int) []SliceRow {
	var rows []SliceRow
	for key, values := range nested {
		for value, m := range values {
			row := SliceRow{Key: key, Value: value, N: int(m[sliceSize]), Metrics: make(map[string]float64, len(m))}
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
