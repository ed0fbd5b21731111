package core_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/engine/native/bpe"
	"github.com/verifily/verifily-tui/runs"
)

// killedAtStart is a run that was killed before it had more than its
// run_meta.json.
func killedAtStart(t *testing.T, cfg *config.Config) *runs.Run {
	t.Helper()
	run := interruptedRun(t, cfg)
	entries, err := os.ReadDir(run.Dir())
	require.NoError(t, err)
	for _, e := range entries {
		if e.Name() != "run_meta.json" && e.Name()[0] != '.' { // the lock and the heartbeat stay
			require.NoError(t, os.RemoveAll(filepath.Join(run.Dir(), e.Name())))
		}
	}
	edit(t, filepath.Join(run.Dir(), "run_meta.json"), "status", "running")
	return run
}

// TestKilledAtTheStart: what a run stands on is written when it is resumed, so
// that it can be completed.
func TestKilledAtTheStart(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	want := mustTrain(t, core.TrainOptions{Config: cfg})
	run := killedAtStart(t, cfg)
	_, err := core.Train(context.Background(), core.TrainOptions{ResumeFrom: run.Dir()})
	require.Equal(t, "config", kind(err))
	assert.Contains(t, err.Error(), filepath.Join(run.Dir(), "config.yaml"))
	assert.Contains(t, hint(err), "--config")
	seed := int64(7)
	_, err = core.Train(context.Background(), core.TrainOptions{ResumeFrom: run.Dir(), Config: cfg, Seed: &seed})
	require.Equal(t, "config", kind(err))
	assert.Contains(t, err.Error(), "another configuration")
	_, err = core.Train(context.Background(), core.TrainOptions{ResumeFrom: run.Dir(), Config: cfg, DryRun: true})
	require.NoError(t, err)
	assert.NoFileExists(t, filepath.Join(run.Dir(), "config.yaml"), "a dry run writes nothing")

	edit(t, filepath.Join(run.Dir(), "run_meta.json"), "environment_hash", "sha256:of-another-machine")
	mustTrain(t, core.TrainOptions{ResumeFrom: run.Dir(), Config: cfg})
	assert.Equal(t, weights(t, want), weights(t, run))
	assert.Equal(t, metaOf(t, want).EnvironmentHash, metaOf(t, run).EnvironmentHash, "that of the file")
	for _, name := range []string{"config.yaml", "manifest.json", "environment.json"} {
		assertSameFile(t, want, run, name)
	}
	checkHashes(t, run)
	checkLog(t, run)
}

// TestManifestIsGone: what cannot be compared any more is told.
func TestManifestIsGone(t *testing.T) {
	run := interruptedRun(t, smallConfig(t, "sft", true))
	require.NoError(t, os.Remove(filepath.Join(run.Dir(), "manifest.json")))
	assert.Contains(t, strings.Join(warnings(t, core.TrainOptions{ResumeFrom: run.Dir()}), "\n"), "manifest.json of the run is gone")
	checkHashes(t, run)
}

// TestResumeFromAnOlderCheckpoint: those that came after it are of a future
// that will not be, and a damaged one costs none of them.
func TestResumeFromAnOlderCheckpoint(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	want := mustTrain(t, core.TrainOptions{Config: cfg})
	run := interruptedRun(t, cfg)
	older, later := filepath.Join(run.Dir(), "checkpoints/checkpoint-3"), filepath.Join(run.Dir(), "checkpoints/checkpoint-5")
	for _, name := range []string{"optimizer.safetensors", "adapter_model.safetensors"} {
		path := filepath.Join(older, name)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, 100))
		_, err = core.Train(context.Background(), core.TrainOptions{ResumeFrom: older})
		require.Equal(t, "training", kind(err))
		assert.Contains(t, err.Error(), name)
		assert.DirExists(t, later)
		require.NoError(t, os.WriteFile(path, data, 0o644))
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	said := ""
	_, err := core.Train(ctx, core.TrainOptions{ResumeFrom: older, Events: func(ev engine.Event) {
		switch e := ev.(type) {
		case engine.LogEvent:
			said += e.Message + "\n"
		case engine.StepEvent:
			if e.Step == 4 {
				assert.NoDirExists(t, later)
				cancel()
			}
		}
	}})
	require.ErrorIs(t, err, engine.ErrInterrupted)
	assert.Contains(t, said, "1 later checkpoints are removed")
	mustTrain(t, core.TrainOptions{ResumeFrom: run.Dir()})
	assert.Equal(t, weights(t, want), weights(t, run))
	assert.Equal(t, lossLines(t, want), lossLines(t, run))
}

