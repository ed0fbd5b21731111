package native

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/tensor"
)

// Engine trains and runs Llama-style models on the CPU.
type Engine struct{}

// Name implements engine.Trainer.
func (Engine) Name() string { return "native" }

// training is one run under way.
type training struct {
	*setup
	*stepper
	schedule schedule
	state    progress
	emit     func(engine.Event)

	perStep       int // training rows of an optimiser step
	stepsPerEpoch int
	epoch         int // whose order perm holds, -1 for none
	perm          []int32
	scratch       int // float32 values of scratch memory a worker has
	batch         batch
	checkpoint    string // the last one written, relative to the run
	resumedAt     time.Time
}

func newTraining(s *setup, emit func(engine.Event)) (*training, error) {
	s.model.prepare(s.cfg.Training.MaxSeqLength)
	c := s.cfg.Training
	step, err := newStepper(s.model, c.WeightDecay, c.MaxGradNorm)
	if err != nil {
		return nil, err
	}
	t := &training{setup: s, stepper: step, emit: emit, epoch: -1}
	t.perStep = c.BatchSize * c.GradientAccumulationSteps
	t.stepsPerEpoch = (s.job.Data.Train.Len() + t.perStep - 1) / t.perStep
	t.schedule = newSchedule(c, t.stepsPerEpoch*c.NumEpochs)
	t.state = progress{MaxSteps: t.schedule.total, Seed: s.cfg.Seed, ConfigHash: s.cfg.Hash(), DataHash: s.job.Data.DataHash}
	return t, nil
}

// Train implements engine.Trainer.
func (Engine) Train(ctx context.Context, job engine.Job, emit func(engine.Event)) (res *engine.Result, err error) {
	defer func() { emit(engine.FinishedEvent{Result: res, Err: err}) }()
	s, err := newSetup(ctx, job)
	if err != nil {
		return nil, err
	}
	defer func() { err = firstError(err, s.model.close()) }()
	l, err := s.train.measure(ctx)
	if err == nil {
		err = l.check(s.train)
	}
	if err != nil {
		return nil, err
	}
	for _, w := range append(l.warnings(), s.warnings()...) {
		emit(engine.LogEvent{Warning: true, Message: w})
	}
	t, err := newTraining(s, emit)
	if err != nil {
		return nil, err
	}
	defer t.pool.close()
	if err := t.reserve(ctx, l); err != nil {
		return nil, err
	}
	if job.Resume != "" {
		if err := t.loadCheckpoint(job.Resume); err != nil {
			return nil, err
		}
		t.checkpoint = checkpointsDir + "/" + filepath.Base(job.Resume)
		t.say("resumed at step %d of %d", t.state.Step, t.schedule.total)
	} else if err := s.saveTokenizer(); err != nil {
		return nil, t.failed(err)
	}
	t.announce()
	defer tightHeap()()
	return t.run(ctx)
}

func (t *training) say(format string, args ...any) {
	t.emit(engine.LogEvent{Message: fmt.Sprintf(format, args...)})
}

func (t *training) announce() {
	trained, frozen := t.model.counts()
	t.say("%s: %d parameters trained, %d frozen, vocabulary %d, %s kernels, %d workers",
		t.cfg.BaseModel, trained, frozen, t.model.Arch.VocabSize, t.pool.workers[0].k.ISA(), len(t.pool.workers))
}

// run trains to the end, to the interruption or to the first failure.
func (t *training) run(ctx context.Context) (*engine.Result, error) {
	t.resumedAt = time.Now()
	for {
		err := t.afterStep(ctx)
		if err == nil && t.state.Step == t.schedule.total {
			break
		}
		if err == nil {
			err = t.job.Control.Wait(ctx)
		}
		if err == nil {
			err = t.step(ctx)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return t.interrupted()
		default:
			return t.result(), err
		}
	}
	dir, weights, err := t.saveArtifact()
	res := t.result()
	res.ArtifactPath, res.WeightsFile = dir, weights
	if err != nil {
		return res, t.failed(err)
	}
	return res, nil
}

// interrupted saves the state as it was after the last whole step.
func (t *training) interrupted() (*engine.Result, error) {
	if t.state.Step > 0 {
		if err := t.writeCheckpointNow(); err != nil {
			return t.result(), err
		}
	}
	return t.result(), fmt.Errorf("%w at step %d of %d", engine.ErrInterrupted, t.state.Step, t.schedule.total)
}

