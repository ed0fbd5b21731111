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

// logged is a message as it stands in the log: redacted, and with what a terminal
// would obey or hide spelled out.
func (s *Server) logged(message string) string { return terminal.Escape(s.redact(message)) }

// withoutKey blots out the key alone, for texts whose hex digits say something.
func (s *Server) withoutKey(text string) string {
	if s.opt.APIKey == "" {
		return text
	}
	return strings.ReplaceAll(text, s.opt.APIKey, redacted)
}
