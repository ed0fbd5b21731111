package tui

import (
	"cmp"
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

// pad cuts a text to a column of w, with a space after it.
func pad(s string, w int) string { return text.Pad(text.Line(s, w-1), w) }

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
		sayIn(c, r, m.faultLines("the runs cannot be compared", s.err)...)
		return
	}
	switch s.part {
	case partInputs:
		m.drawInputs(c, r)
	case partLosses:
		m.drawCurves(c, r)
	case partExamples:
		m.drawChanged(c, r)
	default:
		left := m.leftLines()
		left = left[:min(len(left), r.H/4)]
		for i, words := range left {
			c.PutIn(1, r.Y+i, r.W-2, screen.Doubt, words)
		}
		r.Y, r.H = r.Y+len(left), r.H-len(left)
		below := detailRows(r.H)
		top := plot.Rect{X: r.X, Y: r.Y, W: r.W, H: r.H - below}
		if s.sideBySide() {
			m.drawColumnsOf(c, top, s.value.CompareResult)
		} else {
			m.drawDifferences(c, top, s.value.CompareResult)
		}
		m.drawCompareFoot(c, plot.Rect{X: 3, Y: r.Y + r.H - below, W: r.W - 4, H: below}, s.value.CompareResult)
	}
}

// leftLines say which runs are left out of the comparison, and why.
func (m *Model) leftLines() []string {
	var out []string
	for _, l := range m.compare.value.Left {
		name := short(l.Dir)
		if r := m.table.find(l.Dir); r != nil {
			name = r.name
		}
		out = append(out, "! left out: "+text.Line(name, 30)+": "+clip(l.Reason, mostFailure))
	}
	return out
}

// differenceColumns are the columns of the forest plot.
type differenceColumns struct {
	name, left, chance int
	scale              plot.Scale
	drawn              bool
}

const (
	differenceValue = 8
	differenceDelta = 8
)

func layDifferences(rows []difference, r plot.Rect, metric string) differenceColumns {
	d := differenceColumns{name: 12, chance: 9}
	var bounds []float64
	for _, row := range rows {
		d.name = max(d.name, text.Width(text.Line(row.name, 34)))
		// The scale is that of the primary metric: a loss may move much further.
		if delta := row.delta; delta != nil && (row.slice || row.name == metric) && !row.tooFew {
			bounds = append(bounds, delta.Delta)
			if delta.Interval != nil {
				bounds = append(bounds, delta.Interval.Low, delta.Interval.High)
			}
		}
	}
	room := func() int { return r.W - 3 - d.name - 2*differenceValue - differenceDelta - 5 - d.chance }
	d.name = min(d.name, max(12, r.W/3))
	if room() < 14 {
		d.chance = 0
	}
	if room() < 14 {
		d.name = max(10, d.name-14+room())
	}
	d.left = 3 + d.name + 2*differenceValue + differenceDelta + 3
	d.scale, d.drawn = plot.NewScale(append(bounds, 0), math.Inf(-1), math.Inf(1), min(room(), 80))
	return d
}

// drawDifferences draws one run against the base: a forest plot.
func (m *Model) drawDifferences(c *screen.Canvas, r plot.Rect, result *core.CompareResult) {
	rows := m.differences(m.compare.with)
	d := layDifferences(rows, r, result.Metric)
	c.PutIn(3, r.Y, d.name, screen.Dim, "METRIC, SLICE")
	c.PutRight(3+d.name, r.Y, differenceValue, screen.Dim, "BASE")
	c.PutRight(3+d.name+differenceValue, r.Y, differenceValue, screen.Dim, "NEW")
	c.PutRight(3+d.name+2*differenceValue, r.Y, differenceDelta, screen.Dim, "Δ")
	if d.drawn {
		d.scale.Ticks(c, d.left, r.Y, screen.Dim)
	}
	if d.chance > 0 {
		c.PutRight(d.left+d.scale.W+1, r.Y, d.chance-1, screen.Dim, "p (Holm)")
	}
	shown := max(1, r.H-1)
	top := max(0, min(m.compare.row-shown/2, len(rows)-shown))
	for i := top; i < len(rows) && i < top+shown; i++ {
		y := r.Y + 1 + i - top
		d.row(c, rows[i], y, result.MinSlice)
		if i == m.compare.row {
			c.Mark(0, y, c.Width(), screen.Picked)
			c.Set(1, y, screen.Accent|screen.Picked, '▸')
		}
	}
}

func rowStyle(row difference) screen.Style {
	switch {
	case row.tooFew:
		return screen.Dim
	case row.slice:
		return screen.Text
	}
	return screen.Text | screen.Bold
}

