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
	"time"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/engine/native"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// findResumed finds the run and the checkpoint that ResumeFrom names.
func (t *trainRun) findResumed() error {
	path := filepath.Clean(t.opt.ResumeFrom)
	if _, err := os.Stat(path); err != nil {
		named, unnamed := findRun("resume", t.opt.ResumeFrom, "")
		if unnamed != nil {
			return noRun(path, "", cause(err))
		}
		path = named
	}
	t.resumeDir = path
	if strings.HasPrefix(filepath.Base(path), "checkpoint-") {
		t.resumeDir, t.checkpoint = filepath.Dir(filepath.Dir(path)), path
	}
	if _, err := os.Stat(filepath.Join(t.resumeDir, "run_meta.json")); err != nil {
		reason := "it has no run_meta.json"
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return noRun(path, reason, cause(err))
	}
	if t.checkpoint == "" {
		latest, _, err := native.LatestCheckpoint(path)
		if err != nil {
			return &TrainingError{Detail: detail("resume", path, err)}
		}
		t.checkpoint = latest
	}
	meta, err := readMeta(t.resumeDir)
	if err != nil {
		return &TrainingError{Detail: detail("resume", path, err)}
	}
	t.startedIn = meta.WorkingDir
	return nil
}

func noRun(path, reason string, err error) error {
	return &ConfigError{Detail: fault.Detail{Op: "resume", Path: path, Reason: reason, Err: err,
		Hint: "name a run directory or one of its checkpoints, or the id or name of a run in runs"}}
}

func readMeta(dir string) (runs.Meta, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return runs.Meta{}, err
	}
	return run.Meta()
}

// checkResumed says, without writing anything, whether the run can be taken up:
// it stopped, and its config, its data and its base model are what they were.
func (t *trainRun) checkResumed(ctx context.Context) error {
	dir := t.resumeDir
	run, err := runs.Open(dir)
	if err != nil {
		return &TrainingError{Detail: detail("resume", dir, err)}
	}
	meta, err := run.Meta()
	if err != nil {
		return &TrainingError{Detail: detail("resume", dir, err)}
	}
	status, err := run.State(time.Now())
	switch {
	case err != nil:
		return &TrainingError{Detail: detail("resume", dir, err)}
	case status == runs.StatusCompleted:
		return cannotReopen(dir, runs.ErrCompleted)
	case status == runs.StatusRunning:
		return cannotReopen(dir, runs.ErrLocked)
	}
	if err := t.checkSameConfig(meta); err != nil {
		return err
	}
	if err := t.checkSameData(meta); err != nil {
		return err
	}
	if t.checkpoint != "" {
		if err := native.CheckCheckpoint(t.checkpoint, t.cfg.LoRA.Enabled); err != nil {
			return err
		}
	}
	return t.checkSameBase(ctx, meta)
}

// cannotReopen is the error of a run that is not to be written.
func cannotReopen(dir string, err error) error {
	hint := "name a run that was interrupted"
	switch {
	case errors.Is(err, runs.ErrCompleted):
		hint = "the run is complete; start a new one to train further, with this run as base_model"
	case errors.Is(err, runs.ErrLocked):
		hint = "wait until it ends, or stop it there"
	}
	d := detail("resume", dir, err)
	d.Hint = hint
	return &TrainingError{Detail: d}
}

func (t *trainRun) checkSameConfig(meta runs.Meta) error {
	e := &ConfigError{Detail: fault.Detail{Op: "resume", Path: t.resumeDir, Reason: "the run was started with another configuration",
		Hint: "resume without --config and options, or start a new run"}}
	path := filepath.Join(t.resumeDir, configName)
	if missing(path) {
		if meta.ConfigHash != t.cfg.Hash() {
			e.Hint = "give the file and the options that it was started with, or start a new run"
			return e
		}
		return nil
	}
	old, err := config.Load(path)
	if err != nil {
		return err
	}
	changes := config.Diff(old, t.cfg)
	if len(changes) == 0 {
		return nil
	}
	for _, ch := range changes {
		e.Problems = append(e.Problems, fault.Problem{Key: ch.Key, Reason: fmt.Sprintf("was %s, now %s", shown(ch.A), shown(ch.B))})
	}
	return e
}

