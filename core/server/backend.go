package server

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/monitor"
)

// Backend is what keeps jobs and monitors.
type Backend struct {
	Queue    Queue
	Monitors Monitors // nil: none
}

// Queue is what the server needs of a *jobs.Queue.
type Queue interface {
	Submit(ctx context.Context, req jobs.Request) (jobs.Job, error)
	Job(ctx context.Context, id string) (jobs.Job, error)
	Result(ctx context.Context, id string) (json.RawMessage, jobs.Job, error)
	List(ctx context.Context, f jobs.Filter) ([]jobs.Job, error)
	Cancel(ctx context.Context, id string) (jobs.Job, error)
	Events(ctx context.Context, id string) (<-chan jobs.Event, error)
	Ready(ctx context.Context) error
	Stats(ctx context.Context) (jobs.Stats, error)
	Drain(ctx context.Context) error
	Close() error
}

// Monitors is what the server needs of a *monitor.Monitors.
type Monitors interface {
	Run(ctx context.Context) error
	Start(ctx context.Context, req monitor.Request) (string, error)
	Stop(ctx context.Context, id string) (monitor.Status, error)
	Status(ctx context.Context, id string) (monitor.Status, error)
	History(ctx context.Context, id string, n int) (monitor.History, error)
}

var (
	_ Queue    = (*jobs.Queue)(nil)
	_ Monitors = (*monitor.Monitors)(nil)
)

// queue returns the queue, or a 503 while there is none.
func (s *Server) queue() (Queue, error) {
	b := s.backend.Load()
	if b == nil {
		return nil, notReady("the queue is not open yet")
	}
	return b.Queue, nil
}

// monitors returns the monitors, or a 503 while there are none.
func (s *Server) monitors() (Monitors, error) {
	b := s.backend.Load()
	if b == nil || b.Monitors == nil {
		return nil, notReady("monitors are not open yet")
	}
	return b.Monitors, nil
}

// queueProblem turns an error of the queue into an answer. What clients can do
// wrong is found out before, so any other error is the database's.
func queueProblem(ctx context.Context, id string, err error) error {
	switch {
	case errors.Is(err, jobs.ErrNotFound):
		return notFound("Job not found: %s", id)
	case errors.Is(err, jobs.ErrQueueFull):
		return tooMany("the queue is full", queueFullWait)
	case errors.Is(err, jobs.ErrKeyReused):
		return unprocessable("header -> Idempotency-Key: belongs to another request")
	case errors.Is(err, jobs.ErrClosed):
		return notReady("the server is stopping")
	case ctx.Err() != nil:
		return err
	}
	p := notReady("the queue does not answer")
	p.cause = err
	return p
}
