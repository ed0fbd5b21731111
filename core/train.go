package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/engine/native"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
)

// TrainOptions says what to train. The zero value of a field leaves the matter
// to the config.
type TrainOptions struct {
	ConfigPath string             // train.yaml, or
	Config     *config.Config     // its value; with ResumeFrom neither is needed
	Overrides  []config.Override  // win over the config
	Dataset    string             // ID@VERSION, a train file, or a folder with manifest.json
	BaseModel  string             // see base_model
	OutputDir  string             // folder of the run directories
	Device     string             // see compute.device
	Seed       *int64             // see seed
	DryRun     bool               // only plan: the plan goes to Plan and no run is made
	Plan       *engine.Plan       // receives the plan of a dry run
	ResumeFrom string             // a run directory, or one of its checkpoints
	Control    *engine.Control    // pauses and asks for checkpoints; may be nil
	Events     func(engine.Event) // is told what happens, in order; may be nil
	Started    func(*runs.Run)    // is told the run directory as soon as there is one; may be nil
}

// Interrupted is the error of a run that was stopped and can be resumed. It
// unwraps to engine.ErrInterrupted.
type Interrupted struct {
	RunDir string
	Step   int
	Total  int
	Err    error
}

// Error says where the run stopped.
func (e *Interrupted) Error() string {
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
	t := &trainRun{opt: opt, emit: opt.Events, engine: native.Engine{}}
	if t.emit == nil {
		t.emit = func(engine.Event) {}
	}
	if err := t.load(); err != nil {
		return nil, err
	}
	data, err := dataset.Resolve(ctx, t.dataSpec())
	if err != nil {
		return nil, err
	}
	defer data.Close()
	t.job = engine.Job{Config: t.cfg, Data: data, Control: opt.Control}
	for _, w := range data.Warnings {
		t.emit(engine.LogEvent{Warning: true, Message: w})
	}
	if opt.DryRun {
		plan, err := t.engine.Plan(ctx, t.job)
		if err == nil && opt.Plan != nil {
			*opt.Plan = *plan
		}
		return nil, err
	}
	return t.run(ctx)
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
}

// cause is what went wrong with a path, without the path, which stands in the
// error already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func detail(op, path string, err error) fault.Detail {
	return fault.Detail{Op: op, Path: path, Err: err}
}

// load reads the config, or that of the run to be resumed, and applies the
// options.
func (t *trainRun) load() error {
	overrides, err := t.overrides()
	if err != nil {
		return err
	}
	opt := &t.opt
	switch {
	case opt.Config != nil:
		t.cfg, err = config.FromMap(opt.Config.Map(), overrides...)
	case opt.ConfigPath != "":
		t.cfg, err = config.Load(opt.ConfigPath, overrides...)
	case opt.ResumeFrom != "":
		var dir string
		if dir, _, err = resumePoint(opt.ResumeFrom); err == nil {
			t.cfg, err = config.Load(filepath.Join(dir, "config.yaml"), overrides...)
		}
	default:
		err = &ConfigError{Detail: fault.Detail{Op: "train", Reason: "there is no configuration",
			Hint: "name a train.yaml, or a run to resume"}}
	}
	return err
}

func (t *trainRun) overrides() ([]config.Override, error) {
	opt := &t.opt
	out := append([]config.Override(nil), opt.Overrides...)
	add := func(key string, value any, source string) {
		out = append(out, config.Override{Key: key, Value: value, Source: source})
	}
	if opt.BaseModel != "" {
		add("base_model", opt.BaseModel, "--base-model")
	}
	if opt.OutputDir != "" {
		add("output.dir", opt.OutputDir, "--output-dir")
	}
	if opt.Device != "" {
		add("compute.device", opt.Device, "--device")
	}
	if opt.Seed != nil {
		add("seed", *opt.Seed, "--seed")
	}
	if opt.Dataset == "" {
		return out, nil
	}
	paths, err := datasetPaths(opt.Dataset)
	if err != nil {
		return nil, err
	}
	if paths == nil {
		add("dataset_version", opt.Dataset, "--dataset")
		paths = map[string]any{"train": nil, "val": nil, "test": nil}
	}
	for _, split := range []string{"train", "val", "test"} {
		add("data_paths."+split, paths[split], "--dataset")
	}
	return out, nil
}

