package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
)

func TestLifeOfAJob(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		ctx := p.ctx()
		q := p.open(jobs.Options{Kinds: map[string]jobs.Handler{"ECHO": echo}})
		taken, err := q.Submit(ctx, jobs.Request{Kind: "ECHO", Input: object(`{"b": 2, "a": 1}`), RequestID: "req", APIKeyID: "key", ProjectID: "proj"})
		require.NoError(t, err)
		assert.Regexp(t, `^[0-9a-f]{16}$`, taken.ID)
		now := float64(time.Now().Unix())
		assert.InDelta(t, now, taken.CreatedAt, 60)
		want := jobs.Job{ID: taken.ID, Type: "ECHO", Status: jobs.Queued, CreatedAt: taken.CreatedAt, RequestID: "req", APIKeyID: "key",
			ProjectID: "proj", InputHash: "sha256:43258cff783fe7036d8a43033f830adfc60ec037382473548ac742b888292777", Input: object(`{"b": 2, "a": 1}`)}
		assert.Equal(t, want, taken)
		read, err := q.Job(ctx, taken.ID)
		require.NoError(t, err)
		assert.Equal(t, want, read)
		_, same, err := q.Result(ctx, taken.ID)
		assert.ErrorIs(t, err, jobs.ErrNotFinished)
		assert.Equal(t, taken.ID, same.ID)

		require.NoError(t, q.Start(ctx))
		done, err := q.Wait(ctx, taken.ID)
		require.NoError(t, err)
		require.NotNil(t, done.StartedAt)
		require.NotNil(t, done.FinishedAt)
		assert.LessOrEqual(t, done.CreatedAt, *done.StartedAt)
		assert.LessOrEqual(t, *done.StartedAt, *done.FinishedAt)
		want.Status, want.StartedAt, want.FinishedAt, want.Attempts = jobs.Succeeded, done.StartedAt, done.FinishedAt, 1
		assert.Equal(t, want, done)
		result, _, err := q.Result(ctx, taken.ID)
		require.NoError(t, err)
		assert.Equal(t, `{"b": 2, "a": 1}`, string(result))
	})
}

func TestWhatIsLeftOutOfARequest(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		q := p.open(jobs.Options{})
		job, err := q.Submit(p.ctx(), jobs.Request{Kind: "ANY", Input: object(`{}`)})
		require.NoError(t, err, "a process without handlers takes every kind")
		assert.Regexp(t, `^[0-9a-f]{12}$`, job.RequestID)
		assert.Equal(t, jobs.Anonymous, job.APIKeyID)
		assert.Equal(t, "default", job.ProjectID)
	})
}

func TestHowJobsEnd(t *testing.T) {
	cases := map[string]struct {
		handler jobs.Handler
		status  jobs.Status
		error   string
		path    string
	}{
		"error": {
			handler: func(context.Context, *jobs.Attempt) (json.RawMessage, error) { return nil, errors.New("no luck") },
			status:  jobs.Failed, error: "no luck",
		},
		"error that no database takes": {
			handler: func(context.Context, *jobs.Attempt) (json.RawMessage, error) { return nil, errors.New("a\x00b\xffc") },
			status:  jobs.Failed, error: "a\ufffdb\ufffdc",
		},
		"error that nobody reads to the end": {
			handler: func(context.Context, *jobs.Attempt) (json.RawMessage, error) {
				return nil, errors.New(strings.Repeat("no", 1<<20))
			},
			status: jobs.Failed, error: strings.Repeat("no", 8<<10),
		},
		"panic": {
			handler: func(context.Context, *jobs.Attempt) (json.RawMessage, error) { panic("out of order") },
			status:  jobs.Failed, error: "internal error: out of order",
		},
		"no JSON": {
			handler: func(context.Context, *jobs.Attempt) (json.RawMessage, error) { return object(`{`), nil },
			status:  jobs.Failed, error: "internal error: the result is no JSON",
		},
		"recorded": {
			handler: func(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
				return object(`{}`), a.Record(ctx, "/out/1")
			},
			status: jobs.Succeeded, path: "/out/1",
		},
		"made": {
			handler: func(_ context.Context, a *jobs.Attempt) (json.RawMessage, error) {
				a.Made("/out/2", func(string) error { panic("nothing is to be undone") })
				return object(`{}`), nil
			},
			status: jobs.Succeeded, path: "/out/2",
		},
		"recorded and failed": {
			handler: func(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
				return nil, errors.Join(a.Record(ctx, "/out/3"), errors.New("late"))
			},
			status: jobs.Failed, error: "late",
		},
	}
	onEach(t, func(t *testing.T, p place) {
		kinds := map[string]jobs.Handler{}
		for name, c := range cases {
			kinds[name] = c.handler
		}
		q := p.start(jobs.Options{Kinds: kinds})
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				job, err := q.Submit(p.ctx(), jobs.Request{Kind: name, Input: object(`{}`)})
				require.NoError(t, err)
				job, err = q.Wait(p.ctx(), job.ID)
				require.NoError(t, err)
				assert.Equal(t, c.status, job.Status)
				if c.error != "" {
					require.NotNil(t, job.Error)
					assert.Equal(t, c.error, *job.Error)
					_, again, err := q.Result(p.ctx(), job.ID)
					assert.ErrorIs(t, err, jobs.ErrFailed)
					assert.Equal(t, job.ID, again.ID)
				}
				if c.path == "" {
					assert.Nil(t, job.ResultPath)
				} else {
					require.NotNil(t, job.ResultPath)
					assert.Equal(t, c.path, *job.ResultPath)
				}
			})
		}
	})
}

