package tui

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

func (m *Model) decideSubject() (left, right string) {
	r, s := m.run(), &m.decide
	if r == nil {
		return m.noRun(), ""
	}
	left = r.name
	if base := m.table.find(m.against()); base != nil {
		left += " against " + base.name
	}
	if s.value == nil || s.dir != m.open {
		return left, ""
	}
	if s.value.Policy != "" {
		left += " · policy " + s.value.Policy
	}
	return left, s.value.Decision.Recommendation
}

func (m *Model) drawDecide(c *screen.Canvas, r plot.Rect) {
	run, s := m.run(), &m.decide
	switch {
	case run == nil:
		m.sayNoRun(c, r)
		return
	case s.dir != m.open || !s.done:
		sayIn(c, r, said{screen.Dim, "judging: files are hashed and predictions paired …"})
		return
	case s.err != nil:
		sayIn(c, r, m.faultLines("there is no verdict", s.err)...)
		return
	}
	d := s.value.Decision
	c.PutRight(r.W/2, 1, r.W-r.W/2-1, verdictStyle(d.Recommendation)|screen.Bold, d.Recommendation)
	if s.proof != nil {
		m.drawProof(c, r)
		return
	}
	rows := m.decideRows()
	if s.recording != nil {
		lines := m.recordingLines(r.W - 6)
		below := min(len(lines)+1, r.H-3)
		m.drawGates(c, plot.Rect{X: r.X, Y: r.Y, W: r.W, H: r.H - below}, rows, nil)
		drawLines(c, plot.Rect{X: 5, Y: r.Y + r.H - below + 1, W: r.W - 6, H: below - 1}, lines, 0)
		return
	}
	m.drawGates(c, r, rows, m.decideLines(r.W-6))
}

// drawGates draws the gates and what stands below them, which scroll together.
func (m *Model) drawGates(c *screen.Canvas, r plot.Rect, rows []decideRow, below [][]span) {
	s := &m.decide
	name, value, limit := 8, 5, 5
	for i := range rows {
		name = max(name, text.Width(text.Line(rows[i].Name, 34)))
		value = max(value, text.Width(text.Line(gateValue(&rows[i].Gate), 34)))
		limit = max(limit, text.Width(text.Line(gateLimit(&rows[i].Gate), 16)))
	}
	name = min(name, max(10, r.W/3))
	if r.W < 100 {
		limit = min(limit, 9)
	}
	value = min(value, max(8, r.W-5-name-2-limit-2-14))
	at := 5 + name + 2
	limitAt := at + value + 2
	note := limitAt + limit + 2
	c.PutIn(5, r.Y, name, screen.Dim, "GATE")
	c.PutIn(at, r.Y, value, screen.Dim, "VALUE")
	c.PutIn(limitAt, r.Y, min(limit, r.W-limitAt-1), screen.Dim, "LIMIT")
	if r.W-note-1 >= len("EVIDENCE") {
		c.PutIn(note, r.Y, r.W-note-1, screen.Dim, "EVIDENCE")
	}
	// The cursor stays in sight, also where the gates alone do not fit.
	top := max(s.top, s.cursor-(r.H-3))
	y := r.Y + 1
	for i := top; i < len(rows)+len(below) && y < r.Y+r.H; i, y = i+1, y+1 {
		if i >= len(rows) {
			x := 5
			for _, sp := range below[i-len(rows)] {
				x = c.PutIn(x, y, r.W-1-x, sp.style, sp.words)
			}
			continue
		}
		g := &rows[i].Gate
		glyph, style := gateSign(g.Status)
		c.PutIn(5, y, name, screen.Text, g.Name)
		c.PutIn(at, y, value, screen.Text, gateValue(g))
		limitW, noteW := min(limit, r.W-limitAt-1), r.W-note-1
		c.PutIn(limitAt, y, limitW, screen.Dim, named(gateLimit(g), limitW, 0))
		c.PutIn(note, y, noteW, screen.Dim, gateNote(&rows[i], noteW))
		if i == s.cursor && s.recording == nil {
			c.Mark(0, y, c.Width(), screen.Picked)
			c.Set(1, y, screen.Accent|screen.Picked, '▸')
			style |= screen.Picked
		}
		c.Set(3, y, style, glyph)
	}
}

