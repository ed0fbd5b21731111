package decision_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// evaluatedRun writes a completed run whose answers are right with probability p.
func evaluatedRun(t *testing.T, n int, right func(i int) bool) string {
	t.Helper()
	w, err := runs.Create(t.TempDir(), runs.CreateOptions{Meta: runs.Meta{Task: "sft"}})
	require.NoError(t, err)
	require.NoError(t, w.WriteConfig([]byte("task: sft\n")))
	require.NoError(t, w.WriteManifest([]byte("{}\n")))
	require.NoError(t, w.WriteEnvironment(runs.Environment{OS: "linux"}))
	e, err := runs.BeginEval(w.Dir())
	require.NoError(t, err)
	hits := 0
	var hard []runs.HardExample
	for i := range n {
		score := 0.0
		if right(i) {
			score = 1
			hits++
		}
		p := runs.Prediction{Index: i, ID: fmt.Sprint("row_", i), Input: fmt.Sprint("in ", i), Reference: "yes", Prediction: map[float64]string{0: "no", 1: "yes"}[score],
			F1: &score, ExactMatch: &score, Tags: map[string]string{"half": fmt.Sprint(i % 2)}}
		require.NoError(t, e.Add(p))
		if score == 0 && len(hard) < 10 {
			hard = append(hard, runs.HardExample{Rank: len(hard) + 1, ID: p.ID, InputHash: runs.InputHash(p.Input)})
		}
	}
	share := float64(hits) / float64(n)
	require.NoError(t, e.Commit(runs.EvalResults{RunID: w.ID(), NumExamples: n, Overall: map[string]float64{"f1": share, "exact_match": share}}, hard, nil))
	m := w.Meta()
	m.Status = runs.StatusCompleted
	require.NoError(t, w.Finish(m))
	return w.Dir()
}

func coin(seed uint64, p float64) func(int) bool {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(int) bool { return r.Float64() < p }
}

func TestGatherPairsPredictions(t *testing.T) {
	base := evaluatedRun(t, 600, coin(1, 0.8))
	worse := evaluatedRun(t, 600, coin(2, 0.6))
	alike := evaluatedRun(t, 600, coin(3, 0.8))
	p, err := decision.ParsePolicy("ship.yaml", []byte(`
ship_if: {max_f1_regression: 0.05}
slices: {half=0: {min_f1: 0.3, max_f1_regression: 0.05}, half=1: {max_f1_regression: 0.05}}
significance: {resamples: 500}
`))
	require.NoError(t, err)
	judge := func(run string) *decision.Decision {
		in, err := decision.Gather(context.Background(), decision.Sources{Run: run, Baseline: base}, p.ShipIf, p)
		require.NoError(t, err)
		return decision.Decide(in)
	}
	d := judge(worse)
	assert.Equal(t, decision.DontShip, d.Recommendation)
	g := gate(t, d, "f1 regression")
	assert.Equal(t, decision.GateFail, g.Status)
	require.NotNil(t, g.Interval)
	assert.Negative(t, g.Interval.High)
	assert.Equal(t, 600, g.N)
	assert.Less(t, *g.P, 0.05)
	assert.Equal(t, 600, gate(t, d, "f1").N)
	s := gate(t, d, "half=0 f1")
	assert.Equal(t, decision.GatePass, s.Status)
	assert.Equal(t, 300, s.N, "the slice was worked out from the predictions")
	require.NotNil(t, s.Interval)
	assert.Less(t, s.Interval.Low, s.Interval.High)
	assert.NotEqual(t, decision.GateFail, gate(t, judge(alike), "f1 regression").Status)

	same, err := judge(worse).Files()
	require.NoError(t, err)
	again, err := judge(worse).Files()
	require.NoError(t, err)
	assert.Equal(t, same, again, "same inputs, same bytes")
}

