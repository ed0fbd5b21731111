package artifact

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
)

// target is a field that values are looked for.
type target struct {
	name string
	// columns that may hold it, the best first. Names are compared without
	// regard to case.
	columns []string
	mapped  bool // Options.Map names the column
}

// The columns that are taken for a field without being told.
func targets(schema string) []target {
	if schema == dataset.Classification {
		return []target{{name: "text", columns: []string{"text"}}, {name: "label", columns: []string{"label"}}}
	}
	return []target{
		{name: "instruction", columns: []string{"instruction", "prompt"}},
		{name: "input", columns: []string{"input"}},
		{name: "output", columns: []string{"output", "response", "completion"}},
		{name: "question", columns: []string{"question"}},
		{name: "answer", columns: []string{"answer"}},
		{name: "context", columns: []string{"context"}},
	}
}

// columns says where the fields of a schema and the tags come from.
type columns struct {
	schema  string
	targets []target
	tags    []target // name is the tag's key
	// questions is true when the map asks for question and answer rows, so that
	// columns which happen to be called instruction and output do not win.
	questions bool
}

const tagPrefix = "tags."

func newColumns(schema string, given map[string]string) (*columns, error) {
	c := &columns{schema: schema, targets: targets(schema)}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		column := given[name]
		d := fault.Detail{Op: opIngest}
		key, isTag := strings.CutPrefix(name, tagPrefix)
		i := slices.IndexFunc(c.targets, func(t target) bool { return t.name == name })
		switch {
		case column == "":
			d.Reason, d.Hint = fmt.Sprintf("the map gives %q no column", name), "write FIELD=COLUMN"
			return nil, &fault.ConfigError{Detail: d}
		case isTag && key != "":
			c.tags = append(c.tags, target{name: key, columns: []string{column}, mapped: true})
		case i >= 0:
			c.targets[i].columns, c.targets[i].mapped = []string{column}, true
		default:
			d.Reason = fmt.Sprintf("the map has %q, which is no field of %s rows", name, schema)
			d.Hint = "the fields are " + c.fieldNames() + " and tags.KEY; write FIELD=COLUMN"
			return nil, &fault.ConfigError{Detail: d}
		}
	}
	mapped := func(names ...string) bool {
		return slices.ContainsFunc(c.targets, func(t target) bool { return t.mapped && slices.Contains(names, t.name) })
	}
	c.questions = mapped("question", "answer") && !mapped("instruction", "output")
	return c, nil
}

func (c *columns) fieldNames() string {
	var names []string
	for _, t := range c.targets {
		names = append(names, t.name)
	}
	return strings.Join(names, ", ")
}

// find returns the place of t among the names, or -1: the same name first, then
// one that differs in case alone.
func (t *target) find(names []string) int {
	for _, want := range t.columns {
		if i := slices.Index(names, want); i >= 0 {
			return i
		}
		if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, want) }); i >= 0 {
			return i
		}
	}
	return -1
}

// known counts the targets that names have a column for.
func (c *columns) known(names []string) int {
	n := 0
	for _, list := range [][]target{c.targets, c.tags} {
		for i := range list {
			if list[i].find(names) >= 0 {
				n++
			}
		}
	}
	return n
}

// unused lists the names that nothing is taken from.
func (c *columns) unused(names []string, format string) []string {
	out := []string{}
	for _, name := range names {
		takes := func(t target) bool {
			return slices.ContainsFunc(t.columns, func(s string) bool { return strings.EqualFold(s, name) })
		}
		known := strings.EqualFold(name, "id") || name == "tags" && format == JSONL
		if !known && !slices.ContainsFunc(c.targets, takes) && !slices.ContainsFunc(c.tags, takes) {
			out = append(out, name)
		}
	}
	return out
}

// checkHeader reports columns that a header must have and has not.
func (c *columns) checkHeader(g *ingest, line int) error {
	has := map[string]bool{}
	for _, list := range [][]target{c.targets, c.tags} {
		for i := range list {
			t := &list[i]
			found := t.find(g.names) >= 0
			has[t.name] = found
			if t.mapped && !found {
				return g.bad(line, fmt.Sprintf("there is no column %q, which the map gives for %s", t.columns[0], t.name), "the columns are "+quoted(g.names))
			}
		}
	}
	if c.schema == dataset.Classification && has["text"] && has["label"] ||
		has["instruction"] && has["output"] && !c.questions || has["question"] && has["answer"] {
		return nil
	}
	want := "text and label"
	if c.schema == dataset.SFT {
		want = "instruction and output, or question and answer"
	}
	return g.bad(line, fmt.Sprintf("no columns for %s", want),
		fmt.Sprintf("the columns are %s; name those to use with --map FIELD=COLUMN", quoted(g.names)))
}

// quoted lists names that came from data.
func quoted(names []string) string {
	const most = 20
	var b strings.Builder
	for i, n := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%.60q", n)
	}
	return b.String()
}
