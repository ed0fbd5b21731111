package tui

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// hardSubject has the place and the progress of the review first: they stay
// where the line is cut.
func (m *Model) hardSubject() (left, right string) {
	r, h := m.run(), &m.hard
	if r == nil {
		return m.noRun(), ""
	}
	if h.value == nil || h.of.dir != m.open {
		return r.name, ""
	}
	var parts []string
	if n := len(h.shown()); n > 0 {
		parts = append(parts, count(h.cursor+1)+"/"+count(n))
	}
	parts = append(parts, fmt.Sprintf("reviewed %s of %s", count(h.reviewed()), count(len(h.value.Examples))), r.name)
	if c := h.of.changed; c != nil {
		base := short(c.base)
		if b := m.table.find(c.base); b != nil {
			base = b.name
		}
		parts = append(parts, c.name+" against "+base)
	}
	if h.key != "" {
		parts = append(parts, "slice "+m.sliceWords(h.key, h.slice))
	}
	if h.filter != "" {
		right = "filter: " + h.filter
		if h.wrong != "" {
			right = "! " + h.wrong
		}
	}
	if m.width < 70 && right != "" {
		parts, right = append(parts, right), ""
	}
	return strings.Join(parts, " · "), right
}

// sliceWords writes a slice, of crossed tags as a=x b=y.
func (m *Model) sliceWords(key, value string) string {
	if x := m.slices.cross; x != nil && x.value != nil && key == x.a+"*"+x.b {
		if s := x.cell(x.row, x.col); s != nil && s.Value == value {
			return x.a + "=" + x.value.ValuesA[x.row] + " " + x.b + "=" + x.value.ValuesB[x.col]
		}
	}
	return key + "=" + value
}

