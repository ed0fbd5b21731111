package filter

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// RunRow is a row that is a run.
type RunRow interface {
	Row
	Entry() *runs.Entry
}

// Check says what of a query was hardly meant, empty where nothing is wrong: a
// key that NoRun tells of, or a value that neither its closed set nor a run of
// the list has. The list has one run at least.
func (q Query) Check(list iter.Seq[RunRow]) string {
	for _, p := range q.predicates {
		wrong := NoRun(p.key, list)
		if set := Closed[p.key]; set != nil {
			wrong = p.outside(set, list)
		}
		if wrong != "" {
			return wrong
		}
	}
	return ""
}

// outside says that neither a closed set nor a run has the value.
func (p predicate) outside(set []string, list iter.Seq[RunRow]) string {
	if p.op == "~" {
		return ""
	}
	if p.op == "!=" { // which names a value as well
		p.op = "="
	}
	known := func(s string) bool { v, _ := Choice(p.key, s); return p.holds(v) }
	if slices.ContainsFunc(set, known) {
		return ""
	}
	for r := range list {
		if v, ok := r.Field(p.key); ok && p.holds(v) {
			return ""
		}
	}
	says := fmt.Sprintf("no run has the %s %s; ", p.key, strconv.Quote(p.text))
	if near, close := config.Nearest(p.text, set); close {
		return says + "did you mean " + near + "?"
	}
	return says + "it is " + strings.Join(set[:len(set)-1], ", ") + " or " + set[len(set)-1]
}

// NoRun says that no run of a list has a key, and what was meant; it is
// empty where a run has it or may have it some day, as every key of a config and
// every metric.
func NoRun(key string, list iter.Seq[RunRow]) string {
	known := knownKeys()
	if slices.ContainsFunc(known, func(s string) bool { return strings.EqualFold(s, key) }) {
		return ""
	}
	names := map[string]bool{}
	for r := range list {
		if _, ok := r.Field(key); ok {
			return ""
		}
		for name := range r.Entry().Meta.Metrics {
			names[name] = true
		}
	}
	says, scores := fmt.Sprintf("no run has %s", strconv.Quote(key)), slices.Sorted(maps.Keys(names))
	if near, close := config.Nearest(key, append(scores, known...)); close {
		return says + "; did you mean " + near + "?"
	}
	if len(scores) > 0 && len(scores) <= mostScores {
		return says + "; the metrics are " + strings.Join(scores, ", ")
	}
	return says
}

// mostScores bounds how many metrics a message lists.
const mostScores = 12

// knownKeys lists the keys that a run can have whatever its data is.
func knownKeys() []string {
	var out []string
	for _, task := range metrics.Tasks() {
		out = append(out, metrics.Names(task)...)
	}
	out = append(append(out, RunKeys...), "decision")
	for _, key := range config.Keys() {
		out = append(out, key, key[strings.LastIndexByte(key, '.')+1:])
	}
	return append(out, slices.Sorted(maps.Keys(aliases))...)
}
