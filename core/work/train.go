package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// trained is the result of a training. The documents are those of the run
// directory.
type trained struct {
	JobType string          `json:"job_type"`
	RunDir  string          `json:"run_dir"`
	RunID   string          `json:"run_id"`
	Meta    json.RawMessage `json:"run_meta"`
	Results json.RawMessage `json:"eval_results"` // null: not evaluated
}

// evaluation is the result of an evaluation.
type evaluation struct {
	JobType string          `json:"job_type"`
	RunDir  string          `json:"run_dir"`
	EvalDir string          `json:"eval_dir"`
	Results json.RawMessage `json:"eval_results"`
}

// maxDocument bounds a document of a run directory that goes into a result, in
// bytes.
const maxDocument = 64 << 20

// document reads a JSON document that this program has written.
func document(path ...string) (json.RawMessage, error) {
	data, err := regular.Read(filepath.Join(path...), maxDocument)
	if err == nil && !json.Valid(data) {
		err = fmt.Errorf("%s is no JSON", filepath.Join(path...))
	}
	return data, err
}

// train trains. An attempt that was cut off left its run directory with the job;
// the next one goes on there.
func (w *worker) train(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
	opt, err := trainOptions(a)
	if err != nil {
		return nil, err
	}
	if err := w.takeUp(ctx, a, &opt); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opt.Started = func(run *runs.Run) {
		if err := a.Record(ctx, run.Dir()); err != nil {
			cancel(err)
		}
	}
	var run *runs.Run
	for {
		run, err = core.Train(ctx, opt)
		// The process that had the run may still be saving its checkpoint.
		if !errors.Is(err, runs.ErrLocked) || !sleep(ctx, lockRetry) {
			break
		}
	}
	if opt.ResumeFrom != "" && errors.Is(err, runs.ErrCompleted) {
		run, err = runs.Open(opt.ResumeFrom)
	}
	var cut *core.Interrupted
	if errors.As(err, &cut) {
		a.Leaves(fmt.Sprintf("its run %s can be resumed: verifily train --resume %[1]s", cut.RunDir))
	}
	if err != nil {
		return nil, err
	}
	return trainResult(run)
}

// lockRetry is how often a run is asked for that another process still writes.
const lockRetry = 100 * time.Millisecond

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func trainOptions(a *jobs.Attempt) (core.TrainOptions, error) {
	var req wire.TrainRequest
	if err := decode(a, &req); err != nil {
		return core.TrainOptions{}, err
	}
	opt := core.TrainOptions{ConfigPath: req.ConfigPath, OutputDir: text(req.OutputDir), JobID: a.Job.ID, Events: relay(a.Report)}
	if req.ConfigPath != "" {
		opt.WorkingDir = filepath.Dir(req.ConfigPath)
	}
	if req.Seed != "" {
		seed, err := req.Seed.Int64()
		if err != nil {
			return opt, &core.ConfigError{Detail: fault.Detail{Op: "train", Reason: "seed: must be an integer of 64 bits"}}
		}
		opt.Seed = &seed
	}
	if req.Config != nil {
		cfg, err := config.FromMap(req.Config)
		if err != nil {
			return opt, err
		}
		opt.Config = cfg
	}
	return opt, nil
}

// takeUp goes on with the run of an earlier attempt, where there is one.
func (w *worker) takeUp(ctx context.Context, a *jobs.Attempt, opt *core.TrainOptions) error {
	if a.Output == "" {
		return ctx.Err()
	}
	if _, err := os.Stat(filepath.Join(a.Output, "run_meta.json")); err != nil {
		return nil // it was never made, or somebody removed it
	}
	opt.ResumeFrom = a.Output
	if _, err := os.Stat(filepath.Join(a.Output, "config.yaml")); err == nil {
		// A run goes on with its own configuration; one that was killed early may
		// lack it.
		opt.Config, opt.ConfigPath, opt.OutputDir, opt.Seed = nil, "", "", nil
	}
	return nil
}

func trainResult(run *runs.Run) (json.RawMessage, error) {
	meta, err := run.Meta()
	if err != nil {
		return nil, err
	}
	out := trained{JobType: Train, RunDir: run.Dir(), RunID: meta.RunID}
	if out.Meta, err = document(run.Dir(), "run_meta.json"); err != nil {
		return nil, err
	}
	if out.Results, err = document(run.Dir(), "eval", "eval_results.json"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return json.Marshal(out)
}
