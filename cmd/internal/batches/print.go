// Package batches tells people and programs about batches: what happens in one,
// line by line, as bars on a terminal or as JSON, and, for a login that did not
// start it, what became of it. Both programs use it, so that they say the same.
//
// What is printed holds no control character but those of a Printer on a
// terminal, and a reader that is gone disturbs nothing.
package batches

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/text"
)

// Printer shows the events of a batch, in their order.
type Printer interface {
	Event(batch.Event)
	// Every is how often it wants to hear of progress, given what was asked for.
	Every(time.Duration) time.Duration
}

// NewPrinter returns the printer for an output: bars on a terminal, else lines.
// quiet prints the final table alone.
func NewPrinter(w io.Writer, quiet, asJSON bool) Printer {
	f, isFile := w.(*os.File)
	switch {
	case asJSON:
		return jsonPrinter{w}
	case quiet:
		return &linePrinter{w: w, quiet: true}
	case isFile && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb":
		return newLivePrinter(f)
	}
	return &linePrinter{w: w}
}

// jsonPrinter prints every event as a line of JSON.
type jsonPrinter struct{ w io.Writer }

func (p jsonPrinter) Every(d time.Duration) time.Duration { return d }

func (p jsonPrinter) Event(ev batch.Event) {
	data, err := json.Marshal(ev)
	if err != nil {
		data, _ = json.Marshal(map[string]string{"event": "note", "text": err.Error()})
	}
	_, _ = p.w.Write(append(data, '\n')) // a reader that is gone does not stop a batch
}

// JSONHelp documents what the printer of JSON writes.
const JSONHelp = `With --json, standard output holds one JSON object a line and nothing else.
"event" says what a line is, "time" when it was (UTC), "job" what it is about:

  batch       batch (its folder), jobs, resumed
  note        text
  start       attempt, device, threads; resumed and run when it goes on with one
  run         run (its folder)
  step        step, total_steps, loss, tokens_per_second, seconds_left; at most
              20 a second
  eval        step, loss (on the validation data)
  checkpoint  step
  predict     done, total (examples of the test data)
  log         text, warning
  progress    running [{job, step, total_steps, loss, tokens_per_second,
              seconds_left, done, total}], counts {status: jobs}; see --every
  retry       attempt, text
  end         status (completed, failed, skipped or interrupted), run, seconds,
              text (why it failed), earlier (it was over before this start)
  stopping    text
  summary     summary: batch_id, dir, plan, exit_code, stopped, counts, metric,
              baseline, jobs [{job, status, run, run_id, seconds, error,
              metrics {name: {value, interval {low, high, n, method}, delta}},
              decision, settings {key: value} (of the matrices), batch_size,
              note (where it is not as planned)}],
              groups [{name, jobs, metrics {name: {n, mean, sd, low, high (null
              under 3 seeds)}}}],
              decision, decision_job, decision_note, reasons, problems

The last line is summary. What does not apply is left out. A loss that is NaN or
infinite is left out and named under non_finite with "nan", "inf" or "-inf".
With --dry-run a line is a job: job, changes {key: value}, after, note, error,
hint, steps, memory_bytes, seconds.`

// linePrinter prints a line for what happens and no control characters.
type linePrinter struct {
	w     io.Writer
	quiet bool
	width int // of the table, 0: no limit
	// warned are the warnings that were told: jobs of a matrix share them.
	warned map[string]bool
}

func (p *linePrinter) Every(d time.Duration) time.Duration { return d }

func (p *linePrinter) Event(ev batch.Event) {
	if ev.Kind == batch.EventSummary {
		if !p.quiet {
			p.print("")
		}
		_ = ev.Summary.WriteTable(p.w, p.width) // a reader that is gone does not stop a batch
		path := filepath.Join(ev.Batch, "summary.md")
		if _, err := os.Stat(path); err == nil && !p.quiet { // the table says it when it could not be written
			p.print("", "summary: "+Path(path))
		}
		return
	}
	if line, ok := p.line(ev); ok && !p.quiet {
		p.print(line)
	}
}

// line is lineOf, each warning once.
func (p *linePrinter) line(ev batch.Event) (string, bool) {
	if ev.Kind == batch.EventLog {
		if p.warned[ev.Text] {
			return "", false
		}
		if p.warned == nil {
			p.warned = map[string]bool{}
		}
		p.warned[ev.Text] = true
	}
	return lineOf(ev)
}

