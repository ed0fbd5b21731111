package tui

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// score writes a metric or a loss.
func score(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 0):
		return strings.ToLower(strconv.FormatFloat(v, 'g', -1, 64))
	case a >= 1e5:
		return fmt.Sprintf("%.2e", v)
	case a >= 1000:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// scoreIn writes a value with as many decimals as its interval allows: the
// second digit of the interval's width is the last that says anything.
func scoreIn(v float64, i source.Interval) string {
	width := i.High - i.Low
	if !i.Known() || !(width > 0) || math.Abs(v) >= 1e5 {
		return score(v)
	}
	places := min(6, max(1, 1+int(math.Ceil(-math.Log10(width)))))
	return strconv.FormatFloat(v, 'f', places, 64)
}

// ends writes an interval in the decimals that it allows.
func ends(i source.Interval) string {
	if !i.Known() {
		return ""
	}
	return "[" + scoreIn(i.Low, i) + ", " + scoreIn(i.High, i) + "]"
}

// signed writes a difference, with a minus as wide as the plus.
func signed(v float64) string {
	if v < 0 {
		return "−" + score(-v)
	}
	return "+" + score(v)
}

// signsIn writes the interval of a difference in the decimals that it allows.
func signsIn(i source.Interval) string {
	if !i.Known() {
		return ""
	}
	end := func(v float64) string {
		if v < 0 {
			return "−" + scoreIn(-v, i)
		}
		return "+" + scoreIn(v, i)
	}
	return "[" + end(i.Low) + ", " + end(i.High) + "]"
}

// ago writes an age in four columns.
func ago(d time.Duration) string { return text.Ago(d.Seconds()) }

// epochCount writes how many times the data was gone through.
func epochCount(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// lasted writes a duration of seconds in at most seven columns.
func lasted(seconds float64) string {
	if !(seconds >= 0) || seconds > 1e9 {
		return "–"
	}
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 100*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// count writes a whole number with thousands separators.
func count(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// short returns the last part of a path; that of a folder keeps its slash.
func short(path string) string {
	return path[strings.LastIndexAny(strings.TrimRight(path, `/\`), `/\`)+1:]
}

// sign is how a status shows: a glyph that tells as much as its colour.
func sign(e *runs.Entry) (rune, screen.Style) {
	if e.Err != nil {
		return '!', screen.Bad
	}
	switch e.Status {
	case runs.StatusRunning:
		return '●', screen.Accent
	case runs.StatusCompleted:
		return '✓', screen.Good
	case runs.StatusFailed:
		return '✗', screen.Bad
	case runs.StatusInterrupted:
		return '◌', screen.Doubt
	}
	return '○', screen.Dim
}
