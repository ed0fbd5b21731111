package tui

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aymanbagabas/go-osc52/v2"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// The messages of commands.
type (
	listMsg struct {
		entries []runs.Entry
		err     error
	}
	eventsMsg struct {
		events []runs.Event
		closed bool
	}
	briefMsg struct {
		dir   string
		brief *source.Brief
		err   error
	}
	extraMsg struct {
		keys  []string
		found map[string]map[string]any // by folder, then key
	}
	tailMsg struct {
		dir     string
		stretch source.Stretch
		err     error
	}
	evalMsg struct {
		dir  string
		eval *source.Evaluation
		err  error
	}
	pairMsg struct {
		key    pairKey
		result *core.CompareResult
		err    error
	}
	savedMsg    struct{ err error }
	exportedMsg struct {
		path string
		err  error
	}
	tickMsg   struct{}
	restMsg   int
	noticeMsg int
)

const (
	// tickEvery moves ages on, and finds runs whose writer died without a word.
	tickEvery = 5 * time.Second
	// restAfter is how long the cursor stays on a run before its predictions
	// are read: long enough to scroll past, short enough not to be noticed.
	restAfter = 120 * time.Millisecond
	noticeFor = 6 * time.Second
	// briefsAtOnce bounds how many runs are read at the same time, so that the
	// screen stays quick while a page of them is.
	briefsAtOnce = 4
	// mostBriefs bounds how many runs are kept in memory in detail.
	mostBriefs = 600
	// mostDetails bounds how many logs, evaluations and comparisons are kept.
	mostDetails = 100
	// extraChunk is how many configs one command reads for a filter.
	extraChunk = 200
)

