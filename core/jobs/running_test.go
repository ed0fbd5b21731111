package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
)

// gate is a handler that a test holds up.
type gate struct {
	begun  chan *jobs.Attempt
	goOn   chan struct{}
	ended  chan error // causes for which the context of the handler ended
	result json.RawMessage
}

func newGate() *gate {
	return &gate{begun: make(chan *jobs.Attempt, 100), goOn: make(chan struct{}), ended: make(chan error, 100), result: object(`{}`)}
}

func (g *gate) handle(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
	g.begun <- a
	select {
	case <-g.goOn:
		return g.result, nil
	case <-ctx.Done():
		g.ended <- context.Cause(ctx)
		return nil, ctx.Err()
	}
}

func (g *gate) kinds() map[string]jobs.Handler { return map[string]jobs.Handler{"HOLD": g.handle} }

func hold(t *testing.T, q *jobs.Queue) jobs.Job {
	t.Helper()
	job, err := q.Submit(patient(t), jobs.Request{Kind: "HOLD", Input: object(`{}`)})
	require.NoError(t, err)
	return job
}

// within receives from a channel, or fails the test.
func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-patient(t).Done():
		require.Fail(t, "waited too long for "+what)
		panic("unreachable")
	}
}

func TestCancel(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		g := newGate()
		waits := p.open(jobs.Options{}) // another process, which runs nothing
		job := hold(t, waits)
		job, err := waits.Cancel(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.Equal(t, jobs.Failed, job.Status, "what waits ends at once")
		require.NotNil(t, job.Error)
		assert.Equal(t, jobs.Cancelled, *job.Error)
		assert.Nil(t, job.StartedAt)
		_, err = waits.Cancel(p.ctx(), job.ID)
		assert.ErrorIs(t, err, jobs.ErrFinished)

		q := p.start(jobs.Options{Kinds: g.kinds()})
		for name, from := range map[string]*jobs.Queue{"here": q, "from another process": waits} {
			job := hold(t, q)
			within(t, g.begun, "the job")
			_, err := from.Cancel(p.ctx(), job.ID)
			require.NoError(t, err, name)
			assert.ErrorIs(t, within(t, g.ended, "the end"), jobs.ErrCancelled, name)
			job, err = from.Wait(p.ctx(), job.ID)
			require.NoError(t, err, name)
			assert.Equal(t, jobs.Failed, job.Status, name)
			assert.Equal(t, jobs.Cancelled, *job.Error, name)
		}
	})
}

func TestEvents(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		g := newGate()
		report := make(chan jobs.Event)
		kinds := map[string]jobs.Handler{"HOLD": func(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
			for e := range report {
				a.Report(e)
			}
			return g.handle(ctx, a)
		}}
		elsewhere := p.open(jobs.Options{})
		job := hold(t, elsewhere)
		far, err := elsewhere.Events(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.Equal(t, jobs.Queued, within(t, far, "the first event").Job.Status)
		q := p.start(jobs.Options{Kinds: kinds})
		near, err := q.Events(p.ctx(), job.ID)
		require.NoError(t, err)
		step := func(n int) jobs.Event {
			return jobs.Event{Type: "step", Data: object(fmt.Sprintf(`{"n": %d}`, n))}
		}
		state := func(events <-chan jobs.Event, want jobs.Status) {
			t.Helper()
			for {
				e := within(t, events, string(want))
				if e.Job != nil && e.Job.Status == want {
					return
				}
			}
		}
		state(near, jobs.Running)
		state(far, jobs.Running)
		for n := range 3 {
			report <- step(n)
			assert.Equal(t, step(n), within(t, near, "progress"), "here every step is heard at once")
		}
		for e := within(t, far, "progress"); ; e = within(t, far, "progress") { // there at least the last one
			assert.Equal(t, "step", e.Type)
			if string(e.Data) == `{"n": 2}` || string(e.Data) == `{"n":2}` {
				break
			}
		}
		report <- jobs.Event{Type: jobs.EventState} // states are the queue's to tell
		close(report)
		within(t, g.begun, "the job")
		close(g.goOn)
		for _, events := range []<-chan jobs.Event{near, far} {
			state(events, jobs.Succeeded)
			_, more := <-events
			assert.False(t, more, "nothing comes after the last state")
		}
		again, err := q.Events(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.Equal(t, jobs.Succeeded, within(t, again, "the last state").Job.Status)
		_, more := <-again
		assert.False(t, more)

		ctx, cancel := context.WithCancel(p.ctx())
		other := hold(t, elsewhere)
		left, err := elsewhere.Events(ctx, other.ID)
		require.NoError(t, err)
		cancel()
		for range left { // ends although nobody reads what was on its way
		}
		_, err = elsewhere.Wait(ctx, other.ID)
		assert.ErrorIs(t, err, context.Canceled)
	})
}

