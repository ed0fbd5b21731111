package jobs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spec is a training of a few steps an epoch.
func spec(t *testing.T, epochs int) jobs.Spec {
	t.Helper()
	dir := t.TempDir()
	var rows strings.Builder
	for i := range 64 {
		fmt.Fprintf(&rows, `{"instruction": "say %d", "output": "number %d"}`+"\n", i, i)
	}
	data := filepath.Join(dir, "train.jsonl")
	require.NoError(t, os.WriteFile(data, []byte(rows.String()), 0o644))
	path := filepath.Join(dir, "train.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "task: sft\nbase_model: builtin:nano\ndata_paths: {train: %q}\nlora: {enabled: false}\ntokenizer: {vocab_size: 300}\ntraining: {num_epochs: %d, batch_size: 8, gradient_accumulation_steps: 1, max_seq_length: 48, logging_steps: 1}\n", data, epochs), 0o644))
	return jobs.Spec{Config: path, RunsDir: filepath.Join(dir, "runs")}
}

// until waits for a job to reach a state.
func until(t *testing.T, j *jobs.Jobs, id int, ok func(jobs.State) bool) jobs.State {
	t.Helper()
	limit := time.After(60 * time.Second)
	for {
		if s := j.States()[id]; ok(s) {
			return s
		}
		select {
		case <-j.Changed():
		case <-limit:
			t.Fatalf("job is %+v", j.States()[id])
		}
	}
}

func ended(s jobs.State) bool { return s.Ended() }

func TestTrainToTheEnd(t *testing.T) {
	j := jobs.New(context.Background())
	defer j.Close()
	s := spec(t, 1)
	first := j.Start(s, "one")
	second := j.Start(s, "two")
	for _, id := range []int{first, second} {
		state := until(t, j, id, ended)
		require.Equal(t, jobs.Done, state.Phase, "%v", state.Err)
		run, err := runs.Open(state.Dir)
		require.NoError(t, err)
		meta, err := run.Meta()
		require.NoError(t, err)
		assert.Equal(t, runs.StatusCompleted, meta.Status)
	}
}

func TestPauseAndStop(t *testing.T) {
	j := jobs.New(context.Background())
	defer j.Close()
	id := j.Start(spec(t, 10_000), "long")
	waiting := j.Start(spec(t, 1), "waiting")
	state := until(t, j, id, func(s jobs.State) bool { return s.Dir != "" })
	j.Pause(id)
	assert.Equal(t, jobs.Paused, j.States()[id].Phase)
	j.Resume(id)
	assert.Equal(t, jobs.Training, j.States()[id].Phase)
	j.Checkpoint(id)
	j.Stop(waiting)
	assert.Equal(t, jobs.Stopped, until(t, j, waiting, ended).Phase)
	j.Stop(id)
	assert.Equal(t, jobs.Stopped, until(t, j, id, ended).Phase)
	run, err := runs.Open(state.Dir)
	require.NoError(t, err)
	status, err := run.State(time.Now())
	require.NoError(t, err)
	assert.Equal(t, runs.StatusInterrupted, status, "it can be resumed")
	j.Stop(99)
	j.Pause(-1)
}

func TestFailure(t *testing.T) {
	j := jobs.New(context.Background())
	defer j.Close()
	id := j.Start(jobs.Spec{Config: filepath.Join(t.TempDir(), "none.yaml")}, "none")
	state := until(t, j, id, ended)
	assert.Equal(t, jobs.Failed, state.Phase)
	assert.ErrorContains(t, state.Err, "none.yaml")
}

func TestPlan(t *testing.T) {
	s := spec(t, 2)
	cfg, plan, err := jobs.Plan(context.Background(), s)
	require.NoError(t, err)
	assert.Equal(t, 2, cfg.Training.NumEpochs)
	assert.Equal(t, 64, plan.TrainRows)
	assert.Equal(t, 16, plan.TotalSteps)
	s.Overrides = []config.Override{{Key: "training.num_epochs", Value: 3}}
	_, plan, err = jobs.Plan(context.Background(), s)
	require.NoError(t, err)
	assert.Equal(t, 24, plan.TotalSteps)
	s.Overrides = []config.Override{{Key: "training.learning_rate", Value: -1.0}}
	_, _, err = jobs.Plan(context.Background(), s)
	assert.ErrorContains(t, err, "learning_rate")
	assert.NoDirExists(t, s.RunsDir, "a plan writes nothing")
}
