// Package server is the HTTP service: retrains at once and as jobs, trainings,
// evaluations and comparisons as jobs, monitors, and a look at runs.
//
// # Promises
//
//   - Every answer has an X-Request-ID, and every error is {"error": {"type",
//     "message", "request_id"}}, but for what net/http itself turns away. Bad
//     input is never a 500. A 422 names every bad field.
//   - A job that was answered with a job_id is in the queue's database.
//   - No path that a client names is read or written outside of Options.Roots,
//     links included; what is outside is not even looked at.
//   - No key and no row of data appears in a log or in a message: bearer tokens
//     and runs of 24 or more hex digits read ***REDACTED***.
//   - Without a key only loopback names are answered, and no web page of another
//     origin: a browser cannot be made to speak for it.
//   - Serve answers from the first moment on. What needs the queue is 503 until
//     the queue is open, and /ready says so.
//   - When its context ends, Serve takes no new work, lets what runs finish for
//     Options.Grace, stops it with its checkpoint, and returns nil when nothing
//     is left running. Until then it answers, new work and /ready with 503.
//
// # The way of a request
//
//	connection limit -> id -> log, metrics, panics -> host and origin -> key
//	-> route -> body (size, time) -> concurrency limit -> handler -> answer
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/core/server/roots"
)

const defaultProject = retrain.DefaultProject

// Options says how to serve. Roots and Open are needed.
type Options struct {
	// APIKey, where it is set, is wanted as a bearer token.
	APIKey string
	// Roots are where paths that clients name may lead.
	Roots *roots.Set
	// RunsDir is the folder of runs that have an id or a name; empty: runs.
	RunsDir string
	// DataDir is checked by /ready: it must be writable. Empty: not checked.
	DataDir string
	// Open opens the queue, which takes jobs from then on, and the monitors. It is
	// tried again while it fails, unless the error is a *fault.ConfigError, which
	// ends Serve.
	Open func(context.Context) (*Backend, error)
	// Log is told of every request; nil: nobody is.
	Log *slog.Logger

	// Limits; zero stands for the default.
	MaxBody        int64         // bytes of a body; 1 MiB
	MaxConnections int           // open at once; 1024
	MaxActive      int           // requests in handlers at once; 256
	MaxTrainings   int           // real retrains that run inside a request at once; 1
	MaxMocks       int           // mock retrains inside requests at once, others wait; 32
	MaxStreams     int           // event streams at once; 128
	HeaderTimeout  time.Duration // for the head of a request; 5 s
	ReadTimeout    time.Duration // for head and body; 20 s
	WriteTimeout   time.Duration // for taking an answer, or an event; 20 s
	IdleTimeout    time.Duration // between requests; 60 s
	Heartbeat      time.Duration // of event streams; 15 s
	Grace          time.Duration // of what runs, when the server stops; 30 s
}

func (o *Options) complete() error {
	if o.Roots == nil || o.Open == nil {
		return errors.New("server: Roots and Open are needed")
	}
	if o.RunsDir == "" {
		o.RunsDir = "runs"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	number(&o.MaxConnections, 1024)
	number(&o.MaxActive, 256)
	number(&o.MaxTrainings, 1)
	number(&o.MaxMocks, 32) // they share flushes of the disk; more stand in each other's way in the output folder
	number(&o.MaxStreams, 128)
	number(&o.MaxBody, 1<<20)
	number(&o.HeaderTimeout, 5*time.Second)
	number(&o.ReadTimeout, 20*time.Second)
	number(&o.WriteTimeout, 20*time.Second)
	number(&o.IdleTimeout, time.Minute)
	number(&o.Heartbeat, 15*time.Second)
	number(&o.Grace, 30*time.Second)
	return nil
}

func number[N int | int64 | time.Duration](n *N, otherwise N) {
	if *n == 0 {
		*n = otherwise
	}
}

// Server answers requests. Its Handler needs Serve to be running for all that
// goes to the queue.
type Server struct {
	fence
	opt     Options
	log     *slog.Logger
	metrics *metrics
	handler http.Handler
	openAPI []byte
	docs    []byte
	mux     *http.ServeMux

	backend  atomic.Pointer[Backend] // nil until it is open
	draining chan struct{}           // closed when Serve begins to stop
	flying   flights

	active, trainings, mocks, streams chan struct{} // slots

	keySum   [32]byte
	keyID    string
	openFail atomic.Pointer[string] // why the queue is not open yet
}

// New prepares a server.
func New(opt Options) (*Server, error) {
	if err := opt.complete(); err != nil {
		return nil, err
	}
	s := &Server{opt: opt, log: opt.Log, draining: make(chan struct{}), fence: newFence(opt.Roots, opt.RunsDir),
		active: make(chan struct{}, opt.MaxActive), trainings: make(chan struct{}, opt.MaxTrainings),
		mocks: make(chan struct{}, opt.MaxMocks), streams: make(chan struct{}, opt.MaxStreams)}
	s.setKey(opt.APIKey)
	s.metrics = newMetrics(s)
	if err := s.route(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler returns the service as a handler, without the limits that belong to
// connections.
func (s *Server) Handler() http.Handler { return s.handler }

// The causes for which the context of a request ends.
var (
	errDraining = errors.New("the server is stopping")
	errClosed   = errors.New("the server has stopped")
)

// Serve answers on a listener until ctx ends, then drains. It closes the
// listener and the queue. It returns nil after a clean stop; a
// *fault.TrainingError when something would not stop; the error of Open where
// that cannot be mended.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	// Requests outlive ctx by the grace time.
	work, stopWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWork(errClosed)
	open, giveUp := context.WithCancel(ctx)
	defer giveUp()

	srv := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: s.opt.HeaderTimeout, ReadTimeout: s.opt.ReadTimeout, IdleTimeout: s.opt.IdleTimeout,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:    func(net.Listener) context.Context { return work },
		ConnContext:    withConn,
		// OPTIONS * is answered like any other request.
		DisableGeneralOptionsHandler: true,
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	served := make(chan error, 1)
	wg.Go(func() { served <- srv.Serve(limit(listener, s.opt.MaxConnections)) })
	opened := make(chan error, 1)
	wg.Go(func() { opened <- s.open(open) })

	s.log.Info("serving", "address", listener.Addr().String())
	var failed error
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case failed = <-served:
			running = false
		case failed = <-opened: // with an error, or when monitors have ended, or there are none
			running, opened = failed == nil, nil
		}
	}
	close(s.draining)
	giveUp() // monitors tick no more
	if opened != nil {
		failed = errors.Join(failed, <-opened)
	}
	return errors.Join(failed, s.drain(srv, stopWork))
}

