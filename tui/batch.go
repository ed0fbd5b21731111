package tui

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/tui/screen"
)

// seenBatch is what the folder of a batch told.
type seenBatch struct {
	dir      string
	look     *batch.Look
	err      error
	progress map[string]batch.Progress // of running jobs, by name
	summary  *batch.Summary            // of a batch that is over, nil where it has none
	stamp    stamp
}

// stamp says whether a journal has changed.
type stamp struct {
	size int64
	at   time.Time
}

// batchState is the batches of the folder and which of them is shown.
type batchState struct {
	loaded[[]*seenBatch]
	shown  string // folder, empty: the first
	cursor string // job
	waits  bool   // for the next look
}

// batchEvery is the time between two looks at a batch that is shown.
const batchEvery = time.Second

type (
	batchesMsg struct {
		list []*seenBatch
		err  error
	}
	batchDueMsg struct{}
	stopMsg     struct {
		name string
		err  error
	}
	wentOnMsg struct {
		name string
		err  error
	}
)

func batchKeys() []binding {
	return []binding{
		{[]string{"enter"}, "enter", "watch the run of the job", "watch", (*Model).watchJob},
		{[]string{"x"}, "x", "stop the batch, or go on with it", "stop, go on", (*Model).batchActions},
		{[]string{"<", "left", "h", "["}, "<", "the batch before", "other batch", func(m *Model) tea.Cmd { return m.otherBatch(-1) }},
		{[]string{">", "right", "l", "]"}, ">", "the next batch", "other batch", func(m *Model) tea.Cmd { return m.otherBatch(1) }},
	}
}

// fetchBatches looks at the batches.
func (m *Model) fetchBatches() tea.Cmd {
	s := &m.batches
	if !m.listing.done || !s.need() || m.at != viewBatch && m.at != viewRuns && m.at != viewLive {
		return nil
	}
	s.begin()
	root, before := m.src.Root(), s.value
	return func() tea.Msg {
		list, err := lookAtBatches(root, before)
		return batchesMsg{list, err}
	}
}

// lookAtBatches reads the batches of a folder, those that run first and then the
// newest. Of what has ended and not changed it takes what is known.
func lookAtBatches(root string, before []*seenBatch) ([]*seenBatch, error) {
	infos, err := batch.List(root)
	if err != nil {
		return nil, err
	}
	var out []*seenBatch
	for _, info := range slices.Backward(infos) {
		dir := filepath.Join(root, info.BatchID)
		now := stampOf(filepath.Join(dir, "journal.jsonl"))
		i := slices.IndexFunc(before, func(b *seenBatch) bool { return b.dir == dir })
		if i >= 0 && before[i].stamp == now && before[i].look != nil && before[i].look.Phase == batch.PhaseOver {
			out = append(out, before[i])
			continue
		}
		b := &seenBatch{dir: dir, stamp: now, progress: map[string]batch.Progress{}}
		if b.look, b.err = batch.Open(dir); b.err == nil {
			for _, p := range b.look.Progress() {
				b.progress[p.Job] = p
			}
			if b.look.Phase == batch.PhaseOver {
				b.summary, _ = b.look.Summary() // without one the journal tells enough
			}
		}
		out = append(out, b)
	}
	slices.SortStableFunc(out, func(a, b *seenBatch) int { return truth(b.runs()) - truth(a.runs()) })
	return out, nil
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime()}
}

func (b *seenBatch) runs() bool { return b.look != nil && b.look.Phase == batch.PhaseRunning }

func (b *seenBatch) name() string { return filepath.Base(b.dir) }

func (msg batchesMsg) take(m *Model) tea.Cmd {
	s := &m.batches
	s.set(msg.list, msg.err)
	if s.find(s.shown) == nil {
		s.shown = ""
	}
	if m.at != viewBatch || s.waits || !slices.ContainsFunc(s.value, (*seenBatch).runs) {
		return nil // the tick looks again
	}
	s.waits = true
	return m.later(batchEvery, batchDueMsg{})
}

func (batchDueMsg) take(m *Model) tea.Cmd {
	m.batches.waits, m.batches.stale = false, true
	return nil
}

func (s *batchState) find(dir string) *seenBatch {
	for _, b := range s.value {
		if b.dir == dir {
			return b
		}
	}
	return nil
}

// current returns the batch that is shown, nil where there is none.
func (s *batchState) current() *seenBatch {
	if b := s.find(s.shown); b != nil {
		return b
	}
	if len(s.value) > 0 {
		return s.value[0]
	}
	return nil
}

