package core_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/reproduce"
	"github.com/verifily/verifily-tui/runs"
)

func verifyOnly(t *testing.T, dir string) *reproduce.Report {
	t.Helper()
	res, err := core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: dir, VerifyOnly: true})
	require.NoError(t, err)
	assert.Nil(t, res.Repeated)
	assert.Equal(t, res.Verified.ExitCode(), res.ExitCode())
	return res.Verified
}

// copyTree copies a run, so that a test can change the copy.
func copyTree(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(dir))
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// flip changes one byte of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o644))
}

func TestReproduceTraining(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, lora := range []bool{true, false} {
		cfg := smallConfig(t, "sft", lora)
		run := mustTrain(t, core.TrainOptions{Config: cfg})
		_, err := core.Decide(context.Background(), core.DecideOptions{Run: run.Dir()})
		require.NoError(t, err)
		report := verifyOnly(t, run.Dir())
		assert.Equal(t, reproduce.FullMatch, report.Verdict, "%+v", report)
		assert.Empty(t, report.Notes)

		for name, part := range map[string]string{
			"train_log.jsonl": "train_log.jsonl was changed", "decision/decision.json": "decision.json",
			"decision/decision.txt": "decision.txt", "eval/predictions.jsonl": "eval/predictions.jsonl was changed",
			"run_meta.json": "run_meta.json was changed", "config.yaml": "config.yaml", "environment.json": "environment.json",
			map[bool]string{true: "adapter/adapter_model.safetensors", false: "model/model.safetensors"}[lora]: "model.safetensors was changed",
		} {
			changed := copyTree(t, run.Dir())
			flip(t, filepath.Join(changed, name))
			report := verifyOnly(t, changed)
			assert.Equal(t, reproduce.Mismatch, report.Verdict, name)
			assert.Equal(t, 2, report.ExitCode())
			assert.Contains(t, differences(report), part, name)
		}

		before := tree(t, run.Dir())
		res, err := core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: run.Dir()})
		require.NoError(t, err)
		require.NotNil(t, res.Repeated)
		assert.Equal(t, reproduce.FullMatch, res.Repeated.Verdict)
		assert.Equal(t, reproduce.Match, res.Repeated.Weights.Status)
		assert.NotEqual(t, run.Dir(), res.Repeated.New)
		assert.Equal(t, filepath.Dir(run.Dir()), filepath.Dir(res.Repeated.New))
		assert.Equal(t, before, tree(t, run.Dir()), "the original is not touched")
	}
}

func differences(r *reproduce.Report) string {
	var out []string
	for _, c := range r.Checks {
		out = append(out, c.Differs...)
	}
	return strings.Join(out, "\n")
}

// tree lists the files of a folder with their content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	}))
	return out
}

func TestReproduceAnotherSeedIsAnotherRun(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	run := mustTrain(t, core.TrainOptions{Config: cfg})
	seed := int64(43)
	other := mustTrain(t, core.TrainOptions{Config: cfg, Seed: &seed})
	c, err := reproduce.Compare(run.Dir(), other.Dir(), 0)
	require.NoError(t, err)
	assert.Equal(t, reproduce.Differs, c.Weights.Status)
	assert.Equal(t, reproduce.Mismatch, c.Verdict)
	c, err = reproduce.Compare(run.Dir(), other.Dir(), 100)
	require.NoError(t, err)
	assert.Equal(t, reproduce.PartialMatch, c.Verdict)
}

func TestReproduceNeedsItsData(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	run := mustTrain(t, core.TrainOptions{Config: cfg})
	flip(t, *cfg.DataPaths.Test)
	report := verifyOnly(t, run.Dir())
	assert.Equal(t, reproduce.ConfigMatchOnly, report.Verdict)
	require.NoError(t, os.Remove(*cfg.DataPaths.Train))
	report = verifyOnly(t, run.Dir())
	assert.Equal(t, reproduce.ConfigMatchOnly, report.Verdict)
	assert.Equal(t, 2, report.ExitCode())
	_, err := core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: run.Dir()})
	var typed *core.ReproduceError
	require.ErrorAs(t, err, &typed)
	assert.Contains(t, err.Error(), "data")
}

func TestReproduceRefusals(t *testing.T) {
	var typed *core.ReproduceError
	_, err := core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: t.TempDir(), VerifyOnly: true})
	require.ErrorAs(t, err, &typed)
	w, err := runs.Create(t.TempDir(), runs.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	_, err = core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: w.Dir()})
	require.ErrorAs(t, err, &typed)
	assert.Contains(t, err.Error(), "no hashes.json")
}

func TestReproduceRetrain(t *testing.T) {
	data := rowsArtifact(t, 40)
	out := t.TempDir()
	mock, err := core.Retrain(context.Background(), core.RetrainOptions{DatasetDir: data, OutputDir: out, Seed: "1000000000000000000000000000000"})
	require.NoError(t, err)
	report := verifyOnly(t, mock.RunDir)
	assert.Equal(t, reproduce.FullMatch, report.Verdict, "%+v", report)
	for _, name := range []string{"decision/decision.json", "usage.json", "audit_log.jsonl", "eval/eval_results.json", "config.yaml"} {
		changed := copyTree(t, mock.RunDir)
		flip(t, filepath.Join(changed, name))
		assert.Equal(t, reproduce.Mismatch, verifyOnly(t, changed).Verdict, name)
	}
	// Deciding again, by other limits, keeps the chain of the retrain intact.
	d, err := core.Decide(context.Background(), core.DecideOptions{Run: mock.RunDir, Criteria: map[string]any{"min_f1": 0.99}})
	require.NoError(t, err)
	assert.Equal(t, 1, d.ExitCode)
	assert.Equal(t, reproduce.FullMatch, verifyOnly(t, mock.RunDir).Verdict)

	res, err := core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: mock.RunDir})
	require.NoError(t, err)
	assert.Equal(t, reproduce.FullMatch, res.Verdict())
	assert.Equal(t, "retrain_0002", filepath.Base(res.Repeated.New))

	// Metrics that do not follow from the data set are caught, hashed or not.
	forged := copyTree(t, mock.RunDir)
	path := filepath.Join(forged, "eval/eval_results.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"num_examples":40,"overall":{"f1":0.99,"exact_match":0.99}}`), 0o644))
	require.NoError(t, runs.RefreshEval(forged))
	report = verifyOnly(t, forged)
	assert.Equal(t, reproduce.Mismatch, report.Verdict)
	assert.Contains(t, differences(report), "f1 is 0.99, the data set and seed give")

	flip(t, filepath.Join(data, "dataset.jsonl"))
	assert.Equal(t, reproduce.ConfigMatchOnly, verifyOnly(t, mock.RunDir).Verdict)
}

// rowsArtifact writes a data set artifact of spelling rows.
func rowsArtifact(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(rows(t, "sft", "set", n, 0))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dataset.jsonl"), data, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hashes.json"), []byte(`{"files":{"dataset.jsonl":"`+fileSum(t, filepath.Join(dir, "dataset.jsonl"))+`"}}`), 0o644))
	return dir
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
	assert.NotEmpty(t, started)
	assert.NoDirExists(t, started, "what was begun is gone")
	assert.NoDirExists(t, filepath.Join(out, "runs"))
}