func TestRefused(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		q := p.open(jobs.Options{Kinds: map[string]jobs.Handler{"ECHO": echo}})
		for name, req := range map[string]jobs.Request{
			"no input":        {Kind: "ECHO"},
			"null":            {Kind: "ECHO", Input: object(`null`)},
			"a list":          {Kind: "ECHO", Input: object(`[]`)},
			"half an object":  {Kind: "ECHO", Input: object(`{"a"`)},
			"more than one":   {Kind: "ECHO", Input: object(`{} {}`)},
			"zero byte":       {Kind: "ECHO", Input: object(`{}`), ProjectID: "a\x00b"},
			"no UTF-8":        {Kind: "ECHO", Input: object(`{}`), RequestID: "\xff"},
			"long key":        {Kind: "ECHO", Input: object(`{}`), IdempotencyKey: strings.Repeat("k", 257)},
			"an unknown kind": {Kind: "DANCE", Input: object(`{}`)},
		} {
			_, err := q.Submit(p.ctx(), req)
			assert.Error(t, err, name)
		}
		_, err := q.Submit(p.ctx(), jobs.Request{Kind: "DANCE", Input: object(`{}`)})
		assert.ErrorIs(t, err, jobs.ErrUnknownKind)
		list, err := q.List(p.ctx(), jobs.Filter{})
		require.NoError(t, err)
		assert.Empty(t, list)

		const unknown = "0123456789abcdef"
		_, err = q.Job(p.ctx(), unknown)
		assert.ErrorIs(t, err, jobs.ErrNotFound)
		_, _, err = q.Result(p.ctx(), unknown)
		assert.ErrorIs(t, err, jobs.ErrNotFound)
		_, err = q.Cancel(p.ctx(), unknown)
		assert.ErrorIs(t, err, jobs.ErrNotFound)
		_, err = q.Events(p.ctx(), unknown)
		assert.ErrorIs(t, err, jobs.ErrNotFound)
		_, err = q.List(p.ctx(), jobs.Filter{After: unknown})
		assert.ErrorIs(t, err, jobs.ErrNotFound)
	})
}

func TestIdempotencyKey(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		q := p.open(jobs.Options{})
		submit := func(req jobs.Request) (jobs.Job, error) {
			req.Kind = "ECHO"
			return q.Submit(p.ctx(), req)
		}
		first, err := submit(jobs.Request{Input: object(`{"a": 1}`), IdempotencyKey: "k", ProjectID: "p"})
		require.NoError(t, err)
		again, err := submit(jobs.Request{Input: object(`{ "a":1}`), IdempotencyKey: "k", ProjectID: "p"})
		require.NoError(t, err)
		assert.Equal(t, first.ID, again.ID)
		_, err = submit(jobs.Request{Input: object(`{"a": 2}`), IdempotencyKey: "k", ProjectID: "p"})
		assert.ErrorIs(t, err, jobs.ErrKeyReused)
		_, err = q.Submit(p.ctx(), jobs.Request{Kind: "OTHER", Input: object(`{"a": 1}`), IdempotencyKey: "k", ProjectID: "p"})
		assert.ErrorIs(t, err, jobs.ErrKeyReused)
		for _, other := range []jobs.Request{
			{Input: object(`{"a": 1}`), IdempotencyKey: "k", ProjectID: "q"},
			{Input: object(`{"a": 1}`), IdempotencyKey: "k", ProjectID: "p", APIKeyID: "somebody"},
			{Input: object(`{"a": 1}`), IdempotencyKey: "", ProjectID: "p"},
			{Input: object(`{"a": 1}`), IdempotencyKey: "", ProjectID: "p"},
		} {
			job, err := submit(other)
			require.NoError(t, err)
			assert.NotEqual(t, first.ID, job.ID)
		}

		ids := make([]string, 16)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				job, err := submit(jobs.Request{Input: object(`{}`), IdempotencyKey: "at once"})
				assert.NoError(t, err)
				ids[i] = job.ID
			})
		}
		wg.Wait()
		for _, id := range ids {
			assert.Equal(t, ids[0], id)
		}
		list, err := q.List(p.ctx(), jobs.Filter{})
		require.NoError(t, err)
		assert.Len(t, list, 6)
	})
}

