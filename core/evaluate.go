package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/engine/native"
	"github.com/verifily/verifily-tui/core/engine/native/bpe"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// EvaluateOptions says what to evaluate. The zero value of a field leaves the
// matter to the run's config.
type EvaluateOptions struct {
	RunPath      string   // run directory of a finished training
	TestData     string   // JSONL file; else the run's test data, else its validation data
	Metrics      []string // see eval.metrics
	SliceBy      []string // tag keys, also crossed as a*b
	HardExamples *int     // how many to keep
	Device       string   // see compute.device
	BatchSize    int      // see eval.batch_size
	OutputDir    string   // where the files go instead of eval/ of the run
	Events       func(engine.Event)
}

// EvalResult is the outcome of an evaluation.
type EvalResult struct {
	runs.EvalResults
	Hard      []runs.HardExample
	Confusion *runs.ConfusionMatrix
	// Missing counts, by metric, the examples without a usable value.
	Missing map[string]int
	// MinSlice is the size under which a slice says little.
	MinSlice int
	// Dir is where the files are.
	Dir string
}

// Evaluate lets the model of a run answer test data and writes predictions,
// metrics, slices and hard examples to eval/ of the run, or to OutputDir.
func Evaluate(ctx context.Context, opt EvaluateOptions) (*EvalResult, error) {
	run, err := runs.Open(opt.RunPath)
	if err != nil {
		return nil, evalError("open run", opt.RunPath, err, "name a run directory, such as runs/run_20260101_120000_abcdef")
	}
	meta, err := run.Meta()
	if err != nil {
		return nil, evalError("read run", opt.RunPath, err, "")
	}
	path := filepath.Join(run.Dir(), "config.yaml")
	if _, err := os.Stat(path); err != nil {
		return nil, evalError("read run", path, cause(err), "the run was not made by this program, or its config.yaml is gone")
	}
	cfg, err := config.Load(path, opt.overrides()...)
	if err != nil {
		return nil, err
	}
	if meta.ArtifactPath == "" {
		return nil, &EvalError{Detail: fault.Detail{Op: "evaluate", Path: opt.RunPath,
			Reason: fmt.Sprintf("the run has no trained weights; it is %s", meta.Status),
			Hint:   "finish it first: verifily train --resume " + opt.RunPath}}
	}
	path, err = opt.testPath(ctx, cfg)
	if err != nil {
		return nil, err
	}
	test, err := dataset.Open(ctx, path, cfg.Task)
	if err != nil {
		return nil, err
	}
	defer test.Close()
	e := evaluation{dir: run.Dir(), out: opt.OutputDir, runID: meta.RunID, cfg: cfg, engine: native.Engine{}, test: test, emit: opt.Events}
	if e.emit == nil {
		e.emit = func(engine.Event) {}
	}
	return e.run(ctx)
}

func evalError(op, path string, err error, hint string) error {
	return &EvalError{Detail: fault.Detail{Op: op, Path: path, Err: err, Hint: hint}}
}

func (opt *EvaluateOptions) overrides() []config.Override {
	var out []config.Override
	add := func(key string, value any, source string) {
		out = append(out, config.Override{Key: key, Value: value, Source: source})
	}
	if len(opt.Metrics) > 0 {
		add("eval.metrics", anySlice(opt.Metrics), "--metrics")
	}
	if len(opt.SliceBy) > 0 {
		add("eval.slice_by_tags", anySlice(opt.SliceBy), "--slice-by")
	}
	if opt.HardExamples != nil {
		add("eval.hard_examples", *opt.HardExamples, "--hard-examples")
	}
	if opt.Device != "" {
		add("compute.device", opt.Device, "--device")
	}
	if opt.BatchSize > 0 {
		add("eval.batch_size", opt.BatchSize, "--batch-size")
	}
	return out
}

