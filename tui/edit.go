package tui

import (
	"unicode/utf8"

	"github.com/charmbracelet/bubbles/key"
	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/screen"
)

// maxEntry bounds what can be typed or pasted into a line, in characters.
const maxEntry = 500

// line is a line of text that is being edited: bubbles/textinput edits it, the
// canvas shows it. The zero value is an empty line.
type line struct {
	input textinput.Model
	made  bool
}

func newLine(s string) line {
	var l line
	l.make()
	l.input.SetValue(s)
	l.input.CursorEnd()
	return l
}

func (l *line) make() {
	if l.made {
		return
	}
	l.input, l.made = textinput.New(), true
	l.input.Prompt, l.input.CharLimit = "", maxEntry
	// The terminal pastes; asking the system for its clipboard would start a
	// program.
	l.input.KeyMap.Paste.SetEnabled(false)
	l.input.Focus()
}

func (l line) String() string { return l.input.Value() }

// key edits the line; false means that the key is not for it.
func (l *line) key(k tea.KeyMsg) bool {
	l.make()
	typed := (k.Type == tea.KeyRunes || k.Type == tea.KeySpace) && !k.Alt
	m := &l.input.KeyMap
	if !typed && !key.Matches(k, m.CharacterForward, m.CharacterBackward, m.WordForward, m.WordBackward,
		m.DeleteWordBackward, m.DeleteWordForward, m.DeleteAfterCursor, m.DeleteBeforeCursor,
		m.DeleteCharacterBackward, m.DeleteCharacterForward, m.LineStart, m.LineEnd) {
		return false
	}
	l.input, _ = l.input.Update(k)
	return true
}

// draw shows the line with its cursor in w columns, the part around the cursor
// where it does not fit.
func (l line) draw(c *screen.Canvas, x, y, w int) {
	if w < 2 {
		return
	}
	value := []rune(l.input.Value())
	at := min(l.input.Position(), len(value))
	before := text.Escape(string(value[:at]))
	for text.Width(before) > w-2 {
		_, size := utf8.DecodeRuneInString(before)
		before = before[size:]
	}
	end := c.PutIn(x, y, w, screen.Text, before)
	under := " "
	rest := ""
	if at < len(value) {
		under = text.Escape(string(value[at]))
		rest = string(value[at+1:])
	}
	next := c.PutIn(end, y, w-(end-x), screen.Text, under)
	c.Mark(end, y, max(1, next-end), screen.Cursor)
	c.PutIn(next, y, w-(next-x), screen.Text, rest)
}
