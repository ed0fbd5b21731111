package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// postgresConns bounds the connections of a process. A PostgreSQL server has 100
// by default.
const postgresConns = 16

// schemaLock is the key of the advisory lock under which tables are made: one
// process does it at a time.
const schemaLock = 0x7665726966696c79 // "verifily"

var postgresDialect = Dialect{
	Serial: "bigserial PRIMARY KEY", Blob: "bytea", Float: "double precision",
	TicketHolder: "r.attempted_by[array_upper(r.attempted_by, 1)]",
	SetBack: []string{
		`UPDATE river_job SET state = 'available', scheduled_at = '1970-01-01 00:00:00Z'
			WHERE state IN ('available', 'scheduled', 'retryable') AND scheduled_at > '1970-01-01 00:00:01Z'`,
		`DELETE FROM river_leader WHERE expires_at > now() + interval '1 minute'`,
		`DELETE FROM river_job WHERE id IN (SELECT id FROM river_job
			WHERE state = 'completed' AND finalized_at > now() + interval '1 minute' LIMIT 10000)`,
	},
}

type postgresDB struct {
	pool     *pgxpool.Pool
	dispatch *dispatcher[pgx.Tx]
}

func openPostgres(ctx context.Context, opt Options) (DB, error) {
	cfg, err := pgxpool.ParseConfig(opt.URL)
	if err != nil {
		return nil, errors.New("the database URL cannot be read: " + withoutSecrets(err, opt.URL))
	}
	if !strings.Contains(opt.URL, "pool_max_conns") {
		cfg.MaxConns = postgresConns
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	d := &postgresDB{pool: pool}
	if err := d.prepare(ctx, opt); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database %s on %s: %w", cfg.ConnConfig.Database, cfg.ConnConfig.Host, err)
	}
	return d, nil
}

// withoutSecrets is the text of an error of a URL, without what may be its
// password.
func withoutSecrets(err error, url string) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return strings.ReplaceAll(text, url, "...")
}

func (d *postgresDB) prepare(ctx context.Context, opt Options) error {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(schemaLock)); err != nil {
		return err
	}
	defer func() { // the connection's end would free it too
		_, _ = conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(schemaLock))
	}()
	migrator, err := rivermigrate.New(riverpgxv5.New(d.pool), &rivermigrate.Config{Logger: quiet(opt.Logger)})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func (d *postgresDB) Create(ctx context.Context, schema func(Dialect) []string) error {
	return d.Write(ctx, func(ctx context.Context, tx Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(schemaLock)); err != nil {
			return err
		}
		return execAll(ctx, tx, schema(postgresDialect))
	})
}

func (d *postgresDB) Dialect() Dialect { return postgresDialect }

func (d *postgresDB) Write(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	return named(pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error { return fn(ctx, &postgresTx{tx: tx, db: d}) }))
}

func (d *postgresDB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := d.pool.Exec(ctx, query, args...)
	return tag.RowsAffected(), named(err)
}

func (d *postgresDB) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	rows, err := d.pool.Query(ctx, query, args...)
	return rows, named(err)
}

func (d *postgresDB) Ping(ctx context.Context) error {
	_, err := d.Exec(ctx, "UPDATE verifily_alive SET n = n + 1")
	return err
}

func (d *postgresDB) Close() error {
	d.pool.Close()
	return nil
}

// named gives the error of a closed pool its name.
func named(err error) error {
	if err != nil && strings.Contains(err.Error(), "closed pool") {
		return ErrClosed
	}
	return err
}

type postgresTx struct {
	tx pgx.Tx
	db *postgresDB
}

func (t *postgresTx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := t.tx.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}

func (t *postgresTx) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return t.tx.Query(ctx, query, args...)
}

func (t *postgresTx) InsertTickets(ctx context.Context, tickets []Ticket) ([]int64, error) {
	return t.db.dispatch.insert(ctx, t.tx, tickets)
}

func (d *postgresDB) Dispatch(cfg DispatchConfig) (Dispatcher, error) {
	made, err := newDispatcher[pgx.Tx](riverpgxv5.New(d.pool), cfg)
	if err != nil {
		return nil, err
	}
	d.dispatch = made
	return made, nil
}
