package core_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs"
)

func metaOf(t *testing.T, run *runs.Run) runs.Meta {
	t.Helper()
	meta, err := run.Meta()
	require.NoError(t, err)
	return meta
}

// edit changes one field of a JSON file.
func edit(t *testing.T, path, key string, value any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(data, &m))
	m[key] = value
	data, err = json.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o644))
}

// appendTo adds a copy of a file's first line to its end, and returns a
// function that puts the file back.
func appendTo(t *testing.T, path string) (restore func()) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(data), "\n")
	require.NoError(t, os.WriteFile(path, []byte(string(data)+first+"\n"), 0o644))
	return func() { require.NoError(t, os.WriteFile(path, data, 0o644)) }
}

// warnings trains or plans and returns what it warned of.
func warnings(t *testing.T, opt core.TrainOptions) []string {
	t.Helper()
	var out []string
	opt.Events = func(ev engine.Event) {
		if l, ok := ev.(engine.LogEvent); ok && l.Warning {
			out = append(out, l.Message)
		}
	}
	if opt.DryRun {
		var plan engine.Plan
		opt.Plan = &plan
		_, err := core.Train(context.Background(), opt)
		require.NoError(t, err)
		return append(out, plan.Warnings...)
	}
	mustTrain(t, opt)
	return out
}

func TestDurationOverInterruptions(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	run := interruptedRun(t, cfg)
	first := metaOf(t, run).DurationSeconds
	assert.Positive(t, first)
	mustTrain(t, core.TrainOptions{ResumeFrom: run.Dir()})
	assert.Greater(t, metaOf(t, run).DurationSeconds, first)

	// A run that was killed knows its time from its checkpoint.
	killed := interruptedRun(t, cfg)
	path := filepath.Join(killed.Dir(), "run_meta.json")
	edit(t, path, "status", "running")
	edit(t, path, "duration_seconds", 0)
	edit(t, filepath.Join(killed.Dir(), "checkpoints/checkpoint-5/trainer_state.json"), "train_seconds", 1000)
	mustTrain(t, core.TrainOptions{ResumeFrom: killed.Dir()})
	assert.Greater(t, metaOf(t, killed).DurationSeconds, 1000.0)
	assert.Less(t, metaOf(t, killed).DurationSeconds, 1500.0)
}

// TestResumeChecksWhatTheRunStandsOn: every split and the base model.
func TestResumeChecksWhatTheRunStandsOn(t *testing.T) {
	base := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", false, set("training.num_epochs", 1))})
	cfg := smallConfig(t, "sft", true, set("base_model", base.Dir()))
	run := interruptedRun(t, cfg)
	assert.Regexp(t, "^sha256:[0-9a-f]{64}$", metaOf(t, run).BaseWeightsHash)
	resume := func() error {
		_, err := core.Train(context.Background(), core.TrainOptions{ResumeFrom: run.Dir()})
		return err
	}
	for what, path := range map[string]string{"training": *cfg.DataPaths.Train, "validation": *cfg.DataPaths.Val, "test": *cfg.DataPaths.Test} {
		restore := appendTo(t, path)
		err := resume()
		require.Equal(t, "data", kind(err), what)
		assert.Contains(t, err.Error(), path+": the "+what+" data has changed")
		restore()
	}
	model := filepath.Join(base.Dir(), "model/model.safetensors")
	flip(t, model)
	err := resume()
	require.Equal(t, "training", kind(err), "%v", err)
	assert.Contains(t, err.Error(), "base model")
	flip(t, model)
	require.NoError(t, resume())

	flip(t, model)
	_, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir()})
	require.Equal(t, "eval", kind(err))
	assert.Contains(t, err.Error(), "weights have changed")
}

