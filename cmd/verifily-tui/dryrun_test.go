package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
)

// TestDryRunSaysWhatItDoesNotCount: the model of a job that starts from another
// is not there yet.
func TestDryRunSaysWhatItDoesNotCount(t *testing.T) {
	example(t, "jobs:\n  - {name: a, config: train.yaml}\n  - {name: on-a, config: train.yaml, set: {base_model: 'job:a'}}\n  - {name: check, run: a}\n")
	out, errs, code := call(t, "--batch", "plan.yaml", "--dry-run")
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "2. on-a\n   base_model: job:a\n   after a\n   is estimated once the job a is complete\n")
	assert.Contains(t, out, "not counted: 2 jobs without an estimate")
}

// TestDryRunSaysWhatTheMatrixSets: also where it is what the train.yaml has.
func TestDryRunSaysWhatTheMatrixSets(t *testing.T) {
	example(t, "jobs:\n  - {name: a, config: train.yaml, matrix: {seed: [42, 1], training.batch_size: [4, 2]}}\n")
	out, errs, code := call(t, "--batch", "plan.yaml", "--dry-run")
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "1. a-1\n   seed: 42\n   training.batch_size: 4\n")
	assert.Contains(t, out, "4. a-4\n   seed: 1\n   training.batch_size: 2\n")
}

// TestDryRunSaysWhatHelps: as verifily train does, and each line of an error on
// a line.
func TestDryRunSaysWhatHelps(t *testing.T) {
	example(t, "jobs:\n  - {name: a, config: train.yaml, set: {base_model: gpt2}}\n  - {name: b, config: train.yaml, set: {data_paths.train: bad.jsonl}}\n")
	require.NoError(t, os.WriteFile("bad.jsonl", []byte("{}\n"), 0o644))
	out, _, code := call(t, "--batch", "plan.yaml", "--dry-run")
	assert.Equal(t, batch.ExitToolError, code)
	assert.Contains(t, out, "\n   hint: models are not downloaded here: if it is a Hugging Face id")
	assert.Contains(t, out, "\n     bad.jsonl:1: ")
	out, _, _ = call(t, "--batch", "plan.yaml", "--dry-run", "--json")
	assert.Contains(t, jsonLines(t, out)[0]["hint"], "models are not downloaded here")
}