// print writes lines in one call each.
func (p *linePrinter) print(lines ...string) {
	for _, line := range lines {
		_, _ = io.WriteString(p.w, line+"\n")
	}
}

// lineOf is what is said about an event; ok is false where nothing is.
func lineOf(ev batch.Event) (line string, ok bool) {
	subject := func(rest string) string {
		if ev.Job == "" {
			return rest
		}
		return ev.Job + ": " + rest
	}
	switch ev.Kind {
	case batch.EventBatch:
		verb := "starting"
		if ev.Resumed {
			verb = "going on with"
		}
		return fmt.Sprintf("%s %s, %s", verb, Path(ev.Batch), Jobs(ev.Jobs)), true
	case batch.EventNote:
		return subject(oneLine(ev.Text)), true
	case batch.EventStart:
		out := fmt.Sprintf("starts on %s with %s", ev.Device, threads(ev.Threads))
		if ev.Resumed {
			out = fmt.Sprintf("goes on with %s on %s with %s", Path(ev.Run), ev.Device, threads(ev.Threads))
		}
		return subject(out), true
	case batch.EventLog:
		return subject("warning: " + oneLine(ev.Text)), ev.Warning
	case batch.EventProgress:
		parts := make([]string, len(ev.Running))
		for i := range ev.Running {
			parts[i] = progressText(&ev.Running[i])
		}
		return strings.Join(append([]string{doneText(ev.Counts)}, parts...), " | "), true
	case batch.EventRetry:
		return subject(fmt.Sprintf("attempt %d follows: %s", ev.Attempt, oneLine(ev.Text))), true
	case batch.EventEnd:
		out := string(ev.Status)
		if ev.Earlier {
			out += " before"
		} else if ev.Seconds > 0 {
			out += " in " + Seconds(ev.Seconds)
		}
		if ev.Run != "" {
			out += "  " + Path(ev.Run)
		}
		if ev.Text != "" {
			out += ": " + oneLine(ev.Text)
		}
		return subject(out), true
	case batch.EventStopping:
		return "stopping: " + oneLine(ev.Text), true
	}
	return "", false
}

// oneLine is a text of several lines in one, safe to print.
func oneLine(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return text.Escape(strings.Join(lines, "; "))
}

// doneText says how many of the jobs are over.
func doneText(counts map[batch.Status]int) string {
	all := 0
	for _, n := range counts {
		all += n
	}
	return fmt.Sprintf("%d of %s done", over(counts), Jobs(all))
}

func threads(n int) string {
	if n == 1 {
		return "1 thread"
	}
	return strconv.Itoa(n) + " threads"
}

func over(counts map[batch.Status]int) int {
	n := 0
	for status, jobs := range counts {
		if status.Over() && status != batch.Interrupted {
			n += jobs
		}
	}
	return n
}

// Jobs writes a number of jobs.
func Jobs(n int) string {
	if n == 1 {
		return "1 job"
	}
	return strconv.Itoa(n) + " jobs"
}

// progressText says how far a job is: name, step, loss, speed, time left.
func progressText(p *batch.Progress) string {
	switch {
	case p.Total > 0:
		return fmt.Sprintf("%s evaluating %d/%d", p.Job, p.Done, p.Total)
	case p.TotalSteps == 0:
		return p.Job + " preparing"
	}
	out := fmt.Sprintf("%s step %d/%d loss %s", p.Job, p.Step, p.TotalSteps, lossText(p))
	if p.TokensPerSecond > 0 {
		out += fmt.Sprintf(" %.0f tok/s", p.TokensPerSecond)
	}
	if p.SecondsLeft > 0 {
		out += " " + Seconds(p.SecondsLeft) + " left"
	}
	return out
}

func lossText(p *batch.Progress) string {
	if p.Loss == nil {
		return p.NonFinite["loss"]
	}
	return strconv.FormatFloat(*p.Loss, 'f', 4, 64)
}

// Seconds writes how long something takes.
func Seconds(s float64) string {
	if s < 9.95 {
		return fmt.Sprintf("%.1fs", s)
	}
	return time.Duration(math.Round(s) * float64(time.Second)).String()
}

// Path is the path as seen from the current folder, where that is below it;
// safe to print.
func Path(path string) string { return text.Escape(relative(path)) }

func relative(path string) string {
	if here, err := os.Getwd(); err == nil && filepath.IsAbs(path) {
		if rel, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}

// widthOf is how many columns an output has, 0 where it is no terminal.
func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}
