// Package dataset reads the rows that a run trains and evaluates on, and finds
// and verifies the versioned data sets they belong to.
//
// What it promises:
//
//   - A file is streamed: memory grows with the number of rows (about twelve
//     bytes each), never with their length. Lines may be 16 MiB long.
//   - Every bad row is found in one pass. The error lists the first of them
//     with file, line and field, and says how many there are in all.
//   - Nothing is guessed: a text that is not valid UTF-8, a number where a text
//     belongs or a key given twice is a problem and never silently mended.
//   - Hashes of a manifest are verified before a row is used, and a file that
//     changes under an open File is noticed.
//   - Only regular files are read; a pipe or a device is refused without
//     blocking, and a path in a manifest cannot leave the manifest's folder.
//
// Errors a user can cause are *fault.DataError, and *fault.ConfigError where
// the argument itself is wrong. A cancelled context is returned as its own
// error, wrapped.
package dataset

import (
	"fmt"
	"strings"

	"github.com/verifily/verifily-tui/core/fault"
)

// The tasks, which say what fields a row has.
const (
	SFT            = "sft"            // instruction, output, optional input
	Classification = "classification" // text, label
)

// Row is one example. The fields of the other task are left empty.
type Row struct {
	Line int    // 1-based line in the file
	ID   string // empty when the row has none

	Instruction, Input, Output string // sft; Input may be empty
	Text, Label                string // classification

	Tags map[string]string // nil when the row has none
}

// Prompt returns what the model is given. For sft it is
//
//	### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n
//
// to which the output is appended for training; without an input the Input
// block is left out. For classification it is the text itself.
func (r Row) Prompt() string {
	if r.Instruction == "" {
		return r.Text
	}
	var b strings.Builder
	b.Grow(len(r.Instruction) + len(r.Input) + 64)
	b.WriteString("### Instruction:\n")
	b.WriteString(r.Instruction)
	if r.Input != "" {
		b.WriteString("\n\n### Input:\n")
		b.WriteString(r.Input)
	}
	b.WriteString("\n\n### Response:\n")
	return b.String()
}

// Source returns what the row asks, free of any prompt layout: the instruction,
// and after a line break the input when there is one (sft), or the text
// (classification). The `input` and the `input_hash` of a prediction are taken
// from it, so that they stay the same when the layout of prompts changes.
func (r Row) Source() string {
	switch {
	case r.Instruction == "":
		return r.Text
	case r.Input == "":
		return r.Instruction
	default:
		return r.Instruction + "\n" + r.Input
	}
}

// Reference returns what a prediction is compared with: the output (sft) or
// the label (classification).
func (r Row) Reference() string {
	if r.Instruction == "" {
		return r.Label
	}
	return r.Output
}

// checkTask returns a ConfigError for a task that has no rows.
func checkTask(op, task string) error {
	if task == SFT || task == Classification {
		return nil
	}
	return &fault.ConfigError{Detail: fault.Detail{
		Op:     op,
		Reason: fmt.Sprintf("unknown task %s", quote(task)),
		Hint:   "task is sft or classification",
	}}
}

// quote makes a piece of data safe and short enough for a message.
func quote(s string) string {
	const most = 60 // a name longer than this is no longer read
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return fmt.Sprintf("%+q", s)
}
