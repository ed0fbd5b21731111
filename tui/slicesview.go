package tui

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

func (m *Model) drawSlices(c *screen.Canvas, r plot.Rect) {
	run, e := m.run(), m.evals[m.open]
	switch {
	case run == nil:
		m.sayNoRun(c, r)
		return
	case e == nil || !e.done:
		sayIn(c, r, said{screen.Dim, "reading predictions …"})
		return
	case errors.Is(e.err, fs.ErrNotExist):
		sayIn(c, r, said{screen.Text | screen.Bold, run.name + " is not evaluated"},
			said{screen.Dim, "With test data its slices appear here:"}, said{screen.Text, ""},
			said{screen.Text, "verifily eval --run " + m.fromShell(run.dir) + " --test-data FILE.jsonl"})
		return
	case e.err != nil:
		sayIn(c, r, m.faultLines("the evaluation could not be read", e.err)...)
		return
	case m.slices.cross != nil:
		m.drawCross(c, r)
		return
	}
	rows, metric := m.sliceRows(), m.sliceMetric(e.value)
	if len(rows) == 1 && len(e.value.Slices) == 0 {
		defer sayIn(c, plot.Rect{X: r.X, Y: r.Y + 3, W: r.W, H: r.H - 3}, said{screen.Dim, "The test data was not sliced. Tags of its rows, named in the config, do that:"},
			said{screen.Text, "eval: {slice_by_tags: [source, difficulty]}"})
	}
	detail := detailRows(r.H)
	f := m.forest(metric, r)
	f.header(c, metric)
	at := m.sliceAt(rows)
	shown := r.H - 2 - detail
	top := max(0, min(at-shown/2, len(rows)-shown))
	for i := top; i < len(rows) && i < top+shown; i++ {
		f.row(c, m, rows[i], metric, r.Y+1+i-top, i == at, e.value)
	}
	parts := m.sliceDetail(rows[at], overallRow(e.value), metric, e.value)
	if len(rows) > shown {
		parts[0] = count(at+1) + " of " + count(len(rows)) + ": " + parts[0]
	}
	if e.value.Note != "" {
		parts = append(parts, e.value.Note)
	}
	drawLines(c, plot.Rect{X: 3, Y: r.Y + r.H - detail, W: r.W - 4, H: detail}, joined(parts, r.W-4), 0)
}

// detailRows is how many lines below a table of so many say all about one row.
func detailRows(h int) int {
	switch {
	case h < 8:
		return 1
	case h < 14:
		return 2
	}
	return 4
}

// joined writes facts one after the other, w columns wide; the first is the
// subject.
func joined(parts []string, w int) [][]span {
	var spans []span
	for i, p := range parts {
		if p == "" {
			continue
		}
		style := screen.Text
		if i == 0 {
			style |= screen.Bold
		} else {
			spans = append(spans, span{screen.Dim, "·"})
		}
		spans = append(spans, span{style, clip(p, mostFailure)})
	}
	return flow(spans, w)
}

// sliceDetail says all that is known of a slice, with its evidence; its name
// comes first.
func (m *Model) sliceDetail(s, all slice, metric string, e *source.Evaluation) []string {
	out := []string{text.Line(s.label(), 60)}
	if s.TooFew {
		return append(out, "n="+count(s.N), fmt.Sprintf("too few to say anything: %d needed, %s more", e.MinSlice, count(e.MinSlice-s.N)))
	}
	if v, ok := s.Values[metric]; ok {
		out = append(out, metric+" "+strings.TrimSpace(scoreIn(v, s.interval(metric))+" "+ends(s.interval(metric)))+" n="+count(s.N))
	} else {
		out = append(out, "n="+count(s.N), "no value of "+metric)
	}
	if d, interval, ok := overallDelta(s, all, metric); ok {
		out = append(out, "to overall "+strings.TrimSpace(signed(d)+" "+signedEnds(interval)))
	}
	out = append(out, m.deltaWords(m.sliceDelta(s)))
	if share, _, _ := sharesOf(s, e); share != "" && !s.overall {
		words := share + " of " + plural(e.Errors, "error", "errors")
		if s.LiftEnds.Known() {
			words += fmt.Sprintf(", %.1f× its part of the data [%.1f, %.1f]", s.Lift, s.LiftEnds.Low, s.LiftEnds.High)
		}
		out = append(out, words)
	}
	return out
}

