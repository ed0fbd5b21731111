package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
)

// defaultConfig is read when no --config is given.
const defaultConfig = "train.yaml"

// settings are the flags that stand for one key of the config each.
var settings = []struct {
	flag, key string
	kind      func(fs *pflag.FlagSet, name, usage string)
	usage     string
}{
	{"base-model", "base_model", word, "`MODEL` to start from: builtin:nano, builtin:micro, a folder or a run"},
	{"task", "task", word, "`TASK` to learn: sft or classification"},
	{"output-dir", "output.dir", word, "`FOLDER` of the run directories"},
	{"device", "compute.device", word, "`DEVICE` to train on: auto, cpu, cuda, cuda:N or mps"},
	{"mode", "compute.mode", word, "`MODE` of computing: local"},
	{"epochs", "training.num_epochs", integer, "passes over the data"},
	{"batch-size", "training.batch_size", integer, "sequences a batch"},
	{"lr", "training.learning_rate", number, "peak learning rate"},
	{"lora-r", "lora.r", integer, "rank of the LoRA adapters"},
	{"quantization", "lora.quantization", word, "`KIND` of quantized base: none, 4bit or 8bit"},
	{"seed", "seed", integer, "seed of all random numbers"},
	{"name", "name", word, "`NAME` of the run for people"},
}

func word(fs *pflag.FlagSet, name, usage string)    { fs.String(name, "", usage) }
func integer(fs *pflag.FlagSet, name, usage string) { fs.Var(new(whole), name, usage) }
func number(fs *pflag.FlagSet, name, usage string)  { fs.Float64(name, 0, usage) }

func (a *app) train() *cobra.Command {
	var config, dataset, resume string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Train a model and evaluate it",
		Long: `Train a model as a train.yaml says, evaluate it when there is test or
validation data, and leave a run directory. Flags win over the file. A JSONL
file given with --dataset takes the place of the validation and test data too.

Ctrl-C saves a checkpoint and ends the run so that --resume continues it; a
second Ctrl-C ends at once. A closed terminal does not stop a run.`,
		Example: `  verifily train                                  # as ./train.yaml says
  verifily train --config train.yaml --epochs 5 --lr 3e-4
  verifily train --task sft --base-model builtin:nano --dataset data/train.jsonl
  verifily train --config train.yaml --dry-run    # rows, steps, memory, time
  verifily train --resume runs/run_20260101_120000_abcdef`,
		Args: noArguments("name the configuration with --config FILE"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notEmpty(cmd, "config", "dataset", "resume"); err != nil {
				return err
			}
			opt := core.TrainOptions{ConfigPath: config, Dataset: dataset, ResumeFrom: resume, DryRun: dryRun, Overrides: overrides(cmd)}
			if err := chooseConfig(&opt); err != nil {
				return err
			}
			return a.runTrain(cmd.Context(), opt)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&config, "config", "", "training configuration `FILE` (default: train.yaml if it exists)")
	flags.StringVar(&dataset, "dataset", "", "`DATA` in place of the configuration's: ID@VERSION, a JSONL file or a folder with manifest.json")
	for _, s := range settings {
		s.kind(flags, s.flag, s.usage)
	}
	flags.BoolVar(&dryRun, "dry-run", false, "check everything and print the plan, but train nothing")
	flags.StringVar(&resume, "resume", "", "`RUN` to continue: its directory, id or name, or one of its checkpoints")
	flags.Bool("verbose", false, "print every step, not only logging steps")
	flags.Bool("json", false, "print one JSON object a line (see verifily help json)")
	return cmd
}

// overrides lists the settings that were given.
func overrides(cmd *cobra.Command) []config.Override {
	var out []config.Override
	for _, s := range settings {
		if !cmd.Flags().Changed(s.flag) {
			continue
		}
		var value any
		switch v := cmd.Flags().Lookup(s.flag).Value; v.Type() {
		case "int":
			value = int64(*v.(*whole))
		case "float64":
			value, _ = cmd.Flags().GetFloat64(s.flag) // it has this type
		default:
			value = v.String()
		}
		out = append(out, config.Override{Key: s.key, Value: value, Source: "--" + s.flag})
	}
	return out
}

// chooseConfig falls back to ./train.yaml, then to the defaults where flags
// say what to train.
func chooseConfig(opt *core.TrainOptions) error {
	if opt.ConfigPath != "" || opt.ResumeFrom != "" {
		return nil
	}
	switch _, err := os.Stat(defaultConfig); {
	case err == nil:
		opt.ConfigPath = defaultConfig
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for %s: %w", defaultConfig, err)
	case opt.Dataset != "" || slices.ContainsFunc(opt.Overrides, saysWhat):
		opt.Config = config.Default()
	default:
		return usage("there is no configuration: no --config, and no "+defaultConfig+" in this folder",
			"name one with --config FILE, or say what to train with --task, --base-model and --dataset")
	}
	return nil
}

