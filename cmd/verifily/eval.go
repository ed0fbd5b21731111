package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/runs"
)

func (a *app) eval() *cobra.Command {
	var opt core.EvaluateOptions
	var runsDir string
	var hard, batch, tokens, beams whole
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "Evaluate a trained run",
		Long: `Let the model of a run answer test data, and write its predictions, metrics,
slices and hard examples. What is not given is taken from the run's
configuration; the gold set and the format rules are always the run's.

The evaluation of the run's own data goes to eval/ of the run, where compare and
decide read it; that of other data to a folder of its own below, or to --output.`,
		Example: `  verifily eval --run runs/run_20260101_120000_abcdef
  verifily eval --run runs/run_20260101_120000_abcdef --test-data other.jsonl --output other-eval
  verifily eval --run runs/run_20260101_120000_abcdef --metrics f1,rougeL --slice-by source,length`,
		Args: noArguments("name the run with --run RUN"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			changed := cmd.Flags().Changed
			if err := notEmpty(cmd, "run", "runs-dir", "test-data", "metrics", "slice-by", "output", "device"); err != nil {
				return err
			}
			switch {
			case opt.RunPath == "":
				return usage("--run is required", "name a run directory: verifily eval --run runs/run_...")
			}
			for _, f := range []struct {
				name  string
				value whole
			}{{"batch-size", batch}, {"max-new-tokens", tokens}, {"beams", beams}} {
				if changed(f.name) && f.value < 1 {
					return usage(fmt.Sprintf("--%s: must be at least 1, not %d", f.name, f.value), "")
				}
			}
			opt.BatchSize, opt.MaxNewTokens, opt.NumBeams = int(batch), int(tokens), int(beams)
			if changed("hard-examples") {
				n := int(hard)
				opt.HardExamples = &n
			}
			return a.runEval(cmd.Context(), opt, runsDir)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.RunPath, "run", "", "`RUN` of a finished training: its directory, id or name")
	flags.StringVar(&runsDir, "runs-dir", "runs", "`FOLDER` where ids and names are looked up")
	flags.StringVar(&opt.TestData, "test-data", "", "JSONL `FILE` to evaluate on (default: the run's test data, else its validation data)")
	flags.StringSliceVar(&opt.Metrics, "metrics", nil, "`NAMES` of metrics to compute, separated by commas")
	flags.StringSliceVar(&opt.SliceBy, "slice-by", nil, "`TAGS` to slice by, separated by commas; a*b crosses two")
	flags.Var(&hard, "hard-examples", "`NUMBER` of hard examples to keep (default: as the run's configuration)")
	flags.StringVar(&opt.OutputDir, "output", "", "`FOLDER` for the files (default: eval in the run, or a folder below for other data)")
	flags.StringVar(&opt.Device, "device", "", "`DEVICE` to compute on: auto, cpu, cuda, cuda:N or mps")
	flags.Var(&batch, "batch-size", "`NUMBER` of examples answered together (default: as the run's configuration)")
	flags.Var(&tokens, "max-new-tokens", "`NUMBER` of tokens of an answer at most (default: as the run's configuration)")
	flags.Var(&beams, "beams", "`NUMBER` of beams of the search for an answer; 1 is greedy (default: likewise)")
	flags.Bool("json", false, "print one JSON object a line (see verifily help json)")
	return cmd
}

func (a *app) runEval(ctx context.Context, opt core.EvaluateOptions, runsDir string) error {
	defer a.warnLostOutput()
	opt.Events = a.printer.Event
	var err error
	if opt.RunPath, err = core.FindRun(opt.RunPath, runsDir); err != nil {
		return err
	}
	a.log.Info("evaluating", "run", opt.RunPath, "test_data", opt.TestData)
	res, err := core.Evaluate(ctx, opt)
	if err != nil {
		return err
	}
	run, err := runs.Open(opt.RunPath)
	if err != nil {
		return err
	}
	meta, err := run.Meta()
	if err != nil {
		return err
	}
	a.printer.Finished(show.Result{
		Run: show.Run{Dir: shortPath(run.Dir()), Meta: meta},
		Eval: &show.Evaluation{Dir: shortPath(res.Dir), Results: res.EvalResults, Hard: res.Hard,
			Lift: res.Lift, SliceBy: res.SliceBy, MinSlice: res.MinSlice, Missing: res.Missing},
	})
	return nil
}