// failed wraps an error of the disk or the system.
func (t *training) failed(err error) error {
	var training *fault.TrainingError
	if errors.As(err, &training) {
		return err
	}
	d := fault.Detail{Path: t.job.Dir, Err: err}
	var typed fault.TrainError
	if errors.As(err, &typed) {
		d = *typed.Fault()
	}
	d.Op, d.Hint = "save", "check free space and permissions, then resume the run"
	return &fault.TrainingError{Detail: d}
}

func (t *training) result() *engine.Result {
	s := &t.state
	return &engine.Result{
		TotalSteps: s.Step, Epochs: s.Epoch, FinalTrainLoss: s.LastLoss, BestEvalLoss: s.BestEvalLoss,
		BestEvalStep: s.BestEvalStep, FinalEvalLoss: s.EvalLoss, Samples: s.Samples, Tokens: s.Tokens,
		Seconds: t.seconds(), Checkpoint: t.checkpoint, Device: "cpu",
	}
}

// seconds is the training time so far, over all interruptions.
func (t *training) seconds() float64 { return t.state.Seconds + time.Since(t.resumedAt).Seconds() }

// due tells whether something that happens every n steps (0: every epoch) and
// at the end happens after the current step.
func (t *training) due(n int) bool {
	if n == 0 {
		n = t.stepsPerEpoch
	}
	return t.state.Step > 0 && (t.state.Step%n == 0 || t.state.Step == t.schedule.total)
}

// afterStep evaluates and saves where the current step asks for it.
func (t *training) afterStep(ctx context.Context) error {
	c := t.cfg.Training
	if t.val != nil && t.cfg.Eval.Enabled && t.due(c.EvalSteps) && t.state.Evaluated < t.state.Step {
		if err := t.evaluate(ctx); err != nil {
			return err
		}
	}
	asked := t.job.Control.TakeCheckpoint()
	if t.due(c.SaveSteps) || (asked && t.state.Step > 0) {
		return t.writeCheckpointNow()
	}
	return nil
}

func (t *training) writeCheckpointNow() error {
	now := time.Now()
	t.state.Seconds, t.resumedAt = t.state.Seconds+now.Sub(t.resumedAt).Seconds(), now
	rel := checkpointsDir + "/" + checkpointName(t.state.Step)
	if t.checkpoint == rel {
		return nil
	}
	rel, err := t.saveCheckpoint()
	if err != nil {
		return t.failed(err)
	}
	t.checkpoint = rel
	t.emit(engine.CheckpointEvent{Step: t.state.Step, Path: rel})
	return nil
}

// step does one optimiser step. When ctx ends on the way, nothing has changed.
func (t *training) step(ctx context.Context) error {
	start := time.Now()
	tokens, labels, err := t.nextBatch()
	if err != nil {
		return err
	}
	lr := t.schedule.rate(t.state.Step)
	loss, norm := 0.0, 0.0
	if labels > 0 {
		if loss, norm, err = t.update(ctx, labels, lr); err != nil {
			return err
		}
	}
	s := &t.state
	s.Step++
	s.Samples += int64(len(t.batch.seqs))
	s.Tokens += tokens
	s.Epoch = float64(s.Step) / float64(t.stepsPerEpoch)
	if labels > 0 { // else no row of the step had room for a response
		s.LossSum += loss
		s.LossSteps++
	}
	ev := engine.StepEvent{Step: s.Step, TotalSteps: t.schedule.total, Epoch: s.Epoch, Loss: loss, LearningRate: lr,
		GradNorm: norm, Tokens: s.Tokens, TokensPerSecond: float64(tokens) / time.Since(start).Seconds()}
	if t.due(t.cfg.Training.LoggingSteps) && s.LossSteps > 0 {
		ev.Logged, ev.MeanLoss = true, s.LossSum/float64(s.LossSteps)
		s.LastLoss, s.LossSum, s.LossSteps = ev.MeanLoss, 0, 0
	}
	t.emit(ev)
	return nil
}

// update moves the weights by the gradients of the batch, and returns its mean
// loss and the norm of the gradients before clipping.
func (t *training) update(ctx context.Context, labels int, lr float64) (loss, norm float64, err error) {
	if loss, err = t.gradients(ctx, &t.batch, labels, t.dropout()); err != nil {
		return 0, 0, t.broken(err)
	}
	if norm, err = t.gradNorm(); err != nil {
		return 0, 0, t.broken(err)
	}
	if bad := nonFinite(loss, norm); bad != "" {
		step := t.state.Step + 1
		t.state.LastLoss = loss
		t.emit(engine.StepEvent{Step: step, TotalSteps: t.schedule.total, Epoch: float64(step) / float64(t.stepsPerEpoch),
			Loss: loss, LearningRate: lr, GradNorm: norm, Tokens: t.state.Tokens, Logged: true, MeanLoss: loss})
		return 0, 0, t.diverged(step, bad)
	}
	return loss, norm, t.broken(t.apply(t.state.Step+1, lr, norm))
}

