package reproduce_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/reproduce"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

func environment() runs.Environment {
	return runs.Environment{RuntimeVersion: "3.11.4", Platform: "linux/amd64", OS: "linux",
		Packages: map[string]string{"torch": "2.2.0", "peft": "0.9"}, GPU: map[string]any{"name": "A100"}}
}

// trained writes a run over a data file of its own.
func trained(t *testing.T, weights string, f1 float64) string {
	t.Helper()
	return trainedIn(t, environment(), weights, f1)
}

func trainedIn(t *testing.T, env runs.Environment, weights string, f1 float64) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "train.jsonl")
	require.NoError(t, os.WriteFile(data, []byte(`{"instruction":"say","output":"yes"}`+"\n"), 0o644))
	sum, err := canonical.FileHash(data)
	require.NoError(t, err)
	cfg, err := config.FromMap(map[string]any{"task": "sft", "base_model": "builtin:nano", "data_paths": map[string]any{"train": data}})
	require.NoError(t, err)
	yaml, err := cfg.YAML()
	require.NoError(t, err)
	envHash, err := env.Hash()
	require.NoError(t, err)
	m := runs.Meta{Task: "sft", Seed: "42", ConfigHash: cfg.Hash(), DataHash: "sha256:" + sum, EnvironmentHash: envHash,
		ReproducibilityHash: runs.ReproducibilityHash(cfg.Hash(), "sha256:"+sum, envHash, "42")}
	w, err := runs.Create(t.TempDir(), runs.CreateOptions{Meta: m})
	require.NoError(t, err)
	require.NoError(t, w.WriteConfig(yaml))
	require.NoError(t, w.WriteManifest([]byte("{}\n")))
	require.NoError(t, w.WriteEnvironment(env))
	require.NoError(t, os.Mkdir(filepath.Join(w.Dir(), "adapter"), 0o755))
	if weights != "" {
		require.NoError(t, os.WriteFile(filepath.Join(w.Dir(), "adapter/adapter_model.safetensors"), []byte(weights), 0o644))
	}
	e, err := runs.BeginEval(w.Dir())
	require.NoError(t, err)
	require.NoError(t, e.Commit(runs.EvalResults{RunID: w.ID(), NumExamples: 1, Overall: map[string]float64{"f1": f1}}, nil, nil))
	m = w.Meta()
	m.Status = runs.StatusCompleted
	require.NoError(t, w.Finish(m))
	return w.Dir()
}

func verify(t *testing.T, dir string, env runs.Environment) *reproduce.Report {
	t.Helper()
	r, err := reproduce.Verify(context.Background(), dir, reproduce.Options{Environment: env})
	require.NoError(t, err)
	return r
}

func check(t *testing.T, r *reproduce.Report, name string) reproduce.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	require.Failf(t, "no check", "%s in %+v", name, r)
	return reproduce.Check{}
}

func edit(t *testing.T, path, old, new string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(data), old)
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(data), old, new)), 0o644))
}

func TestFullMatch(t *testing.T) {
	r := verify(t, trained(t, "w", 0.5), environment())
	assert.Equal(t, reproduce.FullMatch, r.Verdict)
	var names []string
	for _, c := range r.Checks {
		assert.Equal(t, reproduce.Match, c.Status, c.Name)
		assert.Empty(t, c.Differs)
		names = append(names, c.Name)
	}
	assert.Equal(t, []string{"config", "data", "environment", "weights", "files", "chain", "reproducibility"}, names)
	assert.Equal(t, 0, r.ExitCode())
}

func TestEnvironmentDiffers(t *testing.T) {
	dir := trained(t, "w", 0.5)
	now := environment()
	now.Packages = map[string]string{"torch": "2.3.1", "accelerate": "1.0"}
	now.GPU = nil
	r := verify(t, dir, now)
	assert.Equal(t, reproduce.PartialMatch, r.Verdict)
	assert.Equal(t, 0, r.ExitCode())
	assert.Equal(t, reproduce.Changed, check(t, r, "environment").Status, "the run itself is intact")
	assert.Equal(t, []string{"accelerate missing, now 1.0", "gpu.name A100, now missing", "peft 0.9, now missing",
		"torch 2.2.0, now 2.3.1"}, check(t, r, "environment").Differs)
}

