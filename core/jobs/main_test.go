package jobs_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/jobs/jobstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is a database of its own for one test.
type place struct {
	t        *testing.T
	database string // of PostgreSQL, or empty
	dir      string
}

// onEach runs a test on every database that there is.
func onEach(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	jobstest.OnEach(t, func(t *testing.T, database string) { test(t, place{t: t, dir: t.TempDir(), database: database}) })
}

// open opens a queue as a process of its own would. It is closed with the test.
func (p place) open(opt jobs.Options) *jobs.Queue {
	p.t.Helper()
	opt.Database, opt.DataDir = p.database, p.dir
	q, err := jobs.Open(p.ctx(), opt)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { require.NoError(p.t, q.Close()) })
	return q
}

// start opens a queue and starts it.
func (p place) start(opt jobs.Options) *jobs.Queue {
	p.t.Helper()
	q := p.open(opt)
	require.NoError(p.t, q.Start(p.ctx()))
	return q
}

// ctx ends after what no test may take.
func (p place) ctx() context.Context { return patient(p.t) }

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// echo returns its input.
func echo(_ context.Context, a *jobs.Attempt) (json.RawMessage, error) { return a.Job.Input, nil }

func object(s string) json.RawMessage { return json.RawMessage(s) }
