package contract_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// completedRun writes a run with the writer that training uses.
func completedRun(t *testing.T) string {
	t.Helper()
	w, err := runs.Create(t.TempDir(), runs.CreateOptions{})
	require.NoError(t, err)
	env := runs.Environment{RuntimeVersion: "go1.26.0", Platform: "linux/amd64", OS: "linux"}
	envHash, err := env.Hash()
	require.NoError(t, err)
	require.NoError(t, w.WriteConfig([]byte("task: sft\nseed: 42\n")))
	require.NoError(t, w.WriteManifest([]byte("{}\n")))
	require.NoError(t, w.WriteEnvironment(env))
	require.NoError(t, w.AppendLog(runs.LogLine{Step: 1}))
	e, err := runs.BeginEval(w.Dir())
	require.NoError(t, err)
	score := 0.5
	for i := range 3 {
		require.NoError(t, e.Add(runs.Prediction{Index: i, Input: "in", Prediction: "out", Reference: "out", F1: &score}))
	}
	require.NoError(t, e.Commit(runs.EvalResults{RunID: w.ID(), NumExamples: 3, Overall: map[string]float64{"f1": 0.5}}, nil, nil))
	m := w.Meta()
	m.Status, m.Seed = runs.StatusCompleted, "42"
	m.ConfigHash, m.DataHash, m.EnvironmentHash = "sha256:c", "sha256:d", envHash
	m.ReproducibilityHash = runs.ReproducibilityHash("sha256:c", "sha256:d", envHash, "42")
	require.NoError(t, w.Finish(m))
	return w.Dir()
}

func TestCheck(t *testing.T) {
	five := []string{"config.yaml", "hashes.json", "environment.json", "eval/eval_results.json", "run_meta.json"}
	for _, c := range []struct {
		name    string
		change  func(t *testing.T, dir string)
		files   []string
		missing []string
		hasEval bool
	}{
		{"complete", func(*testing.T, string) {}, five, []string{}, true},
		{"no config", remove("config.yaml"), five, []string{"config.yaml"}, true},
		{"a folder for a file", func(t *testing.T, dir string) {
			remove("hashes.json")(t, dir)
			require.NoError(t, os.Mkdir(filepath.Join(dir, "hashes.json"), 0o755))
		}, five, []string{"hashes.json"}, true},
		{"a pipe for a file", func(t *testing.T, dir string) {
			remove("environment.json")(t, dir)
			require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "environment.json"), 0o600))
		}, five, []string{"environment.json"}, true},
		{"results at the top", func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "eval/eval_results.json"), filepath.Join(dir, "eval_results.json")))
		}, []string{"config.yaml", "hashes.json", "environment.json", "eval_results.json", "run_meta.json"}, []string{}, true},
		{"no results", remove("eval/eval_results.json"), five, []string{"eval/eval_results.json"}, false},
		{"no meta", remove("run_meta.json"), five[:4], []string{}, true},
		{"meta is not JSON", write("run_meta.json", "{"), five, []string{"run_meta.json"}, true},
		{"meta without status", write("run_meta.json", "{}"), five, []string{"run_meta.json"}, true},
		{"still running", write("run_meta.json", `{"status":"running"}`), five, []string{"run_meta.json"}, true},
		{"meta with NaN", write("run_meta.json", `{"status":"completed","metrics":{"train_loss":NaN}}`), five, []string{}, true},
		{"empty files exist", func(t *testing.T, dir string) {
			for _, name := range five[:4] {
				write(name, "")(t, dir)
			}
		}, five, []string{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := completedRun(t)
			c.change(t, dir)
			got := contract.Check(dir)
			var files []string
			for _, item := range got.Checks {
				files = append(files, item.File)
				assert.NotEmpty(t, item.Detail)
			}
			assert.Equal(t, c.files, files)
			assert.Equal(t, c.missing, got.Missing())
			assert.Equal(t, len(c.missing) == 0, got.Valid)
			assert.Equal(t, c.hasEval, got.HasEval)
		})
	}
}

func TestCheckOfNoFolder(t *testing.T) {
	got := contract.Check(filepath.Join(t.TempDir(), "none"))
	assert.False(t, got.Valid)
	assert.Len(t, got.Missing(), 4)
	data, err := json.Marshal(got)
	require.NoError(t, err)
	assert.Contains(t, string(data), `{"valid":false,"checks":[{"file":"config.yaml","status":"FAIL","detail":"missing"},`)
	assert.True(t, strings.HasSuffix(string(data), `],"has_eval":false}`))
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
	}
}

func write(name, content string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
}

