package tui

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

func (m *Model) drawLive(c *screen.Canvas, r plot.Rect) {
	run := m.run()
	if run == nil {
		m.sayNoRun(c, r)
		return
	}
	h := m.histories[m.open]
	switch {
	case h == nil || !h.done:
		sayIn(c, r, said{screen.Dim, "reading the log …"})
		return
	case h.err != nil && h.lines.Lines() == 0:
		sayIn(c, r, said{screen.Bad, "✗ the log could not be read"}, said{screen.Text, oneLine(h.err)}, said{screen.Dim, "r tries again"})
		return
	case h.lines.Lines() == 0 && run.e.Status == runs.StatusRunning:
		sayIn(c, r, said{screen.Text | screen.Bold, "nothing is logged yet"}, said{screen.Dim, "curves appear here with the first step that is logged"},
			said{screen.Dim, m.meterWords()})
		return
	case h.lines.Lines() == 0:
		words := "the run ended before it logged a step"
		if run.failure() != "" {
			words += ": " + run.failure()
		}
		sayIn(c, r, said{screen.Text | screen.Bold, "no curves"}, said{screen.Dim, words})
		return
	}
	if h.err != nil {
		c.PutIn(r.X+1, r.Y+r.H-1, r.W-2, screen.Bad, "! "+oneLine(h.err)+" (r reads again)")
		r.H--
	}
	p := m.livePlaces(r)
	if p.progress.H > 0 {
		if f, ok := m.done(run); ok {
			m.drawProgress(c, p.progress, f, m.paceWords(h))
		}
		m.drawMeters(c, p.meters)
	}
	if m.live.part == liveLog {
		m.drawLog(c, plot.Rect{X: r.X, Y: p.chart.Y, W: r.W, H: r.Y + r.H - p.chart.Y}, h)
		return
	}
	if p.readout.H > 0 {
		m.drawReadout(c, p.readout, h)
	}
	m.drawHappened(c, p.log, h)
	focus := m.focused(h)
	m.drawChart(c, p.chart, focus, true)
	rest := slices.DeleteFunc(slices.Clone(m.charts(h)), func(s string) bool { return s == focus })
	for i, name := range rest {
		if i >= p.across*p.down {
			break
		}
		w, height := p.small.W/p.across, p.small.H/p.down
		m.drawChart(c, plot.Rect{X: p.small.X + i%p.across*w, Y: p.small.Y + i/p.across*height, W: w - 1, H: height}, name, false)
	}
}

// chartTitles are the names of charts, for people.
var chartTitles = map[string]string{
	source.LearningRate: "learning rate", source.GradNorm: "gradient norm", source.Speed: "tokens/s",
}

// drawChart draws one metric of the open run and of those laid over it.
func (m *Model) drawChart(c *screen.Canvas, r plot.Rect, name string, large bool) {
	weight := m.weight(name)
	logarithmic := strings.Contains(name, "loss") && !m.live.linear
	from, to, _, _, inView := m.window()
	chart := plot.Chart{From: from, To: to, Log: logarithmic, Cross: m.live.cross, FormatX: m.axisFormat()}
	dirs := m.drawn()
	for i := len(dirs) - 1; i >= 0; i-- {
		h := m.histories[dirs[i]]
		if h == nil {
			continue
		}
		unit := m.unit(dirs[i])
		add := func(name string, weight float64, s plot.Series) {
			if h.lines.Curves[name] != nil {
				s.X, s.Y = h.scaled(name, m.live.axis, weight, unit, from, to)
				chart.Series = append(chart.Series, s)
			}
		}
		if weight > 0 && len(dirs) == 1 {
			add(name, 0, plot.Series{Style: screen.Dim, Faint: true})
		}
		add(name, weight, plot.Series{Style: screen.Line(i), Number: i})
		if name != source.Loss {
			continue
		}
		add(source.EvalLoss, 0, plot.Series{Style: m.evalStyle(i), Number: i, Points: true})
		if row, loss, ok := h.best(); ok {
			chart.Series = append(chart.Series, plot.Series{X: []float64{h.lines.X[m.live.axis][row] * unit}, Y: []float64{loss},
				Style: screen.Good | screen.Bold, Points: true, Glyph: '◆'})
		}
	}
	m.drawTitles(c, r, name, large, logarithmic)
	words := "no finite value in view"
	if h := m.opened(); !inView && h.lines.Lines() > 1 && m.live.axis != source.Steps {
		words = "the log has no " + m.axisName() + ": X shows another axis"
	} else if chart.Draw(c, plot.Rect{X: r.X, Y: r.Y + 1, W: r.W, H: r.H - 1}) {
		return
	}
	if r.H > 3 {
		c.PutIn(r.X+3, r.Y+2, r.W-4, screen.Dim, words)
	}
}

