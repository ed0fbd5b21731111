package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/reproduce"
)

func (a *app) reproduce() *cobra.Command {
	var opt core.ReproduceOptions
	var tolerance float64
	cmd := &cobra.Command{
		Use:   "reproduce RUN",
		Short: "Verify a run, and train it again",
		Long: `Recompute every hash that a run of train or retrain claims and tell what
differs; then, unless --verify-only is given, train again from its
configuration into a new run directory and compare weights and metrics. The run
itself is never written to. It is named by its path, or by its id or name in
--runs-dir.

FULL MATCH: everything is as it was. PARTIAL MATCH: only the environment
differs, or metrics are within the tolerance. CONFIG MATCH ONLY: the run is
intact, but its data has changed, or it has no hashes of its files. MISMATCH: the
run is not what it claims. Trained again, a run whose own hashes are a MISMATCH
stays one.

Exit codes: 0 FULL MATCH and PARTIAL MATCH, 2 the other two, 1 the run cannot be
verified or trained again, 130 interrupted; training fails with the codes of
verifily train.`,
		Example: `  verifily reproduce runs/run_20260101_120000_abcdef --verify-only
  verifily reproduce runs/run_20260101_120000_abcdef
  verifily reproduce runs/run_20260101_120000_abcdef --output-dir again --tolerance 0.02`,
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usage("needs a run", "name it: verifily reproduce runs/run_...")
			case 1:
				return nil
			}
			return usage(fmt.Sprintf("unexpected argument %q", args[1]), "reproduce one run at a time")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notEmpty(cmd, "output-dir", "runs-dir"); err != nil {
				return err
			}
			if cmd.Flags().Changed("tolerance") {
				if !(tolerance >= 0 && tolerance <= 1) {
					return usage(fmt.Sprintf("--tolerance: must be between 0 and 1, not %v", tolerance), "")
				}
				opt.Tolerance = &tolerance
			}
			opt.RunPath = args[0]
			return a.runReproduce(cmd.Context(), opt)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&opt.VerifyOnly, "verify-only", false, "recompute the hashes and train nothing")
	flags.StringVar(&opt.RunsDir, "runs-dir", "runs", "`FOLDER` where ids and names are looked up")
	flags.StringVar(&opt.OutputDir, "output-dir", "", "`FOLDER` of the new run directory (default: that of the run)")
	flags.Float64Var(&tolerance, "tolerance", reproduce.DefaultTolerance, "`SHARE` of a metric by which it may differ")
	flags.Bool("json", false, "print one JSON document (see verifily help json)")
	return cmd
}

func (a *app) runReproduce(ctx context.Context, opt core.ReproduceOptions) error {
	defer a.warnLostOutput()
	a.log.Info("reproducing", "run", opt.RunPath, "verify_only", opt.VerifyOnly)
	if !opt.VerifyOnly {
		defer a.unhurried(ctx, func() string {
			return "stopping (a second Ctrl-C ends at once)"
		})()
	}
	opt.Events, opt.Started = a.progress()
	res, err := core.Reproduce(ctx, opt)
	if err != nil {
		return err
	}
	a.verdict = res.ExitCode()
	out := show.Reproduction{Result: res, Run: opt.RunPath}
	if res.Repeated != nil {
		out.New = shortPath(res.Repeated.New)
	}
	return a.printer.Reproduced(out)
}
