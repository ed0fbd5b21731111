// Package work is what the jobs of the queue do: retrain, train, evaluate and
// compare through package core.
//
// A job leaves the work of one, however often it was cut off and begun again: a
// retrain that was published is adopted, a training goes on from its last
// checkpoint in its own run directory, an evaluation replaces its own files.
package work

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/core/server/wire"
)

// The kinds of jobs. Their inputs are the requests of package wire.
const (
	Retrain = "RETRAIN" // wire.RetrainRequest
	Train   = "TRAIN"   // wire.TrainRequest
	Eval    = "EVAL"    // wire.EvalRequest
	Compare = "COMPARE" // wire.CompareRequest
)

// Options say how jobs find things.
type Options struct {
	RunsDir string // where runs are looked up by id or name; empty means "runs"
}

// Kinds returns the handlers for jobs.Options.Kinds.
func Kinds(opt Options) map[string]jobs.Handler {
	w := worker{runsDir: opt.RunsDir, published: newPublished()}
	return map[string]jobs.Handler{Retrain: w.retrain, Train: w.train, Eval: w.eval, Compare: w.compare}
}

// Heavy says which jobs take the whole machine, for jobs.Options.Heavy: all but
// mock retrains and comparisons.
func Heavy(kind string, input json.RawMessage) bool {
	switch kind {
	case Compare:
		return false
	case Retrain:
		var req wire.RetrainRequest
		return json.Unmarshal(input, &req) == nil && req.Mode == retrain.ModeReal
	}
	return true
}

// worker carries out jobs.
type worker struct {
	runsDir   string
	published *published
}

// decode reads the input of a job, strictly: what a handler does not know it
// cannot do.
func decode(a *jobs.Attempt, to any) error {
	dec := json.NewDecoder(bytes.NewReader(a.Job.Input))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(to); err != nil {
		return &core.ConfigError{Detail: fault.Detail{Op: "read input of job " + a.Job.ID, Err: err}}
	}
	return nil
}

// text is what a pointer of a request points to, or empty.
func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// eval evaluates a run. Its files replace those of an earlier attempt.
func (w *worker) eval(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
	var req wire.EvalRequest
	if err := decode(a, &req); err != nil {
		return nil, err
	}
	dir, err := core.FindRun(req.Run, w.runsDir)
	if err != nil {
		return nil, err
	}
	res, err := core.Evaluate(ctx, core.EvaluateOptions{RunPath: dir, TestData: text(req.TestData), Metrics: req.Metrics,
		SliceBy: req.SliceBy, HardExamples: req.HardExamples, OutputDir: text(req.OutputDir), Events: relay(a.Report)})
	if err != nil {
		return nil, err
	}
	if err := a.Record(ctx, res.Dir); err != nil {
		return nil, err
	}
	results, err := document(res.Dir, "eval_results.json")
	if err != nil {
		return nil, err
	}
	return json.Marshal(evaluation{JobType: Eval, RunDir: dir, EvalDir: res.Dir, Results: results})
}

// compare compares runs. It leaves nothing but its result.
func (w *worker) compare(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
	var req wire.CompareRequest
	if err := decode(a, &req); err != nil {
		return nil, err
	}
	res, err := core.Compare(ctx, core.CompareOptions{Runs: req.Runs, RunsDir: w.runsDir, Metric: text(req.Metric), SliceBy: req.SliceBy})
	if err != nil {
		return nil, err
	}
	var doc bytes.Buffer
	if err := res.WriteJSON(&doc); err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		JobType    string          `json:"job_type"`
		Comparison json.RawMessage `json:"comparison"`
	}{Compare, doc.Bytes()})
}