func (d *differenceColumns) row(c *screen.Canvas, row difference, y, least int) {
	style := rowStyle(row)
	c.PutIn(3, y, d.name, style, row.name)
	if row.base != nil {
		c.PutRight(3+d.name, y, differenceValue, screen.Dim, score(row.base.Value))
	}
	if row.new != nil {
		c.PutRight(3+d.name+differenceValue, y, differenceValue, style&^screen.Bold, score(row.new.Value))
	}
	if row.tooFew {
		c.PutIn(d.left, y, d.scale.W, screen.Dim, fmt.Sprintf("too few (%d needed)", least))
		return
	}
	delta := row.delta
	if delta == nil {
		return
	}
	mark, tone := verdictMark(delta)
	c.PutRight(3+d.name+2*differenceValue, y, differenceDelta, tone, signed(delta.Delta))
	c.Set(d.left-2, y, tone, mark)
	if d.drawn {
		d.interval(c, delta, tone, y)
	}
	if d.chance > 0 && delta.PHolm != nil {
		c.PutRight(d.left+d.scale.W+1, y, d.chance-1, screen.Dim, chanceOf(*delta.PHolm))
	}
}

func deltaInterval(d *compare.Delta) source.Interval {
	if d.Interval == nil {
		return source.Unknown
	}
	return source.Interval{Low: d.Interval.Low, High: d.Interval.High}
}

func (d *differenceColumns) interval(c *screen.Canvas, delta *compare.Delta, tone screen.Style, y int) {
	c.Set(d.left+d.scale.Column(0), y, screen.Dim, '│')
	interval := deltaInterval(delta)
	if delta.Delta >= d.scale.From && delta.Delta <= d.scale.To {
		d.scale.Interval(c, d.left, y, tone, interval.Low, delta.Delta, interval.High)
		return
	}
	words := "off the scale " + signedEnds(interval)
	if text.Width(words) > d.scale.W {
		words = "off the scale"
	}
	c.Clear(d.left, y, d.scale.W, 1)
	c.PutIn(d.left+1, y, d.scale.W-1, screen.Dim, words)
}

// drawColumnsOf draws all runs side by side: what each has, how far that is from
// the base, and whether it is real.
func (m *Model) drawColumnsOf(c *screen.Canvas, r plot.Rect, result *core.CompareResult) {
	// A column has a value and a difference, a wide one its interval too.
	const least, roomy = 18, 36
	value := 9
	if r.W >= 120 {
		value = 16
	}
	rows := m.differences(0)
	name := 12
	for _, row := range rows {
		name = max(name, text.Width(text.Line(row.name, 30)))
	}
	name = min(name, max(10, r.W/4))
	others := len(result.Runs) - 1
	each := max(least, min(roomy, (r.W-4-name-value)/others))
	fit := max(1, (r.W-4-name-value)/each)
	first := max(0, min(m.compare.with-fit/2, others-fit))
	x := 3 + name
	c.PutIn(3, r.Y, name, screen.Dim, "METRIC, SLICE")
	c.PutRight(x, r.Y, value, screen.Dim, text.Line(result.Runs[0].Label(), value-1))
	for i := first; i < others && i < first+fit; i++ {
		style := screen.Dim
		if i == m.compare.with {
			style = screen.Accent | screen.Bold
		}
		c.PutIn(x+value+(i-first)*each+2, r.Y, each-3, style, result.Runs[i+1].Label())
	}
	shown := max(1, r.H-1)
	top := max(0, min(m.compare.row-shown/2, len(rows)-shown))
	for i := first; i < others && i < first+fit; i++ {
		rows := m.differences(i)
		for j := top; j < len(rows) && j < top+shown; j++ {
			y, row := r.Y+1+j-top, rows[j]
			if i == first {
				c.PutIn(3, y, name, rowStyle(row), row.name)
				if row.base != nil {
					c.PutRight(x, y, value, screen.Dim, score(row.base.Value))
				}
			}
			at := x + value + (i-first)*each
			if row.new != nil {
				c.PutRight(at, y, 7, rowStyle(row)&^screen.Bold, score(row.new.Value))
			}
			switch {
			case row.tooFew:
				c.PutRight(at+7, y, least-9, screen.Dim, "too few")
			case row.delta != nil:
				mark, tone := verdictMark(row.delta)
				c.PutRight(at+7, y, 8, tone, signed(row.delta.Delta))
				c.Set(at+least-2, y, tone, mark)
				if each == roomy {
					c.PutIn(at+least, y, each-least-1, screen.Dim, signedEnds(deltaInterval(row.delta)))
				}
			}
		}
	}
	if at := m.compare.row - top; at >= 0 && at < shown {
		c.Mark(0, r.Y+1+at, c.Width(), screen.Picked)
		c.Set(1, r.Y+1+at, screen.Accent|screen.Picked, '▸')
	}
}

