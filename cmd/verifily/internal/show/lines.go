package show

import (
	"fmt"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/text"
)

// Lines returns the printer for people: lines and tables, and a status line
// where the console has one. verbose gives every step its line; else logging
// steps have one, and none where the status line shows them.
func Lines(con *console.Console, verbose bool) Printer {
	return &lines{con: con, verbose: verbose}
}

type lines struct {
	con      *console.Console
	verbose  bool
	total    int     // steps of the run
	speed    float64 // tokens a second, smoothed
	training pace
	eval     pace
	answered engine.PredictEvent // the last one
}

func (l *lines) Started(r Run) {
	what := "run"
	if r.Resumed {
		what = "resuming"
	}
	l.con.Print(what + " " + text.Escape(r.Dir))
}

func (l *lines) Event(ev engine.Event) {
	switch e := ev.(type) {
	case engine.StepEvent:
		l.step(e)
	case engine.EvalEvent:
		line := fmt.Sprintf("step %s  validation loss %s", l.stepOf(e.Step), score(e.Loss))
		if e.Best {
			line += "  best so far"
		}
		l.con.Print(line)
	case engine.CheckpointEvent:
		l.con.Print(fmt.Sprintf("step %s  saved %s", l.stepOf(e.Step), text.Escape(e.Path)))
	case engine.PredictEvent:
		l.predict(e)
	case engine.LogEvent:
		if e.Warning {
			l.con.Print(l.warning(e.Message))
		} else {
			l.con.Print(text.Escape(e.Message))
		}
	case engine.FinishedEvent:
		l.con.Clear()
	}
}

func (l *lines) warning(message string) string {
	return l.con.Paint(console.Yellow, "warning:") + " " + text.Escape(message)
}

// stepOf writes a step as wide as the last one will be.
func (l *lines) stepOf(step int) string {
	total := fmt.Sprint(l.total)
	return fmt.Sprintf("%*d/%s", len(total), step, total)
}

func (l *lines) step(e engine.StepEvent) {
	l.total = e.TotalSteps
	if l.speed == 0 {
		l.speed = e.TokensPerSecond
	}
	l.speed = smoothing*l.speed + (1-smoothing)*e.TokensPerSecond
	left := l.training.left(e.Step, e.TotalSteps, time.Now())
	if l.verbose || (e.Logged && !l.con.Live()) {
		loss := e.Loss
		if e.Logged {
			loss = e.MeanLoss
		}
		parts := []string{
			"step " + l.stepOf(e.Step), fmt.Sprintf("epoch %.2f", e.Epoch), "loss " + score(loss),
			"lr " + learningRate(e.LearningRate), "grad " + score(e.GradNorm), rate(l.speed),
		}
		if left >= 0 && e.Step < e.TotalSteps {
			parts = append(parts, duration(left)+" left")
		}
		l.con.Print(strings.Join(parts, "  "))
	}
	speed := l.speed
	l.con.Status(func(width int) string { return stepBar(e, speed, left, width) })
}

func (l *lines) predict(e engine.PredictEvent) {
	if l.answered.Total != e.Total || e.Done < l.answered.Done { // another file
		l.eval = pace{}
		l.con.Print("evaluating " + plural(e.Total, "example", "examples"))
	}
	l.answered = e
	left := l.eval.left(e.Done, e.Total, time.Now())
	l.con.Status(func(width int) string { return evalBar(e, left, width) })
}

func (l *lines) Planned(p engine.Plan) {
	l.con.Clear()
	l.con.Print(planLines(p, l.con.Width())...)
	for _, w := range p.Warnings {
		l.con.Print(l.warning(w))
	}
}

func (l *lines) Finished(r Result) {
	l.con.Clear()
	for _, block := range resultBlocks(r, l.con.Width()) {
		l.con.Print("", l.con.Paint(console.Bold, block[0]))
		l.con.Print(block[1:]...)
	}
}

func (l *lines) Failed(f Failure) {
	l.con.Clear()
	f.report(l.con)
}
