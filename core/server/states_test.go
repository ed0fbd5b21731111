package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server"
)

// gate is a kind of job that a test lets go on.
type gate struct {
	begun chan *jobs.Attempt
	end   chan error // what the next one ends with
}

func newGate() *gate { return &gate{begun: make(chan *jobs.Attempt, 100), end: make(chan error, 100)} }

func (g *gate) handle(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
	g.begun <- a
	select {
	case err := <-g.end:
		return json.RawMessage(`{"job_type": "RETRAIN", "number": 1.0}`), err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// gated is a service with one worker that waits at the gate.
func gated(t *testing.T, with setup) (*service, *gate) {
	g := newGate()
	with.kinds = map[string]jobs.Handler{"RETRAIN": g.handle}
	with.queue = func(o *jobs.Options) { o.Workers, o.MaxQueued = 1, 3 }
	return start(t, with), g
}

func (s *service) submit(extra ...string) string {
	s.t.Helper()
	a := s.post("/v1/jobs/retrain", s.retrainBody(s.dataset("data"), extra...))
	require.Equal(s.t, 200, a.status, "%s", a.body)
	return a.doc["job_id"].(string)
}

func (s *service) state(id string) string {
	return s.get("/v1/jobs/" + id).doc["status"].(string)
}

// TestJobStates walks a job through its states, and the answers in each.
func TestJobStates(t *testing.T) {
	s, g := gated(t, setup{})
	running := s.submit()
	<-g.begun
	a := s.post("/v1/jobs/retrain", s.retrainBody(s.dataset("data"), `"project_id": "p"`), "X-Request-ID", "asked")
	require.Equal(t, 200, a.status)
	assert.Equal(t, []string{"job_id", "status", "request_id", "project_id"}, keysOf(t, a.body))
	queued := a.doc["job_id"].(string)
	assert.Regexp(t, "^[0-9a-f]{16}$", queued)
	assert.Equal(t, map[string]any{"job_id": queued, "status": "QUEUED", "request_id": "asked", "project_id": "p"}, a.doc)

	for id, state := range map[string]string{running: "RUNNING", queued: "QUEUED"} {
		s.until(func() bool { return s.state(id) == state })
		a := s.get("/v1/jobs/" + id + "/result")
		assert.Equal(t, 409, a.status, state)
		assert.Equal(t, "CONFLICT", a.failure().Type)
	}
	meta := s.get("/v1/jobs/" + queued)
	assert.Equal(t, []string{"job_id", "type", "status", "created_at", "started_at", "finished_at", "request_id", "api_key_id", "project_id",
		"input_hash", "result_path", "error"}, keysOf(t, meta.body))
	assert.Equal(t, "RETRAIN", meta.doc["type"])
	assert.Equal(t, "asked", meta.doc["request_id"])
	assert.Equal(t, "anonymous", meta.doc["api_key_id"])
	assert.Contains(t, meta.doc["created_at"].(json.Number).String(), ".", "a float")
	for _, name := range []string{"started_at", "finished_at", "result_path", "error"} {
		assert.Nil(t, meta.doc[name], name)
	}

	g.end <- nil
	s.until(func() bool { return s.state(running) == "SUCCEEDED" })
	result := s.get("/v1/jobs/" + running + "/result")
	assert.Equal(t, 200, result.status)
	assert.Equal(t, []string{"job_type", "number", "job_id"}, keysOf(t, result.body))
	assert.Equal(t, running, result.doc["job_id"])
	assert.Equal(t, json.Number("1.0"), result.doc["number"], "numbers stay as they were written")
	meta = s.get("/v1/jobs/" + running)
	assert.NotNil(t, meta.doc["started_at"])
	assert.NotNil(t, meta.doc["finished_at"])

	<-g.begun
	g.end <- errors.New("no luck with Bearer abc")
	s.until(func() bool { return s.state(queued) == "FAILED" })
	assert.Equal(t, "no luck with Bearer ***REDACTED***", s.get("/v1/jobs/" + queued).doc["error"])
	result = s.get("/v1/jobs/" + queued + "/result")
	assert.Equal(t, 404, result.status)
	assert.Contains(t, result.failure().Message, "no luck")

	for _, id := range []string{"0123456789abcdef", "x", "0123456789ABCDEF", "..", "%2e%2e", "0123456789abcdef%2fx", strings.Repeat("a", 3000)} {
		for _, rest := range []string{"", "/result", "/events"} {
			a := s.get("/v1/jobs/" + id + rest)
			assert.Equal(t, 404, a.status, id+rest)
			assert.Equal(t, "NOT_FOUND", a.failure().Type)
		}
		assert.Equal(t, 404, s.post("/v1/jobs/"+id+"/cancel", "").status, id)
	}
}

// TestList: newest first, with a limit and a state.
func TestList(t *testing.T) {
	s, g := gated(t, setup{})
	first := s.submit()
	<-g.begun
	second := s.submit(`"project_id": "p"`)
	third := s.submit()
	ids := func(query string) []string {
		a := s.get("/v1/jobs" + query)
		require.Equal(t, 200, a.status, "%s", a.body)
		assert.Equal(t, []string{"jobs"}, keysOf(t, a.body))
		out := []string{}
		for _, j := range a.doc["jobs"].([]any) {
			out = append(out, j.(map[string]any)["job_id"].(string))
		}
		return out
	}
	assert.Equal(t, []string{third, second, first}, ids(""))
	assert.Equal(t, []string{third, second}, ids("?limit=2"))
	assert.Equal(t, []string{first}, ids("?after="+second))
	assert.Equal(t, []string{third, second}, ids("?status=QUEUED&limit=500"))
	assert.Equal(t, []string{first}, ids("?status=RUNNING"))
	assert.Equal(t, []string{}, ids("?status=FAILED"))
	assert.Equal(t, []string{second}, ids("?project_id=p"))
	for _, bad := range []string{"limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "limit=1.0", "limit=999999999999999999999", "limit=1&limit=2",
		"status=queued", "status=", "status=DONE", "status=QUEUED%20", "after=x", "project_id=..%2f", "status=%zz", "limit=1;status=QUEUED"} {
		a := s.get("/v1/jobs?" + bad)
		assert.Equal(t, 422, a.status, bad)
		assert.Equal(t, "VALIDATION_ERROR", a.failure().Type, bad)
	}
	assert.Equal(t, "query -> limit: Input should be less than or equal to 500; query -> status: Input should be 'QUEUED', 'RUNNING', 'SUCCEEDED' or 'FAILED'",
		s.get("/v1/jobs?limit=501&status=x").failure().Message)
}

// TestCancel: what waits ends at once, what runs is told, what has ended stays.
func TestCancel(t *testing.T) {
	s, g := gated(t, setup{})
	running := s.submit()
	<-g.begun
	queued := s.submit()
	a := s.post("/v1/jobs/"+queued+"/cancel", "")
	assert.Equal(t, 200, a.status, "%s", a.body)
	assert.Equal(t, "FAILED", a.doc["status"])
	assert.Equal(t, "cancelled", a.doc["error"])
	assert.Equal(t, 200, s.post("/v1/jobs/"+running+"/cancel", "").status)
	s.until(func() bool { return s.state(running) == "FAILED" })
	a = s.post("/v1/jobs/"+running+"/cancel", "")
	assert.Equal(t, 409, a.status)
	assert.Equal(t, "CONFLICT", a.failure().Type)
}

// TestQueueFull: 429 with Retry-After, and nothing is lost.
func TestQueueFull(t *testing.T) {
	s, g := gated(t, setup{options: func(o *server.Options) { o.Grace = patience }})
	s.submit()
	<-g.begun
	submit := func() int { return s.post("/v1/jobs/retrain", s.retrainBody(s.dataset("data"))).status }
	for range 3 { // the queue may count one that runs as waiting for a moment
		s.until(func() bool { return submit() == 200 })
	}
	a := s.post("/v1/jobs/retrain", s.retrainBody(s.dataset("data")))
	assert.Equal(t, 429, a.status, "%s", a.body)
	assert.Equal(t, "RATE_LIMITED", a.failure().Type)
	assert.Regexp(t, "^[1-9][0-9]*$", a.header.Get("Retry-After"))
	for range 4 {
		g.end <- nil
	}
	s.until(func() bool { return len(s.get("/v1/jobs?status=SUCCEEDED").doc["jobs"].([]any)) == 4 })
}

// TestIdempotencyKey: the same key and request are one job.
func TestIdempotencyKey(t *testing.T) {
	s, g := gated(t, setup{})
	data := s.dataset("data")
	submit := func(body string) *answer {
		return s.post("/v1/jobs/retrain", body, "Idempotency-Key", "k1")
	}
	first := submit(s.retrainBody(data))
	require.Equal(t, 200, first.status, "%s", first.body)
	<-g.begun
	again := submit(s.retrainBody(data))
	assert.Equal(t, 200, again.status)
	assert.Equal(t, first.doc["job_id"], again.doc["job_id"])
	other := submit(s.retrainBody(data, `"seed": 7`))
	assert.Equal(t, 422, other.status)
	assert.Contains(t, other.failure().Message, "header -> Idempotency-Key")
	assert.Equal(t, 422, s.post("/v1/jobs/retrain", s.retrainBody(data), "Idempotency-Key", strings.Repeat("k", 300)).status)
	assert.Len(t, s.get("/v1/jobs").doc["jobs"], 1)
	g.end <- nil
}

// stream reads server-sent events.
type stream struct {
	t     *testing.T
	lines *bufio.Scanner
	close func()
}

func (s *service) stream(t *testing.T, path string) *stream {
	resp, err := s.http.Get(s.base + path)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	out := &stream{t: t, lines: bufio.NewScanner(resp.Body), close: func() { _ = resp.Body.Close() }}
	t.Cleanup(out.close)
	return out
}

// next returns the next event, or a comment; both are empty at the end.
func (s *stream) next() (kind, data string) {
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch {
		case name == "event":
			kind = value
		case name == "data":
			data = value
		case strings.HasPrefix(s.lines.Text(), ":"):
			kind = "comment"
		case s.lines.Text() == "" && kind != "":
			return kind, data
		}
	}
	return "", ""
}

// expect skips comments.
func (s *stream) expect() (kind, data string) {
	for kind = "comment"; kind == "comment"; {
		kind, data = s.next()
	}
	return kind, data
}

func (s *stream) state() string {
	s.t.Helper()
	kind, data := s.expect()
	require.Equal(s.t, "state", kind)
	var j struct{ Status string }
	require.NoError(s.t, json.Unmarshal([]byte(data), &j))
	return j.Status
}

// TestEvents: the present state, what the job reports, heartbeats, the last
// state, the end.
func TestEvents(t *testing.T) {
	s, g := gated(t, setup{})
	blocker := s.submit()
	<-g.begun
	id := s.submit()
	e := s.stream(t, "/v1/jobs/"+id+"/events")
	assert.Equal(t, "QUEUED", e.state())
	kind, _ := e.next()
	assert.Equal(t, "comment", kind)
	g.end <- nil
	attempt := <-g.begun
	assert.Equal(t, "RUNNING", e.state())
	attempt.Report(jobs.Event{Type: "step", Data: json.RawMessage("{\n\"step\": 3,\n\"loss\": 0.5}")})
	kind, data := e.expect()
	assert.Equal(t, "step", kind)
	assert.Equal(t, `{"step":3,"loss":0.5}`, data)
	g.end <- nil
	assert.Equal(t, "SUCCEEDED", e.state())
	kind, _ = e.next()
	assert.Empty(t, kind, "the stream ends")

	e = s.stream(t, "/v1/jobs/"+blocker+"/events")
	assert.Equal(t, "SUCCEEDED", e.state(), "a job that has ended tells so at once")
	kind, _ = e.next()
	assert.Empty(t, kind)
}

// TestStreamLimit: more streams than the server keeps are refused, and a client
// that goes frees its place.
func TestStreamLimit(t *testing.T) {
	s, g := gated(t, setup{options: func(o *server.Options) { o.MaxStreams = 1 }})
	id := s.submit()
	<-g.begun
	e := s.stream(t, "/v1/jobs/"+id+"/events")
	assert.Equal(t, "RUNNING", e.state())
	a := s.get("/v1/jobs/" + id + "/events")
	assert.Equal(t, 429, a.status)
	assert.NotEmpty(t, a.header.Get("Retry-After"))
	assert.Equal(t, 200, s.get("/v1/jobs/"+id).status, "streams take no places of other requests")
	e.close()
	var second *http.Response
	s.until(func() bool {
		resp, err := s.http.Get(s.base + "/v1/jobs/" + id + "/events")
		require.NoError(t, err)
		if second = resp; resp.StatusCode == 200 {
			return true
		}
		require.NoError(t, resp.Body.Close())
		return false
	})
	require.NoError(t, second.Body.Close())
	g.end <- nil
}

// TestReady: 503 with the reasons until the queue is open; what needs no queue
// is answered meanwhile, and the queue is tried again.
func TestReady(t *testing.T) {
	open := make(chan struct{})
	var s *service
	var with setup
	tries := make(chan struct{}, 100)
	with.open = func(ctx context.Context) (*server.Backend, error) {
		tries <- struct{}{}
		select {
		case <-open:
			return openQueue(t, s.root, setup{})(ctx)
		default:
			return nil, errors.New("connect to postgres://user:secret@db: refused")
		}
	}
	s = start(t, with)
	for range 2 {
		<-tries
	}
	data := s.dataset("data")
	assert.Equal(t, 200, s.get("/health").status)
	assert.Equal(t, map[string]any{"status": "ok"}, s.get("/health").doc)
	a := s.get("/ready")
	assert.Equal(t, 503, a.status)
	assert.Equal(t, "NOT_READY", a.failure().Type)
	assert.Equal(t, map[string]any{"accepting": "ok", "queue": "cannot be opened", "disk": "ok"}, a.doc["checks"])
	assert.NotContains(t, string(a.body), "secret")
	for _, a := range []*answer{s.post("/v1/jobs/retrain", s.retrainBody(data)), s.get("/v1/jobs"), s.get("/v1/jobs/0123456789abcdef"),
		s.get("/v1/jobs/0123456789abcdef/result"), s.get("/v1/jobs/0123456789abcdef/events"), s.get("/v1/monitor/status?monitor_id=0123456789ab")} {
		assert.Equal(t, 503, a.status)
		assert.Equal(t, "NOT_READY", a.failure().Type)
		assert.NotEmpty(t, a.header.Get("Retry-After"))
	}
	assert.Equal(t, 200, s.post("/v1/retrain", s.retrainBody(data)).status)
	assert.Contains(t, string(s.get("/metrics").body), "\nverifily_ready 0\n")
	close(open)
	s.until(func() bool { return s.get("/ready").status == 200 })
	a = s.get("/ready")
	assert.Equal(t, "ready", a.doc["status"])
	assert.Equal(t, map[string]any{"accepting": "ok", "queue": "ok", "disk": "ok"}, a.doc["checks"])
}

// TestCannotOpen: what only a person can mend ends the server.
func TestCannotOpen(t *testing.T) {
	s := start(t, setup{open: func(context.Context) (*server.Backend, error) {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "open queue", Reason: "no such driver"}}
	}})
	err := s.stop()
	var wrong *fault.ConfigError
	assert.ErrorAs(t, err, &wrong)
}

