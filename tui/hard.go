package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/filter"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// hardState is which examples are read, and how far.
type hardState struct {
	loaded[*source.Hard]
	of         readOf
	key, slice string // only examples of this slice; empty: all
	filter     string
	query      filter.Query
	wrong      string
	cursor     int
	labelling  bool // the next letter is a verdict
	whole      bool // one example takes the view, and scrolls
	top        int  // lines scrolled in it

	unsaved source.Review // the last one, where it could not be written

	list   []*source.Example // that pass slice and filter, as last worked out
	listOf listKey
	text   [][]span // the example that takes the view, as last laid out
	textOf textKey
}

// readOf says what is read: the hard examples of a run, or those that it and
// another answer differently.
type readOf struct {
	dir, base, others string // folders; others by newlines
	changed           *changed
}

// changed are examples of a comparison.
type changed struct {
	dir, base string
	name      string // "broken" or "fixed"
	list      []compare.Example
}

type listKey struct {
	hard               *source.Hard
	key, slice, filter string
}

// textKey says what the text of an example was laid out from.
type textKey struct {
	example *source.Example
	eval    *source.Evaluation
	width   int
}

func newHard() hardState { return hardState{} }

type hardMsg struct {
	of   readOf
	hard *source.Hard
	err  error
}

type reviewedMsg struct {
	dir    string
	review source.Review
	next   bool
	err    error
}

func hardKeys() []binding {
	return []binding{
		{[]string{"n"}, "n", "next example", "next", func(m *Model) tea.Cmd { m.hard.step(1); return nil }},
		{[]string{"p"}, "p", "previous example", "previous", func(m *Model) tea.Cmd { m.hard.step(-1); return nil }},
		{[]string{"u"}, "u", "next example without a verdict", "unreviewed", (*Model).nextUnreviewed},
		{[]string{"U"}, "U", "first example without a verdict", "", func(m *Model) tea.Cmd {
			m.hard.cursor = -1
			return m.nextUnreviewed()
		}},
		{[]string{"v"}, "v", "verdict: v, then m model error, l label error, a ambiguous, i bad input, f fine", "verdict", (*Model).startLabel},
		{[]string{"a"}, "a", "a note about the example", "note", (*Model).askNote},
		{[]string{"w"}, "w", "slice: read the examples of one only, or of all", "slice", (*Model).askSlice},
		{[]string{"/"}, "/", "filter: words, tags, verdict, loss, slice, as in source=human loss>2 verdict:none", "filter", (*Model).askHardFilter},
		{[]string{"enter"}, "enter", "the whole example, to scroll through; esc goes back", "", func(m *Model) tea.Cmd {
			m.hard.whole, m.hard.top = !m.hard.whole && m.hard.current() != nil, 0
			return nil
		}},
	}
}

// letters are the keys of the verdicts, in the order of decision.Labels.
const letters = "mlaif"

func (h *hardState) set(msg hardMsg) {
	if msg.of != h.of {
		return // of a run that is no longer open
	}
	h.loaded.set(msg.hard, msg.err)
	h.step(0)
}

func (h *hardState) outdate(dir string) {
	if dir == h.of.dir || dir == h.of.base {
		h.stale = true
	}
}

// readSlice turns to the hard examples of a slice, or to all of them, from
// whatever was read before.
func (h *hardState) readSlice(key, value string) {
	if h.of.changed != nil {
		h.of, h.loaded = readOf{}, loaded[*source.Hard]{}
	}
	h.setSlice(key, value)
}

func (h *hardState) setSlice(key, value string) {
	h.key, h.slice, h.cursor, h.top, h.whole = key, value, 0, 0, false
}

// leave goes back from one example to the list, then takes the filter away;
// false means that there was none.
func (h *hardState) leave() bool {
	if h.whole {
		h.whole, h.top = false, 0
		return true
	}
	had := h.filter != ""
	h.setFilter("")
	return had
}

func (h *hardState) setFilter(s string) {
	if s == h.filter {
		return
	}
	h.filter, h.cursor, h.top, h.wrong = s, 0, 0, ""
	var err error
	if h.query, err = filter.Parse(s); err != nil {
		h.wrong = err.Error()
	}
}

