package screen

import (
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/muesli/termenv"

	"github.com/verifily/verifily-tui/core/text"
)

// Theme says how a frame looks on a terminal.
type Theme struct {
	Light   bool // dark text on a light ground
	Profile termenv.Profile
	// Bare leaves out every attribute, for terminals that obey none.
	Bare bool
	// ASCII replaces every character beyond ASCII.
	ASCII bool
}

// ink is the colour of a role: from the 256 colours on a dark and on a light
// ground, and from the 16.
type ink struct{ dark, light, basic int }

// The colours of 256 keep a contrast of 4.5 or more to their ground. Of the
// 16 only those are used that both grounds can show.
var inks = [roles]ink{
	Text:   {-1, -1, -1},
	Dim:    {245, 243, 8},
	Accent: {111, 25, 4},
	Good:   {114, 28, 2},
	Bad:    {210, 160, 1},
	Doubt:  {221, 130, 3},
	Line1:  {111, 25, 4},
	Line2:  {215, 166, 3},
	Line3:  {114, 28, 2},
	Line4:  {176, 91, 5},
	Line5:  {80, 30, 6},
	Line6:  {210, 160, 1},
}

// The grounds of picked and shaded cells.
var (
	pickedGround = ink{237, 254, -1}
	shadedGround = ink{235, 255, -1}
)

// grounded are the attributes that show on a space too.
const grounded = Picked | Shaded | Cursor

// ground returns the ground of a style, if it has one of its own.
func ground(s Style) (ink, bool) {
	switch {
	case s&Picked != 0:
		return pickedGround, true
	case s&Shaded != 0:
		return shadedGround, true
	}
	return ink{}, false
}

// Render returns the frame as lines with escape sequences for the theme.
func (c *Canvas) Render(t Theme) string {
	var b strings.Builder
	b.Grow(2 * c.w * c.h)
	for y := range c.h {
		if y > 0 {
			b.WriteByte('\n')
		}
		line := c.cells[y*c.w : (y+1)*c.w]
		end := len(line)
		for end > 0 && line[end-1].text == " " && line[end-1].style&grounded == 0 {
			end--
		}
		current := Text
		for _, cell := range line[:end] {
			style := cell.style
			if cell.text == " " {
				// A space has no ink: it need not change what is set.
				style = style&grounded | current&(roleMask|Bold)
			}
			if style != current && !t.Bare {
				b.WriteString(t.sequence(style))
				current = style
			}
			if t.ASCII {
				b.WriteString(ascii(cell.text))
			} else {
				b.WriteString(cell.text)
			}
		}
		if current != Text {
			b.WriteString("\x1b[0m")
		}
	}
	return b.String()
}

// sequence returns what sets a style, whatever was set before.
func (t Theme) sequence(s Style) string {
	out := "\x1b[0"
	if s&Bold != 0 {
		out += ";1"
	}
	role := s & roleMask
	if s&Cursor != 0 {
		return out + ";7m"
	}
	if t.Profile == termenv.Ascii {
		if role == Dim {
			out += ";2"
		}
		if s&Picked != 0 {
			out += ";7"
		}
		return out + "m"
	}
	if n := t.number(inks[role]); n >= 0 {
		out += t.colour(n, 30, 38)
	}
	if g, ok := ground(s); ok {
		if n := t.number(g); n >= 0 {
			out += t.colour(n, 40, 48)
		} else if s&Picked != 0 {
			out += ";7"
		}
	}
	return out + "m"
}

func (t Theme) number(i ink) int {
	switch {
	case t.Profile == termenv.ANSI:
		return i.basic
	case t.Light:
		return i.light
	}
	return i.dark
}

func (t Theme) colour(n, basic, wide int) string {
	switch {
	case t.Profile != termenv.ANSI:
		return fmt.Sprintf(";%d;5;%d", wide, n)
	case n >= 8:
		return fmt.Sprintf(";%d", basic+60+n-8)
	}
	return fmt.Sprintf(";%d", basic+n)
}

// plainer says what stands for a character where there is only ASCII.
var plainer = map[string]string{
	"✓": "+", "✗": "x", "●": "*", "○": "o", "◌": ".", "▸": ">", "⚑": "B", "−": "-", "–": "-", "·": "-",
	"─": "-", "│": "|", "├": "|", "┤": "|", "└": "+", "┼": "+", "┬": "+", "╌": "-", "…": "~", "×": "x", "Δ": "d",
	"▲": "^", "▼": "v", "▁": "_", "▂": "_", "▃": ".", "▄": ".", "▅": "-", "▆": "=", "▇": "*", "█": "#",
	"░": ".", "▏": "|", "≥": ">", "≤": "<", "↑": "^", "↓": "v", "←": "<", "→": ">", "▌": "#", "┊": ":", "◆": "@",
	"━": "=", "▪": "#", "“": "\"", "”": "\"", "’": "'", "┄": "-",
}

// ascii replaces a character, column for column.
func ascii(s string) string {
	if len(s) <= 1 {
		return s
	}
	if p, ok := plainer[s]; ok {
		return p
	}
	r, _ := utf8.DecodeRuneInString(s)
	if r >= 0x2800 && r < 0x2900 {
		return string(".:+*#"[bits.OnesCount8(uint8(r-0x2800))*4/8])
	}
	return strings.Repeat("?", max(1, text.Width(string(r))))
}