// broken makes a failure inside the engine a TrainingError.
func (t *training) broken(err error) error {
	var p *Panic
	if !errors.As(err, &p) {
		return err
	}
	return &fault.TrainingError{Detail: fault.Detail{Op: "train", Path: t.job.Dir, Err: err,
		Reason: fmt.Sprintf("step %d could not be computed", t.state.Step+1),
		Hint:   "was the base model's file changed while it was in use? restore it and resume the run"}}
}

func nonFinite(loss, norm float64) string {
	for _, v := range []struct {
		name  string
		value float64
	}{{"loss", loss}, {"gradient norm", norm}} {
		if math.IsNaN(v.value) || math.IsInf(v.value, 0) {
			return fmt.Sprintf("%s is %v", v.name, v.value)
		}
	}
	return ""
}

// diverged reports a number that is none, with the way back.
func (t *training) diverged(step int, what string) error {
	hint := "lower training.learning_rate, or raise training.warmup_ratio"
	switch {
	case t.checkpoint != "":
		hint += "; the last good checkpoint is " + t.checkpoint
	case t.state.Step == 0: // the weights are those of the base
		hint = "nothing was trained yet, so it is the weights of base_model: export or download them again"
	default:
		hint += "; there is no checkpoint yet"
	}
	return &fault.TrainingError{Detail: fault.Detail{Op: "train", Path: t.job.Dir,
		Reason: fmt.Sprintf("%s at step %d", what, step), Hint: hint}}
}

// nextBatch tokenises the rows of the next step. It
// returns the tokens computed and the rows or tokens that carry a loss.
func (t *training) nextBatch() (tokens int64, labels int, err error) {
	t.batch.seqs = t.batch.seqs[:0]
	for i, row := range t.stepRows(t.state.Step) {
		s, _, err := t.train.sequence(int(row))
		if err != nil {
			return 0, 0, err
		}
		if s.outputs() <= 0 || s.inputs() <= 0 {
			continue // no room was left for a response
		}
		s.ordinal = i
		t.batch.seqs = append(t.batch.seqs, s)
		tokens += int64(s.inputs())
		labels += s.outputs()
	}
	return tokens, labels, nil
}

// stepRows lists the training rows of a step, counted from 0.
func (t *training) stepRows(step int) []int32 {
	epoch := step / t.stepsPerEpoch
	if epoch != t.epoch {
		t.perm = tensor.NewPhilox(t.cfg.Seed, streamShuffle, uint64(epoch)).Perm(t.train.file.Len())
		t.epoch = epoch
	}
	first := step % t.stepsPerEpoch * t.perStep
	return t.perm[first:min(first+t.perStep, len(t.perm))]
}

// dropout names the masks of the current step.
func (t *training) dropout() dropout {
	return dropout{on: t.lora != nil && t.lora.dropout > 0, seed: t.cfg.Seed, step: uint64(t.state.Step)}
}

// evaluate computes the mean loss over the validation data.
func (t *training) evaluate(ctx context.Context) error {
	loss, labels, err := meanLoss(ctx, t.pool, t.val)
	if err != nil {
		return t.broken(err)
	}
	s := &t.state
	s.Evaluated = s.Step
	if labels == 0 {
		t.emit(engine.LogEvent{Warning: true, Message: "no row of the validation data has room for a response in training.max_seq_length: no validation loss"})
		return nil
	}
	if bad := nonFinite(loss, 0); bad != "" {
		t.emit(engine.EvalEvent{Step: s.Step, Epoch: s.Epoch, Loss: loss})
		return t.diverged(s.Step, "validation "+bad)
	}
	s.EvalLoss = &loss
	best := s.BestEvalLoss == nil || loss < *s.BestEvalLoss
	if best {
		s.BestEvalLoss, s.BestEvalStep = &loss, s.Step
	}
	t.emit(engine.EvalEvent{Step: s.Step, Epoch: s.Epoch, Loss: loss, Best: best})
	return nil
}

// RemoveLeftovers deletes what an interrupted save left behind in a run.
func RemoveLeftovers(runDir string) error {
	left, err := filepath.Glob(filepath.Join(runDir, checkpointsDir, ".saving-*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove unfinished checkpoint: %w", err)
		}
	}
	return nil
}
