package decision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/verifily/verifily-tui/core/fault"
)

// nodeKind is what a value of the file is.
type nodeKind int

const (
	nullNode nodeKind = iota
	truthNode
	numberNode
	textNode
	listNode
	mapNode
	alienNode // what a policy does not use: aliases, tags, dates, infinities
)

// node is a value of the file with its place.
type node struct {
	kind    nodeKind
	text    string
	number  Number
	pairs   []nodePair
	line    int
	keyLine int // of the key, where there is one
}

type nodePair struct {
	key   string
	line  int
	value *node
}

// describe says what the value is, for a message.
func (n *node) describe() string {
	switch n.kind {
	case nullNode:
		return "empty"
	case truthNode, numberNode:
		return n.text
	case textNode:
		return "the text " + shortQuote(n.text)
	case listNode:
		return "a list"
	case mapNode:
		return "a mapping"
	}
	return n.text
}

func shortQuote(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "..."
	}
	return strconv.Quote(s)
}

func (n *node) couldBeNumber() bool {
	_, err := strconv.ParseFloat(n.text, 64)
	return err == nil
}

// maxNesting is more than any policy nests.
const maxNesting = 8

// parseYAML reads one document. Aliases are never expanded, so the result is
// no larger than the text.
func parseYAML(data []byte) (*node, *fault.Problem) {
	const start = "a policy starts like this: ship_if: {min_f1: 0.5}"
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, &fault.Problem{Reason: "the file is empty", Hint: start}
	case err != nil:
		return nil, syntaxProblem(err)
	}
	switch err := dec.Decode(&next); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntaxProblem(err)
	default:
		return nil, &fault.Problem{Line: next.Line, Reason: "a second YAML document begins", Hint: "keep one policy a file"}
	}
	root := nodeOf(doc.Content[0], 0)
	if root.kind != mapNode {
		return nil, &fault.Problem{Line: root.line, Reason: "the file holds " + root.describe() + ", not keys with values", Hint: start}
	}
	return root, nil
}

var yamlError = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

func syntaxProblem(err error) *fault.Problem {
	text := err.Error()
	found := yamlError.FindStringSubmatch(text)
	p := &fault.Problem{Line: 1, Reason: "not valid YAML: " + quiet(text)}
	if found == nil {
		return p
	}
	reason := strings.TrimPrefix(text, found[0])
	p.Reason = "not valid YAML: " + quiet(reason)
	if found[1] != "" {
		p.Line, _ = strconv.Atoi(found[1])
		if strings.HasPrefix(reason, "did not find expected") { // its parser counts from 0
			p.Line++
		}
	}
	switch {
	case strings.Contains(reason, "cannot start any token"):
		p.Hint = "indent with spaces"
	case strings.Contains(reason, "mapping values are not allowed"), strings.Contains(reason, "did not find expected key"):
		p.Hint = "check the indentation"
	case strings.Contains(reason, "',' or"):
		p.Hint = "a bracket or brace is not closed"
	}
	return p
}

func nodeOf(n *yaml.Node, depth int) *node {
	out := &node{line: n.Line, kind: alienNode}
	switch {
	case depth > maxNesting:
		out.text = "a deeply nested value"
		return out
	case n.Kind == yaml.AliasNode:
		out.text = "an alias"
		return out
	case n.Style&yaml.TaggedStyle != 0:
		out.text = "a value with a tag"
		return out
	}
	switch n.Kind {
	case yaml.ScalarNode:
		scalar(n, out)
	case yaml.SequenceNode:
		out.kind = listNode
	case yaml.MappingNode:
		out.kind = mapNode
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			name := key.Value
			if key.Kind != yaml.ScalarNode {
				name = "?"
			}
			out.pairs = append(out.pairs, nodePair{name, key.Line, nodeOf(n.Content[i+1], depth+1)})
		}
	}
	return out
}

func scalar(n *yaml.Node, out *node) {
	out.text = n.Value
	switch n.ShortTag() {
	case "!!null":
		out.kind = nullNode
	case "!!bool":
		out.kind, out.text = truthNode, strings.ToLower(n.Value)
	case "!!str", "!!timestamp":
		out.kind = textNode
	case "!!int":
		if decimalInt.MatchString(n.Value) {
			out.setNumber(json.Number(strings.TrimPrefix(n.Value, "+")))
		} else {
			out.text = fmt.Sprintf("%s, which readers of YAML understand differently", n.Value)
		}
	case "!!float":
		var f float64
		if n.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			out.text = quiet(n.Value)
			return
		}
		out.setNumber(f)
	default:
		out.text = "a value of an unusual kind"
	}
}

var decimalInt = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)

func (n *node) setNumber(v any) {
	number, err := NewNumber(v)
	if err == nil {
		n.kind, n.number, n.text = numberNode, number, number.String()
	}
}

// meant names the known word that was probably meant.
func meant(word string, known []string) string {
	near, close := nearest(word, known)
	if close {
		return "did you mean " + near + "?"
	}
	return "the nearest known key is " + near
}

// nearest returns the known word with the smallest edit distance, the first of
// equals, and whether it is close enough to be a slip of the hand.
func nearest(word string, known []string) (near string, close bool) {
	word = strings.ToLower(word)
	best := -1
	for _, k := range known {
		if d := distance(word, k); best < 0 || d < best {
			near, best = k, d
		}
	}
	return near, best >= 0 && best <= max(1, len(word)/3)
}

// distance is the number of insertions, deletions and substitutions between
// two words, of which the first 64 bytes count.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
