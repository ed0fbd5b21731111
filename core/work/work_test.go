package work_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/work"
)

func start(t *testing.T, opt jobs.Options) *jobs.Queue {
	t.Helper()
	opt.Kinds, opt.Heavy = work.Kinds(work.Options{}), work.Heavy
	q, err := jobs.Open(patient(t), opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	require.NoError(t, q.Start(patient(t)))
	return q
}

func submit(t *testing.T, q *jobs.Queue, kind string, input any) jobs.Job {
	t.Helper()
	data, err := json.Marshal(input)
	require.NoError(t, err)
	job, err := q.Submit(patient(t), jobs.Request{Kind: kind, Input: data})
	require.NoError(t, err)
	return job
}

func finish(t *testing.T, q *jobs.Queue, job jobs.Job) jobs.Job {
	t.Helper()
	job, err := q.Wait(patient(t), job.ID)
	require.NoError(t, err)
	return job
}

// TestManyWriters: retrains of several processes into one folder get directories
// of their own.
func TestManyWriters(t *testing.T) {
	const writers = 64
	onEach(t, func(t *testing.T, opt jobs.Options) {
		opt.Workers = writers / 2
		a, b := start(t, opt), start(t, opt)
		out, data := t.TempDir(), dataSet(t)
		var all []jobs.Job
		for i := range writers {
			all = append(all, submit(t, []*jobs.Queue{a, b}[i%2], work.Retrain, wire.RetrainRequest{DatasetDir: data, OutputDir: &out}))
		}
		dirs := map[string]bool{}
		for _, job := range all {
			job = finish(t, a, job)
			require.Equal(t, jobs.Succeeded, job.Status)
			assert.False(t, dirs[*job.ResultPath])
			dirs[*job.ResultPath] = true
			checkRun(t, a, job.ID, *job.ResultPath)
		}
		found, err := filepath.Glob(filepath.Join(out, "runs", "retrain_*"))
		require.NoError(t, err)
		assert.Len(t, found, writers)
	})
}

func TestFailures(t *testing.T) {
	onEach(t, func(t *testing.T, opt jobs.Options) {
		q := start(t, opt)
		data, unwritable, nowhere := dataSet(t), "/proc/verifily", filepath.Join(t.TempDir(), "nowhere")
		for name, c := range map[string]struct {
			kind  string
			input any
			want  string
		}{
			"unwritable folder": {work.Retrain, wire.RetrainRequest{DatasetDir: data, OutputDir: &unwritable}, "write retrain"},
			"no data set":       {work.Retrain, wire.RetrainRequest{DatasetDir: nowhere}, "Dataset dir not found"},
			"real mode":         {work.Retrain, wire.RetrainRequest{DatasetDir: data, Mode: "real"}, "VERIFILY_ENABLE_REAL_TRAIN"},
			"unknown field":     {work.Retrain, map[string]any{"dataset_dri": data}, "dataset_dri"},
			"no config":         {work.Train, wire.TrainRequest{ConfigPath: nowhere}, nowhere},
			"wrong config":      {work.Train, wire.TrainRequest{Config: map[string]any{"task": "dance"}}, "task"},
			"no run":            {work.Eval, wire.EvalRequest{Run: nowhere}, nowhere},
			"runs missing":      {work.Compare, wire.CompareRequest{Runs: []string{nowhere, nowhere}}, nowhere},
		} {
			job := finish(t, q, submit(t, q, c.kind, c.input))
			assert.Equal(t, jobs.Failed, job.Status, name)
			require.NotNil(t, job.Error, name)
			assert.Contains(t, *job.Error, c.want, name)
			assert.Equal(t, 1, job.Attempts, name)
		}
	})
}

// few writes a data set of some rows, and names a folder for runs beside it.
func few(t *testing.T) (rows, out string) {
	t.Helper()
	dir := t.TempDir()
	rows = filepath.Join(dir, "rows.jsonl")
	require.NoError(t, os.WriteFile(rows, []byte(strings.Repeat(`{"instruction": "Say", "input": "a", "output": "a"}`+"\n", 8)), 0o644))
	return rows, filepath.Join(dir, "runs")
}

// TestCancelledTraining: the error of the job names the run, which can be resumed.
func TestCancelledTraining(t *testing.T) {
	q := start(t, jobs.Options{DataDir: t.TempDir()})
	rows, out := few(t)
	job := submit(t, q, work.Train, wire.TrainRequest{OutputDir: &out, Config: map[string]any{
		"task": "sft", "base_model": "builtin:micro", "lora": map[string]any{"enabled": false}, "data_paths": map[string]any{"train": rows},
		"training": map[string]any{"num_epochs": 100_000, "batch_size": 4, "max_seq_length": 64},
	}})
	events, err := q.Events(patient(t), job.ID)
	require.NoError(t, err)
	for e := range events {
		if e.Type == work.EventStep {
			_, err := q.Cancel(patient(t), job.ID)
			require.NoError(t, err)
			break
		}
	}
	job = finish(t, q, job)
	assert.Equal(t, jobs.Failed, job.Status)
	found, err := filepath.Glob(filepath.Join(out, "run_*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NotNil(t, job.Error)
	assert.Equal(t, "cancelled; its run "+found[0]+" can be resumed: verifily train --resume "+found[0], *job.Error)
	assert.Nil(t, job.ResultPath)
}

// TestEveryKind trains a small model, evaluates it again and compares the run
// with itself, as jobs.
func TestEveryKind(t *testing.T) {
	q := start(t, jobs.Options{DataDir: t.TempDir()})
	rows, out := few(t)
	job := submit(t, q, work.Train, wire.TrainRequest{OutputDir: &out, Config: map[string]any{
		"task": "sft", "base_model": "builtin:micro", "lora": map[string]any{"enabled": false},
		"data_paths": map[string]any{"train": rows, "test": rows},
		"training":   map[string]any{"num_epochs": 1, "batch_size": 4, "gradient_accumulation_steps": 1, "max_seq_length": 64, "logging_steps": 1},
		"eval":       map[string]any{"generation_max_new_tokens": 2, "generation_num_beams": 1},
	}})
	events, err := q.Events(patient(t), job.ID)
	require.NoError(t, err)
	kinds := map[string]bool{}
	for e := range events {
		kinds[e.Type] = true
	}
	job = finish(t, q, job)
	require.Equal(t, jobs.Succeeded, job.Status, "%v", job.Error)
	assert.True(t, kinds[work.EventStep])
	require.NotNil(t, job.ResultPath)
	assert.Equal(t, out, filepath.Dir(*job.ResultPath))
	result, _, err := q.Result(patient(t), job.ID)
	require.NoError(t, err)
	var trained struct {
		JobType string `json:"job_type"`
		RunDir  string `json:"run_dir"`
		Meta    struct {
			JobID  string `json:"job_id"`
			Status string `json:"status"`
		} `json:"run_meta"`
	}
	require.NoError(t, json.Unmarshal(result, &trained))
	assert.Equal(t, work.Train, trained.JobType)
	assert.Equal(t, *job.ResultPath, trained.RunDir)
	assert.Equal(t, job.ID, trained.Meta.JobID)
	assert.Equal(t, "completed", trained.Meta.Status)

	run := *job.ResultPath
	job = finish(t, q, submit(t, q, work.Eval, wire.EvalRequest{Run: run}))
	require.Equal(t, jobs.Succeeded, job.Status, "%v", job.Error)
	assert.Equal(t, filepath.Join(run, "eval"), *job.ResultPath)
	job = finish(t, q, submit(t, q, work.Compare, wire.CompareRequest{Runs: []string{run, run}}))
	require.Equal(t, jobs.Succeeded, job.Status, "%v", job.Error)
	assert.Nil(t, job.ResultPath)
	result, _, err = q.Result(patient(t), job.ID)
	require.NoError(t, err)
	assert.Contains(t, string(result), `"comparison"`)
}
