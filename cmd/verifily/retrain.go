package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/runs"
)

func (a *app) retrain() *cobra.Command {
	var opt core.RetrainOptions
	var seed integerOfAnySize
	var notes string
	cmd := &cobra.Command{
		Use:   "retrain",
		Short: "Train on a data set artifact, evaluate and decide",
		Long: `Train on a data set artifact, evaluate, decide, and leave one directory
OUT/runs/retrain_NNNN with the evidence, or nothing. The hashes of the data set
are verified first.

Mode mock trains nothing: its metrics follow from the data set and the seed.
Mode real trains with the native engine, as --config says, else train.yaml in
the data set, else a small built-in model; it needs the environment variable
VERIFILY_ENABLE_REAL_TRAIN=1. It leaves the training, validation and test data
in OUT/splits, for reproduce to read. One that fails or is interrupted leaves
nothing; the training of one that was killed stays in OUT/train, where
verifily train --resume can finish it.

Exit codes: 0 SHIP, 1 DONT_SHIP, 2 INVESTIGATE, 3 DONT_SHIP because the run
contract is not met, 4 error: there is no verdict, 130 interrupted.`,
		Example: `  verifily retrain --dataset data/faq
  verifily retrain --dataset data/faq --baseline runs/run_20260101_120000_abcdef --seed 7
  VERIFILY_ENABLE_REAL_TRAIN=1 verifily retrain --dataset data/faq --mode real --out retrained`,
		Annotations: judging,
		Args:        noArguments("name the data set with --dataset FOLDER"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notEmpty(cmd, "dataset", "baseline", "contaminated", "mode", "out", "runs-dir", "metric", "config", "project-id"); err != nil {
				return err
			}
			if opt.DatasetDir == "" {
				return usage("--dataset is required", "name a data set artifact, as verifily ingest writes one")
			}
			opt.Seed = json.Number(seed)
			if cmd.Flags().Changed("notes") {
				opt.Notes = &notes
			}
			return a.runRetrain(cmd.Context(), opt)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.DatasetDir, "dataset", "", "`FOLDER` of the data set artifact")
	flags.StringVar(&opt.BaseRunDir, "baseline", "", "`RUN` to compare with: its directory, id or name")
	flags.StringVar(&opt.ContaminatedRunDir, "contaminated", "", "`RUN` whose contamination.json counts, likewise")
	flags.StringVar(&opt.RunsDir, "runs-dir", "runs", "`FOLDER` where ids and names are looked up")
	flags.StringVar(&opt.Mode, "mode", "mock", "`MODE`: mock or real")
	flags.StringVar(&opt.OutputDir, "out", "", "`FOLDER` of the retrains (default: /tmp/verifily_retrain/PROJECT)")
	flags.Var(&seed, "seed", "`SEED`, an integer of any size (default: 42, or that of the configuration)")
	flags.StringVar(&opt.Metric, "metric", "f1", "`METRIC` that matters, for the record")
	flags.StringVar(&notes, "notes", "", "`TEXT` for the record")
	flags.StringVar(&opt.ConfigPath, "config", "", "training configuration `FILE` for mode real")
	flags.StringVar(&opt.ProjectID, "project-id", "default", "`PROJECT` that it belongs to")
	flags.Bool("json", false, "print one JSON document, the answer of the HTTP service (see verifily help json)")
	return cmd
}

func (a *app) runRetrain(ctx context.Context, opt core.RetrainOptions) error {
	defer a.warnLostOutput()
	a.log.Info("retraining", "dataset", opt.DatasetDir, "mode", opt.Mode)
	defer a.unhurried(ctx, func() string {
		return "stopping: nothing will be left of it (a second Ctrl-C ends at once)"
	})()
	opt.Events, opt.Started = a.progress()
	res, err := core.Retrain(ctx, opt)
	if err != nil {
		return err
	}
	a.verdict = res.ExitCode
	if len(res.Unverified) > 0 {
		a.log.Warn("the data set has no sha256 of these: a change to them would not be seen", "names", res.Unverified)
	}
	out, err := retrainOf(res)
	if err != nil {
		return err
	}
	return a.printer.Retrained(out)
}

// retrainOf reads what a retrain left.
func retrainOf(res *core.RetrainResult) (show.Retrain, error) {
	run, err := runs.Open(res.RunDir)
	if err != nil {
		return show.Retrain{}, err
	}
	meta, err := run.Meta()
	if err != nil {
		return show.Retrain{}, err
	}
	results, err := run.EvalResults()
	if err != nil {
		return show.Retrain{}, err
	}
	dir := shortPath(run.Dir())
	return show.Retrain{Result: res, Run: dir, Task: meta.Task, Eval: &show.Evaluation{Dir: dir + "/eval", Results: results}}, nil
}
