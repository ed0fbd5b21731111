package text_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/verifily/verifily-tui/core/text"
)

func TestEscape(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"plain":              {"word in, phonemes out", "word in, phonemes out"},
		"letters of others":  {"żółw 漢字 שלום हिन्दी", "żółw 漢字 שלום हिन्दी"},
		"emoji":              {"👍🏽", "👍🏽"},
		"line ends":          {"a\nb\r\nc\td", `a\nb\r\nc\td`},
		"colour":             {"\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		"title":              {"\x1b]0;owned\x07", `\x1b]0;owned\x07`},
		"eight-bit sequence": {"\u009b31m", `\u009b31m`},
		"delete, null":       {"a\x7fb\x00", `a\x7fb\x00`},
		"direction":          {"abc\u202edef\u2069\u200f\u061c", `abc\u202edef\u2069\u200f\u061c`},
		"zero width":         {"a\u200bb\u200dc\u2060\ufeff\u00ad", `a\u200bb\u200dc\u2060\ufeff\u00ad`},
		"invisible letters":  {"\u3164\u115f\u2800\u034f", `\u3164\u115f\u2800\u034f`},
		"tags":               {"\U000e0041", `\U000e0041`},
		"variation selector": {"❤\ufe0f", `❤\ufe0f`},
		"separators":         {"\u2028\u2029", `\u2028\u2029`},
		"private use":        {"\ue0b0", `\ue0b0`},
		"broken UTF-8":       {"a\xffb\xc3", `a\xffb\xc3`},
		"combining":          {"e\u0301", "e\u0301"},
		"mark on nothing":    {"\u0301a", `\u0301a`},
		"mark after control": {"\n\u0301", `\n\u0301`},
		"too many marks":     {"a" + strings.Repeat("\u0301", 5), "a" + strings.Repeat("\u0301", 4) + `\u0301`},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, text.Escape(c.in)) })
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{
		{"abcdef", 6, "abcdef"},
		{"abcdef", 5, "abcd…"},
		{"abcdef", 1, "…"},
		{"abcdef", 0, ""},
		{"", 3, ""},
		{"漢字", 4, "漢字"},
		{"漢字", 3, "漢…"},
		{"漢字", 2, "…"},
		{"a\nb", 4, `a\nb`},
		{"a\nb", 3, "a…"},
		{"e\u0301x", 2, "e\u0301x"},
	} {
		assert.Equal(t, c.want, text.Line(c.in, c.width), "%q in %d columns", c.in, c.width)
	}
}

func TestLineReadsNoFurtherThanItNeeds(t *testing.T) {
	long := strings.Repeat("x", 16<<20)
	allocated := testing.AllocsPerRun(1, func() { text.Line(long, 40) })
	assert.Less(t, allocated, 20.0)
}

func TestHead(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{
		{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"abc", 0, ""}, {"", 2, ""}, {"a漢b", 2, "a"}, {"a漢b", 3, "a漢"}, {"e\u0301x", 1, "e\u0301"},
	} {
		assert.Equal(t, c.want, text.Head(c.in, c.width), "%q in %d columns", c.in, c.width)
	}
}

func TestPad(t *testing.T) {
	assert.Equal(t, "漢  ", text.Pad("漢", 4))
	assert.Equal(t, "  漢", text.PadLeft("漢", 4))
	assert.Equal(t, "long", text.Pad("long", 2))
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[2J", "a\u202eb", "e\u0301\u0301\u0301\u0301\u0301", "\xff\xfe", "漢字👩\u200d🚀"} {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, width int) {
		whole := text.Escape(s)
		if !utf8.ValidString(whole) {
			t.Fatalf("Escape(%q) = %q is not UTF-8", s, whole)
		}
		for _, r := range whole {
			if !unicode.IsGraphic(r) {
				t.Fatalf("Escape(%q) = %q keeps %U", s, whole, r)
			}
		}
		if again := text.Escape(whole); again != whole {
			t.Fatalf("Escape(%q) = %q changes to %q", s, whole, again)
		}
		line := text.Line(s, width)
		if got := text.Width(line); got > max(0, width) {
			t.Fatalf("Line(%q, %d) = %q takes %d columns", s, width, line, got)
		}
		if text.Width(whole) <= width && line != whole {
			t.Fatalf("Line(%q, %d) = %q, want all of %q", s, width, line, whole)
		}
	})
}

func TestAgo(t *testing.T) {
	const day = 24 * 60 * 60
	for seconds, want := range map[float64]string{-1: "0s", 59: "59s", 60: "1m", 3599: "59m", 2*day - 1: "47h", 2 * day: "2d", 999 * day: "999d", 2000 * 365 * day: "2000y"} {
		assert.Equal(t, want, text.Ago(seconds))
	}
}

func TestClip(t *testing.T) {
	for s, want := range map[string]string{"": "", "abc": "abc", "abcd": "abc…", "aé": "aé", "abé": "ab…", "日本": "日…", "😀": "…"} {
		assert.Equal(t, want, text.Clip(s, 3), "%q", s)
	}
}
