package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/internal/commands"
	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
)

// app is one run of the program.
type app struct {
	args           []string
	stdout, stderr io.Writer
	noColor        bool
	logLevel       string

	// Set by begin, when the flags are known.
	con     *console.Console
	printer show.Printer
	asJSON  bool
	log     *slog.Logger

	verdict int // exit code of a command that did its work
}

const about = `verifily trains, evaluates, compares and judges small models on this machine,
and leaves everything that was used and found in a run directory.

Exit codes: 0 success, 1 configuration or usage, 2 data, 3 training,
4 evaluation, 10 managed mode (not available), 130 interrupted. Commands that
judge have codes of their own: see their help.`

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "verifily",
		Short: "Train, evaluate, compare and judge small models",
		Long:  about,
		Example: `  verifily train --config train.yaml
  verifily train --config train.yaml --dry-run
  verifily eval --run runs/run_20260101_120000_abcdef --slice-by source
  verifily compare baseline candidate
  verifily decide --run runs/run_20260102_090000_fedcba --baseline runs/run_20260101_120000_abcdef`,
		Args:              commands.Known,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.begin(cmd) },
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVar(&a.logLevel, "log-level", "warn", "diagnostics on standard error from this `level` on: debug, info, warn or error")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours (also when NO_COLOR is set)")
	flags.Bool("version", false, "print the version")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(a.train(), a.runs(), a.batch(), a.eval(), a.compare(), a.reproduce(), a.ingest(), a.contamination(), a.contract(), a.decide(),
		a.retrain(), a.serve(), a.worker(), a.monitor(), &cobra.Command{Use: "json", Short: "What --json prints", Long: show.JSONHelp + show.RunsJSONHelp},
		&cobra.Command{Use: "policy", Short: "What a policy file says", Long: policyHelp})
	root.SetHelpCommand(commands.Help())
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped 80 "))
	root.SetVersionTemplate("verifily {{.Version}}\n")
	root.Version = core.Version()
	for _, cmd := range root.Commands() {
		cmd.Version = root.Version
	}
	return root
}

// begin prepares the output as the flags of the command ask.
func (a *app) begin(cmd *cobra.Command) error {
	var level slog.Level
	levels := []string{"debug", "info", "warn", "error"}
	if !slices.Contains(levels, a.logLevel) || level.UnmarshalText([]byte(a.logLevel)) != nil {
		return usage(fmt.Sprintf("--log-level: must be debug, info, warn or error, not %q", a.logLevel), "")
	}
	asked := func(name string) bool {
		v, err := cmd.Flags().GetBool(name)
		return err == nil && v
	}
	a.open(asked("json"), asked("verbose"))
	a.log = slog.New(slog.NewTextHandler(a.con.Diagnostics(), &slog.HandlerOptions{Level: level}))
	return nil
}

func (a *app) open(asJSON, verbose bool) {
	a.asJSON = asJSON
	a.con = console.New(a.stdout, a.stderr, console.Options{Plain: asJSON, NoColor: a.noColor})
	if asJSON {
		a.printer = show.JSON(a.con)
	} else {
		a.printer = show.Lines(a.con, verbose)
	}
}

// fail tells why the command ends with an exit code other than 0.
func (a *app) fail(err error, code int) {
	if a.printer == nil { // the flags could not be read
		a.open(slices.Contains(a.args, "--json"), false)
	}
	f := show.Failure{Err: err, ExitCode: code}
	var interrupted *core.Interrupted
	switch {
	case errors.As(err, &interrupted) && isFolder(interrupted.RunDir):
		f.RunDir = shortPath(interrupted.RunDir)
		f.Resume = "verifily train --resume " + show.Quote(f.RunDir)
	case code == show.ExitInterrupted:
		f.Err = errors.New("interrupted: nothing was written")
	}
	a.printer.Failed(f)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// warnLostOutput reports that nobody could read what was printed.
func (a *app) warnLostOutput() {
	if err := a.con.Err(); err != nil {
		a.log.Warn("standard output could not be written", "cause", err)
	}
}
