package tui

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// happening is something that happened in a run: an evaluation, a checkpoint, a
// loss that is not a number, the end.
type happening struct {
	step  int
	order int // of what happened at the same step
	at    time.Time
	style screen.Style
	words string
}

// checkpoints are those of the open run.
func (m *Model) checkpoints() []source.Checkpoint {
	if c := m.course(m.open); c != nil {
		return c.Checkpoints
	}
	return nil
}

// happened lists the last things that happened in the open run, the newest
// first, n at most.
func (m *Model) happened(n int) []happening {
	h, run := m.opened(), m.run()
	if h == nil || run == nil || n <= 0 {
		return nil
	}
	var out []happening
	clock := func(row int) time.Time {
		at, _ := h.lines.Clock(row)
		return at
	}
	steps := h.lines.X[source.Steps]
	best, loss, hasBest := h.best()
	if hasBest {
		out = append(out, happening{step: int(steps[best]), at: clock(best), style: screen.Good, words: "eval " + readout(loss) + " (best)"})
	}
	if c := h.lines.Curves[source.EvalLoss]; c != nil {
		for i := max(0, len(c.Y)-n); i < len(c.Y); i++ {
			row := int(c.Row[i])
			if !hasBest || row != best {
				out = append(out, happening{step: int(steps[row]), at: clock(row), style: valueStyle(c.Y[i]), words: "eval " + readout(c.Y[i])})
			}
		}
	}
	points := m.checkpoints()
	for _, p := range points[max(0, len(points)-n):] {
		out = append(out, happening{step: p.Step, order: 1, at: p.At, words: fmt.Sprintf("checkpoint-%d saved", p.Step)})
	}
	for i, row := range h.noted.broken {
		if i == 0 || i >= len(h.noted.broken)-n {
			v, _, _ := h.at(source.Loss, int(row))
			out = append(out, happening{step: int(steps[row]), at: clock(int(row)), style: screen.Bad,
				words: fmt.Sprintf("loss %s at step %s", readout(v), count(int(steps[row])))})
		}
	}
	if words := ending(run); words != "" {
		at, _ := time.Parse(runs.TimeFormat, run.e.Meta.CompletedAt)
		_, style := sign(&run.e)
		out = append(out, happening{step: math.MaxInt, at: at, style: style, words: words})
	}
	slices.SortStableFunc(out, func(a, b happening) int {
		return cmp.Or(cmp.Compare(b.step, a.step), cmp.Compare(b.order, a.order))
	})
	return out[:min(n, len(out))]
}

// ending says how a run ended, empty while it goes on.
func ending(r *row) string {
	switch r.e.Status {
	case runs.StatusCompleted:
		return "completed"
	case runs.StatusFailed:
		return strings.TrimSuffix("failed: "+r.failure(), ": ")
	}
	return ""
}

// drawHappened writes the newest happenings, several on a line where there is
// only one line.
func (m *Model) drawHappened(c *screen.Canvas, r plot.Rect, h *history) {
	if r.H < 1 {
		return
	}
	if r.W < readoutFrom && !math.IsNaN(m.live.cross) {
		row, _ := m.rowAt(m.open, m.live.cross)
		x := r.X + 1
		for _, v := range m.readings(h, row) {
			x = c.PutIn(x, r.Y, r.X+r.W-1-x, screen.Dim, v.name) + 1
			x = c.PutIn(x, r.Y, r.X+r.W-1-x, v.style, v.value) + 2
		}
		r.Y, r.H = r.Y+1, r.H-1
	}
	list := m.happened(max(3, r.H))
	if r.H == 1 {
		x := r.X + 1
		for i, e := range list {
			words := e.line(m.now.Location())
			if i > 0 && x+3+text.Width(words) > r.X+r.W-1 {
				return
			}
			if i > 0 {
				x = c.Put(x, r.Y, screen.Dim, " · ")
			}
			x = c.PutIn(x, r.Y, r.X+r.W-1-x, dimmed(e.style), words)
		}
		return
	}
	for i, e := range list[:min(r.H, len(list))] {
		c.PutIn(r.X+1, r.Y+i, r.W-2, dimmed(e.style), e.line(m.now.Location()))
	}
}

