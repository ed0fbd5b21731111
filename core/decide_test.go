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
	"github.com/verifily/verifily-tui/runs/canonical"
)

func fileSum(t *testing.T, path string) string {
	t.Helper()
	sum, err := canonical.FileHash(path)
	require.NoError(t, err)
	return sum
}

func TestDecide(t *testing.T) {
	cfg := smallConfig(t, "sft", true)
	run := mustTrain(t, core.TrainOptions{Config: cfg})
	seed := int64(43)
	base := mustTrain(t, core.TrainOptions{Config: cfg, Seed: &seed})
	policy := filepath.Join(t.TempDir(), "ship.yaml")
	require.NoError(t, os.WriteFile(policy, []byte(`ship_if: {min_f1: 0.0, min_exact_match: 0.0, max_eval_loss: 1000, max_f1_regression: 1.0}
slices:
  half=0: {min_f1: 0.0, max_f1_regression: 1.0}
  half=9: {min_f1: 0.0}
min_slice: 5
significance: {alpha: 0.05, resamples: 500, seed: 1}
`), 0o644))
	opt := core.DecideOptions{Run: run.Dir(), Baseline: base.Dir(), Policy: policy}
	d, err := core.Decide(context.Background(), opt)
	require.NoError(t, err)
	status := map[string]string{}
	for _, g := range d.Gates {
		status[g.Name] = string(g.Status)
	}
	assert.Equal(t, map[string]string{"contract": "pass", "hashes": "pass", "pii hits": "not checked", "contamination": "not checked",
		"f1": "pass", "exact_match": "pass", "f1 regression": "pass", "eval_loss": "pass", "half=0 f1": "pass",
		"half=0 f1 regression": "pass", "half=9 f1": "too few"}, status)
	assert.Equal(t, []string{"half=9:too_few"}, d.RiskFlags)
	assert.Equal(t, 2, d.ExitCode)

	first := tree(t, filepath.Join(run.Dir(), "decision"))
	byID := opt
	byID.Run, byID.Baseline, byID.RunsDir = filepath.Base(run.Dir()), filepath.Base(base.Dir()), filepath.Dir(run.Dir())
	named, err := core.Decide(context.Background(), byID)
	require.NoError(t, err)
	assert.Equal(t, d, named)
	assert.Len(t, first, 5)
	opt.Note, opt.Reviewer = "looked at all of them", "Ada"
	_, err = core.Decide(context.Background(), opt)
	require.NoError(t, err)
	second := tree(t, filepath.Join(run.Dir(), "decision"))
	for _, name := range []string{"decision.json", "decision.txt", "gates.json"} {
		path := filepath.Join(run.Dir(), "decision", name)
		assert.NotEmpty(t, first[path])
		assert.Equal(t, first[path], second[path], "same inputs, same bytes: %s", name)
	}
	checkHashes(t, run)
	trail, err := os.ReadFile(filepath.Join(run.Dir(), "decision", "audit_log.jsonl"))
	require.NoError(t, err)
	lines := strings.Split(string(trail), "\n")
	assert.Len(t, lines, 4, "one a decision")
	assert.Contains(t, lines[2], `"step":"decide","status":"INVESTIGATE","run_id":"`+filepath.Base(run.Dir())+`","reviewer":"Ada","note":"looked at all of them","exit_code":2}`)

	opt.Note = strings.Repeat("x", 1<<20)
	_, err = core.Decide(context.Background(), opt)
	var config *core.ConfigError
	require.ErrorAs(t, err, &config)
	assert.Equal(t, second, tree(t, filepath.Join(run.Dir(), "decision")))
}

func TestDecideToolErrors(t *testing.T) {
	run := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true)})
	for name, c := range map[string]struct {
		opt  core.DecideOptions
		says string
	}{
		"no run":           {core.DecideOptions{Run: "/nowhere"}, "find run: /nowhere: there is no such run"},
		"no baseline":      {core.DecideOptions{Run: run.Dir(), Baseline: "/nowhere"}, "find baseline: /nowhere: there is no such run"},
		"no policy":        {core.DecideOptions{Run: run.Dir(), Policy: "/nowhere.yaml"}, "load policy"},
		"no contamination": {core.DecideOptions{Run: run.Dir(), Contamination: "/nowhere.json"}, "/nowhere.json"},
		"no report":        {core.DecideOptions{Run: run.Dir(), Report: "/nowhere.json"}, "/nowhere.json"},
		"limit out of range": {core.DecideOptions{Run: run.Dir(), Criteria: map[string]any{"min_f1": 1.5}},
			"ship_if.min_f1=1.5 invalid (must be <= 1.0)"},
	} {
		d, err := core.Decide(context.Background(), c.opt)
		assert.Nil(t, d, name)
		require.Error(t, err, name)
		var typed core.VerifilyTrainError
		require.ErrorAs(t, err, &typed, name)
		assert.Contains(t, err.Error(), c.says, name)
		assert.NoDirExists(t, filepath.Join(run.Dir(), "decision"))
	}
	d, err := core.Decide(context.Background(), core.DecideOptions{Run: run.Dir(), DryRun: true})
	require.NoError(t, err)
	assert.Equal(t, "DONT_SHIP", d.Recommendation)
	assert.NoDirExists(t, filepath.Join(run.Dir(), "decision"))

	// A run that does not fulfil the contract is a verdict.
	require.NoError(t, os.Remove(filepath.Join(run.Dir(), "environment.json")))
	d, err = core.Decide(context.Background(), core.DecideOptions{Run: run.Dir()})
	require.NoError(t, err)
	assert.Equal(t, 3, d.ExitCode)
	assert.Equal(t, []string{"environment.json"}, d.MissingFiles)
}
