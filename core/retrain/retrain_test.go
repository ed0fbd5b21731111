package retrain_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// artifact writes a data set of a few rows with its hashes.
func artifact(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	for i := range 5 {
		fmt.Fprintf(&b, `{"instruction": "say", "output": "%d", "id": "row_%d"}`+"\n", i, i)
	}
	put(t, dir, "dataset.jsonl", b.String())
	put(t, dir, "report.json", `{"row_count": 5, "pii_total_hits": 0}`)
	sums := map[string]string{}
	for _, name := range []string{"dataset.jsonl", "report.json"} {
		sum, err := canonical.FileHash(filepath.Join(dir, name))
		require.NoError(t, err)
		sums[name] = sum
	}
	data, err := json.Marshal(map[string]any{"files": sums, "chain_hash": canonical.ChainHash(sums)})
	require.NoError(t, err)
	put(t, dir, "hashes.json", string(data))
	return dir
}

func put(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

var environment = runs.Environment{RuntimeVersion: "go1.26.0", Platform: "linux/amd64", OS: "linux"}

func deps() retrain.Deps {
	return retrain.Deps{Environment: environment, Getenv: func(string) string { return "" },
		Now: func() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }}
}

func run(t *testing.T, req retrain.Request) *retrain.Result {
	t.Helper()
	res, err := retrain.Run(context.Background(), req, deps())
	require.NoError(t, err)
	return res
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestArtifactsToTheByte(t *testing.T) {
	data, out := artifact(t), t.TempDir()
	notes := "first try: ok\nsecond line"
	res := run(t, retrain.Request{DatasetDir: data, OutputDir: out, Seed: "42", Notes: &notes, RequestID: "abc", ProjectID: "p1"})
	assert.Equal(t, filepath.Join(out, "runs", "retrain_0001"), res.RunDir)
	f1, em := res.EvalSummary["f1"], res.EvalSummary["exact_match"]

	assert.Equal(t, "task: sft\nmode: mock\nseed: 42\nmetric: f1\ndataset_dir: "+data+
		"\nbase_run_dir: null\ncontaminated_run_dir: null\nnotes: \"first try: ok\\nsecond line\"\n", read(t, res.Artifacts.Config))
	assert.Equal(t, fmt.Sprintf(`{
  "run_id": "retrain_0001",
  "num_examples": 5,
  "overall": {
    "f1": %s,
    "exact_match": %s
  },
  "slices": {},
  "hard_examples": [],
  "eval_duration_seconds": 0.0
}
`, canonical.Float(f1), canonical.Float(em)), read(t, res.Artifacts.EvalResults))
	assert.Contains(t, read(t, res.Artifacts.RunMeta), fmt.Sprintf(`{
  "run_id": "retrain_0001",
  "status": "completed",
  "task": "sft",
  "mode": "mock",
  "seed": 42,
  "started_at": "2026-05-01T12:00:00Z",
  "completed_at": "2026-05-01T12:00:00Z",
  "duration_seconds": 0.0,
  "metrics": {
    "train_loss": %s
  },
  "artifact_path": null,
`, canonical.Float(1-f1)))
	assert.Equal(t, fmt.Sprintf(`{
  "recommendation": "SHIP",
  "exit_code": 0,
  "confidence": 0.94,
  "reasons": [
    "F1 (%.4f) meets threshold (0.5)",
    "Exact match (%.4f) meets threshold (0.4)"
  ],
  "risk_flags": [],
  "blocker_precedence": [],
  "metrics": {
    "f1": %s,
    "exact_match": %s
  },
  "baseline_metrics": null,
  "deltas": null
}
`, f1, em, canonical.Float(f1), canonical.Float(em)), read(t, res.Artifacts.DecisionJSON))
	assert.Equal(t, fmt.Sprintf("Recommendation: SHIP\nExit code: 0\nConfidence: 0.94\nReasons:\n"+
		"  - F1 (%.4f) meets threshold (0.5)\n  - Exact match (%.4f) meets threshold (0.4)\n", f1, em), read(t, res.Artifacts.DecisionTxt))
	assert.Equal(t, `{"ts":"2026-05-01T12:00:00Z","step":"retrain","status":"SHIP","run_id":"retrain_0001","project_id":"p1","mode":"mock","exit_code":0}`+"\n",
		read(t, res.Artifacts.AuditLog))
	usage := read(t, res.Artifacts.Usage)
	assert.Regexp(t, regexp.MustCompile(`(?s)^\{
  "run_id": "retrain_0001",
  "request_id": "abc",
  "mode": "mock",
  "ci": false,
  "privacy": false,
  "project_id": "p1",
  "billable_units": \{
    "rows_in": 5,
    "rows_out": 5,
    "bytes_in": \d+,
    "bytes_out": \d+,
    "contamination_checks": 0,
    "reports_generated": 1,
    "decisions_generated": 1,
    "contracts_validated": 1
  \},
  "timing_ms": \{
    "contract": 0,
    "contamination": 0,
    "decision": 0,
    "total": 0
  \},
  "result": \{
    "decision": "SHIP",
    "exit_code": 0,
    "contamination_status": "NOT_CHECKED",
    "contract_valid": true
  \}
\}
$`), usage)

	answer, err := res.JSON()
	require.NoError(t, err)
	top, err := dataset.Object(answer)
	require.NoError(t, err)
	var keys []string
	for _, m := range top {
		keys = append(keys, m.Key)
	}
	assert.Equal(t, []string{"job_type", "run_dir", "decision", "exit_code", "eval_summary", "usage", "artifacts", "elapsed_ms"}, keys)
	for _, path := range artifactPaths(t, res) {
		assert.FileExists(t, path)
	}
}

// artifactPaths reads the nine paths out of the answer.
func artifactPaths(t *testing.T, res *retrain.Result) map[string]string {
	t.Helper()
	data, err := json.Marshal(res.Artifacts)
	require.NoError(t, err)
	var out map[string]string
	require.NoError(t, json.Unmarshal(data, &out))
	require.Len(t, out, 9)
	return out
}

// What YAML could take for something else is quoted.
func TestConfigTextsAreQuoted(t *testing.T) {
	for _, notes := range []string{"yes", "null", "12", "1e5", "a: b", "# x", "", "tab\t\u00fc\n", "\x1b[31m", "2026-01-01", "~", "- a"} {
		res := run(t, retrain.Request{DatasetDir: artifact(t), OutputDir: t.TempDir(), Notes: &notes})
		r, err := runs.Open(res.RunDir)
		require.NoError(t, err)
		m, err := r.Config()
		require.NoError(t, err)
		assert.Equal(t, notes, m["notes"])
		lines := strings.Split(strings.TrimSuffix(read(t, res.Artifacts.Config), "\n"), "\n")
		assert.Len(t, lines, 8)
		assert.Contains(t, lines[7], `"`)
	}
}

func TestEverythingIsInTheChain(t *testing.T) {
	res := run(t, retrain.Request{DatasetDir: artifact(t), OutputDir: t.TempDir()})
	assert.True(t, contract.Check(res.RunDir).Valid)
	seal, err := contract.Verify(context.Background(), res.RunDir)
	require.NoError(t, err)
	assert.True(t, seal.Intact(), seal.String())
	assert.Empty(t, seal.Unlisted)
	r, err := runs.Open(res.RunDir)
	require.NoError(t, err)
	h, err := r.Hashes()
	require.NoError(t, err)
	for _, name := range []string{"config.yaml", "environment.json", "eval/eval_results.json", "run_meta.json",
		"decision/decision.json", "decision/decision.txt", "decision/gates.json", "usage.json", "audit_log.jsonl"} {
		assert.Contains(t, h.Files, name)
	}
	items, err := contract.Content(context.Background(), res.RunDir)
	require.NoError(t, err)
	for _, item := range items {
		assert.Equal(t, contract.Pass, item.Status, "%v", item)
	}
}

func TestCountsAreCounted(t *testing.T) {
	data := artifact(t)
	res := run(t, retrain.Request{DatasetDir: data, OutputDir: t.TempDir()})
	var in, out int64
	for _, name := range []string{"dataset.jsonl", "report.json", "hashes.json"} {
		in += size(t, filepath.Join(data, name))
	}
	for _, name := range []string{"config.yaml", "environment.json", "run_meta.json", "eval/eval_results.json",
		"decision/decision.json", "decision/decision.txt", "decision/gates.json", "decision/hashes.json"} {
		out += size(t, filepath.Join(res.RunDir, name))
	}
	assert.Equal(t, in, res.Usage.Units.BytesIn)
	assert.Equal(t, out, res.Usage.Units.BytesOut)
	assert.Equal(t, 5, res.Usage.Units.RowsIn)
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

func TestMockIsDeterministic(t *testing.T) {
	data := artifact(t)
	one := run(t, retrain.Request{DatasetDir: data, OutputDir: t.TempDir(), Seed: "-99999999999999999999"})
	two := run(t, retrain.Request{DatasetDir: data, OutputDir: t.TempDir(), Seed: "-99999999999999999999"})
	other := run(t, retrain.Request{DatasetDir: data, OutputDir: t.TempDir(), Seed: "99999999999999999999"})
	assert.Equal(t, one.EvalSummary, two.EvalSummary)
	assert.NotEqual(t, one.EvalSummary, other.EvalSummary)
	assert.Equal(t, read(t, one.Artifacts.DecisionJSON), read(t, two.Artifacts.DecisionJSON))
	assert.Equal(t, read(t, one.Artifacts.Config), read(t, two.Artifacts.Config))
	assert.Contains(t, read(t, one.Artifacts.Config), "seed: -99999999999999999999\n")
}

func TestRefusals(t *testing.T) {
	type change func(t *testing.T, req *retrain.Request)
	for _, c := range []struct {
		name   string
		change change
		kind   any
		says   string
	}{
		{"no folder", func(t *testing.T, r *retrain.Request) { r.DatasetDir = "/nowhere/ds" },
			new(*retrain.NotFound), "Dataset dir not found: /nowhere/ds"},
		{"mode real comes after the data set", func(t *testing.T, r *retrain.Request) { r.DatasetDir, r.Mode = "/nowhere/ds", "real" },
			new(*fault.DataError), "Dataset dir not found: /nowhere/ds"},
		{"no rows file", func(t *testing.T, r *retrain.Request) {
			require.NoError(t, os.Remove(filepath.Join(r.DatasetDir, "dataset.jsonl")))
		},
			new(*retrain.NotFound), "dataset.jsonl not found in "},
		{"no hashes", func(t *testing.T, r *retrain.Request) {
			require.NoError(t, os.Remove(filepath.Join(r.DatasetDir, "hashes.json")))
		},
			new(*retrain.NotFound), "hashes.json not found in "},
		{"mode real is off", func(t *testing.T, r *retrain.Request) { r.Mode = "real" },
			new(*fault.ConfigError), "VERIFILY_ENABLE_REAL_TRAIN=1"},
		{"mode", func(t *testing.T, r *retrain.Request) { r.Mode = "dream" }, new(*fault.ConfigError), "mode"},
		{"seed", func(t *testing.T, r *retrain.Request) { r.Seed = "1.5" }, new(*fault.ConfigError), "seed"},
		{"project climbs out", func(t *testing.T, r *retrain.Request) { r.ProjectID = "../../etc" }, new(*fault.ConfigError), "project_id"},
		{"project is the folder itself", func(t *testing.T, r *retrain.Request) { r.ProjectID = "." }, new(*fault.ConfigError), "project_id"},
		{"project with a separator", func(t *testing.T, r *retrain.Request) { r.ProjectID = "a/b" }, new(*fault.ConfigError), "project_id"},
		{"project with a line break", func(t *testing.T, r *retrain.Request) { r.ProjectID = "a\n" }, new(*fault.ConfigError), "project_id"},
		{"tampered rows", func(t *testing.T, r *retrain.Request) {
			put(t, r.DatasetDir, "dataset.jsonl", `{"instruction":"x","output":"y"}`)
		},
			new(*fault.DataError), "dataset.jsonl: was changed"},
		{"tampered report", func(t *testing.T, r *retrain.Request) { put(t, r.DatasetDir, "report.json", `{"pii_total_hits":0}`) },
			new(*fault.DataError), "report.json: was changed"},
		{"hashes name a file outside", func(t *testing.T, r *retrain.Request) { put(t, r.DatasetDir, "hashes.json", `{"files":{"../x":"00"}}`) },
			new(*fault.DataError), "leads out of the folder"},
		{"baseline is not there", func(t *testing.T, r *retrain.Request) { r.BaseRunDir = "/nowhere/run" }, new(*fault.EvalError), "read baseline"},
		{"baseline is broken", func(t *testing.T, r *retrain.Request) {
			r.BaseRunDir = t.TempDir()
			put(t, r.BaseRunDir, "run_meta.json", "{}")
			put(t, r.BaseRunDir, "eval/eval_results.json", "{")
		}, new(*fault.EvalError), "read baseline"},
		{"baseline without numbers", func(t *testing.T, r *retrain.Request) {
			r.BaseRunDir = t.TempDir()
			put(t, r.BaseRunDir, "eval/eval_results.json", `{"overall":{}}`)
		}, new(*fault.EvalError), "no metric"},
		{"contaminated run is not there", func(t *testing.T, r *retrain.Request) { r.ContaminatedRunDir = "/nowhere/run" },
			new(*fault.DataError), "no such folder"},
		{"contaminated run without result", func(t *testing.T, r *retrain.Request) { r.ContaminatedRunDir = t.TempDir() },
			new(*fault.DataError), "no contamination.json"},
		{"contamination is unreadable", func(t *testing.T, r *retrain.Request) {
			r.ContaminatedRunDir = t.TempDir()
			put(t, r.ContaminatedRunDir, "contamination.json", `{"status":"MAYBE"}`)
		}, new(*fault.DataError), "PASS, WARN or FAIL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := retrain.Request{DatasetDir: artifact(t), OutputDir: t.TempDir()}
			c.change(t, &req)
			res, err := retrain.Run(context.Background(), req, deps())
			assert.Nil(t, res)
			require.ErrorAs(t, err, c.kind)
			assert.Contains(t, err.Error(), c.says)
			assert.Empty(t, names(t, req.OutputDir), "nothing is left behind")
		})
	}
}

// The hint names a flag that there is and a place in the run that is not sealed.
func TestHintForAContaminationResult(t *testing.T) {
	dir := t.TempDir()
	_, err := retrain.Run(context.Background(), retrain.Request{DatasetDir: artifact(t), OutputDir: t.TempDir(), ContaminatedRunDir: dir}, deps())
	var typed fault.TrainError
	require.ErrorAs(t, err, &typed)
	assert.Contains(t, typed.Fault().Hint, "--output "+filepath.Join(dir, "eval", "contamination.json"))
	put(t, dir, "eval/contamination.json", `{"status":"PASS","exact_overlaps":0,"near_duplicates":0}`)
	res := run(t, retrain.Request{DatasetDir: artifact(t), OutputDir: t.TempDir(), ContaminatedRunDir: dir})
	assert.Equal(t, "PASS", res.Usage.Outcome.ContaminationStatus)
	assert.NotEmpty(t, res.Gates)
}

// A retrain of relative folders says where they start; one of absolute folders
// tells nothing of the machine.
func TestWorkingDir(t *testing.T) {
	data := artifact(t)
	home := filepath.Dir(data)
	t.Chdir(home)
	workingDir := func(dir string) string {
		res := run(t, retrain.Request{DatasetDir: dir, OutputDir: t.TempDir()})
		r, err := runs.Open(res.RunDir)
		require.NoError(t, err)
		meta, err := r.Meta()
		require.NoError(t, err)
		return meta.WorkingDir
	}
	assert.Equal(t, home, workingDir(filepath.Base(data)))
	assert.Empty(t, workingDir(data))
}

// A counter that is no file is an error, not something to wait for.
func TestCounterThatIsNoFile(t *testing.T) {
	out := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(out, "runs"), 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(out, "runs", ".retrain_number"), 0o600))
	_, err := retrain.Run(context.Background(), retrain.Request{DatasetDir: artifact(t), OutputDir: out}, deps())
	require.ErrorContains(t, err, "not a regular file")
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, path)
		}
		return err
	}))
	return out
}

