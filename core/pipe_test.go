package core_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
)

// TestPipesAreNotWaitedFor: a pipe in the place of a file is a typed error at
// once, whoever meets it.
func TestPipesAreNotWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	stopped := interruptedRun(t, smallConfig(t, "sft", true)).Dir()
	done := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true)}).Dir()
	checkpoints, err := filepath.Glob(filepath.Join(stopped, "checkpoints/checkpoint-*"))
	require.NoError(t, err)
	require.NotEmpty(t, checkpoints)
	checkpoint, err := filepath.Rel(stopped, checkpoints[len(checkpoints)-1])
	require.NoError(t, err)

	resume := func(run string) error {
		_, err := core.Train(context.Background(), core.TrainOptions{ResumeFrom: run})
		return err
	}
	evaluate := func(run string) error {
		_, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: run})
		return err
	}
	verify := func(run string) error {
		_, err := core.Reproduce(context.Background(), core.ReproduceOptions{RunPath: run, VerifyOnly: true})
		return err
	}
	for _, c := range []struct {
		run, file string
		do        func(run string) error
	}{
		{stopped, "run_meta.json", resume},
		{stopped, "config.yaml", resume},
		{stopped, "manifest.json", resume},
		{stopped, "train_log.jsonl", resume},
		{stopped, filepath.Join(checkpoint, "trainer_state.json"), resume},
		{stopped, filepath.Join(checkpoint, "adapter_model.safetensors"), resume},
		{done, "run_meta.json", evaluate},
		{done, "config.yaml", evaluate},
		{done, "hashes.json", evaluate},
		{done, "adapter/adapter_config.json", evaluate},
		{done, "hashes.json", verify},
	} {
		t.Run(c.file, func(t *testing.T) {
			run := copyTree(t, c.run)
			path := filepath.Join(run, c.file)
			require.NoError(t, os.Remove(path))
			require.NoError(t, syscall.Mkfifo(path, 0o600))
			var typed core.VerifilyTrainError
			require.ErrorAs(t, c.do(run), &typed)
			assert.Contains(t, typed.Error(), filepath.Base(c.file))
		})
	}
	_, err = core.Train(context.Background(), core.TrainOptions{ConfigPath: pipe})
	assert.Equal(t, "config", kind(err))
	_, err = core.Decide(context.Background(), core.DecideOptions{Run: done, Policy: pipe})
	assert.Equal(t, "config", kind(err))
	_, err = core.Decide(context.Background(), core.DecideOptions{Run: done, Contamination: pipe})
	assert.Equal(t, "data", kind(err))
}
