//go:build unix

package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
)

// child is a verifily that runs in a folder of its own. Its output goes
// through a pipe: as long as nobody reads, a run of long.yaml that prints JSON
// cannot end, so signals reach it on the way.
type child struct {
	*exec.Cmd
	t    *testing.T
	out  *bufio.Reader
	pipe *os.File
	errs strings.Builder
}

func startChild(t *testing.T, args ...string) *child {
	c := newChild(t, args...)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	c.run(r, w)
	return c
}

func newChild(t *testing.T, args ...string) *child {
	c := &child{Cmd: exec.Command("verifily", args...), t: t}
	c.Dir = t.TempDir()
	require.NoError(t, writeExample(c.Dir))
	c.Stderr = &c.errs
	return c
}

func (c *child) run(r, w *os.File) {
	c.pipe, c.out = r, bufio.NewReader(r)
	c.Stdout = w
	require.NoError(c.t, c.Start())
	require.NoError(c.t, w.Close())
	c.t.Cleanup(func() {
		_ = c.Process.Kill() // it has ended, unless the test failed
		_ = r.Close()
	})
}

// readTo reads lines up to one that holds text.
func (c *child) readTo(text string) {
	for {
		line, err := c.out.ReadString('\n')
		require.NoError(c.t, err, "the output ends before %q; stderr:\n%s", text, &c.errs)
		if strings.Contains(line, text) {
			return
		}
	}
}

// end reads the rest and returns it, with the exit code.
func (c *child) end() (string, int) {
	rest, err := io.ReadAll(c.out)
	require.NoError(c.t, err)
	return string(rest), c.wait()
}

func (c *child) wait() int {
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) {
		require.NoError(c.t, err)
	}
	return c.ProcessState.ExitCode()
}

// onlyRun returns the run in runs/ of the child.
func (c *child) onlyRun() *runs.Run {
	found, err := runs.List(filepath.Join(c.Dir, "runs"))
	require.NoError(c.t, err)
	require.Len(c.t, found, 1)
	run, err := runs.Open(found[0].Dir)
	require.NoError(c.t, err)
	return run
}

func (c *child) requireStatus(want runs.Status) {
	meta, err := c.onlyRun().Meta()
	require.NoError(c.t, err)
	require.Equal(c.t, want, meta.Status)
}

func TestSignalsThatStop(t *testing.T) {
	for name, sig := range map[string]os.Signal{"interrupt": os.Interrupt, "terminate": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			c := startChild(t, "train", "--config", "long.yaml", "--json")
			c.readTo(`"step":3,`)
			require.NoError(t, c.Process.Signal(sig))
			rest, code := c.end()
			assert.Equal(t, 130, code)
			assert.NotContains(t, rest, `"step":400,`)
			assert.Contains(t, rest, `{"event":"checkpoint"`)
			c.requireStatus(runs.StatusInterrupted)
			assert.Contains(t, c.errs.String(), "stopping: saving a checkpoint")
			assert.Contains(t, c.errs.String(), "verifily train --resume runs/"+filepath.Base(c.onlyRun().Dir()))
		})
	}
}

// Once only the evaluation is left there is no checkpoint to save.
func TestInterruptedEvaluation(t *testing.T) {
	c := newChild(t)
	row := `{"instruction": "Backwards.", "input": "abc", "output": "cba"}` + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, "words", "test.jsonl"), []byte(strings.Repeat(row, 4000)), 0o644))
	c.Args = []string{"verifily", "train", "--json"}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	c.run(r, w)
	c.readTo(`"event":"predict"`)
	require.NoError(t, c.Process.Signal(os.Interrupt))
	_, code := c.end()
	assert.Equal(t, 130, code)
	assert.Contains(t, c.errs.String(), "stopping: the training is saved, its evaluation is not")
	assert.Contains(t, c.errs.String(), "verifily train --resume runs/")
	c.requireStatus(runs.StatusInterrupted)
}

// A retrain that is interrupted leaves nothing that could be taken up again.
func TestInterruptedRetrainLeavesNothing(t *testing.T) {
	c := newChild(t)
	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, "endless.yaml"), []byte(
		strings.Replace(longYAML, "num_epochs: 10", "num_epochs: 10000\n  logging_steps: 1", 1)), 0o644))
	ingest := exec.Command("verifily", "ingest", "words/train.jsonl", "--schema", "sft", "--out", "data")
	ingest.Dir = c.Dir
	require.NoError(t, ingest.Run())
	c.Args = []string{"verifily", "retrain", "--dataset", "data", "--mode", "real", "--config", "endless.yaml", "--out", "out"}
	c.Env = append(os.Environ(), "VERIFILY_ENABLE_REAL_TRAIN=1")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	c.run(r, w)
	c.readTo("step      3/")
	require.NoError(t, c.Process.Signal(os.Interrupt))
	_, code := c.end()
	assert.Equal(t, 130, code)
	assert.Contains(t, c.errs.String(), "stopping: nothing will be left of it")
	assert.Contains(t, c.errs.String(), "interrupted: nothing was written\n")
	assert.NotContains(t, c.errs.String(), "--resume")
	left, err := filepath.Glob(filepath.Join(c.Dir, "out", "*", "r*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestSecondInterruptEndsAtOnce(t *testing.T) {
	c := newChild(t, "train", "--config", "long.yaml", "--verbose")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	// With the pipe full the run is stuck in its first line, so it cannot end
	// by itself after the first signal.
	require.NoError(t, w.SetWriteDeadline(time.Now().Add(time.Millisecond)))
	_, err = io.Copy(w, zeros{})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	c.run(r, w)
	require.Eventually(t, func() bool {
		found, err := filepath.Glob(filepath.Join(c.Dir, "runs", "run_*", "run_meta.json"))
		return err == nil && len(found) == 1
	}, time.Minute, 5*time.Millisecond, "the run does not start")

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Wait() // the state says how it ended
	}()
	require.Eventually(t, func() bool {
		_ = c.Process.Signal(os.Interrupt) // fails when it has ended
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}, time.Minute, 5*time.Millisecond, "two interrupts do not end it")
	state, ok := c.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	assert.True(t, state.Signaled(), "it ended by itself: %v", c.ProcessState)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestHangupDoesNotStopARun(t *testing.T) {
	c := startChild(t, "train", "--config", "long.yaml", "--json")
	c.readTo(`"step":3,`)
	require.NoError(t, c.Process.Signal(syscall.SIGHUP))
	rest, code := c.end()
	assert.Zero(t, code, "stderr:\n%s", &c.errs)
	assert.Contains(t, rest, `"step":400,`)
	c.requireStatus(runs.StatusCompleted)
}

func TestClosedOutputDoesNotStopARun(t *testing.T) {
	c := startChild(t, "train", "--config", "long.yaml", "--json")
	c.readTo(`"step":3,`)
	require.NoError(t, c.pipe.Close())
	assert.Zero(t, c.wait(), "stderr:\n%s", &c.errs)
	c.requireStatus(runs.StatusCompleted)
	assert.Equal(t, 1, strings.Count(c.errs.String(), "standard output could not be written"), "stderr:\n%s", &c.errs)
}
