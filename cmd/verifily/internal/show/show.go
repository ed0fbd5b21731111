// Package show tells the user what a command does and what came of it: as lines
// and tables for people, or as JSON for programs.
//
// Everything for the standard output goes through a Printer, so that the two
// ways cannot drift apart. Text that comes from data, models, files or errors
// is escaped here; callers hand it over as it is.
package show

import (
	"maps"
	"math"

	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// Printer tells what happens, in the order of the calls.
type Printer interface {
	// Started tells that a run directory exists.
	Started(Run)
	// Event tells what a Trainer or an evaluation reported.
	Event(engine.Event)
	// Planned tells the outcome of a dry run.
	Planned(engine.Plan)
	// Finished tells the result of training or evaluation.
	Finished(Result)
	// Compared and the others tell the outcome of the command that they are
	// named after. The error is one of putting it into form.
	Compared(Comparison) error
	Scanned(Contamination) error
	Ingested(*artifact.Summary) error
	Checked(Contract) error
	Decided(Verdict) error
	Retrained(Retrain) error
	Reproduced(Reproduction) error
	ListedRuns(Runs) error
	ShownRun(ShownRun) error
	// Failed tells why the command ends without a result.
	Failed(Failure)
}

// Run is a run directory.
type Run struct {
	Dir     string // as the user would type it
	Meta    runs.Meta
	Resumed bool
}

// Result is what training or evaluation left.
type Result struct {
	Run     Run
	Summary *runs.Summary // of training; nil for an evaluation alone
	Eval    *Evaluation   // nil when nothing was evaluated
}

// Evaluation is the outcome of an evaluation.
type Evaluation struct {
	Dir      string // of its files, as the user would type it
	Results  runs.EvalResults
	Hard     []runs.HardExample
	Lift     []metrics.TagLift // slices of the hard examples, the most frequent first
	SliceBy  []string          // tag keys in the order asked for
	MinSlice int               // slices with fewer examples say little
	Missing  map[string]int    // by metric, examples without a usable value; may be nil
}

// overall is every overall metric. Reading results from a file leaves out what
// is not a number and names it; here it is one again.
func (e *Evaluation) overall() map[string]float64 {
	all := maps.Clone(e.Results.Overall)
	if all == nil {
		all = map[string]float64{}
	}
	for name, what := range e.Results.NonFinite {
		if _, has := all[name]; has {
			continue
		}
		switch what {
		case "inf":
			all[name] = math.Inf(1)
		case "-inf":
			all[name] = math.Inf(-1)
		default:
			all[name] = math.NaN()
		}
	}
	return all
}
