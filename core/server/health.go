package server

import (
	"context"
	"net/http"
	"time"

	"github.com/verifily/verifily-tui/core/server/wire"
)

// health answers GET /health: the process answers, whatever else is wrong.
func (s *Server) health(*call) (any, error) { return wire.Health{Status: "ok"}, nil }

// unready is the answer of /ready while work cannot be taken: the contract's
// envelope, and the checks.
type unready struct {
	Error  wire.Error        `json:"error"`
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
}

// readyWait bounds how long /ready waits for the database.
const readyWait = 2 * time.Second

// ready answers GET /ready.
func (s *Server) ready(c *call) (any, error) {
	checks, ok := s.checks(c.ctx())
	if ok {
		return wire.Readiness{Status: "ready", Checks: checks}, nil
	}
	p := notReady("not ready, see checks")
	c.failure = p
	c.w.Header().Set("Retry-After", "1")
	s.write(c, http.StatusServiceUnavailable, unready{Error: s.envelope(c, p), Status: "not_ready", Checks: checks})
	return written{}, nil
}

// checks says what is in order, and whether all of it is.
func (s *Server) checks(ctx context.Context) (map[string]string, bool) {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	checks := map[string]string{}
	all := true
	check := func(name string, wrong string) {
		checks[name] = "ok"
		if wrong != "" {
			checks[name], all = s.redact(wrong), false
		}
	}
	accepting, queue, disk := "", "", ""
	if s.isDraining() {
		accepting = "the server is stopping"
	}
	check("accepting", accepting)
	if b := s.backend.Load(); b == nil {
		queue = "is not open yet"
		if reason := s.openFail.Load(); reason != nil {
			queue = "cannot be opened"
		}
	} else if err := b.Queue.Ready(ctx); err != nil {
		queue = "does not take jobs"
		if accepting == "" {
			s.log.Warn("the queue is not ready", "cause", s.logged(err.Error()))
		}
	}
	check("queue", queue)
	if s.opt.DataDir != "" {
		if err := checkWritable(s.opt.DataDir); err != nil {
			disk = "the data folder cannot be written"
		}
		check("disk", disk)
	}
	return checks, all
}
