package contamination

import (
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/metrics"
)

// appendText appends the normalised text of a row to dst.
func appendText(dst []byte, r *dataset.Row) []byte {
	for _, field := range [...]string{r.Instruction, r.Input, r.Output, r.Text, r.Label} {
		before := len(dst)
		if before > 0 {
			dst = append(dst, ' ')
		}
		start := len(dst)
		if dst = appendNormal(dst, field); len(dst) == start {
			dst = dst[:before] // nothing to part
		}
	}
	return dst
}

// appendNormal appends metrics.Normalize(s) to dst, in memory of the order of
// len(s) whatever s is.
func appendNormal(dst []byte, s string) []byte {
	start := len(dst)
	for i := 0; i < len(s); i++ {
		b := s[i]
		switch {
		case b >= utf8.RuneSelf:
			return appendUnicode(dst[:start], s)
		case b == ' ' || b >= '\t' && b <= '\r' || b >= 0x1c && b <= 0x1f:
			if n := len(dst); n > start && dst[n-1] != ' ' {
				dst = append(dst, ' ')
			}
		case b >= 'A' && b <= 'Z':
			dst = append(dst, b+'a'-'A')
		default:
			dst = append(dst, b)
		}
	}
	if n := len(dst); n > start && dst[n-1] == ' ' {
		dst = dst[:n-1]
	}
	return dst
}

// piece is how much text is normalised at a time: normalising takes several
// times the memory of the text.
const piece = 64 << 10

// appendUnicode normalises s in pieces, cut between words: at a space or a line
// break.
func appendUnicode(dst []byte, s string) []byte {
	start := len(dst)
	for len(s) > 0 {
		end := min(piece, len(s))
		for end < len(s) && s[end] != ' ' && s[end] != '\n' {
			end++
		}
		if text := metrics.Normalize(s[:end]); text != "" {
			if len(dst) > start {
				dst = append(dst, ' ')
			}
			dst = append(dst, text...)
		}
		s = s[end:]
	}
	return dst
}