// TestSlowReader: a reader that does not keep up loses progress and neither the
// last state nor anybody's time.
func TestSlowReader(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		q := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"HOLD": func(_ context.Context, a *jobs.Attempt) (json.RawMessage, error) {
			for range 10_000 {
				a.Report(jobs.Event{Type: "step", Data: object(`{}`)})
			}
			return object(`{}`), nil
		}}})
		job, err := q.Submit(p.ctx(), jobs.Request{Kind: "HOLD", Input: object(`{}`)})
		require.NoError(t, err)
		events, err := q.Events(p.ctx(), job.ID)
		require.NoError(t, err)
		_, err = q.Wait(p.ctx(), job.ID)
		require.NoError(t, err)
		var last jobs.Event
		for e := range events {
			last = e
		}
		require.NotNil(t, last.Job)
		assert.Equal(t, jobs.Succeeded, last.Job.Status)
	})
}

func TestDrain(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		g := newGate()
		q := p.start(jobs.Options{Kinds: g.kinds()})
		job := hold(t, q)
		within(t, g.begun, "the job")
		drained := make(chan error, 1)
		go func() { drained <- q.Drain(p.ctx()) }()
		require.Eventually(t, func() bool { return errors.Is(q.Ready(p.ctx()), jobs.ErrClosed) }, time.Minute, time.Millisecond)
		close(g.goOn)
		require.NoError(t, within(t, drained, "the drain"))
		job, err := q.Job(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.Equal(t, jobs.Succeeded, job.Status, "it had the time to finish")
	})
}

func TestDrainWithoutPatience(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		g := newGate()
		q := p.start(jobs.Options{Kinds: g.kinds(), MaxAttempts: 1})
		job := hold(t, q)
		within(t, g.begun, "the job")
		now, cancel := context.WithCancel(p.ctx())
		cancel()
		require.NoError(t, q.Drain(now))
		assert.ErrorIs(t, within(t, g.ended, "the end"), jobs.ErrDraining)
		job, err := q.Job(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.Equal(t, jobs.Queued, job.Status, "it is left to the next, and nothing died")
		require.NoError(t, q.Close())

		q = p.start(jobs.Options{Kinds: g.kinds(), MaxAttempts: 1})
		assert.Equal(t, 2, within(t, g.begun, "the job").Number)
		close(g.goOn)
		job, err = q.Wait(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.Equal(t, jobs.Succeeded, job.Status)
	})
}

// TestFinishedInSpiteOfCancel: what a handler returns counts, also when it was
// told to stop.
func TestFinishedInSpiteOfCancel(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		begun := make(chan struct{})
		q := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"HOLD": func(ctx context.Context, _ *jobs.Attempt) (json.RawMessage, error) {
			close(begun)
			<-ctx.Done()
			return object(`{"done": true}`), nil
		}}})
		job := hold(t, q)
		within(t, begun, "the job")
		_, err := q.Cancel(p.ctx(), job.ID)
		require.NoError(t, err)
		job, err = q.Wait(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.Equal(t, jobs.Succeeded, job.Status)
	})
}

