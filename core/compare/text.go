package compare

import (
	"fmt"
	"math"

	"github.com/verifily/verifily-tui/core/stats"
)

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
// chance, ? it is not paired. What only one of the two has is not compared.
func verdict(base, value *Value, d *Delta, tooFew bool) string {
	switch {
	case value == nil:
		return "not in new"
	case base == nil:
		return "not in base"
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
