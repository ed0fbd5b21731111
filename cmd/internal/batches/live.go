package batches

import (
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/text"
)

// redrawEvery is the shortest time between two drawings of the live block: the
// eye does not follow numbers faster, and a slow line should not be busy.
const redrawEvery = 100 * time.Millisecond

// barWidth is the width of a bar in columns.
const barWidth = 20

// mostName is how wide names may be for what follows them to stand in columns.
const mostName = 16

// livePrinter prints lines like linePrinter and, below them, a block that is
// drawn in place: a bar for each running job.
type livePrinter struct {
	linePrinter
	w       *os.File
	running []batch.Progress
	counts  map[batch.Status]int
	height  int // lines of the block on the screen
	drawn   time.Time
}

// StopHint is what somebody is told who stops a batch.
const StopHint = "every job saves a checkpoint (a second signal ends at once)"

// Draws says whether a printer draws in place, so that what others write to the
// terminal would be drawn over.
func Draws(p Printer) bool {
	_, ok := p.(*livePrinter)
	return ok
}

func newLivePrinter(w *os.File) *livePrinter {
	return &livePrinter{linePrinter: linePrinter{w: w}, w: w}
}

// every asks for progress twice a second: it is drawn, not printed.
func (p *livePrinter) Every(time.Duration) time.Duration { return 500 * time.Millisecond }

func (p *livePrinter) Event(ev batch.Event) {
	switch ev.Kind {
	case batch.EventProgress:
		p.running, p.counts = ev.Running, ev.Counts
		p.draw("")
	case batch.EventStep:
		i := slices.IndexFunc(p.running, func(r batch.Progress) bool { return r.Job == ev.Job })
		if i < 0 {
			return // the next progress has it
		}
		r := &p.running[i]
		r.Step, r.TotalSteps, r.Loss, r.NonFinite = ev.Step, ev.TotalSteps, ev.Loss, ev.NonFinite
		r.SecondsLeft = ev.SecondsLeft // the speed is that of the last progress, which is smoothed
		if time.Since(p.drawn) >= redrawEvery {
			p.draw("")
		}
	case batch.EventSummary:
		p.running = nil
		p.draw("")
		if width, _, err := term.GetSize(int(p.w.Fd())); err == nil {
			p.width = width
		}
		p.linePrinter.Event(ev)
	default:
		if ev.Kind == batch.EventEnd {
			p.running = slices.DeleteFunc(p.running, func(r batch.Progress) bool { return r.Job == ev.Job })
		}
		if line, ok := p.line(ev); ok {
			if ev.Kind == batch.EventStopping && ev.Text == "interrupted" {
				line = "stopping: " + StopHint
			}
			p.draw(line + "\n")
		}
	}
}

// draw replaces the block by what is to stay above it and the block as it is
// now, in one write.
func (p *livePrinter) draw(above string) {
	width, height, err := term.GetSize(int(p.w.Fd()))
	if err != nil || width < 20 || height < 4 {
		width, height = 80, 24
	}
	var b strings.Builder
	if p.height > 0 {
		b.WriteString(strings.Repeat("\x1b[A", p.height) + "\r\x1b[J")
	}
	b.WriteString(above)
	lines := block(p.running, p.counts, width-1, height-2)
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	p.height, p.drawn = len(lines), time.Now()
	_, _ = p.w.WriteString(b.String()) // a terminal that hung up does not stop a batch
}

// block renders the running jobs in at most height lines of width columns.
func block(running []batch.Progress, counts map[batch.Status]int, width, height int) []string {
	if len(running) == 0 {
		return nil
	}
	out := []string{text.Line(doneText(counts), width)}
	names := 0
	for i := range running {
		names = max(names, min(text.Width(running[i].Job), mostName))
	}
	for i := range running {
		if len(out) == height-1 && i < len(running)-1 {
			return append(out, text.Line("and "+Jobs(len(running)-i)+" more", width))
		}
		p := running[i]
		p.Job = text.Pad(p.Job, names)
		out = append(out, text.Line(bar(&p)+" "+progressText(&p), width))
	}
	return out
}

// bar shows how much of a job is done.
func bar(p *batch.Progress) string {
	done, total := p.Step, p.TotalSteps
	if p.Total > 0 {
		done, total = p.Done, p.Total
	}
	filled := 0
	if total > 0 {
		filled = min(max(barWidth*done/total, 0), barWidth)
	}
	return "[" + strings.Repeat("#", filled) + strings.Repeat(".", barWidth-filled) + "]"
}
