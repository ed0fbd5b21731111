package tui

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// cross is a heat map of two tags: a row a value of a, a column a value of b.
type cross struct {
	loaded[*source.Crossing]
	dir, a, b string
	row, col  int
}

type crossMsg struct {
	of  *cross
	got *source.Crossing
	err error
}

// mostTagsCrossed bounds the tags whose pairs are offered
// to choose from.
const mostTagsCrossed = 40

// askCross crosses the two tags there are, or asks which.
func (m *Model) askCross() tea.Cmd {
	e := m.evaluation()
	if e == nil {
		return m.say(screen.Doubt, "there is no evaluation to cross tags of")
	}
	var tags []string
	for _, key := range e.Keys {
		if !strings.Contains(key, "*") && len(tags) < mostTagsCrossed {
			tags = append(tags, key)
		}
	}
	open := func(a, b string) func(*Model) tea.Cmd {
		return func(m *Model) tea.Cmd {
			m.slices.cross = &cross{dir: m.open, a: a, b: b}
			return nil
		}
	}
	switch len(tags) {
	case 0, 1:
		return m.say(screen.Doubt, "a heat map takes two tags to cross; the test data was sliced by "+fmt.Sprint(len(tags)))
	case 2:
		return open(tags[0], tags[1])(m)
	}
	p := &palette{}
	for i, a := range tags {
		for _, b := range tags[i+1:] {
			p.all = append(p.all, binding{help: "cross " + text.Line(a, 28) + " × " + text.Line(b, 28), do: open(a, b)})
		}
	}
	p.search()
	m.palette = p
	return nil
}

func (m *Model) fetchCross() tea.Cmd {
	x := m.slices.cross
	if x == nil {
		return nil
	}
	if x.dir != m.open {
		x = &cross{dir: m.open, a: x.a, b: x.b}
		m.slices.cross = x
	}
	if e := m.evals[x.dir]; e != nil && e.busy && x.done {
		x.stale = true // the predictions are being read anew
	}
	if !x.need() {
		return nil
	}
	x.begin()
	src := m.src
	return func() tea.Msg {
		got, err := src.Cross(x.dir, x.a, x.b)
		return crossMsg{x, got, err}
	}
}

// take implements answer.
func (msg crossMsg) take(m *Model) tea.Cmd {
	msg.of.set(msg.got, msg.err)
	m.moveCross(0, 0)
	return nil
}

// moveCross moves the cursor of the heat map.
func (m *Model) moveCross(rows, cols int) tea.Cmd {
	x := m.slices.cross
	if x == nil || x.value == nil {
		return nil
	}
	x.row = max(0, min(len(x.value.ValuesA)-1, x.row+rows))
	x.col = max(0, min(len(x.value.ValuesB)-1, x.col+cols))
	return nil
}

// cell returns the slice under the cursor, nil where it holds no example.
func (x *cross) cell(row, col int) *slice {
	if x.value == nil || row >= len(x.value.ValuesA) || col >= len(x.value.ValuesB) {
		return nil
	}
	s, ok := x.value.Cells[[2]string{x.value.ValuesA[row], x.value.ValuesB[col]}]
	if !ok {
		return nil
	}
	return &slice{Slice: &s}
}

func (m *Model) openCell() tea.Cmd {
	x := m.slices.cross
	s := x.cell(x.row, x.col)
	if s == nil {
		return m.say(screen.Doubt, "no example has both")
	}
	m.hard.readSlice(s.Key, s.Value)
	return m.show(viewHard)
}

// heats are the shades of a heat map, the worst first, so that it can be read
// without colours.
var heats = []rune{'█', '▓', '▒', '░', ' '}

// cellWidth is the width of a cell with its gap.
const cellWidth = 10

