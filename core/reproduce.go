package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/reproduce"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/runs"
)

// ReproduceOptions says which run to verify or repeat. Only RunPath is needed.
type ReproduceOptions struct {
	// RunPath is the run directory of a training or a retrain, or the id or name
	// of a run in RunsDir.
	RunPath    string
	RunsDir    string // where ids and names are looked up; empty means "runs"
	VerifyOnly bool   // recompute the hashes and train nothing
	OutputDir  string // folder of the new run; default: beside the original
	// Tolerance is how far metrics may be apart, as a share of the original's
	// value (of 1 where it is smaller); nil: 0.01.
	Tolerance *float64
	Control   *engine.Control    // may be nil
	Events    func(engine.Event) // may be nil
	Started   func(*runs.Run)    // is told the new run directory; may be nil
}

// ReproduceResult is the outcome.
type ReproduceResult struct {
	// Verified says what the run's hashes are worth.
	Verified *reproduce.Report
	// Repeated compares the run with the new one; nil with VerifyOnly.
	Repeated *reproduce.Comparison
}

// Verdict is that of the comparison where there is one, else of the hashes. A run
// that is not what its hashes say is a mismatch, whatever it gives once more.
func (r *ReproduceResult) Verdict() reproduce.Verdict {
	if r.Repeated != nil && r.Verified.Verdict != reproduce.Mismatch {
		return r.Repeated.Verdict
	}
	return r.Verified.Verdict
}

// ExitCode is 0 for FULL MATCH and PARTIAL MATCH, else 2.
func (r *ReproduceResult) ExitCode() int { return r.Verdict().ExitCode() }

// Reproduce recomputes every hash of a run and, unless VerifyOnly is set, trains
// again from the run's config into a new run directory and compares the two.
// The original is never written to. The error is a *ReproduceError when the run
// cannot be verified or repeated; a mismatch is no error.
func Reproduce(ctx context.Context, opt ReproduceOptions) (*ReproduceResult, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	if opt.RunPath, err = FindRun(opt.RunPath, opt.RunsDir); err != nil {
		var missing *EvalError
		if errors.As(err, &missing) {
			err = &ReproduceError{Detail: missing.Detail}
		}
		return nil, err
	}
	report, err := reproduce.Verify(ctx, opt.RunPath, reproduce.Options{Environment: env})
	if err != nil {
		return nil, err
	}
	res := &ReproduceResult{Verified: report}
	if opt.VerifyOnly {
		return res, nil
	}
	run, err := runs.Open(opt.RunPath)
	if err != nil {
		return nil, &ReproduceError{Detail: detail("reproduce", opt.RunPath, err)}
	}
	if err := reproduce.Completed(run); err != nil {
		return nil, err
	}
	if err := repeatable(report); err != nil {
		return nil, err
	}
	repeated, err := opt.repeat(ctx, run)
	if err != nil {
		return nil, err
	}
	tolerance := reproduce.DefaultTolerance
	if opt.Tolerance != nil {
		tolerance = *opt.Tolerance
	}
	res.Repeated, err = reproduce.Compare(run.Dir(), repeated, tolerance)
	return res, err
}

// repeatable refuses a run whose config or data are not what they were: another
// training would say nothing about it.
func repeatable(report *reproduce.Report) error {
	for _, c := range report.Checks {
		if (c.Name == "config" || c.Name == "data") && c.Status != reproduce.Match {
			e := &ReproduceError{Detail: fault.Detail{Op: "reproduce", Path: report.Run,
				Reason: fmt.Sprintf("the %s is not what the run was made from", c.Name),
				Hint:   "restore it, or look at what differs with --verify-only"}}
			for _, d := range c.Differs {
				e.Problems = append(e.Problems, fault.Problem{Key: c.Name, Reason: d})
			}
			return e
		}
	}
	return nil
}

// repeat makes a new run like the given one and returns its directory.
func (opt *ReproduceOptions) repeat(ctx context.Context, run *runs.Run) (string, error) {
	spec, err := reproduce.RetrainOf(run)
	if err != nil {
		return "", err
	}
	if spec != nil {
		return opt.repeatRetrain(ctx, run, spec)
	}
	cfg, err := config.Load(filepath.Join(run.Dir(), "config.yaml"))
	if err != nil {
		return "", err
	}
	out := opt.OutputDir
	if out == "" && !sameFolder(cfg.Output.Dir, filepath.Dir(run.Dir())) {
		out = filepath.Dir(run.Dir())
	}
	meta, err := run.Meta()
	if err != nil {
		return "", &ReproduceError{Detail: detail("reproduce", run.Dir(), err)}
	}
	again, err := Train(ctx, TrainOptions{Config: cfg, OutputDir: out, WorkingDir: meta.WorkingDir, Repeats: runID(run.Dir()), Control: opt.Control,
		Events: opt.Events, Started: opt.Started})
	if err != nil {
		return "", err
	}
	return again.Dir(), nil
}

// sameFolder says whether two paths are the same, one perhaps relative.
func sameFolder(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y
}

func (opt *ReproduceOptions) repeatRetrain(ctx context.Context, run *runs.Run, spec *reproduce.Retrain) (string, error) {
	out := opt.OutputDir
	if out == "" {
		out = filepath.Dir(filepath.Dir(run.Dir())) // of OUTPUT/runs/retrain_NNNN
	}
	again := RetrainOptions{DatasetDir: spec.DatasetDir, BaseRunDir: spec.BaseRunDir, ContaminatedRunDir: spec.ContaminatedRunDir,
		Mode: spec.Mode, OutputDir: out, Seed: json.Number(spec.Seed), Metric: spec.Metric,
		Control: opt.Control, Events: opt.Events, Started: opt.Started}
	if spec.Mode == retrain.ModeReal {
		again.ConfigPath = filepath.Join(run.Dir(), "train", "config.yaml")
		if training, err := runs.Open(filepath.Join(run.Dir(), "train")); err == nil {
			if meta, err := training.Meta(); err == nil {
				again.WorkingDir = meta.WorkingDir
			}
		}
	}
	res, err := Retrain(ctx, again)
	if err != nil {
		return "", err
	}
	return res.RunDir, nil
}
