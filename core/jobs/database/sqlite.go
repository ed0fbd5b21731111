package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"modernc.org/sqlite"
)

const (
	// Another process may hold the writer for as long as a flush takes.
	busyTimeout = 20 * time.Second
	readers     = 4
	// A batch larger than this would make the first in it wait for the last.
	maxBatch = 256
)

var sqliteDialect = Dialect{
	Serial: "integer PRIMARY KEY AUTOINCREMENT", Blob: "blob", Float: "real",
	TicketHolder: "json_extract(r.attempted_by, '$[#-1]')",
	SetBack: []string{
		`UPDATE river_job SET state = 'available', scheduled_at = '1970-01-01 00:00:00'
			WHERE state IN ('available', 'scheduled', 'retryable') AND scheduled_at > '1970-01-01 00:00:01'`,
		`DELETE FROM river_leader WHERE expires_at > datetime('now', '+1 minute')`,
		`DELETE FROM river_job WHERE id IN (SELECT id FROM river_job
			WHERE state = 'completed' AND finalized_at > datetime('now', '+1 minute') LIMIT 10000)`,
	},
}

// sqliteDB is a file with one writing connection, which the writes of this
// process and River share, and some that read.
type sqliteDB struct {
	write, read *sql.DB
	file        string
	opened      os.FileInfo // of file
	log         *slog.Logger
	dispatch    *dispatcher[*sql.Tx] // nil before Dispatch
	mu          sync.Mutex           // guards dispatch

	queue  chan *pending
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   chan struct{} // closed when the writer has ended
}

// pending is a write that waits for its turn.
type pending struct {
	ctx   context.Context
	fn    func(ctx context.Context, tx Tx) error
	done  chan error // one is sent
	state atomic.Int32
}

// The states of a write. One whose caller has given up is not begun any more; one
// that has begun is waited for, since its fn uses what belongs to its caller.
const (
	waiting int32 = iota
	begun
	abandoned
)

var errBusy = errors.New("the database is busy, or another process holds it")

func (p *pending) begin() bool   { return p.state.CompareAndSwap(waiting, begun) }
func (p *pending) abandon() bool { return p.state.CompareAndSwap(waiting, abandoned) }
func (p *pending) undone()       { p.state.CompareAndSwap(begun, waiting) }

func openSQLite(ctx context.Context, opt Options) (_ DB, err error) {
	if err := os.MkdirAll(filepath.Dir(opt.File), 0o700); err != nil {
		return nil, err
	}
	// Tables are made by one process at a time.
	lock := flock.New(opt.File + ".lock")
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, fmt.Errorf("lock %s: %w", opt.File, err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	dsn := func(pragmas ...string) string {
		q := url.Values{"_pragma": append([]string{fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "temp_store(MEMORY)"}, pragmas...)}
		q.Set("_txlock", "immediate")
		return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: opt.File}).EscapedPath(), RawQuery: q.Encode()}).String()
	}
	d := &sqliteDB{file: opt.File, log: opt.Logger, queue: make(chan *pending, maxBatch), done: make(chan struct{})}
	// What River writes can be lost with the power: a ticket handed out twice
	// finds nothing to do. Batches of our own are flushed, see commit.
	write, err := sqlite.NewConnector(dsn("journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(4000)"))
	if err != nil {
		return nil, err
	}
	read, err := sqlite.NewConnector(dsn("query_only(1)"))
	if err != nil {
		return nil, err
	}
	d.write, d.read = sql.OpenDB(caching{write}), sql.OpenDB(caching{read})
	d.write.SetMaxOpenConns(1)
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	if err := d.prepare(ctx, opt); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", opt.File, err), d.read.Close(), d.write.Close())
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	go d.writer()
	return d, nil
}

func (d *sqliteDB) prepare(ctx context.Context, opt Options) error {
	migrator, err := rivermigrate.New(riversqlite.New(d.write), &rivermigrate.Config{Logger: quiet(opt.Logger)})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	d.opened, err = os.Stat(opt.File)
	return err
}

// stays says that the file is the one that was opened. A file that was removed can
// be written as before, and nobody would find again what was.
func (d *sqliteDB) stays() error {
	info, err := os.Stat(d.file)
	if err == nil && !os.SameFile(info, d.opened) {
		err = fmt.Errorf("%s is another file than the one that was opened", d.file)
	}
	return err
}

func (d *sqliteDB) Create(ctx context.Context, schema func(Dialect) []string) error {
	return d.Write(ctx, func(ctx context.Context, tx Tx) error { return execAll(ctx, tx, schema(sqliteDialect)) })
}

func (d *sqliteDB) Dialect() Dialect { return sqliteDialect }