// Results that the predictions do not bear out: their interval is that of another
// value, and a policy does not let them pass.
func TestGatherHoldsResultsAgainstPredictions(t *testing.T) {
	run := evaluatedRun(t, 100, func(i int) bool { return i < 60 })
	path := filepath.Join(run, "eval/eval_results.json")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(data), `"f1": 0.6`, `"f1": 0.9`, 1)), 0o644))
	p, err := decision.ParsePolicy("ship.yaml", []byte("ship_if: {min_f1: 0.8}\nslices: {half=0: {min_f1: 0.5}}"))
	require.NoError(t, err)
	for name, policy := range map[string]*decision.Policy{"alone": nil, "policy": p} {
		in, err := decision.Gather(context.Background(), decision.Sources{Run: run}, p.ShipIf, policy)
		require.NoError(t, err)
		d := decision.Decide(in)
		g := gate(t, d, "f1")
		assert.Nil(t, g.Interval, name)
		assert.Equal(t, "the predictions give 0.6000", g.Detail)
		assert.NotNil(t, gate(t, d, "exact_match").Interval, "the others are borne out")
		if policy == nil {
			assert.Equal(t, decision.Ship, d.Recommendation)
			continue
		}
		assert.Equal(t, decision.GatePass, gate(t, d, "half=0 f1").Status)
		assert.Equal(t, decision.Investigate, d.Recommendation)
		assert.Equal(t, []string{"f1_contradicted"}, d.RiskFlags)
		assert.Contains(t, d.Reasons, "F1 (0.9000) meets threshold (0.8), but the predictions give 0.6000")
	}
}

// A slice is as large as its predictions are many, whatever the results say.
func TestGatherCountsTheSlice(t *testing.T) {
	run := evaluatedRun(t, 20, func(int) bool { return true })
	path := filepath.Join(run, "eval/eval_results.json")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(data), `"slices": {}`, `"slices": {"half": {"0": {"n": 500, "f1": 1.0}}}`, 1)), 0o644))
	p, err := decision.ParsePolicy("ship.yaml", []byte("ship_if: {}\nslices: {half=0: {min_f1: 0.5}}"))
	require.NoError(t, err)
	in, err := decision.Gather(context.Background(), decision.Sources{Run: run}, p.ShipIf, p)
	require.NoError(t, err)
	g := gate(t, decision.Decide(in), "half=0 f1")
	assert.Equal(t, decision.GateTooFew, g.Status)
	assert.Equal(t, 10, g.N)
}

func TestGatherReview(t *testing.T) {
	run := evaluatedRun(t, 40, coin(1, 0.5))
	p, err := decision.ParsePolicy("ship.yaml", []byte("ship_if: {}\nreview: {min: 3}"))
	require.NoError(t, err)
	gather := func() *decision.Reviewed {
		in, err := decision.Gather(context.Background(), decision.Sources{Run: run}, p.ShipIf, p)
		require.NoError(t, err)
		return in.Evidence.Reviewed
	}
	require.Equal(t, &decision.Reviewed{Hard: 10, Labels: map[string]int{}}, gather())
	r, err := runs.Open(run)
	require.NoError(t, err)
	hard, err := r.HardExamples()
	require.NoError(t, err)
	lines := []string{
		fmt.Sprintf(`{"input_hash":%q,"label":"model error"}`, hard[0].InputHash),
		fmt.Sprintf(`{"id":%q,"verdict":"fine"}`, hard[1].ID),
		fmt.Sprintf(`{"input_hash":%q,"label":"fine"}`, hard[2].InputHash),
		fmt.Sprintf(`{"input_hash":%q,"label":""}`, hard[2].InputHash),     // taken back
		fmt.Sprintf(`{"input_hash":%q,"label":"fine"}`, hard[0].InputHash), // thought better of
		fmt.Sprintf(`{"input_hash":%q,"label":"superb"}`, hard[3].InputHash),
		`{"input_hash":"sha256:other","label":"fine"}`, `{"label":"fine"}`, `not JSON`, `{"id":`,
	}
	require.NoError(t, os.Mkdir(filepath.Join(run, "review"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(run, "review", "labels.jsonl"), []byte(strings.Join(lines, "\n")), 0o644))
	assert.Equal(t, &decision.Reviewed{Hard: 10, Labels: map[string]int{"fine": 2}}, gather())
}

func TestGatherReadsOlderShapes(t *testing.T) {
	run := evaluatedRun(t, 4, coin(1, 1))
	for content, want := range map[string]string{
		`{"aggregate":{"f1":0.75,"acc":1}}`:        `"f1": 0.75`,
		`{"overall":{"f1":0.75,"loss":NaN}}`:       `"f1": 0.75`,
		`{"eval_loss":0.5,"eval_accuracy":0.75}`:   `"accuracy": 0.75`,
		`{"overall":{"f1":NaN,"exact_match":0.5}}`: `F1 (nan) below threshold (0.5)`,
		`{"overall":"none"}`:                       `Eval results missing or invalid`,
		`{`:                                        `Eval results missing or invalid`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(run, "eval/eval_results.json"), []byte(content), 0o644))
		in, err := decision.Gather(context.Background(), decision.Sources{Run: run}, decision.DefaultCriteria(), nil)
		require.NoError(t, err)
		data, err := decision.Decide(in).JSON()
		require.NoError(t, err)
		assert.Contains(t, string(data), want, content)
	}
}

