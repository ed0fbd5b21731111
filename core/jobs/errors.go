package jobs

import "errors"

// The errors of a Queue.
var (
	ErrNotFound    = errors.New("no such job")
	ErrNotFinished = errors.New("the job has not finished")
	ErrFinished    = errors.New("the job has finished already")
	ErrFailed      = errors.New("the job has failed") // of Result; the reason is Job.Error
	ErrQueueFull   = errors.New("the queue is full")
	ErrClosed      = errors.New("the queue is closed")
	ErrUnknownKind = errors.New("no such kind of job")
	ErrKeyReused   = errors.New("the idempotency key belongs to another request")

	// The causes (context.Cause) for which the context of a handler ends.
	ErrCancelled = errors.New("the job was cancelled")
	ErrDraining  = errors.New("the process is stopping")
	ErrLeaseLost = errors.New("the job may have been taken over: its lease could not be renewed")
)
