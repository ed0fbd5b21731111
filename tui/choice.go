package tui

import (
	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/tui/screen"
)

// choice is a question with a few answers, each with a letter. It stands over
// the view until it is answered.
type choice struct {
	question string
	more     []string // what to know before answering
	options  []option
	cursor   int
	// closed is told when the question is left without an answer.
	closed func(*Model) tea.Cmd
}

// option is an answer.
type option struct {
	key, words string
	do         func(*Model) tea.Cmd
}

func (m *Model) pressChoice(name string) tea.Cmd {
	q := m.choice
	answer := func(i int) tea.Cmd {
		m.choice = nil
		return q.options[i].do(m)
	}
	switch name {
	case "up", "k", "shift+tab":
		q.cursor = max(0, q.cursor-1)
	case "down", "j", "tab":
		q.cursor = max(0, min(len(q.options)-1, q.cursor+1))
	case "enter":
		if len(q.options) > 0 {
			return answer(q.cursor)
		}
	case "esc":
		m.choice = nil
		if q.closed != nil {
			return q.closed(m)
		}
	default:
		for i := range q.options {
			if q.options[i].key == name {
				return answer(i)
			}
		}
	}
	return nil
}

// drawChoice draws the question over the view.
func (m *Model) drawChoice(c *screen.Canvas) {
	q := m.choice
	w := min(c.Width()-4, 72)
	x, y := (c.Width()-w)/2, 2
	type line struct {
		style screen.Style
		words string
		at    int // of the option that it begins, -1: none
	}
	var lines []line
	add := func(style screen.Style, words string, width, at int) {
		for i, part := range wrap(words, width) {
			if i > 0 {
				at = -1
			}
			lines = append(lines, line{style, part, at})
		}
	}
	add(screen.Text|screen.Bold, q.question, w-3, -1)
	for _, words := range q.more {
		add(screen.Dim, words, w-3, -1)
	}
	if len(q.options) > 0 && c.Height() >= 16 {
		lines = append(lines, line{at: -1})
	}
	first := len(lines)
	for i := range q.options {
		add(screen.Text, q.options[i].words, w-10, i)
	}
	h := min(c.Height()-4, len(lines)+2)
	if c.Height() < 16 {
		h = min(c.Height()-3, len(lines))
	}
	c.Clear(0, y, c.Width(), h)
	top := y
	if h > len(lines) {
		top++
	}
	for j := range h {
		c.Mark(x-1, y+j, w+2, screen.Shaded)
	}
	picked := false
	for j, l := range lines {
		row := top + j
		if row >= y+h {
			return
		}
		if l.at >= 0 {
			picked = l.at == q.cursor
		}
		left, width := x+1, w-2
		if j >= first {
			left, width = x+7, w-8
		}
		ground := screen.Shaded
		if j >= first && picked {
			ground = screen.Picked
		}
		c.PutIn(left, row, width, l.style|ground, l.words)
		if l.at >= 0 {
			c.PutIn(x+3, row, 4, screen.Text|screen.Bold|ground, q.options[l.at].key)
			if picked {
				c.Set(x+1, row, screen.Accent|ground, '▸')
			}
		}
		c.Mark(x-1, row, w+2, ground)
	}
}
