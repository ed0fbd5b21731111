//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/runs"
)

// TestDiskFullInTheMiddle: from some moment on no large file can be written.
// The batch stops and says why; when there is room again it goes on and ends as
// if nothing had been.
func TestDiskFullInTheMiddle(t *testing.T) {
	want := undisturbed(t)
	dir := example(t, longPlan)
	p := startProcess(t, "--batch", "plan.yaml", "--json")
	p.readTo(`"event":"checkpoint"`, `"job":"a"`)
	const most = 100_000 // bytes a file: less than a checkpoint, more than a journal
	for _, pid := range append(children(t, p.Process.Pid), p.Process.Pid) {
		// A job may end at this moment; those to come have the limit of the batch.
		if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: most, Max: most}, nil); err != syscall.ESRCH {
			require.NoError(t, err)
		}
	}
	out, code := p.end()
	assert.Equal(t, batch.ExitInterrupted, code, out)
	assert.Contains(t, out, `"event":"stopping"`)
	assert.Contains(t, out, "the disk is full")
	look, err := batch.Find("", "runs")
	require.NoError(t, err)
	stopped, err := batch.Open(look)
	require.NoError(t, err)
	assert.Less(t, stopped.Counts[batch.Completed], 3)
	assert.Zero(t, stopped.Counts[batch.Failed], "it can be gone on with")
	sum, err := stopped.Summary()
	require.NoError(t, err)
	assert.Equal(t, "the disk is full", sum.Stopped)

	again, code := startProcess(t, "--batch", "plan.yaml", "--json").end()
	assert.Zero(t, code, again)
	assert.Equal(t, want, outcome(t, dir))
}

// littleMemory makes the process of a job an engine that needs much memory for
// every row of a batch, and has little.
const littleMemory = "VERIFILY_TUI_LITTLE_MEMORY"

// What a row of the pretended engine needs, and what there is, in bytes: for
// two rows, not for four.
const (
	memoryOfARow = 256 << 20
	memoryOfAll  = 900 << 20
)

// serveWithLittleMemory carries out a job as serveJob does, once it got the
// memory for a batch. The system refuses what is too much, and the process dies.
func serveWithLittleMemory() int {
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: memoryOfAll, Max: memoryOfAll}); err != nil {
		panic(err)
	}
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		panic(err)
	}
	var a struct {
		Config struct {
			Training struct {
				Rows int `json:"batch_size"`
			}
		}
	}
	if err := json.Unmarshal(line, &a); err != nil {
		panic(err)
	}
	// Asked of the system directly: Go's own allocator may be refused anywhere
	// once little is left, and then dies of the one or the other consequence.
	for range a.Config.Training.Rows {
		if _, err := unix.Mmap(-1, 0, memoryOfARow, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
			fmt.Fprintln(os.Stderr, "fatal error:", err)
			return 2
		}
	}
	read, write, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	os.Stdin = read
	go func() { // ends with the input, at the latest with the process
		_, _ = write.Write(line)
		_, _ = io.Copy(write, in)
		_ = write.Close()
	}()
	return serveJob()
}

// TestOutOfMemory: a job whose process dies for want of memory starts again with
// the largest batch that fits, and says so. A step sees as many rows as was
// planned.
func TestOutOfMemory(t *testing.T) {
	example(t, "jobs:\n  - {name: big, config: train.yaml, set: {training.batch_size: 8, training.gradient_accumulation_steps: 1}}\n  - {name: small, config: train.yaml, set: {training.batch_size: 2}}\n")
	t.Setenv(littleMemory, "1")
	out, errs, code := call(t, "--batch", "plan.yaml")
	require.Zero(t, code, out+errs)
	for _, want := range []string{
		"big: attempt 2 follows: its process ran out of memory; it starts again with batch_size 2 and gradient_accumulation_steps 4",
		"note: big ran out of memory with batch_size 8; it was trained with 2 and gradient_accumulation_steps 4",
		"small: completed in ",
	} {
		assert.Contains(t, out, want)
	}
	entries, err := runs.List("runs")
	require.NoError(t, err)
	require.Len(t, entries, 2)
	for _, e := range entries {
		assert.Equal(t, runs.StatusCompleted, e.Status)
		run, err := runs.Open(e.Dir)
		require.NoError(t, err)
		cfg, err := run.Config()
		require.NoError(t, err)
		training := cfg["training"].(map[string]any)
		if e.Meta.RunName == "big" {
			assert.Equal(t, 2, training["batch_size"])
			assert.Equal(t, 4, training["gradient_accumulation_steps"])
			summary, err := run.Summary()
			require.NoError(t, err)
			assert.Equal(t, 6, summary.TotalSteps, "48 rows, 8 a step")
		}
	}
	logs, err := filepath.Glob("runs/batch_*/jobs/*.log")
	require.NoError(t, err)
	assert.Empty(t, logs, "the last attempt had nothing to say")

	// Started again, nothing is done again, nor is it tried with the whole batch.
	again, _, code := call(t, "--batch", "plan.yaml")
	assert.Zero(t, code)
	assert.Contains(t, again, "big: completed before")
}

// TestExitCodes: what a whole batch of trainings ends with.
func TestExitCodes(t *testing.T) {
	plan := func(more string) string {
		return "jobs:\n  - {name: base, config: train.yaml}\n  - {name: new, config: train.yaml, set: {seed: 1}}\n" + more
	}
	decide := plan("decide: {policy: ship.yaml, baseline: base}\n")
	for name, c := range map[string]struct {
		plan, policy string
		again        func(t *testing.T) // done before a second start, whose exit code counts
		want         int
	}{
		"ship":            {plan: decide, policy: "ship_if: {min_f1: 0, min_exact_match: 0, max_f1_regression: 1}", want: 0},
		"do not ship":     {plan: decide, policy: "ship_if: {min_f1: 0.99}", want: 1},
		"investigate":     {plan: decide, policy: "ship_if: {min_f1: 0, min_exact_match: 0, max_f1_regression: 1}\nslices:\n  half=0: {min_f1: 0}", want: 2},
		"contract":        {plan: decide, policy: "ship_if: {min_f1: 0}", want: 3, again: removeEnvironments},
		"bad policy":      {plan: decide, policy: "ship_if: {min_f1: 7}", want: 4},
		"nothing to read": {plan: plan("compare: {baseline: no-such-run}"), want: 4},
		"a job failed":    {plan: plan("  - {name: none, config: train.yaml, set: {data_paths.train: none.jsonl}}\n"), want: 5},
		"time is over":    {plan: plan("stop: {after: 1ms}"), want: 130},
	} {
		t.Run(name, func(t *testing.T) {
			example(t, c.plan)
			require.NoError(t, os.WriteFile("ship.yaml", []byte(c.policy+"\n"), 0o644))
			out, errs, code := call(t, "--batch", "plan.yaml", "--quiet")
			if c.again != nil {
				c.again(t)
				out, errs, code = call(t, "--batch", "plan.yaml", "--quiet")
			}
			assert.Equal(t, c.want, code, out+errs)
		})
	}
}

func removeEnvironments(t *testing.T) {
	files, err := filepath.Glob("runs/run_*/environment.json")
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, file := range files {
		require.NoError(t, os.Remove(file))
	}
}
