package tui

import (
	"fmt"
	"strings"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
)

func (m *Model) batchSubject() (left, right string) {
	s := &m.batches
	b := s.current()
	if b == nil {
		return "batches of " + m.src.Root(), ""
	}
	left = b.name()
	if len(s.value) > 1 {
		for i := range s.value {
			if s.value[i] == b {
				left += fmt.Sprintf(" (%d of %d)", i+1, len(s.value))
			}
		}
	}
	if b.look == nil {
		return left, ""
	}
	left += fmt.Sprintf(" · %d of %s complete", b.look.Counts[batch.Completed], plural(len(b.look.Jobs), "job", "jobs"))
	if h := b.look.Holder; h != nil {
		right = fmt.Sprintf("process %d on %s", h.PID, clip(h.Host, 60))
	}
	return left, right
}

// batchSign is how the status of a job shows.
func batchSign(s batch.Status) (rune, screen.Style) {
	switch s {
	case batch.Running:
		return '●', screen.Accent
	case batch.Completed:
		return '✓', screen.Good
	case batch.Failed:
		return '✗', screen.Bad
	case batch.Interrupted:
		return '◌', screen.Doubt
	}
	return '○', screen.Dim
}

func (m *Model) drawBatch(c *screen.Canvas, r plot.Rect) {
	s := &m.batches
	b := s.current()
	switch {
	case !s.done:
		sayIn(c, r, said{screen.Dim, "looking for batches …"})
		return
	case b == nil && s.err != nil:
		sayIn(c, r, said{screen.Bad, "✗ the batches could not be read"}, said{screen.Text, oneLine(s.err)}, said{screen.Dim, "r tries again"})
		return
	case b == nil:
		sayIn(c, r, said{screen.Text | screen.Bold, "no batch yet"},
			said{screen.Dim, "A batch runs the jobs of a plan, here or in the background. For instance:"}, said{screen.Text, ""},
			said{screen.Text, "verifily-tui --batch plan.yaml --detach"}, said{screen.Text, ""},
			said{screen.Dim, "verifily-tui plan --help explains plans; a training of this screen that is handed over becomes one."})
		return
	case b.err != nil:
		sayIn(c, r, said{screen.Bad, "✗ this batch could not be read"}, said{screen.Text, oneLine(b.err)}, said{screen.Dim, "< > other batches"})
		return
	}
	foot := m.batchFoot(b)
	lines := min(len(foot), max(0, r.H-4))
	list := plot.Rect{X: r.X, Y: r.Y, W: r.W, H: r.H - lines}
	if lines > 0 {
		list.H--
	}
	m.drawJobs(c, list, b)
	for i, l := range foot[:lines] {
		c.PutIn(r.X+1, r.Y+r.H-lines+i, r.W-2, l.style, l.words)
	}
}

// batchFoot says how it stands with a batch and what can be done.
func (m *Model) batchFoot(b *seenBatch) []said {
	l := b.look
	var counts []string
	for _, s := range []batch.Status{batch.Running, batch.Completed, batch.Failed, batch.Interrupted, batch.Skipped, batch.Waiting} {
		if n := l.Counts[s]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, s))
		}
	}
	out := []said{{screen.Text, strings.Join(counts, " · ")}}
	if len(l.Jobs) == 0 {
		out = nil
	}
	switch {
	case l.Phase == batch.PhaseRunning:
		out = append(out, said{screen.Dim, "running · x stops it with a checkpoint of every job · plan " + l.PlanPath})
	case l.Phase == batch.PhaseKilled:
		out = append(out, said{screen.Doubt, "◌ its process is gone without a word · x goes on where it stopped"}, said{screen.Dim, "or: verifily-tui --batch " + l.PlanPath})
	case l.Exit != nil:
		words, style := exitWords(*l.Exit)
		if b.summary != nil && b.summary.Stopped != "" {
			words += ": " + clip(b.summary.Stopped, mostFailure)
		}
		if l.Counts[batch.Completed] < len(l.Jobs) {
			words += " · x goes on"
		}
		out = append(out, said{style, words})
		if b.summary != nil && b.summary.Decision != "" {
			out = append(out, said{screen.Text, strings.TrimSuffix("decision "+clip(b.summary.Decision, mostName)+" · "+clip(b.summary.DecisionJob, mostName), " · ")})
		}
		out = append(out, said{screen.Dim, "plan " + l.PlanPath})
	}
	return out
}

// exitWords says what the exit code of a batch means.
func exitWords(code int) (string, screen.Style) {
	switch code {
	case batch.ExitShip:
		return "✓ over: every job is complete", screen.Good
	case batch.ExitDontShip:
		return "✗ over: DONT_SHIP", screen.Bad
	case batch.ExitInvestigate:
		return "! over: INVESTIGATE", screen.Doubt
	case batch.ExitContract:
		return "✗ over: the run contract failed", screen.Bad
	case batch.ExitJobFailed:
		return "✗ over: a job failed", screen.Bad
	case batch.ExitInterrupted:
		return "◌ stopped before the end", screen.Doubt
	}
	return fmt.Sprintf("✗ over: exit code %d", code), screen.Bad
}

