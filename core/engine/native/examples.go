package native

import (
	"fmt"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine/native/bpe"
	"github.com/verifily/verifily-tui/core/fault"
)

// examples turns the rows of a file into sequences.
type examples struct {
	file   *dataset.File
	tok    *bpe.Tokenizer
	maxLen int            // tokens kept of a row
	labels map[string]int // classification: label to class
}

// sequence tokenises row i. An sft row is its prompt, its output and the end
// token, of which the output and the end token carry a loss; a classification
// row is its text. Rows longer than maxLen lose their end; whether row i did
// is the second result.
func (e *examples) sequence(i int) (sequence, bool, error) {
	row, err := e.file.Row(i)
	if err != nil {
		return sequence{}, false, err
	}
	// One token more than fits shows that the row is cut; the time that the rest
	// of a long text would take is saved.
	most := e.maxLen + 1
	s := sequence{label: -1, ids: e.tok.Encode(nil, e.tok.Head(row.Prompt(), most))}
	if e.file.Task() == dataset.Classification {
		label, ok := e.labels[row.Label]
		if !ok {
			return s, false, e.unknownLabel(row)
		}
		s.label = label
	} else {
		s.first = len(s.ids)
		if left := most - len(s.ids); left > 0 {
			s.ids = e.tok.Encode(s.ids, e.tok.Head(row.Output, left))
		}
		s.ids = append(s.ids, e.tok.EOS())
	}
	if err := e.tok.Err(); err != nil {
		return s, false, err
	}
	if len(s.ids) == 0 {
		return s, false, &fault.DataError{Detail: fault.Detail{Op: "tokenize", Path: e.file.Path(), Line: row.Line,
			Reason: "the text has no tokens"}}
	}
	cut := len(s.ids) > e.maxLen
	if cut {
		s.ids = s.ids[:e.maxLen]
		s.first = min(s.first, e.maxLen)
	}
	return s, cut, nil
}

func (e *examples) unknownLabel(row dataset.Row) error {
	known := make([]string, 0, len(e.labels))
	for l := range e.labels {
		known = append(known, fmt.Sprintf("%q", l))
	}
	slices.Sort(known)
	if len(known) > 12 {
		known = append(known[:12], "...")
	}
	return &fault.DataError{Detail: fault.Detail{Op: "read labels", Path: e.file.Path(), Line: row.Line,
		Reason: fmt.Sprintf("label %q does not occur in the training data", row.Label),
		Hint:   "known labels: " + strings.Join(known, ", ")}}
}

// prompt tokenises the prompt of row i for a response to follow. One of more
// than room tokens keeps its end, where the response starts; whether it was cut
// is the second result.
func (e *examples) prompt(i, room int) ([]int32, bool, error) {
	row, err := e.file.Row(i)
	if err != nil {
		return nil, false, err
	}
	ids := e.tok.Encode(nil, e.tok.Tail(row.Prompt(), room+1))
	return ids[max(0, len(ids)-room):], len(ids) > room, e.tok.Err()
}

// CheckLabels is a *fault.DataError when a row of file has a label that no row
// of the training data has.
func CheckLabels(train, file *dataset.File) error {
	return (&examples{file: file, labels: labelIndex(labelNames(train))}).checkLabels()
}

// checkLabels finds a label of the file that training does not know, before
// anything is computed.
func (e *examples) checkLabels() error {
	if e.file.Task() != dataset.Classification {
		return nil
	}
	for _, l := range e.file.Labels() {
		if _, ok := e.labels[l.Value]; ok {
			continue
		}
		for i := range e.file.Len() {
			if row, err := e.file.Row(i); err != nil {
				return err
			} else if row.Label == l.Value {
				return e.unknownLabel(row)
			}
		}
	}
	return nil
}

// labelIndex numbers the labels in sorted order.
func labelIndex(labels []string) map[string]int {
	index := make(map[string]int, len(labels))
	for i, l := range labels {
		index[l] = i
	}
	return index
}
