package tui

import (
	"math"
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// liveState is how the curves are looked at.
type liveState struct {
	axis     source.Axis
	linear   bool // the scale of losses; else logarithmic
	smooth   int  // place in weights
	from, to float64
	cross    float64 // NaN: no crosshair
	focus    string  // the curve that is drawn large; empty: the loss
	overlay  bool    // the curves of marked runs as well
}

// weights are the choices of smoothing.
var weights = []float64{0, 0.6, 0.9, 0.98}

func newLive() liveState { return liveState{cross: nan, overlay: true} }

func liveKeys() []binding {
	return []binding{
		{[]string{"[", "left", "h"}, "[", "crosshair to the left", "", func(m *Model) tea.Cmd { return m.crosshair(-1) }},
		{[]string{"]", "right", "l"}, "[ ]", "crosshair to the right", "crosshair", func(m *Model) tea.Cmd { return m.crosshair(1) }},
		{[]string{"+", "="}, "+", "zoom in", "", func(m *Model) tea.Cmd { return m.zoom(0.5) }},
		{[]string{"-"}, "+ -", "zoom out", "zoom", func(m *Model) tea.Cmd { return m.zoom(2) }},
		{[]string{"<"}, "<", "pan to the left", "", func(m *Model) tea.Cmd { return m.pan(-0.25) }},
		{[]string{">"}, "< >", "pan to the right", "pan", func(m *Model) tea.Cmd { return m.pan(0.25) }},
		{[]string{"0"}, "0", "see all, without a crosshair", "all", func(m *Model) tea.Cmd {
			m.live.from, m.live.to, m.live.cross = 0, 0, nan
			return nil
		}},
		{[]string{"x"}, "x", "actions on what this screen trains: pause, checkpoint, stop", "", (*Model).jobActions},
		{[]string{"m"}, "m", "next metric in the large chart", "metric", (*Model).nextMetric},
		{[]string{"L"}, "L", "logarithmic or linear", "log", func(m *Model) tea.Cmd {
			m.live.linear = !m.live.linear
			return nil
		}},
		{[]string{"S"}, "S", "smoothing: none, 0.6, 0.9, 0.98", "smooth", func(m *Model) tea.Cmd {
			m.live.smooth = (m.live.smooth + 1) % len(weights)
			return nil
		}},
		{[]string{"X"}, "X", "x axis: step, epoch, tokens, time", "axis", func(m *Model) tea.Cmd {
			m.live.axis = m.live.axis.Next()
			m.live.from, m.live.to, m.live.cross = 0, 0, nan
			return nil
		}},
		{[]string{"o"}, "o", "lay the curves of marked runs over this one", "overlay", func(m *Model) tea.Cmd {
			m.live.overlay = !m.live.overlay
			if m.live.overlay && len(m.table.marked) == 0 {
				return m.say(screen.Dim, "no run is marked: space marks one in the table of runs")
			}
			return nil
		}},
	}
}

// scrollRuns opens the next run of the table.
func (m *Model) scrollRuns(by int) {
	m.table.cursor = m.open
	m.table.move(by)
	m.open = m.table.cursor
	m.live.from, m.live.to, m.live.cross = 0, 0, nan
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

// window returns the part of the x axis in view, and the whole of it.
func (m *Model) window() (from, to, first, last float64, ok bool) {
	first, last = math.Inf(1), math.Inf(-1)
	for _, dir := range append([]string{m.open}, m.overlaid()...) {
		if h := m.histories[dir]; h != nil && h.lines.Lines() > 0 {
			x := h.lines.X[m.live.axis]
			first, last = min(first, x[0]), max(last, x[len(x)-1])
		}
	}
	from, to = m.live.from, m.live.to
	if !(to > from) {
		from, to = first, last
	}
	return from, to, first, last, first < last
}

// crosshair moves the crosshair by a hundredth of what is in view, and at
// least to the next value.
func (m *Model) crosshair(by int) tea.Cmd {
	h := m.opened()
	from, to, _, _, ok := m.window()
	if h == nil || !ok {
		return nil
	}
	x := h.lines.X[m.live.axis]
	if math.IsNaN(m.live.cross) {
		m.live.cross = min(to, x[len(x)-1])
		return nil
	}
	at, _ := slices.BinarySearch(x, m.live.cross)
	next, _ := slices.BinarySearch(x, m.live.cross+float64(by)*(to-from)/100)
	if next == at {
		next += by
	}
	v := x[max(0, min(len(x)-1, next))]
	m.live.cross = v
	if v < from || v > to {
		m.slide(v - (from+to)/2)
	}
	return nil
}

// zoom changes the width of the view, around the crosshair if there is one.
func (m *Model) zoom(by float64) tea.Cmd {
	from, to, first, last, ok := m.window()
	if !ok {
		return nil
	}
	width := (to - from) * by
	if width >= last-first {
		m.live.from, m.live.to = 0, 0
		return nil
	}
	if width < (last-first)/1e6 {
		return nil
	}
	center := (from + to) / 2
	if c := m.live.cross; c >= from && c <= to {
		center = c
	}
	start := max(first, min(center-width/2, last-width))
	m.live.from, m.live.to = start, start+width
	return nil
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

// charts lists the curves that have a chart; that of the loss shows the
// evaluation loss as well.
func (m *Model) charts(h *history) []string {
	names := h.lines.Names()
	if h.lines.Curves[source.Loss] != nil {
		names = slices.DeleteFunc(names, func(s string) bool { return s == source.EvalLoss })
	}
	return names
}

// prepareLive brings what the charts need up to date.
func (m *Model) prepareLive() {
	for _, dir := range append([]string{m.open}, m.overlaid()...) {
		if h := m.histories[dir]; h != nil && h.lines.Curves != nil {
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
