package jobs_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/jobs/database"
)

// faulty opens a queue whose database a test disturbs, and starts it.
func (p place) faulty(opt jobs.Options) (*jobs.Queue, *jobs.Faults) {
	p.t.Helper()
	q := p.open(opt)
	f := q.Interpose()
	require.NoError(p.t, q.Start(p.ctx()))
	return q, f
}

// TestTakenOver: a process that is silent for a lease loses its job to another
// one, and what it does afterwards does not count.
func TestTakenOver(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		const lease = 2 * time.Second
		begun, goOn := make(chan struct{}), make(chan struct{})
		undone := make(chan string, 1)
		silent, faults := p.faulty(jobs.Options{Lease: lease, Kinds: map[string]jobs.Handler{"HOLD": func(_ context.Context, a *jobs.Attempt) (json.RawMessage, error) {
			if a.Job.RequestID != "first" {
				return object(`{}`), nil
			}
			close(begun)
			<-goOn // deaf to its context
			assert.ErrorIs(t, a.Record(context.Background(), "/late"), jobs.ErrLeaseLost)
			a.Made("/silent", func(recorded string) error { undone <- recorded; return nil })
			return object(`{"by": "silent"}`), nil
		}}})
		job, err := silent.Submit(p.ctx(), jobs.Request{Kind: "HOLD", Input: object(`{}`), RequestID: "first"})
		require.NoError(t, err)
		within(t, begun, "the job")
		faults.Silence(true)
		other := p.start(jobs.Options{Lease: lease, Kinds: map[string]jobs.Handler{"HOLD": func(_ context.Context, a *jobs.Attempt) (json.RawMessage, error) {
			a.Made("/other", func(string) error { panic("nothing is to be undone") })
			return object(`{"by": "other"}`), nil
		}}})
		done, err := other.Wait(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.Equal(t, 2, done.Attempts)
		close(goOn)
		assert.Equal(t, "/other", within(t, undone, "the undoing"))
		faults.Silence(false)
		result, _, err := other.Result(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.JSONEq(t, `{"by": "other"}`, string(result))

		// The silent process comes back as a member and works on.
		require.NoError(t, other.Drain(p.ctx()))
		require.NoError(t, other.Close())
		next := hold(t, silent)
		done, err = silent.Wait(p.ctx(), next.ID)
		require.NoError(t, err)
		assert.Equal(t, jobs.Succeeded, done.Status)
	})
}

// TestLeaseLost: a process that cannot renew its lease stops its jobs before the
// others may take them over, and goes on with them when it can.
func TestLeaseLost(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		g := newGate()
		q, faults := p.faulty(jobs.Options{Lease: 2 * time.Second, Kinds: g.kinds()})
		job := hold(t, q)
		within(t, g.begun, "the job")
		faults.Silence(true)
		assert.ErrorIs(t, within(t, g.ended, "the end"), jobs.ErrLeaseLost)
		faults.Silence(false)
		within(t, g.begun, "the job once more")
		close(g.goOn)
		job, err := q.Wait(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.Equal(t, jobs.Succeeded, job.Status)
		assert.Equal(t, 2, job.Attempts)
	})
}

// TestDiesTooOften: a job under which every process dies ends.
func TestDiesTooOften(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		g := newGate()
		opt := jobs.Options{Kinds: g.kinds(), MaxAttempts: 3, Lease: 3 * time.Second}
		q := p.open(opt)
		job := hold(t, q)
		for i := range 3 {
			_, faults := p.faulty(opt)
			assert.Equal(t, i+1, within(t, g.begun, "the job").Number)
			require.NoError(t, faults.Die(p.ctx()))
		}
		last := p.start(opt)
		job, err := last.Wait(p.ctx(), job.ID)
		require.NoError(t, err)
		assert.Equal(t, jobs.Failed, job.Status)
		assert.Equal(t, "given up: the process that ran it died 3 times", *job.Error)
		close(g.goOn)
	})
}

