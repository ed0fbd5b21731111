package tui

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

func (m *Model) compareSubject() (left, right string) {
	s := &m.compare
	if s.value == nil || s.with+1 >= len(s.value.Runs) {
		return "two runs, or more, held against each other", ""
	}
	r := s.value
	left = r.Runs[s.with+1].Label() + " against " + r.Runs[0].Label()
	if len(r.Runs) > 2 {
		left += fmt.Sprintf(" · %d of %d", s.with+1, len(r.Runs)-1)
	}
	if s.with < len(r.Pairing) {
		p := r.Pairing[s.with]
		right = fmt.Sprintf("%s paired, %s unmatched", count(p.Matched), count(p.UnmatchedBase+p.UnmatchedRun))
		if !p.Paired {
			right = "not paired"
		}
	}
	return left, right
}

func (m *Model) drawCompare(c *screen.Canvas, r plot.Rect) {
	s := &m.compare
	switch {
	case len(m.compared()) < 2:
		sayIn(c, r, said{screen.Text | screen.Bold, "comparing takes two runs"},
			said{screen.Dim, "1 shows the runs: space marks some and c compares them, or b makes one the baseline"})
		return
	case !s.done:
		sayIn(c, r, said{screen.Dim, "comparing: predictions are paired and resampled …"})
		return
	case s.err != nil:
		lines := []said{{screen.Bad, "✗ the runs cannot be compared"}, {screen.Text, oneLine(s.err)}}
		var fault core.VerifilyTrainError
		if errors.As(s.err, &fault) && fault.Fault().Hint != "" {
			lines = append(lines, said{screen.Dim, fault.Fault().Hint})
		}
		sayIn(c, r, lines...)
		return
	}
	if s.part == partMetrics {
		m.drawDifferences(c, r, s.value)
		return
	}
	lines := m.compareLines(r.W - 4)
	for i := 0; i < r.H && s.moved+i < len(lines); i++ {
		x := 2
		for _, sp := range lines[s.moved+i] {
			x = c.PutIn(x, r.Y+i, r.W-1-x, sp.style, sp.words)
		}
	}
}

// difference is a row of the forest plot: a metric, or a slice of the primary.
type difference struct {
	name      string
	base, new *compare.Value
	delta     *compare.Delta
	lower     bool // smaller values are better
	slice     bool
	tooFew    bool
}

func (m *Model) differences() []difference {
	r, at := m.compare.value, m.compare.with
	var out []difference
	pick := func(values []*compare.Value, deltas []*compare.Delta, d difference) {
		if at+1 < len(values) {
			d.base, d.new = values[0], values[at+1]
		}
		if at < len(deltas) {
			d.delta = deltas[at]
		}
		out = append(out, d)
	}
	lower := false
	for i, o := range r.Overall {
		pick(o.Values, o.Deltas, difference{name: o.Metric, lower: o.LowerIsBetter})
		if i == 0 {
			lower = o.LowerIsBetter
		}
	}
	for _, s := range r.Slices {
		pick(s.Values, s.Deltas, difference{name: s.Key + "=" + s.Value, lower: lower, slice: true, tooFew: s.TooFew})
	}
	return out
}

