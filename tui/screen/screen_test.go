package screen_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/muesli/termenv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/screen"
)

func TestPut(t *testing.T) {
	for _, c := range []struct {
		name, put, want string
		x, w            int
	}{
		{"fits", "abc", "abc", 0, 10},
		{"is cut", "abcdef", "abc…", 0, 4},
		{"ends at the edge", "abcdef", "        a…", 8, 10},
		{"escapes", "a\x1b[2Jb", `a\x1b[2Jb`, 0, 10},
		{"wide characters are not halved", "日本語", "日本…", 0, 5},
		{"wide characters at the edge", "日", "         …", 9, 10},
		{"marks stay with their character", "e\u0301e", "e\u0301e", 0, 10},
		{"before the edge", "abc", "", -1, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			canvas := screen.New(10, 1)
			canvas.PutIn(c.x, 0, c.w, screen.Text, c.put)
			assert.Equal(t, c.want+"\n", canvas.Plain())
		})
	}
}

func TestOverwriteHalves(t *testing.T) {
	c := screen.New(6, 1)
	c.Put(0, 0, screen.Text, "日本")
	c.Set(1, 0, screen.Text, 'x')
	assert.Equal(t, " x本\n", c.Plain())
	c.Set(2, 0, screen.Text, 'y')
	assert.Equal(t, " xy\n", c.Plain())
}

func TestOutside(t *testing.T) {
	c := screen.New(0, -3)
	c.Set(5, 5, screen.Text, 'x')
	c.Put(0, 9, screen.Text, "x")
	c.Fill(-5, 0, 3, screen.Text, 'x')
	c.Mark(-5, -5, 50, screen.Picked)
	c.Clear(-1, -1, 9, 9)
	c.PutRight(0, 0, -4, screen.Text, "x")
	assert.Equal(t, "\n", c.Plain())
}

// TestASCIIBounds: "at least" does not become "more than".
func TestASCIIBounds(t *testing.T) {
	c := screen.New(12, 1)
	c.Put(0, 0, screen.Text, "≥ 5 · ≤ 0")
	assert.Equal(t, ">=5 - <=0\n", c.ASCII())
	assert.Equal(t, ">=5 - <=0", c.Render(screen.Theme{Profile: termenv.Ascii, ASCII: true, Bare: true}))
}

func TestRender(t *testing.T) {
	c := screen.New(8, 2)
	c.Put(0, 0, screen.Good|screen.Bold, "✓ ok")
	c.Put(0, 1, screen.Text, "é─⣿日")
	c.Mark(0, 1, 8, screen.Picked)
	for name, want := range map[string]struct {
		theme screen.Theme
		frame string
	}{
		"256":      {screen.Theme{Profile: termenv.ANSI256}, "\x1b[0m\x1b[1;38;5;114m✓ ok\x1b[0m\n\x1b[0m\x1b[48;5;237mé─⣿日   \x1b[0m"},
		"light":    {screen.Theme{Profile: termenv.ANSI256, Light: true}, "\x1b[0m\x1b[1;38;5;28m✓ ok\x1b[0m\n\x1b[0m\x1b[48;5;254mé─⣿日   \x1b[0m"},
		"full":     {screen.Theme{Profile: termenv.TrueColor}, "\x1b[0m\x1b[1;38;2;143;209;140m✓ ok\x1b[0m\n\x1b[0m\x1b[48;2;44;48;60mé─⣿日   \x1b[0m"},
		"16":       {screen.Theme{Profile: termenv.ANSI}, "\x1b[0m\x1b[1;32m✓ ok\x1b[0m\n\x1b[0m\x1b[7mé─⣿日   \x1b[0m"},
		"no color": {screen.Theme{Profile: termenv.Ascii}, "\x1b[0m\x1b[1m✓ ok\x1b[0m\n\x1b[0m\x1b[7mé─⣿日   \x1b[0m"},
		"dumb":     {screen.Theme{Profile: termenv.Ascii, ASCII: true, Bare: true}, "+ ok\n?-#??   "},
	} {
		assert.Equal(t, want.frame, c.Render(want.theme), name)
	}
}

func TestSVG(t *testing.T) {
	c := screen.New(20, 3)
	c.Put(1, 0, screen.Bad, `<b> & "x"`)
	c.Mark(0, 0, 20, screen.Picked)
	c.Put(0, 1, screen.Good, "├─●─┤ ▁▂█ ⣿ ┊ ━ ░")
	c.Put(0, 2, screen.Text, "日本 🙂")
	c.Mark(3, 2, 1, screen.Cursor)
	for _, light := range []bool{false, true} {
		svg := c.SVG(screen.Theme{Light: light})
		require.NoError(t, xml.Unmarshal([]byte(svg), new(struct{})), "it is XML")
		assert.Contains(t, svg, "&lt;b&gt;")
		assert.Contains(t, svg, ">&amp;<")
		assert.NotContains(t, svg, "⣿", "dots are drawn, not written")
		assert.Equal(t, 5, strings.Count(svg, "<text"), "a word each:\n%s", svg)
	}
}

func FuzzPut(f *testing.F) {
	f.Add("日本\x1b", 3, 5)
	f.Add("e\u0301\u0301\U0001F469\u200d\U0001F4BB", 0, 2)
	f.Fuzz(func(t *testing.T, s string, x, w int) {
		c := screen.New(9, 1)
		c.Put(0, 0, screen.Text, "界界界界")
		c.PutIn(x, 0, w, screen.Text, s)
		line := strings.TrimSuffix(c.Plain(), "\n")
		require.LessOrEqual(t, text.Width(line), 9)
		require.Equal(t, text.Escape(line), line)
	})
}
