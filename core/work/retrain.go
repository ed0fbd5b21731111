package work

import (
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/retrain"
)

// retrain retrains. A later attempt first looks for what an earlier one has
// published: the run has the id of its job.
func (w *worker) retrain(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
	var req retrainInput
	if err := decode(a, &req); err != nil {
		return nil, err
	}
	opt := retrainOptions(a, req)
	opt.RunsDir, opt.Events = w.runsDir, relay(a.Report)
	if a.Number > 1 {
		res, err := w.adopt(ctx, a, &opt)
		if err != nil {
			return nil, err
		}
		if res != nil {
			return res.JSON()
		}
	}
	res, err := core.Retrain(ctx, opt)
	if err != nil {
		return nil, err
	}
	a.Made(res.RunDir, func(recorded string) error { return takeBack(res.RunDir, recorded) })
	return res.JSON()
}

func retrainOptions(a *jobs.Attempt, req retrainInput) core.RetrainOptions {
	opt := core.RetrainOptions{DatasetDir: req.DatasetDir, BaseRunDir: text(req.BaseRunDir), ContaminatedRunDir: text(req.ContaminatedRunDir),
		Mode: req.Mode, OutputDir: text(req.OutputDir), ProjectID: a.Job.ProjectID, Seed: req.Seed, Metric: req.Metric, Notes: req.Notes,
		RequestID: a.Job.RequestID, JobID: a.Job.ID, CI: req.CI, Privacy: req.Privacy}
	if req.Sent != nil {
		opt.Sent = &core.SentData{DatasetDir: req.Sent.DatasetDir, WorkingDir: req.Sent.WorkingDir}
	}
	return opt
}

// outputDir is where core.Retrain puts its runs.
func outputDir(opt *core.RetrainOptions) string {
	dir := opt.OutputDir
	if dir == "" {
		dir = filepath.Join(retrain.DefaultRoot, opt.ProjectID)
	}
	return filepath.Join(dir, "runs")
}
