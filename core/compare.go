package core

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
)

// CompareOptions says what to compare. The zero value of a field stands for the
// customary choice.
type CompareOptions struct {
	// Runs lists two or more runs, the base first: paths, or ids or names of
	// runs in RunsDir.
	Runs      []string
	RunsDir   string   // where ids are looked up; empty means "runs"
	Metric    string   // by which slices are compared; empty means f1 or accuracy
	SliceBy   []string // tag keys, also crossed as a*b; nil means those of the base's evaluation
	Resamples int      // of a bootstrap; 0 means 10,000
	Seed      *int64   // of the random numbers; nil means 42
	Alpha     float64  // level of the tests; 0 means 0.05
	MinSlice  int      // size under which a slice is not tested; 0 means the base's eval.min_slice
}

// CompareResult is the outcome of Compare; WriteTable, WriteJSON, WriteCSV and
// WriteMarkdown write it.
type CompareResult = compare.Result

// Compare sets runs side by side: metrics and slices with intervals and tests of
// their differences, what went into the runs, and which examples one gets right
// and the other does not. It writes nothing.
func Compare(ctx context.Context, opt CompareOptions) (*CompareResult, error) {
	list := make([]*runs.Run, 0, len(opt.Runs))
	for _, name := range opt.Runs {
		run, err := findRun(name, opt.RunsDir)
		if err != nil {
			return nil, err
		}
		list = append(list, run)
	}
	return compare.Runs(ctx, list, compare.Options{Metric: opt.Metric, SliceBy: opt.SliceBy, Resamples: opt.Resamples,
		Seed: opt.Seed, Alpha: opt.Alpha, MinSlice: opt.MinSlice})
}

// findRun opens a run by its path, or by its id or name among the runs in dir.
func findRun(name, dir string) (*runs.Run, error) {
	run, err := runs.Open(name)
	if err == nil {
		return run, nil
	}
	if !errors.Is(err, runs.ErrNotRun) && !errors.Is(err, fs.ErrNotExist) {
		return nil, evalError("open run", name, err, "check the permissions of the folder")
	}
	if dir == "" {
		dir = "runs"
	}
	entries, listErr := runs.List(dir)
	if listErr != nil {
		return nil, evalError("list runs", dir, listErr, "")
	}
	var found, known []string
	for _, e := range entries {
		known = append(known, e.Name)
		if e.Name == name || e.Meta.RunID == name && name != "" {
			return openFound(e.Dir)
		}
		if e.Meta.RunName == name && name != "" {
			found = append(found, e.Dir)
		}
	}
	switch len(found) {
	case 1:
		return openFound(found[0])
	case 0:
		hint := "name a run directory, or the id or name of a run in " + filepath.Clean(dir)
		if len(known) > 0 {
			hint += ", such as " + strings.Join(known[:min(len(known), 3)], ", ")
		}
		return nil, &EvalError{Detail: fault.Detail{Op: "find run", Path: name, Reason: "there is no such run", Hint: hint}}
	}
	return nil, &EvalError{Detail: fault.Detail{Op: "find run", Path: dir,
		Reason: fmt.Sprintf("%d runs have the name %s", len(found), strconv.Quote(name)), Hint: "use their paths: " + strings.Join(found, ", ")}}
}

func openFound(dir string) (*runs.Run, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, evalError("open run", dir, err, "")
	}
	return run, nil
}
