package server

import (
	"regexp"
	"strings"

	terminal "github.com/verifily/verifily-tui/core/text"
)

const redacted = "***REDACTED***"

var (
	bearerPattern = regexp.MustCompile(`(?i)\b(bearer)[\s:]+[^\s"',;]+`)
	hexPattern    = regexp.MustCompile(`[0-9a-fA-F]{24,}`)
)

// redact blots out what a message must not carry: bearer tokens, hashes, which
// may be keys, and the key of this server.
func (s *Server) redact(message string) string {
	message = s.withoutKey(message)
	message = bearerPattern.ReplaceAllString(message, "$1 "+redacted)
	return hexPattern.ReplaceAllString(message, redacted)
}

// logged is a message as it stands in the log: redacted, with what a terminal would
// obey or hide spelled out, and bounded.
func (s *Server) logged(message string) string {
	return shorten(terminal.Escape(s.redact(message)), mostMessage)
}

// A message may repeat a path of the request, which has up to 1 MiB, or name every
// file of a data set; nobody reads more than this of it. What bounds a 422 is
// mostProblems, whose fields must all be named.
const (
	mostMessage = 4 << 10  // bytes
	mostFields  = 32 << 10 // bytes of a 422
)

// shorten cuts a text to so many bytes, the ellipsis included. What must be redacted
// is redacted before: half a key is no key that can be found.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return terminal.Clip(s, most-len("…"))
}

// withoutKey blots out the key alone, for texts whose hex digits say something.
func (s *Server) withoutKey(text string) string {
	if s.opt.APIKey == "" {
		return text
	}
	return strings.ReplaceAll(text, s.opt.APIKey, redacted)
}
