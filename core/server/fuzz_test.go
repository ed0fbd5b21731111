package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/monitor"
	"github.com/verifily/verifily-tui/core/server"
	"github.com/verifily/verifily-tui/core/server/wire"
)

// memory is a queue that takes everything and runs nothing.
type memory struct{ slowQueue }

const memoryJob = "00112233445566aa"

func (*memory) Submit(_ context.Context, r jobs.Request) (jobs.Job, error) {
	return jobs.Job{ID: memoryJob, Type: r.Kind, Status: jobs.Queued, ProjectID: r.ProjectID}, nil
}

func (*memory) Job(_ context.Context, id string) (jobs.Job, error) {
	if id != memoryJob {
		return jobs.Job{}, jobs.ErrNotFound
	}
	return jobs.Job{ID: id, Status: jobs.Succeeded}, nil
}

func (m *memory) Result(ctx context.Context, id string) (json.RawMessage, jobs.Job, error) {
	j, err := m.Job(ctx, id)
	return json.RawMessage(`{}`), j, err
}

func (m *memory) List(ctx context.Context, f jobs.Filter) ([]jobs.Job, error) {
	j, err := m.Job(ctx, memoryJob)
	return []jobs.Job{j}, err
}

func (m *memory) Cancel(ctx context.Context, id string) (jobs.Job, error) { return m.Job(ctx, id) }

func (m *memory) Events(ctx context.Context, id string) (<-chan jobs.Event, error) {
	j, err := m.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	out := make(chan jobs.Event, 1)
	out <- jobs.Event{Type: jobs.EventState, Job: &j}
	close(out)
	return out, nil
}

// watches are monitors that take everything and watch nothing.
type watches struct{ last monitor.Request }

const watchID = "00112233aabb"

func (*watches) Run(context.Context) error { return nil }
func (w *watches) Start(_ context.Context, r monitor.Request) (string, error) {
	w.last = r
	return watchID, nil
}

func (w *watches) Status(_ context.Context, id string) (monitor.Status, error) {
	if id != watchID {
		return monitor.Status{}, monitor.ErrNotFound
	}
	reason := "no run at " + strings.Repeat("0f", 16)
	return monitor.Status{MonitorID: id, Status: "running", TickCount: 2, Config: map[string]any{"config_path": "p"}, Error: &reason}, nil
}

func (w *watches) Stop(ctx context.Context, id string) (monitor.Status, error) {
	st, err := w.Status(ctx, id)
	st.Status = "stopped"
	return st, err
}

func (w *watches) History(ctx context.Context, id string, n int) (monitor.History, error) {
	_, err := w.Status(ctx, id)
	return monitor.History{MonitorID: id, TotalTicks: n}, err
}

// remembered is a service without a database.
func remembered(t testing.TB) (*service, *watches) {
	w := &watches{}
	s := start(t, setup{open: func(context.Context) (*server.Backend, error) {
		return &server.Backend{Queue: &memory{}, Monitors: w}, nil
	}})
	s.until(func() bool { return s.get("/ready").status == http.StatusOK })
	return s, w
}

// fuzzPaths are what requests are sent to; {} is replaced.
var fuzzPaths = []string{"/v1/retrain", "/v1/jobs/retrain", "/v1/jobs/train", "/v1/jobs/eval", "/v1/jobs/compare", "/v1/monitor/start",
	"/v1/jobs?{}", "/v1/jobs/{}", "/v1/jobs/{}/result", "/v1/jobs/{}/events", "/v1/jobs/{}/cancel", "/v1/runs?{}", "/v1/runs/{}", "/v1/monitor/stop?{}",
	"/v1/monitor/status?{}", "/v1/monitor/history?{}", "/{}"}

