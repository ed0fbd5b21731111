// Package client speaks to the HTTP service of verifily.
//
// # Promises
//
//   - Every call takes a context and ends with it.
//   - What the server refuses is an *Error; errors.Is tells its kind: ErrNotFound,
//     ErrInvalid, ErrNotFinished and so on.
//   - A call is repeated when the server answers 429, 502 or 503 or the
//     connection breaks, if doing so is safe: reading is, and so is submitting a
//     job, since every submission carries an idempotency key, which stays the same
//     when it is repeated. A retrain that the caller waits for, and the start of a
//     monitor, are repeated only when the server said that it did not begin (429
//     and 503) or was never reached.
//   - Between two tries the client waits as long as the server asks for, else
//     twice as long each time, with some chance in it, so that many clients do not
//     come back at once.
//
// A Client may be used from several goroutines.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/verifily/verifily-tui/core/server/wire"
)

// The documents of the service.
type (
	RetrainRequest = wire.RetrainRequest
	TrainRequest   = wire.TrainRequest
	EvalRequest    = wire.EvalRequest
	CompareRequest = wire.CompareRequest
	Submitted      = wire.Submitted
	Job            = wire.Job
	HealthStatus   = wire.Health
	Readiness      = wire.Readiness
	MonitorRequest = wire.MonitorRequest
	MonitorStarted = wire.MonitorStarted
	MonitorStatus  = wire.MonitorStatus
	MonitorHistory = wire.MonitorHistory
)

// RetrainResult is what a retrain answers with.
type RetrainResult struct {
	JobType     string             `json:"job_type"` // RETRAIN
	RunDir      string             `json:"run_dir"`
	Decision    string             `json:"decision"` // SHIP, DONT_SHIP or INVESTIGATE
	ExitCode    int                `json:"exit_code"`
	EvalSummary map[string]float64 `json:"eval_summary"`
	Usage       json.RawMessage    `json:"usage"`
	Artifacts   map[string]string  `json:"artifacts"` // path by name
	ElapsedMS   int64              `json:"elapsed_ms"`
	JobID       string             `json:"job_id"` // empty for a call that waited
}

// Options say how to reach a server.
type Options struct {
	APIKey    string
	ProjectID string       // sent as X-Project-ID; empty: none
	HTTP      *http.Client // nil: one of its own
	Retries   int          // tries after the first; 0 means 4, negative none
	// FirstWait and LongestWait bound the pause before a try when the server asks
	// for none; 0 means 100 ms and 5 s.
	FirstWait, LongestWait time.Duration
}

// Client speaks to one server.
type Client struct {
	base string
	opt  Options
}

// New returns a client of the server at a URL such as http://127.0.0.1:8080.
func New(address string, opt Options) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address of the server: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("address of the server: %q is not like http://127.0.0.1:8080", address)
	}
	if opt.HTTP == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64 // a client of many goroutines keeps its connections
		opt.HTTP = &http.Client{Transport: transport}
	}
	if opt.Retries == 0 {
		opt.Retries = 4
	}
	if opt.FirstWait == 0 {
		opt.FirstWait = 100 * time.Millisecond
	}
	if opt.LongestWait == 0 {
		opt.LongestWait = 5 * time.Second
	}
	return &Client{base: strings.TrimSuffix(u.String(), "/"), opt: opt}, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.opt.HTTP.CloseIdleConnections() }

// safety says when a call may be repeated.
type safety int

const (
	repeatable safety = iota // whatever happened to it
	once                     // only when it cannot have begun
)

// request is one call of the service.
type request struct {
	method, path string
	query        url.Values
	body         any // nil: none
	key          string
	safety       safety
}

// mostAnswer bounds an answer, in bytes.
const mostAnswer = 256 << 20

// call makes a request, again where that helps and is safe, and decodes the
// answer into out.
func (c *Client) call(ctx context.Context, req request, out any) error {
	var body []byte
	if req.body != nil {
		var err error
		if body, err = json.Marshal(req.body); err != nil {
			return fmt.Errorf("%s %s: %w", req.method, req.path, err)
		}
	}
	wait := c.opt.FirstWait
	for try := 0; ; try++ {
		data, err := c.once(ctx, &req, body)
		if err == nil {
			if out == nil {
				return nil
			}
			if err := json.Unmarshal(data, out); err != nil {
				return fmt.Errorf("%s %s: answer is not what was expected: %w", req.method, req.path, err)
			}
			return nil
		}
		if ctx.Err() != nil || try >= c.opt.Retries || !again(&req, err) {
			return err
		}
		pause := spread(wait)
		var refused *Error
		if errors.As(err, &refused) && refused.RetryAfter > 0 {
			pause = refused.RetryAfter + spread(c.opt.FirstWait)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		}
		wait = min(2*wait, c.opt.LongestWait)
	}
}

// spread is a time from half of d to d.
func spread(d time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	share := float64(uint64(b[0])|uint64(b[1])<<8|uint64(b[2])<<16) / (1 << 24)
	return d/2 + time.Duration(share*float64(d/2))
}

// again says whether a call that failed may be made once more.
func again(req *request, err error) bool {
	var refused *Error
	if errors.As(err, &refused) {
		switch refused.Status {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			return true
		case http.StatusBadGateway:
			return req.safety == repeatable
		}
		return false
	}
	var answer *url.Error
	if !errors.As(err, &answer) {
		return false // it arrived and could not be read
	}
	var dial *net.OpError
	neverReached := errors.As(err, &dial) && dial.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED)
	return req.safety == repeatable || neverReached
}

// once makes a request one time.
func (c *Client) once(ctx context.Context, req *request, body []byte) ([]byte, error) {
	resp, err := c.send(ctx, req, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := readAll(resp)
	if resp.StatusCode != http.StatusOK {
		return nil, errorOf(req, resp, data)
	}
	if err != nil {
		return nil, &url.Error{Op: req.method, URL: req.path, Err: err}
	}
	return data, nil
}

func readAll(resp *http.Response) ([]byte, error) {
	return io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
}

func (c *Client) send(ctx context.Context, req *request, body []byte) (*http.Response, error) {
	address := c.base + req.path
	if len(req.query) > 0 {
		address += "?" + req.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, req.method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.opt.APIKey != "" {
		r.Header.Set("Authorization", "Bearer "+c.opt.APIKey)
	}
	if c.opt.ProjectID != "" {
		r.Header.Set(wire.ProjectHeader, c.opt.ProjectID)
	}
	if req.key != "" {
		r.Header.Set(wire.IdempotencyHeader, req.key)
	}
	return c.opt.HTTP.Do(r)
}