// Runs of this program once recorded all modules that were linked in.
func TestEnvironmentWithModulesOfAScreen(t *testing.T) {
	used := map[string]string{"verifily": "v1", "yaml": "v3.0.1"}
	then, now := environment(), environment()
	then.Packages, now.Packages = map[string]string{"verifily": "v1", "yaml": "v3.0.1", "bubbletea": "v1.3.10"}, used
	dir := trainedIn(t, then, "w", 0.5)
	r := verify(t, dir, now)
	assert.Equal(t, reproduce.FullMatch, r.Verdict)
	assert.Empty(t, check(t, r, "environment").Differs)
	used["yaml"], used["regexp2"] = "v3.0.2", "v1.12.0"
	r = verify(t, dir, now)
	assert.Equal(t, reproduce.PartialMatch, r.Verdict)
	assert.Equal(t, []string{"regexp2 missing, now v1.12.0", "yaml v3.0.1, now v3.0.2"}, check(t, r, "environment").Differs)
}

// Every one of these makes the run something other than it claims to be.
func TestMismatches(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		check  string
		says   string
	}{
		"config": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "config.yaml"), "num_epochs: 3", "num_epochs: 4")
		},
			"config", "config.yaml is not the one that was hashed"},
		"config is gone": {func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "config.yaml"))) },
			"config", "cannot be read"},
		"environment": {func(t *testing.T, dir string) { edit(t, filepath.Join(dir, "environment.json"), "2.2.0", "2.3.1") },
			"environment", "environment.json is not the one that was hashed"},
		"weights": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "adapter/adapter_model.safetensors"), "w", "x")
		},
			"weights", "adapter/adapter_model.safetensors was changed"},
		"weights are gone": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "adapter/adapter_model.safetensors")))
		}, "weights", "is missing"},
		"weights and their entry": {func(t *testing.T, dir string) {
			path := filepath.Join(dir, "adapter/adapter_model.safetensors")
			old, err := canonical.FileHash(path)
			require.NoError(t, err)
			edit(t, path, "w", "x")
			sum, err := canonical.FileHash(path)
			require.NoError(t, err)
			edit(t, filepath.Join(dir, "hashes.json"), old, sum)
		}, "chain", "chain_hash is not that of the files listed"},
		"results": {func(t *testing.T, dir string) { edit(t, filepath.Join(dir, "eval/eval_results.json"), "0.5", "0.9") },
			"files", "eval/eval_results.json was changed"},
		"chain": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "hashes.json"), `"chain_hash": "`, `"chain_hash": "0`)
		},
			"chain", "chain_hash"},
		"config hash": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "hashes.json"), `"config_hash": "sha256:`, `"config_hash": "sha256:0`)
		},
			"config_hash", "hashes.json and run_meta.json disagree"},
		"seed": {func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "run_meta.json"), `"seed": 42`, `"seed": 43`)
		},
			"reproducibility", "reproducibility_hash is not that of"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := trained(t, "w", 0.5)
			c.change(t, dir)
			r := verify(t, dir, environment())
			assert.Equal(t, reproduce.Mismatch, r.Verdict)
			assert.Equal(t, 2, r.ExitCode())
			got := check(t, r, c.check)
			assert.Equal(t, reproduce.Differs, got.Status)
			assert.Contains(t, strings.Join(got.Differs, "; "), c.says)
		})
	}
}

func TestOldWritersWithFewHashes(t *testing.T) {
	dir := trained(t, "w", 0.5)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hashes.json"), []byte(`{"config_hash":"sha256:typed-by-hand"}`), 0o644))
	r := verify(t, dir, environment())
	assert.Equal(t, reproduce.Mismatch, r.Verdict)
	assert.Contains(t, r.Notes, "files: no hash was recorded")

	// Writers that hash the config as they write it, defaults left out.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("task: sft\nbase_model: x\n"), 0o644))
	sum, err := canonical.Hash(map[string]any{"task": "sft", "base_model": "x"})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hashes.json"), []byte(`{"config_hash":"`+sum+`"}`), 0o644))
	require.NoError(t, os.Remove(filepath.Join(dir, "run_meta.json")))
	r = verify(t, dir, environment())
	assert.Equal(t, reproduce.Match, check(t, r, "config").Status)
}

