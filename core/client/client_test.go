package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what a test waits for; nothing is expected to take as long.
const patience = 30 * time.Second

// script answers requests one after the other; the last step goes on.
type script struct {
	t     *testing.T
	mu    sync.Mutex
	steps []http.HandlerFunc
	seen  []*http.Request
	body  []string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	assert.NoError(s.t, err)
	s.mu.Lock()
	s.seen, s.body = append(s.seen, r), append(s.body, string(data))
	step := s.steps[min(len(s.seen), len(s.steps))-1]
	s.mu.Unlock()
	step(w, r)
}

func (s *script) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// scripted is a client of a server that answers as told.
func scripted(t *testing.T, steps ...http.HandlerFunc) (*client.Client, *script) {
	t.Helper()
	s := &script{t: t, steps: steps}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, client.Options{APIKey: "secret", ProjectID: "p", FirstWait: time.Millisecond, LongestWait: 2 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, s
}

func ok(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func refuse(status int, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-ID", "r1")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error": {"type": %q, "message": "said so", "request_id": "r1"}}`, kind)
	}
}

// drop breaks the connection without an answer.
func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// half breaks the connection in the middle of an answer.
func half(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"job_id":`)
	panic(http.ErrAbortHandler)
}

const job = `{"job_id": "0123456789abcdef", "status": "%s", "type": "RETRAIN", "error": null}`

// TestRepeats: what is safe to repeat is, what is not is not.
func TestRepeats(t *testing.T) {
	calls := map[string]func(context.Context, *client.Client) error{
		"read": func(ctx context.Context, c *client.Client) error {
			_, err := c.Job(ctx, "0123456789abcdef")
			return err
		},
		"submit": func(ctx context.Context, c *client.Client) error {
			_, err := c.SubmitRetrainJob(ctx, client.RetrainRequest{DatasetDir: "d"})
			return err
		},
		"cancel": func(ctx context.Context, c *client.Client) error {
			_, err := c.CancelJob(ctx, "0123456789abcdef")
			return err
		},
		"retrain": func(ctx context.Context, c *client.Client) error {
			_, err := c.Retrain(ctx, client.RetrainRequest{DatasetDir: "d"})
			return err
		},
		"start": func(ctx context.Context, c *client.Client) error {
			_, err := c.StartMonitor(ctx, client.MonitorRequest{ConfigPath: "p"})
			return err
		},
	}
	for _, c := range []struct {
		name   string
		fault  http.HandlerFunc
		safe   int // tries of calls that are safe to repeat
		unsafe int // and of the others
	}{
		{"busy", refuse(429, "RATE_LIMITED"), 2, 2},
		{"not ready", refuse(503, "NOT_READY"), 2, 2},
		{"bad gateway", refuse(502, ""), 2, 1},
		{"broken connection", drop, 2, 1},
		{"broken answer", half, 2, 1},
		{"the server's fault", refuse(500, "INTERNAL_ERROR"), 1, 1},
		{"invalid", refuse(422, "VALIDATION_ERROR"), 1, 1},
		{"not found", refuse(404, "NOT_FOUND"), 1, 1},
	} {
		for name, call := range calls {
			t.Run(c.name+" "+name, func(t *testing.T) {
				cl, s := scripted(t, c.fault, ok("{}"))
				err := call(t.Context(), cl)
				want := c.safe
				if name == "retrain" || name == "start" {
					want = c.unsafe
				}
				require.Len(t, s.requests(), want)
				assert.Equal(t, want == 2, err == nil, "%v", err)
				first := s.requests()[0]
				assert.Equal(t, "Bearer secret", first.Header.Get("Authorization"))
				assert.Equal(t, "p", first.Header.Get("X-Project-ID"))
				if name == "submit" {
					key := first.Header.Get("Idempotency-Key")
					assert.NotEmpty(t, key)
					for i, r := range s.requests() {
						assert.Equal(t, key, r.Header.Get("Idempotency-Key"), "the same when it is repeated")
						assert.Equal(t, s.body[0], s.body[i])
					}
				}
			})
		}
	}
}

// TestNobodyListens: a server that was never reached is tried again, whatever is
// asked for.
func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	var dials atomic.Int32
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	c, err := client.New("http://"+address, client.Options{HTTP: &http.Client{Transport: transport}, Retries: 2, FirstWait: time.Millisecond})
	require.NoError(t, err)
	_, err = c.Retrain(t.Context(), client.RetrainRequest{})
	require.Error(t, err)
	assert.EqualValues(t, 3, dials.Load())
}

// TestGivesUp: after its tries a client tells the last answer, and a negative
// number means one try.
func TestGivesUp(t *testing.T) {
	for retries, want := range map[int]int{2: 3, -1: 1} {
		s := &script{t: t, steps: []http.HandlerFunc{refuse(503, "NOT_READY")}}
		server := httptest.NewServer(s)
		c, err := client.New(server.URL, client.Options{Retries: retries, FirstWait: time.Microsecond})
		require.NoError(t, err)
		_, err = c.Jobs(t.Context(), client.JobFilter{})
		assert.ErrorIs(t, err, client.ErrNotReady)
		assert.Len(t, s.requests(), want)
		c.Close()
		server.Close()
	}
}