func (m *Model) drawJobs(c *screen.Canvas, r plot.Rect, b *seenBatch) {
	jobs := b.look.Jobs
	if len(jobs) == 0 {
		sayIn(c, r, said{screen.Dim, "its process has not written its jobs down yet"})
		return
	}
	cursor := m.batches.at(b)
	rows := max(1, r.H-1)
	top := max(0, min(cursor-rows/2, len(jobs)-rows))
	const left = 5
	name := max(10, min(32, (r.W-left)*3/10))
	head := "LOSS"
	if b.summary != nil && b.summary.Metric != "" {
		head = strings.ToUpper(clip(b.summary.Metric, 20))
	}
	c.PutIn(left, r.Y, name, screen.Dim, "JOB")
	bar := max(0, min(24, r.W-left-name-2-batchStep-26))
	at := left + name + 2
	c.PutIn(at, r.Y, 12, screen.Dim, "STATUS")
	right := r.X + r.W - 1
	wide := r.W >= 72
	if wide {
		c.PutRight(right-24-batchStep, r.Y, batchStep, screen.Dim, "STEP")
		c.PutRight(right-24, r.Y, batchLoss, screen.Dim, head)
		c.PutRight(right-batchTime, r.Y, batchTime, screen.Dim, "TIME")
	}
	for i := top; i < len(jobs) && i < top+rows; i++ {
		j, y := &jobs[i], r.Y+1+i-top
		glyph, style := batchSign(j.Status)
		c.Set(3, y, style, glyph)
		c.PutIn(left, y, name, screen.Text, clip(j.Job, mostName))
		switch p, running := b.progress[j.Job]; {
		case j.Error != "" && (j.Status == batch.Failed || j.Status == batch.Skipped):
			c.PutIn(at, y, right-at, screen.Dim, string(j.Status)+": "+strings.Join(strings.Fields(clip(j.Error, mostFailure)), " "))
		case running:
			m.drawJobProgress(c, at, y, bar, &p)
			if wide {
				m.drawPace(c, right, y, &p)
			}
		default:
			c.PutIn(at, y, right-at, screen.Dim, string(j.Status))
			if wide {
				c.PutRight(right-24, y, batchLoss, screen.Text, outcomeOf(b.summary, j.Job))
				if j.Time > 0 {
					c.PutRight(right-batchTime, y, batchTime, screen.Dim, lasted(j.Time))
				}
			}
		}
		if i == cursor {
			c.Mark(0, y, r.W, screen.Picked)
			c.Set(1, y, screen.Accent|screen.Picked, '▸')
		}
	}
}

// drawJobProgress draws how much of a job is done.
func (m *Model) drawJobProgress(c *screen.Canvas, x, y, w int, p *batch.Progress) {
	done, total := p.Step, p.TotalSteps
	if p.Total > 0 {
		done, total = p.Done, p.Total
	}
	if total <= 0 || w < 10 {
		words := "running"
		if total > 0 {
			words = fmt.Sprintf("%d%%", min(100, 100*done/total))
		}
		c.PutIn(x, y, max(w, 12), screen.Accent, words)
		return
	}
	share := min(1, max(0, float64(done)/float64(total)))
	filled := int(float64(w-6) * share)
	c.Fill(x, y, filled, screen.Accent, '━')
	c.Fill(x+filled, y, w-6-filled, screen.Dim, '─')
	c.PutRight(x+w-5, y, 4, screen.Text, fmt.Sprintf("%d%%", int(share*100)))
}

// The widths of what stands beside a job: "12,345/67,890" fits, and "42m 18s left".
const (
	batchStep = 14
	batchLoss = 11
	batchTime = 12
)

func (m *Model) drawPace(c *screen.Canvas, right, y int, p *batch.Progress) {
	step := count(p.Step)
	if p.TotalSteps > 0 {
		step += "/" + count(p.TotalSteps)
	}
	if text.Width(step) > batchStep {
		step = count(p.Step)
	}
	if p.Step > 0 {
		c.PutRight(right-24-batchStep, y, batchStep, screen.Text, step)
	}
	switch {
	case len(p.NonFinite) > 0:
		c.PutRight(right-24, y, batchLoss, screen.Bad, "NaN")
	case p.Loss != nil:
		c.PutRight(right-24, y, batchLoss, screen.Text, readout(*p.Loss))
	}
	if p.SecondsLeft > 0 {
		c.PutRight(right-batchTime, y, batchTime, screen.Dim, lasted(p.SecondsLeft)+" left")
	}
}

// outcomeOf is the metric of a job that is over, with its difference to the
// baseline and whether that is real.
func outcomeOf(sum *batch.Summary, job string) string {
	if sum == nil {
		return ""
	}
	for i := range sum.Jobs {
		if sum.Jobs[i].Job != job {
			continue
		}
		cell, ok := sum.Jobs[i].Metrics[sum.Metric]
		if !ok {
			return ""
		}
		return text.Line(score(cell.Value), batchLoss)
	}
	return ""
}
