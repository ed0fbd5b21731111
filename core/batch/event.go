package batch

import (
	"time"

	"github.com/verifily/verifily-tui/runs"
)

// Status says how far a job has come.
type Status string

// The states of a job.
const (
	Waiting     Status = "waiting"
	Running     Status = "running"
	Completed   Status = "completed"
	Failed      Status = "failed"
	Skipped     Status = "skipped"     // a job that it comes after did not complete
	Interrupted Status = "interrupted" // can be resumed
)

// Over says whether nothing more is to come of the job in this start.
func (s Status) Over() bool { return s != Waiting && s != Running }

// Event is something that happened in a batch. As JSON it is one line of
// --json; Kind says which of the other fields are set.
type Event struct {
	Kind string `json:"event"`
	Time string `json:"time"`
	Job  string `json:"job,omitempty"`
	// Batch is the folder of the batch, Run that of a run.
	Batch   string `json:"batch,omitempty"`
	Run     string `json:"run,omitempty"`
	Resumed bool   `json:"resumed,omitempty"`
	Jobs    int    `json:"jobs,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Device  string `json:"device,omitempty"`
	Threads int    `json:"threads,omitempty"`

	Step            int      `json:"step,omitempty"`
	TotalSteps      int      `json:"total_steps,omitempty"`
	Loss            *float64 `json:"loss,omitempty"`
	TokensPerSecond float64  `json:"tokens_per_second,omitempty"`
	SecondsLeft     float64  `json:"seconds_left,omitempty"`
	Done            int      `json:"done,omitempty"`
	Total           int      `json:"total,omitempty"`

	// NonFinite names a loss that is NaN or infinite; Loss is then left out.
	NonFinite runs.NonFinite `json:"non_finite,omitempty"`

	Status  Status  `json:"status,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Earlier bool    `json:"earlier,omitempty"`
	Text    string  `json:"text,omitempty"`
	Warning bool    `json:"warning,omitempty"`

	Running []Progress     `json:"running,omitempty"`
	Counts  map[Status]int `json:"counts,omitempty"`
	Summary *Summary       `json:"summary,omitempty"`
}

// The kinds of events.
const (
	EventBatch      = "batch"      // the batch begins: Batch, Jobs, Resumed
	EventNote       = "note"       // Text; Job where it is about one
	EventStart      = "start"      // a job begins: Job, Attempt, Device, Threads, Resumed, Run when resumed
	EventRun        = "run"        // it has a run directory: Job, Run
	EventStep       = "step"       // Job, Step, TotalSteps, Loss, TokensPerSecond, SecondsLeft
	EventEval       = "eval"       // Job, Step, Loss over the validation data
	EventCheckpoint = "checkpoint" // Job, Step
	EventPredict    = "predict"    // Job, Done, Total examples of the test data
	EventLog        = "log"        // Job, Text, Warning
	EventProgress   = "progress"   // every so often: Running, Counts
	EventRetry      = "retry"      // Job, Attempt that follows, Text
	EventEnd        = "end"        // a job is over: Job, Status, Run, Seconds, Text; Earlier when in another start
	EventStopping   = "stopping"   // jobs are asked to save and end: Text
	EventSummary    = "summary"    // the last one: Summary
)

// Progress is how far a running job has come.
type Progress struct {
	Job             string   `json:"job"`
	Step            int      `json:"step"`
	TotalSteps      int      `json:"total_steps"` // 0 before the first step
	Loss            *float64 `json:"loss"`
	TokensPerSecond float64  `json:"tokens_per_second"`
	SecondsLeft     float64  `json:"seconds_left"`
	// Done of Total examples of the test data are evaluated, once training is
	// over.
	Done  int `json:"done"`
	Total int `json:"total"`

	// NonFinite names a loss that is NaN or infinite; Loss is then null.
	NonFinite runs.NonFinite `json:"non_finite,omitempty"`

	firstStep int
	firstTime time.Time
}

// smoothing is the weight of the past in the speed that progress tells: single
// steps differ by the length of their sequences.
const smoothing = 0.9

// note takes over what a message says at a moment.
func (p *Progress) note(m Message, at time.Time) {
	switch m.Kind {
	case MessageStep:
		if p.firstTime.IsZero() {
			p.firstStep, p.firstTime = m.Step, at
		}
		if p.TokensPerSecond == 0 {
			p.TokensPerSecond = m.TokensPerSecond
		}
		p.TokensPerSecond = smoothing*p.TokensPerSecond + (1-smoothing)*m.TokensPerSecond
		p.Step, p.TotalSteps = m.Step, m.TotalSteps
		p.Loss, p.NonFinite = m.Loss, m.NonFinite
		if done := m.Step - p.firstStep; done > 0 {
			p.SecondsLeft = at.Sub(p.firstTime).Seconds() / float64(done) * float64(m.TotalSteps-m.Step)
		}
	case MessagePredict:
		p.Done, p.Total, p.SecondsLeft = m.Done, m.Total, 0
	}
}
