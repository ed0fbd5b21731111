package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/runs"
)

// RetrainOptions says what to retrain; only DatasetDir is needed.
type RetrainOptions struct {
	DatasetDir         string      // data set artifact: dataset.jsonl, hashes.json, ...
	Sent               *SentData   // what config.yaml records in its place; nil: DatasetDir
	BaseRunDir         string      // baseline: a run directory, or the id or name of a run in RunsDir
	ContaminatedRunDir string      // run whose contamination.json counts, likewise
	RunsDir            string      // where ids and names are looked up; empty means "runs"
	Mode               string      // mock (default) or real
	OutputDir          string      // default /tmp/verifily_retrain/PROJECT
	ProjectID          string      // default "default"
	Seed               json.Number // integer of any size (mode real: 64 bits); default 42, or that of train.yaml
	Metric             string      // recorded; default f1
	Notes              *string     // recorded
	RequestID          string      // default: made up
	JobID              string      // recorded in run_meta.json
	CI, Privacy        bool        // recorded

	// For mode real.
	ConfigPath string             // train.yaml; else that of the artifact, else the built-in preset
	WorkingDir string             // where relative paths of train.yaml start that lead nowhere from the current folder
	Control    *engine.Control    // may be nil
	Events     func(engine.Event) // may be nil
	Started    func(*runs.Run)    // is told the run directory of the training; may be nil
}

// SentData is a data set as the caller of a service named it, where the retrain
// reads it under another path.
type SentData = retrain.Sent

// RetrainResult is what a retrain answers with.
type RetrainResult = retrain.Result

// RetrainNotFound is the error for a part of the data set that is not there; it
// unwraps to a *DataError.
type RetrainNotFound = retrain.NotFound

// ErrRealModeDisabled is the cause of the *ConfigError for mode real where the
// environment does not allow it.
var ErrRealModeDisabled = retrain.ErrRealModeDisabled

// Retrain trains on a data set artifact, evaluates and decides, and leaves a
// numbered directory with nine artifacts, or nothing. The verdict is in the
// result, its exit code too; an error means that there is none.
func Retrain(ctx context.Context, opt RetrainOptions) (*RetrainResult, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	if opt.BaseRunDir != "" || opt.ContaminatedRunDir != "" { // first: the order of the errors is part of the contract
		if err := CheckRetrain(opt); err != nil {
			return nil, err
		}
	}
	if opt.BaseRunDir != "" {
		if opt.BaseRunDir, err = findRun("find baseline", opt.BaseRunDir, opt.RunsDir); err != nil {
			return nil, err
		}
	}
	if opt.ContaminatedRunDir != "" {
		if opt.ContaminatedRunDir, err = findRun("find contaminated run", opt.ContaminatedRunDir, opt.RunsDir); err != nil {
			return nil, err
		}
	}
	return retrain.Run(ctx, opt.request(), retrain.Deps{Environment: env, Train: opt.train})
}

// CheckRetrain says, without doing anything, whether Retrain could start: the
// errors that a caller is answered with at once.
func CheckRetrain(opt RetrainOptions) error {
	req := opt.request()
	return retrain.Check(&req, nil)
}

func (opt *RetrainOptions) request() retrain.Request {
	return retrain.Request{DatasetDir: opt.DatasetDir, Sent: opt.Sent, BaseRunDir: opt.BaseRunDir, ContaminatedRunDir: opt.ContaminatedRunDir,
		Mode: opt.Mode, OutputDir: opt.OutputDir, ProjectID: opt.ProjectID, Seed: opt.Seed, Metric: opt.Metric,
		Notes: opt.Notes, RequestID: opt.RequestID, JobID: opt.JobID, CI: opt.CI, Privacy: opt.Privacy}
}

// train is mode real: it splits the data, trains with the native engine and
// evaluates on the part held back.
func (opt *RetrainOptions) train(ctx context.Context, job retrain.Job) (*retrain.Trained, error) {
	if err := opt.tellLeft(filepath.Join(job.OutputDir, "train")); err != nil {
		return nil, err
	}
	splits, err := retrain.Split(ctx, job)
	if err != nil {
		return nil, err
	}
	cfg, err := opt.trainConfig(ctx, job, splits)
	if err != nil {
		return nil, err
	}
	run, err := Train(ctx, TrainOptions{Config: cfg, WorkingDir: opt.WorkingDir, Control: opt.Control, Events: opt.Events, Started: opt.Started})
	if err != nil {
		if run != nil {
			err = errors.Join(withoutRun(err, job.OutputDir), os.RemoveAll(run.Dir()))
		}
		return nil, err
	}
	return &retrain.Trained{RunDir: run.Dir(), Task: cfg.Task, Seed: json.Number(strconv.FormatInt(cfg.Seed, 10)), RowsOut: splits.Rows}, nil
}

