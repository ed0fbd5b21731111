package jobs

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/verifily/verifily-tui/core/jobs/database"
)

// member is a process that takes jobs.
type member struct {
	id   string
	host string // within which pid and born name a process; empty: unknown
	pid  int
	born string
}

func thisProcess() member {
	pid := os.Getpid()
	return member{id: "member-" + randomHex(8), host: hostIdentity(), pid: pid, born: processBorn(pid)}
}

// knownDead says that the member was a process of this host and is gone.
func (m member) knownDead(host string) bool {
	return host != "" && m.host == host && m.born != "" && processBorn(m.pid) != m.born
}

// join puts this process on the list of members.
func (q *Queue) join(ctx context.Context) error {
	begun := time.Now()
	_, err := q.db.Exec(ctx, `INSERT INTO verifily_member (id, host, pid, born, beats, joined_at) VALUES ($1, $2, $3, $4, 0, $5)
		ON CONFLICT (id) DO NOTHING`, q.me.id, q.me.host, q.me.pid, q.me.born, seconds(begun))
	if err == nil {
		q.beat(begun)
	}
	return err
}

// leave takes it off again.
func (q *Queue) leave(ctx context.Context) error {
	_, err := q.db.Exec(ctx, `DELETE FROM verifily_member WHERE id = $1`, q.me.id)
	return err
}

func (q *Queue) beat(begun time.Time) {
	q.mu.Lock()
	q.beaten = begun
	q.mu.Unlock()
}

// leased says whether the others still count this process as alive. They wait a
// whole lease after the last sign of life that they saw; this process gives up
// earlier, and what is left is time for its handlers to stop. q.mu is held.
func (q *Queue) leased() bool { return time.Since(q.beaten) < q.opt.Lease*3/5 }

// beatLoop renews the lease, and stops what runs when it cannot.
func (q *Queue) beatLoop() {
	tick := time.NewTicker(q.opt.Lease / 5)
	defer tick.Stop()
	lost := false
	for {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(q.running, q.opt.Lease*2/5)
		n, err := q.db.Exec(ctx, `UPDATE verifily_member SET beats = beats + 1 WHERE id = $1`, q.me.id)
		cancel()
		switch {
		case q.running.Err() != nil:
			return
		case err == nil && n == 0: // the others have given this process up
			q.opt.Logger.Warn("the others took this process for dead; its jobs stop")
			q.stopAll(ErrLeaseLost)
			q.rejoin()
		case err == nil:
			q.beat(begun)
			if lost {
				q.opt.Logger.Warn("the job database is back")
			}
			lost = false
		default:
			q.mu.Lock()
			leased := q.leased()
			q.mu.Unlock()
			if !leased {
				if !lost {
					q.opt.Logger.Warn("the job database does not answer; running jobs stop", "cause", err)
				}
				lost = true
				q.stopAll(ErrLeaseLost)
			}
		}
		select {
		case <-q.running.Done():
			return
		case <-tick.C:
		}
	}
}

// rejoin comes back as a member once nothing runs that others may have taken
// over.
func (q *Queue) rejoin() {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	select {
	case <-idle:
	case <-q.running.Done():
		return
	}
	if err := q.join(q.running); err != nil && q.running.Err() == nil {
		q.opt.Logger.Warn("cannot come back as a member", "cause", err) // the next beat tries again
	}
}

// watch remembers the signs of life of other members.
type watch struct {
	lease time.Duration
	seen  map[string]sign
	// suspects are jobs that this process should be at and is not, as seen at the
	// last look.
	suspects map[orphan]bool
}

type sign struct {
	beats int64
	at    time.Time // when beats changed, by this process's clock, which never steps
}

func newWatch(lease time.Duration) *watch { return &watch{lease: lease, seen: map[string]sign{}} }

// silent says whether a member has given no sign of life for a lease.
func (w *watch) silent(id string, beats int64, now time.Time) bool {
	s, ok := w.seen[id]
	if !ok || s.beats != beats {
		w.seen[id] = sign{beats, now}
		return false
	}
	return now.Sub(s.at) > w.lease
}

// sweepLoop looks after what dead processes left, lost tickets and old jobs.
func (q *Queue) sweepLoop(w *watch) {
	tick := time.NewTicker(q.opt.Lease / 5)
	defer tick.Stop()
	for {
		select {
		case <-q.running.Done():
			return
		case <-tick.C:
		}
		if err := q.sweep(q.running, w); err != nil && q.running.Err() == nil {
			q.opt.Logger.Debug("looking after the job queue", "cause", err) // beatLoop reports a database that is gone
		}
	}
}