func anySlice(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

// testPath finds the data to evaluate on.
func (opt *EvaluateOptions) testPath(ctx context.Context, cfg *config.Config) (string, error) {
	if opt.TestData != "" {
		return opt.TestData, nil
	}
	data, err := dataset.Resolve(ctx, dataset.Spec{Task: cfg.Task, Train: cfg.DataPaths.Train, Val: cfg.DataPaths.Val,
		Test: cfg.DataPaths.Test, DatasetVersion: cfg.DatasetVersion, SearchDir: cfg.Output.Dir})
	if err != nil {
		return "", err
	}
	defer data.Close()
	switch {
	case data.Test != nil:
		return data.Test.Path(), nil
	case data.Val != nil:
		return data.Val.Path(), nil
	}
	return "", &EvalError{Detail: fault.Detail{Op: "find test data", Path: opt.RunPath,
		Reason: "the run has neither test nor validation data", Hint: "name a file with --test-data"}}
}

// evaluation is one pass over test data.
type evaluation struct {
	dir    string // run directory
	out    string // where the files go, empty for eval/ of the run
	runID  string
	cfg    *config.Config
	engine engine.Trainer
	test   *dataset.File
	emit   func(engine.Event)
}

// run predicts, scores and writes.
func (e *evaluation) run(ctx context.Context) (*EvalResult, error) {
	start := time.Now()
	opt, err := e.metricOptions(ctx)
	if err != nil {
		return nil, err
	}
	w, dir, err := e.begin()
	if err != nil {
		return nil, evalError("write evaluation", e.dir, err, "")
	}
	defer w.Abort()
	preds, err := e.predict(ctx, e.test, func(p runs.Prediction) error { return w.Add(p) })
	if err != nil {
		return nil, err
	}
	cfg := e.cfg
	scores, err := metrics.Compute(cfg.Task, cfg.MetricNames(), preds, opt)
	if err != nil {
		return nil, err
	}
	slices, err := metrics.Slices(cfg.Task, cfg.MetricNames(), preds, cfg.Eval.SliceByTags, opt)
	if err != nil {
		return nil, err
	}
	res := &EvalResult{
		EvalResults: runs.EvalResults{RunID: e.runID, TestDataPath: e.test.Path(), NumExamples: len(preds),
			Overall: scores.Overall, PerClass: scores.PerClass, Slices: slices, DurationSeconds: time.Since(start).Seconds()},
		Hard: metrics.Hard(cfg.Task, preds, cfg.Eval.HardExamples), Confusion: scores.Confusion,
		Missing: scores.Missing, MinSlice: cfg.Eval.MinSlice, Dir: dir,
	}
	if err := w.Commit(res.EvalResults, res.Hard, res.Confusion); err != nil {
		return nil, evalError("write evaluation", dir, err, "check free space and permissions")
	}
	return res, nil
}

func (e *evaluation) begin() (*runs.Evaluation, string, error) {
	if e.out != "" {
		w, err := runs.BeginEvalIn(e.out)
		return w, e.out, err
	}
	w, err := runs.BeginEval(e.dir)
	return w, filepath.Join(e.dir, "eval"), err
}

// predict collects the predictions for a file, handing each to add as well.
func (e *evaluation) predict(ctx context.Context, file *dataset.File, add func(runs.Prediction) error) ([]runs.Prediction, error) {
	preds := make([]runs.Prediction, 0, file.Len())
	job := engine.PredictJob{RunDir: e.dir, Config: e.cfg, Test: file, BatchSize: e.cfg.Eval.BatchSize,
		Progress: func(done, total int) { e.emit(engine.PredictEvent{Done: done, Total: total}) }}
	err := e.engine.Predict(ctx, job, func(p runs.Prediction) error {
		preds = append(preds, p)
		if err := add(p); err != nil {
			return evalError("write predictions", e.dir, err, "check free space and permissions")
		}
		return nil
	})
	var typed VerifilyTrainError
	if err != nil && ctx.Err() == nil && !errors.As(err, &typed) {
		err = evalError("predict", e.dir, err, "")
	}
	return preds, err
}

// metricOptions prepares what some metrics need: the rules of
// format_compliance and the answers to the gold set.
func (e *evaluation) metricOptions(ctx context.Context) (metrics.Options, error) {
	var opt metrics.Options
	if len(e.cfg.Eval.FormatRules) > 0 {
		tok, err := bpe.Load(filepath.Join(e.dir, "tokenizer"))
		if err != nil {
			return opt, err
		}
		opt.Format, err = metrics.NewFormat(e.cfg.Eval.FormatRules, func(s string) int { return len(tok.Encode(nil, s)) })
		if err != nil {
			return opt, err
		}
	}
	if gold := e.cfg.Eval.GoldSet; gold != nil {
		file, err := dataset.Open(ctx, *gold, e.cfg.Task)
		if err != nil {
			return opt, err
		}
		defer file.Close()
		if opt.Gold, err = e.predict(ctx, file, func(runs.Prediction) error { return nil }); err != nil {
			return opt, err
		}
	}
	return opt, nil
}
