package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/verifily/verifily-tui/core/server/wire"
)

// The kinds of refusals, for errors.Is.
var (
	ErrInvalid     = errors.New("the request is not valid")    // 400, 413, 422
	ErrAuth        = errors.New("not allowed")                 // 401, 403
	ErrNotFound    = errors.New("not found")                   // 404
	ErrNotFinished = errors.New("the job is in another state") // 409: a result of a job that runs
	ErrTooMany     = errors.New("too many requests")           // 429
	ErrServer      = errors.New("the server failed")           // 500 and others
	ErrNotReady    = errors.New("the server is not ready")     // 502, 503
)

// ErrJobFailed is the kind of a *JobError.
var ErrJobFailed = errors.New("the job failed")

// Error is what the server refused.
type Error struct {
	Method, Path string
	Status       int    // of HTTP
	Type         string // VALIDATION_ERROR and so on; empty when something else than the service answered
	Message      string
	RequestID    string
	RetryAfter   time.Duration // 0: not given
}

// Error tells what was refused and why, and under which id the server knows it.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %d", e.Method, e.Path, e.Status)
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// Is tells the kind of the refusal.
func (e *Error) Is(target error) bool { return target == e.kind() }

func (e *Error) kind() error {
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusMethodNotAllowed:
		return ErrInvalid
	case http.StatusUnauthorized, http.StatusForbidden:
		return ErrAuth
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusConflict:
		return ErrNotFinished
	case http.StatusTooManyRequests:
		return ErrTooMany
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return ErrNotReady
	}
	return ErrServer
}

// errorOf reads a refusal.
func errorOf(req *request, resp *http.Response, body []byte) *Error {
	e := &Error{Method: req.method, Path: req.path, Status: resp.StatusCode, RequestID: resp.Header.Get(wire.RequestIDHeader)}
	var f wire.Failure
	if json.Unmarshal(body, &f) == nil {
		e.Type, e.Message = f.Error.Type, f.Error.Message
	}
	if e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		const longest = 10 * time.Minute // whatever a server asks for
		if n, err := strconv.Atoi(after); err == nil && n > 0 {
			e.RetryAfter = min(time.Duration(min(n, 1<<20))*time.Second, longest)
		} else if t, err := http.ParseTime(after); err == nil {
			e.RetryAfter = min(max(0, time.Until(t)), longest)
		}
	}
	return e
}

// JobError is a job that failed. It is ErrJobFailed.
type JobError struct{ Job Job }

// Error tells the reason.
func (e *JobError) Error() string {
	reason := "no reason given"
	if e.Job.Error != nil {
		reason = *e.Job.Error
	}
	return "job " + e.Job.JobID + " failed: " + reason
}

// Unwrap returns ErrJobFailed.
func (e *JobError) Unwrap() error { return ErrJobFailed }
