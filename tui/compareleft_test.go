package tui

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCompareLeavesOut marks a run that is not evaluated and one of another task
// beside two that can be compared.
func TestCompareLeavesOut(t *testing.T) {
	fourRuns(t)
	put(t, "runs/run_20260306_080000_111111", "run_meta.json", `{"run_name": "no-eval", "status": "interrupted", "task": "sft"}`)
	put(t, "runs/run_20260307_080000_222222", "run_meta.json", `{"run_name": "other-task", "status": "completed", "task": "classification"}`)
	put(t, "runs/run_20260307_080000_222222", "eval/eval_results.json", `{"num_examples": 10, "metrics": {"accuracy": 0.5}}`)
	m := start(t, 120, 40, "space", "space", "space", "space", "space", "space", "c")
	require.NoError(t, m.compare.err)
	assert.Len(t, m.compare.value.Runs, 4)
	assert.Len(t, m.compare.dirs, 4)
	assert.Len(t, m.compare.asked, 6)
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "! left out: no-eval: the run has neither predictions nor evaluation results")
	assert.Contains(t, frame, `! left out: other-task: the task is "classification"`)
	press(m, "D", "a")
	assert.NotContains(t, m.canvas().Plain(), "reading all keys", "the inputs are those of the runs that are compared")
	press(m, "esc", "enter", "enter")
	assert.Equal(t, m.compare.dirs[1], m.open, "examples open for the run that they are of")
	checkFrame(t, m)
}

// TestFailureSaysWhy cuts the folder off what a run failed of.
func TestFailureSaysWhy(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "runs/run_20260306_080000_111111", "run_meta.json",
		`{"run_name": "hot", "status": "failed", "task": "sft", "error": "train: /far/away/runs/run_20260306_080000_111111: gradient norm is NaN at step 6"}`)
	put(t, "runs/run_20260306_080000_222222", "run_meta.json", `{"run_name": "cold", "status": "failed", "task": "sft", "error": "disk full"}`)
	frame := start(t, 120, 40, "down").canvas().Plain()
	assert.Contains(t, frame, "gradient norm is NaN at step 6")
	assert.Contains(t, frame, "disk full")
	assert.NotContains(t, frame, "/far/away")
}

func TestShort(t *testing.T) {
	for path, want := range map[string]string{"review/": "review/", "eval/eval_results.json": "eval_results.json", "a/b/": "b/", "": "", "/": "/", `c:\x\y`: "y"} {
		assert.Equal(t, want, short(path), path)
	}
}
