package core

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
)

// Decision is a verdict with its reasons and its gates.
type Decision = decision.Decision

// DecideOptions says what to judge and by what. Only Run is needed.
type DecideOptions struct {
	Run           string // run directory, or the id or name of a run in RunsDir
	Baseline      string // run to compare with, likewise
	RunsDir       string // where ids and names are looked up; empty means "runs"
	Contamination string // contamination.json, or its folder; empty: that of the run, if it has one
	Report        string // report.json of the data set, or its folder
	Policy        string // ship.yaml; empty: the contract's default criteria
	// Criteria are limits that win over the policy and the defaults, by name
	// (min_f1, max_eval_loss, ...); nil switches one off. Numbers may be
	// json.Number.
	Criteria map[string]any
	// DryRun leaves the run alone; otherwise the decision is written to
	// decision/ of the run, and a line is added to its audit trail,
	// decision/audit_log.jsonl.
	DryRun bool
	// Note and Reviewer go into the audit trail and nowhere else: why it was
	// decided and by whom. Each may be empty, and holds decision.MaxNote bytes
	// at most.
	Note, Reviewer string
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
	if err := opt.checkNote(); err != nil {
		return nil, err
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
	if opt.Contamination == "" {
		opt.Contamination = decision.ContaminationIn(opt.Run)
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
	err = decision.Record(opt.Run, d, decision.Entry{Time: time.Now(), RunID: runID(opt.Run), Reviewer: opt.Reviewer, Note: opt.Note})
	if err != nil {
		hint := "check free space and permissions"
		if errors.Is(err, decision.ErrTrailChanged) {
			hint = "put the trail back, or move the folder decision/ of the run away to begin a new one"
		}
		return nil, &EvalError{Detail: fault.Detail{Op: "decide", Path: opt.Run, Err: err, Hint: hint}}
	}
	return d, nil
}

func (opt DecideOptions) checkNote() error {
	for _, field := range []struct{ name, value string }{{"note", opt.Note}, {"reviewer", opt.Reviewer}} {
		if len(field.value) > decision.MaxNote {
			return &ConfigError{Detail: fault.Detail{Op: "decide",
				Reason: fmt.Sprintf("the %s has %d bytes, %d are allowed", field.name, len(field.value), decision.MaxNote),
				Hint:   "say it in fewer words, and keep long texts in a file"}}
		}
	}
	return nil
}

// runID is what run_meta.json of a run calls it, else the name of its folder.
func runID(dir string) string {
	if run, err := runs.Open(dir); err == nil {
		if meta, err := run.Meta(); err == nil && meta.RunID != "" {
			return meta.RunID
		}
	}
	return filepath.Base(dir)
}
