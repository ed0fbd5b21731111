package tui

import (
	"strings"

	"github.com/charmbracelet/bubbles/key"
	"github.com/charmbracelet/bubbles/viewport"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
)

// viewID names a view.
type viewID int

const (
	viewRuns viewID = iota
	viewTrain
	viewLive
	viewSlices
	viewHard
	viewCompare
	viewDecide
	views
	// viewBatch is reached by its key alone: there is no room for its tab.
	viewBatch = views
)

// binding ties keys to what they do: a key.Binding of bubbles, by its parts. The
// one table feeds dispatch, the last line, the help and the palette, so they
// cannot drift apart.
type binding struct {
	keys []string
	show string // how the keys are written
	help string
	word string // for the last line, where keys of the same word stand together; empty: only in the help
	do   func(*Model) tea.Cmd
}

// bound returns the keys and their help as bubbles knows them.
func (b *binding) bound() key.Binding {
	return key.NewBinding(key.WithKeys(b.keys...), key.WithHelp(b.show, b.help))
}

// view is a screen of its own.
type view struct {
	key, name string
	about     string // for the help
	bindings  []binding
	// subject says what is looked at: on the left, and more of it on the right.
	subject func(*Model) (left, right string)
	draw    func(*Model, *screen.Canvas, plot.Rect)
}

func makeViews() []view {
	return []view{
		viewRuns:    {"1", "Runs", "every run in the folder", runsKeys(), (*Model).runsSubject, (*Model).drawRuns},
		viewTrain:   {"2", "Train", "a training, from a config file and changes to it", trainKeys(), (*Model).trainSubject, (*Model).drawTrain},
		viewLive:    {"3", "Live", "the curves of a run while it trains, and after", liveKeys(), (*Model).liveSubject, (*Model).drawLive},
		viewSlices:  {"4", "Slices", "how a run does on parts of the test data", slicesKeys(), (*Model).slicesSubject, (*Model).drawSlices},
		viewHard:    {"5", "Hard", "the hardest examples, read one by one", hardKeys(), (*Model).hardSubject, (*Model).drawHard},
		viewCompare: {"6", "Compare", "runs side by side, and which differences are real", compareKeys(), (*Model).compareSubject, (*Model).drawCompare},
		viewDecide:  {"7", "Decide", "the gates between a run and its use, and the verdict", decideKeys(), (*Model).decideSubject, (*Model).drawDecide},
		viewBatch:   {"B", "Batch", "the jobs of plans, whoever runs them", batchKeys(), (*Model).batchSubject, (*Model).drawBatch},
	}
}

// globals are the keys that mean the same everywhere.
func (m *Model) globals() []binding {
	out := make([]binding, 0, 20)
	for i := range m.views {
		id := viewID(i)
		if id == viewBatch {
			continue
		}
		out = append(out, binding{[]string{m.views[i].key}, m.views[i].key, m.views[i].name + ": " + m.views[i].about, "", func(m *Model) tea.Cmd { return m.show(id) }})
	}
	return append(out,
		binding{[]string{"tab"}, "tab", "next view", "", func(m *Model) tea.Cmd { return m.show((m.at + 1) % views) }},
		binding{[]string{"shift+tab"}, "shift+tab", "previous view", "", func(m *Model) tea.Cmd { return m.show((m.at + views - 1) % views) }},
		binding{[]string{"esc"}, "esc", "back: leave the filter, the view", "", (*Model).escape},
		binding{[]string{"up", "k"}, "↑ k", "up", "", func(m *Model) tea.Cmd { return m.move(-1) }},
		binding{[]string{"down", "j"}, "↓ j", "down", "", func(m *Model) tea.Cmd { return m.move(1) }},
		binding{[]string{"pgup", "ctrl+b"}, "pgup", "a page up", "", func(m *Model) tea.Cmd { return m.move(-m.pageSize()) }},
		binding{[]string{"pgdown", "ctrl+f"}, "pgdn", "a page down", "", func(m *Model) tea.Cmd { return m.move(m.pageSize()) }},
		binding{[]string{"home", "g"}, "g", "to the first", "", func(m *Model) tea.Cmd { return m.move(-far) }},
		binding{[]string{"end", "G"}, "G", "to the last", "", func(m *Model) tea.Cmd { return m.move(far) }},
		binding{[]string{":", "ctrl+p"}, ":", "palette: every action by name", "", (*Model).openPalette},
		binding{[]string{"B"}, "B", "Batch: the jobs of plans, whoever runs them", "", func(m *Model) tea.Cmd { return m.show(viewBatch) }},
		binding{[]string{"t"}, "t", "train", "", func(m *Model) tea.Cmd { return m.show(viewTrain) }},
		binding{[]string{"r"}, "r", "read everything again", "", (*Model).refresh},
		binding{[]string{"e"}, "e", "export: frame to .txt or .svg, data to .jsonl .csv .json .md", "", (*Model).askExport},
		binding{[]string{"y"}, "y", "copy the path of the run, or an error that is shown", "", (*Model).copyPath},
		binding{[]string{"T"}, "T", "theme: light or dark", "", (*Model).switchTheme},
		binding{[]string{"?"}, "?", "help", "help", (*Model).openHelp},
		binding{[]string{"q", "ctrl+c"}, "q", "quit; asks when a training of this screen goes on", "", (*Model).quit},
	)
}