// TestEachJobOnce: several processes share a queue, and every job runs in one of
// them, once.
func TestEachJobOnce(t *testing.T) {
	const processes, each = 3, 60
	onEach(t, func(t *testing.T, p place) {
		var mu sync.Mutex
		ran := map[string]int{}
		kinds := map[string]jobs.Handler{"COUNT": func(_ context.Context, a *jobs.Attempt) (json.RawMessage, error) {
			mu.Lock()
			defer mu.Unlock()
			ran[a.Job.ID]++
			return object(`{}`), nil
		}}
		var queues []*jobs.Queue
		for range processes {
			queues = append(queues, p.start(jobs.Options{Kinds: kinds, Workers: 4, Lease: time.Minute}))
		}
		ids := make(chan string, processes*each)
		var wg sync.WaitGroup
		for _, q := range queues {
			wg.Go(func() {
				for range each {
					job, err := q.Submit(p.ctx(), jobs.Request{Kind: "COUNT", Input: object(`{}`)})
					if assert.NoError(t, err) {
						ids <- job.ID
					}
				}
			})
		}
		wg.Wait()
		close(ids)
		n := 0
		for id := range ids {
			job, err := queues[n%processes].Wait(p.ctx(), id)
			require.NoError(t, err)
			assert.Equal(t, jobs.Succeeded, job.Status)
			assert.Equal(t, 1, job.Attempts)
			n++
		}
		mu.Lock()
		defer mu.Unlock()
		assert.Len(t, ran, processes*each)
		for id, times := range ran {
			assert.Equal(t, 1, times, id)
		}
	})
}

// TestHeavyJobs: of those that take the machine one runs at a time, and the
// others do not wait for them.
func TestHeavyJobs(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		g := newGate()
		var most, now atomic.Int32
		q := p.start(jobs.Options{Heavy: func(kind string, _ json.RawMessage) bool { return kind == "HOLD" },
			Kinds: map[string]jobs.Handler{"ECHO": echo, "HOLD": func(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				return g.handle(ctx, a)
			}}})
		heavy := []jobs.Job{hold(t, q), hold(t, q), hold(t, q)}
		within(t, g.begun, "a heavy job")
		light, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
		require.NoError(t, err)
		_, err = q.Wait(p.ctx(), light.ID)
		require.NoError(t, err)
		// A job has ended a moment before its worker is free again.
		var s jobs.Stats
		require.Eventually(t, func() bool {
			s, err = q.Stats(p.ctx())
			return err != nil || s.Busy == 1
		}, 30*time.Second, time.Millisecond)
		require.NoError(t, err)
		assert.Equal(t, 17, s.Workers)
		assert.Equal(t, 1, s.Members)
		close(g.goOn)
		for _, job := range heavy {
			_, err := q.Wait(p.ctx(), job.ID)
			require.NoError(t, err)
		}
		assert.EqualValues(t, 1, most.Load())
	})
}

func TestRetention(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		q := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"ECHO": echo}, Retention: time.Millisecond, Lease: time.Second})
		for range 3 {
			_, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool {
			list, err := q.List(p.ctx(), jobs.Filter{})
			require.NoError(t, err)
			return len(list) == 0
		}, time.Minute, 5*time.Millisecond)
	})
}

// TestRetentionAfterAClockWasAhead: jobs that ended while the clock was ahead do
// not keep those that ended later.
func TestRetentionAfterAClockWasAhead(t *testing.T) {
	const ahead = 250 // more than are removed at once
	onEach(t, func(t *testing.T, p place) {
		before := p.open(jobs.Options{})
		for range ahead {
			hold(t, before)
		}
		n, err := before.Database().Exec(p.ctx(), `UPDATE verifily_job SET status = 'SUCCEEDED', finished_at = 5e9`)
		require.NoError(t, err)
		require.EqualValues(t, ahead, n)
		q := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"HOLD": echo}, Retention: time.Millisecond, Lease: time.Second})
		job := hold(t, q)
		require.Eventually(t, func() bool {
			_, err := q.Job(p.ctx(), job.ID)
			return errors.Is(err, jobs.ErrNotFound)
		}, 20*time.Second, 5*time.Millisecond)
		s, err := q.Stats(p.ctx())
		require.NoError(t, err)
		assert.Equal(t, ahead, s.Succeeded)
	})
}
