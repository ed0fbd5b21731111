package core_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs"
)

// childVariable makes the test program train, as a child that can be killed:
// its value is a train.yaml, or a run directory to resume.
const childVariable = "VERIFILY_TEST_TRAIN"

func TestMain(m *testing.M) {
	if target := os.Getenv(childVariable); target != "" {
		trainAsChild(target)
	}
	os.Exit(m.Run())
}

// trainAsChild trains and prints the run directory and each step.
func trainAsChild(target string) {
	limitFileSize()
	opt := core.TrainOptions{ConfigPath: target,
		Started: func(r *runs.Run) { fmt.Println("run", r.Dir()) },
		Events: func(ev engine.Event) {
			if s, ok := ev.(engine.StepEvent); ok {
				fmt.Println("step", s.Step)
			}
		}}
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		opt.ConfigPath, opt.ResumeFrom = "", target
	}
	if _, err := core.Train(context.Background(), opt); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	os.Exit(0)
}

// child runs the training in a process of its own and kills it at the given
// step; step 0 lets it end. It returns the run directory.
func child(t *testing.T, target string, killAt int, delay time.Duration) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+target)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	dir := ""
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var step int
		if _, err := fmt.Sscanf(lines.Text(), "step %d", &step); err != nil {
			fmt.Sscanf(lines.Text(), "run %s", &dir)
		}
		if killAt > 0 && step == killAt {
			time.Sleep(delay) // lands anywhere in the next step or save
			require.NoError(t, cmd.Process.Kill())
		}
	}
	err = cmd.Wait()
	if killAt == 0 {
		require.NoError(t, err)
	}
	return dir
}

// TestKilled kills training with SIGKILL at twenty random points and resumes
// it; what comes out has the bytes of an undisturbed run.
func TestKilled(t *testing.T) {
	for _, c := range []struct {
		lora  bool
		kills int
	}{{true, 14}, {false, 6}} {
		t.Run(fmt.Sprintf("lora=%v", c.lora), func(t *testing.T) {
			cfg := smallConfig(t, "sft", c.lora, config.Override{Key: "training.num_epochs", Value: 3})
			const total = 18
			want := mustTrain(t, core.TrainOptions{Config: cfg})
			yaml, err := cfg.YAML()
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "train.yaml")
			require.NoError(t, os.WriteFile(path, yaml, 0o644))
			for i := range c.kills {
				killAt := 1 + rand.IntN(total)
				delay := time.Duration(rand.IntN(20_000)) * time.Microsecond
				point := fmt.Sprintf("kill %d: step %d and %v", i, killAt, delay)
				dir := child(t, path, killAt, delay)
				run, err := runs.Open(dir)
				require.NoError(t, err, point)
				status, err := run.State(time.Now())
				require.NoError(t, err, point)
				if status == runs.StatusCompleted {
					continue // the kill came after the end
				}
				assert.Equal(t, runs.StatusInterrupted, status, point)
				child(t, dir, 0, 0)
				assert.Equal(t, weights(t, want), weights(t, run), point)
				assertSameFile(t, want, run, "eval/predictions.jsonl")
				assert.Equal(t, lossLines(t, want), lossLines(t, run), point)
				checkHashes(t, run)
				left, err := filepath.Glob(filepath.Join(dir, "checkpoints", ".saving-*"))
				require.NoError(t, err)
				assert.Empty(t, left, point)
			}
		})
	}
}

// lossLines is the log without what depends on the clock.
func lossLines(t *testing.T, run *runs.Run) []string {
	t.Helper()
	log, err := run.Log()
	require.NoError(t, err)
	var out []string
	for _, l := range log.Lines {
		if l.Loss != nil {
			out = append(out, fmt.Sprintf("%d %v %v", l.Step, *l.Loss, *l.GradNorm))
		}
		if l.EvalLoss != nil {
			out = append(out, fmt.Sprintf("%d eval %v", l.Step, *l.EvalLoss))
		}
	}
	return out
}