func TestContent(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		fails  map[string]string // file to a part of the detail
	}{
		{"as written", func(*testing.T, string) {}, nil},
		{"log changed", write("train_log.jsonl", "{}\n"), map[string]string{"hashes.json": "changed: train_log.jsonl"}},
		{"pipes", func(t *testing.T, dir string) {
			for _, name := range []string{"train_log.jsonl", "environment.json"} {
				remove(name)(t, dir)
				require.NoError(t, syscall.Mkfifo(filepath.Join(dir, name), 0o600))
			}
		}, map[string]string{"hashes.json": "missing: environment.json, train_log.jsonl", "environment.json": "not a regular file"}},
		{"log gone", remove("train_log.jsonl"), map[string]string{"hashes.json": "missing: train_log.jsonl"}},
		{"config is no YAML", write("config.yaml", "a: ["), map[string]string{"config.yaml": "", "hashes.json": "changed: config.yaml"}},
		{"environment swapped", write("environment.json", `{"os":"plan9"}`),
			map[string]string{"environment.json": "environment_hash", "hashes.json": "changed: environment.json"}},
		{"a metric is NaN", write("eval/eval_results.json", `{"num_examples":3,"overall":{"f1":NaN}}`),
			map[string]string{"eval/eval_results.json": `"f1" is "nan"`, "hashes.json": "changed"}},
		{"no metric", write("eval/eval_results.json", `{"num_examples":3,"overall":{"f1":"high"}}`),
			map[string]string{"eval/eval_results.json": "no metric", "hashes.json": "changed"}},
		{"predictions cut", write("eval/predictions.jsonl", `{"index":0,"f1":2}`+"\n"),
			map[string]string{"eval/predictions.jsonl": "1 predictions, num_examples is 3\n1 of 1 lines", "hashes.json": "changed"}},
		{"another seed", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "run_meta.json"), `"seed": 42`, `"seed": 43`)
		}, map[string]string{"run_meta.json": "reproducibility_hash is not that of", "hashes.json": "changed: run_meta.json"}},
		{"hashes point outside", write("hashes.json", `{"files":{"../outside":"00","/etc/hostname":"00"},"chain_hash":""}`),
			map[string]string{"hashes.json": "missing: ../outside, /etc/hostname; chain_hash"}},
		{"hashes in another spelling", func(t *testing.T, dir string) {
			sum, err := canonical.FileHash(filepath.Join(dir, "config.yaml"))
			require.NoError(t, err)
			files := map[string]string{"config.yaml": "sha256:" + strings.ToUpper(sum)}
			data, err := json.Marshal(map[string]any{"files": files, "chain_hash": canonical.ChainHash(files)})
			require.NoError(t, err)
			write("hashes.json", string(data))(t, dir)
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := completedRun(t)
			c.change(t, dir)
			items, err := contract.Content(context.Background(), dir)
			require.NoError(t, err)
			failed := map[string]string{}
			for _, item := range items {
				if item.Status == contract.Fail {
					failed[item.File] += item.Detail
				}
			}
			assert.Len(t, failed, len(c.fails), "%v", failed)
			for file, part := range c.fails {
				assert.Contains(t, failed[file], part)
				assert.Contains(t, failed, file)
			}
		})
	}
}

func edit(t *testing.T, path, old, new string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(data), old)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(data), old, new, 1)), 0o644))
}

func TestVerifyNeverFollowsLinksOut(t *testing.T) {
	dir := completedRun(t)
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte("x"), 0o600))
	require.NoError(t, os.Remove(filepath.Join(dir, "train_log.jsonl")))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "train_log.jsonl")))
	seal, err := contract.Verify(context.Background(), dir)
	require.NoError(t, err)
	assert.Equal(t, []string{"train_log.jsonl"}, seal.Missing)
}

func TestVerifyListsWhatIsNotCovered(t *testing.T) {
	dir := completedRun(t)
	write("extra.bin", "x")(t, dir)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "review"), 0o755))
	write("review/labels.jsonl", "{}")(t, dir)
	write(".hidden", "x")(t, dir)
	seal, err := contract.Verify(context.Background(), dir)
	require.NoError(t, err)
	assert.True(t, seal.Intact())
	assert.Equal(t, []string{"extra.bin"}, seal.Unlisted)
	assert.Equal(t, "8 files, chain intact", seal.String())
}

func TestVerifyDecision(t *testing.T) {
	dir := completedRun(t)
	_, err := contract.VerifyDecision(context.Background(), dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "decision"), 0o755))
	write("decision/decision.json", "{}")(t, dir)
	sum, err := canonical.FileHash(filepath.Join(dir, "decision/decision.json"))
	require.NoError(t, err)
	files := map[string]string{"decision.json": sum}
	data, err := json.Marshal(map[string]any{"files": files, "chain_hash": canonical.ChainHash(files)})
	require.NoError(t, err)
	write("decision/hashes.json", string(data))(t, dir)
	seal, err := contract.VerifyDecision(context.Background(), dir)
	require.NoError(t, err)
	assert.True(t, seal.Intact())
	write("decision/decision.json", `{"recommendation":"SHIP"}`)(t, dir)
	seal, err = contract.VerifyDecision(context.Background(), dir)
	require.NoError(t, err)
	assert.Equal(t, []string{"decision.json"}, seal.Changed)
}

// A decision of this program whose hashes were taken away is not one without
// hashes, as other programs write.
func TestDecisionWithoutItsHashes(t *testing.T) {
	check := func(dir string) *contract.Item {
		items, err := contract.Content(context.Background(), dir)
		require.NoError(t, err)
		for _, i := range items {
			if i.File == "decision/hashes.json" {
				return &i
			}
		}
		return nil
	}
	dir := completedRun(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "decision"), 0o755))
	write("decision/decision.json", "{}")(t, dir)
	assert.Nil(t, check(dir))
	write("decision/gates.json", "{}")(t, dir)
	require.NotNil(t, check(dir))
	assert.Equal(t, contract.Fail, check(dir).Status)
	assert.Equal(t, "missing, and decision/gates.json is there, which is written with it", check(dir).Detail)
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := contract.Content(ctx, completedRun(t))
	assert.ErrorIs(t, err, context.Canceled)
}
