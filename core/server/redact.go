package server

import (
	"regexp"
	"strings"
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

// withoutKey blots out the key alone, for texts whose hex digits say something.
func (s *Server) withoutKey(text string) string {
	if s.opt.APIKey == "" {
		return text
	}
	return strings.ReplaceAll(text, s.opt.APIKey, redacted)
}
