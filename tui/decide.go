package tui

import (
	"cmp"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// decideState is the judgement of the open run.
type decideState struct {
	loaded[*source.Judgement]
	dir, base string
	checked   time.Time // when the files were last looked at
	cursor    int       // row of the gates
	top       int       // lines scrolled below the gates
	proof     *proof    // the evidence that is read, nil: the gates are shown
	recording *recording
	written   []string // by the last record of this screen
}

// recording is a verdict on its way into the run: it is shown with its note and
// its files until somebody says yes.
type recording struct{ verdict, note string }

// proof is the evidence of a gate.
type proof struct {
	loaded[*source.Proof]
	gate decideRow
	top  int

	lines   [][]span // as last laid out, for linesOf and width
	linesOf *source.Proof
	width   int
}

type decideMsg struct {
	dir, base string
	judgement *source.Judgement
	err       error
}

type recordedMsg struct {
	dir   string
	files []string
	err   error
}

type proofMsg struct {
	of    *proof
	proof *source.Proof
	err   error
}

func decideKeys() []binding {
	return []binding{
		{[]string{"enter"}, "enter", "what the gate rests on: checks, hashes, the file, its slice, its examples", "evidence", (*Model).openProof},
		{[]string{"R"}, "R", "record the verdict in the run: asks for a note, then for a yes", "record", (*Model).askRecord},
	}
}

func (s *decideState) outdate(dir string) {
	if dir == s.dir || dir == s.base {
		s.stale = true
		if s.proof != nil {
			s.proof.stale = true
		}
	}
}

// leave closes the evidence, or the list of what was written.
func (s *decideState) leave() bool {
	open := s.proof != nil || s.written != nil
	if s.proof != nil {
		s.proof = nil
	} else {
		s.written = nil
	}
	return open
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
		*s = decideState{dir: m.open, base: base}
	}
	if !s.need() {
		return nil
	}
	s.begin()
	ctx, src, dir, base := m.ctx, m.src, s.dir, s.base
	return func() tea.Msg {
		j, err := src.Decide(ctx, dir, base)
		return decideMsg{dir, base, j, err}
	}
}

func (m *Model) decided(msg decideMsg) tea.Cmd {
	s := &m.decide
	s.busy = false
	if msg.dir == s.dir && msg.base == s.base {
		s.set(msg.judgement, msg.err)
		s.checked = m.now
		m.moveDecide(0)
	}
	return nil
}

// decideRow is a row of the view: a gate, or how something stands that no gate
// asks about.
type decideRow struct {
	decision.Gate
	aside bool
}

// decideRows returns the gates, and the state of hashes and review where no gate
// asks for them.
func (m *Model) decideRows() []decideRow {
	j := m.decide.value
	if j == nil {
		return nil
	}
	var out []decideRow
	has := map[string]bool{}
	for _, g := range j.Decision.Gates {
		out = append(out, decideRow{Gate: g})
		has[g.Name] = true
	}
	if !has["hashes"] {
		g := decision.Gate{Name: "hashes", Status: decision.GateNotChecked, Value: j.SealError, Evidence: "hashes.json"}
		if j.Seal != nil {
			g.Value, g.Status = j.Seal.String(), decision.GatePass
			if !j.Seal.Intact() {
				g.Status = decision.GateFlag
			}
		}
		out = slices.Insert(out, min(1, len(out)), decideRow{Gate: g, aside: true})
	}
	if r := j.Review; !has["review"] && r.Hard > 0 {
		g := decision.Gate{Name: "review", Status: decision.GateNotChecked, Value: count(r.Read) + " of " + count(r.Hard) + " read",
			Evidence: "review/"}
		out = append(out, decideRow{Gate: g, aside: true})
	}
	return out
}

func (m *Model) moveDecide(by int) {
	s := &m.decide
	if s.proof != nil {
		s.proof.top = max(0, min(len(m.proofLines(m.width-4))-m.bodyHeight()+2, s.proof.top+by))
		return
	}
	rows := len(m.decideRows())
	if at := s.cursor + by; at >= rows && by < far {
		s.top += at - max(0, rows-1)
	} else if s.top > 0 && by < 0 && by > -far {
		s.top += by
	} else {
		s.cursor = at
	}
	s.cursor = max(0, min(rows-1, s.cursor))
	s.top = max(0, min(s.top, rows+len(m.decideLines(m.width-6))-m.bodyHeight()+2))
}

// openProof opens what the gate under the cursor rests on.
func (m *Model) openProof() tea.Cmd {
	s := &m.decide
	rows := m.decideRows()
	if s.proof != nil || s.cursor >= len(rows) || s.dir != m.open {
		return nil
	}
	row := rows[s.cursor]
	if strings.HasPrefix(row.Name, "review") {
		m.hard.readSlice("", "")
		return m.show(viewHard)
	}
	if name, metric, ok := m.gateSlice(row.Name); ok {
		m.slices.key, m.slices.metric, m.slices.picked, m.slices.cross = "", metric, name, nil
		return m.show(viewSlices)
	}
	s.proof = &proof{gate: row}
	return nil
}

// gateSlice finds the slice that a gate is about, by its name: "source=human f1".
func (m *Model) gateSlice(gate string) (name, metric string, ok bool) {
	if m.decide.value == nil || !strings.Contains(gate, "=") {
		return "", "", false
	}
	gate = strings.TrimSuffix(gate, " regression")
	at := strings.LastIndexByte(gate, ' ')
	if at < 0 {
		return "", "", false
	}
	return gate[:at], gate[at+1:], true
}

