//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// eventually waits for a condition that other processes bring about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("this does not come: %s", what)
		}
	}
}

// trained trains train.yaml in this process, undisturbed, and returns the hash
// of the weights.
func trained(t *testing.T) string {
	t.Helper()
	run, err := core.Train(context.Background(), core.TrainOptions{ConfigPath: "train.yaml",
		Overrides: []config.Override{{Key: "output.dir", Value: "undisturbed"}}})
	require.NoError(t, err)
	return weightsOf(t, run.Dir())
}

func weightsOf(t *testing.T, dir string) string {
	t.Helper()
	sum, err := canonical.FileHash(filepath.Join(dir, "model", "model.safetensors"))
	require.NoError(t, err)
	return sum
}

// longer makes the training of the example long enough to be interrupted.
func longer(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile("train.yaml")
	require.NoError(t, err)
	text := strings.NewReplacer("num_epochs: 1,", "num_epochs: 40,", "eval_steps: 6, save_steps: 3", "eval_steps: 100, save_steps: 100").Replace(string(data))
	require.Contains(t, text, "num_epochs: 40, batch_size: 4, gradient_accumulation_steps: 2, eval_steps: 100")
	require.NoError(t, os.WriteFile("train.yaml", []byte(text), 0o644))
}

// startAndPause starts the training of the form and holds it on its way.
func startAndPause(t *testing.T) *terminal {
	t.Helper()
	term := openTerminal(t, 100, 30)
	term.see("no runs yet")
	term.press("2")
	term.see("can be trained")
	term.press("R")
	term.see("●") // it trains
	term.press("x")
	term.see("pause before the next step")
	term.press("\r")
	term.see("paused")
	return term
}

// onlyBatch returns the batch of the folder, nil while there is none.
func onlyBatch(t *testing.T) *batch.Look {
	t.Helper()
	list, err := batch.List("runs")
	require.NoError(t, err)
	if len(list) == 0 {
		return nil
	}
	require.Len(t, list, 1)
	look, err := batch.Open(filepath.Join("runs", list[0].BatchID))
	require.NoError(t, err)
	return look
}

// finished waits until the batch is over, and holds its one run to the weights.
func finished(t *testing.T, weights string) {
	t.Helper()
	eventually(t, "the end of the batch", func() bool {
		look := onlyBatch(t)
		return look != nil && look.Phase == batch.PhaseOver
	})
	look := onlyBatch(t)
	require.Len(t, look.Jobs, 1)
	assert.Equal(t, batch.Completed, look.Jobs[0].Status, look.Jobs[0].Error)
	list, err := runs.List("runs")
	require.NoError(t, err)
	require.Len(t, list, 1, "it went on in its run directory")
	assert.Equal(t, runs.StatusCompleted, list[0].Status)
	assert.Equal(t, weights, weightsOf(t, list[0].Dir))
}

// TestQuitHandsOver leaves the workbench while it trains: a process without a
// screen goes on, and ends with the bytes of an undisturbed training.
func TestQuitHandsOver(t *testing.T) {
	example(t, smallPlan)
	longer(t)
	weights := trained(t)
	term := startAndPause(t)
	term.press("q")
	term.see("How do you want to leave?", "hand over", "stop: save a checkpoint")
	term.press("h")
	term.see("1 training goes on in the background: runs/batch_", "batch follow", "batch stop")
	term.leave()
	finished(t, weights)
}

// TestHangUpHandsOver loses the terminal while it trains.
func TestHangUpHandsOver(t *testing.T) {
	example(t, smallPlan)
	longer(t)
	weights := trained(t)
	term := startAndPause(t)
	require.NoError(t, term.pty.Close())
	term.leave()
	finished(t, weights)
}

// TestQuitStops leaves with a checkpoint, from which the workbench takes the run
// up again.
func TestQuitStops(t *testing.T) {
	example(t, smallPlan)
	longer(t)
	weights := trained(t)
	term := startAndPause(t)
	term.press("q")
	term.see("How do you want to leave?")
	term.press("s")
	term.see("verifily train --resume runs/run_")
	term.leave()
	list, err := runs.List("runs")
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, runs.StatusInterrupted, list[0].Status)

	again := openTerminal(t, 100, 30)
	again.see("1 run")
	again.press("x")
	again.see("resume it here")
	again.press("r")
	again.press("3")
	again.see("completed")
	again.press("q")
	again.leave()
	assert.Equal(t, weights, weightsOf(t, list[0].Dir))
}

// TestKilledWhileHandingOver kills the workbench at every stage of handing over:
// either the other process goes on, or starting the plan does.
func TestKilledWhileHandingOver(t *testing.T) {
	stages := []string{"handover_*.yaml"}
	if os.Getenv(slowTests) != "" {
		stages = append(stages, "batch_*/journal.jsonl", "batch_*/.holder", "batch_*/output.log")
	}
	for _, stage := range stages {
		t.Run(strings.ReplaceAll(stage, "/", " "), func(t *testing.T) {
			example(t, smallPlan)
			longer(t)
			weights := trained(t)
			term := startAndPause(t)
			term.press("q")
			term.see("How do you want to leave?")
			term.press("h")
			eventually(t, stage, func() bool {
				found, err := filepath.Glob(filepath.Join("runs", stage))
				require.NoError(t, err)
				return len(found) > 0
			})
			require.NoError(t, term.cmd.Process.Kill())
			_ = term.cmd.Wait() // it was killed
			plans, err := filepath.Glob("runs/handover_*.yaml")
			require.NoError(t, err)
			require.Len(t, plans, 1)
			// Whether another process was started before is a matter of chance: with
			// one at work a second does nothing.
			var look *batch.Look
			eventually(t, "a batch that is over", func() bool {
				if look = onlyBatch(t); look == nil || look.Phase == batch.PhaseKilled {
					startProcess(t, "--batch", plans[0]).end()
				}
				look = onlyBatch(t)
				return look.Phase == batch.PhaseOver
			})
			list, err := runs.List("runs")
			require.NoError(t, err)
			for _, e := range list {
				if short := filepath.Base(look.Jobs[0].Run); e.Name == short {
					assert.Equal(t, weights, weightsOf(t, e.Dir))
				}
			}
		})
	}
}