// TestEvaluationIsCheckedBeforeTraining: what an evaluation would be refused
// for is told by a dry run, and leaves no run behind.
func TestEvaluationIsCheckedBeforeTraining(t *testing.T) {
	gold := func(text string) config.Override {
		return set("eval.gold_set", write(t, filepath.Join(t.TempDir(), "gold.jsonl"), text))
	}
	for _, c := range []struct {
		name, task, kind, message string
		set                       []config.Override
	}{
		{"no room for a prompt", "sft", "config", "the model has 4096 positions", []config.Override{set("eval.generation_max_new_tokens", 4096)}},
		{"more beams than tokens", "sft", "config", "the model has 300 tokens", []config.Override{set("eval.generation_num_beams", 301)}},
		{"caches without end", "sft", "config", "above the limit", []config.Override{set("eval.generation_num_beams", 300),
			set("eval.generation_max_new_tokens", 4000), set("eval.batch_size", 2_000_000_000)}},
		{"no gold set", "sft", "data", "no/such/gold.jsonl", []config.Override{set("eval.gold_set", "no/such/gold.jsonl")}},
		{"broken gold set", "sft", "data", "gold.jsonl:2", []config.Override{gold(`{"instruction":"a","output":"b"}` + "\n" + `{"instruction":`)}},
		{"gold set of another task", "classification", "data", "gold.jsonl:1", []config.Override{gold(`{"instruction":"a","output":"b"}` + "\n")}},
		{"gold set with another label", "classification", "data", "hihg", []config.Override{gold(`{"text":"a","label":"hihg"}` + "\n")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := smallConfig(t, c.task, true, c.set...)
			for _, dry := range []bool{true, false} {
				_, err := core.Train(context.Background(), core.TrainOptions{Config: cfg, DryRun: dry})
				require.Equal(t, c.kind, kind(err), "%v", err)
				assert.Contains(t, err.Error(), c.message)
				assert.NotEmpty(t, hint(err))
				assertNoRun(t, cfg)
			}
			off := smallConfig(t, c.task, true, append(c.set, set("eval.enabled", false))...)
			_, err := core.Train(context.Background(), core.TrainOptions{Config: off, DryRun: true})
			require.NoError(t, err, "nothing is evaluated")
		})
	}
}

func TestWarningOfCutPrompts(t *testing.T) {
	short := warnings(t, core.TrainOptions{Config: smallConfig(t, "sft", true), DryRun: true})
	assert.NotContains(t, strings.Join(short, "\n"), "lose their start")
	cfg := smallConfig(t, "sft", true, set("eval.generation_max_new_tokens", 4090))
	assert.Contains(t, strings.Join(warnings(t, core.TrainOptions{Config: cfg, DryRun: true}), "\n"),
		"20 prompts of test.jsonl are longer than 6 tokens and lose their start when they are answered")
}

// TestGenerationIsChosenAnew: an evaluation can ask for shorter answers than
// the run's configuration.
func TestGenerationIsChosenAnew(t *testing.T) {
	run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true, set("training.num_epochs", 1))})
	tok, err := bpe.Load(filepath.Join(run.Dir(), "tokenizer"))
	require.NoError(t, err)
	longest := func() int {
		n := 0
		for _, p := range predictions(t, run) {
			n = max(n, len(tok.Encode(nil, p.Prediction)))
		}
		return n
	}
	before := longest()
	require.Greater(t, before, 2)
	evaluate(t, core.EvaluateOptions{RunPath: run.Dir(), MaxNewTokens: 2, NumBeams: 1})
	assert.Positive(t, longest())
	assert.LessOrEqual(t, longest(), 2)
	for _, opt := range []core.EvaluateOptions{{MaxNewTokens: 4096}, {NumBeams: 301}} {
		opt.RunPath = run.Dir()
		_, err := core.Evaluate(context.Background(), opt)
		assert.Equal(t, "config", kind(err), "%v", err)
	}
}
