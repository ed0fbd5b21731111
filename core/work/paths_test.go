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
	"github.com/verifily/verifily-tui/core/work"
)

// Relative paths of a job start where it was submitted; the names of runs and
// models stay.
func TestAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	wd, err := os.Getwd()
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll("here", 0o755))
	for name, c := range map[string]struct{ kind, input, want string }{
		"retrain": {work.Retrain, `{"dataset_dir": "data", "output_dir": "../out", "base_run_dir": "a/run", "contaminated_run_dir": "night run"}`,
			`{"dataset_dir": "WD/data", "output_dir": "WD/../out", "base_run_dir": "WD/a/run", "contaminated_run_dir": "night run",
			"sent": {"dataset_dir": "data", "working_dir": "WD"}}`},
		"absolute": {work.Retrain, `{"dataset_dir": "/data", "seed": 123456789012345678901}`, `{"dataset_dir": "/data", "seed": 123456789012345678901}`},
		"train": {work.Train, `{"config": {"base_model": "here", "data_paths": {"train": "t.jsonl", "val": null}, "eval": {"gold_set": "g"}, "output": {"dir": "runs/"}}}`,
			`{"config": {"base_model": "WD/here", "data_paths": {"train": "WD/t.jsonl", "val": null}, "eval": {"gold_set": "WD/g"}, "output": {"dir": "WD/runs/"}}}`},
		"model by name":  {work.Train, `{"config": {"base_model": "org/model"}}`, `{"config": {"base_model": "org/model"}}`},
		"built-in":       {work.Train, `{"config": {"base_model": "builtin:micro"}}`, `{"config": {"base_model": "builtin:micro"}}`},
		"config file":    {work.Train, `{"config_path": "train.yaml", "output_dir": "o"}`, `{"config_path": "WD/train.yaml", "output_dir": "WD/o"}`},
		"eval":           {work.Eval, `{"run": "here", "test_data": "t", "output_dir": "o"}`, `{"run": "WD/here", "test_data": "WD/t", "output_dir": "WD/o"}`},
		"eval by name":   {work.Eval, `{"run": "run_1"}`, `{"run": "run_1"}`},
		"compare":        {work.Compare, `{"runs": ["runs/a", "b"]}`, `{"runs": ["WD/runs/a", "b"]}`},
		"not understood": {work.Eval, `{"runn": "a/b"}`, `{"runn": "a/b"}`},
		"other kind":     {"OTHER", `{"run": "a/b"}`, `{"run": "a/b"}`},
	} {
		got, err := work.Absolute(c.kind, json.RawMessage(c.input))
		require.NoError(t, err, name)
		assert.JSONEq(t, strings.ReplaceAll(c.want, "WD", wd), string(got), name)
		again, err := work.Absolute(c.kind, got)
		require.NoError(t, err, name)
		assert.JSONEq(t, string(got), string(again), name)
	}
}

// A worker with another current folder retrains the data set that was meant, and
// records it as it was sent.
func TestSubmittedInAnotherFolder(t *testing.T) {
	data := dataSet(t)
	t.Chdir(filepath.Dir(data))
	wd, err := os.Getwd()
	require.NoError(t, err)
	q := start(t, jobs.Options{DataDir: t.TempDir(), Workers: -1, Prepare: work.Absolute})
	job := submit(t, q, work.Retrain, map[string]any{"dataset_dir": "data", "output_dir": "out"})
	job, err = q.Job(patient(t), job.ID)
	require.NoError(t, err)
	input := job.Input

	t.Chdir(t.TempDir())
	elsewhere := start(t, jobs.Options{DataDir: t.TempDir()})
	job, err = elsewhere.Submit(patient(t), jobs.Request{Kind: work.Retrain, Input: input})
	require.NoError(t, err)
	job = finish(t, elsewhere, job)
	require.Equal(t, jobs.Succeeded, job.Status, "%v", job.Error)
	assert.Equal(t, filepath.Join(wd, "out", "runs", "retrain_0001"), *job.ResultPath)
	config, err := os.ReadFile(filepath.Join(*job.ResultPath, "config.yaml"))
	require.NoError(t, err)
	assert.Contains(t, string(config), "dataset_dir: data\n")
	meta := onDisk(t, *job.ResultPath, "run_meta.json")
	assert.Equal(t, wd, meta["working_dir"])
	assert.Equal(t, job.ID, meta["job_id"])
}
