package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/verifily/verifily-tui/core/jobs/database"
)

// attempt is a job that this process runs.
type attempt struct {
	id     string
	number int64
	lane   string
	ticket int64
	cancel context.CancelCauseFunc
	told   progress
}

// errNoMember says that this process must not claim jobs: the others have given
// it up, or it cannot know that they have not.
var errNoMember = errors.New("not a member")

// work does what a ticket is for. An error means: not now.
func (q *Queue) work(_ context.Context, ticket int64, id string) error {
	q.mu.Lock()
	ok := q.leased() && !q.draining
	q.mu.Unlock()
	if !ok {
		return errNoMember
	}
	job, a, err := q.claim(ticket, id)
	if err != nil || job == nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(q.running)
	defer cancel(nil)
	run := &attempt{id: id, number: int64(job.Attempts), lane: a.lane, ticket: ticket, cancel: cancel}
	if !q.begin(run) {
		cancel(ErrLeaseLost)
	}
	q.broker.changed(id)
	given := &Attempt{Job: *job, Number: job.Attempts, Output: a.output, q: q, run: run}
	result, err := q.handle(ctx, given)
	q.settle(ctx, given, result, err)
	q.finish(run)
	q.broker.changed(id)
	return nil
}

// claimed is what else a claim reads.
type claimed struct{ lane, output string }

// claim makes this process the one that runs a job. A ticket that is out of date
// gives nil.
func (q *Queue) claim(ticket int64, id string) (*Job, claimed, error) {
	var job *Job
	var c claimed
	err := q.db.Write(q.running, func(ctx context.Context, tx database.Tx) error {
		job, c = nil, claimed{}
		rows, err := tx.Query(ctx, `UPDATE verifily_job SET status = 'RUNNING', owner = $1, attempt = attempt + 1,
				started_at = COALESCE(started_at, $2)
			WHERE id = $3 AND ticket = $4 AND status = 'QUEUED' AND EXISTS (SELECT 1 FROM verifily_member WHERE id = $1)
			RETURNING `+columns+`, lane, COALESCE(output, ''), input`, q.me.id, seconds(time.Now()), id, ticket)
		if err != nil {
			return err
		}
		var input []byte
		j, err := oneJob(rows, &c.lane, &c.output, &input)
		if err == nil {
			j.Input, job = input, &j
			return nil
		}
		if !errors.Is(err, database.ErrNoRows) {
			return err
		}
		var one int
		err = database.QueryRow(ctx, tx, []any{&one}, `SELECT 1 FROM verifily_member WHERE id = $1`, q.me.id)
		if errors.Is(err, database.ErrNoRows) {
			return errNoMember
		}
		return err
	})
	return job, c, err
}

// begin puts an attempt on the list of those that run here. It is false when it
// came too late to be stopped with the others.
func (q *Queue) begin(run *attempt) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.active) == 0 {
		q.idle = make(chan struct{})
	}
	q.active[run.id] = run
	return q.leased()
}

func (q *Queue) finish(run *attempt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.active, run.id)
	if len(q.active) == 0 {
		close(q.idle)
	}
}

// stopAll ends the contexts of everything that runs here.
func (q *Queue) stopAll(cause error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, run := range q.active {
		run.cancel(cause)
	}
}

