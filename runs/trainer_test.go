package runs_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
)

const trainerState = `{
  "best_metric": 0.9, "best_model_checkpoint": "out/checkpoint-20", "epoch": 2.0, "global_step": 40, "max_steps": 40,
  "num_input_tokens_seen": 1234,
  "log_history": [
    {"epoch": 0.5, "grad_norm": NaN, "learning_rate": 5e-05, "loss": 900.5, "step": 10},
    {"epoch": 1.0, "eval_accuracy": 0.5, "eval_loss": 0.9, "eval_runtime": 1.5, "step": 20},
    {"epoch": 2.0, "eval_loss": 1.1, "step": 40},
    {"epoch": 2.0, "grad_norm": 1.5, "learning_rate": 0.0, "loss": 1.5, "step": 40},
    {"epoch": 2.0, "step": 40, "total_flos": 1e15, "train_loss": 200.0, "train_runtime": 61.5},
    "junk"
  ]
}`

func TestTrainerFolder(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "trainer_state.json", trainerState)
	put(t, dir, "adapter_config.json", `{"base_model_name_or_path": "org/model"}`)
	r := open(t, dir)
	m, err := r.Meta()
	require.NoError(t, err)
	assert.Equal(t, runs.Meta{
		RunID: filepath.Base(dir), Status: runs.StatusCompleted, BaseModel: "org/model", DurationSeconds: 61.5,
		Metrics: map[string]float64{"train_loss": 1.5, "eval_loss": 1.1},
	}, m)
	status, err := r.State(time.Now())
	require.NoError(t, err)
	assert.Equal(t, runs.StatusCompleted, status)

	log, err := r.Log()
	require.NoError(t, err)
	assert.Equal(t, []int{10, 20, 40, 40}, steps(log))
	assert.Equal(t, 1, log.Bad)
	assert.True(t, math.IsNaN(*log.Lines[0].GradNorm))
	assert.Equal(t, 0.9, *log.Lines[1].EvalLoss)
	assert.Equal(t, 0.5, log.Lines[1].Metrics["eval_accuracy"])

	s, err := r.Summary()
	require.NoError(t, err)
	assert.Equal(t, runs.Summary{
		TotalSteps: 40, TotalEpochs: 2, FinalTrainLoss: ptr(1.5), BestEvalLoss: ptr(0.9), BestEvalStep: ptr(20),
		TokensProcessed: 1234, WallTimeSeconds: 61.5,
	}, s)
}

func TestTrainerCheckpoints(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "checkpoint-9/trainer_state.json", `{"global_step": 9, "max_steps": 30, "log_history": []}`)
	put(t, dir, "checkpoint-10/trainer_state.json", `{"global_step": 10, "max_steps": 30, "log_history": [{"step": 10, "loss": 3}]}`)
	put(t, dir, "checkpoint-10/config.json", `{"_name_or_path": "org/base"}`)
	put(t, dir, "checkpoint-20/model.safetensors", "no state")
	put(t, dir, "checkpoint-x/trainer_state.json", `{}`)
	r := open(t, dir)
	m, err := r.Meta()
	require.NoError(t, err)
	assert.Equal(t, runs.StatusInterrupted, m.Status)
	assert.Equal(t, "org/base", m.BaseModel)
	log, err := r.Log()
	require.NoError(t, err)
	assert.Equal(t, []int{10}, steps(log))
}

func TestBrokenTrainerState(t *testing.T) {
	for _, content := range []string{`{"log_history": 5}`, `[`, ``} {
		dir := t.TempDir()
		put(t, dir, "trainer_state.json", content)
		r := open(t, dir)
		_, err := r.Meta()
		require.ErrorContains(t, err, "trainer_state.json")
		_, err = r.Log()
		require.ErrorContains(t, err, "trainer_state.json")
		_, err = r.Summary()
		require.ErrorContains(t, err, "trainer_state.json")
		require.NoError(t, os.Remove(filepath.Join(dir, "trainer_state.json")))
		_, err = r.Meta()
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}

func TestRunWithTrainerLog(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "run_meta.json", `{"run_id": "r", "status": "completed"}`)
	put(t, dir, "checkpoint-40/trainer_state.json", trainerState)
	r := open(t, dir)
	assert.Equal(t, runs.KindRun, r.Kind())
	log, err := r.Log()
	require.NoError(t, err)
	assert.Equal(t, []int{10, 20, 40, 40}, steps(log))
}