func TestDryRunOfAResumption(t *testing.T) {
	run := interruptedRun(t, smallConfig(t, "sft", true))
	var plan engine.Plan
	dry := core.TrainOptions{ResumeFrom: run.Dir(), DryRun: true, Plan: &plan}
	_, err := core.Train(context.Background(), dry)
	require.NoError(t, err)
	assert.Equal(t, 12, plan.TotalSteps)
	assert.Equal(t, runs.StatusInterrupted, metaOf(t, run).Status, "nothing is written")
	seed := int64(7)
	dry.Seed = &seed
	_, err = core.Train(context.Background(), dry)
	assert.Equal(t, "config", kind(err))
	dry.Seed = nil

	w, err := runs.Reopen(run.Dir())
	require.NoError(t, err)
	_, err = core.Train(context.Background(), dry)
	require.ErrorIs(t, err, runs.ErrLocked)
	require.NoError(t, w.Close())

	mustTrain(t, core.TrainOptions{ResumeFrom: run.Dir()})
	_, err = core.Train(context.Background(), dry)
	assert.Equal(t, "training", kind(err))
	require.ErrorIs(t, err, runs.ErrCompleted)
	assert.Equal(t, 1, strings.Count(err.Error(), run.Dir()), "%v", err)
}

func TestChangedSettingsAreShownAsInAFile(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	run := interruptedRun(t, cfg)
	_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg, ResumeFrom: run.Dir(), Overrides: []config.Override{
		set("eval.slice_by_tags", nil), set("name", "again"), set("training.learning_rate", 1e-4)}})
	require.Equal(t, "config", kind(err))
	for _, want := range []string{
		`eval.slice_by_tags: was ["half", "odd"], now not set`, `name: was not set, now "again"`, "training.learning_rate: was 0.001, now 0.0001",
	} {
		assert.Contains(t, err.Error(), want)
	}
}

// TestStartedIsToldOfRunsThatStay: a run that is refused, and so removed, was
// never announced.
func TestStartedIsToldOfRunsThatStay(t *testing.T) {
	started := 0
	opt := core.TrainOptions{Config: smallConfig(t, "sft", true, set("compute.device", "cuda")), Started: func(*runs.Run) { started++ }}
	_, err := core.Train(context.Background(), opt)
	require.Equal(t, "config", kind(err))
	assert.Zero(t, started)
	opt.Config = smallConfig(t, "sft", true, set("training.num_epochs", 1))
	opt.Events = func(ev engine.Event) {
		assert.Equal(t, 1, started, "the run is announced before anything is told of it")
	}
	mustTrain(t, opt)
	assert.Equal(t, 1, started)
}

func TestWarnings(t *testing.T) {
	t.Run("tags that no row has", func(t *testing.T) {
		want := []string{`no row has the tag "opp"; the data has half, odd`, `no row has the tag "len"; the data has half, odd`}
		cfg := smallConfig(t, "sft", true, set("training.num_epochs", 1), set("eval.slice_by_tags", []any{"half", "opp", "len*opp", "half*odd"}))
		assert.Subset(t, warnings(t, core.TrainOptions{Config: cfg, DryRun: true}), want)
		got := warnings(t, core.TrainOptions{Config: cfg})
		assert.Subset(t, got, want)
		assert.Len(t, strings.Split(strings.Join(got, "\n"), `"opp"`), 2, "once")
	})
	t.Run("data of the config that --dataset drops", func(t *testing.T) {
		cfg := smallConfig(t, "sft", true)
		got := warnings(t, core.TrainOptions{Config: cfg, DryRun: true, Dataset: rows(t, "sft", "other", 48, 2)})
		require.Len(t, got, 3, "the third is about the base model")
		assert.Contains(t, got[0], "data_paths.val ("+*cfg.DataPaths.Val+") is not used")
		assert.Contains(t, got[1], "data_paths.test")
		yaml, err := cfg.YAML()
		require.NoError(t, err)
		path := write(t, filepath.Join(t.TempDir(), "train.yaml"), string(yaml))
		assert.Equal(t, got, warnings(t, core.TrainOptions{ConfigPath: path, DryRun: true, Dataset: rows(t, "sft", "other", 48, 2)}))
	})
	t.Run("settings without effect", func(t *testing.T) {
		cfg := smallConfig(t, "sft", false, set("lora.r", 4), set("dataset_version", "words@1"))
		got := warnings(t, core.TrainOptions{Config: cfg, DryRun: true})
		require.Len(t, got, 2)
		assert.Contains(t, got[0], "dataset_version")
		assert.Contains(t, got[1], "lora.r")
	})
}

