// Package plot draws curves, sparklines and intervals in terminal cells.
//
// Values may be anything: what is not finite is a gap, never an error, and a
// diverged series shows where it diverged. Dots and bars are those of ntcharts,
// which gets only values and sizes that it can draw. However many points a series has,
// drawing costs one pass over those in view, which are reduced to the extremes
// of each column.
package plot

import (
	"math"
	"slices"

	"github.com/verifily/verifily-tui/tui/screen"
)

// Series is a curve: the points (X[i], Y[i]), with X not decreasing.
type Series struct {
	X, Y  []float64
	Style screen.Style
	// Number chooses the pattern of the line and the mark of the points, as Line
	// and Mark tell; 0 is a whole line, and a disc.
	Number int
	// Points draws each point as a mark of its own instead of a line; Glyph is
	// another mark than that of the number.
	Points bool
	Glyph  rune
	// Faint draws the series behind the others.
	Faint bool
}

// Chart is what is drawn: series over a window of x.
type Chart struct {
	Series []Series
	From   float64 // window of x; the whole range where To <= From
	To     float64
	Log    bool // logarithmic y; values that are not positive are gaps
	// Cross is where the crosshair stands; NaN: there is none.
	Cross float64
	// FormatX writes a value of the x axis, FormatY one of the y axis.
	FormatX, FormatY func(float64) string
}

// Rect is a place on a canvas.
type Rect struct{ X, Y, W, H int }

// The smallest chart that says something: an axis, a label and a few cells.
const (
	minWidth  = 16
	minHeight = 4
)

// gutter is the width of the labels of the y axis.
const gutter = 8

// Bounds returns the range of x over the points that have a finite value.
func Bounds(series []Series) (from, to float64, ok bool) {
	from, to = math.Inf(1), math.Inf(-1)
	for _, s := range series {
		n := min(len(s.X), len(s.Y))
		if n == 0 {
			continue
		}
		if finite(s.X[0]) && finite(s.X[n-1]) {
			from, to = min(from, s.X[0]), max(to, s.X[n-1])
		}
	}
	return from, to, from <= to
}

// Draw draws the chart. It returns false where there is nothing to draw, or no
// room; the canvas is then as it was.
func (ch Chart) Draw(c *screen.Canvas, r Rect) bool {
	if r.W < minWidth || r.H < minHeight {
		return false
	}
	from, to, ok := ch.window()
	if !ok {
		return false
	}
	w, h := r.W-gutter-1, r.H-2
	if !drawable(w, h) {
		return false
	}
	reduced := make([][]column, len(ch.Series))
	low, high := math.Inf(1), math.Inf(-1)
	for i, s := range ch.Series {
		reduced[i] = ch.reduce(s, from, to, w*2)
		for _, col := range reduced[i] {
			if col.n > 0 {
				low, high = min(low, col.low), max(high, col.high)
			}
		}
	}
	if low > high {
		return false
	}
	low, high = ch.pad(low, high)
	grid := newGrid(w, h, low, high)
	for _, faint := range []bool{true, false} {
		for i, s := range ch.Series {
			if s.Faint == faint {
				grid.series(s, reduced[i])
			}
		}
	}
	left := r.X + gutter
	ch.axes(c, r, low, high, from, to)
	if cross := ch.Cross; finite(cross) && cross >= from && cross <= to {
		x := left + 1 + column2cell(cross, from, to, grid.w)
		for y := range grid.h {
			c.Set(x, r.Y+y, screen.Dim, '┊')
		}
	}
	grid.draw(c, left+1, r.Y)
	return true
}

func (ch Chart) window() (from, to float64, ok bool) {
	from, to, ok = Bounds(ch.Series)
	if ch.To > ch.From && finite(ch.From) && finite(ch.To) {
		from, to = ch.From, ch.To
	}
	if ok && from == to {
		from, to = from-0.5, to+0.5
	}
	return from, to, ok
}

func column2cell(x, from, to float64, w int) int {
	return min(w-1, max(0, int((x-from)/(to-from)*float64(w))))
}

// column is what the points of a column of dots come down to.
type column struct {
	n           int
	low, high   float64
	first, last float64
	broken      bool // a value that is not finite
}

