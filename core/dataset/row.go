package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/fault"
)

// fields are the names a row may use; each belongs to one task, or to both.
const (
	fieldInstruction = iota
	fieldInput
	fieldOutput
	fieldText
	fieldLabel
	fieldID
	fieldCount
)

var fieldNames = [fieldCount]string{"instruction", "input", "output", "text", "label", "id"}

// required lists the fields a row of the task must fill.
func required(task string) []int {
	if task == SFT {
		return []int{fieldInstruction, fieldOutput}
	}
	return []int{fieldText, fieldLabel}
}

// tagText is a tag before it is copied out of the line.
type tagText struct{ key, value []byte }

// rowParser reads one row after another. Its fields are parts of the last line
// given to parse (or of scratch) and are good until the next call.
type rowParser struct {
	task     string
	seen     [fieldCount]bool // of the other task too
	text     [fieldCount][]byte
	tagsSeen bool
	tags     []tagText
	scratch  []byte
	problems []fault.Problem
	foreign  bool // it is a row of the other task
}

// parse reads the JSON text of one row, and returns what is wrong with it;
// Path and Line of the problems are for the caller to fill in. Fields of the
// other task and unknown ones are ignored; null counts as not given.
func (p *rowParser) parse(line []byte) []fault.Problem {
	p.seen, p.text = [fieldCount]bool{}, [fieldCount][]byte{}
	p.tagsSeen, p.tags = false, p.tags[:0]
	p.scratch = p.scratch[:0]
	p.problems, p.foreign = nil, false

	if !utf8.Valid(line) {
		p.report("", "not valid UTF-8", "save the file as UTF-8")
		return p.problems
	}
	c := &cursor{data: line, depth: 1}
	if err := p.members(c); err != nil {
		p.problems = nil // what was met before a syntax error says little
		p.report("", syntaxReason(err), syntaxHint(line))
		return p.problems
	}
	if p.foreign = p.isForeign(); p.foreign {
		p.problems = nil
		p.report("", "is a row of task "+otherTask(p.task), "")
		return p.problems
	}
	for _, f := range required(p.task) {
		p.require(f)
	}
	return p.problems
}

// isForeign tells whether the row is one of the other task: it has the fields
// of that and none of those it should have.
func (p *rowParser) isForeign() bool {
	for _, f := range required(p.task) {
		if p.seen[f] {
			return false
		}
	}
	for _, f := range required(otherTask(p.task)) {
		if !p.seen[f] {
			return false
		}
	}
	return true
}

func otherTask(task string) string {
	if task == SFT {
		return Classification
	}
	return SFT
}

func (p *rowParser) members(c *cursor) error {
	if err := c.open(); err != nil {
		return err
	}
	for first := true; ; first = false {
		key, v, ok, err := c.member(first)
		if err != nil {
			return err
		}
		if !ok {
			return c.end()
		}
		name, clean := key.text(c.data, &p.scratch)
		if !clean {
			continue // no known name has half a surrogate pair in it
		}
		if string(name) == "tags" {
			p.readTags(c.data, v)
		} else if f := p.field(name); f >= 0 {
			p.readField(f, c.data, v)
		}
	}
}

// field returns the number of a name that means something for the task, or -1.
// Names of the other task are noted.
func (p *rowParser) field(name []byte) int {
	sft := p.task == SFT
	switch string(name) {
	case "instruction":
		return p.pick(sft, fieldInstruction)
	case "input":
		return p.pick(sft, fieldInput)
	case "output":
		return p.pick(sft, fieldOutput)
	case "text":
		return p.pick(!sft, fieldText)
	case "label":
		return p.pick(!sft, fieldLabel)
	case "id":
		return fieldID
	}
	return -1
}

func (p *rowParser) pick(own bool, f int) int {
	if own {
		return f
	}
	p.seen[f] = true
	return -1
}

func (p *rowParser) readField(f int, data []byte, v value) {
	name := fieldNames[f]
	if p.seen[f] {
		p.report(name, "given twice", "")
		return
	}
	p.seen[f] = true
	switch v.kind {
	case kindNull:
	case kindString:
		text, ok := v.text(data, &p.scratch)
		if !ok {
			p.report(name, "half a surrogate pair is no character", "escape the whole character, or write it in UTF-8")
			return
		}
		p.text[f] = text
	default:
		p.report(name, fmt.Sprintf("%s where a string belongs", v.kind), stringHint(v.kind))
		p.text[f] = v.raw(data) // said once is enough: it is not missing as well
	}
}

