package artifact

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/contamination/pii"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// fieldStats describes the lengths of a field over the rows that have it.
// Tokens are words: stretches without white space. Characters are code points.
// The median of an even number of rows is the mean of the two in the middle;
// p95 is the least length that at least 95% of the rows do not exceed.
type fieldStats struct {
	TokenMin    int     `json:"token_min"`
	TokenMedian float64 `json:"token_median"`
	TokenP95    int     `json:"token_p95"`
	TokenMax    int     `json:"token_max"`
	CharMin     int     `json:"char_min"`
	CharMedian  float64 `json:"char_median"`
	CharP95     int     `json:"char_p95"`
	CharMax     int     `json:"char_max"`
}

// lengths counts how often each length occurs, which makes percentiles exact.
// Its size is bounded by the square root of the text's: k different lengths
// take k*k/2 characters at least.
type lengths map[int]int

func (l lengths) summary() (least int, median float64, p95, most int) {
	values := slices.Sorted(maps.Keys(l))
	n := 0
	for _, v := range values {
		n += l[v]
	}
	// at returns the i-th smallest length, i from 1 to n.
	at := func(i int) int {
		for _, v := range values {
			if i -= l[v]; i <= 0 {
				return v
			}
		}
		return values[len(values)-1]
	}
	median = (float64(at((n+1)/2)) + float64(at(n/2+1))) / 2
	return values[0], median, at((95*n + 99) / 100), values[len(values)-1]
}

// stats gathers what report.json says.
type stats struct {
	schema string
	tokens map[string]lengths
	chars  map[string]lengths
	rows   int
	unique map[uint64]struct{}
	pii    pii.Counts
}

func newStats(schema string) *stats {
	s := &stats{schema: schema, tokens: map[string]lengths{}, chars: map[string]lengths{}, unique: map[uint64]struct{}{}}
	for _, f := range schemaFields(schema) {
		s.tokens[f], s.chars[f] = lengths{}, lengths{}
	}
	return s
}

// schemaFields lists the fields of a row in their order.
func schemaFields(schema string) []string {
	if schema == dataset.SFT {
		return []string{"instruction", "input", "output"}
	}
	return []string{"text", "label"}
}

func (s *stats) add(r *dataset.Row, id uint64) {
	s.rows++
	s.unique[id] = struct{}{}
	s.pii.Add(pii.CountRow(r))
	texts := []string{r.Text, r.Label}
	if s.schema == dataset.SFT {
		texts = []string{r.Instruction, r.Input, r.Output}
	}
	for i, name := range schemaFields(s.schema) {
		if texts[i] != "" {
			s.tokens[name][words(texts[i])]++
			s.chars[name][utf8.RuneCountInString(texts[i])]++
		}
	}
}

// words counts the words of a text.
func words(s string) int {
	n := 0
	for range strings.FieldsSeq(s) {
		n++
	}
	return n
}

func (s *stats) report() report {
	r := report{
		Rows: s.rows, Schema: s.schema, Fields: canonical.Object{},
		Duplicates: s.rows - len(s.unique), Unique: len(s.unique),
		PII: s.pii, PIIHits: s.pii.Total(), Clean: s.pii.Total() == 0,
	}
	if s.rows > 0 {
		r.DuplicateRate = float64(r.Duplicates) / float64(s.rows)
	}
	for _, f := range schemaFields(s.schema) {
		if len(s.chars[f]) == 0 {
			continue
		}
		var v fieldStats
		v.TokenMin, v.TokenMedian, v.TokenP95, v.TokenMax = s.tokens[f].summary()
		v.CharMin, v.CharMedian, v.CharP95, v.CharMax = s.chars[f].summary()
		r.Fields = append(r.Fields, canonical.Member{Key: f, Value: v})
	}
	return r
}