func (m *Model) drawCross(c *screen.Canvas, r plot.Rect) {
	x, e := m.slices.cross, m.evaluation()
	switch {
	case x.dir != m.open || !x.done:
		sayIn(c, r, said{screen.Dim, "crossing " + x.a + " and " + x.b + " …"})
		return
	case errors.Is(x.err, fs.ErrNotExist):
		sayIn(c, r, said{screen.Text | screen.Bold, "the run has no predictions to cross"}, said{screen.Dim, "verifily eval writes them; esc goes back to the slices"})
		return
	case x.err != nil:
		sayIn(c, r, m.faultLines("the tags could not be crossed", x.err)...)
		return
	}
	v, metric := x.value, m.sliceMetric(e)
	name := 10
	for _, a := range v.ValuesA {
		name = max(name, text.Width(text.Line(a, 24)))
	}
	name = min(name, r.W/3)
	cols := max(1, (r.W-4-name)/cellWidth)
	left := max(0, min(x.col-cols/2, len(v.ValuesB)-cols))
	detail := detailRows(r.H)
	rows := max(1, r.H-3-detail)
	top := max(0, min(x.row-rows/2, len(v.ValuesA)-rows))
	best, worst := x.extremes(metric)
	c.PutIn(3, r.Y, name, screen.Dim, x.a)
	c.PutIn(3+name+4, r.Y, r.W-name-8, screen.Dim, x.b)
	for j := left; j < len(v.ValuesB) && j < left+cols; j++ {
		style := screen.Dim
		if j == x.col {
			style = screen.Text | screen.Bold
		}
		c.PutIn(3+name+4+(j-left)*cellWidth, r.Y+1, cellWidth-3, style, v.ValuesB[j])
	}
	for i := top; i < len(v.ValuesA) && i < top+rows; i++ {
		y, style := r.Y+2+i-top, screen.Text
		if i == x.row {
			style |= screen.Bold
			c.Set(1, y, screen.Accent, '▸')
		}
		c.PutIn(3, y, name, style, v.ValuesA[i])
		for j := left; j < len(v.ValuesB) && j < left+cols; j++ {
			at := 3 + name + 2 + (j-left)*cellWidth
			m.drawCell(c, at, y, x.cell(i, j), metric, best, worst)
			if i == x.row && j == x.col {
				c.Mark(at-1, y, cellWidth-1, screen.Picked)
			}
		}
	}
	m.drawCellDetail(c, plot.Rect{X: 3, Y: r.Y + r.H - detail, W: r.W - 4, H: detail}, metric)
}

// extremes returns the best and the worst value of the cells that say something.
func (x *cross) extremes(metric string) (best, worst float64) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range x.value.Cells {
		if v, ok := s.Values[metric]; ok && !s.TooFew && !math.IsNaN(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if metrics.LowerIsBetter(metric) {
		return low, high
	}
	return high, low
}

func (m *Model) drawCell(c *screen.Canvas, x, y int, s *slice, metric string, best, worst float64) {
	if s == nil {
		c.PutIn(x+2, y, cellWidth-3, screen.Dim, "·")
		return
	}
	v, ok := s.Values[metric]
	switch {
	case s.TooFew:
		c.PutIn(x+2, y, cellWidth-3, screen.Dim, "n="+count(s.N))
		return
	case !ok:
		c.PutIn(x+2, y, cellWidth-3, screen.Dim, "–")
		return
	}
	style := screen.Text
	if interval := s.interval(metric); interval.Known() {
		if all, known := m.evaluation().Values[metric]; known {
			lower := metrics.LowerIsBetter(metric)
			switch {
			case interval.High < all:
				style = []screen.Style{screen.Bad, screen.Good}[truth(lower)]
			case interval.Low > all:
				style = []screen.Style{screen.Good, screen.Bad}[truth(lower)]
			}
		}
	}
	level := 0.0
	if best != worst {
		level = (v - worst) / (best - worst)
	}
	glyph := heats[max(0, min(len(heats)-1, int(level*float64(len(heats)))))]
	c.Set(x, y, style, glyph)
	c.PutIn(x+2, y, cellWidth-3, style, scoreIn(v, s.interval(metric)))
}

// drawCellDetail says all about the cell under the cursor, and what the shades
// mean.
func (m *Model) drawCellDetail(c *screen.Canvas, r plot.Rect, metric string) {
	x, e := m.slices.cross, m.evaluation()
	parts := []string{"no example has both"}
	if s := x.cell(x.row, x.col); s != nil {
		parts = m.sliceDetail(*s, overallRow(e), metric, e)
		parts[0] = x.a + "=" + x.value.ValuesA[x.row] + " " + x.b + "=" + x.value.ValuesB[x.col]
	}
	parts = append(parts, fmt.Sprintf("shades: █ worst to blank best · colour: unlike the %s overall · n=… is too few (%d needed)", score(e.Values[metric]), e.MinSlice))
	if x.value.LeftOut > 0 {
		parts = append(parts, fmt.Sprintf("the %d most frequent values of each: %s left out", source.MostCrossed, plural(x.value.LeftOut, "example", "examples")))
	}
	drawLines(c, r, joined(parts, r.W), 0)
}