// of returns the batch that a run belongs to, the running one where several
// know it.
func (s *batchState) of(dir string) *seenBatch {
	for _, b := range s.value {
		if b.look != nil && slices.ContainsFunc(b.look.Jobs, func(j batch.Seen) bool { return j.Run != "" && short(j.Run) == short(dir) }) {
			return b
		}
	}
	return nil
}

// running counts the batches that a process works on.
func (s *batchState) running() int {
	n := 0
	for _, b := range s.value {
		n += truth(b.runs())
	}
	return n
}

// at is the place of the job under the cursor.
func (s *batchState) at(b *seenBatch) int {
	return max(0, slices.IndexFunc(b.look.Jobs, func(j batch.Seen) bool { return j.Job == s.cursor }))
}

func (m *Model) moveBatch(by int) {
	s := &m.batches
	if b := s.current(); b != nil && b.look != nil && len(b.look.Jobs) > 0 {
		s.cursor = b.look.Jobs[max(0, min(len(b.look.Jobs)-1, s.at(b)+by))].Job
	}
}

func (m *Model) otherBatch(by int) tea.Cmd {
	s := &m.batches
	i := slices.Index(s.value, s.current())
	if i < 0 {
		return nil
	}
	s.shown, s.cursor = s.value[max(0, min(len(s.value)-1, i+by))].dir, ""
	return nil
}

// watchJob opens the run of the job under the cursor.
func (m *Model) watchJob() tea.Cmd {
	b := m.batches.current()
	if b == nil || b.look == nil || len(b.look.Jobs) == 0 {
		return nil
	}
	job := b.look.Jobs[m.batches.at(b)]
	for _, r := range m.table.all {
		if job.Run != "" && short(r.dir) == short(job.Run) {
			m.open, m.table.cursor = r.dir, r.dir
			m.live.seeAll()
			return m.show(viewLive)
		}
	}
	return m.say(screen.Dim, clip(job.Job, mostName)+" has no run yet")
}

func (m *Model) batchActions() tea.Cmd {
	b := m.batches.current()
	switch {
	case b == nil || b.look == nil:
		return m.say(screen.Dim, "there is no batch to do something with")
	case b.runs():
		m.askStop(b)
		return nil
	case b.look.Counts[batch.Completed] == len(b.look.Jobs):
		return m.say(screen.Dim, "every job of the batch is complete")
	}
	plan := b.look.PlanPath
	m.choice = &choice{question: b.name() + " stopped before everything was complete.",
		more: []string{"It goes on where it stopped: what is complete stays, what was interrupted resumes from its checkpoint."},
		options: []option{{"g", "go on with it in the background", func(m *Model) tea.Cmd {
			ctx, start := m.ctx, m.background()
			return tea.Batch(m.say(screen.Dim, "starting a process in the background …"), func() tea.Msg { return wentOnMsg{b.name(), start(ctx, plan)} })
		}}, stay}}
	return nil
}

// askStop asks whether a batch is to be stopped.
func (m *Model) askStop(b *seenBatch) {
	who := "Another process"
	if h := b.look.Holder; h != nil {
		who = fmt.Sprintf("Process %d on %s", h.PID, clip(h.Host, 60))
	}
	m.choice = &choice{question: fmt.Sprintf("%s works on %s: %s to go.", who, b.name(), plural(len(b.look.Jobs)-b.look.Counts[batch.Completed], "job", "jobs")),
		options: []option{
			{"s", "stop it: every running job saves a checkpoint, and all can be gone on with", func(m *Model) tea.Cmd {
				return func() tea.Msg { return stopMsg{b.name(), batch.RequestStop(b.dir)} }
			}},
			{"esc", "let it go on", func(*Model) tea.Cmd { return nil }},
		}}
}

func (msg stopMsg) take(m *Model) tea.Cmd {
	m.batches.stale = true
	if msg.err != nil {
		return m.say(screen.Bad, "✗ "+oneLine(msg.err))
	}
	return m.say(screen.Good, "✓ "+msg.name+" was asked to stop; it saves its checkpoints first")
}

func (msg wentOnMsg) take(m *Model) tea.Cmd {
	m.batches.stale = true
	if msg.err != nil {
		return m.say(screen.Bad, "✗ it does not go on: "+oneLine(msg.err))
	}
	return m.say(screen.Good, "✓ "+msg.name+" goes on in the background")
}