func stringHint(k kind) string {
	if k == kindNumber || k == kindBool {
		return "put it in double quotes"
	}
	return ""
}

func (p *rowParser) readTags(data []byte, v value) {
	if p.tagsSeen {
		p.report("tags", "given twice", "")
		return
	}
	p.tagsSeen = true
	switch v.kind {
	case kindNull:
		return
	case kindObject:
	default:
		p.report("tags", fmt.Sprintf("%s where an object of strings belongs", v.kind), `for example {"source": "human"}`)
		return
	}
	c := &cursor{data: data[:v.end], pos: v.start + 1}
	var names map[string]bool // only for objects too large to search
	for first := true; ; first = false {
		key, v, ok, err := c.member(first)
		if err != nil || !ok { // the text was checked when v was read
			return
		}
		name, clean := key.text(data, &p.scratch)
		if !clean {
			p.report("tags", "half a surrogate pair is no character", "")
			continue
		}
		if p.hasTag(name, &names) {
			p.report("tags", fmt.Sprintf("tag %s given twice", quote(string(name))), "")
			continue
		}
		tag := tagText{key: name}
		if v.kind != kindString {
			p.report("tags", fmt.Sprintf("tag %s: %s where a string belongs", quote(string(name)), v.kind), stringHint(v.kind))
		} else if tag.value, clean = v.text(data, &p.scratch); !clean {
			p.report("tags", fmt.Sprintf("tag %s: half a surrogate pair is no character", quote(string(name))), "")
		}
		p.tags = append(p.tags, tag)
	}
}

// hasTag reports whether name was met before, in constant time once there are
// many tags.
func (p *rowParser) hasTag(name []byte, names *map[string]bool) bool {
	const few = 16
	if len(p.tags) < few {
		for _, t := range p.tags {
			if bytes.Equal(t.key, name) {
				return true
			}
		}
		return false
	}
	if *names == nil {
		*names = make(map[string]bool, 2*few)
		for _, t := range p.tags {
			(*names)[string(t.key)] = true
		}
	}
	if (*names)[string(name)] {
		return true
	}
	(*names)[string(name)] = true
	return false
}

// require reports field f when it is missing or blank.
func (p *rowParser) require(f int) {
	if len(bytes.TrimSpace(p.text[f])) > 0 {
		return
	}
	for _, known := range p.problems {
		if known.Key == fieldNames[f] {
			return
		}
	}
	reason := "is missing"
	if p.text[f] != nil {
		reason = "is empty"
	}
	p.report(fieldNames[f], reason, rowHint(p.task))
}

// rowHint shows a whole row of the task.
func rowHint(task string) string {
	if task == SFT {
		return `a row of task sft is {"instruction": "...", "input": "...", "output": "..."}; input is optional`
	}
	return `a row of task classification is {"text": "...", "label": "..."}`
}

func (p *rowParser) report(key, reason, hint string) {
	p.problems = append(p.problems, fault.Problem{Key: key, Reason: reason, Hint: hint})
}

// row copies the last parsed row out of its line.
func (p *rowParser) row(line int) Row {
	r := Row{
		Line:        line,
		ID:          string(p.text[fieldID]),
		Instruction: string(p.text[fieldInstruction]),
		Input:       string(p.text[fieldInput]),
		Output:      string(p.text[fieldOutput]),
		Text:        string(p.text[fieldText]),
		Label:       string(p.text[fieldLabel]),
	}
	if len(p.tags) > 0 {
		r.Tags = make(map[string]string, len(p.tags))
		for _, t := range p.tags {
			r.Tags[string(t.key)] = string(t.value)
		}
	}
	return r
}

// syntaxReason renders a syntax error with its column.
func syntaxReason(err error) string {
	var s *syntaxError
	if errors.As(err, &s) {
		return fmt.Sprintf("broken JSON at byte %d: %s", s.offset+1, s.reason)
	}
	return "broken JSON: " + err.Error()
}

// syntaxHint guesses what kind of file this is instead of JSONL.
func syntaxHint(line []byte) string {
	trimmed := bytes.TrimSpace(line)
	switch {
	case bytes.IndexByte(line, 0) >= 0:
		return "this looks like a binary or a UTF-16 file; rows are UTF-8 text"
	case len(trimmed) > 0 && trimmed[0] == '[':
		return "this looks like a JSON list; write one object a line (JSONL)"
	case len(trimmed) == 1 && trimmed[0] == '{':
		return "this looks like indented JSON; write one whole object a line (JSONL)"
	default:
		return "every line is one JSON object"
	}
}
