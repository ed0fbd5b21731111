package core

import (
	"context"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
)

// Decision is a verdict with its reasons and its gates.
type Decision = decision.Decision

// DecideOptions says what to judge and by what. Only Run is needed.
type DecideOptions struct {
	Run           string // run directory, or the id or name of a run in RunsDir
	Baseline      string // run to compare with, likewise
	RunsDir       string // where ids and names are looked up; empty means "runs"
	Contamination string // contamination.json, or its folder
	Report        string // report.json of the data set, or its folder
	Policy        string // ship.yaml; empty: the contract's default criteria
	// Criteria are limits that win over the policy and the defaults, by name
	// (min_f1, max_eval_loss, ...); nil switches one off. Numbers may be
	// json.Number.
	Criteria map[string]any
	// DryRun leaves the run alone; otherwise the decision is written to
	// decision/ of the run.
	DryRun bool
}

// Decide judges a run. The exit code of the verdict is in the decision; an error
// means that there is none - a limit out of range, a source that was named and
// cannot be read - and calls for exit code 4 (decision.ExitToolError).
func Decide(ctx context.Context, opt DecideOptions) (*Decision, error) {
	criteria := decision.DefaultCriteria()
	var policy *decision.Policy
	if opt.Policy != "" {
		var err error
		if policy, err = decision.LoadPolicy(opt.Policy); err != nil {
			return nil, err
		}
		criteria = policy.ShipIf
	}
	if err := criteria.Override(opt.Criteria); err != nil {
		return nil, &ConfigError{Detail: fault.Detail{Op: "decide", Err: err, Hint: "check the limits"}}
	}
	var err error
	if opt.Run, err = FindRun(opt.Run, opt.RunsDir); err != nil {
		return nil, err
	}
	if opt.Baseline != "" {
		if opt.Baseline, err = findRun("find baseline", opt.Baseline, opt.RunsDir); err != nil {
			return nil, err
		}
	}
	in, err := decision.Gather(ctx, decision.Sources{Run: opt.Run, Baseline: opt.Baseline,
		Contamination: opt.Contamination, Report: opt.Report}, criteria, policy)
	if err != nil {
		return nil, err
	}
	d := decision.Decide(in)
	if opt.DryRun {
		return d, nil
	}
	if err := decision.Write(opt.Run, d); err != nil {
		return nil, &EvalError{Detail: fault.Detail{Op: "decide", Path: opt.Run, Err: err, Hint: "check free space and permissions"}}
	}
	return d, nil
}
