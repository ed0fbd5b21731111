package work

import (
	"encoding/json"
	"math"
	"time"

	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/jobs"
)

// The types of the events of a job besides jobs.EventState.
const (
	EventStep       = "step"       // step, total_steps, epoch, loss, learning_rate, grad_norm, tokens, tokens_per_second
	EventEval       = "eval"       // step, epoch, eval_loss, best
	EventCheckpoint = "checkpoint" // step
	EventPredict    = "predict"    // done, total
	EventLog        = "log"        // level, message
)

// stepEvery thins out steps: nobody reads them faster.
const stepEvery = 50 * time.Millisecond

// relay turns the events of an engine into those of a job. It is called from one
// goroutine at a time.
func relay(report func(jobs.Event)) func(engine.Event) {
	var last time.Time
	due := func(always bool) bool {
		if !always && time.Since(last) < stepEvery {
			return false
		}
		last = time.Now()
		return true
	}
	send := func(kind string, fields map[string]any) {
		if data, err := json.Marshal(fields); err == nil {
			report(jobs.Event{Type: kind, Data: data})
		}
	}
	return func(ev engine.Event) {
		switch e := ev.(type) {
		case engine.StepEvent:
			if due(e.Logged || e.Step == e.TotalSteps) {
				send(EventStep, map[string]any{"step": e.Step, "total_steps": e.TotalSteps, "epoch": number(e.Epoch), "loss": number(e.Loss),
					"learning_rate": number(e.LearningRate), "grad_norm": number(e.GradNorm), "tokens": e.Tokens,
					"tokens_per_second": number(e.TokensPerSecond)})
			}
		case engine.EvalEvent:
			send(EventEval, map[string]any{"step": e.Step, "epoch": number(e.Epoch), "eval_loss": number(e.Loss), "best": e.Best})
		case engine.CheckpointEvent:
			send(EventCheckpoint, map[string]any{"step": e.Step})
		case engine.PredictEvent:
			if due(e.Done == e.Total) {
				send(EventPredict, map[string]any{"done": e.Done, "total": e.Total})
			}
		case engine.LogEvent:
			level := "info"
			if e.Warning {
				level = "warning"
			}
			send(EventLog, map[string]any{"level": level, "message": e.Message})
		}
	}
}

// number is a value as JSON can hold it: nil when it is NaN or infinite.
func number(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return f
}
