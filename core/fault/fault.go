// Package fault holds the typed errors of the workbench.
//
// Every error that a user can cause carries where it happened, why, and what
// to do next. One switch in cmd turns the types into exit codes; package core
// re-exports them, so callers outside core never import this package.
package fault

import (
	"fmt"
	"strings"
)

// TrainError is what all typed errors of the workbench have in common
// (exported by package core as VerifilyTrainError).
type TrainError interface {
	error
	// Fault returns the place, the reason and the hint.
	Fault() *Detail
}

// Problem is one of several things wrong in one input.
type Problem struct {
	Path   string // file, may be empty
	Line   int    // 1-based, 0 when unknown
	Key    string // dotted key or field, may be empty
	Reason string
	Hint   string
}

// String renders "path:line: key: reason (hint)", leaving out what is unknown.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(place(p.Path, p.Line))
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Reason)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Detail says what was attempted, where it failed, why, and what helps.
type Detail struct {
	Op       string // what was attempted: "load config"
	Path     string // the file or folder concerned, may be empty
	Line     int    // 1-based line in Path, 0 when unknown
	Reason   string
	Hint     string // the next step for the user, may be empty
	Problems []Problem
	Err      error // the cause, may be nil
}

// Fault implements TrainError.
func (d *Detail) Fault() *Detail { return d }

// Unwrap returns the cause.
func (d *Detail) Unwrap() error { return d.Err }

// Error renders "op: path:line: reason: cause", then one indented line a
// problem. The hint is left to the caller that prints the error.
func (d *Detail) Error() string {
	var parts []string
	if d.Op != "" {
		parts = append(parts, d.Op)
	}
	if p := strings.TrimSuffix(place(d.Path, d.Line), ": "); p != "" {
		parts = append(parts, p)
	}
	if d.Reason != "" {
		parts = append(parts, d.Reason)
	}
	if d.Err != nil {
		parts = append(parts, d.Err.Error())
	}
	var b strings.Builder
	b.WriteString(strings.Join(parts, ": "))
	for _, p := range d.Problems {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

func place(path string, line int) string {
	switch {
	case path == "":
		return ""
	case line > 0:
		return fmt.Sprintf("%s:%d: ", path, line)
	default:
		return path + ": "
	}
}

// ConfigError: the configuration or the arguments are wrong. Exit code 1.
type ConfigError struct{ Detail }

// DataError: the data set or one of its rows is wrong. Exit code 2.
type DataError struct{ Detail }

// TrainingError: training could not start, go on or be resumed. Exit code 3.
type TrainingError struct{ Detail }

// EvalError: evaluation could not be done. Exit code 4.
type EvalError struct{ Detail }

// ReproduceError: a run could not be verified or repeated.
type ReproduceError struct{ Detail }