// A run whose hashes were taken away is not what nobody can see it is not.
func TestFilesWithoutHashesAreNoMatch(t *testing.T) {
	for name, hashes := range map[string]string{
		"none":     `{}`,
		"no files": `{"files":{},"chain_hash":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := trained(t, "w", 0.5)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "hashes.json"), []byte(hashes), 0o644))
			edit(t, filepath.Join(dir, "adapter/adapter_model.safetensors"), "w", "x")
			r := verify(t, dir, environment())
			assert.Equal(t, reproduce.ConfigMatchOnly, r.Verdict)
			assert.Equal(t, 2, r.ExitCode())
			require.NoError(t, os.WriteFile(filepath.Join(dir, "run_meta.json"), []byte(`{"status":"completed"}`), 0o644))
			assert.Equal(t, reproduce.Mismatch, verify(t, dir, environment()).Verdict, "nothing tells of the config either")
		})
	}
}

func TestDecisionWithoutHashes(t *testing.T) {
	dir := trained(t, "w", 0.5)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "decision"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "decision/decision.json"), []byte("{}"), 0o644))
	r := verify(t, dir, environment())
	assert.Equal(t, reproduce.FullMatch, r.Verdict)
	assert.Equal(t, []string{"decision: it has no hashes, so a change to it would not be seen"}, r.Notes)
	for _, ours := range []string{"gates.json", "audit_log.jsonl"} { // the hashes of one of ours were taken away
		path := filepath.Join(dir, "decision", ours)
		require.NoError(t, os.WriteFile(path, []byte("{}"), 0o644))
		r = verify(t, dir, environment())
		assert.Equal(t, reproduce.Mismatch, r.Verdict, ours)
		assert.Equal(t, []string{"decision/hashes.json is missing"}, check(t, r, "decision").Differs)
		require.NoError(t, os.Remove(path))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "decision/hashes.json"), []byte("{"), 0o644))
	assert.Equal(t, reproduce.Mismatch, verify(t, dir, environment()).Verdict)
}

func TestFilesOutsideTheHashes(t *testing.T) {
	dir := trained(t, "w", 0.5)
	for _, name := range []string{"checkpoints/checkpoint-1/model.safetensors", "train/checkpoints/checkpoint-1/model.safetensors"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("w"), 0o644))
	}
	assert.Empty(t, verify(t, dir, environment()).Notes, "checkpoints come and go")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "more.txt"), []byte("w"), 0o644))
	assert.Equal(t, []string{"more.txt is not covered by hashes.json"}, verify(t, dir, environment()).Notes)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other.txt"), []byte("w"), 0o644))
	assert.Equal(t, []string{"2 files are not covered by hashes.json, the first is more.txt"}, verify(t, dir, environment()).Notes)
}

func TestNothingToVerify(t *testing.T) {
	for name, content := range map[string]string{"no hashes": "", "damaged hashes": "{"} {
		dir := trained(t, "w", 0.5)
		require.NoError(t, os.Remove(filepath.Join(dir, "hashes.json")))
		if content != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "hashes.json"), []byte(content), 0o644))
		}
		_, err := reproduce.Verify(context.Background(), dir, reproduce.Options{})
		var typed *fault.ReproduceError
		require.ErrorAs(t, err, &typed, name)
		assert.NotEmpty(t, typed.Hint)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := reproduce.Verify(ctx, trained(t, "w", 0.5), reproduce.Options{Environment: environment()})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name      string
		a, b      string // weights
		x, y      float64
		tolerance float64
		verdict   reproduce.Verdict
		weights   reproduce.Status
	}{
		{"byte-identical", "w", "w", 0.5, 0.5, 0, reproduce.FullMatch, reproduce.Match},
		{"close", "w", "v", 0.5, 0.505, 0.01, reproduce.PartialMatch, reproduce.Differs},
		{"not close", "w", "v", 0.5, 0.52, 0.01, reproduce.Mismatch, reproduce.Differs},
		{"no weights, equal", "", "", 0.5, 0.5, 0, reproduce.FullMatch, reproduce.NotThere},
		{"no weights, close", "", "", 0.5, 0.505, 0.01, reproduce.PartialMatch, reproduce.NotThere},
		{"weights in one only", "w", "", 0.5, 0.52, 0.01, reproduce.Mismatch, reproduce.Differs},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := reproduce.Compare(trained(t, c.a, c.x), trained(t, c.b, c.y), c.tolerance)
			require.NoError(t, err)
			assert.Equal(t, c.verdict, got.Verdict)
			assert.Equal(t, c.weights, got.Weights.Status)
			require.Len(t, got.Metrics, 1)
			assert.Equal(t, c.x, *got.Metrics[0].Original)
			assert.Equal(t, c.y, *got.Metrics[0].New)
			assert.Equal(t, c.verdict != reproduce.Mismatch, got.Metrics[0].Within)
		})
	}
}