// TestReadOnly: /ready says when the data folder cannot be written.
func TestReadOnly(t *testing.T) {
	s := start(t, setup{options: func(o *server.Options) { o.DataDir = filepath.Join(o.DataDir, "gone") }, open: func(context.Context) (*server.Backend, error) {
		return nil, errors.New("not yet")
	}})
	assert.Equal(t, "the data folder cannot be written", s.get("/ready").doc["checks"].(map[string]any)["disk"])
	require.NoError(t, os.MkdirAll(filepath.Join(s.root, "gone"), 0o755))
	assert.Equal(t, "ok", s.get("/ready").doc["checks"].(map[string]any)["disk"])
	entries, err := os.ReadDir(filepath.Join(s.root, "gone"))
	require.NoError(t, err)
	assert.Empty(t, entries, "nothing is left of the check")
}

// TestDrain: a server that stops refuses new work, lets what runs finish, and
// ends without an error.
func TestDrain(t *testing.T) {
	s, g := gated(t, setup{options: func(o *server.Options) { o.Grace = patience }})
	id := s.submit()
	<-g.begun
	e := s.stream(t, "/v1/jobs/"+id+"/events")
	assert.Equal(t, "RUNNING", e.state())
	// A request that is on its way when the server stops is told so.
	late, body := s.halfway(t, s.retrainBody(s.dataset("data")))
	done := make(chan error, 1)
	go func() { done <- s.stop() }()
	kind, _ := e.expect()
	assert.Empty(t, kind, "streams end at once")
	_, err := late.Write([]byte(body))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(late), nil)
	require.NoError(t, err)
	assert.Equal(t, 503, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	// So is who comes while the job has not ended.
	s.http.Transport.(*http.Transport).DisableKeepAlives = true
	a := s.get("/ready")
	assert.Equal(t, 503, a.status)
	assert.Equal(t, "the server is stopping", a.doc["checks"].(map[string]any)["accepting"])
	for _, path := range []string{"/v1/retrain", "/v1/jobs/retrain"} {
		a := s.post(path, s.retrainBody(s.dataset("data")))
		assert.Equal(t, 503, a.status, path)
		assert.Equal(t, "NOT_READY", a.failure().Type, path)
	}
	assert.Equal(t, 200, s.get("/health").status)
	assert.Equal(t, "RUNNING", s.state(id))
	g.end <- nil
	require.NoError(t, <-done)
	assert.Regexp(t, `"msg":"stopping: .*","requests":[01],"jobs":1,"grace_seconds":30}`, s.logs.String())
	assert.Contains(t, s.logs.String(), `"msg":"stopped","seconds":`)

	again := start(t, setup{kinds: map[string]jobs.Handler{"RETRAIN": g.handle}, queue: func(o *jobs.Options) { o.DataDir = filepath.Join(s.root, "data") }})
	assert.Equal(t, "SUCCEEDED", again.state(id))
}

