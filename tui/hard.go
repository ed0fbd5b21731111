package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/tui/filter"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// hardState is which hard examples are read, and how far.
type hardState struct {
	loaded[*source.Hard]
	dir, base  string // of what is loaded
	key, slice string // only examples of this slice; empty: all
	filter     string
	query      filter.Query
	wrong      string
	cursor     int
	labelling  bool // the next letter is a verdict
}

func newHard() hardState { return hardState{} }

type hardMsg struct {
	dir, base string
	hard      *source.Hard
	err       error
}

type reviewedMsg struct {
	dir    string
	review source.Review
	next   bool
	err    error
}

func hardKeys() []binding {
	return []binding{
		{[]string{"n"}, "n", "next example", "next", func(m *Model) tea.Cmd { m.hard.move(1); return nil }},
		{[]string{"p"}, "p", "previous example", "previous", func(m *Model) tea.Cmd { m.hard.move(-1); return nil }},
		{[]string{"u"}, "u", "next example without a verdict", "unreviewed", (*Model).nextUnreviewed},
		{[]string{"v"}, "v", "verdict: v, then m model error, l label error, a ambiguous, i bad input, f fine", "verdict", (*Model).startLabel},
		{[]string{"a"}, "a", "a note about the example", "note", (*Model).askNote},
		{[]string{"/"}, "/", "filter by words, tags, verdict, loss", "filter", (*Model).askHardFilter},
		{[]string{"w"}, "w", "leave the slice: read all hard examples", "", func(m *Model) tea.Cmd {
			m.hard.setSlice("", "")
			return nil
		}},
	}
}

// letters are the keys of the verdicts, in the order of decision.Labels.
const letters = "mlaif"

func (h *hardState) set(msg hardMsg) {
	if msg.dir != h.dir || msg.base != h.base {
		return // of a run that is no longer open
	}
	h.loaded.set(msg.hard, msg.err)
	h.move(0)
}

func (h *hardState) outdate(dir string) {
	if dir == h.dir || dir == h.base {
		h.stale = true
	}
}

func (h *hardState) setSlice(key, value string) {
	h.key, h.slice, h.cursor = key, value, 0
}

// leave takes the filter away; false means that there was none.
func (h *hardState) leave() bool {
	had := h.filter != ""
	h.setFilter("")
	return had
}

func (h *hardState) setFilter(s string) {
	h.filter, h.cursor, h.wrong = s, 0, ""
	var err error
	if h.query, err = filter.Parse(s); err != nil {
		h.wrong = err.Error()
	}
}

func (h *hardState) move(by int) { h.cursor = max(0, min(len(h.shown())-1, h.cursor+by)) }

// exampleRow is an example for a filter.
type exampleRow struct{ *source.Example }

// Words implements filter.Row.
func (r exampleRow) Words() string {
	return strings.Join([]string{r.ID, r.Input, r.Reference, r.Prediction, r.Note}, " ")
}

// Field implements filter.Row.
func (r exampleRow) Field(key string) (filter.Value, bool) {
	number := func(v float64) (filter.Value, bool) {
		return filter.Value{Text: fmt.Sprint(v), Number: v, IsNumber: true}, true
	}
	switch {
	case key == "verdict":
		return filter.Value{Text: r.Label}, r.Label != ""
	case key == "loss" && r.Loss != nil:
		return number(*r.Loss)
	case key == "score" || strings.EqualFold(key, r.PrimaryMetricName):
		return number(r.PrimaryMetric)
	}
	for tag, v := range r.Tags {
		if strings.EqualFold(tag, key) {
			return filter.Value{Text: v}, true
		}
	}
	return filter.Value{}, false
}

// shown lists the examples of the slice that pass the filter.
func (h *hardState) shown() []*source.Example {
	if h.value == nil {
		return nil
	}
	var out []*source.Example
	for i := range h.value.Examples {
		e := &h.value.Examples[i]
		if h.key != "" && metrics.SliceOf(e.Tags, h.key) != h.slice {
			continue
		}
		if h.query.Empty() || h.query.Match(exampleRow{e}) {
			out = append(out, e)
		}
	}
	return out
}

