package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
)

func (a *app) contract() *cobra.Command {
	var run, runsDir string
	cmd := &cobra.Command{
		Use:   "contract-check",
		Short: "Check that a run has what a decision needs",
		Long: `Check a run directory against the run contract: the files that it must have,
and that it is completed. What is in the files - hashes, the chain, metrics,
predictions - is checked and told as well, but does not decide. A run is a path,
or the id or the name of a run in --runs-dir.

Exit codes: 0 valid, 3 invalid, 1 configuration or usage, 4 more than one run
has the name.`,
		Example: `  verifily contract-check --run runs/run_20260101_120000_abcdef
  verifily contract-check --run runs/run_20260101_120000_abcdef --json`,
		Args: noArguments("name the run with --run RUN"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notEmpty(cmd, "run", "runs-dir"); err != nil {
				return err
			}
			if run == "" {
				return usage("--run is required", "name a run directory: verifily contract-check --run runs/run_...")
			}
			return a.runContract(cmd.Context(), run, runsDir)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&run, "run", "", "`RUN` to check: its directory, id or name")
	cmd.Flags().StringVar(&runsDir, "runs-dir", "runs", "`FOLDER` where ids and names are looked up")
	cmd.Flags().Bool("json", false, "print one JSON document (see verifily help json)")
	return cmd
}

func (a *app) runContract(ctx context.Context, run, runsDir string) error {
	defer a.warnLostOutput()
	if info, err := os.Stat(run); err == nil && !info.IsDir() {
		return &core.ConfigError{Detail: fault.Detail{Op: "check contract", Path: run, Reason: "is not a folder", Hint: "name a run directory"}}
	}
	note := ""
	found, err := core.FindRun(run, runsDir)
	var missing *core.EvalError
	switch {
	case err == nil:
		run = found
	case errors.As(err, &missing) && missing.Path == run: // it lacks everything
		note = missing.Error()
	default:
		return err
	}
	result := contract.Check(run)
	content, err := contract.Content(ctx, run)
	if err != nil {
		return err
	}
	if !result.Valid {
		a.verdict = decision.ExitContractInvalid
	}
	return a.printer.Checked(show.Contract{Run: run, Result: result, Content: content, Note: note})
}
