package core

import (
	"context"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/runs"
)

// CompareOptions says what to compare. The zero value of a field stands for the
// customary choice.
type CompareOptions struct {
	// Runs lists two or more runs, the base first: paths, or ids or names of
	// runs in RunsDir.
	Runs      []string
	RunsDir   string   // where ids and names are looked up; empty means "runs"
	Metric    string   // by which slices are compared; empty means f1 or accuracy
	SliceBy   []string // tag keys, also crossed as a*b; nil means those of the runs' evaluations, the base's first
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
		path, err := FindRun(name, opt.RunsDir)
		if err != nil {
			return nil, err
		}
		run, err := runs.Open(path)
		if err != nil {
			return nil, evalError("open run", path, err, "name a run directory, or the id or name of a run")
		}
		list = append(list, run)
	}
	return compare.Runs(ctx, list, compare.Options{Metric: opt.Metric, SliceBy: opt.SliceBy, Resamples: opt.Resamples,
		Seed: opt.Seed, Alpha: opt.Alpha, MinSlice: opt.MinSlice})
}
