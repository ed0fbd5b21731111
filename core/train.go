package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/engine/native"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// TrainOptions says what to train. The zero value of a field leaves the matter
// to the config.
type TrainOptions struct {
	ConfigPath string             // train.yaml, or
	Config     *config.Config     // its value; with ResumeFrom neither is needed
	WorkingDir string             // where relative paths of the config start that lead nowhere from the current folder
	Overrides  []config.Override  // win over the config
	Dataset    string             // ID@VERSION, a train file, or a folder with manifest.json
	BaseModel  string             // see base_model
	OutputDir  string             // folder of the run directories
	Device     string             // see compute.device
	Seed       *int64             // see seed
	DryRun     bool               // only check and plan: the plan goes to Plan and nothing is written
	Plan       *engine.Plan       // receives the plan of a dry run
	ResumeFrom string             // a run directory or one of its checkpoints, or the id or name of a run in "runs"
	Repeats    string             // id of the run that this one reproduces, kept in run_meta.json; may be empty
	JobID      string             // of whoever asks for the run, kept in run_meta.json; may be empty
	Control    *engine.Control    // pauses and asks for checkpoints; may be nil
	Events     func(engine.Event) // is told what happens, in order; may be nil
	Started    func(*runs.Run)    // is told the run directory once the run is sure to have one; may be nil
	Evaluated  func(*EvalResult)  // is told the outcome of the evaluation, if there is one; may be nil
}

// Interrupted is the error of a run that was stopped. It unwraps to
// engine.ErrInterrupted.
type Interrupted struct {
	RunDir string // from which it can be resumed; empty: nothing is left of it
	Step   int
	Total  int
	Err    error
}

// Error says where the run stopped.
func (e *Interrupted) Error() string {
	if e.RunDir == "" {
		return fmt.Sprintf("interrupted at step %d of %d", e.Step, e.Total)
	}
	return fmt.Sprintf("interrupted at step %d of %d: %s", e.Step, e.Total, e.RunDir)
}

// Unwrap returns the cause.
func (e *Interrupted) Unwrap() error { return e.Err }

// LoadConfig reads and checks a train.yaml; overrides win over the file.
func LoadConfig(path string, overrides ...config.Override) (*config.Config, error) {
	return config.Load(path, overrides...)
}

// Train trains as the options say and returns the completed run. When ctx
// ends, the run is saved and the error is an *Interrupted. A run that could
// not start leaves no directory behind; one that failed on the way says so and
// stays readable.
func Train(ctx context.Context, opt TrainOptions) (*runs.Run, error) {
	t := &trainRun{opt: opt, emit: opt.Events, engine: native.Engine{}, startedIn: opt.WorkingDir}
	if t.emit == nil {
		t.emit = func(engine.Event) {}
	}
	if err := t.load(); err != nil {
		return nil, err
	}
	data, err := dataset.Resolve(ctx, specOf(t.cfg, t.startedIn))
	if err != nil {
		return nil, err
	}
	defer data.Close()
	t.job = engine.Job{Config: t.cfg, Data: data, Control: opt.Control}
	if opt.ResumeFrom != "" {
		if err := t.checkResumed(ctx); err != nil {
			return nil, err
		}
	}
	err = t.checkGold(ctx)
	if t.job.Gold != nil {
		defer t.job.Gold.Close()
	}
	if err != nil {
		return nil, err
	}
	if opt.DryRun {
		return nil, t.plan(ctx)
	}
	for _, w := range t.warnings() {
		t.emit(engine.LogEvent{Warning: true, Message: w})
	}
	return t.run(ctx)
}

// plan is a dry run.
func (t *trainRun) plan(ctx context.Context) error {
	t.job.Dir = t.resumeDir // of a new run there is none
	plan, err := t.engine.Plan(ctx, t.job)
	if err == nil && t.opt.Plan != nil {
		*t.opt.Plan = *plan
		t.opt.Plan.Warnings = append(t.warnings(), plan.Warnings...)
	}
	return err
}

// trainRun is one call of Train.
type trainRun struct {
	opt    TrainOptions
	cfg    *config.Config
	engine engine.Trainer
	job    engine.Job
	w      *runs.Writer
	meta   runs.Meta
	emit   func(engine.Event)
	err    error // the first error of writing a log line
	// madeRoot: the folder of the runs was made for this one.
	madeRoot bool
	told     bool // Started was called

	// Of a run that is resumed; else empty.
	resumeDir  string // its folder
	checkpoint string // to go on from; empty: from the start
	startedIn  string // where its relative paths start
}

