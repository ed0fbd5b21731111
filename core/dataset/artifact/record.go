package artifact

import (
	"context"
	"fmt"
	"strings"

	"github.com/verifily/verifily-tui/core/dataset"
)

// problem is why a row cannot be used. Rows are counted by reason, so that it
// says nothing of the row; detail does.
type problem struct {
	reason, detail, key, hint string
}

var (
	tooLong = problem{reason: "too long", detail: fmt.Sprintf("longer than %d MiB", dataset.MaxLine>>20), hint: "split or shorten the text"}
	notUTF8 = problem{reason: "invalid UTF-8", hint: "save the file as UTF-8"}
)

// record is one row of the input.
type record struct {
	line    int
	problem problem // of the record as a whole; it has no values then
	names   []string

	fields  [][]byte         // CSV
	members []dataset.Member // JSONL
}

// value returns the text of a column; i is -1 for a column that is not there.
// Numbers and booleans of JSON are taken as they are written.
func (r *record) value(i int) (string, problem) {
	if i < 0 {
		return "", problem{}
	}
	if r.members == nil {
		return string(r.fields[i]), problem{}
	}
	m := r.members[i]
	for k := range r.members {
		if k != i && r.members[k].Key == m.Key {
			return "", problem{reason: "given twice: " + nameOf(m.Key), detail: "given twice", key: m.Key}
		}
	}
	return textOf(m)
}

// textOf returns the text that a JSON value is taken for.
func textOf(m dataset.Member) (string, problem) {
	switch m.Raw[0] {
	case '"':
		text, ok := m.Text()
		if !ok {
			return "", problem{reason: "half a character: " + nameOf(m.Key), detail: "half a surrogate pair is no character", key: m.Key}
		}
		return text, problem{}
	case '{', '[':
		return "", problem{reason: "not a text: " + nameOf(m.Key), detail: m.Kind() + " where a text belongs", key: m.Key}
	case 'n':
		return "", problem{}
	}
	return string(m.Raw), problem{}
}

// nameOf keeps a key that came from data short in a reason.
func nameOf(key string) string {
	const most = 40
	if runes := []rune(key); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return key
}

// row makes a row of a record. The tags of the row are its own and those of
// columns; the id is left to the caller.
func (c *columns) row(rec *record) (dataset.Row, problem) {
	if rec.problem.reason != "" {
		return dataset.Row{}, rec.problem
	}
	r := dataset.Row{Line: rec.line}
	var wrong problem
	get := func(name string) string {
		for i := range c.targets {
			if c.targets[i].name == name {
				text, p := rec.value(c.targets[i].find(rec.names))
				if wrong.reason == "" {
					wrong = p
				}
				return text
			}
		}
		return ""
	}
	var missing problem
	if c.schema == dataset.Classification {
		r.Text, r.Label = get("text"), strings.TrimSpace(get("label"))
		missing = firstBlank("text", r.Text, "label", r.Label)
	} else {
		missing = c.instruct(&r, get)
	}
	if wrong.reason == "" {
		wrong = c.readTags(rec, &r)
	}
	if wrong.reason != "" {
		return dataset.Row{}, wrong
	}
	return r, missing
}

// The instructions of rows that come as a question and have none.
const (
	instructQuestion = "Answer the question."
	instructContext  = "Answer the question using the context."
)

// instruct fills an sft row: instruction, input and output as they are, else
// question, answer and context, stripped.
func (c *columns) instruct(r *dataset.Row, get func(string) string) problem {
	r.Instruction = get("instruction")
	output, question, answer := get("output"), strings.TrimSpace(get("question")), strings.TrimSpace(get("answer"))
	direct := firstBlank("instruction", r.Instruction, "output", output)
	if direct.reason == "" && !c.questions {
		r.Output = output
		if input := get("input"); !blank(input) {
			r.Input = input
		}
		return problem{}
	}
	asked := firstBlank("question", question, "answer", answer)
	if asked.reason != "" {
		if question == "" && answer == "" && !c.questions {
			return direct
		}
		return asked
	}
	r.Input, r.Output = "Question:\n"+question, answer
	instruction := instructQuestion
	if context := strings.TrimSpace(get("context")); context != "" {
		r.Input = "Context:\n" + context + "\n\n" + r.Input
		instruction = instructContext
	}
	if r.Instruction = strings.TrimSpace(r.Instruction); r.Instruction == "" {
		r.Instruction = instruction
	}
	return problem{}
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// firstBlank names the first of pairs of name and text whose text is blank.
func firstBlank(pairs ...string) problem {
	for i := 0; i < len(pairs); i += 2 {
		if blank(pairs[i+1]) {
			return problem{reason: "missing " + pairs[i], detail: "is missing or empty", key: pairs[i]}
		}
	}
	return problem{}
}

func (c *columns) readTags(rec *record, r *dataset.Row) problem {
	set := func(key, value string) {
		if r.Tags == nil {
			r.Tags = map[string]string{}
		}
		r.Tags[key] = value
	}
	seen := false
	for _, m := range rec.members {
		if m.Key != "tags" || m.Raw[0] == 'n' {
			continue
		}
		if seen {
			return problem{reason: "given twice: tags", detail: "given twice", key: "tags"}
		}
		seen = true
		if m.Raw[0] != '{' {
			return problem{reason: "tags are no object", detail: m.Kind() + " where an object of texts belongs", key: "tags", hint: `for example {"source": "human"}`}
		}
		tags, err := dataset.Object(m.Raw)
		if err != nil {
			return problem{reason: "broken tags", detail: err.Error(), key: "tags"}
		}
		for _, t := range tags {
			text, p := textOf(t)
			if _, twice := r.Tags[t.Key]; twice {
				p = problem{reason: "given twice: a tag", detail: fmt.Sprintf("tag %.60q is given twice", t.Key), key: "tags"}
			}
			if p.reason != "" {
				p.key = "tags"
				return p
			}
			if t.Raw[0] != 'n' {
				set(t.Key, text)
			}
		}
	}
	for i := range c.tags {
		text, p := rec.value(c.tags[i].find(rec.names))
		if p.reason != "" {
			return p
		}
		if !blank(text) {
			set(c.tags[i].name, text)
		}
	}
	return problem{}
}

// maxColumns bounds the keys of a JSONL file that a manifest lists.
const maxColumns = 256

// scanJSONL hands every line of a JSONL file to take.
func (g *ingest) scanJSONL(ctx context.Context, take func(*record) error) error {
	seen := map[string]bool{}
	rec := &record{}
	return dataset.Lines(ctx, g.opt.Input, func(number int, text []byte, long bool) error {
		*rec = record{line: number, names: rec.names[:0]}
		if long {
			rec.problem = tooLong
			return take(rec)
		}
		members, err := dataset.Object(text)
		if err != nil {
			rec.problem = problem{reason: "not a JSON object", detail: err.Error(), hint: "every line is one JSON object"}
			if strings.HasPrefix(err.Error(), "not valid UTF-8") {
				rec.problem = notUTF8
			}
			return take(rec)
		}
		rec.members = members
		for _, m := range members {
			rec.names = append(rec.names, m.Key)
			if !seen[m.Key] && len(seen) < maxColumns {
				seen[m.Key] = true
				g.names = append(g.names, m.Key)
			}
		}
		return take(rec)
	})
}