// datasetPaths turns a dataset argument into data_paths: a train file, or the
// splits of the manifest in a folder. Nil means that it names a version.
func datasetPaths(arg string) (map[string]any, error) {
	info, err := os.Stat(arg)
	if err != nil {
		if strings.Contains(arg, "@") {
			return nil, nil
		}
		return nil, &DataError{Detail: fault.Detail{Op: "find data set", Path: arg, Err: cause(err),
			Hint: "name ID@VERSION, a JSONL file, or a folder with manifest.json"}}
	}
	if !info.IsDir() && filepath.Base(arg) != "manifest.json" {
		return map[string]any{"train": arg}, nil
	}
	path := arg
	if info.IsDir() {
		path = filepath.Join(arg, "manifest.json")
	}
	m, err := dataset.LoadManifest(path)
	if err != nil {
		return nil, err
	}
	paths := map[string]any{}
	for _, split := range []string{"train", "val", "test"} {
		files := m.Of(split)
		if len(files) > 1 {
			return nil, &DataError{Detail: fault.Detail{Op: "find data set", Path: path,
				Reason: fmt.Sprintf("split %s has %d files", split, len(files)), Hint: "one file a split is supported"}}
		}
		if len(files) == 1 {
			paths[split] = filepath.Join(filepath.Dir(path), filepath.FromSlash(files[0].Path))
		}
	}
	return paths, nil
}

func (t *trainRun) dataSpec() dataset.Spec {
	c := t.cfg
	return dataset.Spec{Task: c.Task, Train: c.DataPaths.Train, Val: c.DataPaths.Val, Test: c.DataPaths.Test,
		DatasetVersion: c.DatasetVersion, SearchDir: c.Output.Dir}
}

// resumePoint finds the run and the checkpoint that a path names.
func resumePoint(path string) (runDir, checkpoint string, err error) {
	path = filepath.Clean(path)
	if strings.HasPrefix(filepath.Base(path), "checkpoint-") {
		runDir, checkpoint = filepath.Dir(filepath.Dir(path)), path
	} else {
		runDir = path
		if checkpoint, _, err = native.LatestCheckpoint(path); err != nil {
			return "", "", &TrainingError{Detail: detail("resume", path, err)}
		}
	}
	if _, err := os.Stat(filepath.Join(runDir, "run_meta.json")); err != nil {
		return "", "", &TrainingError{Detail: fault.Detail{Op: "resume", Path: path, Err: cause(err),
			Hint: "name a run directory or one of its checkpoints"}}
	}
	return runDir, checkpoint, nil
}

// run opens the run directory, trains, evaluates and finishes.
func (t *trainRun) run(ctx context.Context) (*runs.Run, error) {
	if err := t.open(); err != nil {
		return nil, err
	}
	defer t.w.Close()
	run, err := runs.Open(t.w.Dir())
	if err != nil {
		return nil, err
	}
	if t.opt.Started != nil {
		t.opt.Started(run)
	}
	t.job.Dir = t.w.Dir()
	t.job.BeforeCheckpoint = t.w.SyncLog
	res, err := t.engine.Train(ctx, t.job, t.handle)
	if err == nil && t.err != nil {
		err = &TrainingError{Detail: detail("write log", t.w.Dir(), t.err)}
	}
	if res != nil {
		t.note(res)
	}
	if err == nil {
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
	return run, t.giveUp(res, err)
}

// open makes the run directory, or takes up that of the run to be resumed.
func (t *trainRun) open() error {
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
		ConfigHash: c.Hash(), DataHash: t.job.Data.DataHash, EnvironmentHash: envHash, Seed: seed, Version: Version(),
	}
	t.meta.ReproducibilityHash = runs.ReproducibilityHash(t.meta.ConfigHash, t.meta.DataHash, envHash, seed)
	if c.Name != nil {
		t.meta.RunName = *c.Name
	}
	if t.opt.ResumeFrom != "" {
		return t.reopen(env)
	}
	_, missing := os.Stat(c.Output.Dir)
	t.madeRoot = missing != nil
	if t.w, err = runs.Create(c.Output.Dir, runs.CreateOptions{Meta: t.meta}); err != nil {
		return &TrainingError{Detail: fault.Detail{Op: "make run directory", Path: c.Output.Dir, Err: err,
			Hint: "check output.dir, its permissions and the free space"}}
	}
	t.meta = t.w.Meta()
	if err := t.writeInputs(env); err != nil {
		return errors.Join(&TrainingError{Detail: detail("write run", t.w.Dir(), err)}, t.discard())
	}
	return nil
}

