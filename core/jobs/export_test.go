package jobs

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/verifily/verifily-tui/core/jobs/database"
)

// Faults is what a test does to the database of one queue.
type Faults struct {
	database.DB
	q    *Queue
	beat atomic.Bool // renewals of the lease fail
	all  atomic.Bool // everything fails
}

var errGone = errors.New("the database is gone")

// Interpose puts faults between a queue that is not started yet and its
// database.
func (q *Queue) Interpose() *Faults {
	f := &Faults{DB: q.db, q: q}
	q.db = f
	return f
}

// Silence keeps the queue from renewing its lease.
func (f *Faults) Silence(on bool) { f.beat.Store(on) }

// Die leaves the queue as the death of its process would: off the list of
// members, without a word about its jobs.
func (f *Faults) Die(ctx context.Context) error {
	f.all.Store(true)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_ = f.q.river.Stop(ended) // its work goes on, and leads nowhere
	_, err := f.DB.Exec(ctx, `DELETE FROM verifily_member WHERE id = $1`, f.q.me.id)
	return err
}

func (f *Faults) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if f.all.Load() || f.beat.Load() && strings.HasPrefix(query, "UPDATE verifily_member") {
		return 0, errGone
	}
	return f.DB.Exec(ctx, query, args...)
}

func (f *Faults) Write(ctx context.Context, fn func(ctx context.Context, tx database.Tx) error) error {
	if f.all.Load() {
		return errGone
	}
	return f.DB.Write(ctx, fn)
}

// HoldForTest calls a function while this queue, and nobody else, may write.
func (q *Queue) HoldForTest(do func()) error {
	return q.db.Write(context.Background(), func(context.Context, database.Tx) error {
		do()
		return nil
	})
}
