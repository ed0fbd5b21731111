package tui

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// slicesState is how the slices are looked at.
type slicesState struct {
	metric string // empty: the primary one
	sort   int    // place in sliceSorts
	cursor int
	key    string // only slices of this tag; empty: all
}

var sliceSorts = []string{"worst", "name", "n", "errors", "Δ base"}

func slicesKeys() []binding {
	return []binding{
		{[]string{"enter"}, "enter", "read the hard examples of the slice", "read", (*Model).openSlice},
		{[]string{"s"}, "s", "sort: worst, name, n, errors, difference", "sort", func(m *Model) tea.Cmd {
			m.slices.sort = (m.slices.sort + 1) % len(sliceSorts)
			m.slices.cursor = 0
			return nil
		}},
		{[]string{"m"}, "m", "next metric", "metric", func(m *Model) tea.Cmd {
			if e := m.evaluation(); e != nil && len(e.Metrics) > 0 {
				at := slices.Index(e.Metrics, m.sliceMetric(e))
				m.slices.metric = e.Metrics[(at+1)%len(e.Metrics)]
			}
			return nil
		}},
		{[]string{"w"}, "w", "slices of one tag only, then of the next", "tag", func(m *Model) tea.Cmd {
			if e := m.evaluation(); e != nil {
				at := slices.Index(e.Keys, m.slices.key) + 1
				m.slices.key, m.slices.cursor = "", 0
				if at < len(e.Keys) {
					m.slices.key = e.Keys[at]
				}
			}
			return nil
		}},
	}
}

// evaluation returns that of the open run, nil where there is none yet.
func (m *Model) evaluation() *source.Evaluation {
	if e := m.evals[m.open]; e != nil {
		return e.value
	}
	return nil
}

func (m *Model) sliceMetric(e *source.Evaluation) string {
	if slices.Contains(e.Metrics, m.slices.metric) {
		return m.slices.metric
	}
	if len(e.Metrics) == 0 {
		return ""
	}
	return e.Metrics[0]
}

func (s *slicesState) move(by, n int) { s.cursor = max(0, min(n-1, s.cursor+by)) }

// slice is a row of the view.
type slice struct {
	*source.Slice
	overall bool
}

// worst orders the slices of an evaluation, the worst first and those that
// are too small last.
func worst(e *source.Evaluation, metric string) []slice {
	out := make([]slice, 0, len(e.Slices))
	for i := range e.Slices {
		out = append(out, slice{Slice: &e.Slices[i]})
	}
	slices.SortStableFunc(out, func(a, b slice) int { return compareWorst(a, b, metric) })
	return out
}

func compareWorst(a, b slice, metric string) int {
	turn := 1
	if metrics.LowerIsBetter(metric) {
		turn = -1
	}
	x, okX := a.Values[metric]
	y, okY := b.Values[metric]
	return cmp.Or(cmp.Compare(truth(a.TooFew), truth(b.TooFew)), cmp.Compare(truth(!okX), truth(!okY)), turn*cmp.Compare(x, y))
}

func (s slice) interval(metric string) source.Interval {
	if i, ok := s.Intervals[metric]; ok {
		return i
	}
	return source.Unknown
}

// sliceRows returns the rows in their order, with one for all examples.
func (m *Model) sliceRows() []slice {
	e := m.evaluation()
	if e == nil {
		return nil
	}
	metric := m.sliceMetric(e)
	rows := slices.DeleteFunc(worst(e, metric), func(s slice) bool { return m.slices.key != "" && s.Key != m.slices.key })
	all := slice{overall: true, Slice: &source.Slice{N: e.N, Values: e.Values, Intervals: e.Intervals, Errors: e.Errors, Lift: nan}}
	switch m.slices.sort {
	case 0:
		at := 0
		for at < len(rows) && compareWorst(rows[at], all, metric) < 0 {
			at++
		}
		return slices.Insert(rows, at, all)
	case 1:
		slices.SortStableFunc(rows, func(a, b slice) int { return cmp.Compare(a.Name(), b.Name()) })
	case 2:
		slices.SortStableFunc(rows, func(a, b slice) int { return cmp.Compare(b.N, a.N) })
	case 3:
		slices.SortStableFunc(rows, func(a, b slice) int { return cmp.Compare(b.Errors, a.Errors) })
	case 4:
		slices.SortStableFunc(rows, func(a, b slice) int {
			return cmp.Compare(m.sortDelta(a, metric), m.sortDelta(b, metric))
		})
	}
	return slices.Insert(rows, 0, all)
}

func (m *Model) sortDelta(s slice, metric string) float64 {
	d := m.sliceDelta(s, metric)
	switch {
	case d == nil:
		return math.Inf(1)
	case metrics.LowerIsBetter(metric):
		return -d.Delta
	}
	return d.Delta
}