// TestEnds: a call ends with its context, also while it waits.
func TestEnds(t *testing.T) {
	asked := make(chan struct{}, 10)
	c, _ := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "600")
		refuse(429, "RATE_LIMITED")(w, r)
		asked <- struct{}{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Job(ctx, "x")
		done <- err
	}()
	<-asked
	cancel()
	select {
	case err := <-done:
		assert.ErrorIs(t, err, context.Canceled)
	case <-time.After(patience):
		t.Fatal("it goes on waiting")
	}
}

// TestErrors: refusals have a kind, and all that the server said.
func TestErrors(t *testing.T) {
	for status, want := range map[int]error{400: client.ErrInvalid, 422: client.ErrInvalid, 413: client.ErrInvalid, 401: client.ErrAuth, 403: client.ErrAuth,
		404: client.ErrNotFound, 409: client.ErrNotFinished, 500: client.ErrServer, 501: client.ErrServer} {
		c, _ := scripted(t, refuse(status, "SOME_TYPE"))
		_, err := c.Job(t.Context(), "x/../y")
		assert.ErrorIs(t, err, want, status)
		var refused *client.Error
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, client.Error{Method: "GET", Path: "/v1/jobs/x%2F..%2Fy", Status: status, Type: "SOME_TYPE", Message: "said so", RequestID: "r1"}, *refused)
		assert.Equal(t, fmt.Sprintf("GET /v1/jobs/x%%2F..%%2Fy: %d: said so (request r1)", status), err.Error())
	}
	c, _ := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(404)
		_, _ = io.WriteString(w, "<html>a proxy</html>")
	})
	_, err := c.Job(t.Context(), "x")
	assert.ErrorIs(t, err, client.ErrNotFound)
	assert.Equal(t, "GET /v1/jobs/x: 404: Not Found", err.Error())
	c, s := scripted(t, ok("no JSON"))
	_, err = c.Job(t.Context(), "x")
	assert.ErrorContains(t, err, "not what was expected")
	assert.Len(t, s.requests(), 1)
}

