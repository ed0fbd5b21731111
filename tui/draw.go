package tui

import (
	"path/filepath"
	"strings"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
)

// View returns the frame.
func (m *Model) View() string { return m.canvas().Render(m.theme) }

// The smallest screen that a view fits on.
const (
	leastWidth  = 30
	leastHeight = 8
)

// canvas draws the frame: tabs, subject, the view, what happened, keys.
func (m *Model) canvas() *screen.Canvas {
	c := screen.New(m.width, m.height)
	w, h := c.Width(), c.Height()
	if w < leastWidth || h < leastHeight {
		c.Put(0, 0, screen.Text, "too small")
		c.Put(0, 1, screen.Dim, "make it 40x12")
		return c
	}
	m.drawTabs(c)
	if m.help {
		m.drawHelp(c)
		return c
	}
	left, right := m.views[m.at].subject(m)
	room := w - 2
	if right != "" {
		shown := min(text.Width(text.Line(right, w)), w/2)
		c.PutRight(w-1-shown, 1, shown, screen.Dim, right)
		room -= shown + 2
	}
	c.PutIn(1, 1, room, screen.Text|screen.Bold, left)
	m.views[m.at].draw(m, c, m.body())
	m.drawNotice(c)
	m.drawKeys(c)
	if m.palette != nil {
		m.drawPalette(c)
	}
	if m.choice != nil {
		m.drawChoice(c)
	}
	if m.chooser != nil {
		m.drawColumns(c)
	}
	return c
}

// body is where the view is drawn.
func (m *Model) body() plot.Rect {
	top := 2
	if m.height >= 16 {
		top = 3
	}
	return plot.Rect{X: 0, Y: top, W: m.width, H: m.height - top - 2}
}

// tab is a view's place in the first line.
type tab struct {
	x     int
	words string
	view  viewID
}

// tabs places the views in the first line: by number alone, but for the one
// that is shown, where names do not fit.
func (m *Model) tabs() []tab {
	var out []tab
	for _, whole := range []bool{true, false} {
		x := 1
		if m.width >= 60 {
			x = 11
		}
		out = out[:0]
		for i, v := range m.views[:views] {
			words := v.key
			if whole || viewID(i) == m.at {
				words += " " + v.name
			}
			out = append(out, tab{x, words, viewID(i)})
			x += text.Width(words) + 2
		}
		if x < m.width-1 {
			break
		}
	}
	return out
}

func (m *Model) drawTabs(c *screen.Canvas) {
	if c.Width() >= 60 {
		c.Put(1, 0, screen.Dim, "verifily")
	}
	end := 0
	for _, t := range m.tabs() {
		style := screen.Dim
		if t.view == m.at {
			style = screen.Accent | screen.Bold
		}
		end = c.Put(t.x, 0, style, t.words)
	}
	m.drawLoading(c, end+2)
	c.Put(c.Width()-2, 0, screen.Dim, "?")
}

// drawLoading says what is being read: beside the tabs, which end before x, or
// above the keys where there is no room for it.
func (m *Model) drawLoading(c *screen.Canvas, x int) {
	words, w := text.Line(m.loading(), 40), c.Width()
	n := text.Width(words)
	switch {
	case n <= w-3-x:
		c.PutRight(x, 0, w-3-x, screen.Dim, words)
	case !m.help && text.Width(m.notice.words)+n+4 <= w:
		c.PutRight(1, c.Height()-2, w-2, screen.Dim, words)
	}
}

// loading says what is being read.
func (m *Model) loading() string {
	if m.listing.busy && !m.listing.done {
		return "reading " + m.src.Root()
	}
	if m.table.extraBusy {
		return "reading configs"
	}
	busy := func(n int, what string) string {
		if n == 0 {
			return ""
		}
		return "reading " + what
	}
	pairs, evals, logs := 0, 0, 0
	for _, p := range m.pairs {
		if p.busy {
			pairs++
		}
	}
	for _, e := range m.evals {
		if e.busy {
			evals++
		}
	}
	for _, h := range m.histories {
		if h.busy && h.lines.Lines() == 0 {
			logs++
		}
	}
	if pairs > 0 || m.compare.busy {
		return "comparing"
	}
	if m.decide.busy {
		return "judging"
	}
	if s := busy(evals, "predictions"); s != "" {
		return s
	}
	return busy(logs, "the log")
}