// current returns the example that is read, nil where there is none.
func (h *hardState) current() *source.Example {
	shown := h.shown()
	if h.cursor >= len(shown) {
		return nil
	}
	return shown[h.cursor]
}

// reviewed counts the examples with a verdict.
func (h *hardState) reviewed() int {
	n := 0
	for i := range h.value.Examples {
		n += truth(h.value.Examples[i].Label != "")
	}
	return n
}

func (m *Model) fetchHard() tea.Cmd {
	h := &m.hard
	if m.table.find(m.open) == nil {
		return nil
	}
	base := m.table.base
	if base == m.open || m.table.find(base) == nil {
		base = ""
	}
	if h.dir != m.open || h.base != base {
		cursor := 0
		if h.dir == m.open {
			cursor = h.cursor
		}
		h.loaded = loaded[*source.Hard]{}
		h.dir, h.base, h.cursor = m.open, base, cursor
	}
	if !h.need() {
		return nil
	}
	h.begin()
	src, dir := m.src, m.open
	return func() tea.Msg {
		hard, err := src.Hard(dir, base)
		return hardMsg{dir, base, hard, err}
	}
}

func (m *Model) nextUnreviewed() tea.Cmd {
	shown := m.hard.shown()
	for i := range shown {
		at := (m.hard.cursor + 1 + i) % len(shown)
		if shown[at].Label == "" {
			m.hard.cursor = at
			return nil
		}
	}
	return m.say(screen.Good, "✓ every example here has a verdict")
}

func (m *Model) startLabel() tea.Cmd {
	m.hard.labelling = m.hard.current() != nil
	return nil
}

// pressLabel takes the letter of a verdict; any other key leaves it.
func (m *Model) pressLabel(name string) tea.Cmd {
	m.hard.labelling = false
	e := m.hard.current()
	if e == nil {
		return nil
	}
	if name == "backspace" {
		return m.label(e, "", e.Note, false)
	}
	at := strings.Index(letters, name)
	if len(name) != 1 || at < 0 {
		return nil
	}
	return m.label(e, decision.Labels()[at], e.Note, true)
}

func (m *Model) askNote() tea.Cmd {
	e := m.hard.current()
	if e == nil {
		return nil
	}
	m.entry = &entry{prompt: "note", line: newLine(e.Note), done: func(m *Model, s string) tea.Cmd {
		return m.label(e, e.Label, strings.TrimSpace(s), false)
	}}
	return nil
}

func (m *Model) askHardFilter() tea.Cmd {
	before := m.hard.filter
	m.entry = &entry{prompt: "/", line: newLine(before),
		typed:  func(m *Model, s string) { m.hard.setFilter(s) },
		done:   func(m *Model, s string) tea.Cmd { m.hard.setFilter(s); return nil },
		cancel: func(m *Model) { m.hard.setFilter(before) },
		wrong:  func(m *Model) string { return m.hard.wrong },
	}
	return nil
}

// label writes a verdict; the screen shows it once it is on disk.
func (m *Model) label(e *source.Example, verdict, note string, next bool) tea.Cmd {
	ctx, src, dir := m.ctx, m.src, m.hard.dir
	r := source.Review{ID: e.ID, InputHash: e.InputHash, Verdict: verdict, Note: note}
	return func() tea.Msg { return reviewedMsg{dir, r, next, src.Label(ctx, dir, r)} }
}

func (m *Model) reviewed(msg reviewedMsg) tea.Cmd {
	if msg.err != nil {
		return m.say(screen.Bad, "✗ "+oneLine(msg.err))
	}
	h := &m.hard
	if msg.dir != h.dir || h.value == nil {
		return nil
	}
	// What is drawn may be read elsewhere: change a copy.
	value := *h.value
	value.Examples = slices.Clone(value.Examples)
	for i := range value.Examples {
		e := &value.Examples[i]
		if e.InputHash == msg.review.InputHash && e.ID == msg.review.ID {
			e.Label, e.Note = msg.review.Verdict, msg.review.Note
		}
	}
	shown := len(h.shown())
	h.value = &value
	if msg.next && len(h.shown()) == shown {
		h.move(1)
	}
	h.move(0)
	return nil
}