// step goes to another example.
func (h *hardState) step(by int) {
	at := max(0, min(len(h.shown())-1, h.cursor+by))
	if at != h.cursor {
		h.cursor, h.top = at, 0
	}
}

// moveHard scrolls through the example that takes the view, or goes to another.
func (m *Model) moveHard(by int) {
	h := &m.hard
	if !h.whole {
		h.step(by)
		return
	}
	if e := h.current(); e != nil {
		lines := m.exampleLines(e, m.width-4)
		h.top = max(0, min(h.top+by, len(lines)-m.wholeRows()))
	}
}

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
	text := func(s string) (filter.Value, bool) { return filter.Value{Text: s}, s != "" }
	switch {
	case key == "verdict" && r.Label == "":
		return text("none")
	case key == "verdict":
		return text(r.Label)
	case key == "note":
		return text(r.Note)
	case key == "reviewer":
		return text(r.Reviewer)
	case key == "id":
		return text(r.ID)
	case key == "rank":
		return number(float64(r.Rank))
	case key == "loss" && r.Loss != nil:
		return number(*r.Loss)
	case key == "confidence" && r.Confidence != nil:
		return number(*r.Confidence)
	case key == "score" || strings.EqualFold(key, r.PrimaryMetricName):
		return number(r.PrimaryMetric)
	case key == "base" && r.Base != nil:
		return text([]string{"wrong", "right"}[truth(r.Base.Right)])
	case key == "slice" || key == "tag":
		var all []string
		for tag, v := range r.Tags {
			all = append(all, tag+"="+v)
		}
		for tag, v := range r.Slices {
			all = append(all, tag+"="+v)
		}
		slices.Sort(all)
		return text(strings.Join(all, " "))
	}
	for tag, v := range r.Tags {
		if strings.EqualFold(tag, key) {
			return text(v)
		}
	}
	return filter.Value{}, false
}

// shown lists the examples of the slice that pass the filter.
func (h *hardState) shown() []*source.Example {
	of := listKey{h.value, h.key, h.slice, h.filter}
	if h.value == nil || of == h.listOf {
		return h.list
	}
	h.listOf, h.list = of, nil
	for i := range h.value.Examples {
		e := &h.value.Examples[i]
		if h.key != "" && metrics.SliceOf(e.Tags, h.key) != h.slice {
			continue
		}
		if h.query.Empty() || h.query.Match(exampleRow{e}) {
			h.list = append(h.list, e)
		}
	}
	return h.list
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
	if h.value != nil {
		for i := range h.value.Examples {
			n += truth(h.value.Examples[i].Label != "")
		}
	}
	return n
}

// wantsToRead says what the view should hold.
func (m *Model) wantsToRead() readOf {
	if c := m.hard.of.changed; c != nil && c.dir == m.open {
		return readOf{dir: c.dir, base: c.base, changed: c}
	}
	var others []string
	for _, r := range m.table.all {
		if m.table.marked[r.dir] && r.dir != m.open && r.dir != m.against() && len(others) < mostCompared {
			others = append(others, r.dir)
		}
	}
	return readOf{dir: m.open, base: m.against(), others: strings.Join(others, "\n")}
}

func (m *Model) fetchHard() tea.Cmd {
	h := &m.hard
	if m.table.find(m.open) == nil {
		return nil
	}
	if of := m.wantsToRead(); h.of != of {
		if h.of.dir != of.dir || h.of.changed != of.changed {
			h.cursor, h.top, h.whole = 0, 0, false
		}
		h.loaded, h.of, h.list, h.listOf = loaded[*source.Hard]{}, of, nil, listKey{}
	}
	if !h.need() {
		return nil
	}
	h.begin()
	src, of := m.src, h.of
	return func() tea.Msg {
		if of.changed != nil {
			hard, err := src.Changed(of.dir, of.base, of.changed.list)
			return hardMsg{of, hard, err}
		}
		hard, err := src.Hard(of.dir, of.base, strings.FieldsFunc(of.others, func(r rune) bool { return r == '\n' })...)
		return hardMsg{of, hard, err}
	}
}