// later sends a message after a while. A model without events stands still.
func (m *Model) later(d time.Duration, msg tea.Msg) tea.Cmd {
	if m.events == nil {
		return nil
	}
	ctx := m.ctx
	return func() tea.Msg {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return msg
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *Model) tick() tea.Cmd { return m.later(tickEvery, tickMsg{}) }

func (m *Model) list() tea.Cmd {
	src := m.src
	return func() tea.Msg {
		entries, err := src.List()
		return listMsg{entries, err}
	}
}

// wait waits for changes and takes all that are there.
func (m *Model) wait() tea.Cmd {
	events := m.events
	if events == nil {
		return nil
	}
	return func() tea.Msg {
		e, ok := <-events
		msg := eventsMsg{closed: !ok}
		for ok && len(msg.events) < 1000 {
			msg.events = append(msg.events, e)
			select {
			case e, ok = <-events:
				msg.closed = !ok
			default:
				return msg
			}
		}
		return msg
	}
}

// fetch starts to read what the screen shows and does not have yet. It is
// called after every message, so nothing has to remember to ask.
func (m *Model) fetch() tea.Cmd {
	var cmds []tea.Cmd
	if m.listing.done && m.listing.need() {
		m.listing.begin()
		cmds = append(cmds, m.list())
	}
	m.forget()
	m.table.height = m.tableRows()
	m.table.update(m.briefs, m.now)
	m.table.follow()
	switch h := m.histories[m.table.cursor]; {
	case m.at == viewLive:
		m.prepareLive()
	case m.at == viewRuns && h != nil:
		h.condense(source.Loss, source.Steps, 0)
	}
	cmds = append(cmds, m.fetchExtra(), m.fetchBatches())
	switch m.at {
	case viewRuns:
		cmds = append(cmds, m.fetchBrief(m.table.base)) // what changed is against it
		for _, r := range m.table.page() {
			cmds = append(cmds, m.fetchBrief(r.dir))
		}
		if m.rested {
			cmds = append(cmds, m.fetchEval(m.table.cursor))
			if m.previewCharts() {
				cmds = append(cmds, m.fetchHistory(m.table.cursor))
			}
			cmds = append(cmds, m.fetchPairs())
		}
	case viewTrain:
		cmds = append(cmds, m.fetchPlan())
		for _, s := range m.train.states {
			if !s.Ended() && s.Dir != "" {
				cmds = append(cmds, m.fetchBrief(filepath.Join(m.src.Root(), short(s.Dir))))
			}
		}
	case viewLive:
		cmds = append(cmds, m.fetchBrief(m.open), m.fetchHistory(m.open), m.fetchCourses(), m.fetchMeter())
		for _, dir := range m.overlaid() {
			cmds = append(cmds, m.fetchBrief(dir), m.fetchHistory(dir))
		}
	case viewSlices:
		cmds = append(cmds, m.fetchBrief(m.open), m.fetchEval(m.open), m.fetchPair(m.open, true), m.fetchCross())
	case viewHard:
		cmds = append(cmds, m.fetchHard(), m.fetchEval(m.open))
	case viewCompare:
		cmds = append(cmds, m.fetchCompare(), m.fetchCurves(), m.fetchInputs())
	case viewDecide:
		cmds = append(cmds, m.fetchBrief(m.open), m.fetchDecide(), m.fetchProof())
	}
	return tea.Batch(cmds...)
}

func (m *Model) fetchBrief(dir string) tea.Cmd {
	if m.table.find(dir) == nil {
		return nil
	}
	b := m.briefs[dir]
	if b == nil {
		b = &loaded[*source.Brief]{}
		m.briefs[dir] = b
	}
	busy := 0
	for _, b := range m.briefs {
		if b.busy {
			busy++
		}
	}
	if !b.need() || busy >= briefsAtOnce {
		return nil
	}
	b.begin()
	src := m.src
	return func() tea.Msg {
		brief, err := src.Brief(dir)
		return briefMsg{dir, brief, err}
	}
}

// forget makes room for the details of further runs.
func (m *Model) forget() {
	room(m.briefs, mostBriefs, func(dir string, b *loaded[*source.Brief]) bool { return b.busy || m.wanted(dir) })
	room(m.histories, mostDetails, func(dir string, h *history) bool { return h.busy || m.wanted(dir) })
	room(m.evals, mostDetails, func(dir string, e *loaded[*source.Evaluation]) bool { return e.busy || m.wanted(dir) })
	room(m.pairs, mostDetails, func(key pairKey, p *loaded[*core.CompareResult]) bool { return p.busy || m.wanted(key.run) })
}

// wanted says whether a run is on the screen, or will be with the next key.
func (m *Model) wanted(dir string) bool {
	return dir == m.open || dir == m.table.base || m.table.marked[dir] || m.table.inSight(dir)
}

// room takes what is not to be kept out of a full map.
func room[K comparable, V any](from map[K]V, most int, keep func(K, V) bool) {
	if len(from) < most {
		return
	}
	for k, v := range from {
		if !keep(k, v) {
			delete(from, k)
		}
	}
}

func (m *Model) fetchHistory(dir string) tea.Cmd {
	if m.table.find(dir) == nil {
		return nil
	}
	h := m.histories[dir]
	if h == nil {
		h = &history{}
		m.histories[dir] = h
	}
	if !h.need() {
		return nil
	}
	fresh, so := !h.done, h.lines
	h.begin()
	src := m.src
	return func() tea.Msg {
		stretch, err := src.Tail(dir, so, fresh)
		return tailMsg{dir, stretch, err}
	}
}

func (m *Model) fetchEval(dir string) tea.Cmd {
	if m.table.find(dir) == nil {
		return nil
	}
	e := m.evals[dir]
	if e == nil {
		e = &loaded[*source.Evaluation]{}
		m.evals[dir] = e
	}
	if !e.need() {
		return nil
	}
	e.begin()
	src := m.src
	return func() tea.Msg {
		eval, err := src.Evaluation(dir)
		return evalMsg{dir, eval, err}
	}
}

// fetchPairs compares the runs in sight with the baseline, one at a time: the
// selected one first.
func (m *Model) fetchPairs() tea.Cmd {
	if cmd := m.fetchPair(m.table.cursor, false); cmd != nil {
		return cmd
	}
	for _, r := range m.table.page() {
		if cmd := m.fetchPair(r.dir, false); cmd != nil {
			return cmd
		}
	}
	return nil
}

func (m *Model) fetchPair(dir string, sliced bool) tea.Cmd {
	key := pairKey{m.table.base, dir, sliced}
	r, base := m.table.find(dir), m.table.find(key.base)
	if r == nil || base == nil || r == base || !r.has || !base.has {
		return nil
	}
	for _, p := range m.pairs {
		if p.busy {
			return nil
		}
	}
	p := m.pairs[key]
	if p == nil {
		p = &loaded[*core.CompareResult]{}
		m.pairs[key] = p
	}
	if !p.need() {
		return nil
	}
	p.begin()
	ctx, src := m.ctx, m.src
	return func() tea.Msg {
		result, err := src.Pair(ctx, key.base, key.run, sliced)
		return pairMsg{key, result, err}
	}
}

// fetchExtra reads the config keys that a filter asks for.
func (m *Model) fetchExtra() tea.Cmd {
	dirs := m.table.unlearned(extraChunk)
	if len(dirs) == 0 {
		return nil
	}
	src, keys := m.src, slices.Clone(m.table.extraKeys)
	m.table.extraBusy = true
	return func() tea.Msg { return extraMsg{keys, src.ConfigValues(dirs, keys)} }
}

// save writes the settings.
func (m *Model) save() tea.Cmd {
	path, s := m.opt.SettingsPath, m.settings
	s.Sort, s.Reverse, s.Hidden = m.table.sort, m.table.reverse, slices.Sorted(maps.Keys(m.table.hidden))
	s.Columns = m.table.order()
	s.Configs = m.train.recent
	s.Base = map[string]string{m.root: ""}
	if m.table.base != "" {
		s.Base[m.root] = filepath.Base(m.table.base)
	}
	return func() tea.Msg { return savedMsg{source.WriteSettings(path, s)} }
}

// export writes the frame to a file; the end of its name says how.
func (m *Model) export(path string) tea.Cmd {
	if cmd, ok := m.exportData(path); ok {
		return cmd
	}
	canvas, theme := m.canvas(), m.theme
	return func() tea.Msg {
		out := canvas.Plain()
		if strings.EqualFold(filepath.Ext(path), ".svg") {
			out = canvas.SVG(theme)
		}
		return exportedMsg{path, atomicfile.WriteBytes(path, 0o644, []byte(out))}
	}
}

// copyText hands text to the terminal's clipboard, also over SSH.
func (m *Model) copyText(what, s string) tea.Cmd {
	const most = 70_000 // what terminals take
	if len(s) > most {
		return m.say(screen.Doubt, "too long for the clipboard: "+cmp.Or(what, "text"))
	}
	seq := osc52.New(s)
	switch {
	case os.Getenv("TMUX") != "":
		seq = seq.Tmux()
	case strings.HasPrefix(os.Getenv("TERM"), "screen"):
		seq = seq.Screen()
	}
	said := m.say(screen.Good, "✓ copied "+what)
	if m.events == nil {
		return said
	}
	return tea.Batch(said, func() tea.Msg {
		// Standard error is the terminal, and the screen is drawn on standard
		// output: the two do not cut into each other's sequences for long.
		_, _ = seq.WriteTo(os.Stderr)
		return nil
	})
}