// drawLines writes lines of spans from the one at top on.
func drawLines(c *screen.Canvas, r plot.Rect, lines [][]span, top int) {
	for i := 0; i < r.H && top+i < len(lines); i++ {
		x := r.X
		for _, sp := range lines[top+i] {
			x = c.PutIn(x, r.Y+i, r.X+r.W-x, sp.style, sp.words)
		}
	}
}

// gateNote says beside a gate, in w columns, where to look, or what is not well.
func gateNote(row *decideRow, w int) string {
	g := &row.Gate
	switch {
	case g.Needed > 0 && g.Name == "review":
		return fmt.Sprintf("%d to read", g.Needed)
	case g.Needed > 0 && g.Status != decision.GatePass:
		words := plural(g.Needed, "example more", "examples more")
		if g.N > 0 {
			words = "n=" + count(g.N) + ", " + words
		}
		return words
	case row.aside:
		return "not asked for"
	case g.Status != decision.GatePass && g.Detail != "":
		return clip(g.Detail, mostFailure)
	case g.P != nil && g.N > 0:
		return count(g.N) + " pairs, p " + chanceOf(*g.P)
	case g.Evidence != "" && g.N > 0 && g.Name != "review":
		words, file := "n="+count(g.N), ", "+short(clip(g.Evidence, mostName))
		if text.Width(words+file) > w {
			return words
		}
		return words + file
	case g.Status == decision.GateNotChecked && g.Evidence == "":
		return "not checked"
	}
	return short(clip(g.Evidence, mostName))
}

// decideLines are what stands below the gates: how the files stand now, what
// would help, the reasons, and what was recorded.
func (m *Model) decideLines(w int) [][]span {
	s := &m.decide
	if s.value == nil {
		return nil
	}
	d := s.value.Decision
	out := [][]span{nil}
	put := func(style screen.Style, words string) {
		out = append(out, flow([]span{{style, clip(words, mostFailure)}}, w)...)
	}
	words, style := sealed(s.value)
	line := []span{{style, words}}
	if r := s.value.Review; r.Hard > 0 {
		line = append(line, span{screen.Text, fmt.Sprintf(" · reviewed %d of %d", r.Read, r.Hard)})
	}
	if w >= 60 {
		line = append(line, span{screen.Dim, " · checked " + ago(m.now.Sub(s.checked)) + " ago"})
	}
	out = append(out, line)
	for _, n := range needs(s.value) {
		put(screen.Doubt, "! "+n)
	}
	if s.written != nil {
		out = append(out, nil)
		put(screen.Good|screen.Bold, "✓ recorded; written:")
		for _, path := range s.written {
			out = append(out, []span{{screen.Text, "  " + path}})
		}
		return out
	}
	out = append(out, nil, []span{{screen.Accent | screen.Bold, "reasons"}, {screen.Dim, fmt.Sprintf("  confidence %.2f", d.Confidence)}})
	for _, reason := range d.Reasons {
		put(screen.Text, reason)
	}
	if len(d.MissingFiles) > 0 {
		put(screen.Doubt, "missing: "+strings.Join(d.MissingFiles, ", "))
	}
	if words := decision.Unjudged("the run", d.Recommendation, d.Gates, d.Metrics.Names()); words != "" {
		put(screen.Doubt, "! "+words)
	}
	out = append(out, nil)
	put(screen.Dim, m.recordedWords())
	return out
}

// recordedWords says what was decided about the run before.
func (m *Model) recordedWords() string {
	s := &m.decide
	if r := s.value.Recorded; r != nil {
		words := "recorded is " + clip(r.Status, mostName)
		if r.Reviewer != "" {
			words += " by " + clip(r.Reviewer, mostName)
		}
		if at, err := time.Parse(runs.TimeFormat, r.Time); err == nil {
			words += ", " + ago(m.now.Sub(at)) + " ago"
		}
		if r.Note != "" {
			words += ": " + clip(r.Note, mostFailure)
		}
		return words
	}
	if b := m.table.brief(s.dir); b != nil && b.Decision != nil {
		return "recorded is " + clip(b.Decision.Recommendation, mostName) + ", without a line in an audit trail"
	}
	return "nothing is recorded yet: R does"
}