// chanceOf writes a probability.
func chanceOf(p float64) string {
	if p < 0.001 {
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", p)
}

// drawCompareFoot says all about the row under the cursor, and in a line each
// what went in differently and what came out.
func (m *Model) drawCompareFoot(c *screen.Canvas, r plot.Rect, result *core.CompareResult) {
	var inputs []string
	for _, g := range result.Inputs() {
		inputs = append(inputs, g.Name+": "+differWords(g, "same", "difference", "differences"))
	}
	facts := joined(m.differenceWords(result), r.W)
	rest := []string{strings.Join(inputs, " · ")}
	last := ""
	if at := m.compare.with; at < len(result.Examples) {
		last = fmt.Sprintf("fixed %s · broken %s · enter reads them", count(len(result.Examples[at].Fixed)), count(len(result.Examples[at].Broken)))
	}
	rest = append(rest, strings.Trim(last+" · "+noteOf(result), " ·"))
	// The row takes a line, two where there is room; the rest stands below.
	first := max(1, min(len(facts), r.H-len(rest)))
	drawLines(c, plot.Rect{X: r.X, Y: r.Y, W: r.W, H: first}, facts, 0)
	for i := 0; i < len(rest) && first+i < r.H; i++ {
		c.PutIn(r.X, r.Y+first+i, r.W, screen.Dim, rest[i])
	}
}

// differWords says how much of what went into the runs differs.
func differWords(g compare.Inputs, same, one, many string) string {
	switch {
	case len(g.Differ) > 0:
		return plural(len(g.Differ), one, many)
	case g.Unknown:
		return "not known"
	}
	return same
}

// differenceWords writes the row under the cursor with its evidence; its name
// comes first.
func (m *Model) differenceWords(result *core.CompareResult) []string {
	rows := m.differences(m.compare.with)
	if m.compare.row >= len(rows) {
		return nil
	}
	row := rows[m.compare.row]
	value := func(v *compare.Value) string {
		if v == nil {
			return "–"
		}
		i := source.Unknown
		if v.Interval != nil {
			i = source.Interval{Low: v.Interval.Low, High: v.Interval.High}
		}
		return strings.TrimSpace(scoreIn(v.Value, i) + " " + ends(i))
	}
	out := []string{text.Line(row.name, 40), value(row.base) + " → " + value(row.new)}
	if row.new != nil {
		out[1] += " n=" + count(row.new.N)
	}
	switch d := row.delta; {
	case row.tooFew:
		out = append(out, fmt.Sprintf("too few (%d needed)", result.MinSlice))
	case d != nil:
		mark, _ := verdictMark(d)
		words := strings.TrimSpace(signed(d.Delta)+" "+signedEnds(deltaInterval(d))) + " " + string(mark)
		if !d.Paired {
			words += " not paired"
		}
		if d.PHolm != nil {
			words += " p " + chanceOf(*d.PHolm)
		}
		if d.MoreExamples != nil && *d.MoreExamples > 0 && mark == '~' {
			words += ", about " + plural(*d.MoreExamples, "example", "examples") + " more would tell"
		}
		out = append(out, words)
	}
	return out
}

// drawInputs shows what went into the runs.
func (m *Model) drawInputs(c *screen.Canvas, r plot.Rect) {
	s := &m.compare
	lines := m.inputLines(r.W - 4)
	drawLines(c, plot.Rect{X: 2, Y: r.Y, W: r.W - 3, H: r.H - 1}, lines, s.moved)
	foot := "keys that differ · a shows all"
	switch {
	case s.every && s.inputs.err != nil:
		foot = "✗ " + oneLine(s.inputs.err)
	case s.every && !s.inputs.done:
		foot = "reading all keys …"
	case s.every:
		foot = "all keys · a shows those only that differ"
	}
	if len(lines) > r.H-1 {
		foot = fmt.Sprintf("%d to %d of %d lines · ", s.moved+1, min(len(lines), s.moved+r.H-1), len(lines)) + foot
	}
	c.PutIn(2, r.Y+r.H-1, r.W-3, screen.Dim, foot)
}

// drawCurves lays the losses of all runs over each other.
func (m *Model) drawCurves(c *screen.Canvas, r plot.Rect) {
	s := &m.compare
	chart := plot.Chart{Log: !s.linear, Cross: nan}
	x, y := 2, r.Y
	reading := false
	for i, dir := range s.dirs {
		h := m.histories[dir]
		style := screen.Line(i)
		label := text.Line(m.runName(dir), 40)
		if h == nil || !h.done {
			reading = true
		}
		curves := h != nil && h.lines.Curves[source.Loss] != nil
		if !curves {
			style = screen.Dim
			label += " (no log)"
		} else {
			unit := s.axis.unit(h)
			add := func(name string, points bool) {
				if h.lines.Curves[name] == nil {
					return
				}
				series := plot.Series{Style: style, Number: i, Points: points}
				series.X, series.Y = h.scaled(name, s.axis.log(), 0, unit, math.Inf(-1), math.Inf(1))
				chart.Series = append(chart.Series, series)
			}
			add(source.Loss, false)
			add(source.EvalLoss, true)
		}
		if x+4+text.Width(label) >= r.W && x > 2 {
			x, y = 2, y+1
		}
		c.Set(x, y, style, plot.Line(i))
		c.Set(x+1, y, style, plot.Mark(i))
		if i == s.with+1 {
			x = c.Put(x+3, y, screen.Text|screen.Bold, label) + 3
		} else {
			x = c.Put(x+3, y, screen.Text, label) + 3
		}
	}
	scale := "log"
	if s.linear {
		scale = "linear"
	}
	c.PutIn(2, r.Y+r.H-1, r.W-3, screen.Dim, "lines: train loss  marks: eval loss · "+scale+" (L) · over "+s.axis.String()+" (X)")
	body := plot.Rect{X: r.X, Y: y + 1, W: r.W - 1, H: r.Y + r.H - y - 2}
	if !chart.Draw(c, body) {
		words := "none of the runs logged a loss"
		if reading {
			words = "reading the logs …"
		}
		c.PutIn(3, body.Y+1, r.W-4, screen.Dim, words)
	}
}

// answers shows the answer of the base and the new one, or where both have no
// room what is different in the new one.
func (e *changedExample) answers(w int) []span {
	before, after := strings.Join(strings.Fields(clip(e.BasePrediction, mostFailure)), " "), strings.Join(strings.Fields(clip(e.Prediction, mostFailure)), " ")
	was, is := screen.Bad, screen.Good
	if e.broken {
		was, is = is, was
	}
	out := []span{{was, cmp.Or(before, "(nothing)")}, {screen.Dim, "→"}, {is, cmp.Or(after, "(nothing)")}}
	if text.Width(text.Escape(before))+text.Width(text.Escape(after))+3 > w && before != "" && after != "" {
		return diffWords(before, after)
	}
	return out
}

// drawChanged lists the examples whose answer became wrong or right.
func (m *Model) drawChanged(c *screen.Canvas, r plot.Rect) {
	s := &m.compare
	list := m.changedExamples()
	switch {
	case s.with >= len(s.value.Examples):
		sayIn(c, r, said{screen.Text | screen.Bold, "the examples of the two runs cannot be paired"},
			said{screen.Dim, "Both must have predictions for the same test data. " + noteOf(s.value.CompareResult)})
		return
	case len(list) == 0:
		sayIn(c, r, said{screen.Text | screen.Bold, "no answer changed"}, said{screen.Dim, "Both runs are right and wrong on the same examples."})
		return
	}
	changes := s.value.Examples[s.with]
	c.PutIn(2, r.Y, r.W-3, screen.Text, fmt.Sprintf("broken %s · fixed %s · enter reads one · baseline's answer → new answer", count(len(changes.Broken)), count(len(changes.Fixed))))
	name := 0
	for i := range min(len(list), 200) {
		name = max(name, text.Width(text.Line(list[i].ID, 16)))
	}
	rows := max(1, r.H-2)
	top := max(0, min(s.row-rows/2, len(list)-rows))
	for i := top; i < len(list) && i < top+rows; i++ {
		e, y := &list[i], r.Y+2+i-top
		glyph, style, words := '✓', screen.Good, "fixed"
		if e.broken {
			glyph, style, words = '✗', screen.Bad, "broken"
		}
		c.Set(3, y, style, glyph)
		c.Put(5, y, style, words)
		x := 12
		if name > 0 {
			c.PutIn(x, y, name, screen.Dim, e.ID)
			x += name + 2
		}
		lines := flow(e.answers(r.W-x-3), max(8, r.W-x-3))
		for _, sp := range lines[0] {
			x = c.PutIn(x, y, r.W-1-x, sp.style, sp.words)
		}
		if len(lines) > 1 {
			c.Put(min(x+1, r.W-2), y, screen.Dim, "…")
		}
		if i == s.row {
			c.Mark(0, y, c.Width(), screen.Picked)
			c.Set(1, y, screen.Accent|screen.Picked, '▸')
		}
	}
}
