package tui

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/jobs"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// trainState is the form, the plan that follows from it, and what was started.
type trainState struct {
	loaded[*engine.Plan]
	path      string
	config    *config.Config // as last understood
	values    map[string]any // its values by key
	overrides []config.Override
	wrong     string // what is not right about the value being typed
	cursor    int
	version   int // counts changes of the form: a plan belongs to one of them
	states    []jobs.State
	told      []int // jobs whose failure was told
	leaving   leaving
	stopped   []int    // jobs that are stopped because the workbench is left
	awaited   int      // 1 more than the id of a training whose run is gone to, 0: none
	movedAt   int      // how often the cursor of the table had moved when it was started
	recent    []string // config files that were trained from, the last first
}

type (
	planMsg struct {
		version int
		config  *config.Config
		plan    *engine.Plan
		err     error
	}
	jobsMsg    struct{ states []jobs.State }
	configsMsg struct{ found []source.ConfigFile }
)

func trainKeys() []binding {
	return []binding{
		{[]string{"enter"}, "enter", "change the value", "change", (*Model).editField},
		{[]string{" "}, "space", "the next of the values that there are to choose from", "", (*Model).nextChoice},
		{[]string{"backspace"}, "⌫", "take the value of the file again", "undo", (*Model).resetField},
		{[]string{"R"}, "R", "start the training, or queue it behind those that wait", "start", (*Model).startTraining},
		{[]string{"c"}, "c", "another config: those found here, recent ones, that of the open run, any path", "config", (*Model).pickConfig},
		{[]string{"x"}, "x", "actions on what trains and waits here: pause, checkpoint, stop", "actions", (*Model).jobActions},
	}
}

// planned is what the form stands for.
func (m *Model) planned() jobs.Spec {
	return jobs.Spec{Config: m.train.path, Overrides: slices.Clone(m.train.overrides), RunsDir: m.src.Root()}
}

func (m *Model) fetchPlan() tea.Cmd {
	t := &m.train
	if !t.need() {
		return nil
	}
	t.begin()
	ctx, spec, version := m.ctx, m.planned(), t.version
	return func() tea.Msg {
		cfg, plan, err := jobs.Plan(ctx, spec)
		return planMsg{version, cfg, plan, err}
	}
}

func (m *Model) takePlan(msg planMsg) {
	t := &m.train
	t.busy = false
	if msg.config != nil {
		t.config, t.values = msg.config, flatten(msg.config)
	}
	if msg.version != t.version {
		t.stale = true
		return
	}
	t.set(msg.plan, msg.err)
}

// change makes the plan follow the form.
func (t *trainState) change() {
	t.version++
	t.stale = true
}

// value returns what the form shows for a field, and whether it was changed.
func (t *trainState) value(f *field) (string, bool) {
	for _, o := range t.overrides {
		if o.Key == f.key {
			return show(o.Value), true
		}
	}
	return show(t.values[f.key]), false
}

func (m *Model) moveTrain(by int) { m.train.cursor = max(0, min(len(fields)-1, m.train.cursor+by)) }

func (m *Model) editField() tea.Cmd {
	f := &fields[m.train.cursor]
	value, _ := m.train.value(f)
	m.train.wrong = ""
	m.entry = &entry{prompt: f.label, line: newLine(value),
		typed: func(m *Model, s string) { m.train.wrong = m.train.check(f, s) },
		wrong: func(m *Model) string { return m.train.wrong },
		done: func(m *Model, s string) tea.Cmd {
			if strings.TrimSpace(s) != value { // the same is no change
				m.train.override(f.key, f.read(s))
			}
			return nil
		}}
	return nil
}

// check says what is not right about a value that is being typed, as far as the
// config tells without looking at files.
func (t *trainState) check(f *field, s string) string {
	if t.config == nil {
		return "" // the file itself is not understood
	}
	overrides := slices.DeleteFunc(slices.Clone(t.overrides), func(o config.Override) bool { return o.Key == f.key })
	_, err := config.FromMap(t.config.Map(), append(overrides, config.Override{Key: f.key, Value: f.read(s)})...)
	var wrong *core.ConfigError
	if !errors.As(err, &wrong) {
		return ""
	}
	for _, p := range wrong.Problems {
		if p.Key == f.key {
			return strings.TrimSuffix(p.Reason+"; "+p.Hint, "; ")
		}
	}
	return ""
}

func (m *Model) nextChoice() tea.Cmd {
	f := &fields[m.train.cursor]
	if len(f.choices) == 0 {
		return m.editField()
	}
	value, _ := m.train.value(f)
	m.train.override(f.key, f.read(f.next(value)))
	return nil
}

func (t *trainState) override(key string, value any) {
	t.overrides = slices.DeleteFunc(t.overrides, func(o config.Override) bool { return o.Key == key })
	t.overrides = append(t.overrides, config.Override{Key: key, Value: value})
	t.change()
}

func (m *Model) resetField() tea.Cmd {
	key := fields[m.train.cursor].key
	m.train.overrides = slices.DeleteFunc(m.train.overrides, func(o config.Override) bool { return o.Key == key })
	m.train.change()
	return nil
}

