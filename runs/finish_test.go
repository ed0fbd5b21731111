package runs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// complete fills a run with all there is to a small one and finishes it.
func complete(t *testing.T, w *runs.Writer) {
	t.Helper()
	require.NoError(t, w.WriteConfig([]byte("task: sft\n")))
	require.NoError(t, w.WriteManifest([]byte("{}\n")))
	require.NoError(t, w.WriteEnvironment(runs.Environment{OS: "linux"}))
	require.NoError(t, w.AppendLog(runs.LogLine{Step: 1, Loss: ptr(1.5)}))
	put(t, w.Dir(), "adapter/adapter_model.safetensors", "weights")
	put(t, w.Dir(), "checkpoints/checkpoint-1/model.safetensors", "state")
	m := w.Meta()
	m.Status, m.ConfigHash = runs.StatusCompleted, "sha256:aa"
	require.NoError(t, w.Finish(m))
}

// verify asserts that hashes.json agrees with the files it names.
func verify(t *testing.T, dir string) runs.Hashes {
	t.Helper()
	h, err := open(t, dir).Hashes()
	require.NoError(t, err)
	for name, want := range h.Files {
		got, err := canonical.FileHash(filepath.Join(dir, filepath.FromSlash(name)))
		require.NoError(t, err)
		assert.Equal(t, want, got, name)
	}
	assert.Equal(t, canonical.ChainHash(h.Files), h.ChainHash)
	return h
}

func names(h runs.Hashes) []string {
	out := []string{}
	for name := range h.Files {
		out = append(out, name)
	}
	return out
}

func TestFinishCompleted(t *testing.T) {
	w := create(t, runs.Meta{Task: "sft"})
	evaluate(t, w.Dir(), 1)
	complete(t, w)

	h := verify(t, w.Dir())
	assert.ElementsMatch(t, []string{
		"run_meta.json", "config.yaml", "manifest.json", "environment.json", "train_log.jsonl", "adapter/adapter_model.safetensors",
		"eval/eval_results.json", "eval/predictions.jsonl", "eval/hard_examples.jsonl",
	}, names(h))
	assert.Equal(t, h.Files["adapter/adapter_model.safetensors"], h.AdapterWeightsHash)
	assert.Equal(t, "sha256:aa", h.ConfigHash)
	assert.Equal(t, "sha256", h.HashAlgorithm)
	assert.Equal(t, []string{
		"config_hash", "data_hash", "environment_hash", "reproducibility_hash", "adapter_weights_hash",
		"hash_algorithm", "files", "chain_hash",
	}, keys(t, text(t, w.Dir(), "hashes.json")))

	status, err := open(t, w.Dir()).State(time.Now())
	require.NoError(t, err)
	assert.Equal(t, runs.StatusCompleted, status)
}

func TestFinishRefuses(t *testing.T) {
	w := create(t, runs.Meta{})
	for _, status := range []runs.Status{runs.StatusRunning, runs.StatusPending, runs.StatusDryRun, ""} {
		require.ErrorContains(t, w.Finish(runs.Meta{Status: status}), "does not end a run")
	}
	require.ErrorContains(t, w.WriteMeta(runs.Meta{Status: runs.StatusCompleted}), "only Finish")

	m := w.Meta()
	m.Status = runs.StatusCompleted
	refused := func(missing string) {
		err := w.Finish(m)
		require.ErrorIs(t, err, runs.ErrIncomplete)
		require.ErrorContains(t, err, missing)
		assert.NoFileExists(t, filepath.Join(w.Dir(), "hashes.json"))
	}
	refused("config.yaml")
	require.NoError(t, w.WriteConfig(nil))
	refused("manifest.json")
	require.NoError(t, w.WriteManifest(nil))
	refused("environment.json")
	got, err := open(t, w.Dir()).Meta()
	require.NoError(t, err)
	assert.Equal(t, runs.StatusRunning, got.Status)

	m.Status, m.Error = runs.StatusFailed, "no configuration"
	require.NoError(t, w.Finish(m), "the writer is still open after a refusal")
}

func TestFinishRefusesLinks(t *testing.T) {
	w := create(t, runs.Meta{})
	require.NoError(t, w.WriteConfig(nil))
	require.NoError(t, w.WriteManifest(nil))
	require.NoError(t, w.WriteEnvironment(runs.Environment{}))
	require.NoError(t, os.Symlink("/etc/hosts", filepath.Join(w.Dir(), "link")))
	m := w.Meta()
	m.Status = runs.StatusCompleted
	require.ErrorContains(t, w.Finish(m), "link: not a regular file")
	assert.NoFileExists(t, filepath.Join(w.Dir(), "hashes.json"))
}

// A crash after hashes.json and before the final run_meta.json leaves a run
// that reads as interrupted, and can be taken up and completed.
func TestCrashWhileCompleting(t *testing.T) {
	w := create(t, runs.Meta{})
	before := text(t, w.Dir(), "run_meta.json")
	complete(t, w)
	put(t, w.Dir(), "run_meta.json", before)
	put(t, w.Dir(), ".lock", "") // goes after the final run_meta.json

	status, err := open(t, w.Dir()).State(time.Now())
	require.NoError(t, err)
	assert.Equal(t, runs.StatusInterrupted, status)

	again, err := runs.Reopen(w.Dir())
	require.NoError(t, err)
	defer again.Close()
	assert.NoFileExists(t, filepath.Join(w.Dir(), "hashes.json"))
	complete(t, again)
	verify(t, w.Dir())
}

func TestLaterEvaluationRefreshesItsHashesOnly(t *testing.T) {
	w := create(t, runs.Meta{})
	evaluate(t, w.Dir(), 1)
	complete(t, w)
	before := verify(t, w.Dir())
	evaluate(t, w.Dir(), 2)
	after := verify(t, w.Dir())
	assert.NotEqual(t, before.ChainHash, after.ChainHash)
	assert.ElementsMatch(t, names(before), names(after))
	for _, name := range []string{"run_meta.json", "config.yaml", "train_log.jsonl"} {
		assert.Equal(t, before.Files[name], after.Files[name])
	}
	assert.NotEqual(t, before.Files["eval/predictions.jsonl"], after.Files["eval/predictions.jsonl"])
}

func TestRefreshEvalKeepsWhatItDoesNotKnow(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, runs.RefreshEval(dir), "without hashes.json there is nothing to do")

	put(t, dir, "hashes.json", `{"zzz": 1.50, "files": {"config.yaml": "typed by hand", "eval/gone.json": "00"}, "chain_hash": "x", "note": [1, {"b": 2, "a": 1}]}`)
	put(t, dir, "eval/eval_results.json", "{}")
	require.NoError(t, runs.RefreshEval(dir))
	data := text(t, dir, "hashes.json")
	assert.Equal(t, []string{"zzz", "files", "chain_hash", "note"}, keys(t, data))
	var h struct {
		Files     map[string]string
		ChainHash string `json:"chain_hash"`
	}
	require.NoError(t, json.Unmarshal([]byte(data), &h))
	assert.Equal(t, map[string]string{
		"config.yaml":            "typed by hand",
		"eval/eval_results.json": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
	}, h.Files)
	assert.Equal(t, canonical.ChainHash(h.Files), h.ChainHash)

	put(t, dir, "hashes.json", `[1]`)
	require.ErrorContains(t, runs.RefreshEval(dir), "hashes.json")
	put(t, dir, "hashes.json", `{"files": `)
	require.ErrorContains(t, runs.RefreshEval(dir), "hashes.json")
}
