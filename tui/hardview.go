package tui

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

func (m *Model) hardSubject() (left, right string) {
	r, h := m.run(), &m.hard
	if r == nil {
		return "no run is open", ""
	}
	if h.value == nil || h.dir != m.open {
		return r.name, ""
	}
	parts := []string{r.name}
	if n := len(h.shown()); n > 0 {
		parts = append(parts, fmt.Sprintf("%d/%d", h.cursor+1, n))
	}
	parts = append(parts, fmt.Sprintf("reviewed %d of %d", h.reviewed(), len(h.value.Examples)))
	if h.key != "" {
		parts = append(parts, "slice "+h.key+"="+h.slice)
	}
	if h.filter != "" {
		right = "filter: " + h.filter
		if h.wrong != "" {
			right = "! " + h.wrong
		}
	}
	return strings.Join(parts, " · "), right
}

func (m *Model) drawHard(c *screen.Canvas, r plot.Rect) {
	run, h := m.run(), &m.hard
	switch {
	case run == nil:
		sayIn(c, r, said{screen.Text | screen.Bold, "no run is open"}, said{screen.Dim, "1 shows the runs; enter opens one"})
		return
	case h.dir != m.open || !h.done:
		sayIn(c, r, said{screen.Dim, "reading the hard examples …"})
		return
	case errors.Is(h.err, fs.ErrNotExist):
		sayIn(c, r, said{screen.Text | screen.Bold, run.name + " has no hard examples"},
			said{screen.Dim, "An evaluation writes them:"}, said{screen.Text, ""},
			said{screen.Text, "verifily eval --run " + run.dir + " --test-data FILE.jsonl"})
		return
	case h.err != nil:
		sayIn(c, r, said{screen.Bad, "✗ the hard examples could not be read"}, said{screen.Text, oneLine(h.err)}, said{screen.Dim, "r tries again"})
		return
	case len(h.value.Examples) == 0:
		sayIn(c, r, said{screen.Good, "✓ no hard examples"}, said{screen.Dim, "Every answer is as good as it can be."})
		return
	}
	shown := h.shown()
	if len(shown) == 0 {
		lines := []said{{screen.Text | screen.Bold, "none of the " + plural(len(h.value.Examples), "hard example", "hard examples") + " is shown"}}
		if h.filter != "" {
			lines = append(lines, said{screen.Dim, "none passes the filter; esc takes it away: " + h.filter})
		}
		if h.key != "" {
			lines = append(lines, said{screen.Dim, "slice " + h.key + "=" + h.slice + "; w leaves the slice"})
		}
		sayIn(c, r, lines...)
		return
	}
	if r.W >= 110 {
		list := min(46, r.W/3)
		m.drawExamples(c, plot.Rect{X: 0, Y: r.Y, W: list, H: r.H}, shown)
		r.X, r.W = list+1, r.W-list-1
	}
	m.drawExample(c, r, shown[h.cursor])
}

// drawExamples lists the examples, with a sign for each verdict.
func (m *Model) drawExamples(c *screen.Canvas, r plot.Rect, shown []*source.Example) {
	top := max(0, min(m.hard.cursor-r.H/2, len(shown)-r.H))
	for i := top; i < len(shown) && i < top+r.H; i++ {
		e, y := shown[i], r.Y+i-top
		glyph, style := labelSign(e.Label)
		c.Set(3, y, style, glyph)
		c.PutRight(5, y, 6, screen.Dim, score(e.PrimaryMetric))
		c.PutIn(12, y, r.W-13, screen.Text, e.Reference)
		if i == m.hard.cursor {
			c.Mark(0, y, r.W, screen.Picked)
			c.Set(1, y, screen.Accent|screen.Picked, '▸')
		}
	}
	for y := range r.H {
		c.Set(r.W, r.Y+y, screen.Dim, '│')
	}
}

func labelSign(label string) (rune, screen.Style) {
	switch label {
	case "":
		return '○', screen.Dim
	case "fine":
		return '✓', screen.Good
	case "model error":
		return '✗', screen.Bad
	}
	return '!', screen.Doubt
}

// fieldWidth is the width of the names before the texts of an example.
const fieldWidth = 13

