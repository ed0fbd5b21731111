package work_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/client"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server"
	"github.com/verifily/verifily-tui/core/server/roots"
	"github.com/verifily/verifily-tui/core/work"
)

// serve serves a queue of its own and returns a client.
func serve(t *testing.T, root string) *client.Client {
	t.Helper()
	allowed, err := roots.New(root)
	require.NoError(t, err)
	runsDir := filepath.Join(root, "runs")
	srv, err := server.New(server.Options{Roots: allowed, RunsDir: runsDir, Open: func(ctx context.Context) (*server.Backend, error) {
		q, err := jobs.Open(ctx, jobs.Options{DataDir: filepath.Join(root, "data"), Heavy: work.Heavy, Prepare: work.Absolute,
			Kinds: server.Fenced(work.Kinds(work.Options{RunsDir: runsDir}), allowed, runsDir)})
		if err != nil {
			return nil, err
		}
		return &server.Backend{Queue: q}, q.Start(ctx)
	}})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, listener) }()
	c, err := client.New("http://"+listener.Addr().String(), client.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		cancel()
		require.NoError(t, <-done)
	})
	return c
}

// result waits for a job and returns its result.
func result(t *testing.T, c *client.Client, job *client.Submitted, err error) map[string]any {
	t.Helper()
	require.NoError(t, err)
	_, err = c.WaitForJob(patient(t), job.JobID)
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, c.JobResult(patient(t), job.JobID, &doc))
	return doc
}

// onDisk reads a JSON document of a run.
func onDisk(t *testing.T, path ...string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, json.Unmarshal(data, &doc))
	return doc
}

// Clients get the documents of the run directory.
func TestClientsGetTheDocuments(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	c := serve(t, root)
	rows := filepath.Join(root, "rows.jsonl")
	require.NoError(t, os.WriteFile(rows, []byte(strings.Repeat(`{"instruction": "Say", "output": "a"}`+"\n", 8)), 0o644))

	job, err := c.SubmitTrainJob(patient(t), client.TrainRequest{Config: map[string]any{
		"task": "sft", "base_model": "builtin:micro", "lora": map[string]any{"enabled": false},
		"data_paths": map[string]any{"train": rows, "test": rows}, "output": map[string]any{"dir": filepath.Join(root, "runs")},
		"training": map[string]any{"num_epochs": 1, "batch_size": 4, "gradient_accumulation_steps": 1, "max_seq_length": 64},
		"eval":     map[string]any{"generation_max_new_tokens": 2, "generation_num_beams": 1},
	}})
	trained := result(t, c, job, err)
	run := trained["run_dir"].(string)
	assert.Equal(t, onDisk(t, run, "run_meta.json"), trained["run_meta"])
	assert.Equal(t, onDisk(t, run, "eval", "eval_results.json"), trained["eval_results"])
	assert.Contains(t, trained["eval_results"], "num_examples")
	assert.Equal(t, job.JobID, trained["run_meta"].(map[string]any)["job_id"])

	out := filepath.Join(root, "elsewhere")
	job, err = c.SubmitEvalJob(patient(t), client.EvalRequest{Run: run, TestData: &rows, OutputDir: &out})
	evaluated := result(t, c, job, err)
	assert.Equal(t, onDisk(t, evaluated["eval_dir"].(string), "eval_results.json"), evaluated["eval_results"])
	assert.Contains(t, evaluated["eval_results"].(map[string]any)["overall"], "eval_loss")
}