// deltaWords writes a difference to the baseline with its evidence; empty where
// there is none.
func (m *Model) deltaWords(d *compare.Delta) string {
	base := m.table.find(m.table.base)
	if d == nil || base == nil {
		return ""
	}
	words := "to " + text.Line(base.name, 24) + " " + signed(d.Delta)
	if d.Interval != nil {
		words += " " + signedEnds(source.Interval{Low: d.Interval.Low, High: d.Interval.High})
	}
	mark, _ := verdictMark(d)
	words += " " + string(mark)
	if d.PHolm != nil {
		words += " p " + chanceOf(*d.PHolm)
	}
	if d.MoreExamples != nil && *d.MoreExamples > 0 && mark == '~' {
		words += ", about " + plural(*d.MoreExamples, "example", "examples") + " more would tell"
	}
	return words
}

// signedEnds writes the interval of a difference.
func signedEnds(i source.Interval) string {
	if !i.Known() {
		return ""
	}
	return "[" + signed(i.Low) + ", " + signed(i.High) + "]"
}

func percent(part, of int) string { return fmt.Sprintf("%.0f%%", 100*float64(part)/float64(of)) }

func places1(v float64) string { return fmt.Sprintf("%.1f", v) }

// forest is the layout of a forest plot: where its columns stand.
type forest struct {
	r                                 plot.Rect
	name, n, value, far, delta, share int // columns; 0: not shown
	left                              int // of the plot
	scale                             plot.Scale
	drawn                             bool // there is room for the plot, and something in it
	second                            int  // left of the plot of differences; 0: there is none
	deltas                            plot.Scale
	overall                           float64
	all                               slice
	places                            int // the most decimals of a value
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

// bounded says between which values a metric can lie.
func bounded(metric string) (floor, ceiling float64) {
	if strings.Contains(metric, "loss") || metric == metrics.NamePerplexity || metric == metrics.NameWER {
		return math.Inf(-1), math.Inf(1)
	}
	return 0, 1
}

// extent is how far the rows of a table reach: what its columns and scales must
// hold.
type extent struct {
	name, places   int
	all            slice
	overall        float64
	values, deltas []float64 // the ends, without those of slices that are too small
}

func (m *Model) measure(rows []slice, metric string) extent {
	x := extent{overall: nan}
	values, deltas := reach{math.Inf(1), math.Inf(-1)}, reach{math.Inf(1), math.Inf(-1)}
	for _, row := range rows {
		x.name = max(x.name, text.Width(text.Line(row.label(), widestSlice)))
		if row.overall {
			x.all = row
		}
		if row.TooFew {
			continue
		}
		if d := m.sliceDelta(row); d != nil {
			deltas.hold(d.Delta)
			if d.Interval != nil {
				deltas.hold(d.Interval.Low, d.Interval.High)
			}
		}
		if v, ok := row.Values[metric]; ok {
			interval := row.interval(metric)
			values.hold(v)
			x.places = max(x.places, places(scoreIn(v, interval)))
			if interval.Known() {
				values.hold(interval.Low, interval.High)
			}
			if row.overall {
				x.overall = v
			}
		}
	}
	x.values, x.deltas = values.ends(), deltas.ends()
	return x
}

// reach is the lowest and the highest of the finite values that it held.
type reach struct{ low, high float64 }

func (s *reach) hold(values ...float64) {
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			s.low, s.high = min(s.low, v), max(s.high, v)
		}
	}
}

// ends returns both, nothing where no value was held.
func (s reach) ends() []float64 {
	if s.low > s.high {
		return nil
	}
	return []float64{s.low, s.high}
}