// sliceDelta returns the difference of a slice to the baseline.
func (m *Model) sliceDelta(s slice, metric string) *compare.Delta {
	p := m.pairs[pairKey{m.table.base, m.open}]
	if p == nil || p.value == nil {
		return nil
	}
	if s.overall {
		for _, o := range p.value.Overall {
			if o.Metric == metric && len(o.Deltas) > 0 {
				return o.Deltas[0]
			}
		}
		return nil
	}
	if p.value.Metric != metric {
		return nil
	}
	for _, o := range p.value.Slices {
		if o.Key == s.Key && o.Value == s.Value && len(o.Deltas) > 0 {
			return o.Deltas[0]
		}
	}
	return nil
}

func (m *Model) openSlice() tea.Cmd {
	rows := m.sliceRows()
	if m.slices.cursor >= len(rows) {
		return nil
	}
	s := rows[m.slices.cursor]
	m.hard.setSlice("", "")
	if !s.overall {
		m.hard.setSlice(s.Key, s.Value)
	}
	return m.show(viewHard)
}

func (m *Model) slicesSubject() (left, right string) {
	r := m.run()
	if r == nil {
		return "no run is open", ""
	}
	e := m.evaluation()
	if e == nil {
		return r.name, ""
	}
	parts := []string{r.name}
	if e.TestData != "" {
		parts = append(parts, short(e.TestData)+" n="+count(e.N))
	}
	by := strings.Join(e.Keys, ", ")
	if m.slices.key != "" {
		by = m.slices.key
	}
	if by != "" {
		parts = append(parts, m.sliceMetric(e)+" by "+by)
	}
	if base := m.table.find(m.table.base); base != nil && base != r {
		parts = append(parts, "Δ against "+base.name)
	}
	return strings.Join(parts, " · "), "sort: " + sliceSorts[m.slices.sort]
}

func (m *Model) drawSlices(c *screen.Canvas, r plot.Rect) {
	run, e := m.run(), m.evals[m.open]
	switch {
	case run == nil:
		sayIn(c, r, said{screen.Text | screen.Bold, "no run is open"}, said{screen.Dim, "1 shows the runs; enter opens one"})
		return
	case e == nil || !e.done:
		sayIn(c, r, said{screen.Dim, "reading predictions …"})
		return
	case errors.Is(e.err, fs.ErrNotExist):
		sayIn(c, r, said{screen.Text | screen.Bold, run.name + " is not evaluated"},
			said{screen.Dim, "With test data its slices appear here:"}, said{screen.Text, ""},
			said{screen.Text, "verifily eval --run " + run.dir + " --test-data FILE.jsonl"})
		return
	case e.err != nil:
		sayIn(c, r, said{screen.Bad, "✗ the evaluation could not be read"}, said{screen.Text, oneLine(e.err)}, said{screen.Dim, "r tries again"})
		return
	}
	rows, metric := m.sliceRows(), m.sliceMetric(e.value)
	if len(rows) == 1 && len(e.value.Slices) == 0 {
		defer sayIn(c, plot.Rect{X: r.X, Y: r.Y + 3, W: r.W, H: r.H - 3}, said{screen.Dim, "The test data was not sliced. Tags of its rows, named in the config, do that:"},
			said{screen.Text, "eval: {slice_by_tags: [source, difficulty]}"})
	}
	f := m.forest(rows, metric, r)
	f.header(c, m, metric)
	shown := r.H - 2
	top := max(0, min(m.slices.cursor-shown/2, len(rows)-shown))
	for i := top; i < len(rows) && i < top+shown; i++ {
		f.row(c, m, rows[i], metric, r.Y+1+i-top, i == m.slices.cursor, e.value)
	}
	foot := e.value.Note
	if len(rows) > shown {
		foot = fmt.Sprintf("%d to %d of %d  %s", top+1, min(top+shown, len(rows)), len(rows), foot)
	}
	c.Put(3, r.Y+r.H-1, screen.Dim, foot)
}

// forest is the layout of a forest plot: where its columns stand.
type forest struct {
	r                            plot.Rect
	name, n, value, delta, share int // columns; 0: not shown
	left                         int // of the plot
	scale                        plot.Scale
	drawn                        bool // there is room for the plot, and something in it
	overall                      float64
	places                       int // the most decimals of a value
}

// places counts the decimals of a number as it is written.
func places(s string) int {
	at := strings.IndexByte(s, '.')
	if at < 0 {
		return 0
	}
	return len(s) - at - 1
}

// onPoint pads a number so that the points of a column stand below each other.
func onPoint(s string, most int) string {
	lack := most - places(s)
	if places(s) == 0 && most > 0 {
		lack++
	}
	return s + strings.Repeat(" ", max(0, lack))
}