// tellLeft names the trainings that retrains have left which were killed. They
// may have taken hours: whoever started them decides.
func (opt *RetrainOptions) tellLeft(dir string) error {
	if opt.Events == nil {
		return nil
	}
	entries, err := runs.List(dir)
	if err != nil {
		return &TrainingError{Detail: detail("look for trainings", dir, err)}
	}
	var left []string // newest first
	for _, e := range entries {
		if e.Status == runs.StatusInterrupted {
			left = append(left, e.Dir)
		}
	}
	if len(left) == 0 {
		return nil
	}
	message := fmt.Sprintf("a retrain that was killed has left its training: finish it with verifily train --resume %s, or delete it", left[0])
	if len(left) > 1 {
		message = fmt.Sprintf("retrains that were killed have left %d trainings in %s: finish them with verifily train --resume, or delete them", len(left), dir)
	}
	opt.Events(engine.LogEvent{Warning: true, Message: message})
	return nil
}

// withoutRun is the error of a training whose directory does not stay: there is
// nothing to be resumed, nor a file to look at.
func withoutRun(err error, out string) error {
	var stopped *Interrupted
	var failed *TrainingError
	switch {
	case errors.As(err, &stopped):
		return &Interrupted{Step: stopped.Step, Total: stopped.Total, Err: stopped.Err}
	case errors.As(err, &failed):
		d := failed.Detail
		d.Hint = strings.ReplaceAll(d.Hint, "resume the run", "start the retrain again")
		if file := (*fs.PathError)(nil); errors.As(d.Err, &file) {
			d.Path, d.Err = out, file.Err
		}
		return &TrainingError{Detail: d}
	}
	return err
}

// trainConfig is the config named, that of the artifact, or the preset, with
// the data and the output folder of the retrain.
func (opt *RetrainOptions) trainConfig(ctx context.Context, job retrain.Job, splits *retrain.Splits) (*config.Config, error) {
	const source = "retrain"
	var val any
	if splits.Val != "" {
		val = splits.Val
	}
	set := []config.Override{
		{Key: "dataset_version", Value: nil, Source: source},
		{Key: "data_paths.train", Value: splits.Train, Source: source},
		{Key: "data_paths.val", Value: val, Source: source},
		{Key: "data_paths.test", Value: splits.Test, Source: source},
		{Key: "output.dir", Value: filepath.Join(job.OutputDir, "train"), Source: source},
		{Key: "eval.enabled", Value: true, Source: source},
	}
	if job.Seed != "" {
		seed, err := strconv.ParseInt(job.Seed.String(), 10, 64)
		if err != nil {
			return nil, &ConfigError{Detail: fault.Detail{Op: "retrain", Reason: "seed: " + job.Seed.String() + " does not fit 64 bits",
				Hint: "mode real takes seeds of 64 bits"}}
		}
		set = append(set, config.Override{Key: "seed", Value: seed, Source: "seed"})
	}
	if opt.ConfigPath != "" {
		return config.Load(opt.ConfigPath, set...)
	}
	own := filepath.Join(job.DatasetDir, "train.yaml")
	if _, err := os.Stat(own); err == nil {
		return config.Load(own, set...)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, &ConfigError{Detail: detail("read train.yaml of the data set", "", err)}
	}
	preset, err := retrainPreset(ctx, job.DataPath)
	if err != nil {
		return nil, err
	}
	return config.FromMap(preset, set...)
}

// presetSlices is how many tag keys the preset slices by: more make a table
// that nobody reads.
const presetSlices = 4

// retrainPreset trains the small built-in model from random weights: a few
// minutes on two cores for some thousand short rows.
func retrainPreset(ctx context.Context, path string) (map[string]any, error) {
	task, err := dataset.DetectTask(ctx, path)
	if err != nil {
		return nil, err
	}
	file, err := dataset.Open(ctx, path, task)
	if err != nil {
		return nil, err
	}
	tags := file.TagKeys()
	if err := file.Close(); err != nil {
		return nil, &DataError{Detail: detail("read data set", path, err)}
	}
	var sliceBy any
	if len(tags) > 0 {
		sliceBy = anySlice(tags[:min(len(tags), presetSlices)])
	}
	return map[string]any{
		"task": task, "base_model": "builtin:nano",
		"lora":      map[string]any{"enabled": false},
		"tokenizer": map[string]any{"vocab_size": 512},
		"training": map[string]any{"num_epochs": 10, "batch_size": 16, "gradient_accumulation_steps": 1,
			"learning_rate": 3e-3, "warmup_ratio": 0.05, "max_seq_length": 256, "eval_steps": 0, "save_steps": 0},
		"eval": map[string]any{"slice_by_tags": sliceBy, "generation_max_new_tokens": 64, "generation_num_beams": 1},
	}, nil
}