// TestWaitForJob: it looks until the job has ended.
func TestWaitForJob(t *testing.T) {
	state := func(s string) http.HandlerFunc { return ok(fmt.Sprintf(job, s)) }
	c, s := scripted(t, state("QUEUED"), state("RUNNING"), refuse(503, "NOT_READY"), state("RUNNING"), state("SUCCEEDED"))
	j, err := c.WaitForJob(t.Context(), "0123456789abcdef")
	require.NoError(t, err)
	assert.Equal(t, "SUCCEEDED", j.Status)
	assert.Len(t, s.requests(), 5)

	c, _ = scripted(t, state("QUEUED"), ok(`{"job_id": "j1", "status": "FAILED", "error": "no luck"}`))
	j, err = c.WaitForJob(t.Context(), "j1")
	assert.ErrorIs(t, err, client.ErrJobFailed)
	assert.EqualError(t, err, "job j1 failed: no luck")
	assert.Equal(t, "FAILED", j.Status)

	asked := make(chan struct{}, 1000)
	c, _ = scripted(t, func(w http.ResponseWriter, r *http.Request) {
		state("RUNNING")(w, r)
		asked <- struct{}{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	_, err = c.WaitForJob(ctx, "j1")
	assert.ErrorIs(t, err, context.Canceled)
}

// TestDocuments: requests leave out what is not set, and answers are read whole.
func TestDocuments(t *testing.T) {
	c, s := scripted(t, ok(`{"job_type": "RETRAIN", "run_dir": "d", "decision": "SHIP", "exit_code": 0, "eval_summary": {"f1": 0.5}, "artifacts": {"usage": "u"}, "job_id": "j"}`))
	res, err := c.Retrain(t.Context(), client.RetrainRequest{DatasetDir: "d", Seed: json.Number("-123456789012345678901234567890")})
	require.NoError(t, err)
	assert.Equal(t, &client.RetrainResult{JobType: "RETRAIN", RunDir: "d", Decision: "SHIP", EvalSummary: map[string]float64{"f1": 0.5},
		Artifacts: map[string]string{"usage": "u"}, JobID: "j"}, res)
	assert.JSONEq(t, `{"dataset_dir": "d", "seed": -123456789012345678901234567890}`, s.body[0])

	c, s = scripted(t, ok(`{"jobs": [`+fmt.Sprintf(job, "FAILED")+`]}`))
	list, err := c.Jobs(t.Context(), client.JobFilter{Status: "FAILED", Limit: 7, After: "a", ProjectID: "q"})
	require.NoError(t, err)
	assert.Len(t, list, 1)
	assert.Equal(t, "after=a&limit=7&project_id=q&status=FAILED", s.requests()[0].URL.RawQuery)

	c, s = scripted(t, ok(`{"monitor_id": "m", "status": "running", "ticks": [{"tick_number": 3}], "total_ticks": 9}`))
	started, err := c.StartMonitor(t.Context(), client.MonitorRequest{ConfigPath: "pipeline.yaml"})
	require.NoError(t, err)
	assert.Equal(t, "m", started.MonitorID)
	assert.JSONEq(t, `{"config_path": "pipeline.yaml"}`, s.body[0])
	history, err := c.MonitorHistory(t.Context(), "m", 5)
	require.NoError(t, err)
	assert.Equal(t, 9, history.TotalTicks)
	assert.Equal(t, 3, history.Ticks[0].TickNumber)
	_, err = c.StopMonitor(t.Context(), "m")
	require.NoError(t, err)
	status, err := c.MonitorStatus(t.Context(), "m")
	require.NoError(t, err)
	assert.Equal(t, "running", status.Status)
	var paths []string
	for _, r := range s.requests() {
		paths = append(paths, r.Method+" "+r.URL.RequestURI())
	}
	assert.Equal(t, []string{"POST /v1/monitor/start", "GET /v1/monitor/history?last_n=5&monitor_id=m", "POST /v1/monitor/stop?monitor_id=m",
		"GET /v1/monitor/status?monitor_id=m"}, paths)
}

// TestReady: a server that is not ready is asked once, and says why.
func TestReady(t *testing.T) {
	c, s := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(503)
		_, _ = io.WriteString(w, `{"error": {"type": "NOT_READY", "message": "no"}, "status": "not_ready", "checks": {"queue": "is not open yet"}}`)
	}, ok(`{"status": "ready", "checks": {"queue": "ok"}}`))
	r, err := c.Ready(t.Context())
	assert.ErrorIs(t, err, client.ErrNotReady)
	assert.Equal(t, "is not open yet", r.Checks["queue"])
	r, err = c.Ready(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "ready", r.Status)
	assert.Len(t, s.requests(), 2)
	c, s = scripted(t, refuse(503, "NOT_READY"), ok(`{"status": "ok"}`))
	_, err = c.Health(t.Context())
	assert.ErrorIs(t, err, client.ErrNotReady)
	h, err := c.Health(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "ok", h.Status)
	assert.Len(t, s.requests(), 2)
}

// TestJobEvents: events in order, comments left out, and an end that is one.
func TestJobEvents(t *testing.T) {
	text := "event: state\ndata: {\"status\": \"RUNNING\"}\n\n: still here\n\nevent: step\ndata: {\"step\":1}\n\n"
	last := "event: state\ndata: {\"status\": \"SUCCEEDED\"}\n\n"
	read := func(c *client.Client) (kinds []string, err error) {
		err = c.JobEvents(t.Context(), "j", func(e client.Event) error {
			kinds = append(kinds, e.Type+" "+string(e.Data))
			return nil
		})
		return kinds, err
	}
	c, _ := scripted(t, ok(text+last))
	kinds, err := read(c)
	require.NoError(t, err)
	assert.Equal(t, []string{`state {"status": "RUNNING"}`, `step {"step":1}`, `state {"status": "SUCCEEDED"}`}, kinds)

	c, _ = scripted(t, ok(text))
	_, err = read(c)
	assert.ErrorContains(t, err, "broke off")
	c, _ = scripted(t, refuse(404, "NOT_FOUND"))
	_, err = read(c)
	assert.ErrorIs(t, err, client.ErrNotFound)
	c, _ = scripted(t, ok(text+last))
	enough := errors.New("enough")
	assert.ErrorIs(t, c.JobEvents(t.Context(), "j", func(client.Event) error { return enough }), enough)
}

func TestNew(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "http://x?y", "http://x#y", "http://\x7f"} {
		_, err := client.New(bad, client.Options{})
		assert.Error(t, err, bad)
	}
	for _, good := range []string{"http://127.0.0.1:8080", "https://host/prefix/"} {
		c, err := client.New(good, client.Options{})
		require.NoError(t, err)
		c.Close()
	}
}

// FuzzEvents: no stream makes the client fall over or go on for ever.
func FuzzEvents(f *testing.F) {
	f.Add("event: state\ndata: {\"status\": \"SUCCEEDED\"}\n\n")
	f.Add("event\n\ndata\n\n:\n\r\n\x00")
	f.Add(strings.Repeat("data: x\n", 1000))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := client.New("http://fuzz", client.Options{HTTP: &http.Client{Transport: answer(text)}})
		require.NoError(t, err)
		_ = c.JobEvents(t.Context(), "j", func(e client.Event) error {
			assert.NotEmpty(t, e.Type)
			return nil
		})
	})
}

// answer is a transport without a network.
type answer string

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(string(a))), Request: r}, nil
}