// handle calls the handler.
func (q *Queue) handle(ctx context.Context, a *Attempt) (result json.RawMessage, err error) {
	handler := q.opt.Kinds[a.Job.Type]
	if handler == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownKind, a.Job.Type)
	}
	defer func() {
		if r := recover(); r != nil {
			q.opt.Logger.Error("a job panicked", "job", a.Job.ID, "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	return handler(ctx, a)
}

// settle writes down how an attempt ended, and tries for as long as it takes: the
// row says which attempt it is about, so it does no harm when the job has gone on
// elsewhere.
func (q *Queue) settle(ctx context.Context, a *Attempt, result json.RawMessage, failure error) {
	cause := context.Cause(ctx)
	write := func(ctx context.Context) error { return q.store(ctx, a, result, failure) }
	if failure != nil && cause != nil {
		if errors.Is(cause, ErrCancelled) {
			failure = errors.New(Cancelled)
			if a.left != "" {
				failure = errors.New(Cancelled + "; " + a.left)
			}
		} else {
			write = func(ctx context.Context) error { return q.release(ctx, a.run) }
		}
	}
	if failure == nil && !json.Valid(result) {
		failure = errors.New("internal error: the result is no JSON")
	}
	const first, most = 10 * time.Millisecond, time.Second
	for wait := first; ; wait = min(2*wait, most) {
		err := write(q.settling)
		switch {
		case err == nil:
			return
		case errors.Is(err, ErrLeaseLost):
			q.tooLate(a)
			return
		case q.settling.Err() != nil:
			return // the next process to look finds out
		}
		select {
		case <-time.After(wait):
		case <-q.settling.Done():
			return
		}
	}
}

// tooLate takes back what an attempt made of a job that has gone on elsewhere.
func (q *Queue) tooLate(a *Attempt) {
	q.opt.Logger.Warn("a job was taken over meanwhile", "job", a.Job.ID, "attempt", a.Number)
	if a.undo == nil {
		return
	}
	var recorded string
	err := database.QueryRow(q.running, q.db, []any{&recorded}, `SELECT COALESCE(result_path, output, '') FROM verifily_job WHERE id = $1`, a.Job.ID)
	if err == nil || errors.Is(err, database.ErrNoRows) {
		err = a.undo(recorded)
	}
	if err != nil {
		q.opt.Logger.Warn("what a job made twice stays", "job", a.Job.ID, "output", *a.made, "cause", err)
	}
}

// store ends a job.
func (q *Queue) store(ctx context.Context, a *Attempt, made json.RawMessage, failure error) error {
	run, status, reason, result := a.run, Succeeded, (*string)(nil), []byte(made)
	if failure != nil {
		why := failure.Error()
		why = database.Clean(why[:min(len(why), mostReason)])
		status, reason, result = Failed, &why, nil
	}
	n, err := q.db.Exec(ctx, `UPDATE verifily_job SET status = $1, finished_at = $2, result = $3, error = $4, owner = NULL, progress = NULL,
			result_path = CASE WHEN $1 = 'SUCCEEDED' THEN COALESCE($5, output) END
		WHERE id = $6 AND attempt = $7 AND status = 'RUNNING' AND owner = $8`,
		string(status), seconds(time.Now()), result, reason, a.made, run.id, run.number, q.me.id)
	if err != nil || n == 1 {
		return err
	}
	return q.superseded(ctx, run)
}

// superseded tells a write that has arrived, though its answer was lost, from one
// that came too late.
func (q *Queue) superseded(ctx context.Context, run *attempt) error {
	var status string
	var number int64
	err := database.QueryRow(ctx, q.db, []any{&status, &number}, `SELECT status, attempt FROM verifily_job WHERE id = $1`, run.id)
	if err != nil && !errors.Is(err, database.ErrNoRows) {
		return err
	}
	if err == nil && number == run.number && Status(status).Final() {
		return nil
	}
	return ErrLeaseLost
}

// release gives a job back that was not finished.
func (q *Queue) release(ctx context.Context, run *attempt) error {
	return q.db.Write(ctx, func(ctx context.Context, tx database.Tx) error {
		o := orphan{id: run.id, lane: run.lane, status: string(Running), ticket: run.ticket, attempt: run.number}
		err := database.QueryRow(ctx, tx, []any{&o.deaths, &o.cancel}, `SELECT deaths, cancel FROM verifily_job WHERE id = $1`, run.id)
		if err != nil {
			return err
		}
		ok, err := q.requeue(ctx, tx, o, false)
		if err == nil && !ok {
			err = ErrLeaseLost
		}
		return err
	})
}

// mostReason bounds the error of a job, in bytes: a list shows it for 500 jobs.
const mostReason = 16 << 10

func diedTooOften(n int) string {
	return fmt.Sprintf("given up: the process that ran it died %d times", n)
}

// Cancel asks that a job ends. One that waits is FAILED at once, with the error
// Cancelled; one that runs is told, and the job returned may still say RUNNING.
// One that has finished is ErrFinished.
func (q *Queue) Cancel(ctx context.Context, id string) (Job, error) {
	var finished bool
	err := q.db.Write(ctx, func(ctx context.Context, tx database.Tx) error {
		finished = false
		n, err := tx.Exec(ctx, `UPDATE verifily_job SET status = 'FAILED', error = $1, finished_at = $2 WHERE id = $3 AND status = 'QUEUED'`,
			Cancelled, seconds(time.Now()), id)
		if err != nil || n == 1 {
			return err
		}
		n, err = tx.Exec(ctx, `UPDATE verifily_job SET cancel = 1 WHERE id = $1 AND status = 'RUNNING'`, id)
		finished = n == 0
		return err
	})
	if err != nil {
		return Job{}, fmt.Errorf("cancel job: %w", err)
	}
	q.mu.Lock()
	if run := q.active[id]; run != nil && !finished {
		run.cancel(ErrCancelled)
	}
	q.mu.Unlock()
	q.broker.changed(id)
	job, err := q.Job(ctx, id)
	if err == nil && finished {
		err = ErrFinished
	}
	return job, err
}