// TestDrainWaitsForRequests: a request that is worked on when the server stops gets
// its answer, and the listener stays open until then.
func TestDrainWaitsForRequests(t *testing.T) {
	slow := &slowQueue{inside: make(chan struct{}), release: make(chan struct{})}
	s := start(t, setup{options: func(o *server.Options) { o.Grace = patience }, open: func(context.Context) (*server.Backend, error) {
		return &server.Backend{Queue: slow}, nil
	}})
	s.until(func() bool { return s.get("/ready").status == 200 })
	s.http.Transport.(*http.Transport).DisableKeepAlives = true
	answered, done := make(chan *answer, 1), make(chan error, 1)
	go func() { answered <- s.get("/v1/jobs") }()
	<-slow.inside
	go func() { done <- s.stop() }()
	s.until(func() bool { return s.get("/ready").status == 503 })
	assert.Equal(t, 503, s.get("/ready").status)
	close(slow.release)
	assert.Equal(t, 200, (<-answered).status)
	require.NoError(t, <-done)
}

// TestGraceEnds: what does not finish in the grace time is told why, and goes on
// after a restart.
func TestGraceEnds(t *testing.T) {
	s, g := gated(t, setup{options: func(o *server.Options) { o.Grace = time.Millisecond }})
	id := s.submit()
	<-g.begun
	require.NoError(t, s.stop())
	again := start(t, setup{kinds: map[string]jobs.Handler{"RETRAIN": g.handle}, queue: func(o *jobs.Options) { o.DataDir = filepath.Join(s.root, "data") }})
	<-g.begun
	g.end <- nil
	again.until(func() bool { return again.state(id) == "SUCCEEDED" })
}