// recordingLines show what is about to be written.
func (m *Model) recordingLines(w int) [][]span {
	s := &m.decide
	note := span{screen.Dim, "none yet"}
	if s.recording.note != "" {
		note = span{screen.Text, s.recording.note}
	}
	out := [][]span{{{screen.Accent | screen.Bold, "record "}, {verdictStyle(s.recording.verdict) | screen.Bold, s.recording.verdict},
		{screen.Dim, "  esc leaves it"}}}
	out = append(out, flow([]span{{screen.Dim, "note"}, note}, w)...)
	folder := ""
	var names []string
	for _, path := range s.value.Files {
		folder = filepath.Dir(path)
		names = append(names, filepath.Base(path))
	}
	out = append(out, flow([]span{{screen.Dim, "writes to"}, {screen.Text, folder + "/"}}, w)...)
	out = append(out, flow([]span{{screen.Text, strings.Join(names, "  ")}}, w)...)
	if words := m.recordedWords(); strings.HasPrefix(words, "recorded is") {
		out = append(out, flow([]span{{screen.Doubt, "in place of what " + clip(words, mostFailure)}}, w)...)
	}
	return out
}

// drawProof shows the evidence of a gate.
func (m *Model) drawProof(c *screen.Canvas, r plot.Rect) {
	p := m.decide.proof
	glyph, style := gateSign(p.gate.Status)
	c.Set(1, r.Y, style, glyph)
	x := c.PutIn(3, r.Y, r.W/2, screen.Text|screen.Bold, p.gate.Name)
	words := strings.TrimSpace(gateValue(&p.gate.Gate) + "  " + gateLimit(&p.gate.Gate))
	c.PutIn(x+2, r.Y, r.W-x-3, screen.Dim, words)
	body := plot.Rect{X: 3, Y: r.Y + 1, W: r.W - 4, H: r.H - 2}
	switch {
	case !p.done:
		sayIn(c, body, said{screen.Dim, "reading the evidence …"})
		return
	case p.err != nil:
		sayIn(c, body, m.faultLines("the evidence could not be read", p.err)...)
		return
	}
	lines := m.proofLines(body.W)
	drawLines(c, body, lines, p.top)
	foot := "esc goes back to the gates"
	if len(lines) > body.H {
		foot = fmt.Sprintf("%d to %d of %d lines  %s", p.top+1, min(len(lines), p.top+body.H), len(lines), foot)
	}
	c.PutIn(3, r.Y+r.H-1, r.W-4, screen.Dim, foot)
}

// proofLines writes the evidence of the gate that is open, w columns wide.
func (m *Model) proofLines(w int) [][]span {
	p := m.decide.proof
	if p == nil || p.value == nil {
		return nil
	}
	// A file may have thousands of lines, and scrolling lays none of them out anew.
	if p.linesOf != p.value || p.width != w {
		p.lines, p.linesOf, p.width = p.layOut(w), p.value, w
	}
	return p.lines
}

// proofHint says how a gate comes to be checked.
func proofHint(gate string) string {
	switch gate {
	case "contamination":
		return "verifily contamination --train TRAIN --eval TEST --output FILE looks for test data in the training data; " +
			"verifily decide --contamination FILE counts it, and so does this view where FILE is eval/contamination.json of the run"
	case "pii hits", "quality score":
		return "it is in the report of the data: verifily decide --report FOLDER counts it"
	}
	return ""
}

