package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/text"
)

// document reads one YAML file and collects everything that is wrong with it.
type document struct {
	path     string
	problems []fault.Problem
}

func (d *document) report(line int, key, reason, hint string) {
	d.problems = append(d.problems, fault.Problem{Path: d.path, Line: line, Key: text.Escape(key), Reason: reason, Hint: hint})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// root returns the mapping that the file holds, nil when it holds none.
func (d *document) root(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	err := dec.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		d.report(0, "", "the file is empty", "a plan starts like this: jobs:")
		return nil
	case err == nil:
		if err = dec.Decode(&next); errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			d.report(next.Line, "", "a second YAML document begins", "keep one plan a file and remove the line ---")
			return nil
		}
	}
	if err != nil {
		line := 0
		found := yamlLine.FindStringSubmatch(err.Error())
		reason := err.Error()
		if found != nil {
			reason = strings.TrimPrefix(reason, found[0])
			line, _ = strconv.Atoi(found[1]) // 0 where the library names no line
		}
		d.report(line, "", "not valid YAML: "+text.Escape(reason), "check the indentation, the brackets and the quotes")
		return nil
	}
	n := doc.Content[0]
	if n.Kind != yaml.MappingNode {
		d.report(n.Line, "", "the file holds "+describe(n)+", not keys with values", "a plan starts like this: jobs:")
		return nil
	}
	return n
}

// entry is one key of a mapping with its value.
type entry struct {
	key   string
	line  int
	value *yaml.Node
}

// entries lists the keys of a mapping in their order; what is given twice
// counts once.
func (d *document) entries(n *yaml.Node, at string) []entry {
	if n.Kind != yaml.MappingNode {
		d.report(n.Line, at, "must hold keys of its own, not "+describe(n), "")
		return nil
	}
	var out []entry
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			d.report(key.Line, at, "a key must be plain text", "aliases and merge keys are not supported")
			continue
		}
		if first, twice := lines[key.Value]; twice {
			d.report(key.Line, join(at, key.Value), fmt.Sprintf("is set twice, first on line %d", first), "keep one of them")
			continue
		}
		lines[key.Value] = key.Line
		out = append(out, entry{key.Value, key.Line, value})
	}
	return out
}

// section reads a mapping whose keys are known: each is handed to its reader.
// A key that is empty counts as not given.
func (d *document) section(n *yaml.Node, at string, known map[string]func(entry)) {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, e := range d.entries(n, at) {
		read, ok := known[e.key]
		if !ok {
			near, close := config.Nearest(e.key, names)
			hint := "known are " + strings.Join(names, ", ")
			if close {
				hint = "did you mean " + near + "?"
			}
			d.report(e.line, join(at, e.key), "unknown key", hint)
			continue
		}
		if !empty(e.value) {
			e.key = join(at, e.key)
			read(e)
		}
	}
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

func empty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// text reads a text of one line that is not empty.
func (d *document) text(e entry) string {
	n := e.value
	switch {
	case n.Kind != yaml.ScalarNode:
		d.report(e.line, e.key, "must be text, not "+describe(n), "")
	case strings.TrimSpace(n.Value) == "":
		d.report(e.line, e.key, "must not be empty", "")
	case text.Escape(n.Value) != n.Value:
		d.report(e.line, e.key, "must be one line without control characters", "")
	default:
		return n.Value
	}
	return ""
}

// texts reads a list of texts, or one text as a list of one.
func (d *document) texts(e entry) []string {
	if e.value.Kind != yaml.SequenceNode {
		if s := d.text(e); s != "" {
			return []string{s}
		}
		return nil
	}
	out := []string{}
	for _, item := range e.value.Content {
		if s := d.text(entry{e.key, item.Line, item}); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// whole reads a whole number of at least least.
func (d *document) whole(e entry, least int) int {
	v, err := strconv.Atoi(e.value.Value)
	switch {
	case e.value.Kind != yaml.ScalarNode || err != nil:
		d.report(e.line, e.key, "must be a whole number, not "+describe(e.value), "")
	case v < least:
		d.report(e.line, e.key, fmt.Sprintf("must be at least %d, not %d", least, v), "")
	default:
		return v
	}
	return least
}

func (d *document) truth(e entry) bool {
	if e.value.Kind != yaml.ScalarNode || e.value.Tag != "!!bool" {
		d.report(e.line, e.key, "must be true or false, not "+describe(e.value), "")
		return false
	}
	return strings.EqualFold(e.value.Value, "true")
}

func (d *document) duration(e entry) time.Duration {
	v, err := time.ParseDuration(e.value.Value)
	if e.value.Kind != yaml.ScalarNode || err != nil || v <= 0 {
		d.report(e.line, e.key, "must be a time, not "+describe(e.value), "write it like 90m or 8h")
		return 0
	}
	return v
}

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) *([KMGT]?i?B)$`)

// size reads a number of bytes: 5GB, 512MiB.
func (d *document) size(e entry) int64 {
	found := sizePattern.FindStringSubmatch(e.value.Value)
	if e.value.Kind != yaml.ScalarNode || found == nil {
		d.report(e.line, e.key, "must be a size, not "+describe(e.value), "write it like 5GB or 512MiB")
		return 0
	}
	v, _ := strconv.ParseFloat(found[1], 64) // the pattern lets only numbers through
	base := 1000.0
	if strings.Contains(found[2], "i") {
		base = 1024
	}
	for range strings.Index("BKMGT", found[2][:1]) {
		v *= base
	}
	if v >= 1<<62 {
		d.report(e.line, e.key, "is too large", "")
		return 0
	}
	return int64(v)
}

// maxDepth is more than any value of a config nests.
const maxDepth = 6

// value reads what a config key is set to. Plain scalars stay as they are
// written (json.Number), so that the config resolves them by its own rules.
func (d *document) value(e entry, depth int) any {
	n := e.value
	switch {
	case depth > maxDepth:
		d.report(n.Line, e.key, "is nested too deeply", "")
	case n.Kind == yaml.AliasNode || n.Style&yaml.TaggedStyle != 0:
		d.report(n.Line, e.key, "aliases and tags are not supported", "write the value out")
	case n.Kind == yaml.ScalarNode && n.Style == 0:
		return json.Number(n.Value)
	case n.Kind == yaml.ScalarNode:
		return n.Value
	case n.Kind == yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			out = append(out, d.value(entry{e.key, item.Line, item}, depth+1))
		}
		return out
	case n.Kind == yaml.MappingNode:
		out := map[string]any{}
		for _, inner := range d.entries(n, e.key) {
			out[inner.key] = d.value(inner, depth+1)
		}
		return out
	}
	return nil
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if empty(n) {
		return "nothing"
	}
	return strconv.Quote(text.Line(n.Value, 40))
}
