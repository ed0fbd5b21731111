package tui

import (
	"cmp"
	"context"
	"path/filepath"
	"time"

	"github.com/charmbracelet/bubbles/viewport"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/jobs"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// loaded is something read in the background: what is shown while it is read
// again is what was there before.
type loaded[T any] struct {
	value T
	err   error
	done  bool // value or err is there
	busy  bool // a command is under way
	stale bool // the files have changed since
}

// need says whether it must be read now.
func (l *loaded[T]) need() bool { return !l.busy && (!l.done || l.stale) }

// begin marks that reading has begun.
func (l *loaded[T]) begin() { l.busy, l.stale = true, false }

// set takes what was read. An error while there is a value is a file that is
// just being replaced, or gone: the error wins.
func (l *loaded[T]) set(v T, err error) {
	l.value, l.err, l.done, l.busy = v, err, true, false
}

// Model is the state of the workbench.
type Model struct {
	ctx      context.Context
	src      *source.Source
	opt      Options
	events   <-chan runs.Event // nil: nothing changes while we look
	settings source.Settings
	root     string // what the settings know the folder of runs by

	width, height int
	clock         func() time.Time
	now           time.Time
	theme         screen.Theme
	views         []view
	at            viewID
	back          []viewID // where esc leads
	help          bool
	pane          viewport.Model // how far the help is scrolled
	palette       *palette
	chooser       *chooser // the columns being chosen
	entry         *entry   // a line being typed, in place of the keys
	choice        *choice  // a question over the view
	farewell      []string // what to say on the terminal once the screen is closed
	notice        notice

	listing loaded[[]runs.Entry]
	table   table
	open    string // folder of the run that views 3 to 7 show
	rested  bool   // the cursor has rested: costly things may be read
	moved   int    // counts movements, so that only the last timer counts

	briefs    map[string]*loaded[*source.Brief]
	histories map[string]*history
	evals     map[string]*loaded[*source.Evaluation]
	pairs     map[pairKey]*loaded[*core.CompareResult]

	live    liveState
	slices  slicesState
	hard    hardState
	compare compareState
	decide  decideState
	train   trainState
	batches batchState
	jobs    *jobs.Jobs
}

// pairKey names a run held against a baseline, as a whole for the table or slice
// by slice.
type pairKey struct {
	base, run string
	sliced    bool
}

// notice is a line about what just happened.
type notice struct {
	words string
	style screen.Style
	n     int // counts notices, so that a timer takes away its own only
}

// answer is the result of a command that knows itself where it belongs.
type answer interface {
	take(*Model) tea.Cmd
}

// New returns the workbench over a source. events may be nil.
func New(ctx context.Context, opt Options, src *source.Source, events <-chan runs.Event) *Model {
	m := &Model{ctx: ctx, src: src, opt: opt, events: events, width: 80, height: 24, clock: time.Now, now: time.Now(), rested: true,
		briefs: map[string]*loaded[*source.Brief]{}, histories: map[string]*history{},
		evals: map[string]*loaded[*source.Evaluation]{}, pairs: map[pairKey]*loaded[*core.CompareResult]{}}
	m.root = src.Root()
	if abs, err := filepath.Abs(m.root); err == nil {
		m.root = abs
	}
	m.table = newTable()
	m.live = newLive()
	m.hard = newHard()
	m.views = makeViews()
	m.train.path = cmp.Or(opt.ConfigPath, "train.yaml")
	m.jobs = jobs.New(ctx)
	return m
}

// restore takes over the settings.
func (m *Model) restore(s source.Settings) {
	m.settings = s
	switch s.Theme {
	case "light":
		m.theme.Light = true
	case "dark":
		m.theme.Light = false
	}
	m.table.restore(s)
	m.train.recent = s.Configs
	if name := s.Base[m.root]; name != "" {
		m.table.base = filepath.Join(m.src.Root(), name)
	}
}

// Init reads the list of runs and waits for changes.
func (m *Model) Init() tea.Cmd {
	m.listing.begin()
	return tea.Batch(m.list(), m.wait(), m.waitJobs(), m.tick())
}

// Update takes a message. It does no I/O.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m.now = m.clock()
	cmd := m.take(msg)
	return m, tea.Batch(cmd, m.fetch())
}