// evalStyle is the style of the evaluations of a run: that of the run, or their
// own where there is only one.
func (m *Model) evalStyle(i int) screen.Style {
	if len(m.overlaid()) > 0 {
		return screen.Line(i)
	}
	return screen.Line(1)
}

func (m *Model) axisName() string {
	if m.live.relative {
		return "share of the run"
	}
	return m.live.axis.String()
}

func (m *Model) axisFormat() func(float64) string {
	switch {
	case m.live.relative:
		return func(v float64) string { return plot.Number(v) + "%" }
	case m.live.axis == source.Seconds:
		return lasted
	}
	return nil
}

// drawTitles writes what a chart shows and how: the metric, the series, the
// scale.
func (m *Model) drawTitles(c *screen.Canvas, r plot.Rect, name string, large, logarithmic bool) {
	title := cmp.Or(chartTitles[name], text.Line(name, 30))
	x := c.PutIn(r.X+1, r.Y, r.W-2, screen.Text|screen.Bold, title) + 2
	if !large {
		return
	}
	end := r.X + r.W - 1
	var mode []string
	if logarithmic {
		mode = append(mode, "log")
	}
	if w := m.weight(name); w > 0 {
		mode = append(mode, fmt.Sprintf("smooth %g", w))
	}
	mode = append(mode, "x "+m.axisName())
	words := strings.Join(mode, " · ")
	if x+text.Width(words) < end {
		c.PutRight(x, r.Y, end-x, screen.Dim, words)
		end -= text.Width(words) + 2
	}
	entry := func(style screen.Style, signs, words string) {
		words = text.Line(words, 22)
		if w := text.Width(signs); x+w+1+text.Width(words) <= end {
			c.Put(x, r.Y, style, signs)
			x = c.Put(x+w+1, r.Y, screen.Dim, words) + 2
		}
	}
	dirs := m.drawn()
	for i, dir := range dirs {
		h, run := m.histories[dir], m.table.find(dir)
		if h == nil || run == nil {
			continue
		}
		if len(dirs) > 1 {
			signs := string(plot.Line(i))
			if name == source.Loss && h.lines.Curves[source.EvalLoss] != nil {
				signs += string(plot.Mark(i))
			}
			entry(screen.Line(i), signs, run.name)
		}
		if i > 0 || name != source.Loss || h.lines.Curves[source.EvalLoss] == nil {
			continue
		}
		if len(dirs) == 1 {
			entry(screen.Line(0), "━", "train")
			entry(m.evalStyle(0), "●", "eval")
		}
		if _, _, ok := h.best(); ok {
			entry(screen.Good|screen.Bold, "◆", "best")
		}
	}
}

// readoutNames are short enough to stand before a value.
var readoutNames = map[string]string{
	source.Loss: "train", source.EvalLoss: "eval", source.LearningRate: "lr", source.GradNorm: "|g|", source.Speed: "tok/s",
}

// reading is a line of the values at the crosshair.
type reading struct {
	name, value, note string
	style             screen.Style
}