func (m *Model) nextUnreviewed() tea.Cmd {
	shown := m.hard.shown()
	for i := range shown {
		at := (m.hard.cursor + 1 + i) % len(shown)
		if shown[at].Label == "" {
			m.hard.cursor, m.hard.top = at, 0
			return nil
		}
	}
	m.hard.cursor = max(0, m.hard.cursor)
	if len(shown) == 0 {
		return nil
	}
	return m.say(screen.Good, "✓ every example here has a verdict")
}

// askSlice offers the slices that the examples fall into.
func (m *Model) askSlice() tea.Cmd {
	h := &m.hard
	if h.value == nil {
		return nil
	}
	count := map[[2]string]int{}
	for i := range h.value.Examples {
		for tag, v := range h.value.Examples[i].Tags {
			count[[2]string{tag, v}]++
		}
	}
	found := make([][2]string, 0, len(count))
	for s := range count {
		found = append(found, s)
	}
	slices.SortFunc(found, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	p := &palette{}
	if h.of.changed != nil {
		p.all = append(p.all, binding{help: "the hard examples of the run", do: func(m *Model) tea.Cmd {
			m.hard.readSlice("", "")
			return nil
		}})
	}
	p.all = append(p.all, binding{help: "all examples", show: fmt.Sprint(len(h.value.Examples)), do: func(m *Model) tea.Cmd {
		m.hard.setSlice("", "")
		return nil
	}})
	for _, s := range found[:min(len(found), mostSlicesOffered)] {
		p.all = append(p.all, binding{help: text.Line(s[0]+"="+s[1], 50), show: fmt.Sprint(count[s]), do: func(m *Model) tea.Cmd {
			m.hard.setSlice(s[0], s[1])
			return nil
		}})
	}
	p.search()
	m.palette = p
	return nil
}

// mostSlicesOffered bounds the slices to choose from: the filter finds the
// others.
const mostSlicesOffered = 1000

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
	note := e.Note
	if r := m.hard.unsaved; r.ID == e.ID && r.InputHash == e.InputHash && r.Note != "" {
		note = r.Note
	}
	m.entry = &entry{prompt: "note", line: newLine(note), done: func(m *Model, s string) tea.Cmd {
		// The verdict may have come while the note was typed, from here or elsewhere.
		now := m.hard.find(e)
		return m.label(now, now.Label, strings.TrimSpace(s), false)
	}}
	return nil
}

// find returns an example as it is known now.
func (h *hardState) find(e *source.Example) *source.Example {
	if h.value != nil {
		for i := range h.value.Examples {
			if now := &h.value.Examples[i]; now.ID == e.ID && now.InputHash == e.InputHash {
				return now
			}
		}
	}
	return e
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
	if e.ID == "" && e.InputHash == "" {
		return m.say(screen.Bad, "✗ the example has neither an id nor a hash to label it by")
	}
	ctx, src, dir := m.ctx, m.src, m.hard.of.dir
	r := source.Review{ID: e.ID, InputHash: e.InputHash, Verdict: verdict, Note: note}
	return func() tea.Msg {
		saved, err := src.Label(ctx, dir, r)
		return reviewedMsg{dir, saved, next, err}
	}
}

func (m *Model) reviewed(msg reviewedMsg) tea.Cmd {
	h := &m.hard
	if msg.err != nil {
		h.unsaved = msg.review
		return m.say(screen.Bad, "✗ "+oneLine(msg.err))
	}
	h.unsaved = source.Review{}
	m.decide.outdate(msg.dir)
	if msg.dir != h.of.dir || h.value == nil {
		return nil
	}
	// What is being read may not have the verdict yet.
	h.stale = h.stale || h.busy
	// What is drawn may be read elsewhere: change a copy.
	value := *h.value
	value.Examples = slices.Clone(value.Examples)
	for i := range value.Examples {
		e := &value.Examples[i]
		if e.InputHash == msg.review.InputHash && e.ID == msg.review.ID {
			e.Label, e.Note = msg.review.Verdict, msg.review.Note
			e.Reviewer, e.Reviewed = msg.review.Reviewer, msg.review.Time
		}
	}
	shown := len(h.shown())
	h.value = &value
	if msg.next && len(h.shown()) == shown {
		h.step(1)
	}
	h.step(0)
	return nil
}