func (m *Model) drawHard(c *screen.Canvas, r plot.Rect) {
	run, h := m.run(), &m.hard
	switch {
	case run == nil:
		m.sayNoRun(c, r)
		return
	case h.of.dir != m.open || !h.done:
		sayIn(c, r, said{screen.Dim, "reading the examples …"})
		return
	case errors.Is(h.err, fs.ErrNotExist):
		sayIn(c, r, said{screen.Text | screen.Bold, run.name + " has no hard examples"},
			said{screen.Dim, "An evaluation writes them:"}, said{screen.Text, ""},
			said{screen.Text, "verifily eval --run " + m.fromShell(run.dir) + " --test-data FILE.jsonl"})
		return
	case h.err != nil:
		sayIn(c, r, m.faultLines("the examples could not be read", h.err)...)
		return
	case len(h.value.Examples) == 0 && h.of.changed != nil:
		sayIn(c, r, said{screen.Text | screen.Bold, "no example is " + h.of.changed.name}, said{screen.Dim, "w leads to the hard examples of the run, esc back"})
		return
	case len(h.value.Examples) == 0:
		sayIn(c, r, said{screen.Good, "✓ no hard examples"}, said{screen.Dim, "Every answer is as good as it can be."})
		return
	}
	shown := h.shown()
	if len(shown) == 0 {
		lines := []said{{screen.Text | screen.Bold, "none of the " + plural(len(h.value.Examples), "example", "examples") + " is shown"}}
		if h.filter != "" {
			lines = append(lines, said{screen.Dim, "none passes the filter; esc takes it away: " + h.filter})
		}
		if h.key != "" {
			lines = append(lines, said{screen.Dim, "slice " + m.sliceWords(h.key, h.slice) + " holds none of the hardest; w chooses another"})
		}
		sayIn(c, r, lines...)
		return
	}
	e := shown[min(h.cursor, len(shown)-1)]
	if h.whole {
		m.drawWhole(c, r, e)
		return
	}
	if r.W >= 110 {
		list := min(46, r.W/3)
		m.drawExamples(c, plot.Rect{X: 0, Y: r.Y, W: list, H: r.H}, shown)
		r.X, r.W = list+1, r.W-list-1
	}
	m.drawExample(c, r, e)
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

// passage is a part of an example, broken into lines.
type passage struct {
	name  string
	lines [][]span
	least int // lines that it keeps when room is short
}

// exampleFacts are the numbers of an example.
func exampleFacts(e *source.Example) string {
	facts := []string{fmt.Sprintf("rank %d", e.Rank)}
	if e.PrimaryMetricName != "" {
		facts = append(facts, e.PrimaryMetricName+" "+score(e.PrimaryMetric))
	}
	if e.Loss != nil {
		facts = append(facts, "loss "+score(*e.Loss))
	}
	if e.Confidence != nil && e.PrimaryMetricName != "confidence" {
		facts = append(facts, "confidence "+score(*e.Confidence))
	}
	if name := e.Name(); name != "" {
		facts = append(facts, "#"+name)
	}
	return strings.Join(facts, "   ")
}

// exampleFields breaks what is known of an example into lines of w columns,
// texts up to most bytes.
func (m *Model) exampleFields(e *source.Example, w, most int) []passage {
	flowed := func(style screen.Style, s string) [][]span { return flow([]span{{style, clip(s, most)}}, w) }
	fields := []passage{
		{"input", flowed(screen.Text, e.Input), 2},
		{"reference", flowed(screen.Text, e.Reference), 1},
		{"prediction", flow(diffWords(clip(e.Reference, most), clip(e.Prediction, most)), w), 2},
	}
	if strings.TrimSpace(e.Prediction) == "" {
		fields[2].lines = append(flowed(screen.Doubt, "nothing was said"), fields[2].lines...)
	}
	if e.Base != nil {
		fields = append(fields, m.answerField("baseline", e, e.Base, w, most))
	}
	for i := range e.Others {
		fields = append(fields, m.answerField(m.runName(e.Others[i].Run), e, &e.Others[i], w, most))
	}
	if tags := tagLine(e.Tags); tags != "" {
		fields = append(fields, passage{"tags", flowed(screen.Dim, tags), 1})
	}
	if words := m.slicesOf(e); words != "" {
		fields = append(fields, passage{"slices", flowed(screen.Dim, words), 1})
	}
	return fields
}

// answerField shows what another run said, and whether it is right.
func (m *Model) answerField(name string, e *source.Example, a *source.Answer, w, most int) passage {
	note := span{screen.Bad, "✗ wrong there"}
	switch {
	case a.Right:
		note = span{screen.Good, "✓ right there"}
	case a.Text == e.Prediction:
		note = span{screen.Dim, "the same, ✗ wrong there too"}
		return passage{name, flow([]span{note}, w), 1}
	}
	return passage{name, flow([]span{{screen.Text, clip(a.Text, most)}, note}, w), 1}
}

func (m *Model) runName(dir string) string {
	if r := m.table.find(dir); r != nil {
		return r.name
	}
	return short(dir)
}

// slicesOf says how the run does on the slices that an example is in.
func (m *Model) slicesOf(e *source.Example) string {
	eval := m.evaluation()
	if eval == nil || len(e.Tags) == 0 {
		return ""
	}
	metric := m.sliceMetric(eval)
	var out []string
	for i := range eval.Slices {
		s := &eval.Slices[i]
		if v, tagged := e.Tags[s.Key]; !tagged || v != s.Value {
			continue
		}
		words := text.Line(s.Name(), 40)
		if v, ok := s.Values[metric]; ok && !s.TooFew {
			words += " " + metric + " " + scoreIn(v, slice{Slice: s}.interval(metric))
		} else if s.TooFew {
			words += " n=" + count(s.N) + ", too few"
		}
		if out = append(out, words); len(out) == mostTags {
			break
		}
	}
	return strings.Join(out, " · ")
}

func (m *Model) drawExample(c *screen.Canvas, r plot.Rect, e *source.Example) {
	c.PutIn(r.X+1, r.Y, r.W-2, screen.Dim, exampleFacts(e))
	bottom := r.Y + r.H - 2 // verdict and note stand below
	fields := m.exampleFields(e, r.W-fieldWidth-3, mostText)
	spare := bottom - r.Y - 2
	for _, f := range fields {
		spare -= min(len(f.lines), f.least)
	}
	y, more := r.Y+2, false
	for _, f := range fields {
		show := min(len(f.lines), f.least)
		if extra := min(len(f.lines)-show, max(0, spare)); extra > 0 {
			show, spare = show+extra, spare-extra
		}
		if y+show > bottom {
			more = true
		}
		y = drawPassage(c, plot.Rect{X: r.X, Y: y, W: r.W, H: min(show, bottom-y)}, f)
		more = more || show < len(f.lines)
	}
	if more {
		c.PutRight(r.X+r.W/2, r.Y, r.W-r.W/2-1, screen.Dim, "enter reads it whole")
	}
	m.drawVerdict(c, plot.Rect{X: r.X, Y: bottom, W: r.W, H: 2}, e)
}

// drawPassage draws as many lines of a field as fit, and returns the line below.
func drawPassage(c *screen.Canvas, r plot.Rect, f passage) int {
	if r.H <= 0 {
		return r.Y
	}
	c.PutIn(r.X+1, r.Y, fieldWidth-1, screen.Dim, f.name)
	for i := range r.H {
		x := r.X + 1 + fieldWidth
		for _, s := range f.lines[i] {
			x = c.PutIn(x, r.Y+i, r.X+r.W-1-x, s.style, s.words)
		}
		if i == r.H-1 && r.H < len(f.lines) {
			c.Put(min(x+1, r.X+r.W-2), r.Y+i, screen.Dim, "…")
		}
	}
	return r.Y + r.H
}

// mostWhole bounds the texts of an example that is read whole, in bytes.
const mostWhole = 256 << 10

// exampleLines writes an example with all its texts, w columns wide.
func (m *Model) exampleLines(e *source.Example, w int) [][]span {
	h := &m.hard
	if of := (textKey{e, m.evaluation(), w}); h.textOf != of {
		h.text, h.textOf = m.layOutExample(e, w), of
	}
	return h.text
}

func (m *Model) layOutExample(e *source.Example, w int) [][]span {
	var out [][]span
	part := func(name string, lines [][]span) {
		if len(lines) > 0 {
			out = append(out, []span{{screen.Accent, name}})
			out = append(out, lines...)
			out = append(out, nil)
		}
	}
	part("input", fileLines(clip(e.Input, mostWhole), w))
	part("reference", fileLines(clip(e.Reference, mostWhole), w))
	part("prediction", fileLines(clip(e.Prediction, mostWhole), w))
	part("difference", flow(diffWords(e.Reference, e.Prediction), w))
	for _, f := range m.exampleFields(e, w, mostWhole)[3:] {
		part(f.name, f.lines)
	}
	return out
}

// wholeRows is how many lines of an example that is read whole are in sight.
func (m *Model) wholeRows() int { return m.bodyHeight() - 4 }

// drawWhole shows one example with all its texts.
func (m *Model) drawWhole(c *screen.Canvas, r plot.Rect, e *source.Example) {
	lines := m.exampleLines(e, r.W-4)
	rows := r.H - 4
	place := ""
	if len(lines) > rows {
		place = fmt.Sprintf("%d to %d of %d lines", m.hard.top+1, min(len(lines), m.hard.top+rows), len(lines))
	}
	c.PutIn(2, r.Y, r.W-3-len(place), screen.Dim, exampleFacts(e))
	c.PutRight(r.W/2, r.Y, r.W-r.W/2-1, screen.Dim, place)
	drawLines(c, plot.Rect{X: 2, Y: r.Y + 1, W: r.W - 3, H: rows}, lines, m.hard.top)
	m.drawVerdict(c, plot.Rect{X: r.X, Y: r.Y + r.H - 2, W: r.W, H: 2}, e)
}

func (m *Model) drawVerdict(c *screen.Canvas, r plot.Rect, e *source.Example) {
	short := r.W < 70
	if short && m.hard.labelling {
		var choices []span
		for i, label := range decision.Labels() {
			choices = append(choices, span{screen.Accent | screen.Bold, letters[i : i+1]}, span{screen.Text, label})
		}
		drawLines(c, plot.Rect{X: r.X + 1, Y: r.Y, W: r.W - 2, H: 2}, flow(choices, r.W-2), 0)
		return
	}
	c.PutIn(r.X+1, r.Y, fieldWidth, screen.Dim, "verdict")
	x := r.X + 1 + fieldWidth
	gap := labelGap(r.W - 1 - fieldWidth)
	for i, label := range decision.Labels() {
		style, lead := screen.Dim, "  "
		if label == e.Label {
			style, lead = screen.Accent|screen.Bold, "▸ "
		}
		if m.hard.labelling {
			lead = letters[i:i+1] + " "
			style = screen.Text
		}
		if short && label != e.Label {
			continue
		}
		if x+text.Width(lead+label) > r.X+r.W {
			break
		}
		x = c.Put(x, r.Y, screen.Accent|screen.Bold, lead)
		x = c.Put(x, r.Y, style, label) + gap
	}
	if short && e.Label == "" {
		c.PutIn(x, r.Y, r.X+r.W-x, screen.Dim, "none yet")
	}
	c.PutIn(r.X+1, r.Y+1, fieldWidth, screen.Dim, "note")
	note, style := e.Note, screen.Text
	if note == "" {
		note, style = "–", screen.Dim
	}
	if m.hard.labelling {
		note, style = "a letter labels it · backspace takes that back · esc leaves", screen.Dim
	}
	room := r.W - fieldWidth - 2
	if by := m.reviewedBy(e); by != "" && room > 2*text.Width(by) {
		room -= text.Width(by) + 2
		c.PutRight(r.X+1+fieldWidth+room, r.Y+1, text.Width(by)+2, screen.Dim, by)
	}
	c.PutIn(r.X+1+fieldWidth, r.Y+1, room, style, note)
}

// labelGap is how many columns stand between the labels when all of them share w
// columns. The signs in front of them, two columns each, keep them apart where
// there is no room for more.
func labelGap(w int) int {
	labels := decision.Labels()
	for _, label := range labels {
		w -= 2 + text.Width(label)
	}
	return min(2, max(0, w/(len(labels)-1)))
}

// reviewedBy says who gave an example its verdict, and when.
func (m *Model) reviewedBy(e *source.Example) string {
	if e.Reviewer == "" || e.Label == "" || m.hard.labelling {
		return ""
	}
	by := "by " + text.Line(e.Reviewer, 24)
	if at, err := time.Parse(runs.TimeFormat, e.Reviewed); err == nil {
		by += ", " + ago(m.now.Sub(at)) + " ago"
	}
	return by
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