// far is further than any list is long.
const far = 1 << 30

// press finds what a key does: first what is open on top, then the view, then
// what holds everywhere.
func (m *Model) press(k tea.KeyMsg) tea.Cmd {
	if k.Type == tea.KeyRunes && len(k.Runes) > 1 && !k.Paste {
		// Keys that arrive at once, as over a slow line, come as one message.
		var cmds []tea.Cmd
		for _, r := range k.Runes {
			cmds = append(cmds, m.press(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}, Alt: k.Alt}))
		}
		return tea.Batch(cmds...)
	}
	name := k.String()
	switch {
	case name == "ctrl+c" && m.choice != nil && m.atWork() > 0:
		return tea.Quit // asked twice: checkpoints are saved after the screen
	case name == "ctrl+c":
		return m.quit()
	case m.entry != nil:
		return m.pressEntry(k)
	case m.choice != nil:
		return m.pressChoice(name)
	case m.palette != nil:
		return m.pressPalette(k)
	case m.chooser != nil:
		return m.pressColumns(name)
	case m.help:
		return m.pressHelp(k)
	}
	if m.at == viewHard && m.hard.labelling {
		return m.pressLabel(name)
	}
	for _, list := range [][]binding{m.views[m.at].bindings, m.globals()} {
		for i := range list {
			if key.Matches(k, list[i].bound()) {
				return list[i].do(m)
			}
		}
	}
	return nil
}

// show goes to a view.
func (m *Model) show(id viewID) tea.Cmd {
	if id == m.at {
		return nil
	}
	if m.at == viewRuns && m.table.cursor != "" {
		m.open = m.table.cursor
	}
	if id != viewRuns && m.open == "" {
		m.open = m.table.cursor
	}
	if id == viewRuns {
		m.back = nil
	} else {
		m.back = append(m.back[max(0, len(m.back)-8):], m.at)
	}
	m.at = id
	m.notice.words = ""
	return nil
}

// escape goes one step back.
func (m *Model) escape() tea.Cmd {
	switch {
	case m.notice.words != "" && m.notice.style != screen.Good:
		m.notice.words = ""
	case m.at == viewRuns && m.table.filter != "":
		m.table.setFilter("")
	case m.leave():
	case len(m.back) > 0:
		m.at = m.back[len(m.back)-1]
		m.back = m.back[:len(m.back)-1]
	case m.at != viewRuns:
		m.at = viewRuns
	}
	return nil
}

// move moves the cursor of the view.
func (m *Model) move(by int) tea.Cmd {
	switch m.at {
	case viewRuns:
		m.table.move(by)
		return m.rest()
	case viewTrain:
		m.moveTrain(by)
	case viewLive:
		m.moveLive(by)
	case viewSlices:
		m.moveSlices(by)
	case viewHard:
		m.moveHard(by)
	case viewCompare:
		m.moveCompare(by)
	case viewDecide:
		m.moveDecide(by)
	case viewBatch:
		m.moveBatch(by)
	}
	return nil
}

// rest waits until the cursor has come to rest.
func (m *Model) rest() tea.Cmd {
	m.moved++
	m.rested = m.events == nil
	return m.later(restAfter, restMsg(m.moved))
}

func (m *Model) pageSize() int { return max(1, m.height-8) }

