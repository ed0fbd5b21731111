package plot

import (
	"fmt"
	"math"
	"strconv"

	"github.com/verifily/verifily-tui/tui/screen"
)

// grid is a picture of dots, two by four a cell, and of marks that take a cell.
type grid struct {
	w, h  int // cells
	dots  []uint8
	marks []rune
	style []screen.Style
}

func newGrid(w, h int) *grid {
	return &grid{w: w, h: h, dots: make([]uint8, w*h), marks: make([]rune, w*h), style: make([]screen.Style, w*h)}
}

// bit is the bit of a braille pattern for each dot of a cell.
var bit = [4][2]uint8{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

func (g *grid) dot(x, y int, style screen.Style) {
	if x < 0 || x >= g.w*2 || y < 0 || y >= g.h*4 {
		return
	}
	at := y/4*g.w + x/2
	g.dots[at] |= bit[y%4][x%2]
	g.style[at] = style
}

func (g *grid) mark(x, y int, style screen.Style, r rune) {
	if x < 0 || x >= g.w || y < 0 || y >= g.h {
		return
	}
	g.marks[y*g.w+x], g.style[y*g.w+x] = r, style
}

func (g *grid) column(x, from, to int, style screen.Style) {
	for y := min(from, to); y <= max(from, to); y++ {
		g.dot(x, y, style)
	}
}

// series draws the columns of a series: extremes as a stroke, neighbours
// joined by a line, and a mark at the foot where a value is not a number.
func (g *grid) series(s Series, cols []column, y func(float64) int) {
	before, beforeX := 0, -1
	for x, col := range cols {
		if col.broken {
			g.mark(x/2, g.h-1, screen.Bad|screen.Bold, '×')
			beforeX = -1
		}
		if col.n == 0 {
			continue
		}
		if s.Points {
			g.mark(x/2, y(col.last)/4, s.Style, '●')
			continue
		}
		if beforeX >= 0 {
			g.line(beforeX, before, x, y(col.first), s.Style)
		}
		g.column(x, y(col.low), y(col.high), s.Style)
		before, beforeX = y(col.last), x
	}
}

// line joins two dots; the steps are at most as many as columns and rows.
func (g *grid) line(x0, y0, x1, y1 int, style screen.Style) {
	dx, dy := x1-x0, y1-y0
	steps := max(dx, abs(dy), 1)
	for i := 0; i <= steps; i++ {
		g.dot(x0+dx*i/steps, y0+dy*i/steps, style)
	}
}

func (g *grid) draw(c *screen.Canvas, x, y int) {
	for j := range g.h {
		for i := range g.w {
			switch at := j*g.w + i; {
			case g.marks[at] != 0:
				c.Set(x+i, y+j, g.style[at], g.marks[at])
			case g.dots[at] != 0:
				c.Set(x+i, y+j, g.style[at], rune(0x2800)+rune(g.dots[at]))
			}
		}
	}
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
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
