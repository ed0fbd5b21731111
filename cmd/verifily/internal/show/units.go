package show

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// count writes a whole number with thousands separators.
func count[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	digits := strings.TrimPrefix(s, "-")
	var b strings.Builder
	b.WriteString(s[:len(s)-len(digits)])
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// plural writes a number and the noun that goes with it.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// score writes a metric or a loss in at most ten columns.
func score(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 0):
		return strings.ToLower(strconv.FormatFloat(v, 'g', -1, 64))
	case a >= 1e5:
		return fmt.Sprintf("%.3e", v)
	case a >= 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.4f", v)
}

// decimals is how many decimals an interval allows: two digits of its width.
func decimals(low, high float64) int {
	if !(high > low) || math.IsInf(high-low, 0) {
		return 4
	}
	return min(6, max(1, 1+int(math.Ceil(-math.Log10(high-low)))))
}

// estimate writes a value with as many decimals as its interval allows, and
// the interval; a difference has signs.
func estimate(v, low, high float64, signs bool) (value, interval string) {
	number := func(v float64) string { return score(v) }
	if math.Abs(v) < 1e5 && math.Abs(low) < 1e5 && math.Abs(high) < 1e5 {
		places := decimals(low, high)
		number = func(v float64) string { return strconv.FormatFloat(v, 'f', places, 64) }
	}
	write := func(v float64) string {
		if signs && v >= 0 {
			return "+" + number(v)
		}
		return number(v)
	}
	return write(v), "[" + write(low) + ", " + write(high) + "]"
}

// signed writes a difference.
func signed(v float64) string {
	if v >= 0 {
		return "+" + score(v)
	}
	return score(v)
}

// share writes a part of a whole as a percentage.
func share(part, whole int) string {
	if whole == 0 {
		return "0.0%"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(whole))
}

func learningRate(v float64) string { return fmt.Sprintf("%.2e", v) }

// rate writes tokens a second.
func rate(v float64) string {
	if !(v >= 0 && v < 1e15) {
		return "? tok/s"
	}
	return count(int64(math.Round(v))) + " tok/s"
}

// duration writes seconds as 0.8s, 42s, 1m12s, 2h05m or 3d04h.
func duration(seconds float64) string {
	switch {
	case !(seconds >= 0 && seconds < 1e9): // also what is not a number
		return "?"
	case seconds < 9.95:
		return fmt.Sprintf("%.1fs", seconds)
	}
	d := time.Duration(math.Round(seconds)) * time.Second
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h >= 24:
		return fmt.Sprintf("%dd%02dh", h/24, h%24)
	case h > 0:
		return fmt.Sprintf("%dh%02dm", h, m)
	case m > 0:
		return fmt.Sprintf("%dm%02ds", m, s)
	}
	return fmt.Sprintf("%ds", s)
}

// memory writes bytes in MB or GB (powers of ten).
func memory(bytes int64) string {
	if bytes > 999e6 {
		return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
	}
	return fmt.Sprintf("%d MB", (bytes+1e6-1)/1e6)
}
