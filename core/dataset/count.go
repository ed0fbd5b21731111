package dataset

import (
	"maps"
	"slices"
	"strings"
)

// Bounds of what is counted while a file is opened. Tags are free text: a key
// with a value of its own in every row must not fill the memory.
const (
	MaxTagKeys   = 256 // of a file that are kept, the first ones met
	maxTagValues = 1000
	// maxLabels is the most classes a classification set may have. More means
	// that free text landed in the label.
	maxLabels = 65536
)

// Count is a value and the number of rows that have it.
type Count struct {
	Value string
	Rows  int
}

// Tag describes one tag key of a file.
type Tag struct {
	Key  string
	Rows int // rows that have the key
	// Values are the first 1000 distinct values met, sorted by value.
	Values []Count
	// More is true when there are other values than these.
	More bool
}

// counter counts values met, up to a bound.
type counter struct {
	rows map[string]*int
	more bool
}

// add counts value; it is false when value is new and the bound is reached.
func (c *counter) add(value []byte, most int) bool {
	if n, ok := c.rows[string(value)]; ok { // does not copy value
		*n++
		return true
	}
	if len(c.rows) >= most {
		c.more = true
		return false
	}
	if c.rows == nil {
		c.rows = make(map[string]*int)
	}
	one := 1
	c.rows[string(value)] = &one
	return true
}

func (c *counter) sorted() []Count {
	out := make([]Count, 0, len(c.rows))
	for v, n := range c.rows {
		out = append(out, Count{v, *n})
	}
	slices.SortFunc(out, func(a, b Count) int { return strings.Compare(a.Value, b.Value) })
	return out
}

// tagCounter counts the values of every tag key.
type tagCounter struct {
	keys map[string]*tagCount
}

type tagCount struct {
	rows   int
	values counter
}

func (t *tagCounter) add(key, value []byte) {
	k, ok := t.keys[string(key)]
	if !ok {
		if len(t.keys) >= MaxTagKeys {
			return
		}
		if t.keys == nil {
			t.keys = make(map[string]*tagCount)
		}
		k = &tagCount{}
		t.keys[string(key)] = k
	}
	k.rows++
	k.values.add(value, maxTagValues)
}

func (t *tagCounter) sorted() []Tag {
	out := make([]Tag, 0, len(t.keys))
	for _, key := range slices.Sorted(maps.Keys(t.keys)) {
		k := t.keys[key]
		out = append(out, Tag{Key: key, Rows: k.rows, Values: k.values.sorted(), More: k.values.more})
	}
	return out
}