// The message of the error types that the service answers with is exact.
func TestNotFoundMessages(t *testing.T) {
	dir := artifact(t)
	require.NoError(t, os.Remove(filepath.Join(dir, "dataset.jsonl")))
	_, err := retrain.Run(context.Background(), retrain.Request{DatasetDir: dir}, deps())
	require.EqualError(t, err, "dataset.jsonl not found in "+dir)
}

func TestDatasetHash(t *testing.T) {
	dir := artifact(t)
	for content, want := range map[string]string{
		`{"files":{"z":"first","a":"second"},"chain_hash":"chain"}`: "chain",
		`{"files":{"z":"first","a":"second"},"chain_hash":""}`:      "first",
		`{"chain_hash":"","files":{}}`:                              "default_hash",
		`{}`:                                                        "default_hash",
	} {
		put(t, dir, "hashes.json", content)
		got, err := retrain.DatasetHash(dir)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestBaselineAndContamination(t *testing.T) {
	data, out := artifact(t), t.TempDir()
	good := run(t, retrain.Request{DatasetDir: data, OutputDir: out})
	dirty := t.TempDir()
	put(t, dirty, "contamination.json", `{"status":"FAIL","exact_overlaps":3,"near_duplicates":1}`)
	bad := run(t, retrain.Request{DatasetDir: data, OutputDir: out, BaseRunDir: good.RunDir, ContaminatedRunDir: dirty})
	assert.Equal(t, "DONT_SHIP", bad.Decision)
	assert.Equal(t, 1, bad.ExitCode)
	assert.InDelta(t, good.EvalSummary["f1"]-0.15, bad.EvalSummary["f1"], 1e-12)
	assert.Equal(t, "FAIL", bad.Usage.Outcome.ContaminationStatus)
	assert.Equal(t, 1, bad.Usage.Units.ContaminationChecks)
	assert.Equal(t, "Contamination FAIL: 3 exact overlaps, 1 near-duplicates", bad.Reasons[0])
	assert.Contains(t, bad.Reasons, "F1 regression (-0.1500) exceeds max allowed (-0.05)")
}

func TestPersonalDataBlocks(t *testing.T) {
	dir := artifact(t)
	report := `{"pii_total_hits": 2}`
	put(t, dir, "report.json", report)
	sum := sha256.Sum256([]byte(report))
	put(t, dir, "hashes.json", `{"files":{"report.json":"`+hex.EncodeToString(sum[:])+`"}}`)
	res := run(t, retrain.Request{DatasetDir: dir, OutputDir: t.TempDir()})
	assert.Equal(t, "PII hits (2) exceed max allowed (0)", res.Reasons[0])
}

func TestNumbersAreUniqueUnder64Writers(t *testing.T) {
	data, out := artifact(t), t.TempDir()
	const writers, each = 64, 3
	dirs := make([][]string, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range each {
				res, err := retrain.Run(context.Background(), retrain.Request{DatasetDir: data, OutputDir: out}, deps())
				if assert.NoError(t, err) {
					dirs[w] = append(dirs[w], res.RunDir)
				}
			}
		}()
	}
	wg.Wait()
	all := slices.Concat(dirs...)
	slices.Sort(all)
	require.Len(t, slices.Compact(all), writers*each)
	for i, dir := range all {
		assert.Equal(t, filepath.Join(out, "runs", fmt.Sprintf("retrain_%04d", i+1)), dir)
		r, err := runs.Open(dir)
		require.NoError(t, err)
		meta, err := r.Meta()
		require.NoError(t, err)
		assert.Equal(t, filepath.Base(dir), meta.RunID)
		seal, err := contract.Verify(context.Background(), dir)
		require.NoError(t, err)
		require.True(t, seal.Intact())
	}
	entries, err := os.ReadDir(filepath.Join(out, "runs"))
	require.NoError(t, err)
	assert.Len(t, entries, writers*each+1, "the runs and the counter, nothing half-written")
}

func TestNumbersAreNotUsedAgain(t *testing.T) {
	data, out := artifact(t), t.TempDir()
	next := func() string {
		return filepath.Base(run(t, retrain.Request{DatasetDir: data, OutputDir: out}).RunDir)
	}
	assert.Equal(t, "retrain_0001", next())
	assert.Equal(t, "retrain_0002", next())
	require.NoError(t, os.RemoveAll(filepath.Join(out, "runs", "retrain_0002")))
	assert.Equal(t, "retrain_0003", next())
	put(t, out, "runs/retrain_0004/run_meta.json", "{}") // of another program
	assert.Equal(t, "retrain_0005", next())
	require.NoError(t, os.Remove(filepath.Join(out, "runs", ".retrain_number")))
	assert.Equal(t, "retrain_0006", next())
	put(t, out, "runs/.retrain_number", "") // torn by a crash
	assert.Equal(t, "retrain_0007", next())
	put(t, out, "runs/.retrain_number", "9223372036854775807") // of no retrain
	put(t, out, "runs/retrain_9223372036854775807/run_meta.json", "{}")
	assert.Equal(t, "retrain_0008", next())
}
