package tui

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/jobs"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// readoutWidth is the width of the values beside the chart; they are left out
// where the chart would become too narrow.
const (
	readoutWidth = 20
	readoutFrom  = 64
)

func (m *Model) liveSubject() (left, right string) {
	r := m.run()
	if r == nil {
		return "no run is open", ""
	}
	parts := []string{r.name}
	if h := m.opened(); h != nil {
		n := h.lines.Lines() - 1
		parts = append(parts, fmt.Sprintf("step %s", count(int(h.lines.X[source.Steps][n]))),
			fmt.Sprintf("epoch %.3g", h.lines.X[source.Epochs][n]))
	}
	if r.e.Status != runs.StatusRunning {
		right = clip(string(r.e.Status), mostName)
		if d := r.e.Meta.DurationSeconds; d > 0 {
			right += " " + lasted(d)
		}
		return strings.Join(parts, " · "), right
	}
	if f, ok := m.progress(r); ok {
		parts = append(parts, fmt.Sprintf("%d%%", int(f*100)))
		if f > 0.01 {
			right = "ETA " + lasted(m.now.Sub(r.started).Seconds()*(1-f)/f)
		}
	}
	if s := m.mine(r.dir); s != nil && s.Phase != jobs.Training {
		right = string(s.Phase) + " · x steers it"
	}
	return strings.Join(parts, " · "), cmp.Or(right, "training")
}

func (m *Model) drawLive(c *screen.Canvas, r plot.Rect) {
	run := m.run()
	if run == nil {
		sayIn(c, r, said{screen.Text | screen.Bold, "no run is open"}, said{screen.Dim, "1 shows the runs; enter opens one"})
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
		sayIn(c, r, said{screen.Text | screen.Bold, "nothing is logged yet"}, said{screen.Dim, "curves appear here with the first step that is logged"})
		return
	case h.lines.Lines() == 0:
		words := "the run ended before it logged a step"
		if run.failure() != "" {
			words += ": " + run.failure()
		}
		sayIn(c, r, said{screen.Text | screen.Bold, "no curves"}, said{screen.Dim, words})
		return
	}
	if run.e.Status == runs.StatusRunning {
		if f, ok := m.progress(run); ok {
			m.drawProgress(c, r, f)
			r.Y, r.H = r.Y+1, r.H-1
		}
	}
	if r.W >= readoutFrom {
		m.drawReadout(c, plot.Rect{X: r.W - readoutWidth, Y: r.Y + 1, W: readoutWidth - 1, H: r.H - 1}, h)
		r.W -= readoutWidth
	}
	names := m.charts(h)
	focus := m.live.focus
	if !slices.Contains(names, focus) {
		focus = names[0]
	}
	rest := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == focus })
	across, down := 0, 0
	if r.H >= 15 {
		across = min(len(rest), max(1, r.W/34))
		down = min((len(rest)+max(1, across)-1)/max(1, across), max(1, (r.H-14)/8))
	}
	small := 0
	if across > 0 {
		small = max(6, min(9, r.H/(down+2)))
	}
	m.drawChart(c, plot.Rect{X: r.X, Y: r.Y, W: r.W, H: r.H - down*small}, focus, true)
	for i, name := range rest {
		if i >= across*down {
			break
		}
		w := r.W / across
		m.drawChart(c, plot.Rect{X: r.X + i%across*w, Y: r.Y + r.H - (down-i/across)*small, W: w - 1, H: small}, name, false)
	}
}

func (m *Model) drawProgress(c *screen.Canvas, r plot.Rect, f float64) {
	w := r.W - 2
	done := int(float64(w) * f)
	c.Fill(1, r.Y, done, screen.Accent, '━')
	c.Fill(1+done, r.Y, w-done, screen.Dim, '─')
}

// chartTitles are the names of charts, for people.
var chartTitles = map[string]string{
	source.LearningRate: "learning rate", source.GradNorm: "gradient norm", source.Speed: "tokens/s",
}

