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
		name := "candidate"
		cfg.Name = &name
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
		named, err := core.FindRun(name, filepath.Dir(run.Dir()))
		require.NoError(t, err)
		assert.Equal(t, run.Dir(), named, "the name is still that of the original")
		assert.NotEqual(t, run.Dir(), res.Repeated.New)
		assert.Equal(t, filepath.Dir(run.Dir()), filepath.Dir(res.Repeated.New))
		assert.Equal(t, before, tree(t, run.Dir()), "the original is not touched")
	}
}

// TestReproduceElsewhere: a run that was made with relative paths can be
// verified and repeated from another folder, by its id.
func TestReproduceElsewhere(t *testing.T) {
	home := t.TempDir()
	t.Chdir(home)
	short := set("training.num_epochs", 1)
	base := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", false, set("output.dir", "runs"), short)})
	here := map[string]any{}
	for _, split := range []string{"train", "val", "test"} {
		data, err := os.ReadFile(rows(t, "sft", split, 24, len(split)))
		require.NoError(t, err)
		here[split] = split + ".jsonl"
		require.NoError(t, os.WriteFile(split+".jsonl", data, 0o644))
	}
	run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true, set("data_paths", here), set("output.dir", "runs"), short,
		set("base_model", "runs/"+filepath.Base(base.Dir())))})

	t.Chdir(t.TempDir())
	res, err := core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: filepath.Base(run.Dir()), RunsDir: filepath.Join(home, "runs")})
	require.NoError(t, err)
	assert.Equal(t, reproduce.FullMatch, res.Verified.Verdict, "%+v", res.Verified)
	assert.Equal(t, reproduce.FullMatch, res.Verdict())
	assert.Equal(t, filepath.Join(home, "runs"), filepath.Dir(res.Repeated.New))
	assert.Equal(t, reproduce.FullMatch, verifyOnly(t, res.Repeated.New).Verdict, "the new run can be found from here too")

	var typed *core.ReproduceError
	_, err = core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: "none", RunsDir: filepath.Join(home, "runs")})
	require.ErrorAs(t, err, &typed)
	assert.Contains(t, typed.Hint, "run_")
}

// TestReproduceRetrainElsewhere: the same of a retrain.
func TestReproduceRetrainElsewhere(t *testing.T) {
	data, out := rowsArtifact(t, 40), t.TempDir()
	t.Chdir(filepath.Dir(data))
	res, err := core.Retrain(context.Background(), core.RetrainOptions{DatasetDir: filepath.Base(data), OutputDir: out})
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	again, err := core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: res.RunDir})
	require.NoError(t, err)
	assert.Equal(t, reproduce.FullMatch, again.Verified.Verdict, "%+v", again.Verified)
	assert.Equal(t, reproduce.FullMatch, again.Verdict())
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
