package batch_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// here carries attempts out in this process.
type here struct{}

func (here) Run(ctx context.Context, a batch.Attempt, _, _ <-chan struct{}, report func(batch.Message)) batch.Message {
	return batch.Do(ctx, a, &engine.Control{}, report)
}

// TestAdopt hands a run that is being trained over to a batch: it ends in the
// run directory where it began, with the weights of an undisturbed one.
func TestAdopt(t *testing.T) {
	t.Chdir(t.TempDir())
	rows := ""
	for i := range 64 {
		rows += `{"instruction": "say ` + string(rune('a'+i%26)) + `", "output": "letter ` + string(rune('a'+i%26)) + `"}` + "\n"
	}
	require.NoError(t, os.WriteFile("train.jsonl", []byte(rows), 0o644))
	require.NoError(t, os.WriteFile("train.yaml", []byte("task: sft\nbase_model: builtin:nano\ndata_paths: {train: train.jsonl}\nlora: {enabled: false}\n"+
		"tokenizer: {vocab_size: 300}\ntraining: {num_epochs: 2, batch_size: 8, gradient_accumulation_steps: 1, logging_steps: 1}\n"), 0o644))
	weights := func(dir string) string {
		sum, err := canonical.FileHash(filepath.Join(dir, "model", "model.safetensors"))
		require.NoError(t, err)
		return sum
	}
	straight, err := core.Train(context.Background(), core.TrainOptions{ConfigPath: "train.yaml", Overrides: []config.Override{{Key: "name", Value: "any name"}}})
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped, err := core.Train(ctx, core.TrainOptions{ConfigPath: "train.yaml", Overrides: []config.Override{{Key: "name", Value: "any name"}},
		Events: func(ev engine.Event) {
			if s, ok := ev.(engine.StepEvent); ok && s.Step == 5 {
				cancel()
			}
		}})
	var interrupted *core.Interrupted
	require.ErrorAs(t, err, &interrupted)

	plan, err := batch.Parse("plan.yaml", []byte("jobs:\n  - {name: any-name, config: train.yaml}\n  - {name: after, config: train.yaml, set: {seed: 7, training.num_epochs: 1}}\n"))
	require.NoError(t, err)
	_, err = batch.Adopt(context.Background(), plan, map[string]string{"no such job": stopped.Dir()})
	assert.ErrorContains(t, err, "no such job")
	dir, err := batch.Adopt(context.Background(), plan, map[string]string{"any-name": stopped.Dir()})
	require.NoError(t, err)
	look, err := batch.Open(dir)
	require.NoError(t, err)
	assert.Equal(t, batch.PhaseKilled, look.Phase, "nothing works on it yet")
	assert.Equal(t, batch.Interrupted, look.Jobs[0].Status)

	sum, err := batch.Run(context.Background(), plan, batch.Options{Runner: here{}})
	require.NoError(t, err)
	assert.Equal(t, batch.ExitShip, sum.Exit)
	look, err = batch.Open(dir)
	require.NoError(t, err)
	assert.Equal(t, stopped.Dir(), mustAbs(t, look.Jobs[0].Run), "it is the same run")
	assert.Equal(t, weights(straight.Dir()), weights(stopped.Dir()))
	list, err := runs.List("runs")
	require.NoError(t, err)
	assert.Len(t, list, 3, "nothing was trained twice")
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	require.NoError(t, err)
	return abs
}
