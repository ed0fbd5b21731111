package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server"
	"github.com/verifily/verifily-tui/core/server/roots"
	"github.com/verifily/verifily-tui/core/work"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// halfway opens a connection and sends the head of a retrain job; the caller
// sends the body.
func (s *service) halfway(t *testing.T, body string) (net.Conn, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(conn, "POST /v1/jobs/retrain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	require.NoError(t, err)
	line, err := bufio.NewReader(io.LimitReader(conn, 25)).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line, "the server waits for the body")
	return conn, body
}

// TestSlowClients: who does not finish a request is let go, and does not keep
// others from theirs.
func TestSlowClients(t *testing.T) {
	s := start(t, setup{options: func(o *server.Options) {
		o.HeaderTimeout, o.ReadTimeout, o.MaxActive = 50*time.Millisecond, 100*time.Millisecond, 1
	}})
	data := s.dataset("data")
	address := strings.TrimPrefix(s.base, "http://")
	var slow []net.Conn
	for _, sent := range []string{"", "POST /v1/re", "POST /v1/retrain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{",
		"POST /v1/retrain HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{  \r\n"} {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(conn, sent)
		require.NoError(t, err)
		slow = append(slow, conn)
	}
	assert.Equal(t, 200, s.post("/v1/retrain", s.retrainBody(data)).status, "bodies that do not come take no place")
	for i, conn := range slow {
		answer, err := io.ReadAll(conn)
		if err != nil {
			assert.ErrorIs(t, err, syscall.ECONNRESET, "connection %d", i)
		}
		if i >= 2 {
			assert.Contains(t, string(answer), "HTTP/1.1 408 ")
			assert.Contains(t, string(answer), "VALIDATION_ERROR")
		}
	}
}

// TestCrowd: connections that send nothing, half a head, half a body or nothing
// after an answer keep nobody out, however long they may stay, and none that is
// being answered has to go.
func TestCrowd(t *testing.T) {
	const most = 8
	inside, release := make(chan struct{}), make(chan struct{})
	s := start(t, setup{options: func(o *server.Options) {
		o.MaxConnections, o.HeaderTimeout, o.ReadTimeout, o.IdleTimeout = most, time.Hour, time.Hour, time.Hour
	}, open: func(context.Context) (*server.Backend, error) {
		return &server.Backend{Queue: &slowQueue{inside: inside, release: release}}, nil
	}})
	s.until(func() bool { return s.get("/ready").status == http.StatusOK })
	var wg sync.WaitGroup
	wg.Go(func() {
		assert.Equal(t, http.StatusOK, s.get("/v1/jobs").status, "it was answered before the crowd came")
	})
	<-inside
	s.http.Transport.(*http.Transport).DisableKeepAlives = true
	for _, sent := range []string{"", "GET /hea", "POST /v1/retrain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{",
		"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"} {
		for range 3 * most {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = io.WriteString(conn, sent) // it may have to go already
		}
		assert.Equal(t, http.StatusOK, s.get("/health").status, "%q", sent)
	}
	close(release)
	wg.Wait()
}

// TestLongAnswer: the time for a request to arrive does not end what takes
// longer to answer.
func TestLongAnswer(t *testing.T) {
	s, g := gated(t, setup{options: func(o *server.Options) { o.ReadTimeout, o.WriteTimeout = 50*time.Millisecond, patience }})
	id := s.submit()
	<-g.begun
	e := s.stream(t, "/v1/jobs/"+id+"/events")
	assert.Equal(t, "RUNNING", e.state())
	for range 10 { // heartbeats, 20 ms apart
		kind, _ := e.next()
		assert.Equal(t, "comment", kind)
	}
	g.end <- nil
	assert.Equal(t, "SUCCEEDED", e.state())
}

