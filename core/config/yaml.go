package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// readYAML turns one YAML document into a mapping. Aliases are never expanded,
// so the result is no larger than the text. Problems have a line and a reason;
// with any of them the mapping is not to be used.
func readYAML(data []byte) (value, []fault.Problem) {
	if p, ok := badText(data); ok {
		return value{}, []fault.Problem{p}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return value{}, []fault.Problem{{Reason: "the file is empty", Hint: "a config needs at least task, base_model and data_paths.train or dataset_version"}}
	case err != nil:
		return value{}, []fault.Problem{syntaxProblem(data, err)}
	}
	var next yaml.Node
	switch err := dec.Decode(&next); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return value{}, []fault.Problem{syntaxProblem(data, err)}
	default:
		return value{}, []fault.Problem{{Line: next.Line, Reason: "a second YAML document begins",
			Hint: "keep one config a file and remove the line ---"}}
	}
	r := yamlReader{}
	root := r.value(doc.Content[0], 0)
	if r.problems == nil && root.kind != mapping {
		reason := "the file holds " + root.describe() + ", not keys with values"
		if root.kind == null {
			reason = "the file is empty"
		}
		return value{}, []fault.Problem{{Line: root.line, Reason: reason, Hint: "a config starts like this: task: sft"}}
	}
	return root, r.problems
}

// badText finds the first byte that is not UTF-8 or that YAML forbids.
func badText(data []byte) (fault.Problem, bool) {
	line := 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return fault.Problem{Line: line, Reason: fmt.Sprintf("the byte 0x%02x is not valid UTF-8", data[i]),
				Hint: "save the file as UTF-8"}, true
		case r == '\n':
			line++
		case r == '\ufeff' && i == 0:
		case r < ' ' && r != '\t' && r != '\r', r >= 0x7f && r <= 0x9f && r != 0x85, r == '\ufeff', r == '\ufffe', r == '\uffff':
			return fault.Problem{Line: line, Reason: fmt.Sprintf("the control character U+%04X is not allowed", r),
				Hint: "remove it, or write it escaped in double quotes"}, true
		}
		i += size
	}
	return fault.Problem{}, false
}

var (
	yamlError   = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)
	yamlAnchor  = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	parserError = regexp.MustCompile(`^(did not find expected (<|node content|'-' indicator|key$|',' or)|found undefined tag handle|found duplicate %)`)
)

// syntaxProblem reads line and reason out of an error of the YAML library. The
// library counts lines from 1 in the errors of its scanner and from 0 in those
// of its parser, and leaves a first line out.
func syntaxProblem(data []byte, err error) fault.Problem {
	found := yamlError.FindStringSubmatch(err.Error())
	if found == nil {
		return fault.Problem{Reason: printable(err.Error())}
	}
	reason := strings.TrimPrefix(err.Error(), found[0])
	line := 1
	if found[1] != "" {
		line, _ = strconv.Atoi(found[1])
		if parserError.MatchString(reason) {
			line++
		}
	}
	p := fault.Problem{Reason: "not valid YAML: " + printable(reason), Hint: syntaxHint(reason)}
	if m := yamlAnchor.FindStringSubmatch(reason); m != nil {
		if at := bytes.Index(data, []byte("*"+m[1])); at >= 0 {
			line = 1 + bytes.Count(data[:at], []byte("\n"))
		}
	}
	p.Line = min(line, 1+bytes.Count(data, []byte("\n")))
	return p
}

func syntaxHint(reason string) string {
	switch {
	case strings.Contains(reason, "cannot start any token"):
		return "indent with spaces, and put values that begin with @, ` or % in quotes"
	case strings.Contains(reason, "mapping values are not allowed"):
		return "check the indentation, and put values that hold a colon in quotes"
	case strings.Contains(reason, "could not find expected ':'"):
		return "every key is followed by a colon and a space"
	case strings.Contains(reason, "did not find expected key"):
		return "check the indentation"
	case strings.Contains(reason, "',' or"):
		return "a bracket or brace is not closed"
	case strings.Contains(reason, "unexpected end of stream"):
		return "a quote is not closed"
	}
	return ""
}

// yamlReader turns nodes into values and collects what a config must not use.
type yamlReader struct {
	problems []fault.Problem
}

func (r *yamlReader) refuse(n *yaml.Node, reason, hint string) value {
	r.problems = append(r.problems, fault.Problem{Line: n.Line, Reason: reason, Hint: hint})
	return value{kind: alien, text: "value that cannot be read", line: n.Line}
}

func (r *yamlReader) value(n *yaml.Node, depth int) value {
	if depth > maxDepth {
		return value{kind: alien, text: "deeply nested value", line: n.Line}
	}
	if n.Kind == yaml.AliasNode {
		return r.refuse(n, "aliases are not supported", "write the value out in place of *"+printable(n.Value))
	}
	if n.Style&yaml.TaggedStyle != 0 {
		return r.refuse(n, "tags such as "+quiet(n.Tag)+" are not supported", "write the plain value")
	}
	out := value{line: n.Line}
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			out.kind, out.text = text, n.Value
		} else {
			out = resolvePlain(n.Value)
			out.line = n.Line
		}
	case yaml.SequenceNode:
		out.kind = list
		for _, item := range n.Content {
			out.list = append(out.list, r.value(item, depth+1))
		}
	case yaml.MappingNode:
		out.kind = mapping
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			switch {
			case key.Tag == "!!merge":
				r.refuse(key, "merge keys are not supported", "write the keys out in place of <<")
			case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0:
				r.refuse(key, "a key must be plain text", "")
			default:
				out.pairs = append(out.pairs, pair{key.Value, key.Line, r.value(n.Content[i+1], depth+1)})
			}
		}
	}
	return out
}

// writeYAML renders an ordered tree of nil, bool, int, int64, float64, string,
// []any and canonical objects.
func writeYAML(tree canonical.Object) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(yamlNode(tree)); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func yamlNode(v any) *yaml.Node {
	switch v := v.(type) {
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}
	case int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(v)}
	case int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v, 10)}
	case float64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: yamlFloat(v)}
	case string:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}
		// Anything but the plainest text is quoted, so that every reader,
		// whatever its YAML version, sees the same text.
		if !plainText.MatchString(v) || oldBool.MatchString(v) || resolvePlain(v).kind != text {
			n.Style = yaml.DoubleQuotedStyle
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, item := range v {
			n.Content = append(n.Content, yamlNode(item))
		}
		return n
	case []canonical.Object:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v {
			n.Content = append(n.Content, yamlNode(item))
		}
		return n
	case canonical.Object:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, m := range v {
			n.Content = append(n.Content, yamlNode(m.Key), yamlNode(m.Value))
		}
		return n
	default:
		panic(fmt.Sprintf("config: no YAML form for %T", v))
	}
}

var (
	plainText = regexp.MustCompile(`^[A-Za-z./_][A-Za-z0-9./_:@-]*[A-Za-z0-9./_-]$|^[A-Za-z]$`)
	oldBool   = regexp.MustCompile(`^(?i:y|n|yes|no|on|off)$`) // of YAML 1.1
)

// yamlFloat writes the shortest decimal with a point in it: readers of YAML
// 1.1 take 1e-05 for text and 1.0e-05 for a number.
func yamlFloat(f float64) string {
	s := canonical.Float(f)
	if digits, exponent, ok := strings.Cut(s, "e"); ok && !strings.Contains(digits, ".") {
		return digits + ".0e" + exponent
	}
	return s
}