// FuzzRequests: whatever is sent is answered in the contract's form, never with
// the server's fault, and leaves nothing outside of the root.
func FuzzRequests(f *testing.F) {
	s, _ := remembered(f)
	data := s.dataset("data")
	write(f, filepath.Join(s.root, "runs", "run_a", "run_meta.json"), `{"run_id": "run_a", "status": "completed"}`)
	write(f, filepath.Join(s.root, "pipeline.yaml"), "run_dir: runs/run_a\n")
	outside := filepath.Join(filepath.Dir(s.root), "outside")
	require.NoError(f, os.Mkdir(outside, 0o755))
	require.NoError(f, os.Symlink(outside, filepath.Join(s.root, "link")))
	for _, body := range []string{s.retrainBody(data), s.retrainBody(data, `"seed": 1e999`), s.retrainBody(data, `"seed": -`+strings.Repeat("9", 300)),
		s.retrainBody(data, `"seed": 1`, `"seed": 2`), s.retrainBody(data, `"notes": "\ud800\u0000"`), s.retrainBody(data, `"base_run_dir": "run_a"`),
		s.retrainBody(s.root + "/link"), s.retrainBody(data + "/../../outside"), `{"dataset_dir": "` + strings.Repeat("../", 50) + `etc"}`,
		`{"dataset_dir": ` + quote(data) + `, "output_dir": ` + quote(s.root+"/link/x") + `}`, `{"dataset_dir": ` + quote(data) + `, "output_dir": "\u0000"}`,
		`{"run": "run_a"}`, `{"run": "../run_a", "test_data": "/etc/passwd", "metrics": [1], "hard_examples": -1}`, `{"runs": ["run_a", "run_a"], "slice_by": null}`,
		trainBody(data+"/dataset.jsonl", s.root, "builtin:nano"), `{"config": {"task": {"task": []}}, "seed": 5}`, `{"config_path": ` + quote(s.root+"/pipeline.yaml") + `}`,
		`{"config_path": ` + quote(s.root+"/pipeline.yaml") + `, "interval_seconds": 1e400, "max_ticks": -1, "rolling_window": 0.5, "allow_retrain": true}`,
		strings.Repeat(`{"a":`, 9000), "\xff\xfe", "[]", `"x"`, "", "{}"} {
		for i := range 6 {
			f.Add(uint8(i), "", "", []byte(body))
		}
	}
	for i := 6; i < len(fuzzPaths); i++ {
		for _, subject := range []string{memoryJob, "limit=5&status=QUEUED", "limit=99999999999999999999", "monitor_id=" + watchID + "&last_n=3", "%zz", "..%2f..", "dir=/etc",
			"dir=" + url.QueryEscape(s.root+"/link"), "run_a", "a;b=c", "\x00", strings.Repeat("a=b&", 500)} {
			f.Add(uint8(i), subject, "p", []byte(nil))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, subject, project string, body []byte) {
		path := strings.ReplaceAll(fuzzPaths[int(which)%len(fuzzPaths)], "{}", subject)
		target, err := url.ParseRequestURI(path)
		if err != nil {
			return // net/http refuses it
		}
		method := http.MethodGet
		if which%uint8(len(fuzzPaths)) < 6 || strings.HasSuffix(target.Path, "/cancel") || strings.HasSuffix(target.Path, "/stop") {
			method = http.MethodPost
		}
		r := httptest.NewRequest(method, "/", bytes.NewReader(body))
		r.URL, r.Host = target, "127.0.0.1"
		r.Header.Set("X-Project-ID", project)
		w := httptest.NewRecorder()
		s.srv.Handler().ServeHTTP(w, r)
		assert.Less(t, w.Code, 500, "%s %q %s", path, body, w.Body)
		assert.NotEmpty(t, w.Header().Get("X-Request-ID"))
		assert.True(t, utf8.Valid(w.Body.Bytes()))
		if w.Code != http.StatusOK {
			var f wire.Failure
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &f))
			assert.NotEmpty(t, f.Error.Type)
			assert.NotEmpty(t, f.Error.Message)
			assert.Equal(t, w.Header().Get("X-Request-ID"), f.Error.RequestID)
		}
		entries, err := os.ReadDir(outside)
		require.NoError(t, err)
		assert.Empty(t, entries)
	})
}