// TestBusy: more requests than the server works on at once are told to come
// again; the checks of a supervisor are always answered.
func TestBusy(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	slow := &slowQueue{inside: inside, release: release}
	s := start(t, setup{options: func(o *server.Options) { o.MaxActive = 1 }, open: func(context.Context) (*server.Backend, error) {
		return &server.Backend{Queue: slow}, nil
	}})
	s.until(func() bool { return s.get("/ready").status == 200 })
	var wg sync.WaitGroup
	wg.Go(func() { assert.Equal(t, 200, s.get("/v1/jobs").status) })
	<-inside
	a := s.get("/v1/jobs")
	assert.Equal(t, 429, a.status)
	assert.Equal(t, "RATE_LIMITED", a.failure().Type)
	assert.Equal(t, "1", a.header.Get("Retry-After"))
	for _, path := range []string{"/health", "/ready", "/metrics", "/docs", "/openapi.json"} {
		assert.Equal(t, 200, s.get(path).status, path)
	}
	close(release)
	wg.Wait()
}

// slowQueue lists jobs when it is let.
type slowQueue struct {
	server.Queue
	inside  chan struct{}
	release chan struct{}
	panics  any
}

func (q *slowQueue) List(context.Context, jobs.Filter) ([]jobs.Job, error) {
	if q.panics != nil {
		panic(q.panics)
	}
	q.inside <- struct{}{}
	<-q.release
	return nil, nil
}

func (q *slowQueue) Ready(context.Context) error               { return nil }
func (q *slowQueue) Stats(context.Context) (jobs.Stats, error) { return jobs.Stats{}, nil }
func (q *slowQueue) Drain(context.Context) error               { return nil }
func (q *slowQueue) Close() error                              { return nil }

// TestPanic: a handler that falls over is a 500 with the id, and is logged with
// where it fell.
func TestPanic(t *testing.T) {
	const key = "correct horse battery"
	s := start(t, setup{options: func(o *server.Options) { o.APIKey = key }, open: func(context.Context) (*server.Backend, error) {
		return &server.Backend{Queue: &slowQueue{panics: "cannot go on with " + key}}, nil
	}})
	s.until(func() bool { return s.get("/ready").status == 200 })
	a := s.get("/v1/jobs", "X-Request-ID", "fell-over")
	assert.Equal(t, 500, a.status)
	f := a.failure()
	assert.Equal(t, "INTERNAL_ERROR", f.Type)
	assert.Equal(t, "fell-over", f.RequestID)
	assert.NotContains(t, f.Message, "cannot go on")
	assert.Equal(t, 200, s.get("/health").status, "the server goes on")
	require.NoError(t, s.stop())
	log := s.logs.String()
	assert.Contains(t, log, `"msg":"panic","request_id":"fell-over"`)
	assert.Contains(t, log, "guard_test.go")
	assert.Contains(t, log, "cannot go on with ***REDACTED***")
	assert.NotContains(t, log, key)
}

