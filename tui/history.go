package tui

import (
	"math"
	"slices"

	"github.com/verifily/verifily-tui/tui/source"
)

var nan = math.NaN()

// history is the log of a run, as far as it was read.
type history struct {
	loaded[struct{}]
	lines    source.History
	smoothed map[string]smoothed
	coarse   map[coarseKey]*coarse
	noted    noted
}

// noted is what of the curves is worth a mark or a word, as far as they were
// looked through.
type noted struct {
	evals, losses int // points that were looked at
	best          int // point of the lowest evaluation loss, -1: none
	broken        []int32
	more          int // broken lines that are not kept
}

// mostBroken bounds the lines with a loss that is not a number that are kept.
const mostBroken = 1000

// note looks through what is new of the curves.
func (h *history) note() {
	n := &h.noted
	if n.evals == 0 {
		n.best = -1
	}
	if c := h.lines.Curves[source.EvalLoss]; c != nil {
		for ; n.evals < len(c.Y); n.evals++ {
			if v := c.Y[n.evals]; !math.IsInf(v, -1) && !math.IsNaN(v) && (n.best < 0 || v < c.Y[n.best]) {
				n.best = n.evals
			}
		}
	}
	if c := h.lines.Curves[source.Loss]; c != nil {
		for ; n.losses < len(c.Y); n.losses++ {
			switch v := c.Y[n.losses]; {
			case !math.IsNaN(v) && !math.IsInf(v, 0):
			case len(n.broken) < mostBroken:
				n.broken = append(n.broken, c.Row[n.losses])
			default:
				n.more++
			}
		}
	}
}

// best returns the line and the value of the lowest evaluation loss.
func (h *history) best() (row int, loss float64, ok bool) {
	c := h.lines.Curves[source.EvalLoss]
	if c == nil || h.noted.evals == 0 || h.noted.best < 0 {
		return 0, 0, false
	}
	return int(c.Row[h.noted.best]), c.Y[h.noted.best], true
}

// at returns the value of a curve at a line, or the last before it.
func (h *history) at(name string, row int) (v float64, at int, ok bool) {
	curve := h.lines.Curves[name]
	if curve == nil {
		return 0, 0, false
	}
	i, exact := slices.BinarySearch(curve.Row, int32(row))
	if !exact {
		i--
	}
	if i < 0 {
		return 0, 0, false
	}
	return curve.Y[i], int(curve.Row[i]), true
}

// smoothed is a curve with a moving mean taken over it.
type smoothed struct {
	weight float64
	y      []float64
}

// logged takes a stretch of a log.
func (m *Model) logged(msg tailMsg) {
	h := m.histories[msg.dir]
	h.set(struct{}{}, msg.err)
	if msg.err != nil {
		return
	}
	if msg.stretch.Restarted {
		h.lines, h.smoothed, h.coarse, h.noted = source.History{}, nil, nil, noted{}
	}
	h.lines.Append(msg.stretch.Lines)
	h.lines.Bad += msg.stretch.Bad
	h.stale = h.stale || msg.stretch.More
	if c := m.live.courses[msg.dir]; c != nil {
		c.stale = true
	}
}

// smooth brings the moving mean of a curve up to date: each value weighs
// 1-weight, what came before weight. Values that are not finite are passed on
// and leave the mean as it is.
func (h *history) smooth(name string, weight float64) {
	curve := h.lines.Curves[name]
	if curve == nil || weight == 0 {
		return
	}
	if h.smoothed == nil {
		h.smoothed = map[string]smoothed{}
	}
	s := h.smoothed[name]
	if s.weight != weight || len(s.y) > len(curve.Y) {
		s = smoothed{weight: weight}
	}
	mean := nan
	for i := len(s.y) - 1; i >= 0 && math.IsNaN(mean); i-- {
		if !math.IsInf(s.y[i], 0) {
			mean = s.y[i]
		}
	}
	for _, v := range curve.Y[len(s.y):] {
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			s.y = append(s.y, v)
			continue
		case math.IsNaN(mean):
			mean = v
		default:
			mean = weight*mean + (1-weight)*v
		}
		s.y = append(s.y, mean)
	}
	h.smoothed[name] = s
}

// values returns a curve as it is to be drawn.
func (h *history) values(name string, weight float64) []float64 {
	if s, ok := h.smoothed[name]; ok && weight > 0 && s.weight == weight {
		return s.y
	}
	return h.lines.Curves[name].Y
}

// A curve with more points in view than fine is drawn from its extremes in
// blocks: a screen has a few hundred columns, and a pass over a million points
// takes longer than a frame may.
const (
	fine  = 20_000
	block = 64
)

type coarseKey struct {
	name   string
	axis   source.Axis
	weight float64
}

// coarse holds the lowest and the highest point of every full block of a
// curve, and one that is not a number where the block has any, in order.
type coarse struct {
	x, y []float64
	upto int // points that are in it
}

// condense brings the coarse form of a long curve up to date.
func (h *history) condense(name string, axis source.Axis, weight float64) {
	curve := h.lines.Curves[name]
	if curve == nil || len(curve.Y) <= fine {
		return
	}
	y, x := h.values(name, weight), h.lines.X[axis]
	key := coarseKey{name, axis, weight}
	c := h.coarse[key]
	if c == nil {
		if h.coarse == nil {
			h.coarse = map[coarseKey]*coarse{}
		}
		c = &coarse{}
		h.coarse[key] = c
	}
	for ; c.upto+block <= len(y); c.upto += block {
		low, high, broken := -1, -1, -1
		for i := c.upto; i < c.upto+block; i++ {
			switch {
			case math.IsNaN(y[i]) || math.IsInf(y[i], 0):
				broken = i
			case low < 0:
				low, high = i, i
			case y[i] < y[low]:
				low = i
			case y[i] > y[high]:
				high = i
			}
		}
		kept := []int{min(low, high), max(low, high), broken}
		slices.Sort(kept)
		for _, i := range slices.Compact(kept) {
			if i >= 0 {
				c.x, c.y = append(c.x, x[curve.Row[i]]), append(c.y, y[i])
			}
		}
	}
}

// points returns a curve for drawing a part of an axis: all its points, or the
// extremes of blocks where there are too many in view.
func (h *history) points(name string, axis source.Axis, weight, from, to float64) (x, y []float64) {
	curve := h.lines.Curves[name]
	if c := h.coarse[coarseKey{name, axis, weight}]; c != nil {
		all := h.lines.X[axis]
		first, _ := slices.BinarySearch(all, from)
		last, _ := slices.BinarySearch(all, to)
		if last-first > fine {
			return c.x, c.y
		}
	}
	return h.lines.Over(axis, curve), h.values(name, weight)
}

// scaled is points with the places multiplied with a unit.
func (h *history) scaled(name string, axis source.Axis, weight, unit, from, to float64) (x, y []float64) {
	x, y = h.points(name, axis, weight, from/unit, to/unit)
	if unit == 1 {
		return x, y
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v * unit
	}
	return out, y
}