func (t *trainRun) writeInputs(env runs.Environment) error {
	yaml, err := t.cfg.YAML()
	if err != nil {
		return err
	}
	manifest, err := t.job.Data.Manifest.JSON()
	if err != nil {
		return err
	}
	return errors.Join(t.w.WriteConfig(yaml), t.w.WriteManifest(manifest), t.w.WriteEnvironment(env))
}

// reopen takes up a run that stopped, after checking that config and
// environment are still what they were.
func (t *trainRun) reopen(env runs.Environment) error {
	dir, checkpoint, err := resumePoint(t.opt.ResumeFrom)
	if err != nil {
		return err
	}
	old, err := config.Load(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return err
	}
	if changes := config.Diff(old, t.cfg); len(changes) > 0 {
		e := &ConfigError{Detail: fault.Detail{Op: "resume", Path: dir, Reason: "the run was started with another configuration",
			Hint: "resume without --config and options, or start a new run"}}
		for _, ch := range changes {
			e.Problems = append(e.Problems, fault.Problem{Key: ch.Key, Reason: fmt.Sprintf("was %v, now %v", ch.A, ch.B)})
		}
		return e
	}
	if t.w, err = runs.Reopen(dir); err != nil {
		hint := "name a run that was interrupted"
		if errors.Is(err, runs.ErrCompleted) {
			hint = "the run is complete; start a new one to train further, with this run as base_model"
		}
		return &TrainingError{Detail: fault.Detail{Op: "resume", Path: dir, Err: err, Hint: hint}}
	}
	if err := t.continueFrom(checkpoint, env); err != nil {
		return errors.Join(err, t.w.Close())
	}
	return nil
}

// continueFrom checks that the data is the same, warns when the environment is
// not, and cuts the log back to the checkpoint.
func (t *trainRun) continueFrom(checkpoint string, env runs.Environment) error {
	dir := t.w.Dir()
	meta := t.w.Meta()
	if meta.DataHash != "" && meta.DataHash != t.meta.DataHash {
		return &DataError{Detail: fault.Detail{Op: "resume", Path: t.job.Data.Train.Path(),
			Reason: "the training data has changed since the run was started",
			Hint:   "restore the file, or start a new run"}}
	}
	if meta.EnvironmentHash != t.meta.EnvironmentHash {
		t.emit(engine.LogEvent{Warning: true, Message: fmt.Sprintf(
			"the environment differs from the one the run was started in (now %s, %s): its weights may differ from an uninterrupted run's",
			env.CPU, env.InstructionSet)})
	}
	step := 0
	if checkpoint != "" {
		t.job.Resume = checkpoint
		number := strings.TrimPrefix(filepath.Base(checkpoint), "checkpoint-")
		step, _ = strconv.Atoi(number) // the engine refuses a checkpoint whose state says otherwise
	}
	t.meta = meta
	t.meta.Error, t.meta.Metrics, t.meta.CompletedAt, t.meta.DurationSeconds = "", nil, "", 0
	err := errors.Join(native.RemoveLeftovers(dir), t.w.TruncateLogAfter(step))
	if err != nil {
		return &TrainingError{Detail: detail("resume", dir, err)}
	}
	return nil
}

// handle writes what happened to the log, then tells the caller.
func (t *trainRun) handle(ev engine.Event) {
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

// conclude writes the summary, evaluates, and completes the run.
func (t *trainRun) conclude(ctx context.Context, res *engine.Result) error {
	if err := t.w.WriteSummary(summary(res)); err != nil {
		return &TrainingError{Detail: detail("write summary", t.w.Dir(), err)}
	}
	if t.cfg.Eval.Enabled && (t.job.Data.Test != nil || t.job.Data.Val != nil) {
		file := t.job.Data.Test
		if file == nil {
			file = t.job.Data.Val
		}
		e := evaluation{dir: t.w.Dir(), runID: t.w.ID(), cfg: t.cfg, engine: t.engine, test: file, emit: t.emit}
		result, err := e.run(ctx)
		if err != nil {
			return err
		}
		for name, v := range result.Overall {
			t.meta.Metrics[name] = v
		}
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
	if res != nil && !math.IsNaN(res.Seconds) {
		t.meta.DurationSeconds = res.Seconds
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
	if t.madeRoot {
		_ = os.Remove(t.cfg.Output.Dir) // stays when another run stands in it
	}
	return err
}