// run opens the run directory, trains, evaluates and finishes.
func (t *trainRun) run(ctx context.Context) (*runs.Run, error) {
	if err := t.open(ctx); err != nil {
		return nil, err
	}
	defer t.w.Close()
	run, err := runs.Open(t.w.Dir())
	if err != nil {
		return nil, err
	}
	t.job.Dir = t.w.Dir()
	t.job.BeforeCheckpoint = t.w.SyncLog
	res, err := t.engine.Train(ctx, t.job, func(ev engine.Event) { t.handle(run, ev) })
	if err == nil && t.err != nil {
		err = &TrainingError{Detail: detail("write log", t.w.Dir(), t.err)}
	}
	if res != nil {
		t.note(res)
	}
	if err == nil {
		t.tell(run)
		err = t.conclude(ctx, res)
	}
	if err == nil {
		return run, nil
	}
	if t.neverStarted(res, err) {
		err = errors.Join(err, t.discard())
		t.emit(engine.FinishedEvent{Err: err})
		return nil, err
	}
	t.tell(run)
	return run, t.giveUp(res, err)
}

// tell calls Started, once.
func (t *trainRun) tell(run *runs.Run) {
	if !t.told && t.opt.Started != nil {
		t.opt.Started(run)
	}
	t.told = true
}

// open makes the run directory, or takes up that of the run to be resumed.
func (t *trainRun) open(ctx context.Context) error {
	env, err := environment()
	if err != nil {
		return err
	}
	envHash, err := env.Hash()
	if err != nil {
		return err
	}
	c := t.cfg
	seed := json.Number(strconv.FormatInt(c.Seed, 10))
	t.meta = runs.Meta{
		Task: c.Task, BaseModel: c.BaseModel, DatasetVersion: t.job.Data.Version, ComputeMode: c.Compute.Mode, Device: "cpu",
		JobID: t.opt.JobID, Repeats: t.opt.Repeats, ConfigHash: c.Hash(), DataHash: t.job.Data.DataHash, EnvironmentHash: envHash, Seed: seed, Version: Version(),
	}
	t.meta.ReproducibilityHash = reproducibilityHash(t.meta)
	if c.Name != nil {
		t.meta.RunName = *c.Name
	}
	if t.opt.ResumeFrom != "" {
		return t.reopen(env)
	}
	base, _ := dataset.Locate(c.BaseModel, t.opt.WorkingDir) // one that leads nowhere is told by BaseHash
	if t.meta.BaseWeightsHash, err = native.BaseHash(ctx, base, ""); err != nil {
		return err
	}
	if t.meta.WorkingDir = t.opt.WorkingDir; t.meta.WorkingDir == "" {
		t.meta.WorkingDir, _ = os.Getwd() // not known: relative paths are looked for in the current folder alone
	}
	_, missing := os.Stat(c.Output.Dir)
	t.madeRoot = missing != nil
	fill := func(w *runs.Writer) error { t.w = w; return t.writeInputs(env) }
	if t.w, err = runs.Create(c.Output.Dir, runs.CreateOptions{Meta: t.meta, Fill: fill}); err != nil {
		t.removeRoot()
		return &TrainingError{Detail: fault.Detail{Op: "make run directory", Path: c.Output.Dir, Err: err,
			Hint: "check output.dir, its permissions and the free space"}}
	}
	t.meta = t.w.Meta()
	return nil
}

func reproducibilityHash(m runs.Meta) string {
	return runs.ReproducibilityHash(m.ConfigHash, m.DataHash, m.EnvironmentHash, m.Seed)
}

// Files of a run directory that say what the run stands on.
const (
	configName      = "config.yaml"
	environmentName = "environment.json"
)

// writeInputs writes what the run stands on, where it is not there yet.
func (t *trainRun) writeInputs(env runs.Environment) error {
	for _, file := range []struct {
		name  string
		write func() error
	}{
		{configName, func() error {
			yaml, err := t.cfg.YAML()
			if err != nil {
				return err
			}
			return t.w.WriteConfig(yaml)
		}},
		{dataset.ManifestName, func() error {
			manifest, err := t.job.Data.Manifest.JSON()
			if err != nil {
				return err
			}
			return t.w.WriteManifest(manifest)
		}},
		{environmentName, func() error { return t.w.WriteEnvironment(env) }},
	} {
		if !missing(filepath.Join(t.w.Dir(), file.name)) {
			continue
		}
		if err := file.write(); err != nil {
			return err
		}
	}
	return nil
}

// handle writes what happened to the log, then tells the caller. A first event
// means that the engine has taken the job.
func (t *trainRun) handle(run *runs.Run, ev engine.Event) {
	if _, over := ev.(engine.FinishedEvent); !over {
		t.tell(run)
	}
	switch e := ev.(type) {
	case engine.StepEvent:
		if e.Logged {
			t.log(runs.LogLine{Step: e.Step, Epoch: e.Epoch, Loss: &e.MeanLoss, LearningRate: &e.LearningRate,
				GradNorm: &e.GradNorm, Tokens: &e.Tokens, TokensPerSecond: &e.TokensPerSecond})
		}
	case engine.EvalEvent:
		t.log(runs.LogLine{Step: e.Step, Epoch: e.Epoch, EvalLoss: &e.Loss})
	case engine.FinishedEvent:
		return // the caller's comes when the evaluation is done too
	}
	t.emit(ev)
}

