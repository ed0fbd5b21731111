//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
)

// TestWorker lets a worker do a job and a monitor that were there before it, and
// stops it with SIGTERM.
func TestWorker(t *testing.T) {
	c := newChild(t, "worker")
	verifily := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("verifily", args...)
		cmd.Dir = c.Dir
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		require.NoError(t, err, "%s", &errs)
		return strings.TrimSpace(string(out))
	}
	verifily("ingest", "words/train.jsonl", "--schema", "sft", "--out", "data")
	verifily("retrain", "--dataset", "data", "--out", "out")
	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, "pipeline.yaml"), []byte("run_dir: out/runs/retrain_0001\n"), 0o644))
	id := verifily("monitor", "start", "--config", "pipeline.yaml", "--interval", "1s", "--max-ticks", "2")
	endless := verifily("monitor", "start", "--config", "pipeline.yaml", "--interval", "1h")

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	q, err := jobs.Open(ctx, jobs.Options{DataDir: filepath.Join(c.Dir, ".verifily"), Workers: -1})
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close()) }()
	job, err := q.Submit(ctx, jobs.Request{Kind: "RETRAIN", Input: json.RawMessage(`{"dataset_dir": "data", "output_dir": "out"}`)})
	require.NoError(t, err)

	r, w, err := os.Pipe()
	require.NoError(t, err)
	c.run(r, w)
	line, err := c.out.ReadString('\n')
	require.NoError(t, err, "%s", &c.errs)
	assert.Equal(t, "working on .verifily\n", line)
	job, err = q.Wait(ctx, job.ID)
	require.NoError(t, err)
	assert.Equal(t, jobs.Succeeded, job.Status)
	require.NotNil(t, job.ResultPath)
	assert.Equal(t, "out/runs/retrain_0002", *job.ResultPath)
	require.Eventually(t, func() bool {
		return strings.HasPrefix(verifily("monitor", "status", id), id+" completed, 2 ticks\ntick 2  ")
	}, time.Minute, 50*time.Millisecond)
	assert.Len(t, strings.Split(verifily("monitor", "history", id), "\n"), 2)
	assert.Equal(t, endless+" stopped", verifily("monitor", "stop", endless))

	// Nor a job nor what a config names may lead out of the worker's folders.
	job, err = q.Submit(ctx, jobs.Request{Kind: "RETRAIN", Input: json.RawMessage(`{"dataset_dir": "data", "output_dir": "/var/out"}`)})
	require.NoError(t, err)
	job, err = q.Wait(ctx, job.ID)
	require.NoError(t, err)
	assert.Equal(t, jobs.Failed, job.Status)
	require.NotNil(t, job.Error)
	assert.Contains(t, *job.Error, "outside")
	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, "pipeline.yaml"), []byte("run_dir: /var\n"), 0o644))
	id = verifily("monitor", "start", "--config", "pipeline.yaml", "--max-ticks", "1")
	require.Eventually(t, func() bool {
		return strings.Contains(verifily("monitor", "status", id), "outside of the allowed paths")
	}, time.Minute, 50*time.Millisecond)

	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Wait(), "%s", &c.errs)
	assert.Contains(t, c.errs.String(), "stopping: no new job is taken")
}