// reduce brings the points in view down to columns. Values are on the scale of
// the axis.
func (ch Chart) reduce(s Series, from, to float64, w int) []column {
	cols := make([]column, w)
	n := min(len(s.X), len(s.Y))
	start, _ := slices.BinarySearch(s.X[:n], from)
	for i := start; i < n && s.X[i] <= to; i++ {
		at := min(w-1, max(0, int((s.X[i]-from)/(to-from)*float64(w))))
		col := &cols[at]
		v, ok := ch.value(s.Y[i])
		if !ok {
			col.broken = true
			continue
		}
		if col.n == 0 {
			col.low, col.high, col.first = v, v, v
		}
		col.low, col.high, col.last = min(col.low, v), max(col.high, v), v
		col.n++
	}
	return cols
}

func (ch Chart) value(v float64) (float64, bool) {
	if !bounded(v) {
		return 0, false
	}
	if !ch.Log {
		return v, true
	}
	if v <= 0 {
		return 0, false
	}
	return math.Log10(v), true
}

// pad widens the range of y, so that flat series have a height.
func (ch Chart) pad(low, high float64) (float64, float64) {
	if high-low > 1e-12*max(1, math.Abs(low), math.Abs(high)) {
		return low, high
	}
	by := max(math.Abs(low)*0.1, 1e-6)
	if ch.Log {
		by = max(by, 0.05) // exponents: the exponent of 1 is 0
	}
	return low - by, high + by
}

func (ch Chart) axes(c *screen.Canvas, r Rect, low, high, from, to float64) {
	left, h := r.X+gutter, r.H-2
	for y := range h {
		c.Set(left, r.Y+y, screen.Dim, '│')
	}
	before := ""
	for _, v := range ticks(low, high, max(2, h/3), ch.Log) {
		y := int(math.Round((high - v) / (high - low) * float64(h-1)))
		if ch.Log {
			v = math.Pow(10, v)
		}
		words := label(ch.FormatY, v)
		if words == before {
			continue // too close to be told apart
		}
		before = words
		c.PutRight(r.X, r.Y+y, gutter-1, screen.Dim, words)
		c.Set(left, r.Y+y, screen.Dim, '┤')
	}
	base := r.Y + h
	c.Set(left, base, screen.Dim, '└')
	w := r.W - gutter - 1
	c.Fill(left+1, base, w, screen.Dim, '─')
	const apart = 11 // columns between two labels
	end := 0
	for _, v := range ticks(from, to, max(2, w/apart), false) {
		x := column2cell(v, from, to, w)
		words := label(ch.FormatX, v)
		at := max(0, min(w-len(words), x-len(words)/2))
		c.Set(left+1+x, base, screen.Dim, '┬')
		if at >= end {
			c.PutIn(left+1+at, base+1, w-at, screen.Dim, words)
			end = at + len(words) + 2
		}
	}
}

// ticks returns round values between two, about n of them. With log they are
// exponents of ten.
func ticks(low, high float64, n int, log bool) []float64 {
	var out []float64
	if log {
		for _, digits := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
			out = out[:0]
			for power := math.Floor(low); power <= high && len(out) < 1000; power++ {
				for _, d := range digits {
					if v := power + math.Log10(d); v >= low && v <= high {
						out = append(out, v)
					}
				}
			}
			if len(out) <= n+1 {
				break
			}
		}
		if len(out) > n+1 {
			every := (len(out) + n) / (n + 1)
			for i := 0; i*every < len(out); i++ {
				out[i] = out[i*every]
			}
			out = out[:(len(out)+every-1)/every]
		}
		if len(out) >= 2 {
			return out
		}
		// Less than a decade: round values of the numbers themselves.
		out = nil
		for _, v := range ticks(math.Pow(10, low), math.Pow(10, high), n, false) {
			if v > 0 {
				out = append(out, math.Log10(v))
			}
		}
		return out
	}
	step := roundStep((high - low) / float64(n))
	if !(step > 0) {
		return nil
	}
	// Adding zero takes the sign off a negative zero.
	for i := math.Ceil(low/step-1e-9) + 0; i*step <= high+step*1e-9 && len(out) < 1000; i++ {
		out = append(out, i*step)
	}
	return out
}

func label(format func(float64) string, v float64) string {
	if format == nil {
		format = Number
	}
	return format(v)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