// TestLostTickets: tickets that are gone, or that wait for a time that a clock
// set back has not reached yet, do not keep a job waiting.
func TestLostTickets(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		waits := p.open(jobs.Options{})
		all := []jobs.Job{hold(t, waits), hold(t, waits), hold(t, waits), hold(t, waits)}
		for i, stmt := range []string{
			`DELETE FROM river_job`,
			`UPDATE river_job SET scheduled_at = '2199-01-01 00:00:00'`,
			`UPDATE river_job SET scheduled_at = '2199-01-01 00:00:00', state = 'scheduled'`,
			`UPDATE river_job SET scheduled_at = '2199-01-01 00:00:00', state = 'retryable'`,
		} {
			n, err := waits.Database().Exec(p.ctx(), stmt+` WHERE id = (SELECT ticket FROM verifily_job WHERE id = $1)`, all[i].ID)
			require.NoError(t, err)
			require.EqualValues(t, 1, n)
		}
		q := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"HOLD": echo}})
		for _, job := range all {
			done, err := q.Wait(p.ctx(), job.ID)
			require.NoError(t, err)
			assert.Equal(t, jobs.Succeeded, done.Status)
		}
	})
}

// TestClockWasAhead: a process that died while the clock was years ahead keeps
// nobody from leading River, and what it has used is cleared away.
func TestClockWasAhead(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		before := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"HOLD": echo}})
		job := hold(t, before)
		_, err := before.Wait(p.ctx(), job.ID)
		require.NoError(t, err)
		require.NoError(t, before.Close())
		db := p.open(jobs.Options{}).Database()
		for _, stmt := range []string{
			`UPDATE river_job SET finalized_at = '2199-01-01 00:00:00' WHERE state = 'completed'`,
			`INSERT INTO river_leader (leader_id, elected_at, expires_at) VALUES ('dead', '2198-12-31 23:59:45', '2199-01-01 00:00:00')`,
		} {
			n, err := db.Exec(p.ctx(), stmt)
			require.NoError(t, err)
			require.EqualValues(t, 1, n, stmt)
		}
		p.start(jobs.Options{Kinds: map[string]jobs.Handler{"HOLD": echo}})
		require.Eventually(t, func() bool {
			var leads, used int
			require.NoError(t, database.QueryRow(p.ctx(), db, []any{&leads}, `SELECT count(*) FROM river_leader WHERE leader_id <> 'dead'`))
			require.NoError(t, database.QueryRow(p.ctx(), db, []any{&used}, `SELECT count(*) FROM river_job`))
			return leads == 1 && used == 0
		}, 30*time.Second, 5*time.Millisecond)
	})
}

// TestPutOff: a job whose ticket was put off is not overtaken for ever by those that
// come later.
func TestPutOff(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		waits := p.open(jobs.Options{})
		first, second := hold(t, waits), hold(t, waits)
		n, err := waits.Database().Exec(p.ctx(), `UPDATE river_job SET scheduled_at = '2020-01-01 00:00:00'
			WHERE id = (SELECT ticket FROM verifily_job WHERE id = $1)`, first.ID)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		g := newGate()
		close(g.goOn)
		p.start(jobs.Options{Kinds: g.kinds(), Workers: 1})
		assert.Equal(t, first.ID, within(t, g.begun, "the first job").Job.ID)
		assert.Equal(t, second.ID, within(t, g.begun, "the second job").Job.ID)
	})
}

// TestTicketsAreDueAtOnce: how the clock of the process that submits differs from
// the database's makes no job wait.
func TestTicketsAreDueAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		q := p.open(jobs.Options{})
		hold(t, q)
		var tickets, late int
		require.NoError(t, database.QueryRow(p.ctx(), q.Database(), []any{&tickets, &late},
			`SELECT count(*), count(CASE WHEN scheduled_at > '1970-01-02' THEN 1 END) FROM river_job WHERE state = 'available'`))
		assert.Equal(t, 1, tickets)
		assert.Zero(t, late)
	})
}
