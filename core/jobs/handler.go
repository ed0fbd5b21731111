package jobs

import (
	"context"
	"encoding/json"
	"fmt"
)

// Handler does the work of one kind of job and returns its result, a JSON
// object. An error ends the job as FAILED with the error's text. When ctx ends
// early, context.Cause says why: ErrCancelled, ErrDraining or ErrLeaseLost.
//
// A handler can be called again for a job of which an earlier attempt was cut
// off anywhere; what it leaves must then be the work of one.
type Handler func(ctx context.Context, a *Attempt) (json.RawMessage, error)

// Attempt is one run of a job. Its methods are for its handler.
type Attempt struct {
	Job    Job
	Number int // 1, 2, ...
	// Output is what the last Record of an earlier attempt said, or empty.
	Output string

	q    *Queue
	run  *attempt
	left string
	made *string
	undo func(recorded string) error
}

// Report tells subscribers of the job what happens. It never blocks, and an
// event may be lost.
func (a *Attempt) Report(e Event) { a.q.report(a.run, e) }

// Record writes down at once where the output is or is about to be, for later
// attempts; it becomes the result path when the job succeeds. It fails with
// ErrLeaseLost when this is no longer the newest attempt.
func (a *Attempt) Record(ctx context.Context, output string) error {
	n, err := a.q.db.Exec(ctx, `UPDATE verifily_job SET output = $1 WHERE id = $2 AND attempt = $3 AND status = 'RUNNING' AND owner = $4`,
		output, a.run.id, a.run.number, a.q.me.id)
	if err == nil && n == 0 {
		err = ErrLeaseLost
	}
	if err != nil {
		return fmt.Errorf("record output of job %s: %w", a.run.id, err)
	}
	return nil
}

// Made says where finished output is, which becomes the result path when the
// job succeeds. Should it turn out that the job has gone on elsewhere, undo is
// called with the output that the job has there, or nothing.
func (a *Attempt) Made(output string, undo func(recorded string) error) {
	a.made, a.undo = &output, undo
}

// Leaves says how to go on with what the job leaves if it is cancelled, which
// becomes a part of its error.
func (a *Attempt) Leaves(howToGoOn string) { a.left = howToGoOn }
