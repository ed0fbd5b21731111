// Package filter is the language of the filter line: words, which are matched
// fuzzily, and predicates such as status:completed, f1>0.7 or name~warm. All of
// them must hold.
package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sahilm/fuzzy"
)

// Value is what a row has under a key: a text or a number.
type Value struct {
	Text   string
	Number float64
	// IsNumber says that Number holds the value; Text may hold it as well.
	IsNumber bool
	// OneOf lists what the text can be, nil where it can be anything.
	OneOf []string
}

// Row is what a query is asked about.
type Row interface {
	// Words is the text that words are looked for in.
	Words() string
	// Field returns the value of a key, false where the row has none.
	Field(key string) (Value, bool)
}

// Query is a filter that was understood. The zero value matches every row.
type Query struct {
	words      []string
	predicates []predicate
}

type predicate struct {
	key, op, text string
	number        float64
	isNumber      bool
}

// Error says what is wrong with a filter, and where: the range of bytes.
type Error struct {
	From, To int
	Reason   string
}

// Error implements error.
func (e *Error) Error() string { return e.Reason }

// operators, the longer ones first.
var operators = []string{">=", "<=", "!=", ">", "<", "=", ":", "~"}

// Parse reads a filter. The error is an *Error; what was understood before and
// after it is in the query all the same, so that a filter works while it is
// typed.
func Parse(s string) (Query, error) {
	var q Query
	var first error
	for from := 0; from < len(s); {
		if s[from] == ' ' {
			from++
			continue
		}
		to := from
		for quoted := false; to < len(s) && (quoted || s[to] != ' '); to++ {
			if s[to] == '"' {
				quoted = !quoted
			}
		}
		if err := q.term(strings.ReplaceAll(s[from:to], `"`, "")); err != "" && first == nil {
			first = &Error{From: from, To: to, Reason: err}
		}
		from = to
	}
	return q, first
}

// term adds a term and returns what is wrong with it.
func (q *Query) term(s string) string {
	at, op := split(s)
	if at < 0 {
		q.words = append(q.words, s)
		return ""
	}
	p := predicate{key: strings.ToLower(s[:at]), op: op, text: s[at+len(op):]}
	switch {
	case p.key == "":
		return fmt.Sprintf("%s needs a name before it, as in f1%s0.7", op, op)
	case p.text == "":
		return fmt.Sprintf("%s%s needs a value after it", s[:at], op)
	}
	p.number, p.isNumber = parseNumber(p.text)
	if !p.isNumber && strings.ContainsAny(op, "<>") {
		return fmt.Sprintf("%s%s needs a number, not %s", s[:at], op, p.text)
	}
	q.predicates = append(q.predicates, p)
	return ""
}

// split finds the first operator.
func split(s string) (at int, op string) {
	for i := range len(s) {
		for _, op := range operators {
			if strings.HasPrefix(s[i:], op) {
				return i, op
			}
		}
	}
	return -1, ""
}

// parseNumber reads a number, a percentage or a duration in seconds.
func parseNumber(s string) (float64, bool) {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return n, n == n
	}
	if rest, ok := strings.CutSuffix(s, "%"); ok {
		n, err := strconv.ParseFloat(rest, 64)
		return n / 100, err == nil && n == n
	}
	if rest, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(rest, 64)
		return n * 24 * 3600, err == nil && n == n
	}
	d, err := time.ParseDuration(s)
	return d.Seconds(), err == nil
}

// Empty says whether the query matches everything.
func (q Query) Empty() bool { return len(q.words) == 0 && len(q.predicates) == 0 }

// Keys lists the keys that predicates ask for.
func (q Query) Keys() []string {
	var out []string
	for _, p := range q.predicates {
		if !slices.Contains(out, p.key) {
			out = append(out, p.key)
		}
	}
	return out
}

// Match says whether a row passes. A row without a value for a key fails every
// predicate on it but !=.
func (q Query) Match(r Row) bool {
	for _, p := range q.predicates {
		v, ok := r.Field(p.key)
		if !ok {
			if p.op != "!=" {
				return false
			}
			continue
		}
		if !p.holds(v) {
			return false
		}
	}
	if len(q.words) > 0 {
		text := []string{r.Words()}
		for _, w := range q.words {
			if !word(w, text) {
				return false
			}
		}
	}
	return true
}

// word matches a word as it is, or else, when it has letters only, letter by
// letter in order within a stretch twice its length: what is further apart, or
// a number in pieces, is chance.
func word(w string, text []string) bool {
	if strings.Contains(strings.ToLower(text[0]), strings.ToLower(w)) {
		return true
	}
	if len(w) < 3 || strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsLetter(r) }) {
		return false
	}
	found := fuzzy.FindNoSort(w, text)
	if len(found) == 0 {
		return false
	}
	at := found[0].MatchedIndexes
	return at[len(at)-1]-at[0] < 2*len(w)
}

func (p predicate) holds(v Value) bool {
	if p.op == ":" && v.OneOf != nil {
		return p.picks(v.Text, v.OneOf)
	}
	if p.op == "~" || p.op == ":" && !(v.IsNumber && p.isNumber) {
		return strings.Contains(strings.ToLower(v.Text), strings.ToLower(p.text))
	}
	if v.IsNumber && p.isNumber {
		switch p.op {
		case ">":
			return v.Number > p.number
		case "<":
			return v.Number < p.number
		case ">=":
			return v.Number >= p.number
		case "<=":
			return v.Number <= p.number
		case "!=":
			return v.Number != p.number
		}
		return v.Number == p.number
	}
	switch p.op {
	case "=":
		return strings.EqualFold(v.Text, p.text)
	case "!=":
		return !strings.EqualFold(v.Text, p.text)
	}
	return false
}

// picks says whether the predicate names a value of a closed set: all of it, or
// how it alone begins.
func (p predicate) picks(value string, set []string) bool {
	begins := func(s string) bool { return strings.HasPrefix(strings.ToLower(s), strings.ToLower(p.text)) }
	return strings.EqualFold(value, p.text) || begins(value) &&
		!slices.ContainsFunc(set, func(other string) bool { return begins(other) && !strings.EqualFold(other, value) })
}