// readings are the values of the open run at a line of its log.
func (m *Model) readings(h *history, row int) []reading {
	out := []reading{{name: "step", value: count(int(h.lines.X[source.Steps][row]))},
		{name: "epoch", value: epochCount(h.lines.X[source.Epochs][row])}}
	if m.live.axis == source.Seconds {
		out = append(out, reading{name: "time", value: lasted(h.lines.X[source.Seconds][row])})
	}
	if t := h.lines.X[source.Tokens][row]; m.live.axis == source.Tokens && t > 0 {
		out = append(out, reading{name: "tokens", value: plot.Number(t)})
	}
	bestRow, _, hasBest := h.best()
	for _, name := range h.lines.Names() {
		v, at, ok := h.at(name, row)
		if !ok {
			continue
		}
		r := reading{name: cmp.Or(readoutNames[name], text.Line(name, 7)), value: readout(v), style: valueStyle(v)}
		switch {
		case name != source.EvalLoss:
		case hasBest && at == bestRow:
			r.note = "best"
		case at != row:
			r.note = "@" + shortStep(h.lines.X[source.Steps][at])
		}
		out = append(out, r)
	}
	return out
}

// shortStep writes a step in at most five columns.
func shortStep(step float64) string {
	if step >= 1e4 && step < 1e6 {
		return fmt.Sprintf("%.3gk", min(step, 999e3)/1e3)
	}
	return plot.Number(step)
}

func valueStyle(v float64) screen.Style {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return screen.Bad
	}
	return screen.Text
}

// drawReadout shows the values at the crosshair, or the last ones, of every
// series, and the checkpoints.
func (m *Model) drawReadout(c *screen.Canvas, r plot.Rect, h *history) {
	row, head := h.lines.Lines()-1, "last"
	if !math.IsNaN(m.live.cross) {
		row, _ = m.rowAt(m.open, m.live.cross)
		head = "at the crosshair"
	}
	y := r.Y
	room := func(n int) bool { return y+n <= r.Y+r.H }
	line := func(style screen.Style, words string) {
		if room(1) {
			c.PutIn(r.X, y, r.W, style, words)
			y++
		}
	}
	line(screen.Dim, head)
	for _, v := range m.readings(h, row) {
		if room(1) {
			c.PutIn(r.X, y, 8, screen.Dim, v.name)
			end := c.PutIn(r.X+8, y, r.W-8, v.style, v.value)
			c.PutIn(end+1, y, r.X+r.W-end-1, screen.Dim, v.note)
			y++
		}
	}
	if h.lines.Bad > 0 {
		line(screen.Doubt, "! "+plural(h.lines.Bad, "bad line", "bad lines"))
	}
	m.drawOverlaid(c, plot.Rect{X: r.X, Y: y, W: r.W, H: r.Y + r.H - y}, m.focused(h), &y)
	points := m.checkpoints()
	if len(points) == 0 || !room(4) {
		return
	}
	y++
	line(screen.Dim, "checkpoints")
	for i := len(points) - 1; i >= 0; i-- {
		if room(1) {
			m.drawCheckpoint(c, r.X, y, r.W, &points[i])
			y++
		}
	}
}

// drawOverlaid writes the values of the runs that are laid over the open one.
func (m *Model) drawOverlaid(c *screen.Canvas, r plot.Rect, focus string, y *int) {
	names := []string{focus}
	if focus == source.Loss {
		names = append(names, source.EvalLoss)
	}
	for i, dir := range m.overlaid() {
		h, run := m.histories[dir], m.table.find(dir)
		if h == nil || run == nil || h.lines.Lines() == 0 || *y+2 > r.Y+r.H {
			continue
		}
		row, inside := h.lines.Lines()-1, true
		if !math.IsNaN(m.live.cross) {
			row, inside = m.rowAt(dir, m.live.cross)
		}
		c.Set(r.X, *y, screen.Line(i+1), plot.Line(i+1))
		c.PutIn(r.X+2, *y, r.W-2, screen.Text, run.name)
		*y++
		x := r.X + 2
		if !inside {
			c.PutIn(x, *y, r.W-2, screen.Dim, "ended before")
		}
		for _, name := range names {
			if v, _, ok := h.at(name, row); ok && inside {
				if name == source.EvalLoss {
					x = c.PutIn(x, *y, r.X+r.W-x, screen.Dim, "eval ")
				}
				x = c.PutIn(x, *y, r.X+r.W-x, valueStyle(v), readout(v)) + 1
			}
		}
		*y++
	}
}

func readout(v float64) string {
	if a := math.Abs(v); a != 0 && a < 0.01 {
		return fmt.Sprintf("%.2e", v)
	}
	return score(v)
}