// drain lets requests and jobs finish, at the same time, for the grace time. New
// connections are answered meanwhile: what is new work with 503, so that a load
// balancer learns where it stands.
func (s *Server) drain(srv *http.Server, stopWork context.CancelCauseFunc) error {
	begun := time.Now()
	patient, cancel := context.WithTimeout(context.Background(), s.opt.Grace)
	defer cancel()
	// What is left then is told to stop; it writes its checkpoint and ends.
	defer context.AfterFunc(patient, func() { stopWork(errDraining) })()
	last, cancelLast := context.WithTimeout(context.Background(), s.opt.Grace+stopTime)
	defer cancelLast()
	b := s.backend.Load()
	count, answered := s.flying.stop()
	s.log.Info("stopping: requests in flight and running jobs have the grace time to finish, new work is refused",
		"requests", count, "jobs", busy(patient, b), "grace_seconds", s.opt.Grace.Seconds())
	var wg sync.WaitGroup
	var jobs error
	finished := make(chan struct{})
	wg.Go(func() {
		defer close(finished)
		if b != nil {
			jobs = b.Queue.Drain(patient)
		}
	})
	for _, done := range []<-chan struct{}{answered, finished} {
		select {
		case <-done:
		case <-last.Done():
		}
	}
	requests := srv.Shutdown(last)
	if requests != nil {
		requests = errors.Join(requests, srv.Close())
	}
	wg.Wait()
	if b != nil {
		jobs = errors.Join(jobs, b.Queue.Close())
	}
	took := time.Since(begun).Round(time.Millisecond).Seconds()
	if err := errors.Join(requests, jobs); err != nil {
		s.log.Error("stopped, and something would not end", "seconds", took, "cause", s.logged(err.Error()))
		return &fault.TrainingError{Detail: fault.Detail{Op: "stop serving", Err: err,
			Hint: "a job that did not stop is taken up again when the server starts"}}
	}
	s.log.Info("stopped", "seconds", took)
	return nil
}

// busy counts the jobs that this process runs.
func busy(ctx context.Context, b *Backend) int {
	if b == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	stats, err := b.Queue.Stats(ctx)
	if err != nil {
		return 0 // the database is gone, and with it what ran
	}
	return stats.Busy
}

// stopTime is how long a request may take to end once it was told to.
const stopTime = 15 * time.Second

// open opens the backend, again and again while it cannot.
func (s *Server) open(ctx context.Context) error {
	const first, longest = 100 * time.Millisecond, 5 * time.Second
	for wait := first; ; wait = min(2*wait, longest) {
		b, err := s.opt.Open(ctx)
		if err == nil {
			s.backend.Store(b)
			s.openFail.Store(nil)
			s.log.Info("the queue is open")
			if b.Monitors == nil {
				return nil
			}
			return b.Monitors.Run(ctx)
		}
		var wrong *fault.ConfigError
		if errors.As(err, &wrong) {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		reason := s.redact(err.Error())
		s.openFail.Store(&reason)
		s.log.Error("the queue cannot be opened", "cause", reason, "again_in_seconds", wait.Seconds())
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// isDraining says whether the server takes no new work any more.
func (s *Server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// checkWritable makes and removes a file in a folder.
func checkWritable(dir string) error {
	f, err := os.CreateTemp(dir, ".ready_*")
	if err != nil {
		return fmt.Errorf("%s is not writable", filepath.Base(dir))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