func (q *Queue) sweep(ctx context.Context, w *watch) error {
	dead, err := q.deadMembers(ctx, w)
	if err != nil {
		return err
	}
	for _, d := range dead {
		if _, err := q.db.Exec(ctx, `DELETE FROM verifily_member WHERE id = $1 AND beats = $2`, d.id, d.beats); err != nil {
			return err
		}
	}
	return errors.Join(q.adoptOrphans(ctx), q.pickUp(ctx, w), q.purge(ctx))
}

// pickUp queues again what this process has by the database and does not do: the
// answer to a claim, or to River's fetch of a ticket, was lost on the way. What is
// seen so once may just be on its way; what is seen so twice is not.
func (q *Queue) pickUp(ctx context.Context, w *watch) error {
	claimed, err := q.orphans(ctx, orphanColumns+`WHERE j.status = 'RUNNING' AND j.owner = $1`, q.me.id)
	if err != nil {
		return err
	}
	fetched, err := q.orphans(ctx, orphanColumns+`JOIN river_job r ON r.id = j.ticket WHERE r.state = 'running' AND j.status = 'QUEUED' AND `+
		q.db.Dialect().TicketHolder+` = $1`, q.me.id)
	if err != nil {
		return err
	}
	before := w.suspects
	w.suspects = map[orphan]bool{}
	var lost []orphan
	q.mu.Lock()
	for _, o := range append(claimed, fetched...) {
		if run := q.active[o.id]; run != nil && run.number == o.attempt {
			continue
		}
		if before[o] {
			lost = append(lost, o)
		} else {
			w.suspects[o] = true
		}
	}
	q.mu.Unlock()
	_, err = q.requeueAll(ctx, lost, false)
	return err
}

type deadMember struct {
	id    string
	beats int64
}