func (m *Model) take(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.pane.Width, m.pane.Height = m.width, m.helpHeight()
		m.fillHelp()
		m.pane.SetYOffset(m.pane.YOffset)
	case tea.KeyMsg:
		return m.press(msg)
	case tea.MouseMsg:
		return m.mouse(msg)
	case listMsg:
		m.listed(msg)
	case eventsMsg:
		return m.changed(msg)
	case tickMsg:
		if m.anyRunning() {
			m.listing.stale = true
		}
		m.batches.stale = true
		return m.tick()
	case restMsg:
		m.rested = m.rested || int(msg) == m.moved
	case noticeMsg:
		if int(msg) == m.notice.n && m.notice.style != screen.Bad {
			m.notice.words = ""
		}
	case briefMsg:
		m.briefs[msg.dir].set(msg.brief, msg.err)
		m.table.dirty = m.table.dirty || m.table.sortsBy(m.briefs)
	case extraMsg:
		m.table.learn(msg)
	case tailMsg:
		m.logged(msg)
	case evalMsg:
		m.evals[msg.dir].set(msg.eval, msg.err)
	case pairMsg:
		m.pairs[msg.key].set(msg.result, msg.err)
	case hardMsg:
		m.hard.set(msg)
	case planMsg:
		m.takePlan(msg)
	case jobsMsg:
		return m.jobsChanged(msg)
	case decideMsg:
		return m.decided(msg)
	case reviewedMsg:
		return m.reviewed(msg)
	case answer:
		return msg.take(m)
	case savedMsg:
		if msg.err != nil {
			return m.say(screen.Bad, "the settings could not be saved: "+msg.err.Error())
		}
	case exportedMsg:
		if msg.err != nil {
			return m.say(screen.Bad, msg.err.Error())
		}
		return m.say(screen.Good, "✓ written to "+msg.path)
	}
	return nil
}

// listed takes a new list of runs over.
func (m *Model) listed(msg listMsg) {
	if msg.err != nil && m.listing.done && m.listing.err == nil {
		m.listing.set(m.listing.value, msg.err)
		return
	}
	m.listing.set(msg.entries, msg.err)
	for _, r := range m.table.take(msg.entries) {
		m.outdate(r)
	}
	if m.open == "" { // a run that is gone stays open: another is not what was looked at
		m.open = m.table.cursor
	}
	m.arrive()
}

// outdate marks what was read of a run as old.
func (m *Model) outdate(dir string) {
	if b := m.briefs[dir]; b != nil {
		b.stale = true
	}
	if e := m.evals[dir]; e != nil {
		e.stale = true
	}
	for key, p := range m.pairs {
		if key.base == dir || key.run == dir {
			p.stale = true
		}
	}
}

// changed takes what the watcher saw.
func (m *Model) changed(msg eventsMsg) tea.Cmd {
	for _, e := range msg.events {
		if e.Kind != runs.RunChanged {
			// The files of a run that appeared count too: it may have been listed,
			// and read, before the watcher told of it.
			m.listing.stale = true
		}
		for _, file := range e.Files {
			switch {
			case file == "run_meta.json":
				m.listing.stale = true
			case file == "train_log.jsonl" || filepath.Base(file) == "trainer_state.json":
				if h := m.histories[e.Dir]; h != nil {
					h.stale = true
				}
				if b := m.briefs[e.Dir]; b != nil {
					b.stale = true
				}
			case filepath.Dir(file) == "eval" || filepath.Dir(file) == "decision":
				m.outdate(e.Dir)
				m.compare.outdate(e.Dir)
			}
			m.outdateEvidence(e.Dir, file)
		}
	}
	if msg.closed {
		m.events = nil
		return nil
	}
	return m.wait()
}

func (m *Model) anyRunning() bool {
	for i := range m.listing.value {
		if m.listing.value[i].Status == runs.StatusRunning {
			return true
		}
	}
	return false
}

// say shows a line about what happened for a while, an error until it is closed.
func (m *Model) say(style screen.Style, words string) tea.Cmd {
	m.notice = notice{words: words, style: style, n: m.notice.n + 1}
	return m.later(noticeFor, noticeMsg(m.notice.n))
}

// run returns the open run, nil where there is none.
func (m *Model) run() *row { return m.table.find(m.open) }
