package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/monitor"
	"github.com/verifily/verifily-tui/core/server"
	"github.com/verifily/verifily-tui/core/server/roots"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/work"
	"github.com/verifily/verifily-tui/runs/canonical"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what a test waits for; nothing is expected to take as long.
const patience = 30 * time.Second

// service is a server on a socket of its own, with a folder that clients may use.
type service struct {
	t    testing.TB
	srv  *server.Server
	base string // http://127.0.0.1:PORT
	root string // the folder
	key  string
	logs *lines
	stop func() error // ends Serve and returns what it returned
	http *http.Client
}

// setup is what a test changes of a service.
type setup struct {
	options func(*server.Options)
	open    func(context.Context) (*server.Backend, error) // instead of a queue in the folder
	kinds   map[string]jobs.Handler
	queue   func(*jobs.Options)
}

func start(t testing.TB, with setup) *service {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	allowed, err := roots.New(root)
	require.NoError(t, err)
	logs := &lines{}
	opt := server.Options{Roots: allowed, RunsDir: filepath.Join(root, "runs"), DataDir: root, Open: with.open,
		Log: slog.New(slog.NewJSONHandler(logs, nil)), Heartbeat: 20 * time.Millisecond,
		Grace: 50 * time.Millisecond}
	if opt.Open == nil {
		opt.Open = openQueue(t, root, with)
	}
	if with.options != nil {
		with.options(&opt)
	}
	srv, err := server.New(opt)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, listener) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 128}
	s := &service{t: t, srv: srv, base: "http://" + listener.Addr().String(), root: root, key: opt.APIKey, logs: logs,
		http: &http.Client{Transport: transport, Timeout: patience}}
	s.stop = sync.OnceValue(func() error {
		cancel()
		err := <-done
		transport.CloseIdleConnections()
		return err
	})
	t.Cleanup(func() { _ = s.stop() })
	if with.open == nil {
		s.until(func() bool { return s.get("/ready").status == http.StatusOK })
	}
	return s
}

// openQueue opens a queue in a folder, with the handlers of the product.
func openQueue(t testing.TB, root string, with setup) func(context.Context) (*server.Backend, error) {
	return func(ctx context.Context) (*server.Backend, error) {
		opt := jobs.Options{DataDir: filepath.Join(root, "data"), Kinds: with.kinds, Heavy: work.Heavy}
		if opt.Kinds == nil {
			allowed, err := roots.New(root)
			require.NoError(t, err)
			runsDir := filepath.Join(root, "runs")
			opt.Kinds = server.Fenced(work.Kinds(work.Options{RunsDir: runsDir}), allowed, runsDir)
		}
		if with.queue != nil {
			with.queue(&opt)
		}
		q, err := jobs.Open(ctx, opt)
		if err != nil {
			return nil, err
		}
		m, err := monitor.Open(ctx, monitor.Options{Queue: q})
		if err != nil {
			return nil, err
		}
		if err := q.Start(ctx); err != nil {
			return nil, err
		}
		return &server.Backend{Queue: q, Monitors: m}, nil
	}
}

// until waits for a condition.
func (s *service) until(is func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for !is() {
		if time.Now().After(deadline) {
			s.t.Fatal("it did not come to pass")
		}
		<-time.After(time.Millisecond)
	}
}

// answer is what a request was answered with.
type answer struct {
	status int
	header http.Header
	body   []byte
	doc    map[string]any // of a JSON object
}

func (a *answer) failure() wire.Error {
	var f wire.Failure
	_ = json.Unmarshal(a.body, &f) // a body of another form has no type
	return f.Error
}

func (s *service) do(method, path string, body []byte, header ...string) *answer {
	s.t.Helper()
	r, err := http.NewRequest(method, s.base+path, bytes.NewReader(body))
	require.NoError(s.t, err)
	if s.key != "" {
		r.Header.Set("Authorization", "Bearer "+s.key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		if header[i+1] == "" {
			r.Header.Del(header[i])
		}
	}
	resp, err := s.http.Do(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	out := &answer{status: resp.StatusCode, header: resp.Header}
	out.body, err = io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	d := json.NewDecoder(bytes.NewReader(out.body))
	d.UseNumber()
	_ = d.Decode(&out.doc) // pages are no JSON
	return out
}

func (s *service) get(path string, header ...string) *answer {
	s.t.Helper()
	return s.do(http.MethodGet, path, nil, header...)
}

func (s *service) post(path, body string, header ...string) *answer {
	s.t.Helper()
	return s.do(http.MethodPost, path, []byte(body), header...)
}

// dataset writes a data set artifact of a few rows into the folder.
func (s *service) dataset(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.root, name)
	writeDataset(s.t, dir)
	return dir
}

func writeDataset(t testing.TB, dir string) {
	t.Helper()
	var rows strings.Builder
	for i := range 5 {
		fmt.Fprintf(&rows, `{"instruction": "say", "output": "%d", "id": "row_%d"}`+"\n", i, i)
	}
	write(t, filepath.Join(dir, "dataset.jsonl"), rows.String())
	sum, err := canonical.FileHash(filepath.Join(dir, "dataset.jsonl"))
	require.NoError(t, err)
	sums := map[string]string{"dataset.jsonl": sum}
	data, err := json.Marshal(map[string]any{"files": sums, "chain_hash": canonical.ChainHash(sums)})
	require.NoError(t, err)
	write(t, filepath.Join(dir, "hashes.json"), string(data))
}

func write(t testing.TB, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

// retrainBody is a body for a retrain of a data set into the folder. Each extra
// is "name": value.
func (s *service) retrainBody(dataset string, extra ...string) string {
	fields := append([]string{fmt.Sprintf(`"dataset_dir": %q`, dataset), fmt.Sprintf(`"output_dir": %q`, filepath.Join(s.root, "out"))}, extra...)
	return "{" + strings.Join(fields, ", ") + "}"
}

// lines gathers a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
