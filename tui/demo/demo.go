// Package demo makes runs to show the workbench with. They are no props: a tiny
// model is trained on made-up words by the native engine, evaluated, judged and
// in part reviewed, in some seconds, so what the screen says about them is
// so.
package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/tui/source"
)

// The files of a demo, in its folder.
const (
	RunsDir = "runs"       // folder of the runs
	Config  = "train.yaml" // of the training that goes on while the screen is shown
	policy  = "ship.yaml"
	data    = "data"
	// marker says that all runs are there.
	marker = ".complete"
)

// Baseline is the name of the run that the others are measured against.
const Baseline = "first-try"

// training is a run of the demo.
type training struct {
	name   string
	epochs float64
	change []config.Override
	// stop interrupts it, as a person would, after so many steps.
	stop   int
	fails  bool // it is meant to
	decide bool // judge it and read some of its hard examples
}

var trainings = []training{
	{name: Baseline, epochs: 8, decide: true},
	{name: "too-hot", epochs: 3, fails: true, change: []config.Override{{Key: "training.learning_rate", Value: 1e4}, {Key: "training.max_grad_norm", Value: 0}}},
	{name: "overnight", epochs: 20, stop: 60},
	{name: "longer", epochs: 16, decide: true},
	{name: "longer-seed-7", epochs: 16, change: []config.Override{{Key: "seed", Value: 7}}},
}

// Make writes data, configs and runs below dir, which is made if need be, and
// returns the folder of the baseline. What an earlier call completed stays as it
// is. say is told what happens.
func Make(ctx context.Context, dir string, say func(string)) (baseline string, err error) {
	if err := write(dir); err != nil {
		return "", err
	}
	root := filepath.Join(dir, RunsDir)
	if _, err := os.Stat(filepath.Join(root, marker)); err == nil {
		say("the runs are there already")
		return core.FindRun(Baseline, root)
	}
	var first string
	for i, t := range trainings {
		say(fmt.Sprintf("%d of %d: training %s", i+1, len(trainings), t.name))
		run, err := t.train(ctx, dir)
		if err != nil {
			return "", err
		}
		if t.name == Baseline {
			first = run
		}
		if !t.decide {
			continue
		}
		if err := review(ctx, root, run); err != nil {
			return "", err
		}
		opt := core.DecideOptions{Run: run, RunsDir: root, Policy: filepath.Join(dir, policy), Note: "demo"}
		if run != first {
			opt.Baseline = first
		}
		if _, err := core.Decide(ctx, opt); err != nil {
			return "", err
		}
	}
	return first, atomicfile.WriteBytes(filepath.Join(root, marker), 0o644, nil)
}

// train runs a training to its end, its interruption or its failure, and returns
// the folder of the run.
func (t *training) train(ctx context.Context, dir string) (string, error) {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	opt := core.TrainOptions{ConfigPath: filepath.Join(dir, Config), WorkingDir: dir, OutputDir: filepath.Join(dir, RunsDir),
		Overrides: append([]config.Override{{Key: "name", Value: t.name}, {Key: "training.num_epochs", Value: t.epochs}}, t.change...)}
	var run string
	opt.Started = func(r *runs.Run) { run = r.Dir() }
	stopped := false
	opt.Events = func(e engine.Event) {
		if step, ok := e.(engine.StepEvent); ok && t.stop > 0 && step.Step >= t.stop && !stopped {
			stopped = true
			cancel()
		}
	}
	_, err := core.Train(within, opt)
	var failed *core.TrainingError
	switch {
	case err == nil, stopped && ctx.Err() == nil, t.fails && errors.As(err, &failed):
	default:
		return "", err
	}
	return run, nil
}

// review labels the hardest examples of a run, as somebody would who has begun
// to read them.
func review(ctx context.Context, root, run string) error {
	src := source.New(root)
	hard, err := src.Hard(run, "")
	if err != nil {
		return err
	}
	labels := decision.Labels()
	for i, label := range []string{labels[0], labels[0], labels[2], labels[0], labels[1]} {
		if i >= len(hard.Examples) {
			break
		}
		e := &hard.Examples[i]
		if _, err := src.Label(ctx, run, source.Review{ID: e.ID, InputHash: e.InputHash, Verdict: label, Reviewer: "demo"}); err != nil {
			return err
		}
	}
	return nil
}