// TestAnotherFolder: a run remembers where it was started, so that the relative
// paths of its config lead there.
func TestAnotherFolder(t *testing.T) {
	home, away := t.TempDir(), t.TempDir()
	t.Chdir(home)
	base := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", false, set("output.dir", "runs"), set("training.num_epochs", 1))})
	here := map[string]any{}
	for _, split := range []string{"train", "val", "test"} {
		path := "data/" + split + ".jsonl"
		data, err := os.ReadFile(rows(t, "sft", split, 48, len(split)))
		require.NoError(t, err)
		write(t, path, string(data))
		here[split] = path
	}
	cfg := smallConfig(t, "sft", true, set("data_paths", here), set("output.dir", "runs"),
		set("base_model", "runs/"+filepath.Base(base.Dir())))
	want := mustTrain(t, core.TrainOptions{Config: cfg})
	run := interruptedRun(t, cfg)
	assert.Equal(t, home, metaOf(t, run).WorkingDir)

	t.Chdir(away)
	mustTrain(t, core.TrainOptions{ResumeFrom: run.Dir()})
	assert.Equal(t, weights(t, want), weights(t, run))
	_, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir()})
	require.NoError(t, err)

	// What is in neither place is an error that names both.
	require.NoError(t, os.Rename(filepath.Join(home, "data/test.jsonl"), filepath.Join(home, "data/gone.jsonl")))
	_, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir()})
	require.Equal(t, "data", kind(err))
	assert.Contains(t, hint(err), home)
	require.NoError(t, os.Rename(filepath.Join(home, "data/gone.jsonl"), filepath.Join(home, "data/test.jsonl")))
	require.NoError(t, os.Rename(base.Dir(), base.Dir()+"x"))
	_, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run.Dir()})
	require.Equal(t, "eval", kind(err))
	assert.Contains(t, hint(err), home)
	assert.Contains(t, hint(err), "is an adapter over this model")
}

// TestAdapterNamesItsBase: adapter_config.json says where PEFT finds the base.
func TestAdapterNamesItsBase(t *testing.T) {
	baseOf := func(run *runs.Run) string {
		data, err := os.ReadFile(filepath.Join(run.Dir(), "adapter/adapter_config.json"))
		require.NoError(t, err)
		var f struct {
			Base string `json:"base_model_name_or_path"`
		}
		require.NoError(t, json.Unmarshal(data, &f))
		return f.Base
	}
	short := set("training.num_epochs", 1)
	full := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", false, short)})
	over := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true, short), BaseModel: full.Dir()})
	assert.Equal(t, filepath.Join(full.Dir(), "model"), baseOf(over))
	assert.Equal(t, over.Dir(), baseOf(mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true, short), BaseModel: over.Dir()})))
	assert.Equal(t, "builtin:nano", baseOf(mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true, short)})))
}

// TestBaseModelMessages: what the user is told about a base that is none.
func TestBaseModelMessages(t *testing.T) {
	unfinished := interruptedRun(t, smallConfig(t, "sft", true))
	file := write(t, filepath.Join(t.TempDir(), "model.bin"), "x")
	for _, c := range []struct{ name, message, hint string }{
		{"builtin:nanno", "no built-in model", "did you mean builtin:nano?"},
		{"nano", "neither a folder here nor a built-in", "did you mean builtin:nano?"},
		{"run_20260101_120000_abcdef", "neither a folder here", "such as runs/run_20260101_120000_abcdef"},
		{"gpt2", "neither a folder here nor a built-in", "hf download gpt2"},
		{"mistralai/Mistral-7B-v0.3", "neither a folder", "hf download mistralai/Mistral-7B-v0.3 --local-dir"},
		{"./no/such", "neither a folder", "name a local folder"},
		{file, "is a file", "name the folder"},
		{t.TempDir(), "holds no config.json", "completed run"},
		{unfinished.Dir(), "the run is interrupted", "verifily train --resume " + unfinished.Dir()},
	} {
		cfg := smallConfig(t, "sft", true, set("base_model", c.name))
		_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg})
		require.Equal(t, "config", kind(err), c.name)
		assert.Contains(t, err.Error(), c.message, c.name)
		assert.Contains(t, hint(err), c.hint, c.name)
		assert.NotContains(t, err.Error(), "stat ", c.name)
		assertNoRun(t, cfg)
	}
}

func TestResumeByID(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	t.Chdir(t.TempDir())
	cfg.Output.Dir = "runs"
	run := interruptedRun(t, cfg)
	id := filepath.Base(run.Dir())
	assert.Equal(t, id, filepath.Base(mustTrain(t, core.TrainOptions{ResumeFrom: id}).Dir()))
}