func (q *Queue) deadMembers(ctx context.Context, w *watch) ([]deadMember, error) {
	rows, err := q.db.Query(ctx, `SELECT id, host, pid, born, beats FROM verifily_member WHERE id <> $1`, q.me.id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var dead []deadMember
	now, present := time.Now(), map[string]bool{}
	for rows.Next() {
		var m member
		var beats int64
		if err := rows.Scan(&m.id, &m.host, &m.pid, &m.born, &beats); err != nil {
			return nil, err
		}
		present[m.id] = true
		if m.knownDead(q.me.host) || w.silent(m.id, beats, now) {
			q.opt.Logger.Info("a process that took jobs is gone", "member", m.id, "pid", m.pid)
			dead = append(dead, deadMember{m.id, beats})
		}
	}
	for id := range w.seen {
		if !present[id] {
			delete(w.seen, id)
		}
	}
	return dead, rows.Err()
}

// orphan is a job that nobody does.
type orphan struct {
	id, lane, status string
	ticket, attempt  int64
	deaths, cancel   int
}

const orphanColumns = `SELECT j.id, j.lane, j.status, j.ticket, j.attempt, j.deaths, j.cancel FROM verifily_job j `

// adoptions bounds how many orphans one transaction takes care of.
const adoptions = 200

// adoptOrphans queues again what members did that are gone: jobs that they ran,
// and jobs whose ticket they had or that nobody has.
func (q *Queue) adoptOrphans(ctx context.Context) error {
	for _, query := range []string{
		orphanColumns + `WHERE j.status = 'RUNNING' AND NOT EXISTS (SELECT 1 FROM verifily_member m WHERE m.id = j.owner)`,
		orphanColumns + `JOIN river_job r ON r.id = j.ticket WHERE r.state = 'running' AND j.status = 'QUEUED'
			AND NOT EXISTS (SELECT 1 FROM verifily_member m WHERE m.id = ` + q.db.Dialect().TicketHolder + `)`,
	} {
		if err := q.adopt(ctx, query); err != nil {
			return err
		}
	}
	q.mu.Lock()
	due := time.Since(q.audited) > auditEvery
	if due {
		q.audited = time.Now()
	}
	q.mu.Unlock()
	if !due {
		return nil
	}
	for _, stmt := range q.db.Dialect().SetBack {
		if _, err := q.db.Exec(ctx, stmt); err != nil {
			return err
		}
	}
	return q.adopt(ctx, orphanColumns+`WHERE j.status = 'QUEUED' AND NOT EXISTS (SELECT 1 FROM river_job r
		WHERE r.id = j.ticket AND r.state IN ('available', 'running', 'scheduled', 'retryable'))`)
}

// auditEvery is how often every waiting job is held against its ticket, and traces
// of a clock that was ahead are looked for.
const auditEvery = time.Minute

func (q *Queue) adopt(ctx context.Context, query string) error {
	for {
		orphans, err := q.orphans(ctx, query)
		if err != nil || len(orphans) == 0 {
			return err
		}
		adopted, err := q.requeueAll(ctx, orphans, true)
		if err != nil {
			return err
		}
		if len(orphans) < adoptions || adopted == 0 {
			return nil
		}
	}
}

// requeueAll queues jobs again that have not changed since they were looked at,
// and says how many those were.
func (q *Queue) requeueAll(ctx context.Context, orphans []orphan, died bool) (n int, err error) {
	if len(orphans) == 0 {
		return 0, nil
	}
	err = q.db.Write(ctx, func(ctx context.Context, tx database.Tx) error {
		n = 0
		for _, o := range orphans {
			ok, err := q.requeue(ctx, tx, o, died)
			if err != nil {
				return err
			}
			if ok {
				n++
			}
		}
		return nil
	})
	if err == nil && n > 0 {
		q.opt.Logger.Info("jobs that nobody did are queued again", "jobs", n)
	}
	return n, err
}

func (q *Queue) orphans(ctx context.Context, query string, args ...any) ([]orphan, error) {
	rows, err := q.db.Query(ctx, query+` ORDER BY j.seq LIMIT `+strconv.Itoa(adoptions), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []orphan
	for rows.Next() {
		var o orphan
		if err := rows.Scan(&o.id, &o.lane, &o.status, &o.ticket, &o.attempt, &o.deaths, &o.cancel); err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, rows.Err()
}

// requeue lets a job be run again, under a new ticket, unless it has changed
// since it was looked at. A job that ran has died with its process where died is
// set; too many deaths end it, and so does a cancellation.
func (q *Queue) requeue(ctx context.Context, tx database.Tx, o orphan, died bool) (bool, error) {
	if o.status == string(Running) && died {
		o.deaths++
	}
	var reason string
	switch {
	case o.cancel != 0:
		reason = Cancelled
	case o.deaths >= q.opt.MaxAttempts:
		reason = diedTooOften(o.deaths)
	}
	if reason != "" {
		n, err := tx.Exec(ctx, `UPDATE verifily_job SET status = 'FAILED', error = $1, finished_at = $2, deaths = $3, owner = NULL, progress = NULL
			WHERE id = $4 AND status = $5 AND ticket = $6 AND attempt = $7`,
			reason, seconds(time.Now()), o.deaths, o.id, o.status, o.ticket, o.attempt)
		return n == 1, err
	}
	n, err := tx.Exec(ctx, `UPDATE verifily_job SET status = 'QUEUED', deaths = $1, owner = NULL, progress = NULL, progress_n = 0
		WHERE id = $2 AND status = $3 AND ticket = $4 AND attempt = $5`, o.deaths, o.id, o.status, o.ticket, o.attempt)
	if err != nil || n == 0 {
		return false, err
	}
	ids, err := tx.InsertTickets(ctx, []database.Ticket{{JobID: o.id, Queue: o.lane}})
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `UPDATE verifily_job SET ticket = $1 WHERE id = $2`, ids[0], o.id)
	return true, err
}

// purgeBatch bounds how many jobs one transaction removes, so that others need
// not wait for it.
const purgeBatch = 200

// purge removes jobs that finished before the retention began. The time that has
// passed is the lesser of what the two clocks say: one that was set ahead removes
// nothing.
func (q *Queue) purge(ctx context.Context) error {
	if q.opt.Retention < 0 {
		return nil
	}
	now := time.Now()
	if steady := q.opened.Add(now.Sub(q.opened)); steady.Round(0).Before(now.Round(0)) {
		now = steady
	}
	before := seconds(now.Add(-q.opt.Retention))
	for {
		n, err := q.db.Exec(ctx, `DELETE FROM verifily_job WHERE seq IN (SELECT seq FROM verifily_job WHERE finished_at < $1
			ORDER BY finished_at LIMIT `+strconv.Itoa(purgeBatch)+`)`, before)
		if err != nil || n < purgeBatch {
			return err
		}
	}
}