// drawChart draws one metric of the open run and of those laid over it.
func (m *Model) drawChart(c *screen.Canvas, r plot.Rect, name string, large bool) {
	weight := m.weight(name)
	isLoss := strings.Contains(name, "loss")
	from, to, _, _, _ := m.window()
	chart := plot.Chart{From: from, To: to, Log: isLoss && !m.live.linear, Cross: m.live.cross}
	if m.live.axis == source.Seconds {
		chart.FormatX = lasted
	}
	legend := r.X + 1 + text.Width(cmp.Or(chartTitles[name], text.Line(name, 30))) + 2
	room := r.X + r.W
	entry := func(style screen.Style, glyph rune, words string) {
		words = text.Line(words, 22)
		if large && legend+3+text.Width(words) < room {
			c.Set(legend, r.Y, style, glyph)
			legend = c.Put(legend+2, r.Y, screen.Dim, words) + 2
		}
	}
	dirs := append([]string{m.open}, m.overlaid()...)
	for i := len(dirs) - 1; i >= 0; i-- {
		h := m.histories[dirs[i]]
		if h == nil || h.lines.Curves[name] == nil {
			continue
		}
		add := func(name string, weight float64, s plot.Series) {
			s.X, s.Y = h.points(name, m.live.axis, weight, from, to)
			chart.Series = append(chart.Series, s)
		}
		if weight > 0 && len(dirs) == 1 {
			add(name, 0, plot.Series{Style: screen.Dim, Faint: true})
		}
		add(name, weight, plot.Series{Style: screen.Line(i)})
		if name == source.Loss && h.lines.Curves[source.EvalLoss] != nil {
			add(source.EvalLoss, 0, plot.Series{Style: screen.Line(max(i, truth(len(dirs) == 1))), Points: true})
		}
	}
	c.PutIn(r.X+1, r.Y, r.W-2, screen.Text|screen.Bold, cmp.Or(chartTitles[name], name))
	for i, dir := range dirs {
		h, run := m.histories[dir], m.table.find(dir)
		if len(dirs) > 1 && run != nil {
			entry(screen.Line(i), '━', run.name)
		} else if h != nil && name == source.Loss && h.lines.Curves[source.EvalLoss] != nil {
			entry(screen.Line(0), '━', "train")
			entry(screen.Line(1), '●', "eval")
		}
	}
	if large {
		mode := []string{}
		if chart.Log {
			mode = append(mode, "log")
		}
		if weight > 0 {
			mode = append(mode, fmt.Sprintf("smooth %g", weight))
		}
		mode = append(mode, "x "+m.live.axis.String())
		words := strings.Join(mode, " · ")
		if legend+text.Width(words) < room {
			c.PutRight(legend, r.Y, room-legend-1, screen.Dim, words)
		}
	}
	if !chart.Draw(c, plot.Rect{X: r.X, Y: r.Y + 1, W: r.W, H: r.H - 1}) && r.H > 3 {
		c.PutIn(r.X+3, r.Y+2, r.W-4, screen.Dim, "no finite value in view")
	}
}

// drawReadout shows the values at the crosshair, or the last ones.
func (m *Model) drawReadout(c *screen.Canvas, r plot.Rect, h *history) {
	x := h.lines.X[m.live.axis]
	row := len(x) - 1
	head := "last"
	if !math.IsNaN(m.live.cross) {
		row, _ = slices.BinarySearch(x, m.live.cross)
		row = min(row, len(x)-1)
		head = "at the crosshair"
	}
	c.PutIn(r.X, r.Y, r.W, screen.Dim, head)
	y := r.Y + 1
	put := func(style screen.Style, name, value, note string) {
		if y >= r.Y+r.H {
			return
		}
		c.PutIn(r.X, y, 8, screen.Dim, name)
		end := c.PutIn(r.X+8, y, r.W-8, style, value)
		c.PutIn(end+1, y, r.X+r.W-end-1, screen.Dim, note)
		y++
	}
	put(screen.Text, "step", count(int(h.lines.X[source.Steps][row])), "")
	put(screen.Text, "epoch", fmt.Sprintf("%.3g", h.lines.X[source.Epochs][row]), "")
	for _, name := range h.lines.Names() {
		curve := h.lines.Curves[name]
		at, exact := slices.BinarySearch(curve.Row, int32(row))
		if !exact {
			at--
		}
		if at < 0 {
			continue
		}
		v, note := curve.Y[at], ""
		style := screen.Text
		if math.IsNaN(v) || math.IsInf(v, 0) {
			style = screen.Bad
		}
		if best, ok := lowest(curve.Y); ok && name == source.EvalLoss && v == best {
			note = "best"
		}
		put(style, cmp.Or(readoutNames[name], text.Line(name, 7)), readout(v), note)
	}
	if h.lines.Bad > 0 {
		put(screen.Doubt, "!", plural(h.lines.Bad, "bad line", "bad lines"), "")
	}
}

// readoutNames are short enough to stand before a value.
var readoutNames = map[string]string{
	source.Loss: "train", source.EvalLoss: "eval", source.LearningRate: "lr", source.GradNorm: "|g|", source.Speed: "tok/s",
}

func readout(v float64) string {
	if a := math.Abs(v); a != 0 && a < 0.01 {
		return fmt.Sprintf("%.2e", v)
	}
	return score(v)
}

func lowest(values []float64) (float64, bool) {
	best := math.Inf(1)
	for _, v := range values {
		if v < best {
			best = v
		}
	}
	return best, !math.IsInf(best, 1)
}
