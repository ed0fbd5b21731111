package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/runs"
)

func (a *app) decide() *cobra.Command {
	var opt core.DecideOptions
	cmd := &cobra.Command{
		Use:   "decide",
		Short: "Decide whether a run ships",
		Long: `Weigh what is known about a run - contract, hashes, contamination, metrics,
regressions against a baseline, and what a policy asks for - and give one
verdict with its reasons. It is written into decision/ of the run, and a line is
added to decision/audit_log.jsonl. Runs are paths, or ids or names of runs in
--runs-dir; verifily help policy explains the policy file.

Exit codes: 0 SHIP, 1 DONT_SHIP, 2 INVESTIGATE, 3 DONT_SHIP because the run
contract is not met, 4 error: there is no verdict.`,
		Example: `  verifily decide --run runs/run_20260102_090000_fedcba
  verifily decide --run runs/run_20260102_090000_fedcba --baseline runs/run_20260101_120000_abcdef --policy ship.yaml
  verifily decide --run candidate --baseline baseline --contamination contamination.json --report data/faq
  verifily decide --run candidate --policy ship.yaml --reviewer ann --note 'before the release'`,
		Annotations: judging,
		Args:        noArguments("name the run with --run RUN"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notEmpty(cmd, "run", "baseline", "runs-dir", "contamination", "report", "policy", "reviewer", "note"); err != nil {
				return err
			}
			if opt.Run == "" {
				return usage("--run is required", "name a run directory: verifily decide --run runs/run_...")
			}
			return a.runDecide(cmd.Context(), opt)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opt.Run, "run", "", "`RUN` to judge: its directory, id or name")
	flags.StringVar(&opt.Baseline, "baseline", "", "`RUN` to compare with, likewise")
	flags.StringVar(&opt.RunsDir, "runs-dir", "runs", "`FOLDER` where ids and names are looked up")
	flags.StringVar(&opt.Contamination, "contamination", "", "contamination.json `FILE`, or its folder (default: that in eval/ of the run, if any)")
	flags.StringVar(&opt.Report, "report", "", "report.json `FILE` of the data set, or its folder")
	flags.StringVar(&opt.Policy, "policy", "", "policy `FILE`, such as ship.yaml (default: the usual criteria)")
	flags.StringVar(&opt.Reviewer, "reviewer", "", "`NAME` of who decides, for the audit log")
	flags.StringVar(&opt.Note, "note", "", "`TEXT` for the audit log: why it was decided")
	flags.BoolVar(&opt.DryRun, "dry-run", false, "judge, but write nothing into the run")
	flags.Bool("json", false, "print one JSON document (see verifily help json)")
	return cmd
}

func (a *app) runDecide(ctx context.Context, opt core.DecideOptions) error {
	defer a.warnLostOutput()
	var err error
	if opt.Run, err = core.FindRun(opt.Run, opt.RunsDir); err != nil {
		return err
	}
	if opt.Baseline != "" {
		if opt.Baseline, err = core.FindRun(opt.Baseline, opt.RunsDir); err != nil {
			return err
		}
	}
	if _, err := os.Stat(decision.PolicyFile); err == nil && opt.Policy == "" {
		a.log.Warn(decision.PolicyFile+" is here and was not used", "hint", "--policy "+decision.PolicyFile)
	}
	a.log.Info("deciding", "run", opt.Run, "baseline", opt.Baseline, "policy", opt.Policy)
	d, err := core.Decide(ctx, opt)
	if err != nil {
		return err
	}
	a.verdict = d.ExitCode
	out := show.Verdict{Decision: d, Run: runName(opt.Run), Policy: opt.Policy}
	if opt.Baseline != "" {
		out.Baseline = runName(opt.Baseline)
	}
	if !opt.DryRun {
		out.Dir = filepath.Join(opt.Run, "decision")
	}
	return a.printer.Decided(out)
}

// runName is what people call a run: the name it was given, else that of its
// folder. A run that cannot be read is judged all the same.
func runName(dir string) string {
	if run, err := runs.Open(dir); err == nil {
		if meta, err := run.Meta(); err == nil && meta.RunName != "" {
			return meta.RunName
		}
		return filepath.Base(run.Dir())
	}
	return filepath.Base(dir)
}