func (m *Model) drawExample(c *screen.Canvas, r plot.Rect, e *source.Example) {
	facts := []string{e.PrimaryMetricName + " " + score(e.PrimaryMetric)}
	if e.Loss != nil {
		facts = append(facts, "loss "+score(*e.Loss))
	}
	if e.Confidence != nil {
		facts = append(facts, "confidence "+score(*e.Confidence))
	}
	if e.ID != "" {
		facts = append(facts, "#"+e.ID)
	}
	c.PutIn(r.X+1, r.Y, r.W-2, screen.Dim, fmt.Sprintf("rank %d   ", e.Rank)+strings.Join(facts, "   "))
	bottom := r.Y + r.H - 2 // verdict and note stand below
	type field struct {
		name  string
		lines [][]span
		least int // lines that it keeps when room is short
	}
	w := r.W - fieldWidth - 3
	plain := func(style screen.Style, s string) [][]span { return flow([]span{{style, cutTo(s)}}, w) }
	fields := []field{
		{"input", plain(screen.Text, e.Input), 2},
		{"reference", plain(screen.Text, e.Reference), 1},
		{"prediction", plain(screen.Text, e.Prediction), 1},
		{"difference", flow(diffWords(e.Reference, e.Prediction), w), 2},
	}
	if e.Prediction == "" {
		fields[2].lines = plain(screen.Doubt, "nothing was said")
	}
	if e.Base != nil {
		note := span{screen.Bad, "✗ wrong there too"}
		if e.Base.Right {
			note = span{screen.Good, "✓ right there"}
		}
		fields = append(fields, field{"baseline", flow([]span{{screen.Text, cutTo(e.Base.Text)}, note}, w), 1})
	}
	if tags := tagLine(e.Tags); tags != "" {
		fields = append(fields, field{"tags", plain(screen.Dim, tags), 1})
	}
	spare := bottom - r.Y - 2
	for _, f := range fields {
		spare -= min(len(f.lines), f.least)
	}
	y := r.Y + 2
	for _, f := range fields {
		show := min(len(f.lines), f.least)
		if more := min(len(f.lines)-show, max(0, spare)); more > 0 {
			show, spare = show+more, spare-more
		}
		if y < bottom {
			c.PutIn(r.X+1, y, fieldWidth, screen.Dim, f.name)
		}
		for i := range show {
			if y >= bottom {
				break
			}
			x := r.X + 1 + fieldWidth
			for _, s := range f.lines[i] {
				x = c.PutIn(x, y, r.X+r.W-1-x, s.style, s.words)
			}
			if i == show-1 && show < len(f.lines) {
				c.Put(min(x+1, r.X+r.W-2), y, screen.Dim, "…")
			}
			y++
		}
	}
	m.drawVerdict(c, plot.Rect{X: r.X, Y: bottom, W: r.W, H: 2}, e)
}

func (m *Model) drawVerdict(c *screen.Canvas, r plot.Rect, e *source.Example) {
	c.PutIn(r.X+1, r.Y, fieldWidth, screen.Dim, "verdict")
	x := r.X + 1 + fieldWidth
	for i, label := range decision.Labels() {
		style, lead := screen.Dim, "  "
		if label == e.Label {
			style, lead = screen.Accent|screen.Bold, "▸ "
		}
		if m.hard.labelling {
			lead = letters[i:i+1] + " "
			style = screen.Text
		}
		if x+text.Width(lead+label) > r.X+r.W {
			break
		}
		x = c.Put(x, r.Y, screen.Accent|screen.Bold, lead)
		x = c.Put(x, r.Y, style, label) + 2
	}
	c.PutIn(r.X+1, r.Y+1, fieldWidth, screen.Dim, "note")
	note, style := e.Note, screen.Text
	if note == "" {
		note, style = "–", screen.Dim
	}
	if m.hard.labelling {
		note, style = "a letter gives the verdict, backspace takes it back, esc leaves it", screen.Dim
	}
	c.PutIn(r.X+1+fieldWidth, r.Y+1, r.W-fieldWidth-2, style, note)
}

// mostTags bounds how many tags of an example are written out.
const mostTags = 40

func tagLine(tags map[string]string) string {
	names := make([]string, 0, len(tags))
	for name := range tags {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []string
	for i, name := range names {
		if i == mostTags {
			out = append(out, fmt.Sprintf("and %s more", count(len(names)-mostTags)))
			break
		}
		out = append(out, text.Line(name+"="+tags[name], 60))
	}
	return strings.Join(out, "  ")
}