func TestList(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		q := p.open(jobs.Options{})
		var ids []string // the newest first
		for i := range 120 {
			job, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`), ProjectID: fmt.Sprintf("p%d", i%3)})
			require.NoError(t, err)
			ids = append([]string{job.ID}, ids...)
		}
		for _, id := range ids[:30] {
			_, err := q.Cancel(p.ctx(), id)
			require.NoError(t, err)
		}
		list := func(f jobs.Filter) []string {
			found, err := q.List(p.ctx(), f)
			require.NoError(t, err)
			out := []string{}
			for _, j := range found {
				out = append(out, j.ID)
			}
			return out
		}
		every := func(ids []string, n int) (out []string) {
			for i := 0; i < len(ids); i += n {
				out = append(out, ids[i])
			}
			return out
		}
		assert.Equal(t, ids[:jobs.DefaultList], list(jobs.Filter{}))
		assert.Equal(t, ids, list(jobs.Filter{Limit: 1000}))
		assert.Equal(t, ids[:7], list(jobs.Filter{Limit: 7}))
		assert.Equal(t, ids[7:14], list(jobs.Filter{Limit: 7, After: ids[6]}))
		assert.Empty(t, list(jobs.Filter{After: ids[119]}))
		assert.Equal(t, ids[:30], list(jobs.Filter{Status: jobs.Failed}))
		assert.Equal(t, ids[30:80], list(jobs.Filter{Status: jobs.Queued}))
		assert.Empty(t, list(jobs.Filter{Status: jobs.Running}))
		assert.Equal(t, every(ids, 3), list(jobs.Filter{ProjectID: "p2"}))
		assert.Equal(t, every(ids[30:], 3), list(jobs.Filter{ProjectID: "p2", Status: jobs.Queued}))
		assert.Equal(t, every(ids[30:], 3)[5:9], list(jobs.Filter{ProjectID: "p2", Status: jobs.Queued, After: every(ids[30:], 3)[4], Limit: 4}))
		assert.Empty(t, list(jobs.Filter{ProjectID: "p9"}))

		s, err := q.Stats(p.ctx())
		require.NoError(t, err)
		assert.Equal(t, jobs.Stats{Queued: 90, Failed: 30}, s)
	})
}

func TestQueueFull(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		q := p.open(jobs.Options{MaxQueued: 3})
		var last jobs.Job
		for range 3 {
			var err error
			last, err = q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
			require.NoError(t, err)
		}
		_, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
		assert.ErrorIs(t, err, jobs.ErrQueueFull)
		_, err = q.Cancel(p.ctx(), last.ID)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			_, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
			return err == nil
		}, time.Minute, time.Millisecond, "there is room again")
	})
}

func TestClosed(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		q := p.start(jobs.Options{Kinds: map[string]jobs.Handler{"ECHO": echo}})
		require.NoError(t, q.Ready(p.ctx()))
		job, err := q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
		require.NoError(t, err)
		_, err = q.Wait(p.ctx(), job.ID)
		require.NoError(t, err)
		require.NoError(t, q.Drain(p.ctx()))
		assert.ErrorIs(t, q.Ready(p.ctx()), jobs.ErrClosed)
		_, err = q.Submit(p.ctx(), jobs.Request{Kind: "ECHO", Input: object(`{}`)})
		assert.ErrorIs(t, err, jobs.ErrClosed)
		assert.ErrorIs(t, q.Start(p.ctx()), jobs.ErrClosed)
		_, err = q.Job(p.ctx(), job.ID)
		assert.NoError(t, err, "a queue that drains can be read")
		require.NoError(t, q.Close())
		require.NoError(t, q.Close())
		_, err = q.Events(p.ctx(), job.ID)
		assert.ErrorIs(t, err, jobs.ErrClosed)
	})
}

func TestOpenRefuses(t *testing.T) {
	for name, opt := range map[string]jobs.Options{
		"nothing named":     {},
		"unknown database":  {Database: "mysql://secret@localhost/x"},
		"no URL":            {Database: "localhost"},
		"unreadable URL":    {Database: "postgres://u:secret@host:port/x"},
		"nobody there":      {Database: "postgres://u:secret@127.0.0.1:1/x?connect_timeout=2"},
		"folder in a file":  {DataDir: "/dev/null/x"},
		"folder is no data": {DataDir: "/dev/null"},
	} {
		q, err := jobs.Open(patient(t), opt)
		require.Error(t, err, name)
		assert.Nil(t, q, name)
		assert.NotContains(t, err.Error(), "secret", name)
	}
}