func (m *Model) drawDifferences(c *screen.Canvas, r plot.Rect, result *core.CompareResult) {
	rows := m.differences()
	name := 12
	var bounds []float64
	for _, row := range rows {
		name = max(name, text.Width(text.Line(row.name, 34)))
		// The scale is that of the primary metric: a loss may move much further.
		if d := row.delta; d != nil && (row.slice || row.name == result.Metric) && !row.tooFew {
			bounds = append(bounds, d.Delta)
			if d.Interval != nil {
				bounds = append(bounds, d.Interval.Low, d.Interval.High)
			}
		}
	}
	const value, delta, chance = 8, 8, 9
	p := chance
	room := func() int { return r.W - 3 - name - 2*value - delta - 5 - p }
	name = min(name, max(12, r.W/3))
	if room() < 14 {
		p = 0
	}
	if room() < 14 {
		name = max(10, name-14+room())
	}
	left := 3 + name + 2*value + delta + 3
	scale, drawn := plot.NewScale(append(bounds, 0), math.Inf(-1), math.Inf(1), min(room(), 80))
	c.PutIn(3, r.Y, name, screen.Dim, "METRIC, SLICE")
	c.PutRight(3+name, r.Y, value, screen.Dim, "BASE")
	c.PutRight(3+name+value, r.Y, value, screen.Dim, "NEW")
	c.PutRight(3+name+2*value, r.Y, delta, screen.Dim, "Δ")
	if drawn {
		scale.Ticks(c, left, r.Y, screen.Dim)
	}
	if p > 0 {
		c.PutRight(left+scale.W+1, r.Y, p-1, screen.Dim, "p (Holm)")
	}
	shown := max(1, r.H-4)
	top := max(0, min(m.compare.moved, len(rows)-shown))
	for i := top; i < len(rows) && i < top+shown; i++ {
		row, y := rows[i], r.Y+1+i-top
		style := screen.Text
		if !row.slice {
			style |= screen.Bold
		}
		if row.tooFew {
			style = screen.Dim
		}
		c.PutIn(3, y, name, style, row.name)
		if row.base != nil {
			c.PutRight(3+name, y, value, screen.Dim, score(row.base.Value))
		}
		if row.new != nil {
			c.PutRight(3+name+value, y, value, style&^screen.Bold, score(row.new.Value))
		}
		if row.tooFew {
			c.PutIn(left, y, scale.W, screen.Dim, fmt.Sprintf("too few (%d needed)", result.MinSlice))
			continue
		}
		d := row.delta
		if d == nil {
			continue
		}
		mark, tone := verdictMark(d)
		c.PutRight(3+name+2*value, y, delta, tone, signed(d.Delta))
		c.Set(left-2, y, tone, mark)
		if drawn {
			c.Set(left+scale.Column(0), y, screen.Dim, '│')
			interval := source.Unknown
			if d.Interval != nil {
				interval = source.Interval{Low: d.Interval.Low, High: d.Interval.High}
			}
			if d.Delta < scale.From || d.Delta > scale.To {
				words := "off the scale " + ends(interval)
				if text.Width(words) > scale.W {
					words = "off the scale"
				}
				c.Clear(left, y, scale.W, 1)
				c.PutIn(left+1, y, scale.W-1, screen.Dim, words)
			} else {
				scale.Interval(c, left, y, tone, interval.Low, d.Delta, interval.High)
			}
		}
		if p > 0 && d.PHolm != nil {
			c.PutRight(left+scale.W+1, y, p-1, screen.Dim, chanceOf(*d.PHolm))
		}
	}
	m.drawInputs(c, plot.Rect{X: 3, Y: r.Y + r.H - 2, W: r.W - 4, H: 2}, result)
}

// chanceOf writes a probability.
func chanceOf(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

// drawInputs says in two lines what went in differently, and what came out.
func (m *Model) drawInputs(c *screen.Canvas, r plot.Rect, result *core.CompareResult) {
	say := func(what string, n int) string {
		if n == 0 {
			return what + ": same"
		}
		return what + ": " + plural(n, "difference", "differences")
	}
	c.PutIn(r.X, r.Y, r.W, screen.Text, strings.Join([]string{say("config", len(result.Config)), say("data", len(result.Data)),
		say("environment", len(result.Environment))}, " · "))
	line := ""
	if at := m.compare.with; at < len(result.Examples) {
		line = fmt.Sprintf("fixed %s · broken %s · enter reads them", count(len(result.Examples[at].Fixed)), count(len(result.Examples[at].Broken)))
	}
	if len(result.Notes) > 0 {
		line = strings.Join(append([]string{line}, result.Notes...), " · ")
	}
	c.PutIn(r.X, r.Y+1, r.W, screen.Dim, strings.TrimPrefix(line, " · "))
}