// TestOutsideOfTheRoots: no field of any request leads out, by name or by link.
func TestOutsideOfTheRoots(t *testing.T) {
	s := start(t, setup{})
	outside, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	secret := filepath.Join(outside, "data")
	writeDataset(t, secret)
	write(t, filepath.Join(outside, "runs", "retrain_0001", "run_meta.json"), `{"run_id": "retrain_0001", "status": "completed"}`)
	write(t, filepath.Join(outside, "pipeline.yaml"), "run_dir: .\n")
	data := s.dataset("data")
	link := filepath.Join(s.root, "link")
	require.NoError(t, os.Symlink(outside, link))
	up, err := filepath.Rel(s.root, outside)
	require.NoError(t, err)
	for _, way := range []string{outside, link, s.root + "/" + up, s.root + "/link/../" + filepath.Base(outside), s.root + "/data/../link"} {
		t.Run(way, func(t *testing.T) {
			a := s.post("/v1/retrain", s.retrainBody(way+"/data"))
			assert.Equal(t, 404, a.status)
			assert.Equal(t, "Dataset dir not found: "+way+"/data", a.failure().Message)
			for _, body := range []string{
				fmt.Sprintf(`{"dataset_dir": %q, "output_dir": %q}`, data, way+"/new"),
				s.retrainBody(data, `"base_run_dir": `+quote(way+"/runs/retrain_0001")),
				s.retrainBody(data, `"contaminated_run_dir": `+quote(way+"/runs/retrain_0001")),
			} {
				for _, path := range []string{"/v1/retrain", "/v1/jobs/retrain"} {
					a := s.post(path, body)
					assert.Equal(t, 403, a.status, "%s %s", body, a.body)
					assert.Equal(t, "AUTH_ERROR", a.failure().Type)
				}
			}
			run := way + "/runs/retrain_0001"
			for path, bodies := range map[string][]string{
				"/v1/jobs/eval":    {fmt.Sprintf(`{"run": %q}`, run)},
				"/v1/jobs/compare": {fmt.Sprintf(`{"runs": [%q, %q]}`, run, run)},
				"/v1/jobs/train": {fmt.Sprintf(`{"config_path": %q}`, way+"/pipeline.yaml"),
					trainBody(way+"/data/dataset.jsonl", s.root, "builtin:nano"), trainBody(data+"/dataset.jsonl", way, "builtin:nano"),
					trainBody(data+"/dataset.jsonl", s.root, way)},
				"/v1/monitor/start": {fmt.Sprintf(`{"config_path": %q}`, way+"/pipeline.yaml")},
			} {
				for _, body := range bodies {
					a := s.post(path, body)
					assert.Equal(t, 403, a.status, "%s %s %s", path, body, a.body)
				}
			}
			assert.Equal(t, 403, s.get("/v1/runs?dir="+way).status)
			assert.Equal(t, 403, s.get("/v1/runs/retrain_0001?dir="+way+"/runs").status)
		})
	}
	t.Run("links inside of folders", func(t *testing.T) {
		tricked := s.dataset("tricked")
		require.NoError(t, os.Remove(filepath.Join(tricked, "dataset.jsonl")))
		require.NoError(t, os.Symlink(secret+"/dataset.jsonl", filepath.Join(tricked, "dataset.jsonl")))
		a := s.post("/v1/retrain", s.retrainBody(tricked))
		assert.Equal(t, 404, a.status)
		assert.Equal(t, "dataset.jsonl not found in "+tricked, a.failure().Message)

		report := s.dataset("report")
		require.NoError(t, os.Symlink(secret+"/report.json", filepath.Join(report, "report.json")))
		assert.Equal(t, 403, s.post("/v1/retrain", s.retrainBody(report)).status)

		require.NoError(t, os.MkdirAll(filepath.Join(s.root, "out2"), 0o755))
		require.NoError(t, os.Symlink(outside, filepath.Join(s.root, "out2", "runs")))
		a = s.post("/v1/retrain", fmt.Sprintf(`{"dataset_dir": %q, "output_dir": %q}`, data, filepath.Join(s.root, "out2")))
		assert.Equal(t, 403, a.status, "%s", a.body)
	})
	t.Run("links inside of runs", func(t *testing.T) {
		write(t, filepath.Join(s.root, "runs", "run_linked", "run_meta.json"), `{"run_id": "run_linked", "status": "completed"}`)
		require.NoError(t, os.Symlink(secret, filepath.Join(s.root, "runs", "run_linked", "link")))
		a := s.get("/v1/runs/run_linked")
		assert.Equal(t, 403, a.status, "%s", a.body)
		assert.Regexp(t, "^path -> id: ", a.failure().Message, "there is no body")
		require.NoError(t, os.RemoveAll(filepath.Join(s.root, "runs", "run_linked")))
	})
	t.Run("what other files name", func(t *testing.T) {
		write(t, filepath.Join(s.root, "runs", "run_a", "run_meta.json"), `{"run_id": "run_a", "status": "completed", "working_dir": "`+outside+`"}`)
		for _, config := range []string{"base_model: " + outside, "base_model: builtin:nano\ndata_paths: {test: " + secret + "/dataset.jsonl}",
			"base_model: builtin:nano\ndata_paths: {test: data/dataset.jsonl}", "base_model: builtin:nano\neval: {gold_set: " + secret + "/dataset.jsonl}"} {
			write(t, filepath.Join(s.root, "runs", "run_a", "config.yaml"), config)
			a := s.post("/v1/jobs/eval", `{"run": "run_a"}`)
			assert.Equal(t, 403, a.status, "%s: %s", config, a.body)
		}
		for _, pipeline := range []string{"run_dir: " + outside, "eval_data: ../../../../../../../../etc/passwd", "run_dir: link"} {
			write(t, filepath.Join(s.root, "pipeline.yaml"), pipeline)
			a := s.post("/v1/monitor/start", fmt.Sprintf(`{"config_path": %q}`, filepath.Join(s.root, "pipeline.yaml")))
			assert.Equal(t, 403, a.status, "%s: %s", pipeline, a.body)
		}
	})
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	assert.Len(t, entries, 3, "nothing was written there")
}

