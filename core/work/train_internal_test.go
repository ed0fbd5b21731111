package work

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
)

// A metric that is no number is null in the result, and named.
func TestResultWithoutANumber(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run_meta.json"), []byte(`{"run_id": "r", "status": "completed", "metrics": {"eval_loss": null}}`), 0o644))
	eval, err := runs.BeginEvalIn(filepath.Join(dir, "eval"))
	require.NoError(t, err)
	require.NoError(t, eval.Commit(runs.EvalResults{RunID: "r", NumExamples: 1, Overall: map[string]float64{"eval_loss": math.NaN(), "perplexity": math.Inf(1)}}, nil, nil))
	run, err := runs.Open(dir)
	require.NoError(t, err)
	result, err := trainResult(run)
	require.NoError(t, err)
	var got struct {
		Results json.RawMessage `json:"eval_results"`
	}
	require.NoError(t, json.Unmarshal(result, &got))
	assert.JSONEq(t, `{"run_id": "r", "test_data_path": "", "num_examples": 1, "overall": {"eval_loss": null, "perplexity": null}, "slices": {},
		"eval_duration_seconds": 0.0, "non_finite": {"eval_loss": "nan", "perplexity": "inf"}}`, string(got.Results))
}
