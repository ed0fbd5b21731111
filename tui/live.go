package tui

import (
	"math"
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// livePart is what the view shows of the run.
type livePart int

const (
	liveCurves livePart = iota
	liveLog             // every line of the log, and the checkpoints
	liveParts
)

// liveState is how the curves are looked at.
type liveState struct {
	axis     source.Axis
	relative bool // over the share of the run that is done, in place of axis
	linear   bool // the scale of losses; else logarithmic
	smooth   int  // place in weights
	from, to float64
	cross    float64 // NaN: no crosshair
	focus    string  // the curve that is drawn large; empty: the loss
	overlay  bool    // the curves of marked runs as well
	part     livePart
	up       int // lines that the log is scrolled back by
	drag     drag
	courses  map[string]*loaded[*source.Course]
	meter    meterState
}

// weights are the choices of smoothing.
var weights = []float64{0, 0.6, 0.9, 0.98}

func newLive() liveState {
	return liveState{cross: nan, overlay: true, courses: map[string]*loaded[*source.Course]{}, meter: newMeter()}
}

func liveKeys() []binding {
	return []binding{
		{[]string{"x"}, "x", "actions: pause, checkpoint, stop, resume", "actions", (*Model).jobActions},
		{[]string{"[", "left", "h"}, "[", "crosshair to the left", "crosshair", func(m *Model) tea.Cmd { return m.crosshair(-1) }},
		{[]string{"]", "right", "l"}, "]", "crosshair to the right", "crosshair", func(m *Model) tea.Cmd { return m.crosshair(1) }},
		{[]string{"+", "="}, "+", "zoom in; the wheel does too", "zoom", func(m *Model) tea.Cmd { return m.zoom(0.5) }},
		{[]string{"-"}, "-", "zoom out", "zoom", func(m *Model) tea.Cmd { return m.zoom(2) }},
		{[]string{"<"}, "<", "pan to the left; dragging does too", "pan", func(m *Model) tea.Cmd { return m.pan(-0.25) }},
		{[]string{">"}, ">", "pan to the right", "pan", func(m *Model) tea.Cmd { return m.pan(0.25) }},
		{[]string{"0"}, "0", "see all, without a crosshair", "all", func(m *Model) tea.Cmd {
			m.live.seeAll()
			return nil
		}},
		{[]string{"v"}, "v", "the log and the checkpoints, or the curves", "log", (*Model).nextPart},
		{[]string{"m"}, "m", "next metric in the large chart", "metric", (*Model).nextMetric},
		{[]string{"L"}, "L", "logarithmic or linear", "scale", func(m *Model) tea.Cmd {
			m.live.linear = !m.live.linear
			return nil
		}},
		{[]string{"S"}, "S", "smoothing: none, 0.6, 0.9, 0.98", "smooth", func(m *Model) tea.Cmd {
			m.live.smooth = (m.live.smooth + 1) % len(weights)
			return nil
		}},
		{[]string{"X"}, "X", "x axis: step, epoch, tokens, time, share of the run", "axis", (*Model).nextAxis},
		{[]string{"o"}, "o", "lay the curves of marked runs over this one", "overlay", func(m *Model) tea.Cmd {
			m.live.overlay = !m.live.overlay
			if m.live.overlay && len(m.table.marked) == 0 {
				return m.say(screen.Dim, "no run is marked: space marks one in the table of runs")
			}
			return nil
		}},
	}
}

func (l *liveState) seeAll() { l.from, l.to, l.cross, l.up = 0, 0, nan, 0 }

// moveLive scrolls the log, or opens the next run of the table.
func (m *Model) moveLive(by int) {
	if m.live.part == liveLog {
		h, n := m.opened(), 0
		if h != nil {
			n = h.lines.Lines()
		}
		m.live.up = max(0, min(n-1, m.live.up-by))
		return
	}
	m.scrollRuns(by)
}

// scrollRuns opens the next run of the table.
func (m *Model) scrollRuns(by int) {
	m.table.cursor = m.open
	m.table.move(by)
	m.open = m.table.cursor
	m.live.seeAll()
}

func (m *Model) nextPart() tea.Cmd {
	m.live.part = (m.live.part + 1) % liveParts
	m.live.up = 0
	return nil
}

// nextAxis goes through the axes, the share of the run last.
func (m *Model) nextAxis() tea.Cmd {
	l := &m.live
	switch {
	case l.relative:
		l.relative, l.axis = false, source.Steps
	case l.axis == source.Seconds:
		l.relative, l.axis = true, source.Steps
	default:
		l.axis = l.axis.Next()
	}
	l.seeAll()
	return nil
}

// opened returns the log of the open run, nil where nothing was read.
func (m *Model) opened() *history {
	h := m.histories[m.open]
	if h == nil || h.lines.Lines() == 0 {
		return nil
	}
	return h
}

// overlaid lists the marked runs that are drawn over the open one.
func (m *Model) overlaid() []string {
	if !m.live.overlay {
		return nil
	}
	var out []string
	for _, r := range m.table.all {
		if m.table.marked[r.dir] && r.dir != m.open && len(out) < screen.Lines-1 {
			out = append(out, r.dir)
		}
	}
	return out
}

// drawn lists the runs whose curves are drawn, the open one first.
func (m *Model) drawn() []string { return append([]string{m.open}, m.overlaid()...) }

// unit is what a value of a run's axis is multiplied with: 1, and where curves
// are drawn over the share of the run, percent a step.
func (m *Model) unit(dir string) float64 {
	if !m.live.relative {
		return 1
	}
	h := m.histories[dir]
	if h == nil || h.lines.Lines() == 0 {
		return 1
	}
	last := h.lines.X[source.Steps][h.lines.Lines()-1]
	if total := float64(m.totalSteps(dir)); total > last {
		last = total
	}
	if !(last > 0) {
		return 1
	}
	return 100 / last
}

// window returns the part of the x axis in view, and the whole of it.
func (m *Model) window() (from, to, first, last float64, ok bool) {
	first, last = math.Inf(1), math.Inf(-1)
	for _, dir := range m.drawn() {
		if h := m.histories[dir]; h != nil && h.lines.Lines() > 0 {
			x, unit := h.lines.X[m.live.axis], m.unit(dir)
			first, last = min(first, x[0]*unit), max(last, x[len(x)-1]*unit)
		}
	}
	from, to = m.live.from, m.live.to
	if !(to > from) {
		from, to = first, last
	}
	return from, to, first, last, first < last
}

// rowAt returns the last line of a run's log at a place of the axis: a step may
// have a line of the training and one of an evaluation. False where the run
// does not reach there.
func (m *Model) rowAt(dir string, at float64) (int, bool) {
	h := m.histories[dir]
	if h == nil || h.lines.Lines() == 0 {
		return 0, false
	}
	x := h.lines.X[m.live.axis]
	// A place that was computed from a line may have lost a bit on the way.
	v := at / m.unit(dir)
	row, _ := slices.BinarySearch(x, v-math.Abs(v)*1e-12)
	if row >= len(x) {
		return len(x) - 1, false
	}
	next, _ := slices.BinarySearch(x, math.Nextafter(x[row], math.Inf(1)))
	return next - 1, true
}

// crosshair moves the crosshair by a hundredth of what is in view, and at
// least to the next value.
func (m *Model) crosshair(by int) tea.Cmd {
	h := m.opened()
	from, to, _, _, ok := m.window()
	if h == nil || !ok {
		return nil
	}
	x, unit := h.lines.X[m.live.axis], m.unit(m.open)
	if math.IsNaN(m.live.cross) {
		m.live.cross = min(to, x[len(x)-1]*unit)
		return nil
	}
	at, _ := m.rowAt(m.open, m.live.cross)
	next, _ := m.rowAt(m.open, m.live.cross+float64(by)*(to-from)/100)
	if next == at && by > 0 {
		next++
	} else if next == at {
		first, _ := slices.BinarySearch(x, x[at])
		next = first - 1
	}
	m.crossAt(x[max(0, min(len(x)-1, next))] * unit)
	return nil
}

// crossAt puts the crosshair to a place, and that place into view.
func (m *Model) crossAt(v float64) {
	from, to, _, _, _ := m.window()
	m.live.cross = v
	if v < from || v > to {
		m.slide(v - (from+to)/2)
	}
}

// zoom changes the width of the view, around the crosshair if there is one.
func (m *Model) zoom(by float64) tea.Cmd {
	from, to, _, _, ok := m.window()
	if ok {
		center := (from + to) / 2
		if c := m.live.cross; c >= from && c <= to {
			center = c
		}
		m.zoomAt(by, center, 0.5)
	}
	return nil
}

// zoomAt changes the width of the view; a place comes to stand at a share of it.
func (m *Model) zoomAt(by, place, share float64) {
	from, to, first, last, ok := m.window()
	width := (to - from) * by
	switch {
	case !ok || width < (last-first)/1e6:
		return
	case width >= last-first:
		m.live.from, m.live.to = 0, 0
		return
	}
	start := max(first, min(place-width*share, last-width))
	m.live.from, m.live.to = start, start+width
}

func (m *Model) pan(by float64) tea.Cmd {
	from, to, _, _, ok := m.window()
	if ok {
		m.slide((to - from) * by)
	}
	return nil
}

// slide moves a view that is zoomed in.
func (m *Model) slide(by float64) {
	from, to, first, last, _ := m.window()
	if from <= first && to >= last {
		return
	}
	by = max(first-from, min(by, last-to))
	m.live.from, m.live.to = from+by, to+by
}

func (m *Model) nextMetric() tea.Cmd {
	h := m.opened()
	if h == nil {
		return nil
	}
	names := m.charts(h)
	at := slices.Index(names, m.live.focus)
	m.live.focus = names[(max(0, at)+1)%len(names)]
	return nil
}

// focused is the metric in the large chart.
func (m *Model) focused(h *history) string {
	names := m.charts(h)
	if slices.Contains(names, m.live.focus) {
		return m.live.focus
	}
	return names[0]
}

// charts lists the curves that have a chart; that of the loss shows the
// evaluation loss as well.
func (m *Model) charts(h *history) []string {
	names := h.lines.Names()
	if h.lines.Curves[source.Loss] != nil {
		names = slices.DeleteFunc(names, func(s string) bool { return s == source.EvalLoss })
	}
	if len(names) == 0 {
		names = []string{source.Loss} // lines without a value
	}
	return names
}

// prepareLive brings what the charts need up to date.
func (m *Model) prepareLive() {
	for _, dir := range m.drawn() {
		if h := m.histories[dir]; h != nil && h.lines.Curves != nil {
			h.note()
			for _, name := range h.lines.Names() {
				h.smooth(name, m.weight(name))
				h.condense(name, m.live.axis, 0)
				h.condense(name, m.live.axis, m.weight(name))
			}
		}
	}
}

// weight is how much a curve is smoothed: not at all where every value was set
// or measured by itself.
func (m *Model) weight(name string) float64 {
	if name == source.EvalLoss || name == source.LearningRate {
		return 0
	}
	return weights[m.live.smooth]
}

// drag is a movement of the mouse with a button held.
type drag struct {
	on       bool
	x        int     // where it began
	from, to float64 // what was in view then
}

// liveMouse zooms by the wheel, pans by dragging and puts the crosshair by a
// click; false means that the mouse is elsewhere.
func (m *Model) liveMouse(msg tea.MouseMsg) bool {
	h := m.opened()
	if h == nil || m.live.part != liveCurves {
		return false
	}
	place := m.livePlaces(m.body()).chart
	inside := plot.Rect{X: place.X, Y: place.Y + 1, W: place.W, H: place.H - 1}.Inside()
	from, to, first, last, ok := m.window()
	if !ok || inside.W < 2 {
		return false
	}
	share := func(x int) float64 { return (float64(x-inside.X) + 0.5) / float64(inside.W) }
	at := func(x int) float64 { return from + (to-from)*share(x) }
	d := &m.live.drag
	switch {
	case msg.Action == tea.MouseActionRelease:
		held := d.on
		d.on = false
		return held
	case msg.Action == tea.MouseActionMotion && d.on:
		if d.from <= first && d.to >= last { // all is in view: there is nowhere to pan
			m.live.cross = max(from, min(to, at(msg.X)))
			return true
		}
		m.live.from, m.live.to = d.from, d.to
		m.slide((d.to - d.from) * float64(d.x-msg.X) / float64(inside.W))
		return true
	case msg.Action != tea.MouseActionPress || !inside.Holds(msg.X, msg.Y):
		return false
	}
	switch msg.Button {
	case tea.MouseButtonWheelUp:
		m.zoomAt(0.8, at(msg.X), share(msg.X))
	case tea.MouseButtonWheelDown:
		m.zoomAt(1.25, at(msg.X), share(msg.X))
	case tea.MouseButtonLeft:
		*d = drag{true, msg.X, from, to}
		row, _ := m.rowAt(m.open, at(msg.X))
		m.live.cross = max(from, min(to, h.lines.X[m.live.axis][row]*m.unit(m.open)))
	default:
		return false
	}
	return true
}