// checkSameData compares every split with what the run was started on.
func (t *trainRun) checkSameData(meta runs.Meta) error {
	changed := func(what string, file *dataset.File) error {
		return &DataError{Detail: fault.Detail{Op: "resume", Path: file.Path(),
			Reason: "the " + what + " data has changed since the run was started", Hint: "restore the file, or start a new run"}}
	}
	data := t.job.Data
	if meta.DataHash != "" && meta.DataHash != data.DataHash {
		return changed("training", data.Train)
	}
	path := filepath.Join(t.resumeDir, dataset.ManifestName)
	if missing(path) {
		return nil // the run was stopped before it was written
	}
	used, err := dataset.LoadManifest(path)
	if err != nil {
		return err
	}
	for _, split := range []struct {
		name, what string
		file       *dataset.File
	}{{dataset.Val, "validation", data.Val}, {dataset.Test, "test", data.Test}} {
		if files := used.Of(split.name); len(files) == 1 && split.file != nil && files[0].SHA256 != split.file.SHA256() {
			return changed(split.what, split.file)
		}
	}
	return nil
}

func (t *trainRun) checkSameBase(ctx context.Context, meta runs.Meta) error {
	if meta.BaseWeightsHash == "" {
		return nil // a built-in model, or an older run
	}
	now, err := native.BaseHash(ctx, t.cfg.BaseModel, t.resumeDir)
	if err == nil && now != meta.BaseWeightsHash {
		err = &TrainingError{Detail: fault.Detail{Op: "resume", Path: t.cfg.BaseModel,
			Reason: "the weights of the base model have changed since the run was started",
			Hint:   "restore the model, or start a new run"}}
	}
	return err
}

// reopen takes up a run that stopped and was checked: it takes the run back to
// the checkpoint and writes what a kill in its first moments left out. It warns
// when the environment is another one.
func (t *trainRun) reopen(env runs.Environment) error {
	dir := t.resumeDir
	state, err := t.checkpointState()
	if err != nil {
		return err
	}
	if t.w, err = runs.Reopen(dir); err != nil {
		return cannotReopen(dir, err)
	}
	envHash := t.meta.EnvironmentHash
	t.meta = t.w.Meta()
	if t.meta.EnvironmentHash != envHash {
		t.emit(engine.LogEvent{Warning: true, Message: fmt.Sprintf(
			"the environment differs from the one the run was started in (now %s, %s): its weights may differ from an uninterrupted run's",
			env.CPU, env.InstructionSet)})
	}
	if missing(filepath.Join(dir, environmentName)) {
		t.meta.EnvironmentHash = envHash
		t.meta.ReproducibilityHash = reproducibilityHash(t.meta)
	}
	t.meta.Error, t.meta.Metrics, t.meta.CompletedAt = "", nil, ""
	// A run that was killed could not say how long it took; its checkpoint knows
	// of the training.
	t.meta.DurationSeconds = max(t.meta.DurationSeconds, state.Seconds)
	t.job.Resume = t.checkpoint
	if err := t.takeBack(env, state.Step); err != nil {
		return errors.Join(&TrainingError{Detail: detail("resume", dir, err)}, t.w.Close())
	}
	return nil
}

// takeBack makes the run what it was at a step. Later checkpoints go before the
// log is cut: one that stayed would have a log with a hole.
func (t *trainRun) takeBack(env runs.Environment, step int) error {
	dir := t.w.Dir()
	if err := native.RemoveLeftovers(dir); err != nil {
		return err
	}
	removed, err := native.RemoveCheckpointsAfter(dir, step)
	if removed > 0 {
		t.emit(engine.LogEvent{Message: fmt.Sprintf("%d later checkpoints are removed: the run goes another way from step %d", removed, step)})
	}
	if err != nil {
		return err
	}
	if err := t.writeInputs(env); err != nil {
		return err
	}
	if err := t.w.WriteMeta(t.meta); err != nil {
		return err
	}
	return t.w.TruncateLogAfter(step)
}

// checkpointState is what is needed here of the state of a checkpoint, zero
// without one. The engine looks at the rest.
func (t *trainRun) checkpointState() (state struct {
	Step    int     `json:"global_step"`
	Seconds float64 `json:"train_seconds"`
}, err error) {
	if t.checkpoint == "" {
		return state, nil
	}
	path := filepath.Join(t.checkpoint, "trainer_state.json")
	const most = 1 << 20 // bytes
	data, err := regular.Read(path, most)
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	if number := strings.TrimPrefix(filepath.Base(t.checkpoint), "checkpoint-"); err == nil && number != strconv.Itoa(state.Step) {
		err = fmt.Errorf("it is at step %d", state.Step)
	}
	if err != nil {
		d := detail("resume", path, err)
		d.Hint = "resume from an older checkpoint of the run, or start again without --resume"
		return state, &TrainingError{Detail: d}
	}
	return state, nil
}
