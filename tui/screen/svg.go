package screen

import (
	"cmp"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// The size of a cell in an SVG picture, in pixels, for a monospaced font of 14,
// and the margin around the cells.
const (
	cellWidth  = 8.4
	cellHeight = 18
	margin     = 16
)

// SVG returns the frame as a picture on a dark or a light ground. Every word
// stands at its own column, so that it lines up in any font; dots, bars and
// rules are shapes, not characters.
func (c *Canvas) SVG(t Theme) string {
	var b strings.Builder
	w, h := float64(c.w)*cellWidth+2*margin, float64(c.h)*cellHeight+2*margin
	paper, ink, edge := "#16181d", "#d7dae0", "#2b2f38"
	if t.Light {
		paper, ink, edge = "#ffffff", "#24292f", "#d9dde3"
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, `<rect x="0.5" y="0.5" width="%.0f" height="%.0f" rx="9.5" fill="%s" stroke="%s"/>`+"\n", w-1, h-1, paper, edge)
	shapes := map[Style]*shapes{}
	var words strings.Builder
	for y := range c.h {
		line := c.cells[y*c.w : (y+1)*c.w]
		c.grounds(&b, t, line, y)
		for x := 0; x < c.w; {
			style := line[x].style
			s := shapes[style&roleMask]
			if s == nil {
				s = newShapes()
				shapes[style&roleMask] = s
			}
			if line[x].text == " " || line[x].text == "" || s.add(line[x].text, x, y) {
				x++
				continue
			}
			start := x
			var word strings.Builder
			for x < c.w && line[x].style == style && line[x].text != " " && !drawn(line[x].text) {
				word.WriteString(line[x].text)
				x++
			}
			t.word(&words, style, start, y, x-start, word.String())
		}
	}
	for _, style := range slices.SortedFunc(maps.Keys(shapes), cmp.Compare) {
		colour := ink
		if i := inks[style]; i != nil {
			colour = t.hex(i)
		}
		shapes[style].write(&b, colour)
	}
	fmt.Fprintf(&b, `<g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14" fill="%s">`+"\n", ink)
	b.WriteString(words.String())
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// left and top return where a cell begins.
func left(x int) float64 { return margin + float64(x)*cellWidth }
func top(y int) float64  { return margin + float64(y)*cellHeight }

// grounds draws what is behind the text of a line.
func (c *Canvas) grounds(b *strings.Builder, t Theme, line []cell, y int) {
	for x := 0; x < c.w; {
		start := x
		g := ground(line[x].style)
		for x < c.w && ground(line[x].style) == g && (line[x].style^line[start].style)&Cursor == 0 {
			x++
		}
		fill := ""
		switch {
		case line[start].style&Cursor != 0:
			fill = t.hex(inks[Accent]) + "80"
		case g != nil:
			fill = t.hex(g)
		default:
			continue
		}
		fmt.Fprintf(b, `<rect x="%.1f" y="%.0f" width="%.1f" height="%d" fill="%s"/>`+"\n", left(start), top(y), float64(x-start)*cellWidth, cellHeight, fill)
	}
}

func (t Theme) word(b *strings.Builder, style Style, x, y, cells int, word string) {
	attributes := ""
	if i := inks[style&roleMask]; i != nil {
		attributes += fmt.Sprintf(` fill="%s"`, t.hex(i))
	}
	if style&Bold != 0 {
		attributes += ` font-weight="bold"`
	}
	if cells > 1 {
		attributes += fmt.Sprintf(` textLength="%.1f" lengthAdjust="spacingAndGlyphs"`, float64(cells)*cellWidth)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.0f"%s>%s</text>`+"\n", left(x), top(y)+13, attributes, html.EscapeString(word))
}

// hex returns a colour as #rrggbb.
func (t Theme) hex(i *ink) string {
	if t.Light {
		return i.Light.TrueColor
	}
	return i.Dark.TrueColor
}

// Arms of a rule, from the middle of its cell.
const (
	armLeft = 1 << iota
	armRight
	armUp
	armDown
)

// rules are the characters that are lines, with their arms.
var rules = map[rune]int{
	'─': armLeft | armRight, '│': armUp | armDown, '┌': armRight | armDown, '┐': armLeft | armDown, '└': armRight | armUp, '┘': armLeft | armUp,
	'├': armUp | armDown | armRight, '┤': armUp | armDown | armLeft, '┬': armLeft | armRight | armDown, '┴': armLeft | armRight | armUp,
	'┼': armLeft | armRight | armUp | armDown,
}

// dashes are the characters that are thick broken lines, with their parts.
var dashes = map[rune]int{'╍': 2, '┅': 3, '┉': 4}

// shapes are what is drawn in one colour: the parts of SVG paths.
type shapes struct{ thin, thick, dots, bars, shade *strings.Builder }

func newShapes() *shapes {
	return &shapes{&strings.Builder{}, &strings.Builder{}, &strings.Builder{}, &strings.Builder{}, &strings.Builder{}}
}

// drawn says whether a character is a shape.
func drawn(text string) bool {
	if len(text) < 3 {
		return false
	}
	r, _ := utf8.DecodeRuneInString(text)
	return rules[r] != 0 || r == '━' || dashes[r] > 0 || r == '┊' || r == '╌' || r == '●' || r >= '▁' && r <= '█' || r == '░' || r == '▏' || r > 0x2800 && r <= 0x28ff
}

// add adds a character; false means that it is none of the shapes.
func (s *shapes) add(text string, x, y int) bool {
	if !drawn(text) {
		return false
	}
	r, _ := utf8.DecodeRuneInString(text)
	x0, y0 := left(x), top(y)
	midX, midY := x0+cellWidth/2, y0+cellHeight/2
	switch {
	case rules[r] != 0:
		for _, arm := range []struct {
			bit    int
			dx, dy float64
		}{{armLeft, -cellWidth / 2, 0}, {armRight, cellWidth / 2, 0}, {armUp, 0, -cellHeight / 2}, {armDown, 0, cellHeight / 2}} {
			if rules[r]&arm.bit != 0 {
				fmt.Fprintf(s.thin, "M%.1f %.1fl%.1f %.1f", midX, midY, arm.dx, arm.dy)
			}
		}
	case r == '━':
		fmt.Fprintf(s.thick, "M%.1f %.1fh%.1f", x0, midY, cellWidth)
	case dashes[r] > 0:
		each := cellWidth / float64(dashes[r])
		for i := range dashes[r] {
			fmt.Fprintf(s.thick, "M%.1f %.1fh%.1f", x0+each*(float64(i)+0.2), midY, each*0.6)
		}
	case r == '╌':
		fmt.Fprintf(s.thin, "M%.1f %.1fh2.6m1.6 0h2.6", x0+0.8, midY)
	case r == '┊':
		fmt.Fprintf(s.thin, "M%.1f %.1fv3m0 3v3m0 3v3", midX, y0+1.5)
	case r == '●':
		const radius = 3.4
		fmt.Fprintf(s.bars, "M%.1f %.1fa%g %g 0 1 0 %g 0a%g %g 0 1 0 -%g 0", midX-radius, midY, radius, radius, 2*radius, radius, radius, 2*radius)
	case r >= '▁' && r <= '█':
		height := float64(r-'▁'+1) / 8 * (cellHeight - 3)
		fmt.Fprintf(s.bars, "M%.1f %.1fh%.1fv%.1fh-%.1fz", x0+0.5, y0+cellHeight-1.5-height, cellWidth-1, height, cellWidth-1)
	case r == '▏':
		fmt.Fprintf(s.bars, "M%.1f %.1fh1.2v%dh-1.2z", x0, y0, cellHeight)
	case r == '░':
		fmt.Fprintf(s.shade, "M%.1f %.1fh%.1fv%dh-%.1fz", x0, y0, cellWidth, cellHeight, cellWidth)
	default:
		for i, at := range [8][2]int{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {0, 3}, {1, 3}} {
			if (r-0x2800)>>i&1 != 0 {
				fmt.Fprintf(s.dots, "M%.1f %.1fh0", x0+cellWidth/4*float64(1+2*at[0]), y0+cellHeight/8.0*float64(1+2*at[1]))
			}
		}
	}
	return true
}

func (s *shapes) write(b *strings.Builder, colour string) {
	if s.shade.Len() > 0 {
		fmt.Fprintf(b, `<path fill="%s" opacity="0.25" d="%s"/>`+"\n", colour, s.shade)
	}
	if s.bars.Len() > 0 {
		fmt.Fprintf(b, `<path fill="%s" d="%s"/>`+"\n", colour, s.bars)
	}
	for _, stroke := range []struct {
		path  *strings.Builder
		width float64
		cap   string
	}{{s.thin, 1.2, "butt"}, {s.thick, 3, "butt"}, {s.dots, 2.6, "round"}} {
		if stroke.path.Len() > 0 {
			fmt.Fprintf(b, `<path fill="none" stroke="%s" stroke-width="%g" stroke-linecap="%s" d="%s"/>`+"\n", colour, stroke.width, stroke.cap, stroke.path)
		}
	}
}
