// Package screen is a grid of terminal cells that views draw on.
//
// Whatever is drawn, the frame is as wide and as high as it was asked to be:
// what does not fit is cut, wide characters are never halved, and text is
// escaped as it is put, so that no data reaches the terminal raw. A frame
// comes out as escape sequences for a theme, as plain text or as SVG.
package screen

import (
	"strings"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/text"
)

// Style is a role and attributes: Good|Bold.
type Style uint16

// Roles. The theme says which colours they have.
const (
	Text Style = iota
	Dim
	Accent // where you are
	Good
	Bad
	Doubt
	Line1 // series of a chart
	Line2
	Line3
	Line4
	Line5
	Line6
	roles
)

// Attributes, to be or'ed to a role.
const (
	Bold   Style = 1 << 8
	Picked Style = 1 << 9 // the row that the cursor is on
	Shaded Style = 1 << 10
	Cursor Style = 1 << 11 // where typing goes
)

const roleMask Style = 0xff

// Lines is how many styles series have before they repeat.
const Lines = int(roles - Line1)

// Line returns the style of series i of a chart.
func Line(i int) Style { return Line1 + Style(i%Lines) }

// cell is a character with its marks. The right half of a wide character is
// a cell without text.
type cell struct {
	text  string
	style Style
}

var blank = cell{text: " "}

// Canvas is a grid of cells. Positions outside are ignored.
type Canvas struct {
	w, h  int
	cells []cell
}

// New returns an empty canvas of w columns and h lines, at least one each.
func New(w, h int) *Canvas {
	c := &Canvas{w: max(w, 1), h: max(h, 1)}
	c.cells = make([]cell, c.w*c.h)
	for i := range c.cells {
		c.cells[i] = blank
	}
	return c
}

// Width returns the number of columns.
func (c *Canvas) Width() int { return c.w }

// Height returns the number of lines.
func (c *Canvas) Height() int { return c.h }

// Put writes text from (x, y) on, to the end of the line at most, and returns
// the column after it. Characters that a terminal would obey are spelled out.
func (c *Canvas) Put(x, y int, style Style, s string) int {
	return c.PutIn(x, y, c.w-x, style, s)
}

// PutIn is Put into at most w columns; what does not fit ends with an
// ellipsis.
func (c *Canvas) PutIn(x, y, w int, style Style, s string) int {
	w = min(w, c.w-x)
	if w <= 0 || x < 0 || y < 0 || y >= c.h {
		return x
	}
	if !printable(s) || len(s) > w {
		s = text.Line(s, w)
	}
	return c.write(x, y, style, s)
}

// PutRight is PutIn with the end of the text at the right end of the columns.
func (c *Canvas) PutRight(x, y, w int, style Style, s string) {
	if w <= 0 {
		return
	}
	s = text.Line(s, w)
	c.PutIn(x+w-text.Width(s), y, w, style, s)
}

// Set puts one character, which must be one column wide, into a cell.
func (c *Canvas) Set(x, y int, style Style, r rune) {
	if x >= 0 && x < c.w && y >= 0 && y < c.h {
		c.own(x, y)
		c.cells[y*c.w+x] = cell{text: glyph(r), style: style}
	}
}

// Fill writes a character n times from (x, y) to the right.
func (c *Canvas) Fill(x, y, n int, style Style, r rune) {
	for i := range n {
		c.Set(x+i, y, style, r)
	}
}

// Mark adds attributes to w cells from (x, y) on.
func (c *Canvas) Mark(x, y, w int, attributes Style) {
	if y < 0 || y >= c.h {
		return
	}
	for i := max(x, 0); i < min(x+w, c.w); i++ {
		c.cells[y*c.w+i].style |= attributes
	}
}

// Clear empties w columns and h lines from (x, y) on.
func (c *Canvas) Clear(x, y, w, h int) {
	for j := y; j < y+h; j++ {
		c.Fill(x, j, w, Text, ' ')
	}
}

// write puts escaped text of a width that fits.
func (c *Canvas) write(x, y int, style Style, s string) int {
	start := x
	for i := 0; i < len(s); {
		size := 1
		width := 1
		if s[i] >= utf8.RuneSelf {
			_, size = utf8.DecodeRuneInString(s[i:])
			width = text.Width(s[i : i+size])
		}
		part := s[i : i+size]
		i += size
		if width == 0 {
			if x > start {
				at := y*c.w + x - 1
				for c.cells[at].text == "" {
					at--
				}
				c.cells[at].text += part
			}
			continue
		}
		c.own(x, y)
		c.cells[y*c.w+x] = cell{text: part, style: style}
		if width == 2 {
			c.own(x+1, y)
			c.cells[y*c.w+x+1] = cell{style: style}
		}
		x += width
	}
	return x
}

// own makes sure that no half of a wide character is left beside a cell that
// is about to be written.
func (c *Canvas) own(x, y int) {
	at := y*c.w + x
	if c.cells[at].text == "" && x > 0 {
		c.cells[at-1].text = " "
	}
	if x+1 < c.w && c.cells[at+1].text == "" {
		c.cells[at+1].text = " "
	}
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Plain returns the frame as lines of text without trailing spaces.
func (c *Canvas) Plain() string {
	var b strings.Builder
	b.Grow(c.w * c.h)
	for y := range c.h {
		var line strings.Builder
		for _, cell := range c.cells[y*c.w : (y+1)*c.w] {
			line.WriteString(cell.text)
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// glyphs saves an allocation for every cell of a chart.
var glyphs = func() map[rune]string {
	m := map[rune]string{}
	for r := rune(0x2800); r < 0x2900; r++ {
		m[r] = string(r)
	}
	for r := rune(' '); r <= '~'; r++ {
		m[r] = string(r)
	}
	return m
}()

func glyph(r rune) string {
	if s, ok := glyphs[r]; ok {
		return s
	}
	return string(r)
}
