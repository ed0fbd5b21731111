// Package jobs trains in this process, one run after another, and keeps the
// handles to pause and stop what it started, or to hand it over to a process
// that goes on without a screen. What a run does is read from its folder like
// that of any other process; nothing here tells of it.
package jobs

import (
	"context"
	"errors"
	"sync"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs"
)

// Spec says what to train. The config file is read when the job is put into
// the queue: what is changed in it later does not matter to the job.
type Spec struct {
	Config    string // train.yaml
	Overrides []config.Override
	RunsDir   string
	Resume    string // run directory to go on with; nothing else counts then
}

// Phase is how far a job has come.
type Phase string

// The phases of a job.
const (
	Waiting  Phase = "waiting"
	Training Phase = "training"
	Paused   Phase = "paused"
	Stopping Phase = "stopping"
	Done     Phase = "done"
	Stopped  Phase = "stopped" // and can be resumed
	Failed   Phase = "failed"
	Handed   Phase = "handed over" // another process goes on with it
)

// State is a job at a moment.
type State struct {
	ID    int
	Name  string
	Dir   string // of the run, empty until there is one
	Phase Phase
	Err   error // of a job that failed
}

// Ended says whether nothing more happens in this process.
func (s State) Ended() bool {
	return s.Phase == Done || s.Phase == Stopped || s.Phase == Failed || s.Phase == Handed
}

// Jobs runs trainings, one at a time, in the order they were started. Its
// methods may be called from several goroutines.
type Jobs struct {
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	// changed holds a token when something has changed since it was taken.
	changed chan struct{}

	// gate is held while work is handed over: no job begins to train then.
	gate sync.Mutex

	mu   sync.Mutex
	list []*job
	last chan struct{} // closed when the job started last has given way
}

type job struct {
	state   State
	spec    Spec
	config  *config.Config // nil until it was read, and of a run that is resumed
	handed  bool           // it is another process's now
	control engine.Control
	cancel  context.CancelFunc
}

// New returns jobs that stop when ctx ends. Close must be called.
func New(ctx context.Context) *Jobs {
	ctx, cancel := context.WithCancel(ctx)
	return &Jobs{ctx: ctx, cancel: cancel, changed: make(chan struct{}, 1)}
}

// Plan works out what a training would be, without starting it.
func Plan(ctx context.Context, spec Spec) (*config.Config, *engine.Plan, error) {
	cfg, err := core.LoadConfig(spec.Config, spec.Overrides...)
	if err != nil {
		return nil, nil, err
	}
	plan := &engine.Plan{}
	_, err = core.Train(ctx, core.TrainOptions{Config: cfg, OutputDir: spec.RunsDir, DryRun: true, Plan: plan})
	if err != nil {
		return cfg, nil, err
	}
	return cfg, plan, nil
}

// Start puts a training into the queue and returns its job.
func (j *Jobs) Start(spec Spec, name string) int {
	ctx, cancel := context.WithCancel(j.ctx)
	next := &job{cancel: cancel, spec: spec}
	j.mu.Lock()
	next.state = State{ID: len(j.list), Name: name, Phase: Waiting}
	j.list = append(j.list, next)
	before, ended := j.last, make(chan struct{})
	j.last = ended
	j.mu.Unlock()
	j.tell()
	j.work.Go(func() {
		defer close(ended)
		defer cancel()
		j.train(ctx, next, before)
	})
	return next.state.ID
}

// train waits for the job before, and trains. A job that is stopped while it
// waits still keeps those behind it waiting: the one before may be at work.
func (j *Jobs) train(ctx context.Context, next *job, before <-chan struct{}) {
	err := j.read(next)
	if before != nil {
		select {
		case <-before:
		case <-ctx.Done():
			defer func() { <-before }()
		}
	}
	if err == nil {
		err = j.begin(ctx, next)
	}
	if err == nil {
		opt := core.TrainOptions{ResumeFrom: next.spec.Resume, Control: &next.control,
			Started: func(run *runs.Run) { j.set(next, func(s *State) { s.Dir = run.Dir() }) }}
		if opt.ResumeFrom == "" {
			opt.Config, opt.OutputDir = next.config, next.spec.RunsDir
		}
		_, err = core.Train(ctx, opt)
	}
	j.set(next, func(s *State) {
		var interrupted *core.Interrupted
		switch {
		case err == nil:
			s.Phase = Done
		case next.handed:
			s.Phase = Handed
		case errors.As(err, &interrupted) || errors.Is(err, context.Canceled):
			s.Phase = Stopped
		default:
			s.Phase, s.Err = Failed, err
		}
	})
}

// read reads the config that a job is to be trained by.
func (j *Jobs) read(next *job) error {
	if next.spec.Resume != "" {
		return nil
	}
	cfg, err := core.LoadConfig(next.spec.Config, next.spec.Overrides...)
	if err != nil {
		return err
	}
	j.mu.Lock()
	next.config = cfg
	j.mu.Unlock()
	return nil
}

// begin makes a job that waited one that trains, unless it was stopped.
func (j *Jobs) begin(ctx context.Context, next *job) error {
	j.gate.Lock()
	defer j.gate.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	j.set(next, func(s *State) {
		if s.Phase == Waiting {
			s.Phase = Training
		}
	})
	return nil
}

func (j *Jobs) set(next *job, change func(*State)) {
	j.mu.Lock()
	change(&next.state)
	j.mu.Unlock()
	j.tell()
}

func (j *Jobs) tell() {
	select {
	case j.changed <- struct{}{}:
	default:
	}
}

// States returns the jobs in the order they were started.
func (j *Jobs) States() []State {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]State, len(j.list))
	for i, next := range j.list {
		out[i] = next.state
	}
	return out
}

// Changed gives a token after every change, one for several that were not
// waited for.
func (j *Jobs) Changed() <-chan struct{} { return j.changed }

// Pause holds a training before its next step, Resume lets it go on.
func (j *Jobs) Pause(id int) {
	j.steer(id, Training, Paused, func(next *job) { next.control.Pause() })
}

// Resume lets a paused training go on.
func (j *Jobs) Resume(id int) {
	j.steer(id, Paused, Training, func(next *job) { next.control.Resume() })
}

// Checkpoint asks a training for a checkpoint after its current step.
func (j *Jobs) Checkpoint(id int) {
	j.steer(id, Training, Training, func(next *job) { next.control.Checkpoint() })
}

// steer does something to a job in a phase; in any other it does nothing.
func (j *Jobs) steer(id int, from, to Phase, do func(*job)) {
	j.mu.Lock()
	if id >= 0 && id < len(j.list) && j.list[id].state.Phase == from {
		j.list[id].state.Phase = to
		do(j.list[id])
	}
	j.mu.Unlock()
	j.tell()
}

// Stop ends a job: the run saves a checkpoint and can be resumed.
func (j *Jobs) Stop(id int) {
	j.mu.Lock()
	if id >= 0 && id < len(j.list) && !j.list[id].state.Ended() {
		j.list[id].state.Phase = Stopping
		j.list[id].cancel()
	}
	j.mu.Unlock()
	j.tell()
}

// AtWork says whether a job has not ended.
func (j *Jobs) AtWork() bool {
	for _, s := range j.States() {
		if !s.Ended() {
			return true
		}
	}
	return false
}

// StopAll ends every job, as Stop does.
func (j *Jobs) StopAll() {
	for _, s := range j.States() {
		j.Stop(s.ID)
	}
}

// Close stops every job and waits until their runs are saved.
func (j *Jobs) Close() {
	j.cancel()
	j.work.Wait()
}
