package core

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/engine/native/bpe"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/stats"
	"github.com/verifily/verifily-tui/runs"
)

// evaluation is one pass over test data.
type evaluation struct {
	dir       string // run directory
	startedIn string // where relative paths of the config start, as of a run
	place     place  // where the files go
	runID     string
	cfg       *config.Config
	engine    engine.Trainer
	test      *dataset.File
	emit      func(engine.Event)
	tokenizer *bpe.Tokenizer // where rules of format_compliance count tokens
}

// place is where the files of an evaluation go.
type place struct {
	below   string // eval/ of the run: the folder below it, empty for eval/ itself
	outside string // or a folder that belongs to no run
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
		return nil, evalError("write evaluation", dir, err, "check free space and permissions")
	}
	defer w.Abort()
	preds, err := e.predict(ctx, e.test, func(p runs.Prediction) error { return w.Add(p) })
	if err != nil {
		return nil, err
	}
	res, err := e.score(preds, opt)
	if err != nil {
		return nil, err
	}
	res.Dir, res.DurationSeconds = dir, time.Since(start).Seconds()
	if err := w.Commit(res.EvalResults, res.Hard, res.Confusion); err != nil {
		return nil, evalError("write evaluation", dir, err, "check free space and permissions")
	}
	return res, nil
}

// score takes the metrics, slices and hard examples of the predictions.
func (e *evaluation) score(preds []runs.Prediction, opt metrics.Options) (*EvalResult, error) {
	cfg := e.cfg
	keys := cfg.Eval.SliceByTags
	scores, err := metrics.Score(cfg.Task, cfg.MetricNames(), preds, opt)
	if err != nil {
		return nil, err
	}
	totals, err := scores.Result()
	if err != nil {
		return nil, err
	}
	sliced := scores.Slice(keys)
	if e.tokenizer != nil && e.tokenizer.Err() != nil {
		return nil, evalError("count tokens", e.dir, e.tokenizer.Err(), "")
	}
	hard := metrics.Hard(cfg.Task, preds, cfg.Eval.HardExamples)
	for i := range hard {
		hard[i].Slices = make(map[string]string, len(keys))
		for _, key := range keys {
			hard[i].Slices[key] = metrics.SliceOf(hard[i].Tags, key)
		}
	}
	res := &EvalResult{
		EvalResults: runs.EvalResults{RunID: e.runID, TestDataPath: e.test.Path(), TestDataHash: "sha256:" + e.test.SHA256(),
			NumExamples: len(preds), Overall: totals.Overall, PerClass: totals.PerClass, Slices: sliced.Metrics,
			Intervals: intervals(totals.Intervals), PerClassIntervals: each(totals.PerClassIntervals, intervals)},
		Hard: hard, Confusion: totals.Confusion, Missing: totals.Missing, MinSlice: cfg.Eval.MinSlice,
		SliceBy: keys, Totals: totals, Sliced: sliced, Lift: sliced.HardSummary(hard, len(preds)),
	}
	res.SliceIntervals = each(sliced.Intervals, func(values map[string]map[string]stats.Interval) map[string]map[string]runs.Interval {
		return each(values, intervals)
	})
	return res, nil
}

// intervals are intervals as run files have them.
func intervals(m map[string]stats.Interval) map[string]runs.Interval {
	return each(m, func(i stats.Interval) runs.Interval { return runs.Interval(i) })
}

func each[K comparable, A, B any](m map[K]A, f func(A) B) map[K]B {
	out := make(map[K]B, len(m))
	for k, v := range m {
		out[k] = f(v)
	}
	return out
}

// begin opens the files; dir is where they go.
func (e *evaluation) begin() (w *runs.Evaluation, dir string, err error) {
	if e.place.outside != "" {
		w, err = runs.BeginEvalIn(e.place.outside)
		return w, e.place.outside, err
	}
	dir = filepath.Join(e.dir, "eval", filepath.FromSlash(e.place.below))
	w, err = runs.BeginEvalBelow(e.dir, e.place.below)
	return w, dir, err
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
		e.tokenizer = tok
		opt.Format, err = metrics.NewFormat(e.cfg.Eval.FormatRules, func(s string) int { return len(tok.Encode(nil, s)) })
		if err != nil {
			return opt, err
		}
	}
	if e.cfg.Eval.GoldSet != nil {
		file, err := openGold(ctx, e.cfg, e.startedIn)
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
