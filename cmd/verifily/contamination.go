package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core/contamination"
	"github.com/verifily/verifily-tui/core/contamination/pii"
)

func (a *app) contamination() *cobra.Command {
	var opt contamination.Options
	var ngram whole
	var output string
	cmd := &cobra.Command{
		Use:   "contamination",
		Short: "Find evaluation rows in training data",
		Long: `Find rows of an evaluation file that stand in a training file too, word for
word or nearly so, and what looks like personal data in the training file. The
result goes to --output: row numbers, ids and hashes, never the text.

PASS: nothing was found. WARN: near duplicates. FAIL: exact overlaps.

Exit codes: 0 PASS and WARN, 1 FAIL, and configuration or usage, 2 data.`,
		Example: `  verifily contamination --train data/train.jsonl --eval data/test.jsonl
  verifily contamination --train data/train.jsonl --eval data/test.jsonl --threshold 0.7 --ngram 8
  verifily contamination --train data/train.jsonl --eval data/test.jsonl --output runs/run_20260101_120000_abcdef/eval/contamination.json`,
		Args: noArguments("name the files with --train FILE and --eval FILE"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notEmpty(cmd, "train", "eval", "output"); err != nil {
				return err
			}
			opt.NGram = int(ngram)
			switch {
			case opt.TrainPath == "":
				return usage("--train is required", "name the training data: verifily contamination --train A --eval B")
			case opt.EvalPath == "":
				return usage("--eval is required", "name the evaluation data: verifily contamination --train A --eval B")
			case !(opt.Threshold >= contamination.MinThreshold && opt.Threshold <= 1):
				return usage(fmt.Sprintf("--threshold: must be between %v and 1, not %v", contamination.MinThreshold, opt.Threshold), "")
			case ngram < 1 || ngram > contamination.MaxNGram:
				return usage(fmt.Sprintf("--ngram: must be between 1 and %d, not %d", contamination.MaxNGram, ngram), "")
			}
			return a.runContamination(cmd.Context(), opt, output)
		},
	}
	ngram = contamination.DefaultNGram
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.TrainPath, "train", "", "JSONL `FILE` of training data")
	flags.StringVar(&opt.EvalPath, "eval", "", "JSONL `FILE` of evaluation data")
	flags.Float64Var(&opt.Threshold, "threshold", contamination.DefaultThreshold, "`SIMILARITY` (Jaccard) from which on rows are near duplicates")
	flags.Var(&ngram, "ngram", "`NUMBER` of characters in an n-gram")
	flags.StringVar(&output, "output", "contamination.json", "`FILE` for the result")
	flags.Bool("json", false, "print one JSON document (see verifily help json)")
	return cmd
}

// failed is the exit code of a check that found what must not be.
const failed = 1

func (a *app) runContamination(ctx context.Context, opt contamination.Options, output string) error {
	defer a.warnLostOutput()
	const op = "check contamination"
	if err := refuseOutput(op, output, opt.TrainPath, opt.EvalPath); err != nil {
		return err
	}
	a.log.Info("looking for overlaps", "train", opt.TrainPath, "eval", opt.EvalPath)
	report, err := contamination.Check(ctx, opt)
	if err != nil {
		return err
	}
	found, err := pii.ScanFile(ctx, opt.TrainPath, opt.Task)
	if err != nil {
		return err
	}
	data, err := report.JSON()
	if err != nil {
		return fmt.Errorf("write contamination result: %w", err)
	}
	err = save(op, output, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	if report.Status == contamination.Fail {
		a.verdict = failed
	}
	return a.printer.Scanned(show.Contamination{Report: report, PII: found, File: output})
}
