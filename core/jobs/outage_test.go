package jobs_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
)

// wire leads to a database server, and can be cut.
type wire struct {
	t      *testing.T
	server string
	addr   string

	mu       sync.Mutex
	listener net.Listener // nil while the wire is cut
	conns    map[net.Conn]bool
	wg       sync.WaitGroup
}

// throughWire returns the URL of a database through a wire of its own.
func throughWire(t *testing.T, database string) (string, *wire) {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	w := &wire{t: t, server: u.Host, addr: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	w.mend()
	t.Cleanup(w.cut)
	u.Host = w.addr
	return u.String(), w
}

func (w *wire) mend() {
	l, err := net.Listen("tcp", w.addr)
	require.NoError(w.t, err)
	w.mu.Lock()
	w.listener, w.addr = l, l.Addr().String()
	w.mu.Unlock()
	w.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", w.server)
			if err != nil {
				_ = near.Close()
				continue
			}
			w.mu.Lock()
			cut := w.listener != l
			w.conns[near], w.conns[far] = true, true
			w.mu.Unlock()
			if cut {
				_ = near.Close()
				_ = far.Close()
				return
			}
			pipe := func(to, from net.Conn) {
				_, _ = io.Copy(to, from) // ends when one of them is closed
				_ = to.Close()
			}
			w.wg.Go(func() { pipe(far, near) })
			w.wg.Go(func() { pipe(near, far) })
		}
	})
}

func (w *wire) cut() {
	w.mu.Lock()
	if w.listener != nil {
		_ = w.listener.Close()
		w.listener = nil
	}
	for c := range w.conns {
		_ = c.Close()
		delete(w.conns, c)
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// TestDatabaseGoneAndBack: while the database cannot be reached nothing is
// accepted, and afterwards every job that was is done, once.
func TestDatabaseGoneAndBack(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		if p.database == "" {
			return // see TestFileGoneAndBack
		}
		url, w := throughWire(t, p.database)
		p.database = url
		g := newGate()
		q := p.start(jobs.Options{Lease: 3 * time.Second, Kinds: map[string]jobs.Handler{"HOLD": g.handle, "ECHO": echo}})
		running := hold(t, q)
		within(t, g.begun, "the job")
		var waiting []jobs.Job
		for range 20 {
			job, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
			require.NoError(t, err)
			waiting = append(waiting, job)
		}
		w.cut()
		short, cancel := context.WithTimeout(p.ctx(), time.Second)
		defer cancel()
		assert.Error(t, q.Ready(short))
		_, err := q.Submit(short, jobs.Request{Kind: "ECHO", Input: object(`{}`)})
		assert.Error(t, err)
		assert.ErrorIs(t, within(t, g.ended, "the end of what runs"), jobs.ErrLeaseLost)

		w.mend()
		within(t, g.begun, "the job once more")
		close(g.goOn)
		for _, job := range append(waiting, running) {
			done, err := q.Wait(p.ctx(), job.ID)
			require.NoError(t, err)
			assert.Equal(t, jobs.Succeeded, done.Status)
		}
		require.NoError(t, q.Ready(p.ctx()))
		require.NoError(t, q.Close())
	})
}

// holdFile lets another process keep the file to itself until release is closed.
func holdFile(p place, wg *sync.WaitGroup) (release chan struct{}) {
	other := p.open(jobs.Options{})
	held, release := make(chan struct{}), make(chan struct{})
	wg.Go(func() {
		assert.NoError(p.t, other.HoldForTest(func() {
			close(held)
			<-release
		}))
	})
	within(p.t, held, "the lock")
	return release
}

// TestFileLocked: another process that writes for a while is waited for.
func TestFileLocked(t *testing.T) {
	p := place{t: t, dir: t.TempDir()}
	q := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"ECHO": echo}})
	var wg sync.WaitGroup
	release := holdFile(p, &wg)
	submitted := make(chan jobs.Job, 1)
	wg.Go(func() {
		job, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
		assert.NoError(t, err)
		submitted <- job
	})
	list, err := q.List(p.ctx(), jobs.Filter{})
	require.NoError(t, err, "reading does not wait")
	assert.Empty(t, list)
	close(release)
	job := within(t, submitted, "the submit")
	wg.Wait()
	done, err := q.Wait(p.ctx(), job.ID)
	require.NoError(t, err)
	assert.Equal(t, jobs.Succeeded, done.Status)
}

// TestFileLockedForLong: who does not want to wait for another process need not,
// and what it wanted is not done later.
func TestFileLockedForLong(t *testing.T) {
	p := place{t: t, dir: t.TempDir()}
	q := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"ECHO": echo}})
	var wg sync.WaitGroup
	release := holdFile(p, &wg)
	short, cancel := context.WithTimeout(p.ctx(), 50*time.Millisecond)
	defer cancel()
	ended := make(chan error, 2)
	wg.Go(func() { ended <- q.Ready(short) })
	wg.Go(func() {
		_, err := q.Submit(short, jobs.Request{Kind: "ECHO", Input: object(`{}`)})
		ended <- err
	})
	for range 2 {
		assert.ErrorIs(t, within(t, ended, "the end of the patience"), context.DeadlineExceeded)
	}
	close(release)
	wg.Wait()
	require.NoError(t, q.Ready(p.ctx()))
	list, err := q.List(p.ctx(), jobs.Filter{})
	require.NoError(t, err)
	assert.Empty(t, list)
}

// TestFileGoneAndBack: a file that was removed or replaced takes no jobs, since
// they would be lost with it.
func TestFileGoneAndBack(t *testing.T) {
	p := place{t: t, dir: t.TempDir()}
	q := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"ECHO": echo}})
	file := filepath.Join(p.dir, "jobs.db")
	refuses := func() {
		t.Helper()
		assert.Error(t, q.Ready(p.ctx()))
		_, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
		assert.Error(t, err)
	}
	require.NoError(t, os.Rename(file, file+".away"))
	refuses()
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	refuses()

	require.NoError(t, os.Rename(file+".away", file))
	job, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
	require.NoError(t, err)
	done, err := q.Wait(p.ctx(), job.ID)
	require.NoError(t, err)
	assert.Equal(t, jobs.Succeeded, done.Status)
}
