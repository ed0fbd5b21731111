package tui

import (
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/screen"
)

// chooser is the list in which the columns of the table are chosen and put in
// order. Every change shows in the table behind it at once.
type chooser struct{ cursor int }

// arrange takes an order of columns over. Names that are not known are passed
// over, columns without one keep their places after those that have.
func (t *table) arrange(ids []string) {
	t.columns = nil
	if len(ids) == 0 {
		return
	}
	for _, id := range ids {
		if columnOf(id) != nil && !slices.Contains(t.columns, id) {
			t.columns = append(t.columns, id)
		}
	}
	for i := range runColumns {
		if !slices.Contains(t.columns, runColumns[i].id) {
			t.columns = append(t.columns, runColumns[i].id)
		}
	}
}

// order returns the order of the columns, nil where nobody changed it.
func (t *table) order() []string { return t.columns }

// arranged returns the columns from left to right.
func (t *table) arranged() []*column {
	out := make([]*column, 0, len(runColumns))
	if len(t.columns) == 0 {
		for i := range runColumns {
			out = append(out, &runColumns[i])
		}
		return out
	}
	for _, id := range t.columns {
		out = append(out, columnOf(id))
	}
	return out
}

func (m *Model) chooseColumns() tea.Cmd {
	m.chooser = &chooser{}
	return nil
}

// shift moves the column under the cursor to the left or to the right.
func (m *Model) shift(by int) {
	t := &m.table
	to := m.chooser.cursor + by
	if to < 0 || to >= len(runColumns) {
		return
	}
	if len(t.columns) == 0 {
		for i := range runColumns {
			t.columns = append(t.columns, runColumns[i].id)
		}
	}
	order := slices.Clone(t.columns)
	order[m.chooser.cursor], order[to] = order[to], order[m.chooser.cursor]
	t.columns, m.chooser.cursor = order, to
}

// pressColumns takes the keys of the chooser.
func (m *Model) pressColumns(name string) tea.Cmd {
	t, at := &m.table, m.chooser.cursor
	list := t.arranged()
	switch name {
	case "up", "k":
		m.chooser.cursor = max(0, at-1)
		return nil
	case "down", "j":
		m.chooser.cursor = min(len(list)-1, at+1)
		return nil
	case "home", "g":
		m.chooser.cursor = 0
		return nil
	case "end", "G":
		m.chooser.cursor = len(list) - 1
		return nil
	case " ":
		if id := list[at].id; t.hidden[id] {
			delete(t.hidden, id)
		} else if id != "name" {
			t.hidden[id] = true
		}
	case "<", "left", "h", "shift+up", "K":
		m.shift(-1)
	case ">", "right", "l", "shift+down", "J":
		m.shift(1)
	case "s":
		if col := list[at]; col.key != nil || col.text != nil {
			if t.sort == col.id {
				t.reverse = !t.reverse
			} else {
				t.sort, t.reverse = col.id, false
			}
			t.dirty = true
		}
	case "0":
		t.columns, t.hidden = nil, map[string]bool{}
		m.chooser.cursor = 0
	case "esc", "enter", "q", "C":
		m.chooser = nil
		return nil
	default:
		return nil
	}
	return m.save()
}

// drawColumns draws the chooser over the table.
func (m *Model) drawColumns(c *screen.Canvas) {
	t, list := &m.table, m.table.arranged()
	const help = "space shows  < > moves  s sorts  0 as it was  esc closes"
	w := min(c.Width()-4, text.Width(help)+4)
	h := min(c.Height()-4, len(list)+3)
	x, y := c.Width()-w-2, 2
	c.Clear(x-1, y, w+2, h)
	for j := range h {
		c.Mark(x-1, y+j, w+2, screen.Shaded)
	}
	c.PutIn(x+1, y, w-2, screen.Accent|screen.Bold|screen.Shaded, "columns, from left to right")
	rows := h - 2
	top := max(0, min(m.chooser.cursor-rows/2, len(list)-rows))
	shown := map[string]bool{}
	for _, p := range t.layout(tableLeft, c.Width()-tableLeft-1) {
		shown[p.id] = true
	}
	for j := 0; j < rows && top+j < len(list); j++ {
		col, line := list[top+j], y+1+j
		style, glyph := screen.Text|screen.Shaded, '✓'
		note := ""
		switch {
		case t.hidden[col.id]:
			style, glyph, note = screen.Dim|screen.Shaded, '·', "hidden"
		case !shown[col.id]:
			note = "no room"
		}
		if col.id == t.sort {
			note = "sorted ↓"
			if t.reverse {
				note = "sorted ↑"
			}
		}
		c.Set(x+3, line, style, glyph)
		c.PutIn(x+5, line, 16, style, col.about)
		c.PutIn(x+22, line, w-23, screen.Dim|screen.Shaded, note)
		if top+j == m.chooser.cursor {
			c.Mark(x-1, line, w+2, screen.Picked)
			c.Set(x+1, line, screen.Accent|screen.Picked, '▸')
		}
	}
	c.PutIn(x+1, y+h-1, w-1, screen.Dim|screen.Shaded, help)
}