func (m *Model) refresh() tea.Cmd {
	m.listing.stale = true
	for dir := range m.briefs {
		m.outdate(dir)
	}
	for dir, h := range m.histories {
		h.done, h.stale = false, true
		m.hard.outdate(dir)
		m.compare.outdate(dir)
		m.decide.outdate(dir)
	}
	return m.say(screen.Dim, "reading everything again")
}

func (m *Model) copyPath() tea.Cmd {
	if m.notice.words != "" && m.notice.style == screen.Bad {
		return m.copyText("the error", m.notice.words)
	}
	dir := m.open
	if m.at == viewRuns {
		dir = m.table.cursor
	}
	if dir == "" {
		return m.say(screen.Doubt, "there is no run to copy the path of")
	}
	return m.copyText(text.Line(dir, 60), m.fromShell(dir))
}

func (m *Model) switchTheme() tea.Cmd {
	m.theme.Light = !m.theme.Light
	m.settings.Theme = map[bool]string{true: "light", false: "dark"}[m.theme.Light]
	return tea.Batch(m.save(), m.say(screen.Dim, m.settings.Theme+" theme"))
}

func (m *Model) openHelp() tea.Cmd {
	m.help, m.pane = true, viewport.New(m.width, m.helpHeight())
	m.fillHelp()
	return nil
}

// fillHelp tells the pane how much there is to scroll.
func (m *Model) fillHelp() {
	if m.help {
		m.pane.SetContent(strings.Repeat("\n", max(0, len(m.helpLines())-1)))
		m.pane.SetYOffset(m.pane.YOffset)
	}
}

// pressHelp scrolls the help; any other key closes it.
func (m *Model) pressHelp(k tea.KeyMsg) tea.Cmd {
	scroll := &m.pane.KeyMap
	if !key.Matches(k, scroll.Up, scroll.Down, scroll.PageUp, scroll.PageDown, scroll.HalfPageUp, scroll.HalfPageDown) {
		m.help = false
		return nil
	}
	m.pane, _ = m.pane.Update(k)
	return nil
}

// entry is a question in the last line, answered by typing.
type entry struct {
	prompt string
	line   line
	// typed is told every change, done the answer; cancel takes changes back.
	typed  func(*Model, string)
	done   func(*Model, string) tea.Cmd
	cancel func(*Model)
	// wrong says what is not right about what was typed so far.
	wrong func(*Model) string
}

func (m *Model) pressEntry(k tea.KeyMsg) tea.Cmd {
	e := m.entry
	switch k.String() {
	case "enter":
		m.entry = nil
		return e.done(m, e.line.String())
	case "esc":
		m.entry = nil
		if e.cancel != nil {
			e.cancel(m)
		}
	default:
		if e.line.key(k) && e.typed != nil {
			e.typed(m, e.line.String())
		}
	}
	return nil
}

func (m *Model) askExport() tea.Cmd {
	name := "verifily-" + strings.ToLower(m.views[m.at].name) + m.exportEnd()
	m.entry = &entry{prompt: "export to", line: newLine(name), done: func(m *Model, path string) tea.Cmd {
		if path = strings.TrimSpace(path); path == "" {
			return m.say(screen.Doubt, "no file was named: nothing is exported")
		}
		return m.export(path)
	}}
	return nil
}

// mouse scrolls by the wheel and picks by a click.
func (m *Model) mouse(msg tea.MouseMsg) tea.Cmd {
	if m.help {
		m.pane, _ = m.pane.Update(msg)
		return nil
	}
	switch {
	case m.entry != nil || m.palette != nil || m.choice != nil:
		return nil
	case m.at == viewLive && m.liveMouse(msg):
		return nil
	case msg.Action != tea.MouseActionPress:
		return nil
	}
	switch msg.Button {
	case tea.MouseButtonWheelUp:
		return m.move(-3)
	case tea.MouseButtonWheelDown:
		return m.move(3)
	case tea.MouseButtonLeft:
		if msg.Y == 0 {
			for _, t := range m.tabs() {
				if msg.X >= t.x && msg.X < t.x+text.Width(t.words) {
					return m.show(t.view)
				}
			}
		}
		if m.at == viewRuns && m.table.click(msg.Y-m.tableTop()) {
			return m.rest()
		}
	}
	return nil
}
