package jobs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/tui/jobs"
)

// inside carries the jobs of a batch out in this process.
type inside struct{}

func (inside) Run(ctx context.Context, a batch.Attempt, _, _ <-chan struct{}, report func(batch.Message)) batch.Message {
	return batch.Do(ctx, a, &engine.Control{}, report)
}

// elsewhere stands for the process that takes work over: it has begun with the
// batch when it returns, and over tells how the batch ended.
func elsewhere(over chan<- error) func(context.Context, string) error {
	return func(_ context.Context, path string) error {
		plan, err := batch.Load(path)
		if err != nil {
			return err
		}
		begun := make(chan struct{})
		var once sync.Once
		go func() {
			_, err := batch.Run(context.Background(), plan, batch.Options{Runner: inside{}, Events: func(ev batch.Event) {
				if ev.Kind == batch.EventStart {
					once.Do(func() { close(begun) })
				}
			}})
			over <- err
		}()
		<-begun
		return nil
	}
}

func weights(t *testing.T, dir string) string {
	t.Helper()
	sum, err := canonical.FileHash(filepath.Join(dir, "model", "model.safetensors"))
	require.NoError(t, err)
	return sum
}

// TestHandOver leaves a training and one that waits to another process while
// the first is paused in the middle; they end as if nothing had happened.
func TestHandOver(t *testing.T) {
	s := spec(t, 3)
	undisturbed := jobs.New(context.Background())
	defer undisturbed.Close()
	straight := until(t, undisturbed, undisturbed.Start(s, ""), ended)
	require.Equal(t, jobs.Done, straight.Phase, "%v", straight.Err)

	j := jobs.New(context.Background())
	defer j.Close()
	first := j.Start(s, "")
	named := s
	named.Overrides = []config.Override{{Key: "name", Value: "a name: with signs"}, {Key: "training.num_epochs", Value: 1}}
	second := j.Start(named, "a name: with signs")
	dir := until(t, j, first, func(s jobs.State) bool { return s.Dir != "" }).Dir
	j.Pause(first)

	over := make(chan error, 1)
	receipt, err := j.HandOver(context.Background(), s.RunsDir, elsewhere(over))
	require.NoError(t, err)
	assert.Equal(t, 2, receipt.Jobs)
	assert.Equal(t, jobs.Handed, until(t, j, first, ended).Phase)
	assert.Equal(t, jobs.Handed, until(t, j, second, ended).Phase)
	require.NoError(t, <-over)

	look, err := batch.Open(receipt.Batch)
	require.NoError(t, err)
	require.Len(t, look.Jobs, 2)
	assert.Equal(t, "a-name-with-signs", look.Jobs[1].Job)
	for _, job := range look.Jobs {
		assert.Equal(t, batch.Completed, job.Status, job.Error)
	}
	assert.Equal(t, dir, look.Jobs[0].Run, "it goes on in its run directory")
	assert.Equal(t, weights(t, straight.Dir), weights(t, dir), "with the bytes of an undisturbed run")
	list, err := runs.List(s.RunsDir)
	require.NoError(t, err)
	assert.Len(t, list, 3)

	_, err = j.HandOver(context.Background(), s.RunsDir, elsewhere(over))
	assert.ErrorContains(t, err, "nothing trains", "there is nothing left")
}

// TestHandOverFails keeps the work here when no process takes it.
func TestHandOverFails(t *testing.T) {
	s := spec(t, 2)
	j := jobs.New(context.Background())
	defer j.Close()
	id := j.Start(s, "")
	_, err := j.HandOver(context.Background(), s.RunsDir, func(context.Context, string) error { return errors.New("no room for it") })
	require.ErrorContains(t, err, "no room for it")
	assert.Equal(t, jobs.Done, until(t, j, id, ended).Phase, "it goes on here")
	left, err := filepath.Glob(filepath.Join(s.RunsDir, "[^.]*"))
	require.NoError(t, err)
	assert.Len(t, left, 1, "but for the run nothing is left: %v", left)
}

// TestResume goes on with a run that was stopped.
func TestResume(t *testing.T) {
	s := spec(t, 3)
	undisturbed := jobs.New(context.Background())
	defer undisturbed.Close()
	straight := until(t, undisturbed, undisturbed.Start(s, ""), ended)
	j := jobs.New(context.Background())
	defer j.Close()
	id := j.Start(s, "")
	dir := until(t, j, id, func(s jobs.State) bool { return s.Dir != "" }).Dir
	j.StopAll()
	require.Equal(t, jobs.Stopped, until(t, j, id, ended).Phase)
	again := j.Start(jobs.Spec{Resume: dir, RunsDir: s.RunsDir}, "again")
	state := until(t, j, again, ended)
	require.Equal(t, jobs.Done, state.Phase, "%v", state.Err)
	assert.Equal(t, dir, state.Dir)
	assert.Equal(t, weights(t, straight.Dir), weights(t, dir))
}

// TestConfigIsReadAtOnce: what is changed after a job was queued is of no
// matter to it.
func TestConfigIsReadAtOnce(t *testing.T) {
	s := spec(t, 2)
	j := jobs.New(context.Background())
	defer j.Close()
	first := j.Start(s, "")
	second := j.Start(s, "")
	until(t, j, first, func(s jobs.State) bool { return s.Dir != "" })
	over := make(chan error, 1)
	// Handing over waits until every config is read.
	_, err := j.HandOver(context.Background(), s.RunsDir, func(ctx context.Context, plan string) error {
		require.NoError(t, os.WriteFile(s.Config, []byte("broken"), 0o644))
		return elsewhere(over)(ctx, plan)
	})
	require.NoError(t, err)
	require.NoError(t, <-over)
	assert.Equal(t, jobs.Handed, until(t, j, second, ended).Phase)
}
