package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/internal/commands"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/monitor"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs/canonical"
)

func (a *app) monitor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Watch a run: decide at intervals and notice regressions",
		Long: `Watch a run. A pipeline.yaml says what to look at; its paths start beside it:

  run_dir: runs/current          # the run directory to judge
  train_data: train.jsonl        # optional, with eval_data: contamination
  eval_data: test.jsonl
  baseline_run: runs/base        # optional: to compare with
  ship_if: {min_f1: 0.7}         # optional: limits, as in a policy

At every tick the run contract, contamination and the limits are judged, and f1 is
held against the mean of the ticks before: more than 0.02 less is a regression.
Every tick is a line in monitor_history.jsonl beside the config.

start, stop, status and history are about monitors that verifily serve or verifily
worker lets tick, also after a restart. run ticks in the foreground and needs
neither: for cron and Slurm.`,
		Example: `  verifily monitor start --config pipeline.yaml --interval 1h
  verifily monitor run --config pipeline.yaml     # one tick, for cron`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.Args = commands.Known
	cmd.AddCommand(a.monitorStart(), a.monitorStop(), a.monitorStatus(), a.monitorHistory(), a.monitorRun())
	return cmd
}

// monitorFlags are those by which a monitor ticks.
type monitorFlags struct {
	config   string
	interval time.Duration
	maxTicks whole
	window   whole
	project  string
	retrain  string
}

func (f *monitorFlags) add(cmd *cobra.Command, maxTicks int, unlimited string) {
	f.maxTicks, f.window = whole(maxTicks), 20
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "`FILE` that says what to watch")
	flags.DurationVar(&f.interval, "interval", time.Minute, "`TIME` from one tick to the next, at least 1s")
	flags.Var(&f.maxTicks, "max-ticks", "`NUMBER` of ticks; 0: "+unlimited)
	flags.Var(&f.window, "rolling-window", "`NUMBER` of ticks that a tick is compared with")
	flags.StringVar(&f.project, "project-id", "default", "`PROJECT` that it belongs to")
	flags.StringVar(&f.retrain, "allow-retrain", "", "a tick that ends in SHIP retrains the data set artifact in `FOLDER`, in mode mock")
}

func (f *monitorFlags) check(cmd *cobra.Command) error {
	if err := notEmpty(cmd, "config", "project-id", "allow-retrain"); err != nil {
		return err
	}
	switch {
	case f.config == "":
		return usage("--config is required", "name a pipeline.yaml (see verifily monitor --help)")
	case f.interval < time.Second:
		return usage(fmt.Sprintf("--interval: must be at least 1s, not %s", f.interval), "")
	case f.maxTicks < 0:
		return usage(fmt.Sprintf("--max-ticks: must not be negative, not %d", f.maxTicks), "")
	case f.window < 1:
		return usage(fmt.Sprintf("--rolling-window: must be at least 1, not %d", f.window), "")
	}
	return nil
}

func (a *app) monitorStart() *cobra.Command {
	var f monitorFlags
	var place jobPlace
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Let the service watch",
		Long: `Add a monitor to the database of verifily serve or verifily worker, which lets it
tick, and print its id.`,
		Example: `  verifily monitor start --config pipeline.yaml --interval 10m`,
		Args:    noArguments("name the config with --config FILE"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(f.check(cmd), place.check(cmd)); err != nil {
				return err
			}
			return a.startMonitor(cmd.Context(), f, place)
		},
	}
	cmd.Flags().SortFlags = false
	f.add(cmd, 0, "no end")
	place.flags(cmd)
	cmd.Flags().Bool("json", false, "print one JSON document, the answer of the HTTP service")
	return cmd
}

func (a *app) startMonitor(ctx context.Context, f monitorFlags, place jobPlace) (err error) {
	q, m, err := place.open(ctx, jobs.Options{Workers: -1}, nil, a.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	interval, ticks, window := f.interval.Seconds(), int(f.maxTicks), int(f.window)
	req := monitor.Request{Project: f.project, MonitorRequest: wire.MonitorRequest{ConfigPath: f.config, IntervalSeconds: &interval,
		MaxTicks: &ticks, RollingWindow: &window}}
	if f.retrain != "" {
		req.AllowRetrain, req.RetrainDatasetDir = true, &f.retrain
	}
	id, err := m.Start(ctx, req)
	if err != nil {
		return err
	}
	stats, err := q.Stats(ctx)
	if err != nil {
		return err
	}
	if stats.Members == 0 {
		a.con.Report("nobody lets it tick yet: start verifily serve or verifily worker on " + place.name())
	}
	if a.asJSON {
		return a.document(wire.MonitorStarted{MonitorID: id, Status: monitor.Running})
	}
	a.con.Print(id)
	return nil
}

// document prints one JSON document.
func (a *app) document(v any) error {
	data, err := canonical.Indent(v)
	if err == nil {
		_, err = a.stdout.Write(data)
	}
	return err
}

// aboutMonitor is a command about one monitor of a service.
func (a *app) aboutMonitor(cmd *cobra.Command, do func(ctx context.Context, m *monitor.Monitors, id string) error) *cobra.Command {
	var place jobPlace
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("name one monitor by its id", "verifily monitor start prints it")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if err := place.check(cmd); err != nil {
			return err
		}
		if err := place.mustExist(); err != nil {
			return err
		}
		q, m, err := place.open(cmd.Context(), jobs.Options{Workers: -1}, nil, a.log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, q.Close()) }()
		err = do(cmd.Context(), m, args[0])
		if errors.Is(err, monitor.ErrNotFound) {
			return usage(fmt.Sprintf("there is no monitor %q on %s", args[0], place.name()), "--data-dir or --database name another service")
		}
		return err
	}
	cmd.Flags().SortFlags = false
	place.flags(cmd)
	cmd.Flags().Bool("json", false, "print one JSON document, the answer of the HTTP service")
	return cmd
}

