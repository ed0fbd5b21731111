package batch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs"
)

// Attempt is what one process is asked to do for a job.
type Attempt struct {
	Job string `json:"job"`
	// Config is what to train, nil to evaluate.
	Config map[string]any `json:"config,omitempty"`
	// Resume is the run directory to go on with, empty for a new one.
	Resume string `json:"resume,omitempty"`
	// JobID goes to run_meta.json of a new run.
	JobID string `json:"job_id,omitempty"`
	// Evaluate is the run directory to evaluate.
	Evaluate string     `json:"evaluate,omitempty"`
	Eval     Evaluation `json:"eval"`
	// Estimate asks what memory training Config needs, instead of training it.
	Estimate bool `json:"estimate,omitempty"`

	// Threads is how many processors to use, GPU the index of the GPU to use,
	// -1 for none. Log takes what the process writes to standard error.
	Threads int    `json:"-"`
	GPU     int    `json:"-"`
	Log     string `json:"-"`
}

// Message is what an attempt reports. Kind is one of the constants below.
type Message struct {
	Kind            string   `json:"kind"`
	Run             string   `json:"run,omitempty"` // run directory
	Step            int      `json:"step,omitempty"`
	TotalSteps      int      `json:"total_steps,omitempty"`
	Loss            *float64 `json:"loss,omitempty"`
	TokensPerSecond float64  `json:"tokens_per_second,omitempty"`
	Done            int      `json:"done,omitempty"`
	Total           int      `json:"total,omitempty"`
	Text            string   `json:"text,omitempty"`
	Warning         bool     `json:"warning,omitempty"`
	Class           class    `json:"class,omitempty"`
	Results         string   `json:"results,omitempty"` // folder of eval_results.json
	// NonFinite names a loss that is NaN or infinite; Loss is then nil.
	NonFinite runs.NonFinite `json:"non_finite,omitempty"`
	// MemoryBytes is what was estimated.
	MemoryBytes int64 `json:"memory_bytes,omitempty"`

	halve   int  // how many times smaller the batch must be to need less memory
	trained bool // it had come to the evaluation
}

// The kinds of messages.
const (
	MessageRun        = "run"        // there is a run directory: Run
	MessageStep       = "step"       // Step, TotalSteps, Loss, TokensPerSecond
	MessageEval       = "eval"       // Step, Loss over the validation data
	MessageCheckpoint = "checkpoint" // Step
	MessagePredict    = "predict"    // Done, Total
	MessageLog        = "log"        // Text, Warning
	MessageEnd        = "end"        // Class, Text, Run, Results
)

// class says how an attempt ended and so what comes next.
type class string

const (
	classComplete    class = "complete"
	classInterrupted class = "interrupted" // stopped from outside, can be resumed
	classConfig      class = "config"
	classData        class = "data"
	classTraining    class = "training"
	classEval        class = "evaluation"
	classOther       class = "other"
	// Failures that can pass.
	classDied   class = "died"   // the process ended without a word
	classMemory class = "memory" // it did not get the memory it wanted
	classSpace  class = "space"  // the disk is full
)

// Runner carries out attempts. Run returns when the attempt is over and
// everything it started has ended; the end message is its result and is not
// given to report. When ctx ends it saves a checkpoint and ends; when abort is
// closed it ends at once. A value on checkpoint asks for a checkpoint.
type Runner interface {
	Run(ctx context.Context, a Attempt, checkpoint <-chan struct{}, abort <-chan struct{}, report func(Message)) Message
}

// lockPatience is how long a run is waited for whose last process is still
// saving its checkpoint; lockRetry is how often it is asked for.
const (
	lockPatience = 2 * time.Minute
	lockRetry    = 100 * time.Millisecond
)

// Do carries out an attempt in this process and returns its end message.
func Do(ctx context.Context, a Attempt, control *engine.Control, report func(Message)) Message {
	if a.Estimate {
		return estimate(ctx, a)
	}
	if a.Config == nil && a.Resume == "" {
		return evaluate(ctx, a, report)
	}
	var run *runs.Run
	var err error
	for start := time.Now(); ; {
		run, err = train(ctx, a, control, report)
		if !errors.Is(err, runs.ErrLocked) || time.Since(start) > lockPatience {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(lockRetry):
			continue
		}
		break
	}
	if a.Resume != "" && errors.Is(err, runs.ErrCompleted) {
		// The process that was thought dead finished it.
		run, err = runs.Open(a.Resume)
	}
	end := ending(ctx, err)
	if run != nil {
		end.Run = run.Dir()
		end.Results = filepath.Join(end.Run, "eval")
	}
	return end
}

