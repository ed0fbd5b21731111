package tui

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// decideState is the judgement of the open run.
type decideState struct {
	loaded[*source.Judgement]
	dir, base string
	top       int
}

type decideMsg struct {
	dir, base string
	recorded  bool
	judgement *source.Judgement
	err       error
}

func decideKeys() []binding {
	return []binding{
		{[]string{"R"}, "R", "record the verdict in the run, after a question", "record", (*Model).askRecord},
		{[]string{"enter"}, "enter", "what the verdict rests on: the slices of the run", "evidence", func(m *Model) tea.Cmd { return m.show(viewSlices) }},
	}
}

func (s *decideState) outdate(dir string) {
	if dir == s.dir || dir == s.base {
		s.stale = true
	}
}

// against is the baseline of the open run, empty where there is none.
func (m *Model) against() string {
	if m.table.base == m.open || m.table.find(m.table.base) == nil {
		return ""
	}
	return m.table.base
}

func (m *Model) fetchDecide() tea.Cmd {
	s := &m.decide
	if m.table.find(m.open) == nil || s.busy {
		return nil
	}
	if base := m.against(); s.dir != m.open || s.base != base {
		s.loaded = loaded[*source.Judgement]{}
		s.dir, s.base, s.top = m.open, base, 0
	}
	if !s.need() {
		return nil
	}
	s.begin()
	return m.judge(false)
}

func (m *Model) judge(record bool) tea.Cmd {
	ctx, src, dir, base := m.ctx, m.src, m.decide.dir, m.decide.base
	return func() tea.Msg {
		j, err := src.Decide(ctx, dir, base, record)
		return decideMsg{dir, base, record, j, err}
	}
}

func (m *Model) decided(msg decideMsg) tea.Cmd {
	s := &m.decide
	if msg.recorded {
		if msg.err != nil {
			return m.say(screen.Bad, "✗ not recorded: "+oneLine(msg.err))
		}
		m.outdate(msg.dir)
		var names []string
		for _, path := range msg.judgement.Written {
			names = append(names, filepath.Base(path))
		}
		if len(names) > 0 {
			return m.say(screen.Good, "✓ written: "+filepath.Dir(msg.judgement.Written[0])+"/ "+strings.Join(names, ", "))
		}
		return nil
	}
	s.busy = false
	if msg.dir == s.dir && msg.base == s.base {
		s.set(msg.judgement, msg.err)
	}
	return nil
}

// askRecord asks before it writes: a decision takes the place of an earlier
// one.
func (m *Model) askRecord() tea.Cmd {
	s := &m.decide
	if s.value == nil || s.dir != m.open {
		return m.say(screen.Doubt, "there is no verdict to record yet")
	}
	verdict := s.value.Decision.Recommendation
	m.entry = &entry{prompt: "record " + verdict + "? type yes:", done: func(m *Model, answer string) tea.Cmd {
		if strings.TrimSpace(strings.ToLower(answer)) != "yes" {
			return m.say(screen.Dim, "nothing was recorded")
		}
		return m.judge(true)
	}}
	return nil
}

func (m *Model) decideSubject() (left, right string) {
	r, s := m.run(), &m.decide
	if r == nil {
		return "no run is open", ""
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
		sayIn(c, r, said{screen.Text | screen.Bold, "no run is open"}, said{screen.Dim, "1 shows the runs; enter opens one"})
		return
	case s.dir != m.open || !s.done:
		sayIn(c, r, said{screen.Dim, "judging: files are hashed and predictions paired …"})
		return
	case s.err != nil:
		lines := []said{{screen.Bad, "✗ there is no verdict"}, {screen.Text, oneLine(s.err)}}
		var fault core.VerifilyTrainError
		if errors.As(s.err, &fault) && fault.Fault().Hint != "" {
			lines = append(lines, said{screen.Dim, fault.Fault().Hint})
		}
		sayIn(c, r, lines...)
		return
	}
	d := s.value.Decision
	c.PutRight(r.W/2, 1, r.W-r.W/2-1, verdictStyle(d.Recommendation)|screen.Bold, d.Recommendation)
	name := 12
	for _, g := range d.Gates {
		name = max(name, text.Width(text.Line(g.Name, 30)))
	}
	name = min(name, max(12, r.W/3))
	const limit, evidence = 12, 20
	value := min(26, r.W-3-name-2-limit-2)
	note := 3 + name + 2 + value + 2 + limit + 1
	c.PutIn(3, r.Y, name, screen.Dim, "GATE")
	c.PutIn(3+name+2, r.Y, value, screen.Dim, "VALUE")
	c.PutIn(3+name+2+value+2, r.Y, limit, screen.Dim, "LIMIT")
	c.PutIn(note, r.Y, r.W-note, screen.Dim, "EVIDENCE")
	lines := m.decideLines(r.W - 6)
	y := r.Y + 1
	for i := s.top; i < len(d.Gates)+len(lines) && y < r.Y+r.H; i, y = i+1, y+1 {
		if i >= len(d.Gates) {
			x := 3
			for _, sp := range lines[i-len(d.Gates)] {
				x = c.PutIn(x, y, r.W-1-x, sp.style, sp.words)
			}
			continue
		}
		g := &d.Gates[i]
		glyph, style := gateSign(g.Status)
		c.Set(1, y, style, glyph)
		c.PutIn(3, y, name, screen.Text, g.Name)
		c.PutIn(3+name+2, y, value, screen.Text, gateValue(g))
		c.PutIn(3+name+2+value+2, y, limit, screen.Dim, gateLimit(g))
		words := g.Evidence
		if g.Status != decision.GatePass && g.Detail != "" {
			words = g.Detail
		}
		if g.Needed > 0 {
			words = fmt.Sprintf("about %s examples more would tell", count(g.Needed))
		}
		c.PutIn(note, y, r.W-note-1, screen.Dim, words)
	}
}

// decideLines are what stands below the gates: the reasons, and how sure.
func (m *Model) decideLines(w int) [][]span {
	if m.decide.value == nil {
		return nil
	}
	d := m.decide.value.Decision
	out := [][]span{nil, {{screen.Accent | screen.Bold, "reasons"}}}
	for _, reason := range d.Reasons {
		out = append(out, flow([]span{{screen.Text, clip(reason, mostFailure)}}, w)...)
	}
	if len(d.MissingFiles) > 0 {
		out = append(out, flow([]span{{screen.Doubt, "missing: " + clip(strings.Join(d.MissingFiles, ", "), mostFailure)}}, w)...)
	}
	recorded := "nothing is recorded yet: R does"
	if b := m.table.brief(m.decide.dir); b != nil && b.Decision != nil {
		recorded = "recorded is " + clip(b.Decision.Recommendation, mostName)
	}
	return append(out, nil, []span{{screen.Dim, fmt.Sprintf("confidence %.2f · %s", d.Confidence, recorded)}})
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
	out := gateNumber(g.Value)
	// A rule such as ">= -" limits a difference.
	if v, ok := gateFloat(g.Value); ok && len(g.Rule) > len(">=") {
		out = signed(v)
	}
	if i := g.Interval; i != nil {
		out += " " + ends(source.Interval{Low: i.Low, High: i.High})
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
	return strings.TrimSpace(rule + " " + gateNumber(g.Threshold))
}
