package screen

import (
	"fmt"
	"html"
	"strings"
)

// The size of a cell in an SVG picture, in pixels, for a monospaced font of 14.
const (
	cellWidth  = 8.4
	cellHeight = 18
)

// SVG returns the frame as a picture on a dark or a light ground. Every run of
// characters stands at its own column, so that it lines up in any font.
func (c *Canvas) SVG(t Theme) string {
	var b strings.Builder
	w, h := float64(c.w)*cellWidth+20, float64(c.h)*cellHeight+20
	paper, ink := "#16181d", "#d7dae0"
	if t.Light {
		paper, ink = "#ffffff", "#24292f"
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", paper)
	fmt.Fprintf(&b, `<g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14" fill="%s" xml:space="preserve">`+"\n", ink)
	for y := range c.h {
		line := c.cells[y*c.w : (y+1)*c.w]
		for x := 0; x < c.w; {
			style, start := line[x].style, x
			var run strings.Builder
			for x < c.w && line[x].style == style {
				run.WriteString(line[x].text)
				x++
			}
			left := 10 + float64(start)*cellWidth
			if g, ok := ground(style); ok {
				fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n",
					left, 10+y*cellHeight, float64(x-start)*cellWidth, cellHeight, rgb(t.pick(g)))
			}
			words := strings.TrimRight(run.String(), " ")
			if words == "" {
				continue
			}
			attributes := ""
			if n := t.pick(inks[style&roleMask]); n >= 0 {
				attributes += fmt.Sprintf(` fill="%s"`, rgb(n))
			}
			if style&Bold != 0 {
				attributes += ` font-weight="bold"`
			}
			trimmed := strings.TrimLeft(words, " ")
			lead := len(words) - len(trimmed)
			span := float64(x-start-lead-(len(run.String())-len(words))) * cellWidth
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" textLength="%.1f"%s>%s</text>`+"\n",
				left+float64(lead)*cellWidth, 10+y*cellHeight+13, span, attributes, html.EscapeString(trimmed))
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

func (t Theme) pick(i ink) int {
	if t.Light {
		return i.light
	}
	return i.dark
}

// rgb returns the colour of one of the upper 240 of the 256 colours.
func rgb(n int) string {
	if n >= 232 {
		v := 8 + (n-232)*10
		return fmt.Sprintf("#%02x%02x%02x", v, v, v)
	}
	steps := [6]int{0, 95, 135, 175, 215, 255}
	n -= 16
	return fmt.Sprintf("#%02x%02x%02x", steps[n/36], steps[n/6%6], steps[n%6])
}
