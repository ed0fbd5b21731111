package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
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