// saysWhat tells the settings that make sense without any file from those that
// adjust one.
func saysWhat(o config.Override) bool { return o.Key == "task" || o.Key == "base_model" }

func (a *app) runTrain(ctx context.Context, opt core.TrainOptions) error {
	defer a.warnLostOutput()
	var plan engine.Plan
	opt.Plan = &plan
	var evaluating atomic.Bool
	opt.Events = func(ev engine.Event) {
		if _, ok := ev.(engine.PredictEvent); ok {
			evaluating.Store(true)
		}
		a.printer.Event(ev)
	}
	opt.Started = func(run *runs.Run) { a.started(run, opt.ResumeFrom != "") }
	a.log.Info("training", "config", opt.ConfigPath, "resume", opt.ResumeFrom, "dataset", opt.Dataset)
	for _, o := range opt.Overrides {
		a.log.Debug("set by a flag", "key", o.Key, "value", o.Value)
	}
	if !opt.DryRun {
		defer a.unhurried(ctx, func() string {
			if evaluating.Load() {
				return "stopping: the training is saved, its evaluation is not (a second Ctrl-C ends at once)"
			}
			return "stopping: saving a checkpoint (a second Ctrl-C ends at once, without it)"
		})()
	}
	run, err := core.Train(ctx, opt)
	if err != nil {
		return err
	}
	if opt.DryRun {
		a.printer.Planned(plan)
		return nil
	}
	result, err := resultOf(run)
	if err != nil {
		return fmt.Errorf("the run is complete, but its result cannot be read: %w", err)
	}
	a.printer.Finished(result)
	return nil
}

// unhurried prepares for work that takes long: a dropped connection does not
// end it, and the first Ctrl-C is answered. The function returned ends that.
func (a *app) unhurried(ctx context.Context, answer func() string) func() {
	signal.Ignore(syscall.SIGHUP)
	stop := context.AfterFunc(ctx, func() { a.con.Report(answer()) })
	return func() { stop() }
}

// progress is where commands report to whose --json output is one document:
// only warnings are told then, on standard error.
func (a *app) progress() (events func(engine.Event), started func(*runs.Run)) {
	if !a.asJSON {
		return a.printer.Event, func(run *runs.Run) { a.started(run, false) }
	}
	return func(ev engine.Event) {
		if e, ok := ev.(engine.LogEvent); ok && e.Warning {
			a.con.Report("warning: " + text.Escape(e.Message))
		}
	}, nil
}

// started tells about the run directory. It is fresh, so a file that cannot be
// read shows again when the run is finished.
func (a *app) started(run *runs.Run, resumed bool) {
	meta, err := run.Meta()
	if err != nil {
		a.log.Warn("read run", "cause", err)
	}
	a.printer.Started(show.Run{Dir: shortPath(run.Dir()), Meta: meta, Resumed: resumed})
}

// resultOf reads what a completed run left.
func resultOf(run *runs.Run) (show.Result, error) {
	meta, err := run.Meta()
	if err != nil {
		return show.Result{}, err
	}
	summary, err := run.Summary()
	if err != nil {
		return show.Result{}, err
	}
	dir := shortPath(run.Dir())
	out := show.Result{Run: show.Run{Dir: dir, Meta: meta}, Summary: &summary}
	results, err := run.EvalResults()
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil // nothing was evaluated
	}
	if err != nil {
		return show.Result{}, err
	}
	hard, err := run.HardExamples()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return show.Result{}, err
	}
	cfg, err := config.Load(filepath.Join(run.Dir(), "config.yaml"))
	if err != nil {
		return show.Result{}, err
	}
	lift, err := liftOf(run, hard, cfg.Eval.SliceByTags)
	if err != nil {
		return show.Result{}, err
	}
	out.Eval = &show.Evaluation{Dir: dir + "/eval", Results: results, Hard: hard, Lift: lift,
		SliceBy: cfg.Eval.SliceByTags, MinSlice: cfg.Eval.MinSlice}
	return out, nil
}

// liftOf says which slices the hard examples of a run come from.
func liftOf(run *runs.Run, hard []runs.HardExample, keys []string) ([]metrics.TagLift, error) {
	if len(hard) == 0 || len(keys) == 0 {
		return nil, nil
	}
	var preds []runs.Prediction
	for p, err := range run.Predictions() {
		if err != nil {
			return nil, err
		}
		preds = append(preds, p)
	}
	return metrics.HardSummary(hard, preds, keys), nil
}

// shortPath is the path as seen from the current folder, where that is below
// it.
func shortPath(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(here, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return path
	}
	return rel
}
