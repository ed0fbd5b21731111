package database

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

// DispatchConfig says how tickets are handed out.
type DispatchConfig struct {
	ID      string         // of this process, unique in the database
	Workers map[string]int // tickets of a queue that are worked on at once
	// Work does what a ticket is for. An error is for a database that does not
	// answer: the ticket comes again a little later.
	Work   func(ctx context.Context, ticket int64, jobID string) error
	Logger *slog.Logger

	poll time.Duration // 0: River tells of new tickets
}

// Dispatcher hands tickets to workers.
type Dispatcher interface {
	Start(ctx context.Context) error
	// Stop hands out no more and waits for the work to end. When ctx ends, it
	// returns, and the work goes on.
	Stop(ctx context.Context) error
}

const (
	// Two fetches of a queue are at least this far apart.
	fetchCooldown = 5 * time.Millisecond
	// Without a message about new tickets they are looked for this often.
	fetchPoll = time.Second
	// A ticket that is used says nothing any more.
	keepTickets = time.Minute
	// A ticket whose work failed because the database did not answer comes again.
	ticketAttempts = 1000
	// River would hand a ticket out again that is out for so long. Recovery is
	// quicker than that, and a ticket handed out twice does nothing.
	rescueAfter = 7 * 24 * time.Hour
)

type dispatcher[TTx any] struct{ client *river.Client[TTx] }

func newDispatcher[TTx any](driver riverdriver.Driver[TTx], cfg DispatchConfig) (*dispatcher[TTx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{work: cfg.Work})
	queues := map[string]river.QueueConfig{}
	for name, n := range cfg.Workers {
		queues[name] = river.QueueConfig{MaxWorkers: n}
	}
	poll := cfg.poll
	if poll == 0 {
		poll = fetchPoll
	}
	client, err := river.NewClient(driver, &river.Config{
		ID: cfg.ID, Queues: queues, Workers: workers, Logger: quiet(cfg.Logger),
		FetchCooldown: fetchCooldown, FetchPollInterval: poll,
		JobTimeout: -1, MaxAttempts: ticketAttempts, RescueStuckJobsAfter: rescueAfter,
		RetryPolicy:                 again{},
		Hooks:                       []rivertype.Hook{&dueAtOnce{}},
		CompletedJobRetentionPeriod: keepTickets, CancelledJobRetentionPeriod: keepTickets, DiscardedJobRetentionPeriod: keepTickets,
	})
	if err != nil {
		return nil, err
	}
	return &dispatcher[TTx]{client: client}, nil
}

func (d *dispatcher[TTx]) Start(ctx context.Context) error { return d.client.Start(ctx) }

func (d *dispatcher[TTx]) Stop(ctx context.Context) error { return d.client.Stop(ctx) }

func (d *dispatcher[TTx]) insert(ctx context.Context, tx TTx, tickets []Ticket) ([]int64, error) {
	params := make([]river.InsertManyParams, len(tickets))
	for i, t := range tickets {
		params[i] = river.InsertManyParams{Args: ticketArgs{JobID: t.JobID}, InsertOpts: &river.InsertOpts{Queue: t.Queue}}
	}
	made, err := d.client.InsertManyTx(ctx, tx, params)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(made))
	for i, m := range made {
		ids[i] = m.Job.ID
	}
	return ids, nil
}

// dueAtOnce makes new tickets due by every clock. River hands them out by the
// database's clock, which may be behind the one of the process that makes them,
// and any clock may be set back. Tickets of one time come in the order of their
// ids.
type dueAtOnce struct{ river.HookDefaults }

// InsertBegin implements rivertype.HookInsertBegin.
func (*dueAtOnce) InsertBegin(_ context.Context, ticket *rivertype.JobInsertParams) error {
	begin := time.Unix(0, 0).UTC()
	ticket.ScheduledAt = &begin
	return nil
}

// ticketArgs is what a ticket says.
type ticketArgs struct {
	JobID string `json:"job_id"`
}

// Kind is the name under which River keeps tickets.
func (ticketArgs) Kind() string { return "verifily" }

type worker struct {
	river.WorkerDefaults[ticketArgs]
	work func(ctx context.Context, ticket int64, jobID string) error
}

func (w *worker) Work(ctx context.Context, job *river.Job[ticketArgs]) error {
	if err := w.work(ctx, job.ID, job.Args.JobID); err != nil {
		return river.JobSnooze(time.Second)
	}
	return nil
}

// quiet passes on what River has to say only where it is asked for in detail: its
// warnings are about a database that does not answer, which the queue reports.
func quiet(log *slog.Logger) *slog.Logger {
	if log == nil || !log.Enabled(context.Background(), slog.LevelDebug) {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

func execAll(ctx context.Context, tx Tx, stmts []string) error {
	for _, stmt := range stmts {
		if _, err := tx.Exec(ctx, stmt); err != nil {
			return fmt.Errorf("%s: %w", firstLine(stmt), err)
		}
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// again is when a ticket comes again whose work panicked.
type again struct{}

// NextRetry implements river.ClientRetryPolicy.
func (again) NextRetry(*rivertype.JobRow) time.Time { return time.Now().Add(time.Second) }