// TestLinksThatChange: a job that waited is checked again when it runs.
func TestLinksThatChange(t *testing.T) {
	g := newGate()
	s := start(t, setup{queue: func(o *jobs.Options) {
		root := filepath.Dir(o.DataDir)
		allowed, err := roots.New(root)
		require.NoError(t, err)
		o.Workers, o.Kinds = 1, server.Fenced(map[string]jobs.Handler{work.Retrain: g.handle}, allowed, filepath.Join(root, "runs"))
	}})
	s.submit()
	<-g.begun
	other := s.dataset("other")
	a := s.post("/v1/jobs/retrain", s.retrainBody(other))
	require.Equal(t, 200, a.status, "%s", a.body)
	outside := t.TempDir()
	writeDataset(t, outside)
	require.NoError(t, os.RemoveAll(other))
	require.NoError(t, os.Symlink(outside, other))
	g.end <- nil
	id := a.doc["job_id"].(string)
	s.until(func() bool { return s.state(id) == "FAILED" })
	assert.Equal(t, "Dataset dir not found: "+other, s.get("/v1/jobs/" + id).doc["error"])
}

func trainBody(train, out, base string) string {
	return fmt.Sprintf(`{"config": {"task": "sft", "base_model": %q, "data_paths": {"train": %q}, "output": {"dir": %q}}}`, base, train, out)
}

// TestSpecialFiles: a pipe in the place of a file is refused, not waited for.
func TestSpecialFiles(t *testing.T) {
	s := start(t, setup{})
	for _, name := range []string{"dataset.jsonl", "hashes.json", "report.json"} {
		dir := s.dataset("pipe-" + name)
		path := filepath.Join(dir, name)
		_ = os.Remove(path) // report.json is not there
		require.NoError(t, syscall.Mkfifo(path, 0o644))
		a := s.post("/v1/retrain", s.retrainBody(dir))
		assert.Contains(t, []int{400, 404}, a.status, "%s", a.body)
	}
	pipe := filepath.Join(s.root, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o644))
	data := s.dataset("data")
	for _, body := range []string{fmt.Sprintf(`{"dataset_dir": %q}`, pipe), s.retrainBody(data, `"base_run_dir": `+quote(pipe)),
		fmt.Sprintf(`{"dataset_dir": %q, "output_dir": %q}`, data, pipe)} {
		a := s.post("/v1/retrain", body)
		assert.Contains(t, []int{400, 404}, a.status, "%s", a.body)
	}
	assert.Equal(t, 400, s.post("/v1/jobs/train", fmt.Sprintf(`{"config_path": %q}`, pipe)).status)
	assert.Equal(t, 400, s.post("/v1/monitor/start", fmt.Sprintf(`{"config_path": %q}`, pipe)).status)
	assert.Equal(t, 422, s.get("/v1/runs?dir="+pipe).status)
}

