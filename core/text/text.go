// Package text makes text from data, models and files fit for a terminal.
//
// What Escape and Line return contains no character that a terminal obeys or
// hides: control characters, escape sequences, direction marks, zero-width and
// unassigned characters are spelled out, as \n, \x1b or \u202e. Widths are
// columns of a terminal and are never underestimated, so that what fits by
// Width does not wrap.
package text

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// columns does not look at the locale: the same text has the same width
// everywhere. Characters of ambiguous width count as one column, as terminals
// outside East Asian locales draw them.
var columns = runewidth.Condition{StrictEmojiNeutral: true}

// maxMarks is how many combining marks may stand on one character. Languages
// need up to three; more are a way to paint over the lines around.
const maxMarks = 4

// Escape spells out every character of s that a terminal would obey or hide.
func Escape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	var e escaper
	for i := 0; i < len(s); {
		part, size := e.next(s[i:])
		b.WriteString(part)
		i += size
	}
	return b.String()
}

// Line is Escape cut to a number of columns. It looks no further into s than
// it needs to, so s may be megabytes long.
func Line(s string, width int) string {
	if width <= 0 {
		return ""
	}
	var b strings.Builder
	var e escaper
	used, keep := 0, 0 // columns used; bytes that leave room for the mark
	for i := 0; i < len(s); {
		part, size := e.next(s[i:])
		used += Width(part)
		if used > width {
			return b.String()[:keep] + "…"
		}
		b.WriteString(part)
		if used < width {
			keep = b.Len()
		}
		i += size
	}
	return b.String()
}

// Head returns the longest start of an escaped text that takes at most a number
// of columns. Marks stay with the character they stand on.
func Head(s string, width int) string {
	used := 0
	for i, r := range s {
		if used += columns.RuneWidth(r); used > width {
			return s[:i]
		}
	}
	return s
}

// Clip cuts s behind the last whole character within most bytes, and shows with an
// ellipsis that it did. It escapes nothing.
func Clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:max(0, most)] + "…"
}

// Width returns how many columns s takes. It is meant for escaped text.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += columns.RuneWidth(r)
	}
	return n
}

// Pad fills s with spaces on the right up to a number of columns.
func Pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-Width(s)))
}

// PadLeft fills s with spaces on the left up to a number of columns.
func PadLeft(s string, width int) string {
	return strings.Repeat(" ", max(0, width-Width(s))) + s
}

// escaper escapes one character after another.
type escaper struct {
	based bool // there is a character that a combining mark can stand on
	marks int  // combining marks on it
}

// next returns how the first character of s is printed, and its size in s.
func (e *escaper) next(s string) (string, int) {
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && size == 1:
		*e = escaper{}
		return fmt.Sprintf(`\x%02x`, s[0]), 1
	case unicode.Is(unicode.M, r) && !unicode.Is(unicode.Mc, r):
		e.marks++
		if !e.based || e.marks > maxMarks || Hidden(r) {
			return spell(r), size
		}
		return s[:size], size
	case Hidden(r):
		*e = escaper{}
		return spell(r), size
	}
	*e = escaper{based: true}
	return s[:size], size
}

// Hidden says whether a terminal obeys r, shows nothing for it, or cannot be
// relied on to show it in the width that it is counted with.
func Hidden(r rune) bool {
	return !unicode.IsGraphic(r) ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) ||
		unicode.Is(unicode.Variation_Selector, r) ||
		r == brailleBlank
}

// brailleBlank is a letter without ink.
const brailleBlank = '\u2800'

func spell(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// Ago writes for how many seconds something has been over, in at most four
// columns.
func Ago(seconds float64) string {
	const minute, hour, day = 60, 60 * 60, 24 * 60 * 60
	switch s := max(seconds, 0); {
	case s < minute:
		return fmt.Sprintf("%ds", int(s))
	case s < hour:
		return fmt.Sprintf("%dm", int(s/minute))
	case s < 2*day:
		return fmt.Sprintf("%dh", int(s/hour))
	case s < 1000*day:
		return fmt.Sprintf("%dd", int(s/day))
	default:
		return fmt.Sprintf("%dy", int(s/(365*day)))
	}
}
