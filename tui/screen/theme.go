package screen

import (
	"io"
	"math/bits"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"
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

// ASCII returns the frame as Plain does, in characters of ASCII.
func (c *Canvas) ASCII() string {
	var b strings.Builder
	for y := range c.h {
		var line strings.Builder
		cells := c.cells[y*c.w : (y+1)*c.w]
		for i := range cells {
			line.WriteString(asciiAt(cells, i))
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// Detect asks the environment what colours a terminal shows, and with ask the
// terminal itself for its ground: one that does not answer costs seconds.
func Detect(terminal io.Writer, ask bool) Theme {
	r := lipgloss.NewRenderer(terminal)
	t := Theme{Profile: r.ColorProfile()}
	if ask && t.Profile != termenv.Ascii {
		t.Light = !r.HasDarkBackground()
	}
	return t
}

// ink is a colour: on a dark and on a light ground, each in full, from the 256
// colours and from the 16.
type ink = lipgloss.CompleteAdaptiveColor

func newInk(dark, dark256, light, light256, basic string) *ink {
	return &ink{
		Dark:  lipgloss.CompleteColor{TrueColor: dark, ANSI256: dark256, ANSI: basic},
		Light: lipgloss.CompleteColor{TrueColor: light, ANSI256: light256, ANSI: basic},
	}
}

// The colours of the roles; Text has that of the terminal. All keep a contrast
// of 4.5 or more to their ground. Of the 16 only those are used that both
// grounds can show.
var inks = [roles]*ink{
	Dim:    newInk("#8b919d", "245", "#636a76", "242", "8"),
	Accent: newInk("#82aaff", "111", "#1f5fbf", "25", "4"),
	Good:   newInk("#8fd18c", "114", "#1f7a33", "28", "2"),
	Bad:    newInk("#ff8787", "210", "#c4262e", "160", "1"),
	Doubt:  newInk("#f2c661", "221", "#8f5b00", "94", "3"),
	Line1:  newInk("#82aaff", "111", "#1f5fbf", "25", "4"),
	Line2:  newInk("#ffb26b", "215", "#b45309", "130", "3"),
	Line3:  newInk("#8fd18c", "114", "#1f7a33", "28", "2"),
	Line4:  newInk("#d18ce0", "176", "#8e2fa8", "91", "5"),
	Line5:  newInk("#63cfcf", "80", "#0f6f80", "24", "6"),
	Line6:  newInk("#ff8787", "210", "#c4262e", "160", "1"),
}

// The grounds of picked and shaded cells; the 16 colours have none for them.
var (
	pickedGround = newInk("#2c313c", "237", "#e3e8f1", "254", "")
	shadedGround = newInk("#22262e", "235", "#eff1f5", "255", "")
)

// grounded are the attributes that show on a space too.
const grounded = Picked | Shaded | Cursor

// ground returns the ground of a style, nil where it has none of its own.
func ground(s Style) *ink {
	switch {
	case s&Picked != 0:
		return pickedGround
	case s&Shaded != 0:
		return shadedGround
	}
	return nil
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
		for i, cell := range line[:end] {
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
				b.WriteString(asciiAt(line, i))
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

// sequences holds what sets each style that was met, by theme: lipgloss works
// it out once, frames only copy it.
var sequences sync.Map // from sequenceKey to string

type sequenceKey struct {
	light   bool
	profile termenv.Profile
	style   Style
}

// sequence returns what sets a style, whatever was set before.
func (t Theme) sequence(s Style) string {
	key := sequenceKey{t.Light, t.Profile, s}
	if known, ok := sequences.Load(key); ok {
		return known.(string)
	}
	const probe = "x"
	opening, _, _ := strings.Cut(t.style(s).Render(probe), probe)
	out := "\x1b[0m" + opening
	sequences.Store(key, out)
	return out
}

// style is a style of cells as one of lipgloss.
func (t Theme) style(s Style) lipgloss.Style {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetHasDarkBackground(!t.Light)
	r.SetColorProfile(t.Profile)
	if t.Profile == termenv.Ascii {
		// lipgloss would leave out bold and reverse with the colours, but those
		// are all that is left to tell things apart by.
		r.SetColorProfile(termenv.ANSI)
	}
	out := r.NewStyle().Bold(s&Bold != 0)
	role := s & roleMask
	coloured := t.Profile != termenv.Ascii
	switch {
	case s&Cursor != 0:
		return out.Reverse(true)
	case coloured && inks[role] != nil:
		out = out.Foreground(*inks[role])
	case role == Dim:
		out = out.Faint(true)
	}
	if g := ground(s); g != nil {
		if t.Profile == termenv.ANSI256 || t.Profile == termenv.TrueColor {
			out = out.Background(*g)
		} else {
			out = out.Reverse(s&Picked != 0)
		}
	}
	return out
}

// plainer says what stands for a character where there is only ASCII.
var plainer = map[string]string{
	"✓": "+", "✗": "x", "●": "*", "○": "o", "◌": ".", "▸": ">", "⚑": "B", "−": "-", "–": "-", "·": "-",
	"─": "-", "│": "|", "├": "|", "┤": "|", "└": "+", "┼": "+", "┬": "+", "╌": "-", "…": "~", "×": "x", "Δ": "d",
	"▲": "^", "▼": "v", "▁": "_", "▂": "_", "▃": ".", "▄": ".", "▅": "-", "▆": "=", "▇": "*", "█": "#",
	"░": ".", "▏": "|", "≥": ">", "≤": "<", "↑": "^", "↓": "v", "←": "<", "→": ">", "▌": "#", "┊": ":", "◆": "@",
	"━": "=", "╍": "-", "┉": ".", "┅": "~", "┈": ",", "■": "#", "□": "0", "△": "A", "▪": "#", "“": "\"", "”": "\"", "’": "'", "┄": "-",
}

// asciiAt replaces the character of a cell. A bound that is met has a sign of two
// columns, and takes the space behind it.
func asciiAt(line []cell, i int) string {
	if line[i].text == " " && i > 0 && (line[i-1].text == "≥" || line[i-1].text == "≤") {
		return "="
	}
	return ascii(line[i].text)
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