func (d *sqliteDB) Write(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	p := &pending{ctx: ctx, fn: fn, done: make(chan error, 1)}
	select {
	case d.queue <- p:
	case <-ctx.Done():
		return ctx.Err()
	case <-d.ctx.Done():
		return ErrClosed
	}
	patience := time.NewTimer(busyTimeout) // River's writes, which wait too, may be before this one
	defer patience.Stop()
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		if p.abandon() {
			return ctx.Err()
		}
	case <-patience.C:
		if p.abandon() {
			return errBusy
		}
	case <-d.done:
	}
	select {
	case err := <-p.done:
		return err
	case <-d.done:
		select {
		case err := <-p.done:
			return err
		default:
			return ErrClosed
		}
	}
}

func (d *sqliteDB) Exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = d.Write(ctx, func(ctx context.Context, tx Tx) error {
		n, err = tx.Exec(ctx, query, args...)
		return err
	})
	return n, err
}

func (d *sqliteDB) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return sqlQuery(ctx, d.read, query, args)
}

func (d *sqliteDB) Ping(ctx context.Context) error {
	return d.Write(ctx, func(ctx context.Context, tx Tx) error {
		_, err := tx.Exec(ctx, "UPDATE verifily_alive SET n = n + 1")
		return err
	})
}

// Close ends the writer, which first does what it has begun.
func (d *sqliteDB) Close() error {
	d.cancel()
	<-d.done
	return errors.Join(d.read.Close(), d.write.Close())
}

// writer carries out writes until Close, those that wait together in one
// transaction.
func (d *sqliteDB) writer() {
	defer close(d.done)
	for {
		var batch []*pending
		select {
		case <-d.ctx.Done():
			return
		case p := <-d.queue:
			batch = append(batch, p)
		}
	more:
		for len(batch) < maxBatch {
			select {
			case p := <-d.queue:
				batch = append(batch, p)
			default:
				break more
			}
		}
		d.carryOut(batch)
	}
}

// carryOut commits a batch. Where one of it fails, all are repeated one by one,
// so that none suffers from another. Where the transaction could not begin, none
// is at fault, and each would wait as long again.
func (d *sqliteDB) carryOut(batch []*pending) {
	live := batch[:0]
	for _, p := range batch {
		if err := p.ctx.Err(); err != nil {
			p.done <- err
			continue
		}
		live = append(live, p)
	}
	if len(live) == 0 {
		return
	}
	tried, err := d.commit(live)
	if err == nil || len(live) == 1 || !tried {
		for _, p := range live {
			p.done <- err
		}
		return
	}
	for i, p := range live {
		_, err := d.commit(live[i : i+1])
		p.done <- err
	}
}

// commit carries out a batch in one transaction and flushes it to disk. It is
// not cut short by Close: what has begun is finished. tried says that the
// transaction began.
func (d *sqliteDB) commit(batch []*pending) (tried bool, err error) {
	if err := d.stays(); err != nil {
		return false, err
	}
	ctx := context.WithoutCancel(d.ctx)
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "PRAGMA synchronous = FULL"); err != nil {
		return false, err
	}
	defer func() {
		_, e := conn.ExecContext(ctx, "PRAGMA synchronous = NORMAL")
		err = errors.Join(err, e)
	}()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			for _, p := range batch {
				p.undone()
			}
		}
	}()
	for _, p := range batch {
		if !p.begin() {
			continue // its caller has gone
		}
		if err := p.fn(ctx, &sqliteTx{tx: tx, db: d}); err != nil {
			return true, rolledBack(err, tx.Rollback())
		}
	}
	return true, tx.Commit()
}

// rolledBack is err, with that of the rollback where there is one.
func rolledBack(err, rollback error) error {
	if rollback == nil || errors.Is(rollback, sql.ErrTxDone) {
		return err
	}
	return errors.Join(err, rollback)
}

type sqliteTx struct {
	tx *sql.Tx
	db *sqliteDB
}

func (t *sqliteTx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *sqliteTx) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return sqlQuery(ctx, t.tx, query, args)
}

func (t *sqliteTx) InsertTickets(ctx context.Context, tickets []Ticket) ([]int64, error) {
	t.db.mu.Lock()
	dispatch := t.db.dispatch
	t.db.mu.Unlock()
	return dispatch.insert(ctx, t.tx, tickets)
}

func (d *sqliteDB) Dispatch(cfg DispatchConfig) (Dispatcher, error) {
	// Without LISTEN, tickets are found by looking. A look that finds nothing
	// writes nothing and costs some 50 microseconds.
	cfg.poll = 25 * time.Millisecond
	made, err := newDispatcher[*sql.Tx](riverdriver.Driver[*sql.Tx](riversqlite.New(d.write)), cfg)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.dispatch = made
	d.mu.Unlock()
	return made, nil
}

// sqlRows makes Close of *sql.Rows like that of pgx.
type sqlRows struct{ *sql.Rows }

func (r sqlRows) Close() { _ = r.Rows.Close() } // Err says what went wrong

func sqlQuery(ctx context.Context, q interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, query string, args []any) (Rows, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return sqlRows{rows}, nil
}
