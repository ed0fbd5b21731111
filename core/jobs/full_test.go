//go:build unix

package jobs_test

import (
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
)

// fileLimit lets no file of this process grow beyond so many bytes, as on a full
// disk, until the function returned is called.
func fileLimit(t *testing.T, bytes uint64) (restore func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: limit.Max}))
	return func() {
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
		signal.Reset(syscall.SIGXFSZ)
	}
}

// TestDiskFull: while the disk of the database is full nothing is accepted and
// what was can be read; afterwards a job that ended meanwhile has ended, once. It
// is not parallel to others: the limit is the process's.
func TestDiskFull(t *testing.T) {
	p := place{t: t, dir: t.TempDir()}
	g := newGate()
	q := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"HOLD": g.handle, "ECHO": echo}})
	running := hold(t, q)
	within(t, g.begun, "the job")

	restore := fileLimit(t, 4096)
	refused := 0
	for range 20 {
		if _, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)}); err != nil {
			refused++
		}
	}
	ready := q.Ready(p.ctx())
	list, listed := q.List(p.ctx(), jobs.Filter{})
	close(g.goOn)
	restore()

	assert.Equal(t, 20, refused, "a job that could not be written was accepted")
	assert.Error(t, ready)
	require.NoError(t, listed)
	assert.Len(t, list, 1)
	done, err := q.Wait(p.ctx(), running.ID)
	require.NoError(t, err)
	assert.Equal(t, jobs.Succeeded, done.Status)
	assert.Equal(t, 1, done.Attempts)
	require.NoError(t, q.Ready(p.ctx()))
	job, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
	require.NoError(t, err)
	done, err = q.Wait(p.ctx(), job.ID)
	require.NoError(t, err)
	assert.Equal(t, jobs.Succeeded, done.Status)
}