func (p *proof) layOut(w int) [][]span {
	var out [][]span
	say := func(style screen.Style, words string) {
		if words != "" {
			out = append(out, flow([]span{{style, clip(words, mostFailure)}}, w)...)
		}
	}
	g := &p.gate.Gate
	say(screen.Text, g.Detail)
	if g.P != nil {
		say(screen.Text, fmt.Sprintf("paired difference over %s: p %s after correction", plural(g.N, "example", "examples"), chanceOf(*g.P)))
	} else if g.N > 0 {
		say(screen.Text, "n="+count(g.N))
	}
	if g.Needed > 0 {
		say(screen.Doubt, "about "+plural(g.Needed, "example", "examples")+" more would settle it")
	}
	width := 0
	for _, row := range p.value.Rows {
		width = max(width, text.Width(text.Line(row.Name, 40)))
	}
	width = min(width, max(10, w/2))
	beside := false
	for _, row := range p.value.Rows {
		if row.Beside && !beside {
			beside = true
			out = append(out, nil, []span{{screen.Dim, "beside it, what does not decide"}})
		}
		glyph, style := "✓ ", screen.Good
		if !row.OK {
			glyph, style = "✗ ", screen.Bad
			if row.Beside {
				glyph, style = "! ", screen.Doubt
			}
		}
		name := text.Pad(text.Line(row.Name, width), width)
		details := flow([]span{{screen.Dim, clip(row.Detail, mostFailure)}}, w-width-4)
		if row.OK && len(details) > 1 {
			// A hash that is right need not be read to its end.
			details = [][]span{{{screen.Dim, text.Line(row.Detail, max(8, w-width-4))}}}
		}
		for i, l := range details {
			lead := []span{{style, glyph}, {screen.Text, name + "  "}}
			if i > 0 {
				lead = []span{{screen.Text, strings.Repeat(" ", width+4)}}
			}
			out = append(out, append(lead, l...))
		}
	}
	if p.value.Path != "" {
		if len(out) > 0 {
			out = append(out, nil)
		}
		out = append(out, []span{{screen.Accent, p.value.Path}})
	}
	out = append(out, fileLines(p.value.Text, w)...)
	if p.value.More {
		out = append(out, []span{{screen.Dim, "… the file goes on"}})
	}
	if len(out) == 0 {
		say(screen.Dim, "the gate was not checked: there is no file to show")
		say(screen.Text, proofHint(g.Name))
	}
	return out
}

// fileLines breaks a file into lines of at most w columns, keeping its own
// lines and their indents.
func fileLines(s string, w int) [][]span {
	const most = 4000 // lines: more than anybody pages through
	var out [][]span
	if s == "" {
		return nil
	}
	for l := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		rest := text.Escape(strings.ReplaceAll(strings.TrimSuffix(l, "\r"), "\t", "  "))
		for first := true; first || rest != ""; first = false {
			if len(out) == most {
				return append(out, []span{{screen.Dim, "… the rest is not shown"}})
			}
			head := text.Head(rest, max(8, w))
			if head == "" {
				head = rest
			}
			out = append(out, []span{{screen.Text, head}})
			rest = rest[len(head):]
		}
	}
	return out
}

func verdictStyle(recommendation string) screen.Style {
	switch recommendation {
	case decision.Ship:
		return screen.Good
	case decision.DontShip:
		return screen.Bad
	}
	return screen.Doubt
}

func gateSign(s decision.GateStatus) (rune, screen.Style) {
	switch s {
	case decision.GatePass:
		return '✓', screen.Good
	case decision.GateFail:
		return '✗', screen.Bad
	case decision.GateNotChecked:
		return '○', screen.Dim
	}
	return '!', screen.Doubt
}

// gateNumber writes a value or a limit of a gate.
func gateNumber(v any) string {
	if f, ok := gateFloat(v); ok {
		return score(f)
	}
	if v == nil {
		return "–"
	}
	return clip(fmt.Sprint(v), mostName)
}

// gateFloat returns a value that has a fraction.
func gateFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil && strings.ContainsAny(v.String(), ".eE")
	}
	return 0, false
}

func gateValue(g *decision.Gate) string {
	if g.Name == "review" && g.Detail != "" {
		return clip(g.Detail, mostName) // how many of how many
	}
	out := gateNumber(g.Value)
	// A rule such as ">= -" limits a difference.
	v, isFloat := gateFloat(g.Value)
	difference := isFloat && len(g.Rule) > len(">=")
	if difference {
		out = signed(v)
	}
	if i := g.Interval; i != nil {
		interval := source.Interval{Low: i.Low, High: i.High}
		switch {
		case difference:
			return out + " " + signsIn(interval)
		case isFloat:
			out = scoreIn(v, interval)
		}
		out += " " + ends(interval)
	}
	return out
}

func gateLimit(g *decision.Gate) string {
	if g.Threshold == nil {
		return ""
	}
	rule := strings.NewReplacer(">=", "≥", "<=", "≤").Replace(g.Rule)
	if to, ok := strings.CutSuffix(rule, "-"); ok {
		return to + "−" + gateNumber(g.Threshold)
	}
	if to, ok := strings.CutSuffix(rule, "+"); ok {
		return to + "+" + gateNumber(g.Threshold)
	}
	return strings.TrimSpace(rule + " " + gateNumber(g.Threshold))
}
