package core_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/reproduce"
	"github.com/verifily/verifily-tui/runs"
)

// TestRetrainOfIngest: what ingest writes is what retrain takes.
func TestRetrainOfIngest(t *testing.T) {
	csv := filepath.Join(t.TempDir(), "in.csv")
	require.NoError(t, os.WriteFile(csv, []byte("question,answer\nwho,me\nwrite to,a@example.com\n"), 0o644))
	dir := filepath.Join(t.TempDir(), "set")
	sum, err := artifact.Ingest(context.Background(), artifact.Options{Input: csv, OutDir: dir, Schema: "sft"})
	require.NoError(t, err)
	res, err := core.Retrain(context.Background(), core.RetrainOptions{DatasetDir: dir, OutputDir: t.TempDir()})
	require.NoError(t, err)
	assert.Equal(t, sum.RowsOut, res.Usage.Units.RowsIn)
	assert.Equal(t, "PII hits (1) exceed max allowed (0)", res.Reasons[0])
	assert.Equal(t, 1, res.ExitCode)
	assert.Equal(t, reproduce.FullMatch, verifyOnly(t, res.RunDir).Verdict)
}

// smallYAML is a training of seconds.
const smallYAML = `task: sft
base_model: builtin:nano
seed: 5
lora: {enabled: false}
tokenizer: {vocab_size: 300}
training: {num_epochs: 2, batch_size: 4, gradient_accumulation_steps: 2, learning_rate: 1e-3, eval_steps: 4, save_steps: 0}
eval: {slice_by_tags: [half], generation_max_new_tokens: 8, generation_num_beams: 1}
`

func TestRetrainReal(t *testing.T) {
	data := rowsArtifact(t, 60)
	_, err := core.Retrain(context.Background(), core.RetrainOptions{DatasetDir: data, OutputDir: t.TempDir(), Mode: "real"})
	require.ErrorIs(t, err, core.ErrRealModeDisabled)
	assert.ErrorIs(t, core.CheckRetrain(core.RetrainOptions{DatasetDir: data, Mode: "real"}), core.ErrRealModeDisabled)

	t.Setenv("VERIFILY_ENABLE_REAL_TRAIN", "1")
	require.NoError(t, os.WriteFile(filepath.Join(data, "train.yaml"), []byte(smallYAML), 0o644))
	out := t.TempDir()
	res, err := core.Retrain(context.Background(), core.RetrainOptions{DatasetDir: data, OutputDir: out, Mode: "real"})
	require.NoError(t, err)
	assert.Contains(t, res.EvalSummary, "f1")
	assert.Contains(t, res.EvalSummary, "eval_loss")
	assert.Equal(t, "DONT_SHIP", res.Decision, "two epochs are not enough")
	assert.Equal(t, 60, res.Usage.Units.RowsOut)
	assert.True(t, contract.Check(res.RunDir).Valid)
	run, err := runs.Open(res.RunDir)
	require.NoError(t, err)
	meta, err := run.Meta()
	require.NoError(t, err)
	assert.Equal(t, "5", meta.Seed.String(), "that of train.yaml")
	assert.Equal(t, "train/model", meta.ArtifactPath)
	results, err := run.EvalResults()
	require.NoError(t, err)
	assert.NotEmpty(t, results.Slices["half"])
	assert.Equal(t, reproduce.FullMatch, verifyOnly(t, res.RunDir).Verdict)
	assert.Equal(t, reproduce.FullMatch, verifyOnly(t, filepath.Join(res.RunDir, "train")).Verdict)
	changed := copyTree(t, res.RunDir)
	flip(t, filepath.Join(changed, "train/model/model.safetensors"))
	assert.Equal(t, reproduce.Mismatch, verifyOnly(t, changed).Verdict)

	// It is evaluated; its training can be once more, but not inside.
	elsewhere := t.TempDir()
	for dir, hint := range map[string]string{res.RunDir: "verifily eval --run " + filepath.Join(res.RunDir, "train") + " --output FOLDER",
		filepath.Join(res.RunDir, "train"): "with --output"} {
		_, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: dir})
		var refused *core.ConfigError
		require.ErrorAs(t, err, &refused, dir)
		assert.Contains(t, refused.Hint, hint)
		assert.Contains(t, refused.Reason, "sealed")
	}
	_, err = core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: filepath.Join(res.RunDir, "train"), OutputDir: elsewhere})
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(elsewhere, "eval_results.json"))
	assert.Equal(t, reproduce.FullMatch, verifyOnly(t, res.RunDir).Verdict)

	again, err := core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: res.RunDir})
	require.NoError(t, err)
	assert.Equal(t, reproduce.FullMatch, again.Verdict())
	assert.Equal(t, reproduce.Match, again.Repeated.Weights.Status)

	// A training with a baseline: compared example by example where a policy asks.
	seeded, err := core.Retrain(context.Background(), core.RetrainOptions{DatasetDir: data, OutputDir: out, Mode: "real", Seed: "6", BaseRunDir: res.RunDir})
	require.NoError(t, err)
	assert.NotEqual(t, res.EvalSummary, seeded.EvalSummary)

	_, err = core.Retrain(context.Background(), core.RetrainOptions{DatasetDir: data, OutputDir: out, Mode: "real", Seed: "99999999999999999999"})
	var configError *core.ConfigError
	require.ErrorAs(t, err, &configError)
}