func (m *Model) forest(metric string, r plot.Rect) forest {
	f := forest{r: r, n: 6, value: max(7, min(12, text.Width(text.Line(metric, 12))+1)), far: 9, share: 10, overall: nan}
	if base := m.table.find(m.table.base); base != nil && base.dir != m.open {
		f.delta = 9
	}
	x := m.slices.extent
	f.name, f.all, f.overall, f.places = x.name, x.all, x.overall, x.places
	f.name = max(10, min(f.name, widestSlice, r.W/3))
	const leastPlot, roomy = 14, 40
	room := func() int { return r.W - 3 - f.name - f.n - f.value - f.far - f.delta - f.share - 4 }
	// The difference to overall is the first to go: the plot shows it too.
	for _, column := range []*int{&f.far, &f.share, &f.delta} {
		least := leastPlot
		if column == &f.far {
			least = roomy
		}
		if room() < least {
			*column = 0
		}
	}
	if room() < leastPlot {
		f.name = max(10, f.name-leastPlot+room())
	}
	f.left = 3 + f.name + f.n + f.value + 2
	w := min(room(), 100)
	if f.delta > 0 && len(x.deltas) > 0 && room() >= 2*roomy-10 {
		w = min(room()*3/5, 100)
		other := min(room()-w-2, 60)
		if scale, ok := plot.NewScale(append(x.deltas, 0), math.Inf(-1), math.Inf(1), other); ok {
			f.deltas = scale
			f.second = f.left + w + 1 + f.far + f.delta + 2
		}
	}
	floor, ceiling := bounded(metric)
	f.scale, f.drawn = plot.NewScale(x.values, floor, ceiling, w)
	return f
}

// edges are the columns right of the plot.
func (f *forest) edges() (far, delta, share int) {
	far = f.left + f.scale.W + 1
	delta = far + f.far
	share = delta + f.delta + 1
	if f.second > 0 {
		share = f.second + f.deltas.W + 1
	}
	return far, delta, share
}

func (f *forest) header(c *screen.Canvas, metric string) {
	y := f.r.Y
	c.PutIn(3, y, f.name, screen.Dim, "SLICE")
	c.PutRight(3+f.name, y, f.n, screen.Dim, "n")
	c.PutRight(3+f.name+f.n, y, f.value, screen.Dim, strings.ToUpper(text.Line(metric, f.value-1)))
	if f.drawn {
		f.scale.Ticks(c, f.left, y, screen.Dim)
	}
	far, delta, share := f.edges()
	if f.far > 0 {
		c.PutRight(far, y, f.far-1, screen.Dim, "Δ ALL")
	}
	if f.delta > 0 {
		c.PutRight(delta, y, f.delta-2, screen.Dim, "Δ BASE")
	}
	if f.second > 0 {
		f.deltas.Ticks(c, f.second, y, screen.Dim)
	}
	if f.share > 0 {
		c.PutIn(share, y, f.share, screen.Dim, "ERRORS")
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
		c.PutIn(f.left, y, max(f.scale.W, min(24, f.r.W-f.left-12)), screen.Dim, fmt.Sprintf("too few (%d needed)", e.MinSlice))
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
	f.differences(c, m.sliceDelta(s), s, metric, y)
	_, _, at := f.edges()
	if share, lift, style := sharesOf(s, e); f.share > 0 && share != "" {
		c.PutRight(at, y, 4, screen.Text, share)
		c.PutIn(at+5, y, 6, style, lift)
	}
	if picked {
		c.Mark(0, y, c.Width(), screen.Picked)
		c.Set(1, y, screen.Accent|screen.Picked, '▸')
	}
}

// differences draws how far a row is from all examples and from the baseline.
func (f *forest) differences(c *screen.Canvas, d *compare.Delta, s slice, metric string, y int) {
	if s.TooFew {
		return
	}
	far, delta, _ := f.edges()
	if away, interval, ok := overallDelta(s, f.all, metric); ok && f.far > 0 {
		style := screen.Dim
		if interval.Low > 0 || interval.High < 0 {
			style = screen.Text
		}
		c.PutRight(far, y, f.far-1, style, signed(away))
	}
	if f.delta == 0 || d == nil {
		return
	}
	mark, style := verdictMark(d)
	c.PutRight(delta, y, f.delta-2, style, signed(d.Delta))
	c.Set(delta+f.delta-1, y, style, mark)
	if f.second > 0 {
		c.Set(f.second+f.deltas.Column(0), y, screen.Dim, '│')
		interval := source.Unknown
		if d.Interval != nil {
			interval = source.Interval{Low: d.Interval.Low, High: d.Interval.High}
		}
		f.deltas.Interval(c, f.second, y, style, interval.Low, d.Delta, interval.High)
	}
}