func (t *trainRun) log(line runs.LogLine) {
	if err := t.w.AppendLog(line); err != nil && t.err == nil {
		t.err = err
	}
}

// note puts the result of training into the metadata.
func (t *trainRun) note(res *engine.Result) {
	t.meta.Device = res.Device
	t.meta.ArtifactPath = res.ArtifactPath
	t.meta.Metrics = map[string]float64{}
	if res.TotalSteps > 0 {
		t.meta.Metrics["train_loss"] = res.FinalTrainLoss
	}
	if res.FinalEvalLoss != nil {
		t.meta.Metrics["eval_loss"] = *res.FinalEvalLoss
	}
}

// noteEvaluation adds the metrics of the evaluation. Its loss is test_loss where
// it was made on test data; eval_loss stays that of the validation data.
func (t *trainRun) noteEvaluation(res *EvalResult) {
	for name, v := range res.Overall {
		if name == metrics.NameEvalLoss {
			if t.job.Data.Test != nil {
				t.meta.Metrics[testLoss] = v
			}
			if _, has := t.meta.Metrics[name]; has {
				continue
			}
		}
		t.meta.Metrics[name] = v
	}
	if t.opt.Evaluated != nil {
		t.opt.Evaluated(res)
	}
}

// testLoss is the name in run_meta.json of the loss on test data.
const testLoss = "test_loss"

// conclude writes the summary, evaluates, and completes the run.
func (t *trainRun) conclude(ctx context.Context, res *engine.Result) error {
	if err := t.w.WriteSummary(summary(res)); err != nil {
		return &TrainingError{Detail: detail("write summary", t.w.Dir(), err)}
	}
	if file := testOf(t.job.Data); t.cfg.Eval.Enabled && file != nil {
		e := evaluation{dir: t.w.Dir(), startedIn: t.startedIn, runID: t.w.ID(), cfg: t.cfg, engine: t.engine, test: file, emit: t.emit}
		result, err := e.run(ctx)
		if err != nil {
			return err
		}
		t.noteEvaluation(result)
	}
	t.meta.Status = runs.StatusCompleted
	if err := t.w.Finish(t.meta); err != nil {
		return &TrainingError{Detail: fault.Detail{Op: "complete run", Path: t.w.Dir(), Err: err,
			Hint: "check free space and permissions, then resume the run"}}
	}
	t.emit(engine.FinishedEvent{Result: res})
	return nil
}

func summary(res *engine.Result) runs.Summary {
	s := runs.Summary{TotalSteps: res.TotalSteps, TotalEpochs: res.Epochs, FinalTrainLoss: &res.FinalTrainLoss,
		BestEvalLoss: res.BestEvalLoss, TotalTrainSamples: res.Samples, TokensProcessed: res.Tokens,
		WallTimeSeconds: res.Seconds}
	if res.BestEvalLoss != nil {
		s.BestEvalStep = &res.BestEvalStep
	}
	return s
}

// neverStarted tells whether a new run was refused for its config or data
// before its first step.
func (t *trainRun) neverStarted(res *engine.Result, err error) bool {
	if t.opt.ResumeFrom != "" || (res != nil && res.TotalSteps > 0) {
		return false
	}
	var c *ConfigError
	var d *DataError
	return errors.As(err, &c) || errors.As(err, &d)
}

// giveUp ends a run that was interrupted or failed.
func (t *trainRun) giveUp(res *engine.Result, err error) error {
	interrupted := errors.Is(err, engine.ErrInterrupted) || errors.Is(err, context.Canceled)
	t.meta.Status = runs.StatusFailed
	if interrupted {
		t.meta.Status = runs.StatusInterrupted
		if !errors.Is(err, engine.ErrInterrupted) {
			err = fmt.Errorf("%w: %w", engine.ErrInterrupted, err)
		}
		i := &Interrupted{RunDir: t.w.Dir(), Total: t.totalSteps(), Err: err}
		if res != nil {
			i.Step = res.TotalSteps
		}
		err = i
	} else {
		t.meta.Error = err.Error()
	}
	if ferr := t.w.Finish(t.meta); ferr != nil {
		err = errors.Join(err, fmt.Errorf("mark run as %s: %w", t.meta.Status, ferr))
	}
	t.emit(engine.FinishedEvent{Result: res, Err: err})
	return err
}

// totalSteps is the number of optimiser steps of the whole run.
func (t *trainRun) totalSteps() int {
	c := t.cfg.Training
	perStep := c.BatchSize * c.GradientAccumulationSteps
	return (t.job.Data.Train.Len() + perStep - 1) / perStep * c.NumEpochs
}

// discard removes the directory of a run that could not start.
func (t *trainRun) discard() error {
	err := errors.Join(t.w.Close(), os.RemoveAll(t.w.Dir()))
	t.removeRoot()
	return err
}

// removeRoot removes the folder of the runs if it was made for this one and
// holds no other.
func (t *trainRun) removeRoot() {
	if t.madeRoot {
		_ = os.Remove(t.cfg.Output.Dir) // stays when another run stands in it
	}
}
