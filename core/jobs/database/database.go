// Package database is what the queue and the monitors need of a database: an
// SQLite file or PostgreSQL, behind the few operations that both have.
//
// Queries use $1, $2, ... and the SQL that both understand. Times are float
// seconds, truth values are 0 and 1. A write is durable when it returns.
//
// SQLite has one writer. Writes that wait at the same time share a transaction,
// and so one flush to disk; the file may be used by several processes of one
// machine.
package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// ErrNoRows is the error of Row.Scan where there is none.
var ErrNoRows = errors.New("no rows")

// ErrClosed is the error of everything after Close.
var ErrClosed = errors.New("the database is closed")

// Rows are the rows of a query. Close may be called more than once.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// Querier runs queries.
type Querier interface {
	// Exec returns how many rows were changed.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	Query(ctx context.Context, query string, args ...any) (Rows, error)
}

// Ticket is a job for River to hand out.
type Ticket struct {
	JobID string
	Queue string
}

// Tx is a transaction that can also take tickets.
type Tx interface {
	Querier
	// InsertTickets makes tickets available and returns their ids, in order.
	InsertTickets(ctx context.Context, tickets []Ticket) ([]int64, error)
}

// DB is an open database.
type DB interface {
	// Write runs fn in a transaction; an error of fn undoes what it did and is
	// returned. fn can be called more than once, and with a context of the
	// database's own.
	Write(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	// Exec is a Write of one statement.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	// Query reads what is committed.
	Query(ctx context.Context, query string, args ...any) (Rows, error)
	// Create makes tables; every statement can be run again, also by several
	// processes at once.
	Create(ctx context.Context, schema func(Dialect) []string) error
	// Dispatch sets River up; see Dispatcher.
	Dispatch(cfg DispatchConfig) (Dispatcher, error)
	// Dialect says how the two differ.
	Dialect() Dialect
	// Ping asks for a sign of life and whether the database can be written.
	Ping(ctx context.Context) error
	Close() error
}

// Dialect holds the fragments of SQL by which the databases differ.
type Dialect struct {
	Serial string // column type of a number that the database gives out
	Blob   string // column type of bytes
	Float  string
	// TicketHolder is the expression for the client that has a ticket of
	// river_job r.
	TicketHolder string
	// SetBack undoes what a clock leaves that was ahead: tickets that were put off
	// and now wait for a time that is far off, the lease of the process that led
	// River, which nobody else could take over, and used tickets that would be kept
	// till then. It makes all tickets that were put off due, as new ones are, or
	// they would come after those for ever.
	SetBack []string
}

// Options say what to open.
type Options struct {
	URL    string // postgres://... or empty
	File   string // of SQLite
	Logger *slog.Logger
}

// Open opens a database and brings River's tables up to date.
func Open(ctx context.Context, opt Options) (DB, error) {
	switch {
	case opt.URL == "":
		return openSQLite(ctx, opt)
	case strings.HasPrefix(opt.URL, "postgres://"), strings.HasPrefix(opt.URL, "postgresql://"):
		return openPostgres(ctx, opt)
	}
	scheme, _, found := strings.Cut(opt.URL, "://")
	if !found {
		return nil, errors.New("the database must be named by a URL: postgres://USER:PASSWORD@HOST/NAME")
	}
	return nil, fmt.Errorf("database %s:// is not known: use postgres://USER:PASSWORD@HOST/NAME", scheme)
}

// QueryRow reads one row, or ErrNoRows.
func QueryRow(ctx context.Context, q interface {
	Query(ctx context.Context, query string, args ...any) (Rows, error)
}, dest []any, query string, args ...any) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}

// Clean makes a text fit for every database: none has a place for text that is not
// UTF-8, PostgreSQL none for a NUL.
func Clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}
