package show

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/verifily/verifily-tui/core/text"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		s     string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"one two three", 80, []string{"one two three"}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 6, []string{"one", "two", "three"}},
		{"a verylongword b", 6, []string{"a", "verylo", "ngword", "b"}},
		{"a\x1b  b\n", 80, []string{`a\x1b b\n`}},
		{"東京都", 4, []string{"東京", "都"}},
		{"ab", 0, []string{"ab"}},
		{"abc", 1, []string{"ab", "c"}},
	} {
		assert.Equal(t, c.want, wrap(c.s, c.width), "%q in %d", c.s, c.width)
	}
}

func TestItemHangs(t *testing.T) {
	assert.Equal(t, []string{"  - one two", "    three"}, item("  - ", "one two three", 12))
}

// A command is broken where a shell goes on with the next line, and nowhere
// else.
func TestCommandStaysOne(t *testing.T) {
	const long = "verifily eval --run runs/run_1 --test-data FILE.jsonl --slice-by a,b"
	for width := 10; width < 100; width++ {
		lines := command("  next  ", long, width)
		words := strings.Fields(strings.ReplaceAll(strings.Join(lines, "\n"), "\\\n", " "))
		assert.Equal(t, append([]string{"next"}, strings.Fields(long)...), words, "width %d", width)
		for _, line := range lines {
			if parts := strings.Count(line, " --"); parts > 1 {
				assert.LessOrEqual(t, text.Width(line), width)
			}
		}
	}
	assert.Equal(t, []string{"  next  " + long}, command("  next  ", long, 80))
	assert.Equal(t, []string{`  next  verifily eval --run runs/run_1 \`, "          --test-data FILE.jsonl --slice-by a,b"}, command("  next  ", long, 48))
	quoted := "verifily eval --run 'a --b' --slice-by c"
	assert.Equal(t, []string{quoted}, command("", quoted, 20))
}

func TestEstimate(t *testing.T) {
	for _, c := range []struct {
		v, low, high float64
		signs        bool
		value, span  string
	}{
		{0.72912, 0.7151, 0.7432, false, "0.729", "[0.715, 0.743]"},
		{0.015, 0.006, 0.024, true, "+0.015", "[+0.006, +0.024]"},
		{-0.25, -0.5, 0, true, "-0.25", "[-0.50, +0.00]"},
		{0.5, 0.2, 0.8, false, "0.50", "[0.20, 0.80]"},
		{0.5, 0.5, 0.5, false, "0.5000", "[0.5000, 0.5000]"},
		{12.3456, 3, 90, false, "12.3", "[3.0, 90.0]"},
		{1e6, 1, 2e6, true, "+1.000e+06", "[+1.0000, +2.000e+06]"},
	} {
		value, interval := estimate(c.v, c.low, c.high, c.signs)
		assert.Equal(t, c.value, value)
		assert.Equal(t, c.span, interval)
	}
	assert.Equal(t, "+0.0000", signed(0))
	assert.Equal(t, "-1.5000", signed(-1.5))
	assert.Equal(t, "0.0%", share(0, 0))
	assert.Equal(t, "33.3%", share(1, 3))
}
