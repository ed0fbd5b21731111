package tui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/tui/jobs"
	"github.com/verifily/verifily-tui/tui/screen"
)

// field is a line of the form: a key of the config.
type field struct {
	key, label string
	value      func(*config.Config) string
}

func optional(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// fields are the keys that runs differ in most often; the file has the others.
var fields = []field{
	{"name", "name", func(c *config.Config) string { return optional(c.Name) }},
	{"task", "task", func(c *config.Config) string { return c.Task }},
	{"base_model", "base model", func(c *config.Config) string { return c.BaseModel }},
	{"data_paths.train", "train data", func(c *config.Config) string { return optional(c.DataPaths.Train) }},
	{"data_paths.val", "validation", func(c *config.Config) string { return optional(c.DataPaths.Val) }},
	{"data_paths.test", "test data", func(c *config.Config) string { return optional(c.DataPaths.Test) }},
	{"training.num_epochs", "epochs", func(c *config.Config) string { return strconv.Itoa(c.Training.NumEpochs) }},
	{"training.batch_size", "batch size", func(c *config.Config) string { return strconv.Itoa(c.Training.BatchSize) }},
	{"training.learning_rate", "learning rate", func(c *config.Config) string { return fmt.Sprint(c.Training.LearningRate) }},
	{"training.lr_scheduler", "schedule", func(c *config.Config) string { return c.Training.LRScheduler }},
	{"training.max_seq_length", "max tokens", func(c *config.Config) string { return strconv.Itoa(c.Training.MaxSeqLength) }},
	{"lora.enabled", "lora", func(c *config.Config) string { return strconv.FormatBool(c.LoRA.Enabled) }},
	{"lora.r", "lora rank", func(c *config.Config) string { return strconv.Itoa(c.LoRA.R) }},
	{"seed", "seed", func(c *config.Config) string { return strconv.FormatInt(c.Seed, 10) }},
}

// trainState is the form, the plan that follows from it, and what was started.
type trainState struct {
	loaded[*engine.Plan]
	path      string
	config    *config.Config // as last understood
	overrides []config.Override
	cursor    int
	version   int // counts changes of the form: a plan belongs to one of them
	states    []jobs.State
}

type (
	planMsg struct {
		version int
		config  *config.Config
		plan    *engine.Plan
		err     error
	}
	jobsMsg struct{ states []jobs.State }
)

func trainKeys() []binding {
	return []binding{
		{[]string{"enter"}, "enter", "change the value", "change", (*Model).editField},
		{[]string{"backspace"}, "⌫", "take the value of the file again", "undo", (*Model).resetField},
		{[]string{"R"}, "R", "start the training", "start", (*Model).startTraining},
		{[]string{"c"}, "c", "another config file", "config file", (*Model).askConfig},
		{[]string{"x"}, "x", "actions on what is training", "actions", (*Model).jobActions},
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
		t.config = msg.config
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
			if o.Value == nil {
				return "", true
			}
			return fmt.Sprint(o.Value), true
		}
	}
	if t.config == nil {
		return "", false
	}
	return f.value(t.config), false
}

func (m *Model) editField() tea.Cmd {
	f := &fields[m.train.cursor]
	value, _ := m.train.value(f)
	m.entry = &entry{prompt: f.label, line: newLine(value), done: func(m *Model, s string) tea.Cmd {
		m.train.override(f.key, typed(s))
		return nil
	}}
	return nil
}

// typed gives what was typed the type that a YAML file would.
func typed(s string) any {
	s = strings.TrimSpace(s)
	if s == "" || s == "null" {
		return nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return f
	}
	if b, err := strconv.ParseBool(s); err == nil && len(s) > 1 {
		return b
	}
	return s
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

func (m *Model) askConfig() tea.Cmd {
	m.entry = &entry{prompt: "config file", line: newLine(m.train.path), done: func(m *Model, s string) tea.Cmd {
		m.train.path, m.train.overrides, m.train.config = strings.TrimSpace(s), nil, nil
		m.train.change()
		return nil
	}}
	return nil
}

func (m *Model) startTraining() tea.Cmd {
	t := &m.train
	switch {
	case t.busy || t.stale:
		return m.say(screen.Doubt, "the plan is still being made")
	case t.err != nil || t.loaded.value == nil:
		return m.say(screen.Bad, "✗ this cannot be trained yet: see beside the form")
	}
	name, _ := t.value(&fields[0])
	m.jobs.Start(m.planned(), name)
	return m.say(screen.Good, "✓ started: the run appears in the table, 3 shows its curves, x steers it")
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

// jobActions lists what can be done with the jobs of this process.
func (m *Model) jobActions() tea.Cmd {
	p := &palette{}
	act := func(words, name string, do func(int), id int) {
		p.all = append(p.all, binding{help: words + " " + name, do: func(*Model) tea.Cmd {
			do(id)
			return nil
		}})
	}
	for _, s := range m.train.states {
		name := clip(s.Name, mostName)
		if name == "" {
			name = fmt.Sprintf("job %d", s.ID+1)
		}
		switch s.Phase {
		case jobs.Training:
			act("pause", name, m.jobs.Pause, s.ID)
			act("write a checkpoint of", name, m.jobs.Checkpoint, s.ID)
		case jobs.Paused:
			act("resume", name, m.jobs.Resume, s.ID)
		}
		if !s.Ended() && s.Phase != jobs.Stopping {
			act("stop", name, m.jobs.Stop, s.ID)
		}
	}
	if len(p.all) == 0 {
		return m.say(screen.Dim, "nothing is training here: runs of other processes are steered where they were started")
	}
	p.search()
	m.palette = p
	return nil
}

// quit leaves, and asks first when something of ours is running.
func (m *Model) quit() tea.Cmd {
	n := m.atWork()
	if n == 0 {
		return tea.Quit
	}
	m.entry = &entry{prompt: plural(n, "training goes on", "trainings go on") + ". stop with a checkpoint and leave? type yes:",
		done: func(m *Model, answer string) tea.Cmd {
			if strings.TrimSpace(strings.ToLower(answer)) == "yes" {
				return tea.Quit
			}
			return m.say(screen.Dim, "still here")
		}}
	return nil
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