// TestManyClients: 64 clients at once, sync and async, into one folder; every
// answer is its own.
func TestManyClients(t *testing.T) {
	s := start(t, setup{})
	data := s.dataset("data")
	const clients, each = 64, 3
	var mu sync.Mutex
	dirs := map[string]bool{}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for n := range each {
				id := fmt.Sprintf("client-%d-%d", i, n)
				path := []string{"/v1/retrain", "/v1/jobs/retrain"}[n%2]
				a := s.post(path, s.retrainBody(data), "X-Request-ID", id)
				if !assert.Equal(t, http.StatusOK, a.status, "%s", a.body) {
					return
				}
				if job, ok := a.doc["job_id"].(string); ok {
					s.get("/v1/jobs/" + job + "/events") // ends with the job
					a = s.get("/v1/jobs/" + job + "/result")
				}
				assert.Equal(t, id, a.doc["usage"].(map[string]any)["request_id"])
				mu.Lock()
				dirs[a.doc["run_dir"].(string)] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	assert.Len(t, dirs, clients*each)
}

// TestLog: a request is one line with its id, without its body.
func TestLog(t *testing.T) {
	s := start(t, setup{})
	s.post("/v1/retrain", s.retrainBody(s.dataset("data"), `"notes": "row of data"`), "X-Request-ID", "logged", "X-Project-ID", "p1")
	s.post("/v1/retrain", s.retrainBody("no\u202e\u009b2Jthing"))
	require.NoError(t, s.stop())
	var found []string
	for _, line := range strings.Split(s.logs.String(), "\n") {
		if strings.Contains(line, `"logged"`) {
			found = append(found, line)
		}
	}
	require.Len(t, found, 1)
	for _, part := range []string{`"msg":"request"`, `"method":"POST"`, `"route":"/v1/retrain"`, `"status":200`, `"project_id":"p1"`, `"api_key_id":"anonymous"`} {
		assert.Contains(t, found[0], part)
	}
	assert.NotContains(t, s.logs.String(), "row of data")
	assert.Contains(t, s.logs.String(), `no\\u202e`)
	assert.NotContains(t, s.logs.String(), "\u009b", "a terminal may take it for an escape sequence")
}

// TestLongMessages: a message has 4 KiB in the answer and in the log, however much of
// the request or of the data it would name, ends with a whole rune, and shows no part
// of the key.
func TestLongMessages(t *testing.T) {
	const most, key = 4 << 10, "correct horse battery staple"
	s := start(t, setup{options: func(o *server.Options) { o.APIKey = key }})
	data := s.dataset("data")
	files := map[string]string{}
	for i := range 500 {
		files[fmt.Sprintf("file-%04d.jsonl", i)] = strings.Repeat("0", 64)
	}
	sums, err := json.Marshal(map[string]any{"files": files, "chain_hash": canonical.ChainHash(files)})
	require.NoError(t, err)
	write(t, filepath.Join(data, "hashes.json"), string(sums))
	long := strings.Repeat("é", 1000)
	for name, body := range map[string]string{"missing files": s.retrainBody(data), "a long path": s.retrainBody(strings.Repeat("é", 100_000)),
		"one byte on": s.retrainBody("x" + strings.Repeat("é", 100_000)), "the key at the end": s.retrainBody(long + long + strings.Repeat("x", 60) + key)} {
		a := s.post("/v1/retrain", body, "X-Request-ID", name)
		message := a.failure().Message
		assert.GreaterOrEqual(t, a.status, 400, name)
		assert.Less(t, a.status, 500, name)
		assert.LessOrEqual(t, len(message), most, name)
		assert.Greater(t, len(message), most-8, name)
		assert.True(t, strings.HasSuffix(message, "…"), name)
		assert.NotContains(t, message, "\ufffd", name)
		assert.NotContains(t, message, "correct", name)
	}
	require.NoError(t, s.stop())
	for _, line := range strings.Split(s.logs.String(), "\n") {
		assert.Less(t, len(line), 3*most, "message and cause")
	}
}

// TestDataForConfig: a data set that is named as a configuration is not quoted,
// neither in the answer nor in the log.
func TestDataForConfig(t *testing.T) {
	s := start(t, setup{})
	for name, rows := range map[string]string{"a.jsonl": `{"jo@example.org": 1}`, "b.csv": "jo@example.org,1\n", "c": "jo@example.org\n", "d.txt": `{"output": "jo@example.org"}`} {
		path := filepath.Join(s.root, name)
		write(t, path, rows)
		for _, call := range []string{"/v1/jobs/train", "/v1/monitor/start"} {
			a := s.post(call, fmt.Sprintf(`{"config_path": %q}`, path))
			assert.Equal(t, 400, a.status, call)
			assert.Contains(t, a.failure().Message, "config_path: "+path+" is not called a configuration")
		}
	}
	require.NoError(t, s.stop())
	assert.NotContains(t, s.logs.String(), "example.org")
}