// dimmed makes what is usual stand back.
func dimmed(s screen.Style) screen.Style {
	if s == screen.Text {
		return screen.Dim
	}
	return s
}

func (e happening) line(zone *time.Location) string {
	if e.at.IsZero() {
		return e.words
	}
	return e.at.In(zone).Format(time.TimeOnly) + " " + e.words
}

// drawCheckpoint writes a checkpoint with its size, and whether it is the best
// or the last.
func (m *Model) drawCheckpoint(c *screen.Canvas, x, y, w int, p *source.Checkpoint) {
	end := c.PutIn(x, y, w, screen.Text, count(p.Step))
	end = c.PutIn(max(end+1, x+8), y, w-max(end+1-x, 8), screen.Dim, memory(p.Bytes)) + 1
	if p.Best {
		end = c.PutIn(end, y, x+w-end, screen.Good, "◆ best") + 1
	}
	if p.Last {
		c.PutIn(end, y, x+w-end, screen.Accent, "last")
	}
}

// drawLog shows the log line by line, the newest at the foot, and the
// checkpoints beside it.
func (m *Model) drawLog(c *screen.Canvas, r plot.Rect, h *history) {
	if r.W >= readoutFrom && len(m.checkpoints()) > 0 {
		const w = 30
		m.drawCheckpoints(c, plot.Rect{X: r.X + r.W - w, Y: r.Y, W: w - 1, H: r.H})
		r.W -= w
	}
	columns := []string{}
	for _, name := range h.lines.Names() {
		if len(columns) < (r.W-27)/10 {
			columns = append(columns, name)
		}
	}
	c.PutIn(r.X+1, r.Y, 8, screen.Dim, "TIME")
	c.PutRight(r.X+10, r.Y, 8, screen.Dim, "STEP")
	c.PutRight(r.X+18, r.Y, 8, screen.Dim, "EPOCH")
	for i, name := range columns {
		c.PutRight(r.X+27+i*10, r.Y, 9, screen.Dim, strings.ToUpper(cmp.Or(readoutNames[name], text.Line(name, 9))))
	}
	rows := r.H - 1
	last := h.lines.Lines() - 1 - min(m.live.up, h.lines.Lines()-1)
	first := max(0, last-rows+1)
	last = min(h.lines.Lines()-1, first+rows-1)
	best, _, hasBest := h.best()
	for row := first; row <= last; row++ {
		y := r.Y + 1 + row - first
		if at, ok := h.lines.Clock(row); ok {
			c.PutIn(r.X+1, y, 8, screen.Dim, at.In(m.now.Location()).Format(time.TimeOnly))
		}
		c.PutRight(r.X+10, y, 8, screen.Text, count(int(h.lines.X[source.Steps][row])))
		c.PutRight(r.X+18, y, 8, screen.Dim, fmt.Sprintf("%.2f", h.lines.X[source.Epochs][row]))
		for i, name := range columns {
			v, at, ok := h.at(name, row)
			if !ok || at != row {
				continue
			}
			style := valueStyle(v)
			if name == source.EvalLoss && hasBest && at == best {
				style = screen.Good | screen.Bold
			}
			c.PutRight(r.X+27+i*10, y, 9, style, readout(v))
		}
	}
}

// drawCheckpoints lists what the run can be taken up from, the newest first.
func (m *Model) drawCheckpoints(c *screen.Canvas, r plot.Rect) {
	points := m.checkpoints()
	c.PutIn(r.X, r.Y, r.W, screen.Dim, "CHECKPOINTS")
	for i := range points {
		p := &points[len(points)-1-i]
		if i+1 >= r.H {
			return
		}
		m.drawCheckpoint(c, r.X, r.Y+1+i, r.W-5, p)
		c.PutRight(r.X+r.W-4, r.Y+1+i, 4, screen.Dim, ago(m.now.Sub(p.At)))
	}
}
