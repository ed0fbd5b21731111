package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server/wire"
)

// call is one request on its way.
type call struct {
	w       *recorder
	r       *http.Request
	id      string
	keyID   string
	route   string // pattern, for the log and the metrics
	subject string // {id} of the path
	project string // once it is known
	body    []byte
	failure *problem // what was answered, if an error
}

func (c *call) ctx() context.Context { return c.r.Context() }

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// serve takes a request through all guards to its handler.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	c := &call{w: &recorder{ResponseWriter: w}, r: r, id: s.requestID(r), keyID: jobs.Anonymous, route: "none"}
	header := w.Header()
	header.Set(wire.RequestIDHeader, c.id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	s.metrics.active.Inc()
	defer func() {
		s.metrics.active.Dec()
		if cause := recover(); cause != nil {
			if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(cause) // the way of net/http to drop a connection
			}
			s.panicked(c, cause)
		}
		s.record(c, time.Since(begun))
	}()
	if err := s.answer(c); err != nil {
		s.fail(c, problemOf(r.Context(), err))
	}
}

// panicked answers in the place of a handler that fell over.
func (s *Server) panicked(c *call, cause any) {
	s.log.Error("panic", "request_id", c.id, "route", c.route, "cause", s.logged(anyText(cause)), "stack", s.redact(string(debug.Stack())))
	if c.w.status != 0 {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	s.fail(c, &problem{status: http.StatusInternalServerError, kind: wire.Internal,
		message: "internal error; the server's log tells more under this request_id"})
}

func anyText(v any) string {
	switch v := v.(type) {
	case error:
		return v.Error()
	case string:
		return v
	}
	return "a value that is no text"
}

// record logs and counts a request that was answered.
func (s *Server) record(c *call, took time.Duration) {
	s.metrics.observe(c, took)
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("request_id", c.id), slog.String("method", methodOf(c.r)), slog.String("route", c.route),
		slog.Int("status", c.w.status), slog.Int64("bytes", c.w.bytes), slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.String("remote", c.r.RemoteAddr), slog.String("api_key_id", c.keyID),
	}
	if c.project != "" {
		attrs = append(attrs, slog.String("project_id", s.withoutKey(c.project)))
	}
	if p := c.failure; p != nil {
		attrs = append(attrs, slog.String("error", p.kind), slog.String("message", s.logged(p.message)))
		if p.cause != nil && p.cause.Error() != p.message {
			attrs = append(attrs, slog.String("cause", s.logged(p.cause.Error())))
		}
		if p.status >= http.StatusInternalServerError && p.kind == wire.Internal {
			level = slog.LevelError
		}
	}
	s.log.LogAttrs(context.Background(), level, "request", attrs...)
}

var requestPattern = regexp.MustCompile(`^[\x20-\x7e]{1,256}$`)

// requestID is the client's, where it is one that can be written anywhere and
// does not give the key away, else 12 hex digits.
func (s *Server) requestID(r *http.Request) string {
	if id := r.Header.Get(wire.RequestIDHeader); requestPattern.MatchString(id) && s.withoutKey(id) == id {
		return id
	}
	return randomHex(6)
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails: it ends the program where there is no randomness
	return hex.EncodeToString(b)
}

func (s *Server) setKey(key string) {
	s.keySum = sha256.Sum256([]byte(key))
	s.keyID = jobs.Anonymous
	if key != "" {
		sum := sha256.Sum256([]byte("verifily:" + key))
		s.keyID = hex.EncodeToString(sum[:])[:12]
	}
}

// authorize wants the key. Sums are compared, so the time taken tells neither
// the length nor the beginning of the key.
func (s *Server) authorize(c *call) error {
	if s.opt.APIKey == "" {
		return nil
	}
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		return &problem{status: http.StatusUnauthorized, kind: wire.Auth, message: "needs a key: send it in the header Authorization, after the word Bearer"}
	case subtle.ConstantTimeCompare(sum[:], s.keySum[:]) != 1:
		return &problem{status: http.StatusUnauthorized, kind: wire.Auth, message: "the key is not valid"}
	}
	c.keyID = s.keyID
	return nil
}

// sameOrigin refuses requests that a web page of another origin makes.
var sameOrigin = http.NewCrossOriginProtection()

// checkOrigin keeps web pages out: those of other origins, and, where there is
// no key to know friends by, those whose name was made to lead to this machine.
func (s *Server) checkOrigin(r *http.Request) error {
	if err := sameOrigin.Check(r); err != nil {
		return forbidden("requests of web pages of another origin are refused")
	}
	if s.opt.APIKey != "" {
		return nil
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return forbidden("without a key the server answers to localhost and to addresses alone")
	}
	return nil
}

// readBody reads the body, with its limits.
func (s *Server) readBody(c *call) error {
	r := c.r
	tooLarge := &problem{status: http.StatusRequestEntityTooLarge, kind: wire.Validation, message: "body: is larger than the server takes"}
	if r.ContentLength > s.opt.MaxBody {
		return tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w.ResponseWriter, r.Body, s.opt.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.w.Header().Set("Connection", "close")
		return &problem{status: http.StatusRequestTimeout, kind: wire.Validation, message: "body: did not arrive in time"}
	case err != nil:
		c.w.Header().Set("Connection", "close")
		return &problem{status: http.StatusBadRequest, kind: wire.Validation, message: "body: could not be read", cause: err}
	}
	c.body = body
	// The deadline was for the request; the answer may take longer, and the
	// connection is watched meanwhile.
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) // a recorder in tests has none
	return nil
}

// take takes a slot, or says that there is none.
func take(slots chan struct{}) (free func(), ok bool) {
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, true
	default:
		return nil, false
	}
}
