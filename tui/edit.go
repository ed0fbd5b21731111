package tui

import (
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/screen"
)

// maxEntry bounds what can be typed or pasted into a line.
const maxEntry = 500

// line is a line of text that is being edited.
type line struct {
	runes []rune
	at    int
}

func newLine(s string) line {
	l := line{runes: []rune(s)}
	l.at = len(l.runes)
	return l
}

func (l line) String() string { return string(l.runes) }

// key edits the line; false means that the key is not for it.
func (l *line) key(k tea.KeyMsg) bool {
	switch k.String() {
	case "left", "ctrl+b":
		l.at = max(0, l.at-1)
	case "right", "ctrl+f":
		l.at = min(len(l.runes), l.at+1)
	case "home", "ctrl+a":
		l.at = 0
	case "end", "ctrl+e":
		l.at = len(l.runes)
	case "backspace", "ctrl+h":
		l.cut(l.at-1, l.at)
	case "delete", "ctrl+d":
		l.cut(l.at, l.at+1)
	case "ctrl+u":
		l.cut(0, l.at)
	case "ctrl+k":
		l.cut(l.at, len(l.runes))
	case "ctrl+w":
		start := l.at
		for start > 0 && l.runes[start-1] == ' ' {
			start--
		}
		for start > 0 && l.runes[start-1] != ' ' {
			start--
		}
		l.cut(start, l.at)
	default:
		if (k.Type != tea.KeyRunes && k.Type != tea.KeySpace) || k.Alt {
			return false
		}
		l.insert(k.Runes)
	}
	return true
}

func (l *line) insert(typed []rune) {
	var add []rune
	for _, r := range typed {
		if r == '\n' || r == '\r' || r == '\t' {
			r = ' '
		}
		if len(l.runes)+len(add) < maxEntry {
			add = append(add, r)
		}
	}
	l.runes = append(l.runes[:l.at:l.at], append(add, l.runes[l.at:]...)...)
	l.at += len(add)
}

func (l *line) cut(from, to int) {
	from, to = max(0, from), min(len(l.runes), to)
	if from >= to {
		return
	}
	l.runes = append(l.runes[:from:from], l.runes[to:]...)
	l.at = from
}

// draw shows the line with its cursor in w columns, the part around the cursor
// where it does not fit.
func (l line) draw(c *screen.Canvas, x, y, w int) {
	if w < 2 {
		return
	}
	before := text.Escape(string(l.runes[:l.at]))
	for text.Width(before) > w-2 {
		_, size := utf8.DecodeRuneInString(before)
		before = before[size:]
	}
	end := c.PutIn(x, y, w, screen.Text, before)
	under := " "
	rest := ""
	if l.at < len(l.runes) {
		under = text.Escape(string(l.runes[l.at]))
		rest = string(l.runes[l.at+1:])
	}
	next := c.PutIn(end, y, w-(end-x), screen.Text, under)
	c.Mark(end, y, max(1, next-end), screen.Cursor)
	c.PutIn(next, y, w-(next-x), screen.Text, rest)
}