func TestGatherErrors(t *testing.T) {
	run := evaluatedRun(t, 4, coin(1, 1))
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "c.json")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for name, src := range map[string]decision.Sources{
		"run":                                  {Run: filepath.Join(t.TempDir(), "none")},
		"baseline":                             {Run: run, Baseline: t.TempDir()},
		"contamination":                        {Run: run, Contamination: file(`{"status":"OK"}`)},
		"contamination counts":                 {Run: run, Contamination: file(`{"status":"FAIL","exact_overlaps":-1}`)},
		"contamination folder":                 {Run: run, Contamination: t.TempDir()},
		"contamination better than its counts": {Run: run, Contamination: file(`{"status":"PASS","exact_overlaps":3,"near_duplicates":0}`)},
		"contamination is a list":              {Run: run, Contamination: file(`[]`)},
		"contamination of texts":               {Run: run, Contamination: file(`{"status":"FAIL","exact_overlaps":"3"}`)},
		"contamination twice":                  {Run: run, Contamination: file(`{"status":"FAIL","exact_overlaps":3,"status":"PASS","exact_overlaps":0}`)},
		"contamination twice in other letters": {Run: run, Contamination: file(`{"status":"FAIL","Status":"PASS"}`)},
		"report":                               {Run: run, Report: file(`[]`)},
		"report is null":                       {Run: run, Report: file(`null`)},
		"report twice":                         {Run: run, Report: file(`{"pii_total_hits":7,"pii_total_hits":0}`)},
		"report of less than nothing":          {Run: run, Report: file(`{"pii_total_hits":-5}`)},
		"contamination pipe":                   {Run: run, Contamination: pipe},
		"endless report":                       {Run: run, Report: "/dev/zero"},
	} {
		_, err := decision.Gather(context.Background(), src, decision.DefaultCriteria(), nil)
		var typed fault.TrainError
		require.ErrorAs(t, err, &typed, name)
		assert.NotContains(t, err.Error(), "struct", "no types of this program")
	}
}

func TestWrite(t *testing.T) {
	run := evaluatedRun(t, 20, coin(1, 1))
	in, err := decision.Gather(context.Background(), decision.Sources{Run: run}, decision.DefaultCriteria(), nil)
	require.NoError(t, err)
	d := decision.Decide(in)
	require.NoError(t, decision.Record(run, d, decision.Entry{}))
	text, err := os.ReadFile(filepath.Join(run, "decision", "decision.txt"))
	require.NoError(t, err)
	assert.Equal(t, "Recommendation: SHIP\nExit code: 0\nConfidence: 0.94\nReasons:\n"+
		"  - F1 (1.0000) meets threshold (0.5)\n  - Exact match (1.0000) meets threshold (0.4)\n", string(text))
	seal, err := contract.VerifyDecision(context.Background(), run)
	require.NoError(t, err)
	assert.True(t, seal.Intact())
	whole, err := contract.Verify(context.Background(), run)
	require.NoError(t, err)
	assert.True(t, whole.Intact(), "the hashes of the run stay true")
	left, err := filepath.Glob(filepath.Join(run, "decision", ".*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// Many at once leave one whole decision, and a line each in the trail.
func TestWriteConcurrently(t *testing.T) {
	run := evaluatedRun(t, 20, coin(1, 1))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			in := decision.Input{Contract: contract.Result{Valid: true}, Criteria: decision.Criteria{}}
			n, err := decision.NewNumber(i)
			assert.NoError(t, err)
			in.Eval = &decision.Results{Metrics: decision.Metrics{{Name: "f1", Value: n}}}
			assert.NoError(t, decision.Record(run, decision.Decide(in), decision.Entry{Note: fmt.Sprint("note ", i)}))
		})
	}
	wg.Wait()
	seal, err := contract.VerifyDecision(context.Background(), run)
	require.NoError(t, err)
	assert.True(t, seal.Intact())
	assert.Len(t, trail(t, run), 8)
}

func TestWriteNeedsAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	assert.Error(t, decision.Record(path, decision.Decide(decision.Input{}), decision.Entry{}))
}

// A folder that leads elsewhere is not written through.
func TestRecordFollowsNoLink(t *testing.T) {
	run, d := judged(t)
	elsewhere := t.TempDir()
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(run, "decision")))
	require.Error(t, decision.Record(run, d, decision.Entry{}))
	assert.Empty(t, files(t, elsewhere))
}

// Sources that tell what they are about are held against the run.
func TestGatherComparesTheData(t *testing.T) {
	run := evaluatedRun(t, 4, coin(1, 1))
	own, other := strings.Repeat("a", 64), strings.Repeat("b", 64)
	edit := func(name, old, now string) {
		path := filepath.Join(run, filepath.FromSlash(name))
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(data), old)
		require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(data), old, now, 1)), 0o644))
	}
	edit("run_meta.json", `"data_hash": null`, `"data_hash": "sha256:`+own+`"`)
	edit("eval/eval_results.json", "{", `{"test_data_hash": "sha256:`+own+`",`)
	for name, c := range map[string]struct{ content, of string }{
		"the run's":      {`{"status":"PASS","train":{"sha256":"` + own + `"},"eval":{"sha256":"` + own + `"}}`, ""},
		"other training": {`{"status":"PASS","train":{"sha256":"` + other + `"},"eval":{"sha256":"` + own + `"}}`, "other training data than the run's"},
		"other test":     {`{"status":"PASS","train":{"sha256":"` + own + `"},"eval":{"sha256":"` + other + `"}}`, "other test data than the run's"},
		"not told":       {`{"status":"PASS","train":"a.jsonl"}`, ""},
		"typed by hand":  {`{"status":"PASS","train":{"sha256":"abc"}}`, ""},
	} {
		path := filepath.Join(t.TempDir(), "contamination.json")
		require.NoError(t, os.WriteFile(path, []byte(c.content), 0o644))
		in, err := decision.Gather(context.Background(), decision.Sources{Run: run, Contamination: path}, decision.DefaultCriteria(), nil)
		require.NoError(t, err, name)
		assert.Equal(t, c.of, in.Evidence.ContaminationOf, name)
	}
	// A retrain trains on a part of its data set, which its training names.
	training := filepath.Join(t.TempDir(), "train")
	require.NoError(t, os.CopyFS(training, os.DirFS(run)))
	require.NoError(t, os.Rename(training, filepath.Join(run, "train")))
	edit("train/run_meta.json", own, other)
	path := filepath.Join(t.TempDir(), "contamination.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"status":"PASS","train":{"sha256":"`+other+`"}}`), 0o644))
	in, err := decision.Gather(context.Background(), decision.Sources{Run: run, Contamination: path}, decision.DefaultCriteria(), nil)
	require.NoError(t, err)
	assert.Empty(t, in.Evidence.ContaminationOf)
	require.NoError(t, os.RemoveAll(filepath.Join(run, "train")))

	artifact := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(artifact, "report.json"), []byte(`{"pii_total_hits":0}`), 0o644))
	for hash, of := range map[string]string{own: "", other: "of another file than the run's training data", "": ""} {
		require.NoError(t, os.WriteFile(filepath.Join(artifact, "hashes.json"), []byte(`{"dataset_hash":"`+hash+`"}`), 0o644))
		in, err := decision.Gather(context.Background(), decision.Sources{Run: run, Report: artifact}, decision.DefaultCriteria(), nil)
		require.NoError(t, err)
		assert.Equal(t, of, in.Evidence.ReportOf)
	}
}
