package compare

import (
	"fmt"
	"math"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/verifily/verifily-tui/core/stats"
)

// columns does not look at the locale: the same text has the same width
// everywhere.
var columns = runewidth.Condition{StrictEmojiNeutral: true}

func width(s string) int { return columns.StringWidth(s) }

// hidden says whether a terminal obeys r or shows nothing for it: control
// characters, direction marks, zero-width and unassigned ones.
func hidden(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) ||
		unicode.Is(unicode.Variation_Selector, r) || unicode.Is(unicode.Bidi_Control, r)
}

// safe spells out what a terminal obeys or hides.
func safe(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !hidden(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// cut shortens a safe text to a number of columns.
func cut(s string, w int) string {
	if width(s) <= w {
		return s
	}
	return columns.Truncate(s, max(w, 1), "…")
}

// decimals is how many decimals an interval allows: two digits of its width.
func decimals(i *stats.Interval) int {
	if i == nil || !(i.High > i.Low) {
		return 3
	}
	return min(6, max(1, 1+int(math.Ceil(-math.Log10(i.High-i.Low)))))
}

// fixed prints a number of any size: very large and very small ones with an
// exponent.
func fixed(v float64, places int, sign bool) string {
	verb := "%.*f"
	if a := math.Abs(v); a >= 1e7 || a != 0 && a < 1e-6 {
		verb, places = "%.*e", 2
	}
	if sign {
		verb = "%+" + verb[1:]
	}
	return fmt.Sprintf(verb, places, v)
}

func probability(p *float64) string {
	switch {
	case p == nil:
		return ""
	case *p < 0.001:
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", *p)
}

func span(i *stats.Interval, places int, sign bool) string {
	if i == nil {
		return ""
	}
	return "[" + fixed(i.Low, places, sign) + ", " + fixed(i.High, places, sign) + "]"
}

// verdict is the mark of a difference, and a word: ✓ it is real, ~ it may be
// chance, ? it is not paired.
func verdict(d *Delta, tooFew bool) string {
	switch {
	case tooFew:
		return "too few"
	case d == nil:
		return ""
	case d.P == nil:
		return "? no test"
	}
	mark := "~"
	if d.Significant {
		mark = "✓"
	}
	if !d.Paired {
		mark = "?"
	}
	return mark + " " + string(d.Verdict)
}

func (s Slice) label() string {
	if s.Key == "" {
		return s.Value
	}
	return s.Key + "=" + s.Value
}

// count says "1 key differs", "2 keys differ".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