func (m *Model) fetchProof() tea.Cmd {
	p := m.decide.proof
	if p == nil || !p.need() {
		return nil
	}
	p.begin()
	ctx, src, dir, name, file := m.ctx, m.src, m.decide.dir, p.gate.Name, p.gate.Evidence
	return func() tea.Msg {
		var out *source.Proof
		var err error
		switch {
		case name == "contract":
			out, err = src.ContractProof(ctx, dir)
		case name == "hashes":
			out, err = src.HashProof(ctx, dir)
		case file == "":
			out = &source.Proof{}
		default:
			out, err = src.FileProof(dir, file)
		}
		return proofMsg{p, out, err}
	}
}

// take implements answer.
func (msg proofMsg) take(*Model) tea.Cmd {
	msg.of.set(msg.proof, msg.err)
	return nil
}

// askRecord asks why, and then for a yes, before it writes: a decision takes the
// place of an earlier one.
func (m *Model) askRecord() tea.Cmd {
	s := &m.decide
	if s.value == nil || s.dir != m.open || s.err != nil {
		return m.say(screen.Doubt, "there is no verdict to record yet")
	}
	s.proof, s.written, s.top = nil, nil, 0
	s.recording = &recording{verdict: s.value.Decision.Recommendation}
	leave := func(m *Model) { m.decide.recording = nil }
	m.entry = &entry{prompt: "why? a note:", cancel: leave,
		typed: func(m *Model, note string) {
			if m.decide.recording != nil {
				m.decide.recording.note = note
			}
		},
		wrong: func(m *Model) string {
			if m.decide.recording != nil && len(m.decide.recording.note) > decision.MaxNote {
				return "too long"
			}
			return ""
		},
		done: func(m *Model, note string) tea.Cmd {
			if m.decide.recording == nil {
				return nil
			}
			m.decide.recording.note = strings.TrimSpace(note)
			verdict := m.decide.recording.verdict
			m.entry = &entry{prompt: "record " + verdict + "? type yes:", cancel: leave, done: func(m *Model, answer string) tea.Cmd {
				r := m.decide.recording
				m.decide.recording = nil
				if r == nil || strings.TrimSpace(strings.ToLower(answer)) != "yes" {
					return m.say(screen.Dim, "nothing was recorded")
				}
				return m.record(r)
			}}
			return nil
		}}
	return nil
}

func (m *Model) record(r *recording) tea.Cmd {
	ctx, src, dir, base := m.ctx, m.src, m.decide.dir, m.decide.base
	return func() tea.Msg {
		files, err := src.Record(ctx, dir, base, r.verdict, r.note)
		return recordedMsg{dir, files, err}
	}
}

// take implements answer.
func (msg recordedMsg) take(m *Model) tea.Cmd {
	m.outdate(msg.dir)
	m.decide.outdate(msg.dir)
	if msg.err != nil {
		return m.say(screen.Bad, "✗ not recorded: "+oneLine(msg.err))
	}
	if m.decide.dir == msg.dir {
		m.decide.written = msg.files
	}
	return m.say(screen.Good, "✓ recorded: "+plural(len(msg.files), "file", "files")+" written, decision.json among them")
}

// needs says how many examples more would turn gates that nothing can be said
// about into a verdict, a line each.
func needs(j *source.Judgement) []string {
	var out []string
	for _, g := range j.Decision.Gates {
		if g.Needed <= 0 || g.Status == decision.GatePass {
			continue
		}
		switch {
		case g.Name == "review":
			out = append(out, plural(g.Needed, "hard example", "hard examples")+" more to read")
		case g.Status == decision.GateTooFew:
			out = append(out, plural(g.Needed, "example", "examples")+" more for "+clip(g.Name, mostName))
		default:
			out = append(out, "about "+plural(g.Needed, "example", "examples")+" more would settle "+clip(g.Name, mostName))
		}
	}
	return out
}

// sealed says in a few words how the files of the run stand, live.
func sealed(j *source.Judgement) (words string, style screen.Style) {
	passed := 0
	for _, c := range j.Contract.Checks {
		passed += truth(c.Status == contract.Pass)
	}
	words, style = "contract "+count(passed)+" of "+count(len(j.Contract.Checks)), screen.Good
	if !j.Contract.Valid {
		style = screen.Bad
	}
	switch {
	case j.Seal == nil:
		words, style = words+" · hashes: none", max(style, screen.Bad)
	case j.Seal.Intact():
		words += " · hashes intact"
	default:
		words, style = words+" · hashes: "+count(len(j.Seal.Changed)+len(j.Seal.Missing))+" differ", screen.Bad
	}
	return words, style
}

// faultLines writes an error with its hint, for a view that has nothing else to
// show. Paths are written as the folder of the runs was named.
func (m *Model) faultLines(lead string, err error) []said {
	words := oneLine(err)
	if m.root != "" && m.root != string(filepath.Separator) {
		words = strings.ReplaceAll(words, m.root, m.src.Root())
	}
	lines := []said{{screen.Bad, "✗ " + lead}, {screen.Text, words}}
	var fault core.VerifilyTrainError
	hint := ""
	if errors.As(err, &fault) {
		hint = fault.Fault().Hint
	}
	return append(lines, said{screen.Dim, cmp.Or(hint, "r tries again")})
}
