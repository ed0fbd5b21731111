package tui

import (
	"math"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// compareState is which runs are held side by side, and what of them is shown.
type compareState struct {
	loaded[*source.Comparison]
	asked  []string // what was to be compared, the base first
	dirs   []string // what is: some may be left out
	with   int      // place of the run that is held against the base, from 0
	part   comparePart
	turned bool // the other layout of the metrics than the number of runs suggests
	row    int  // of the metrics, or of the changed examples
	moved  int  // lines scrolled in the inputs

	every  bool // inputs that are the same as well
	inputs loaded[*source.Inputs]

	axis   curveAxis
	linear bool
}

// comparePart is what of a comparison is shown.
type comparePart int

const (
	partMetrics comparePart = iota
	partInputs
	partLosses
	partExamples
)

// curveAxis is what the curves of runs are laid over each other by.
type curveAxis int

const (
	overSteps curveAxis = iota
	overEpochs
	overShare // of the steps of the run, in percent
	curveAxes
)

func (a curveAxis) String() string { return [...]string{"step", "epoch", "relative step"}[a] }

type compareMsg struct {
	asked  []string
	result *source.Comparison
	err    error
}

// take implements answer.
func (msg compareMsg) take(m *Model) tea.Cmd {
	s := &m.compare
	if !slices.Equal(msg.asked, s.asked) {
		s.busy = false // another is waited for
		return nil
	}
	s.set(msg.result, msg.err)
	if msg.result == nil {
		return nil
	}
	if !slices.Equal(s.dirs, msg.result.Dirs) {
		s.dirs, s.inputs = msg.result.Dirs, loaded[*source.Inputs]{}
	}
	s.with = max(0, min(s.with, len(s.dirs)-2))
	return nil
}

type inputsMsg struct {
	dirs   []string
	inputs *source.Inputs
	err    error
}

// mostCompared bounds how many runs are compared at once.
const mostCompared = 8

func compareKeys() []binding {
	part := func(p comparePart) func(*Model) tea.Cmd {
		return func(m *Model) tea.Cmd {
			if m.compare.part == p {
				p = partMetrics
			}
			m.compare.part, m.compare.moved, m.compare.row = p, 0, 0
			return nil
		}
	}
	return []binding{
		{[]string{"enter"}, "enter", "the examples fixed and broken; again on one: read it", "examples", (*Model).openChanged},
		{[]string{"D"}, "D", "config, data and environment: what differs", "differences", part(partInputs)},
		{[]string{"o"}, "o", "loss curves laid over each other", "curves", part(partLosses)},
		{[]string{"w"}, "w", "hold the next of the runs against the baseline", "next run", func(m *Model) tea.Cmd {
			if r := m.compare.value; r != nil {
				m.compare.with = (m.compare.with + 1) % max(1, len(r.Runs)-1)
				if m.compare.part == partExamples {
					m.compare.row = 0
				}
			}
			return nil
		}},
		{[]string{"m"}, "m", "all runs side by side, or one against the baseline with its intervals", "", func(m *Model) tea.Cmd {
			m.compare.turned, m.compare.part = !m.compare.turned, partMetrics
			return nil
		}},
		{[]string{"a"}, "a", "differences: all keys, or those only that differ", "", func(m *Model) tea.Cmd {
			m.compare.every, m.compare.part, m.compare.moved = !m.compare.every, partInputs, 0
			return nil
		}},
		{[]string{"X"}, "X", "curves over step, epoch, relative step", "", func(m *Model) tea.Cmd {
			if m.compare.part == partLosses {
				m.compare.axis = (m.compare.axis + 1) % curveAxes
			}
			m.compare.part = partLosses
			return nil
		}},
		{[]string{"L"}, "L", "curves on a logarithmic or linear scale", "", func(m *Model) tea.Cmd {
			m.compare.linear = !m.compare.linear
			return nil
		}},
	}
}

// leave goes back to the metrics; false means that they are shown.
func (s *compareState) leave() bool {
	away := s.part != partMetrics
	s.part, s.moved, s.row = partMetrics, 0, 0
	return away
}

// sideBySide says whether all runs are shown in columns.
func (s *compareState) sideBySide() bool {
	return s.value != nil && (len(s.value.Runs) > 2) != s.turned
}

// compareMarked compares the marked runs, or else the run under the cursor,
// with the baseline.
func (m *Model) compareMarked() tea.Cmd {
	m.open = m.table.cursor
	if len(m.compared()) < 2 {
		return m.say(screen.Doubt, "comparing takes two runs: space marks them, or b makes one the baseline")
	}
	m.compare.with, m.compare.moved, m.compare.row = 0, 0, 0
	cmd := m.show(viewCompare)
	if n := len(m.table.marked); n > mostCompared {
		return tea.Batch(cmd, m.say(screen.Doubt, "the oldest "+count(mostCompared)+" of "+count(n)+" marked runs are compared"))
	}
	return cmd
}

// compared lists the runs to compare, the base first: the baseline and the
// marked ones; without marks the baseline and the open run. Without a baseline
// the oldest is the base.
func (m *Model) compared() []string {
	var out []string
	for _, r := range slices.Backward(m.table.all) {
		if m.table.marked[r.dir] && r.dir != m.table.base && len(out) < mostCompared {
			out = append(out, r.dir)
		}
	}
	if len(out) == 0 && m.open != "" && m.open != m.table.base {
		out = append(out, m.open)
	}
	if m.table.find(m.table.base) != nil {
		out = slices.Insert(out, 0, m.table.base)
	}
	return out[:min(len(out), mostCompared)]
}

func (m *Model) fetchCompare() tea.Cmd {
	dirs := m.compared()
	if len(dirs) < 2 {
		return nil
	}
	s := &m.compare
	if !slices.Equal(dirs, s.asked) {
		if s.busy {
			return nil // one at a time: the next follows
		}
		s.loaded, s.inputs = loaded[*source.Comparison]{}, loaded[*source.Inputs]{}
		s.asked, s.dirs, s.with, s.moved, s.row = dirs, dirs, 0, 0, 0
	}
	if !s.need() {
		return nil
	}
	s.begin()
	ctx, src := m.ctx, m.src
	return func() tea.Msg {
		result, err := src.Compare(ctx, dirs)
		return compareMsg{dirs, result, err}
	}
}

// fetchInputs reads what went into the runs, the same or not.
func (m *Model) fetchInputs() tea.Cmd {
	s := &m.compare
	if s.part != partInputs || !s.every || len(s.dirs) == 0 || !s.inputs.need() {
		return nil
	}
	s.inputs.begin()
	src, dirs := m.src, s.dirs
	return func() tea.Msg {
		inputs, err := src.Inputs(dirs)
		return inputsMsg{dirs, inputs, err}
	}
}

// take implements answer.
func (msg inputsMsg) take(m *Model) tea.Cmd {
	if slices.Equal(msg.dirs, m.compare.dirs) {
		m.compare.inputs.set(msg.inputs, msg.err)
	}
	return nil
}

// fetchCurves reads the logs of the runs whose curves are shown.
func (m *Model) fetchCurves() tea.Cmd {
	s := &m.compare
	if s.part != partLosses {
		return nil
	}
	var cmds []tea.Cmd
	for _, dir := range s.dirs {
		cmds = append(cmds, m.fetchHistory(dir))
		if h := m.histories[dir]; h != nil && h.lines.Curves != nil {
			for _, name := range []string{source.Loss, source.EvalLoss} {
				h.condense(name, s.axis.log(), 0)
			}
		}
	}
	return tea.Batch(cmds...)
}

// log is the axis of a log that the curves stand over.
func (a curveAxis) log() source.Axis {
	if a == overEpochs {
		return source.Epochs
	}
	return source.Steps
}

func (s *compareState) outdate(dir string) {
	if slices.Contains(s.asked, dir) {
		s.stale, s.inputs.stale = true, true
	}
}

func (m *Model) moveCompare(by int) {
	s := &m.compare
	if s.value == nil {
		return
	}
	switch s.part {
	case partMetrics:
		s.row = max(0, min(len(m.differences(s.with))-1, s.row+by))
	case partExamples:
		s.row = max(0, min(len(m.changedExamples())-1, s.row+by))
	case partInputs:
		s.moved = max(0, min(len(m.inputLines(m.width-4))-m.bodyHeight()+2, s.moved+by))
	case partLosses:
		s.with = max(0, min(len(s.value.Runs)-2, s.with+max(-1, min(1, by))))
	}
}

// changedExample is an example that became wrong or right, and its place among
// those.
type changedExample struct {
	compare.Example
	broken bool
	at     int
}

// changedExamples lists what changed between the base and the run, the broken
// first; nil where the examples cannot be paired.
func (m *Model) changedExamples() []changedExample {
	r, at := m.compare.value, m.compare.with
	if r == nil || at >= len(r.Examples) {
		return nil
	}
	out := make([]changedExample, 0, len(r.Examples[at].Broken)+len(r.Examples[at].Fixed))
	for i, e := range r.Examples[at].Broken {
		out = append(out, changedExample{e, true, i})
	}
	for i, e := range r.Examples[at].Fixed {
		out = append(out, changedExample{e, false, i})
	}
	return out
}

// openChanged lists the examples that changed, and opens one of them in the
// reader.
func (m *Model) openChanged() tea.Cmd {
	s := &m.compare
	if s.value == nil {
		return nil
	}
	if s.part != partExamples {
		s.part, s.row = partExamples, 0
		return nil
	}
	list := m.changedExamples()
	if s.row >= len(list) || s.with+1 >= len(s.dirs) {
		return nil
	}
	picked := list[s.row]
	c := &changed{dir: s.dirs[s.with+1], base: s.dirs[0], name: "fixed", list: s.value.Examples[s.with].Fixed}
	if picked.broken {
		c.name, c.list = "broken", s.value.Examples[s.with].Broken
	}
	m.open = c.dir
	cmd := m.show(viewHard)
	m.hard.setFilter("")
	m.hard.setSlice("", "")
	m.hard.of, m.hard.loaded = readOf{changed: c, dir: c.dir, base: c.base}, loaded[*source.Hard]{}
	m.hard.list, m.hard.listOf, m.hard.cursor = nil, listKey{}, picked.at
	return cmd
}

// difference is a row of the forest plot: a metric, or a slice of the primary.
type difference struct {
	name      string
	base, new *compare.Value
	delta     *compare.Delta
	lower     bool // smaller values are better
	slice     bool
	tooFew    bool
}

// differences lists the rows of the run at a place against the base.
func (m *Model) differences(at int) []difference {
	r := m.compare.value
	var out []difference
	pick := func(values []*compare.Value, deltas []*compare.Delta, d difference) {
		if at+1 < len(values) {
			d.base, d.new = values[0], values[at+1]
		}
		if at < len(deltas) {
			d.delta = deltas[at]
		}
		out = append(out, d)
	}
	lower := false
	for i, o := range r.Overall {
		pick(o.Values, o.Deltas, difference{name: o.Metric, lower: o.LowerIsBetter})
		if i == 0 {
			lower = o.LowerIsBetter
		}
	}
	for _, s := range r.Slices {
		pick(s.Values, s.Deltas, difference{name: s.Key + "=" + s.Value, lower: lower, slice: true, tooFew: s.TooFew})
	}
	return out
}

// inputLines writes what went into the runs: what is not the same, or all of it,
// w columns wide.
func (m *Model) inputLines(w int) [][]span {
	s := &m.compare
	if s.value == nil {
		return nil
	}
	r := s.value
	shown := []int{0, s.with + 1}
	const least = 16
	name := min(40, max(20, w/3))
	if fit := (w - name) / least; fit >= len(r.Runs) {
		shown = nil
		for i := range r.Runs {
			shown = append(shown, i)
		}
	}
	each := max(8, (w-name)/len(shown))
	var out [][]span
	head := []span{{screen.Dim, pad("", name)}}
	for _, i := range shown {
		head = append(head, span{screen.Text | screen.Bold, pad(r.Runs[i].Label(), each)})
	}
	out = append(out, head)
	for _, part := range r.Inputs() {
		differs := map[string]bool{}
		for _, d := range part.Differ {
			differs[d.Name] = true
		}
		list := part.Differ
		if s.every && s.inputs.value != nil {
			list = s.inputs.value.Of(part.Name)
		}
		words := differWords(part, "the same", "key differs", "keys differ")
		out = append(out, []span{{screen.Accent | screen.Bold, part.Name}, {screen.Dim, "  " + words}})
		for _, d := range list {
			line := []span{{screen.Text, pad("  "+clip(d.Name, mostName), name)}}
			first := clip(d.Text(shown[0]), mostName)
			for _, i := range shown {
				value := clip(d.Text(i), mostName)
				style := screen.Dim
				if differs[d.Name] && value != first {
					style = screen.Accent
				}
				line = append(line, span{style, pad(value, each)})
			}
			out = append(out, line)
		}
	}
	if len(r.Notes) > 0 {
		out = append(out, nil)
		for _, n := range r.Notes {
			out = append(out, flow([]span{{screen.Dim, clip(n, mostFailure)}}, w)...)
		}
	}
	return out
}

// lastStep returns the last step of a log, 0 where there is none.
func (h *history) lastStep() float64 {
	if h == nil || h.lines.Lines() == 0 {
		return 0
	}
	return h.lines.X[source.Steps][h.lines.Lines()-1]
}

// curveUnit is what a place on the axis is multiplied with: a share of the run is
// in percent.
func (a curveAxis) unit(h *history) float64 {
	if last := h.lastStep(); a == overShare && last > 0 && !math.IsInf(last, 0) {
		return 100 / last
	}
	return 1
}

// noteOf joins the notes of a comparison.
func noteOf(r *core.CompareResult) string { return strings.Join(r.Notes, " · ") }