func (a *app) monitorStop() *cobra.Command {
	return a.aboutMonitor(&cobra.Command{Use: "stop ID", Short: "Stop a monitor of the service"},
		func(ctx context.Context, m *monitor.Monitors, id string) error {
			s, err := m.Stop(ctx, id)
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.document(wire.MonitorStarted{MonitorID: id, Status: s.Status})
			}
			a.con.Print(id + " " + s.Status)
			return nil
		})
}

func (a *app) monitorStatus() *cobra.Command {
	return a.aboutMonitor(&cobra.Command{Use: "status ID", Short: "Show how a monitor of the service is doing"},
		func(ctx context.Context, m *monitor.Monitors, id string) error {
			s, err := m.Status(ctx, id)
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.document(s)
			}
			a.con.Print(fmt.Sprintf("%s %s, %d ticks", id, s.Status, s.TickCount))
			if s.LastTick != nil {
				a.con.Print(tickLine(*s.LastTick))
			}
			if s.Error != nil {
				a.con.Print("  " + text.Escape(*s.Error))
			}
			return nil
		})
}

func (a *app) monitorHistory() *cobra.Command {
	last := whole(20)
	cmd := a.aboutMonitor(&cobra.Command{Use: "history ID", Short: "Show the ticks of a monitor of the service"},
		func(ctx context.Context, m *monitor.Monitors, id string) error {
			if last < 0 {
				return usage(fmt.Sprintf("--last: must not be negative, not %d", last), "")
			}
			h, err := m.History(ctx, id, int(last))
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.document(h)
			}
			for _, t := range h.Ticks {
				a.con.Print(tickLine(t))
			}
			return nil
		})
	cmd.Flags().Var(&last, "last", "`NUMBER` of ticks to show; 0: all")
	return cmd
}

func (a *app) monitorRun() *cobra.Command {
	var f monitorFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Tick in the foreground, once or at intervals",
		Long: `Tick once, or --max-ticks times, in the foreground. The state is the history
beside the config, with which the next call goes on.

Exit codes are those of the last tick: 0 SHIP, 1 DONT_SHIP, 2 INVESTIGATE, 3
DONT_SHIP because the run contract is not met, 4 error: there is no verdict, 130
interrupted.`,
		Example: `  verifily monitor run --config pipeline.yaml
  verifily monitor run --config pipeline.yaml --interval 10m --max-ticks 0`,
		Annotations: judging,
		Args:        noArguments("name the config with --config FILE"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return a.tickHere(cmd.Context(), f)
		},
	}
	cmd.Flags().SortFlags = false
	f.add(cmd, 1, "until Ctrl-C")
	cmd.Flags().Bool("json", false, "print a JSON object a tick, as the history has it")
	return cmd
}

func (a *app) tickHere(ctx context.Context, f monitorFlags) error {
	defer a.warnLostOutput()
	m := monitor.Foreground{ConfigPath: f.config, Interval: f.interval, MaxTicks: int(f.maxTicks), Window: int(f.window),
		ProjectID: f.project, RetrainDatasetDir: f.retrain}
	m.Ticked = func(t monitor.Tick, failure error) {
		a.verdict = exitOf(t)
		if a.asJSON {
			if data, err := json.Marshal(t); err == nil {
				fmt.Fprintf(a.stdout, "%s\n", data)
			}
		} else {
			a.con.Print(tickLine(t))
		}
		if failure != nil {
			a.con.Report("tick " + strconv.Itoa(t.TickNumber) + ": " + text.Escape(failure.Error()))
		}
	}
	return m.Run(ctx)
}

// exitOf is the exit code of a tick.
func exitOf(t monitor.Tick) int {
	switch {
	case t.Decision == decision.Ship:
		return decision.ExitShip
	case t.Decision == decision.Investigate:
		return decision.ExitInvestigate
	case t.Decision == decision.DontShip && !t.ContractPass:
		return decision.ExitContractInvalid
	case t.Decision == decision.DontShip:
		return decision.ExitDontShip
	}
	return decision.ExitToolError
}

// tickLine shows a tick.
func tickLine(t monitor.Tick) string {
	line := fmt.Sprintf("tick %d  %s  %s", t.TickNumber, t.Timestamp, t.Decision)
	if t.MetricValue != nil {
		line += fmt.Sprintf("  f1 %.4f", *t.MetricValue)
	}
	if t.Delta != nil {
		line += fmt.Sprintf("  %+.4f", *t.Delta)
	}
	if t.RegressionDetected {
		line += "  regression"
	}
	if !t.ContractPass && t.MetricValue != nil {
		line += "  contract broken"
	}
	if t.ContaminationPass != nil && !*t.ContaminationPass {
		line += "  contaminated"
	}
	if t.RetrainRunDir != nil {
		line += "  retrained: " + text.Escape(shortPath(*t.RetrainRunDir))
	}
	return line
}
