package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/verifily/verifily-tui/core/jobs/database"
)

// Options say how to open a Queue.
type Options struct {
	// Database is the URL of a PostgreSQL database (postgres://...); empty means
	// an SQLite file, jobs.db, in DataDir.
	Database string
	DataDir  string             // made when it is not there; not needed with Database
	Kinds    map[string]Handler // what the jobs of a kind do; may be nil in a process that only looks
	// Prepare changes the input of a job before it is taken, such as to write out
	// relative paths. nil: nothing is changed.
	Prepare func(kind string, input json.RawMessage) (json.RawMessage, error)
	Workers int // jobs run at once; 0 means 16
	// Heavy says which jobs take a whole machine, as a training does. Of those,
	// HeavyWorkers (0 means 1) run at once, beside the others. nil: none.
	Heavy        func(kind string, input json.RawMessage) bool
	HeavyWorkers int
	MaxAttempts  int           // how many processes may die under a job before it is FAILED; 0 means 5
	MaxQueued    int           // jobs that may wait; 0 means 100,000, negative any number
	Retention    time.Duration // how long a finished job is kept; 0 means 30 days, negative for ever
	Lease        time.Duration // after which a silent process counts as dead; 0 means 15 s
	Logger       *slog.Logger  // nil: silent
}

const (
	defaultWorkers     = 16 // a mock retrain mostly waits for the disk
	defaultMaxAttempts = 5
	defaultMaxQueued   = 100_000
	defaultRetention   = 30 * 24 * time.Hour
	defaultLease       = 15 * time.Second
	databaseFile       = "jobs.db"
)

func (o *Options) complete() {
	or := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	or(&o.Workers, defaultWorkers)
	or(&o.HeavyWorkers, 1)
	or(&o.MaxAttempts, defaultMaxAttempts)
	or(&o.MaxQueued, defaultMaxQueued)
	if o.Retention == 0 {
		o.Retention = defaultRetention
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.Heavy == nil {
		o.Heavy = func(string, json.RawMessage) bool { return false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// The queues of River.
const (
	lightLane = "light"
	heavyLane = "heavy"
)

// Queue is a durable queue of jobs. All methods may be called concurrently.
type Queue struct {
	opt    Options
	db     database.DB
	river  database.Dispatcher
	me     member
	opened time.Time
	room   room
	counts counts
	broker broker

	// running ends with Close; its causes end the handlers.
	running context.Context
	end     context.CancelCauseFunc
	loops   sync.WaitGroup // goroutines that end with running
	// settling ends a little before: from then on no attempt to write down how a
	// job ended is repeated.
	settling context.Context
	giveUp   context.CancelFunc

	mu       sync.Mutex
	started  bool
	draining bool
	closed   bool
	active   map[string]*attempt // by job id
	beaten   time.Time           // when the last renewal of the lease that succeeded began
	idle     chan struct{}       // closed while nothing is active
	audited  time.Time           // when tickets were last held against jobs
}

// Open opens the queue and brings the database's tables up to date. It runs no
// jobs before Start. ctx bounds the opening only.
func Open(ctx context.Context, opt Options) (*Queue, error) {
	opt.complete()
	if opt.Database == "" && opt.DataDir == "" {
		return nil, errors.New("open job queue: neither a database nor a data folder is named")
	}
	db, err := database.Open(ctx, database.Options{URL: opt.Database, File: filepath.Join(opt.DataDir, databaseFile),
		Logger: opt.Logger})
	if err != nil {
		return nil, fmt.Errorf("open job queue: %w", err)
	}
	if err := db.Create(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open job queue: %w", err), db.Close())
	}
	q := &Queue{opt: opt, db: db, me: thisProcess(), opened: time.Now(), active: map[string]*attempt{}, idle: make(chan struct{})}
	close(q.idle)
	q.running, q.end = context.WithCancelCause(context.Background())
	q.settling, q.giveUp = context.WithCancel(q.running)
	q.room.max = opt.MaxQueued
	cfg := database.DispatchConfig{ID: q.me.id, Work: q.work, Logger: opt.Logger, Workers: map[string]int{}}
	if len(opt.Kinds) > 0 && opt.Workers > 0 {
		cfg.Workers = map[string]int{lightLane: opt.Workers, heavyLane: opt.HeavyWorkers}
	}
	if q.river, err = db.Dispatch(cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("open job queue: %w", err), db.Close())
	}
	return q, nil
}

// Start runs jobs until Drain or Close. What a dead process of this host left
// running is queued again at once.
func (q *Queue) Start(ctx context.Context) error {
	q.mu.Lock()
	switch {
	case q.closed || q.draining:
		q.mu.Unlock()
		return ErrClosed
	case q.started:
		q.mu.Unlock()
		return nil
	}
	q.started = true
	q.mu.Unlock()
	if err := q.join(ctx); err != nil {
		return fmt.Errorf("start job queue: %w", err)
	}
	watch := newWatch(q.opt.Lease)
	if err := q.sweep(ctx, watch); err != nil {
		return fmt.Errorf("start job queue: %w", err)
	}
	q.loops.Go(func() { q.beatLoop() })
	q.loops.Go(func() { q.sweepLoop(watch) })
	q.loops.Go(func() { q.tellLoop() })
	if q.opt.Workers < 0 || len(q.opt.Kinds) == 0 {
		return nil
	}
	if err := q.river.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start job queue: %w", err)
	}
	return nil
}

// Drain stops taking jobs and waits for those that run. When ctx ends their
// contexts end with ErrDraining, and those that do not finish then are queued
// again, for another process or the next start. It returns when none runs.
func (q *Queue) Drain(ctx context.Context) error {
	q.mu.Lock()
	q.draining = true
	started := q.started
	q.mu.Unlock()
	if !started {
		return nil
	}
	if err := q.river.Stop(ctx); err != nil {
		q.stopAll(ErrDraining)
		defer time.AfterFunc(leaveTimeout, q.giveUp).Stop()
		if err := q.river.Stop(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("drain job queue: %w", err)
		}
	}
	return nil
}

// Close ends everything at once, as Drain with a ctx that has ended, and closes
// the database.
func (q *Queue) Close() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	err := q.Drain(ended)
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	q.mu.Unlock()
	q.giveUp()
	q.end(ErrClosed)
	q.loops.Wait()
	if q.started {
		ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
		defer cancel()
		if e := q.leave(ctx); e != nil {
			q.opt.Logger.Warn("the job queue is left without a word", "cause", e)
		}
	}
	return errors.Join(err, q.db.Close())
}

// leaveTimeout is how long a queue that closes tries to write down what became of
// its jobs, and then to take the process off the list of members. Where it fails
// the others find out by themselves.
const leaveTimeout = 2 * time.Second

// Ready says why jobs cannot be taken: the database does not answer or cannot
// be written, or the queue is closing.
func (q *Queue) Ready(ctx context.Context) error {
	q.mu.Lock()
	closing := q.closed || q.draining
	q.mu.Unlock()
	if closing {
		return ErrClosed
	}
	if err := q.db.Ping(ctx); err != nil {
		return fmt.Errorf("the job database cannot be written: %w", err)
	}
	return nil
}

// Database is where the queue is kept, for what is kept beside it.
func (q *Queue) Database() database.DB { return q.db }

// Member is the id of this process among those that take jobs from the database,
// and whether it may still act as one: after Start, and while its lease is good.
func (q *Queue) Member() (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.me.id, q.started && !q.closed && q.leased()
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
