package batch

import (
	"context"
	"fmt"
	"os"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
)

// retry puts a job back in line if its failure can pass.
func (s *scheduler) retry(st *state, m Message) bool {
	if st.attempt > s.plan.Retries {
		return false
	}
	text := m.Text
	switch {
	case m.Class == classMemory && m.halve > 0:
		smaller, ok := st.work.smaller(st.halved + m.halve)
		if !ok {
			return false
		}
		st.halved += m.halve
		st.run = ""
		text += fmt.Sprintf("; it starts again with batch_size %d and gradient_accumulation_steps %d, so that a step sees as many rows as before",
			smaller.Training.BatchSize, smaller.Training.GradientAccumulationSteps)
	case m.Class == classMemory && s.running == 0:
		return false // nothing else had a part of the memory
	case m.Class == classMemory, m.Class == classDied:
		switch {
		case st.work.config == nil:
			text += "; it evaluates again"
		case st.run != "":
			text += "; it goes on from its last checkpoint"
		}
	default:
		return false
	}
	s.write(record{Kind: recordEnd, Job: st.Name, Status: Interrupted, Class: m.Class, Error: m.Text, Run: s.below(st.run), Halved: st.halved, Attempt: st.attempt, Seconds: st.seconds})
	st.status = Waiting
	s.emit(Event{Kind: EventRetry, Job: st.Name, Attempt: st.attempt + 1, Text: text, Warning: true})
	return true
}

// What is said of a job that ran out of memory and is not tried again: with a
// batch that need not be smaller, and in its evaluation, which has another.
const (
	noRelief     = "a smaller batch would not help: take a smaller model, a shorter training.max_seq_length or fewer slots"
	inEvaluation = "that was in the evaluation: take a smaller eval.batch_size or fewer slots"
)

// worthwhile is how much of the memory a smaller batch may need to be tried:
// estimates of less difference say nothing.
const worthwhile = 0.95

// relief is how many times more the batch of a job must be made smaller to need
// less memory, by the engine's own estimate; 0 when that would not help. The
// engine tries two steps for an estimate, in a process of its own, since it may
// run out of memory as well.
func (s *scheduler) relief(w *work, halved int, a Attempt, orders <-chan struct{}) int {
	if w.config == nil {
		return 0
	}
	a.Resume, a.Estimate, a.Log = "", true, a.Log+".estimate"
	defer os.Remove(a.Log) // that of the attempt tells why it ended
	estimate := func(times int) (bytes int64, fits, more bool) {
		cfg, ok := w.smaller(times)
		if !ok || s.attempt.Err() != nil {
			return 0, false, false
		}
		a.Config = cfg.Map()
		end := s.opt.Runner.Run(s.attempt, a, orders, s.opt.Abort, func(Message) {})
		fits = end.Class == classComplete
		// A process without memory may die of anything.
		return end.MemoryBytes, fits, fits || end.Class == classMemory || end.Class == classDied
	}
	now, known, ok := estimate(halved)
	for times := halved + 1; ok; times++ {
		var bytes int64
		var fits bool
		if bytes, fits, ok = estimate(times); fits && (!known || float64(bytes) < worthwhile*float64(now)) {
			return times - halved
		}
	}
	return 0
}

// estimate says what memory a training needs, without training.
func estimate(ctx context.Context, a Attempt) Message {
	cfg, err := config.FromMap(a.Config)
	if err != nil {
		return ending(ctx, err)
	}
	var plan engine.Plan
	_, err = core.Train(ctx, core.TrainOptions{Config: cfg, DryRun: true, Plan: &plan})
	end := ending(ctx, err)
	end.MemoryBytes = plan.MemoryBytes
	return end
}