func train(ctx context.Context, a Attempt, control *engine.Control, report func(Message)) (*runs.Run, error) {
	opt := core.TrainOptions{ResumeFrom: a.Resume, JobID: a.JobID, Control: control, Events: relay(report),
		Started: func(r *runs.Run) { report(Message{Kind: MessageRun, Run: r.Dir()}) }}
	// A run goes on with its own config, whatever the job is called by now; one
	// that was killed early may lack it.
	if a.Config != nil && !hasConfig(a.Resume) {
		cfg, err := config.FromMap(a.Config)
		if err != nil {
			return nil, err
		}
		opt.Config = cfg
	}
	return core.Train(ctx, opt)
}

func hasConfig(dir string) bool {
	if dir == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "config.yaml"))
	return err == nil
}

func evaluate(ctx context.Context, a Attempt, report func(Message)) Message {
	report(Message{Kind: MessageRun, Run: a.Evaluate})
	res, err := core.Evaluate(ctx, core.EvaluateOptions{RunPath: a.Evaluate, TestData: a.Eval.TestData, Metrics: a.Eval.Metrics,
		SliceBy: a.Eval.SliceBy, HardExamples: a.Eval.HardExamples, BatchSize: a.Eval.BatchSize, Events: relay(report)})
	end := ending(ctx, err)
	end.Run = a.Evaluate
	if res != nil {
		end.Results = res.Dir
	}
	return end
}

// stepEvery thins out steps: nobody reads them faster.
const stepEvery = 50 * time.Millisecond

// relay turns the events of an engine into messages.
func relay(report func(Message)) func(engine.Event) {
	var last time.Time
	return func(ev engine.Event) {
		switch e := ev.(type) {
		case engine.StepEvent:
			if e.Logged || e.Step == e.TotalSteps || time.Since(last) >= stepEvery {
				last = time.Now()
				m := Message{Kind: MessageStep, Step: e.Step, TotalSteps: e.TotalSteps, TokensPerSecond: e.TokensPerSecond}
				m.Loss, m.NonFinite = number("loss", e.Loss)
				report(m)
			}
		case engine.EvalEvent:
			m := Message{Kind: MessageEval, Step: e.Step}
			m.Loss, m.NonFinite = number("loss", e.Loss)
			report(m)
		case engine.CheckpointEvent:
			report(Message{Kind: MessageCheckpoint, Step: e.Step})
		case engine.PredictEvent:
			if e.Done == e.Total || time.Since(last) >= stepEvery {
				last = time.Now()
				report(Message{Kind: MessagePredict, Done: e.Done, Total: e.Total})
			}
		case engine.LogEvent:
			report(Message{Kind: MessageLog, Text: e.Message, Warning: e.Warning})
		}
	}
}

// number is a value as JSON can hold it: nil, and by name, when it is NaN or
// infinite.
func number(name string, f float64) (*float64, runs.NonFinite) {
	switch {
	case math.IsNaN(f):
		return nil, runs.NonFinite{name: "nan"}
	case math.IsInf(f, 1):
		return nil, runs.NonFinite{name: "inf"}
	case math.IsInf(f, -1):
		return nil, runs.NonFinite{name: "-inf"}
	}
	return &f, nil
}

// ending tells an error as an end message.
func ending(ctx context.Context, err error) Message {
	m := Message{Kind: MessageEnd, Class: classOther}
	if err == nil {
		m.Class = classComplete
		return m
	}
	m.Text = err.Error()
	var stopped *core.Interrupted
	var typed core.VerifilyTrainError
	switch {
	case errors.As(err, &stopped):
		m.Class, m.Text = classInterrupted, fmt.Sprintf("at step %d of %d", stopped.Step, stopped.Total) // the run is named beside it
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		m.Class, m.Text = classInterrupted, ""
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		m.Class = classSpace
		var why syscall.Errno
		if errors.As(err, &why) {
			m.Text = why.Error() // which temporary file it was helps nobody
		}
	case errors.Is(err, syscall.ENOMEM):
		m.Class = classMemory
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.EMFILE), errors.Is(err, dataset.ErrChanged):
		// Something else than the job: the next start tries it again.
	case errors.As(err, &typed):
		switch typed.(type) {
		case *core.ConfigError:
			m.Class = classConfig
		case *core.DataError:
			m.Class = classData
		case *core.TrainingError:
			m.Class = classTraining
		case *core.EvalError:
			m.Class = classEval
		}
		if hint := typed.Fault().Hint; hint != "" {
			m.Text = fmt.Sprintf("%s (%s)", m.Text, hint)
		}
	}
	return m
}
