package tui

import (
	"fmt"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/jobs"
	"github.com/verifily/verifily-tui/tui/screen"
)

// jobActions asks what to do with the run that is looked at; in the form of a
// training, with any of the jobs of this process.
func (m *Model) jobActions() tea.Cmd {
	switch m.at {
	case viewTrain:
		return m.queueActions()
	case viewRuns:
		return m.runActions(m.table.find(m.table.cursor))
	}
	return m.runActions(m.run())
}

// steer is an option that tells something to a job.
func (m *Model) steer(key, words string, do func(int), id int) option {
	return option{key, words, func(m *Model) tea.Cmd {
		do(id)
		m.train.states = m.jobs.States()
		return nil
	}}
}

// stepsOf lists what can be done with a job of this process.
func (m *Model) stepsOf(s *jobs.State) []option {
	var out []option
	switch s.Phase {
	case jobs.Training:
		out = append(out, m.steer("p", "pause before the next step", m.jobs.Pause, s.ID),
			m.steer("c", "write a checkpoint now", m.jobs.Checkpoint, s.ID))
	case jobs.Paused:
		out = append(out, m.steer("g", "go on", m.jobs.Resume, s.ID))
	}
	if !s.Ended() && s.Phase != jobs.Stopping {
		words := "stop: save a checkpoint and end; it can be resumed"
		if s.Phase == jobs.Waiting {
			words = "take it out of the queue"
		}
		out = append(out, m.steer("s", words, m.jobs.Stop, s.ID))
	}
	return out
}

// queueActions lists what can be done with the jobs of this process.
func (m *Model) queueActions() tea.Cmd {
	p := &palette{}
	for i := range m.train.states {
		s := &m.train.states[i]
		for _, o := range m.stepsOf(s) {
			p.all = append(p.all, binding{help: jobTitle(s) + ": " + o.words, do: o.do})
		}
	}
	if len(p.all) == 0 {
		return m.say(screen.Dim, "nothing trains here: R starts one; x in the table of runs resumes a run")
	}
	p.search()
	m.palette = p
	return nil
}

// jobTitle names a job for people.
func jobTitle(s *jobs.State) string {
	if s.Name != "" {
		return clip(s.Name, mostName)
	}
	if s.Dir != "" {
		return short(s.Dir)
	}
	return fmt.Sprintf("job %d", s.ID+1)
}

// runActions asks what to do with a run.
func (m *Model) runActions(r *row) tea.Cmd {
	if r == nil {
		return m.say(screen.Doubt, "there is no run to do something with")
	}
	if s := m.mine(r.dir); s != nil {
		steps := m.stepsOf(s)
		if len(steps) == 0 {
			return m.say(screen.Dim, r.name+" is saving its checkpoint")
		}
		m.choice = &choice{question: r.name + " is " + string(s.Phase) + " here.", options: append(steps, stay)}
		return nil
	}
	switch r.e.Status {
	case runs.StatusRunning:
		return m.actionsElsewhere(r)
	case runs.StatusInterrupted, runs.StatusFailed:
		if r.e.Kind == runs.KindTrainer {
			return m.say(screen.Dim, "the Hugging Face Trainer wrote this run: it is resumed there")
		}
		state := "was interrupted"
		if r.e.Status == runs.StatusFailed {
			state = "failed"
		}
		m.choice = &choice{question: r.name + " " + state + ".",
			more: []string{"Resumed, it goes on from its last checkpoint and ends with the bytes of an undisturbed run."},
			options: []option{{"r", "resume it here", func(m *Model) tea.Cmd {
				m.jobs.Start(jobs.Spec{Resume: r.dir, RunsDir: m.src.Root()}, r.name)
				m.train.states = m.jobs.States()
				return m.say(screen.Good, "✓ "+r.name+" is resumed; x steers it")
			}}, stay}}
		return nil
	}
	return m.say(screen.Dim, "nothing can be done with a run that is "+clip(string(r.e.Status), mostName)+": t trains another")
}

var stay = option{"esc", "leave it as it is", func(*Model) tea.Cmd { return nil }}

// actionsElsewhere is about a run that another process trains.
func (m *Model) actionsElsewhere(r *row) tea.Cmd {
	if b := m.batches.of(r.dir); b != nil && b.look.Phase == batch.PhaseRunning {
		m.askStop(b)
		return nil
	}
	words := "another process trains " + r.name + ": stop it where it was started"
	if c := m.course(r.dir); c != nil && c.Writer != nil {
		words = fmt.Sprintf("process %d on %s trains %s: stop it there", c.Writer.PID, clip(c.Writer.Host, 60), r.name)
		if c.Here {
			words = fmt.Sprintf("process %d trains %s: kill -INT %d lets it save a checkpoint and end", c.Writer.PID, r.name, c.Writer.PID)
		}
	}
	return m.say(screen.Dim, words)
}