func (m *Model) forest(rows []slice, metric string, r plot.Rect) forest {
	f := forest{r: r, n: 6, value: 7, share: 10, overall: nan}
	base := m.table.find(m.table.base)
	if base != nil && base.dir != m.open {
		f.delta = 9
	}
	var values []float64
	for _, row := range rows {
		f.name = max(f.name, text.Width(text.Line(row.label(), 36)))
		if row.TooFew {
			continue
		}
		if v, ok := row.Values[metric]; ok {
			interval := row.interval(metric)
			values = append(values, v)
			f.places = max(f.places, places(scoreIn(v, interval)))
			if interval.Known() {
				values = append(values, interval.Low, interval.High)
			}
			if row.overall {
				f.overall = v
			}
		}
	}
	f.name = max(10, min(f.name, 36, r.W/3))
	const leastPlot = 14
	room := func() int { return r.W - 3 - f.name - f.n - f.value - f.delta - f.share - 4 }
	if room() < leastPlot {
		f.share = 0
	}
	if room() < leastPlot {
		f.delta = 0
	}
	if room() < leastPlot {
		f.name = max(10, f.name-leastPlot+room())
	}
	f.left = 3 + f.name + f.n + f.value + 2
	floor, ceiling := math.Inf(-1), math.Inf(1)
	if !strings.Contains(metric, "loss") && metric != metrics.NamePerplexity && metric != metrics.NameWER {
		floor, ceiling = 0, 1
	}
	f.scale, f.drawn = plot.NewScale(values, floor, ceiling, min(room(), 100))
	return f
}

func (s slice) label() string {
	if s.overall {
		return "overall"
	}
	return s.Name()
}

func (f *forest) header(c *screen.Canvas, m *Model, metric string) {
	y := f.r.Y
	c.PutIn(3, y, f.name, screen.Dim, "SLICE")
	c.PutRight(3+f.name, y, f.n, screen.Dim, "n")
	c.PutRight(3+f.name+f.n, y, f.value, screen.Dim, strings.ToUpper(text.Line(metric, f.value-1)))
	if f.drawn {
		f.scale.Ticks(c, f.left, y, screen.Dim)
	}
	x := f.left + f.scale.W + 1
	if f.delta > 0 {
		c.PutRight(x, y, f.delta-2, screen.Dim, "Δ BASE")
	}
	if f.share > 0 {
		c.PutIn(x+f.delta+1, y, f.share, screen.Dim, "ERRORS")
	}
}

func (f *forest) row(c *screen.Canvas, m *Model, s slice, metric string, y int, picked bool, e *source.Evaluation) {
	style, words := screen.Text, screen.Text
	if s.overall {
		words = screen.Text | screen.Bold
	}
	if s.TooFew {
		words = screen.Dim
	}
	c.PutIn(3, y, f.name, words, s.label())
	c.PutRight(3+f.name, y, f.n, screen.Dim, count(s.N))
	v, ok := s.Values[metric]
	interval := s.interval(metric)
	switch {
	case s.TooFew:
		c.PutIn(f.left, y, f.scale.W, screen.Dim, fmt.Sprintf("too few (%d needed)", e.MinSlice))
	case !ok:
		c.PutIn(f.left, y, f.scale.W, screen.Dim, "no value")
	default:
		if !s.overall && interval.Known() {
			low, high := screen.Bad, screen.Good
			if metrics.LowerIsBetter(metric) {
				low, high = high, low
			}
			if interval.High < f.overall {
				style = low
			} else if interval.Low > f.overall {
				style = high
			}
		}
		c.PutRight(3+f.name+f.n, y, f.value, words, onPoint(scoreIn(v, interval), f.places))
	}
	if f.drawn && !math.IsNaN(f.overall) && !s.TooFew {
		c.Set(f.left+f.scale.Column(f.overall), y, screen.Dim, '│')
	}
	if f.drawn && ok && !s.TooFew {
		f.scale.Interval(c, f.left, y, style, interval.Low, v, interval.High)
	}
	x := f.left + f.scale.W + 1
	if f.delta > 0 && !s.TooFew {
		if d := m.sliceDelta(s, metric); d != nil {
			mark, style := verdictMark(d)
			c.PutRight(x, y, f.delta-2, style, signed(d.Delta))
			c.Set(x+f.delta-1, y, style, mark)
		}
	}
	if f.share > 0 && s.Errors >= 0 && e.Errors > 0 {
		end := c.PutIn(x+f.delta+1, y, 4, screen.Text, fmt.Sprintf("%3.0f%%", 100*float64(s.Errors)/float64(e.Errors)))
		if s.LiftEnds.Known() && !s.TooFew && !s.overall {
			// Under a twentieth the arrow would point at 1.0.
			switch far := math.Abs(s.Lift-1) >= 0.05; {
			case far && s.LiftEnds.Low > 1:
				c.PutIn(end+1, y, 6, screen.Bad, fmt.Sprintf("▲%.1f", s.Lift))
			case far && s.LiftEnds.High < 1:
				c.PutIn(end+1, y, 6, screen.Good, fmt.Sprintf("▼%.1f", s.Lift))
			}
		}
	}
	if picked {
		c.Mark(0, y, c.Width(), screen.Picked)
		c.Set(1, y, screen.Accent|screen.Picked, '▸')
	}
}