// drawNotice shows what happened, or what is wrong, above the keys. An error is
// shown whole, over the foot of the view.
func (m *Model) drawNotice(c *screen.Canvas) {
	y, w := c.Height()-2, c.Width()
	words, style := m.notice.words, m.notice.style
	if words == "" && m.listing.done && m.listing.err != nil && len(m.table.all) > 0 {
		words, style = "! "+oneLine(m.listing.err)+" (r reads again)", screen.Bad
	}
	if style != screen.Bad {
		c.Put(1, y, style, words)
		return
	}
	lines := wrap(clip(words, mostFailure), w-2)
	if m.notice.words != "" {
		const keys = "esc closes  y copies"
		if text.Width(lines[len(lines)-1])+2+len(keys) > w-2 {
			lines = append(lines, "")
		}
		c.Clear(0, y, w, 1)
		c.PutRight(1, y, w-2, screen.Dim, keys)
	}
	if most := max(1, c.Height()/3); len(lines) > most {
		lines = append(lines[:most-1], "…") // y copies all of it
	}
	for i, line := range lines {
		at := y - len(lines) + 1 + i
		if at < y {
			c.Clear(0, at, w, 1)
		}
		c.Put(1, at, style, line)
	}
}

// drawKeys shows the keys that matter here, or the line being typed.
func (m *Model) drawKeys(c *screen.Canvas) {
	y, w := c.Height()-1, c.Width()
	if e := m.entry; e != nil {
		x := c.Put(1, y, screen.Accent|screen.Bold, e.prompt) + 1
		wrong := ""
		if e.wrong != nil {
			wrong = e.wrong(m)
		}
		room := w - x - 1
		if wrong != "" {
			// What was typed leaves it the room that it does not take itself.
			free := room - text.Width(text.Line(e.line.String(), w)) - 4
			shown := min(text.Width(wrong)+2, max(room/2, free))
			c.PutIn(w-1-shown, y, shown, screen.Bad, "! "+wrong)
			room -= shown + 1
		}
		e.line.draw(c, x, y, room)
		return
	}
	var shown []binding
	for _, b := range m.views[m.at].bindings {
		if n := len(shown); n > 0 && b.word != "" && shown[n-1].word == b.word {
			shown[n-1].show += " " + b.show
		} else if b.word != "" {
			shown = append(shown, b)
		}
	}
	for _, b := range m.globals() {
		if b.word != "" {
			shown = append(shown, b)
		}
	}
	for len(shown) > 1 && keysWidth(shown) > w-2 {
		shown = append(shown[:len(shown)-2], shown[len(shown)-1]) // help stays
	}
	x := 1
	for _, b := range shown {
		x = c.Put(x, y, screen.Text, b.show)
		x = c.Put(x+1, y, screen.Dim, b.word) + 2
	}
}

func keysWidth(list []binding) int {
	n := -2
	for _, b := range list {
		n += text.Width(b.show) + 1 + text.Width(b.word) + 2
	}
	return n
}

// sayIn draws the lines of an empty, loading or failed view: what happened, and
// the next step.
func sayIn(c *screen.Canvas, r plot.Rect, lines ...said) {
	y := r.Y + max(0, min(3, (r.H-len(lines))/3))
	for _, l := range lines {
		for _, part := range wrap(clip(l.words, mostFailure), r.W-6) {
			if y >= r.Y+r.H {
				return
			}
			c.PutIn(r.X+3, y, r.W-4, l.style, part)
			y++
		}
	}
}

// noRun says why a view has no run to show.
func (m *Model) noRun() string {
	if m.open == "" {
		return "no run is open"
	}
	return filepath.Base(m.open) + " is gone"
}

func (m *Model) sayNoRun(c *screen.Canvas, r plot.Rect) {
	lines := []said{{screen.Text | screen.Bold, m.noRun()}}
	if m.open != "" {
		lines = append(lines, said{screen.Text, "Its folder was deleted or moved while it was open."})
	}
	sayIn(c, r, append(lines, said{screen.Dim, "1 shows the runs; enter opens one"})...)
}

type said struct {
	style screen.Style
	words string
}

// wrap breaks words into lines of at most w columns. What it returns is
// escaped.
func wrap(s string, w int) []string {
	w = max(w, 10)
	var out []string
	current := ""
	for word := range strings.FieldsSeq(text.Escape(s)) {
		for text.Width(word) > w {
			if current != "" {
				out, current = append(out, current), ""
			}
			head := text.Head(word, w)
			out, word = append(out, head), word[len(head):]
		}
		switch {
		case current == "":
			current = word
		case text.Width(current)+1+text.Width(word) <= w:
			current += " " + word
		default:
			out, current = append(out, current), word
		}
	}
	return append(out, current)
}

// oneLine writes an error on one line.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// named shortens what does not fit w columns to its first parts, where they are
// longer than least bytes: a name is rather read to its end than an explanation cut
// in a word.
func named(words string, w, least int) string {
	if text.Width(words) <= w {
		return words
	}
	for at := len(words) - 1; at > max(0, least); at-- {
		if strings.ContainsRune(":;,", rune(words[at])) && text.Width(words[:at]) < w {
			return words[:at] + "…"
		}
	}
	return words
}