// TestRetrainPreset: without a train.yaml the built-in preset trains.
func TestRetrainPreset(t *testing.T) {
	t.Setenv("VERIFILY_ENABLE_REAL_TRAIN", "1")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := t.TempDir()
	started := ""
	_, err := core.Retrain(ctx, core.RetrainOptions{DatasetDir: rowsArtifact(t, 60), OutputDir: out, Mode: "real",
		Started: func(run *runs.Run) {
			started = run.Dir()
			cfg, err := config.Load(filepath.Join(run.Dir(), "config.yaml"))
			assert.NoError(t, err)
			assert.Equal(t, "builtin:nano", cfg.BaseModel)
			assert.False(t, cfg.LoRA.Enabled)
			assert.Equal(t, []string{"half", "odd"}, cfg.Eval.SliceByTags)
			cancel()
		}})
	var stopped *core.Interrupted
	require.ErrorAs(t, err, &stopped)
	assert.Empty(t, stopped.RunDir, "there is nothing to resume from")
	assert.Regexp(t, `^interrupted at step \d+ of \d+$`, stopped.Error())
	require.ErrorIs(t, err, engine.ErrInterrupted)
	assert.NotEmpty(t, started)
	assert.NoDirExists(t, started, "what was begun is gone")
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// The training of a retrain that was killed is there to be finished, with its
// splits; the next retrain names it.
func TestRetrainAfterAKill(t *testing.T) {
	t.Setenv("VERIFILY_ENABLE_REAL_TRAIN", "1")
	data, out := rowsArtifact(t, 60), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(data, "train.yaml"), []byte(smallYAML), 0o644))
	killed, err := runs.Create(filepath.Join(out, "train"), runs.CreateOptions{Meta: runs.Meta{Status: runs.StatusInterrupted}})
	require.NoError(t, err)
	require.NoError(t, killed.Close())
	var warned []string
	_, err = core.Retrain(context.Background(), core.RetrainOptions{DatasetDir: data, OutputDir: out, Mode: "real", Events: func(ev engine.Event) {
		if l, ok := ev.(engine.LogEvent); ok && l.Warning {
			warned = append(warned, l.Message)
		}
	}})
	require.NoError(t, err)
	require.NotEmpty(t, warned)
	assert.Equal(t, "a retrain that was killed has left its training: finish it with verifily train --resume "+killed.Dir()+", or delete it", warned[0])
	assert.DirExists(t, killed.Dir())
}
