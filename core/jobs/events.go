package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

// broker tells subscribers of this process what happens to a job.
type broker struct {
	mu   sync.Mutex
	subs map[string]map[*subscriber]struct{} // by job id
}

// subscriber is one reader of a job's events.
type subscriber struct {
	dirty    chan struct{} // the state may have changed; holds one
	progress chan told     // lost when it is full
}

// told is an event with its number in the attempt.
type told struct {
	attempt, n int64
	event      Event
}

// progressBuffer is how far a reader may fall behind before it loses progress.
const progressBuffer = 64

func (b *broker) subscribe(id string) *subscriber {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &subscriber{dirty: make(chan struct{}, 1), progress: make(chan told, progressBuffer)}
	if b.subs == nil {
		b.subs = map[string]map[*subscriber]struct{}{}
	}
	if b.subs[id] == nil {
		b.subs[id] = map[*subscriber]struct{}{}
	}
	b.subs[id][s] = struct{}{}
	return s
}

func (b *broker) unsubscribe(id string, s *subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs[id], s)
	if len(b.subs[id]) == 0 {
		delete(b.subs, id)
	}
}

// changed says that the state of a job is another.
func (b *broker) changed(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs[id] {
		select {
		case s.dirty <- struct{}{}:
		default:
		}
	}
}

func (b *broker) tell(id string, t told) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs[id] {
		select {
		case s.progress <- t:
		default:
		}
	}
}

// progress is what an attempt reported last, for processes that read it from the
// database.
type progress struct {
	mu    sync.Mutex
	n     int64
	last  Event
	saved int64 // n as it stands in the database
}

func (q *Queue) report(run *attempt, e Event) {
	if e.Type == "" || e.Type == EventState {
		return
	}
	p := &run.told
	p.mu.Lock()
	p.n++
	p.last = e
	t := told{attempt: run.number, n: p.n, event: e}
	p.mu.Unlock()
	q.broker.tell(run.id, t)
}

const (
	// tellEvery is how often progress goes to the database, for readers in other
	// processes, and cancellations are fetched from there.
	tellEvery = time.Second
	// pollEvery is how often a subscriber looks into the database: what happens in
	// this process it hears at once.
	pollEvery = 500 * time.Millisecond
)

// tellLoop tells other processes about progress here, and hears of
// cancellations there.
func (q *Queue) tellLoop() {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-q.running.Done():
			return
		case <-tick.C:
		}
		q.mu.Lock()
		runs := make([]*attempt, 0, len(q.active))
		for _, run := range q.active {
			runs = append(runs, run)
		}
		q.mu.Unlock()
		if len(runs) == 0 {
			continue
		}
		err := errors.Join(q.saveProgress(q.running, runs), q.hearCancels(q.running))
		if err != nil && q.running.Err() == nil {
			q.opt.Logger.Debug("telling other processes about jobs", "cause", err)
		}
	}
}

func (q *Queue) saveProgress(ctx context.Context, runs []*attempt) error {
	for _, run := range runs {
		p := &run.told
		p.mu.Lock()
		n, last, due := p.n, p.last, p.n > p.saved
		p.mu.Unlock()
		if !due {
			continue
		}
		data, err := json.Marshal(last)
		if err != nil {
			return err
		}
		if _, err := q.db.Exec(ctx, `UPDATE verifily_job SET progress = $1, progress_n = $2 WHERE id = $3 AND attempt = $4 AND status = 'RUNNING'`,
			data, n, run.id, run.number); err != nil {
			return err
		}
		p.mu.Lock()
		p.saved = n
		p.mu.Unlock()
	}
	return nil
}

func (q *Queue) hearCancels(ctx context.Context) error {
	rows, err := q.db.Query(ctx, `SELECT id FROM verifily_job WHERE status = 'RUNNING' AND owner = $1 AND cancel = 1`, q.me.id)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		q.mu.Lock()
		if run := q.active[id]; run != nil {
			run.cancel(ErrCancelled)
		}
		q.mu.Unlock()
	}
	return rows.Err()
}

// Events returns what happens to a job, beginning with its present state. The
// channel is closed after the event of a final state, or when ctx ends or the
// queue is closed. A reader that is slow loses progress, never the last state.
func (q *Queue) Events(ctx context.Context, id string) (<-chan Event, error) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil, ErrClosed
	}
	s := q.broker.subscribe(id)
	f := &follower{q: q, id: id, sub: s, out: make(chan Event)}
	q.loops.Add(1)
	q.mu.Unlock()
	first, err := q.Job(ctx, id)
	if err != nil {
		q.broker.unsubscribe(id, s)
		q.loops.Done()
		return nil, err
	}
	go func() {
		defer q.loops.Done()
		defer close(f.out)
		defer q.broker.unsubscribe(id, s)
		f.follow(ctx, first)
	}()
	return f.out, nil
}

// follower brings the events of a job to one reader.
type follower struct {
	q   *Queue
	id  string
	sub *subscriber
	out chan Event

	status      Status
	attempt     int64
	attemptSeen int64 // of the progress that was passed on last
	n           int64
}

func (f *follower) follow(ctx context.Context, first Job) {
	if !f.state(ctx, first) {
		return
	}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.q.running.Done():
			return
		case t := <-f.sub.progress:
			if !f.progress(ctx, t) {
				return
			}
			continue
		case <-f.sub.dirty:
		case <-poll.C:
		}
		if !f.read(ctx) {
			return
		}
	}
}

// read looks into the database. A database that does not answer is asked again.
func (f *follower) read(ctx context.Context) bool {
	var data, input []byte
	var n int64
	job, err := f.q.look(ctx, f.id, ", input, progress, progress_n", &input, &data, &n)
	if errors.Is(err, ErrNotFound) {
		return false // it finished long ago and is not kept any longer
	}
	if err != nil {
		return true
	}
	job.Input = input
	var e Event
	if job.Status == Running && data != nil && json.Unmarshal(data, &e) == nil {
		if !f.state(ctx, job) || !f.progress(ctx, told{attempt: int64(job.Attempts), n: n, event: e}) {
			return false
		}
	}
	return f.state(ctx, job)
}

// state passes a state on that is new. It is false when that was the last.
func (f *follower) state(ctx context.Context, job Job) bool {
	if job.Status == f.status && int64(job.Attempts) == f.attempt {
		return true
	}
	f.status, f.attempt = job.Status, int64(job.Attempts)
	return f.send(ctx, Event{Type: EventState, Job: &job}) && !job.Status.Final()
}

// progress passes progress on that is newer than the last.
func (f *follower) progress(ctx context.Context, t told) bool {
	if t.attempt < f.attemptSeen || t.attempt == f.attemptSeen && t.n <= f.n {
		return true
	}
	f.attemptSeen, f.n = t.attempt, t.n
	return f.send(ctx, t.event)
}

func (f *follower) send(ctx context.Context, e Event) bool {
	select {
	case f.out <- e:
		return true
	case <-ctx.Done():
	case <-f.q.running.Done():
	}
	return false
}

// Wait waits until a job has finished, or ctx ends.
func (q *Queue) Wait(ctx context.Context, id string) (Job, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := q.Events(ctx, id)
	if err != nil {
		return Job{}, err
	}
	var last Job
	for e := range events {
		if e.Job != nil {
			last = *e.Job
		}
	}
	switch {
	case last.Status.Final():
		return last, nil
	case ctx.Err() != nil:
		return last, ctx.Err()
	}
	return last, ErrClosed
}
