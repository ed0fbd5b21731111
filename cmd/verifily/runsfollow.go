package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
)

func (a *app) runsFollow(runsDir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "follow [RUN]",
		Short: "Follow the training of a run to its end",
		Long: `Follow a run that another process is training, and print its result. Ctrl-C ends
the following, not the training.

Exit codes: 0 the run is complete, 3 it failed, 130 it is interrupted.`,
		Args: oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			entry, err := findEntry(args, *runsDir)
			if err != nil {
				return err
			}
			return a.followRun(cmd.Context(), entry)
		},
	}
	cmd.Flags().Bool("json", false, "print one JSON object a line (see verifily help json)")
	return cmd
}

// followEvery is the time between two looks at a run.
const followEvery = 500 * time.Millisecond

func (a *app) followRun(ctx context.Context, entry *runs.Entry) error {
	defer a.warnLostOutput()
	run, err := runs.Open(entry.Dir)
	if err != nil {
		return err
	}
	a.printer.Started(show.Run{Dir: shortPath(run.Dir()), Meta: entry.Meta})
	tail, epochs := run.TailLog(), epochsOf(run)
	for first := true; ; first = false {
		// The state is asked for before the log: what was logged up to its end
		// is then all there.
		status, err := run.State(time.Now())
		if err != nil {
			return &core.EvalError{Detail: fault.Detail{Op: "follow run", Path: entry.Dir, Err: cause(err)}}
		}
		log, _, err := tail.Next(0)
		if err != nil {
			return &core.EvalError{Detail: fault.Detail{Op: "follow run", Path: entry.Dir, Err: cause(err)}}
		}
		lines := log.Lines
		if first { // of what was logged before the last step says enough
			lines = sinceLastLoss(lines)
		}
		for _, line := range lines {
			a.logged(line, epochs)
		}
		if status != runs.StatusRunning && status != runs.StatusPending {
			return a.followed(run, status)
		}
		select {
		case <-ctx.Done():
			a.con.Clear()
			a.con.Report("not followed any more; the training goes on")
			return nil
		case <-time.After(followEvery):
		}
	}
}

// sinceLastLoss is the last line that reports training, and what follows it.
func sinceLastLoss(lines []runs.LogLine) []runs.LogLine {
	for i := len(lines) - 1; i >= 0; i-- {
		if lines[i].Loss != nil {
			return lines[i:]
		}
	}
	return lines
}

// logged prints a line of the log as training prints what it stands for.
func (a *app) logged(line runs.LogLine, epochs int) {
	value := func(f *float64) float64 {
		if f == nil {
			return 0
		}
		return *f
	}
	if line.EvalLoss != nil {
		a.printer.Event(engine.EvalEvent{Step: line.Step, Epoch: line.Epoch, Loss: *line.EvalLoss})
	}
	if line.Loss == nil {
		return
	}
	ev := engine.StepEvent{Step: line.Step, TotalSteps: max(line.TotalSteps(epochs), line.Step), Epoch: line.Epoch, Loss: *line.Loss, MeanLoss: *line.Loss,
		LearningRate: value(line.LearningRate), GradNorm: value(line.GradNorm), TokensPerSecond: value(line.TokensPerSecond), Logged: true}
	if line.Tokens != nil {
		ev.Tokens = *line.Tokens
	}
	a.printer.Event(ev)
}

// followed tells how a run ended.
func (a *app) followed(run *runs.Run, status runs.Status) error {
	meta, err := run.Meta()
	if err != nil {
		return err
	}
	switch status {
	case runs.StatusCompleted:
		result, err := resultOf(run)
		if err != nil {
			return err
		}
		a.printer.Finished(result)
		return nil
	case runs.StatusFailed:
		reason := meta.Error
		if reason == "" {
			reason = "it does not say why"
		}
		return &core.TrainingError{Detail: fault.Detail{Op: "train", Path: shortPath(run.Dir()), Reason: reason}}
	}
	i := &core.Interrupted{RunDir: run.Dir(), Err: errors.New("the run is " + string(status))}
	if log, err := run.Log(); err == nil && len(log.Lines) > 0 {
		last := log.Lines[len(log.Lines)-1]
		i.Step, i.Total = last.Step, max(last.TotalSteps(epochsOf(run)), last.Step)
	}
	return i
}
