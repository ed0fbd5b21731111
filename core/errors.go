// Package core is what the product does: train, evaluate, and - as it grows -
// compare, reproduce, retrain, decide and serve. It has no screen and no flags
// and never ends the process.
//
// Every error that a user can cause is one of the typed errors here, with the
// place, the reason and a hint. What a call writes is whole or absent: a run
// that could not start leaves nothing, and only a run that is finished says so.
package core

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// VerifilyTrainError is what all typed errors of this package have in common.
type VerifilyTrainError = fault.TrainError

// The typed errors. Each is returned as a pointer.
type (
	// ConfigError: the configuration or the arguments are wrong; so is a path to
	// resume from that is no run.
	ConfigError = fault.ConfigError
	// DataError: the data set or one of its rows is wrong.
	DataError = fault.DataError
	// TrainingError: training could not start, go on or be resumed: the output
	// folder cannot be written, the loss is not a number, the run to resume is
	// complete, being written or has a damaged checkpoint.
	TrainingError = fault.TrainingError
	// EvalError: evaluation could not be done.
	EvalError = fault.EvalError
	// ReproduceError: a run could not be verified or repeated.
	ReproduceError = fault.ReproduceError
)

func detail(op, path string, err error) fault.Detail {
	return fault.Detail{Op: op, Path: path, Err: bare(err, path)}
}

// evalError wraps what went wrong in an evaluation. Without a hint it has that
// of the cause.
func evalError(op, path string, err error, hint string) error {
	d := detail(op, path, err)
	var typed VerifilyTrainError
	if d.Hint = hint; hint == "" && errors.As(err, &typed) {
		d.Hint = typed.Fault().Hint
	}
	return &EvalError{Detail: d}
}

// cause is what went wrong with a path, without the path, which stands in the
// error already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// bare is an error about path without what it was about, where that stands in
// front of it already.
func bare(err error, path string) error {
	p, ok := err.(*fs.PathError)
	if ok && samePath(p.Path, path) {
		return p.Err
	}
	return err
}

// missing says that there is nothing at a path.
func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// samePath says whether two paths are the same, one perhaps relative.
func samePath(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y
}

// shown is a value of a config as a file would have it.
func shown(v any) string {
	if v == nil {
		return "not set"
	}
	data, err := canonical.Line(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}
