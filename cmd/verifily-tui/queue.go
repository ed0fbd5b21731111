package main

import (
	"sync"
	"time"

	"github.com/verifily/verifily-tui/core/batch"
)

// queue keeps a reader that stands still - a stopped terminal, a connection
// that was cut without a word - from holding up the jobs: events are printed by
// a goroutine, and while it is stuck those that the next one makes stale are
// dropped, the others kept.
type queue struct {
	mu      sync.Mutex
	wake    *sync.Cond
	waiting []batch.Event
	closed  bool
	done    chan struct{}
}

// backlog is how many events may wait before stale ones are dropped.
const backlog = 256

// lastWords is how long the end waits for a reader that stands still.
const lastWords = 10 * time.Second

func newQueue(print func(batch.Event)) *queue {
	q := &queue{done: make(chan struct{})}
	q.wake = sync.NewCond(&q.mu)
	go func() {
		defer close(q.done)
		for {
			ev, ok := q.next()
			if !ok {
				return
			}
			print(ev)
		}
	}()
	return q
}

func (q *queue) next() (batch.Event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && !q.closed {
		q.wake.Wait()
	}
	if len(q.waiting) == 0 {
		return batch.Event{}, false
	}
	ev := q.waiting[0]
	q.waiting = q.waiting[1:]
	return ev, true
}

// add puts an event in line; it never waits for the reader.
func (q *queue) add(ev batch.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch ev.Kind {
	case batch.EventStep, batch.EventPredict, batch.EventProgress, batch.EventEval, batch.EventCheckpoint, batch.EventLog:
		if len(q.waiting) >= backlog {
			return
		}
	}
	q.waiting = append(q.waiting, ev)
	q.wake.Signal()
}

// close waits until everything is printed, or the reader has stood still for
// long; then the goroutine ends with the process.
func (q *queue) close(patience time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.wake.Signal()
	q.mu.Unlock()
	select {
	case <-q.done:
	case <-time.After(patience):
	}
}
