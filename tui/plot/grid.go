package plot

import (
	"cmp"
	"fmt"
	"math"
	"strconv"

	"github.com/NimbleMarkets/ntcharts/canvas"
	"github.com/NimbleMarkets/ntcharts/canvas/graph"

	"github.com/verifily/verifily-tui/tui/screen"
)

// limit bounds what is drawn: beyond it differences overflow, and the library
// behind the dots panics.
const limit = 1e150

// bounded is the guard before everything that is handed to the chart library,
// which loops for ever on values that are not finite: it tells whether a value
// can be drawn.
func bounded(v float64) bool { return math.Abs(v) <= limit }

// drawable is the guard for sizes: the library wants two cells each way.
func drawable(w, h int) bool { return w >= 2 && h >= 2 }

// grid is a picture of dots, two by four a cell, and of marks that take a cell.
// The dots are those of ntcharts; a cell has one style, that of the dot set last.
type grid struct {
	w, h  int // cells
	dots  *graph.BrailleGrid
	marks []rune
	style []screen.Style
}

// newGrid returns a grid for values between low and high. It must be drawable,
// and both ends bounded.
func newGrid(w, h int, low, high float64) *grid {
	return &grid{w: w, h: h, dots: graph.NewBrailleGrid(w, h, 0, float64(2*w-1), low, high),
		marks: make([]rune, w*h), style: make([]screen.Style, w*h)}
}

// at returns the dot of a value in a column of dots.
func (g *grid) at(x int, v float64) canvas.Point {
	return g.dots.GridPoint(canvas.Float64Point{X: float64(x), Y: v})
}

func (g *grid) dot(p canvas.Point, style screen.Style) {
	if p.X < 0 || p.X >= g.w*2 || p.Y < 0 || p.Y >= g.h*4 {
		return
	}
	g.dots.Set(p)
	g.style[p.Y/4*g.w+p.X/2] = style
}

func (g *grid) mark(x, y int, style screen.Style, r rune) {
	if x < 0 || x >= g.w || y < 0 || y >= g.h {
		return
	}
	g.marks[y*g.w+x], g.style[y*g.w+x] = r, style
}

// series draws the columns of a series: extremes as a stroke, neighbours
// joined by a line, and a mark at the foot where a value is not a number.
func (g *grid) series(s Series, cols []column) {
	var before canvas.Point
	joined := false
	p := patternOf(s.Number)
	dot := func(at canvas.Point) {
		if p.draws(at.X) {
			g.dot(at, s.Style)
		}
	}
	for x, col := range cols {
		if col.broken {
			g.mark(x/2, g.h-1, screen.Bad|screen.Bold, '×')
			joined = false
		}
		if col.n == 0 {
			continue
		}
		if s.Points {
			g.mark(x/2, g.at(x, col.last).Y/4, s.Style, cmp.Or(s.Glyph, p.mark))
			continue
		}
		if joined {
			for _, at := range graph.GetLinePoints(before, g.at(x, col.first)) {
				dot(at)
			}
		}
		for y := g.at(x, col.high).Y; y <= g.at(x, col.low).Y; y++ {
			dot(canvas.Point{X: x, Y: y})
		}
		before, joined = g.at(x, col.last), true
	}
}

func (g *grid) draw(c *screen.Canvas, x, y int) {
	const none = 0x2800
	for j, line := range g.dots.BraillePatterns() {
		for i, r := range line {
			switch at := j*g.w + i; {
			case g.marks[at] != 0:
				c.Set(x+i, y+j, g.style[at], g.marks[at])
			case r != none:
				c.Set(x+i, y+j, g.style[at], r)
			}
		}
	}
}

// Number writes a value in at most seven columns, as axes need it.
func Number(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 0):
		return strconv.FormatFloat(v, 'g', -1, 64)
	case a >= 1e15 || a != 0 && a < 1e-4:
		return strconv.FormatFloat(v, 'e', 0, 64)
	case a >= 1e6:
		for i, unit := range []string{"M", "G", "T"} {
			if scaled := v / math.Pow(1000, float64(i+2)); math.Abs(scaled) < 999.5 || unit == "T" {
				return fmt.Sprintf("%.3g%s", scaled, unit)
			}
		}
	case a >= 1e4:
		return fmt.Sprintf("%.4gk", v/1e3)
	}
	if a < 0.1 {
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.4g", v)
}
