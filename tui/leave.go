package tui

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/jobs"
	"github.com/verifily/verifily-tui/tui/screen"
)

// leaving says how the workbench is being left while something of ours runs.
type leaving int

const (
	staying  leaving = iota
	stopping         // jobs save their checkpoints
	handing          // another process takes them over
)

// handedMsg tells what became of handing over.
type handedMsg struct {
	receipt jobs.Receipt
	err     error
}

// quit leaves, and asks first when something of ours is running.
func (m *Model) quit() tea.Cmd {
	n := m.atWork()
	switch {
	case n == 0:
		return tea.Quit
	case m.train.leaving != staying:
		m.showLeaving()
		return nil
	}
	m.choice = &choice{question: plural(n, "training goes on", "trainings go on") + ". How do you want to leave?",
		options: []option{
			{"h", "hand over: " + which(n, "it goes", "they go") + " on in the background, without a screen", (*Model).handOver},
			{"s", "stop: save a checkpoint, so that " + which(n, "it", "the one that trains") + " can be resumed", (*Model).stopAndLeave},
			{"c", "stay", func(m *Model) tea.Cmd { return nil }},
		}}
	return nil
}

// which chooses between one and many.
func which(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func (m *Model) stopAndLeave() tea.Cmd {
	m.train.leaving = stopping
	m.train.stopped = nil
	for _, s := range m.train.states {
		if !s.Ended() {
			m.train.stopped = append(m.train.stopped, s.ID)
		}
	}
	m.jobs.StopAll()
	m.train.states = m.jobs.States()
	if m.atWork() == 0 {
		return tea.Quit
	}
	m.showLeaving()
	return nil
}

func (m *Model) handOver() tea.Cmd {
	m.train.leaving = handing
	m.showLeaving()
	ctx, j, root, start := m.ctx, m.jobs, m.src.Root(), m.background()
	return func() tea.Msg {
		receipt, err := j.HandOver(ctx, root, start)
		return handedMsg{receipt, err}
	}
}

// background is what starts a plan in a process of its own.
func (m *Model) background() func(context.Context, string) error {
	if m.opt.Background != nil {
		return m.opt.Background
	}
	return jobs.Background
}

func (msg handedMsg) take(m *Model) tea.Cmd {
	m.train.states = m.jobs.States()
	if msg.err != nil {
		m.train.leaving, m.choice = staying, nil
		if m.atWork() == 0 {
			return tea.Quit // it ended in the meantime
		}
		return m.say(screen.Bad, "✗ nothing was handed over, the training goes on here: "+oneLine(msg.err))
	}
	m.farewell = m.sayHanded(msg.receipt)
	m.showLeaving()
	if m.atWork() == 0 {
		return tea.Quit
	}
	return nil
}

// sayHanded says where work went that was handed over.
func (m *Model) sayHanded(r jobs.Receipt) []string {
	dir := m.fromShell(r.Batch)
	return []string{
		fmt.Sprintf("%s in the background: %s", plural(r.Jobs, "training goes on", "trainings go on"), dir),
		"follow it:  verifily batch follow " + dir,
		"stop it:    verifily batch stop " + dir,
	}
}

// fromShell returns a path as it leads from the folder that the user's shell is
// in: as it is where that is the working directory, else relative where it is
// below, absolute where it is not.
func (m *Model) fromShell(path string) string {
	if m.opt.StartedIn == "" || filepath.IsAbs(path) {
		return path
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(m.opt.StartedIn, abs); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return abs
}

// showLeaving says what is waited for.
func (m *Model) showLeaving() {
	q := &choice{closed: func(m *Model) tea.Cmd {
		return m.say(screen.Dim, "the screen closes as soon as everything is saved")
	}}
	switch {
	case m.train.leaving == handing && m.farewell == nil:
		q.question = "handing over …"
		q.more = []string{"A process without a screen is started, and waits for the run. Until it is there, nothing stops here."}
	default:
		q.question = "saving a checkpoint of " + plural(m.atWork(), "training", "trainings") + " …"
		q.more = []string{"The screen closes when it is on disk."}
	}
	m.choice = q
}

// jobsChanged takes what became of the jobs of this process.
func (m *Model) jobsChanged(msg jobsMsg) tea.Cmd {
	failed := m.newlyFailed(msg.states)
	m.train.states = msg.states
	m.listing.stale = true
	m.arrive()
	if m.train.leaving != staying && m.atWork() == 0 && (m.train.leaving != handing || m.farewell != nil) {
		return tea.Quit
	}
	if m.choice != nil && m.train.leaving != staying {
		m.showLeaving()
	}
	if len(failed) > 0 {
		s := failed[len(failed)-1]
		return tea.Batch(m.waitJobs(), m.say(screen.Bad, "✗ "+jobTitle(&s)+" failed: "+clip(oneLine(s.Err), mostFailure)))
	}
	return m.waitJobs()
}

// parting ends the jobs of a screen that is closed and returns what is left to
// say. The work of a terminal that hung up is handed over: nobody could be
// asked.
func (m *Model) parting(ctx context.Context, hungUp bool) string {
	if hungUp && m.jobs.AtWork() {
		receipt, err := m.jobs.HandOver(ctx, m.src.Root(), m.background())
		if err == nil {
			m.farewell = m.sayHanded(receipt)
		}
	}
	before := m.jobs.States()
	m.jobs.Close()
	for i, s := range m.jobs.States() {
		if s.Phase == jobs.Stopped && s.Dir != "" && (!before[i].Ended() || slices.Contains(m.train.stopped, s.ID)) {
			m.farewell = append(m.farewell, "stopped with a checkpoint; go on with:  verifily train --resume "+m.fromShell(filepath.Join(m.src.Root(), short(s.Dir))))
		}
	}
	var b strings.Builder
	for _, l := range m.farewell {
		b.WriteString(text.Escape(l) + "\n")
	}
	return b.String()
}