// pickConfig looks for config files and lets one be picked.
func (m *Model) pickConfig() tea.Cmd {
	m.palette = m.configPalette(nil)
	ctx, root := m.ctx, m.src.Root()
	return func() tea.Msg { return configsMsg{source.FindConfigs(ctx, ".", root)} }
}

func (msg configsMsg) take(m *Model) tea.Cmd {
	if m.palette != nil && m.palette.other != nil {
		p := m.configPalette(msg.found)
		p.line = m.palette.line
		p.search()
		m.palette = p
	}
	return nil
}

// configPalette lists config files: those used before, those that were found,
// that of the open run.
func (m *Model) configPalette(found []source.ConfigFile) *palette {
	p := &palette{other: func(m *Model, path string) tea.Cmd { return m.useConfig(path) },
		empty: "enter opens the file of this path"}
	seen := map[string]bool{}
	add := func(path, note string) {
		if !seen[path] {
			seen[path] = true
			p.all = append(p.all, binding{help: path, show: note, do: func(m *Model) tea.Cmd { return m.useConfig(path) }})
		}
	}
	for _, path := range m.train.recent {
		add(path, "recent")
	}
	for _, f := range found {
		add(f.Path, ago(m.now.Sub(f.Modified)))
	}
	if r := m.table.find(m.open); r != nil && r.e.Kind == runs.KindRun {
		add(filepath.Join(r.dir, "config.yaml"), "open run")
	}
	p.search()
	return p
}

func (m *Model) useConfig(path string) tea.Cmd {
	if path = strings.TrimSpace(path); path == "" {
		return nil
	}
	t := &m.train
	t.path, t.overrides, t.config, t.values = path, nil, nil, nil
	t.change()
	return nil
}

// mostRecent is how many config files are remembered.
const mostRecent = 8

// remember puts the config file in front of those that were used.
func (t *trainState) remember() {
	t.recent = slices.DeleteFunc(slices.Clone(t.recent), func(s string) bool { return s == t.path })
	t.recent = append([]string{t.path}, t.recent[:min(len(t.recent), mostRecent-1)]...)
}

func (m *Model) startTraining() tea.Cmd {
	t := &m.train
	switch {
	case t.leaving != staying:
		return m.say(screen.Doubt, "the screen is about to close")
	case t.busy || t.stale:
		return m.say(screen.Doubt, "the plan is still being made")
	case t.err != nil || t.loaded.value == nil:
		return m.say(screen.Bad, "✗ this cannot be trained yet: see beside the form")
	}
	name, _ := t.value(&fields[0])
	waiting := m.atWork()
	id := m.jobs.Start(m.planned(), name)
	if waiting == 0 {
		m.await(id)
	}
	t.states = m.jobs.States()
	t.remember()
	words := "✓ started: 3 shows its curves as soon as there is a run, x steers it"
	if waiting > 0 {
		words = fmt.Sprintf("✓ queued behind %s", plural(waiting, "training", "trainings"))
	}
	return tea.Batch(m.save(), m.say(screen.Good, words))
}

// mine returns the job of this process that writes a run, nil where another
// process does.
func (m *Model) mine(dir string) *jobs.State {
	for i := range m.train.states {
		s := &m.train.states[i]
		if s.Dir != "" && short(s.Dir) == short(dir) && !s.Ended() {
			return s
		}
	}
	return nil
}

// atWork counts the jobs of this process that have not ended.
func (m *Model) atWork() int {
	n := 0
	for _, s := range m.train.states {
		n += truth(!s.Ended())
	}
	return n
}

// newlyFailed returns the jobs whose failure was not told yet, and takes them for
// told. A job may have failed before its state was first looked at.
func (m *Model) newlyFailed(now []jobs.State) (failed []jobs.State) {
	for _, s := range now {
		if s.Phase == jobs.Failed && !slices.Contains(m.train.told, s.ID) {
			failed = append(failed, s)
			m.train.told = append(m.train.told, s.ID)
		}
	}
	return failed
}

// await goes to the run of a training once it is listed.
func (m *Model) await(id int) { m.train.awaited, m.train.movedAt = id+1, m.moved }

// arrive goes to the run that is awaited, where it is there, unless the user has
// gone to another run meanwhile.
func (m *Model) arrive() {
	t := &m.train
	id := t.awaited - 1
	if id < 0 || id >= len(t.states) || t.states[id].Dir == "" {
		return
	}
	r := m.table.find(filepath.Join(m.src.Root(), short(t.states[id].Dir)))
	if r == nil {
		return // it is listed next
	}
	t.awaited = 0
	if m.moved == t.movedAt && (m.at == viewTrain || m.at == viewLive || m.at == viewRuns) {
		m.open, m.table.cursor = r.dir, r.dir
		m.table.dirty = true
	}
}

// waitJobs waits for a change of a job.
func (m *Model) waitJobs() tea.Cmd {
	if m.jobs == nil || m.events == nil {
		return nil
	}
	ctx, j := m.ctx, m.jobs
	return func() tea.Msg {
		select {
		case <-j.Changed():
			return jobsMsg{j.States()}
		case <-ctx.Done():
			return nil
		}
	}
}
