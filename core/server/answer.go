package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/server/roots"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// problem is an answer that is an error.
type problem struct {
	status  int
	kind    string // of wire
	message string
	after   time.Duration // Retry-After, of 429 and 503
	allow   string        // Allow, of 405
	cause   error         // for the log alone
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.status, p.kind, p.message) }

func (p *problem) Unwrap() error { return p.cause }

func notFound(format string, args ...any) *problem {
	return &problem{status: http.StatusNotFound, kind: wire.NotFound, message: fmt.Sprintf(format, args...)}
}

func badRequest(err error) *problem {
	return &problem{status: http.StatusBadRequest, kind: wire.Validation, message: err.Error(), cause: err}
}

func unprocessable(problems ...string) *problem {
	return &problem{status: http.StatusUnprocessableEntity, kind: wire.Validation, message: strings.Join(problems, "; ")}
}

func forbidden(message string) *problem {
	return &problem{status: http.StatusForbidden, kind: wire.Auth, message: message}
}

func tooMany(message string, after time.Duration) *problem {
	return &problem{status: http.StatusTooManyRequests, kind: wire.RateLimited, message: message, after: after}
}

func notReady(message string) *problem {
	return &problem{status: http.StatusServiceUnavailable, kind: wire.NotReady, message: message, after: time.Second}
}

// statusGone is logged for a request whose client did not wait for the answer;
// nobody receives it.
const statusGone = 499

// problemOf turns what went wrong into an answer. Errors that name no fault of
// the caller become a 500 that tells nothing but the id.
func problemOf(ctx context.Context, err error) *problem {
	var known *problem
	var missing *core.RetrainNotFound
	var typed core.VerifilyTrainError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &missing):
		return &problem{status: http.StatusNotFound, kind: wire.NotFound, message: missing.Error(), cause: err}
	case errors.Is(err, roots.ErrOutside):
		p := forbidden(err.Error())
		p.cause = err
		return p
	case errors.Is(context.Cause(ctx), errDraining):
		p := notReady("the server is stopping")
		p.cause = err
		return p
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, engine.ErrInterrupted)):
		return &problem{status: statusGone, kind: wire.Internal, message: "the client is gone", cause: err}
	case errors.As(err, &typed) && !isMachine(err):
		return badRequest(err)
	}
	return &problem{status: http.StatusInternalServerError, kind: wire.Internal,
		message: "internal error; the server's log tells more under this request_id", cause: err}
}

// isMachine says whether an error is the machine's rather than the caller's.
func isMachine(err error) bool {
	for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// fail writes an error in the contract's envelope.
func (s *Server) fail(c *call, p *problem) {
	header := c.w.Header()
	if p.after > 0 {
		header.Set("Retry-After", strconv.Itoa(max(1, int((p.after+time.Second-1)/time.Second))))
	}
	if p.allow != "" {
		header.Set("Allow", p.allow)
	}
	if p.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	c.failure = p
	s.write(c, p.status, wire.Failure{Error: s.envelope(c, p)})
}

func (s *Server) envelope(c *call, p *problem) wire.Error {
	most := mostMessage
	if p.status == http.StatusUnprocessableEntity {
		most = mostFields
	}
	return wire.Error{Type: p.kind, Message: shorten(s.redact(p.message), most), RequestID: c.id}
}

// write writes an answer: JSON as it is, any other value encoded.
func (s *Server) write(c *call, status int, v any) {
	var data []byte
	contentType := "application/json"
	switch v := v.(type) {
	case json.RawMessage:
		data = v
	case page:
		data, contentType = v.body, v.contentType
	default:
		var err error
		if data, err = canonical.Indent(v); err != nil {
			s.log.Error("encode answer", "request_id", c.id, "cause", err.Error())
			http.Error(c.w, "", http.StatusInternalServerError)
			return
		}
	}
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	s.deadline(c)
	c.w.WriteHeader(status)
	_, _ = c.w.Write(data) // a client that is gone needs no answer
}

// page is an answer that is not JSON.
type page struct {
	contentType string
	body        []byte
}

// deadline gives a client some time to take what is written next.
func (s *Server) deadline(c *call) {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(s.opt.WriteTimeout)) // a recorder in tests has none
}
