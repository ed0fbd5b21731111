package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/verifily/verifily-tui/core/jobs"
)

// events answers GET /v1/jobs/{id}/events with server-sent events. The stream
// ends after the last state of the job, when the client goes, and when the
// server stops; a client that comes back begins with the present state.
func (s *Server) events(c *call) (any, error) {
	q, id, err := s.subject(c)
	if err != nil {
		return nil, err
	}
	if s.isDraining() {
		return nil, notReady("the server is stopping")
	}
	free, ok := take(s.streams)
	if !ok {
		return nil, tooMany("too many event streams at once", busyWait)
	}
	defer free()
	ctx, cancel := context.WithCancel(c.ctx())
	defer cancel()
	source, err := q.Events(ctx, id)
	if err != nil {
		return nil, queueProblem(c.ctx(), id, err)
	}
	defer func() { // the sender gives up when it sees ctx end
		cancel()
		for range source {
		}
	}()
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no")
	s.deadline(c)
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return written{}, nil
	}
	out := http.NewResponseController(c.w)
	if err := out.Flush(); err != nil {
		return written{}, nil
	}
	beat := time.NewTicker(s.opt.Heartbeat)
	defer beat.Stop()
	for {
		var text []byte
		select {
		case e, ok := <-source:
			if !ok {
				return written{}, nil
			}
			text = s.eventText(&e)
			beat.Reset(s.opt.Heartbeat)
		case <-beat.C:
			text = []byte(": still here\n\n")
		case <-s.draining:
			return written{}, nil
		}
		s.deadline(c)
		if _, err := c.w.Write(text); err != nil {
			return written{}, nil // the client is gone
		}
		if err := out.Flush(); err != nil {
			return written{}, nil
		}
	}
}

// eventText is one event: its type and its data on one line each.
func (s *Server) eventText(e *jobs.Event) []byte {
	data := []byte(e.Data)
	if e.Job != nil {
		data, _ = json.Marshal(s.wireJob(e.Job)) // texts and numbers always encode
	}
	var line bytes.Buffer
	if json.Compact(&line, data) != nil {
		line.Reset()
		line.WriteString("{}")
	}
	kind := e.Type
	if !namePattern.MatchString(kind) {
		kind = "event"
	}
	return []byte("event: " + kind + "\ndata: " + line.String() + "\n\n")
}
