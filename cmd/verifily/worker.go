package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/monitor"
	"github.com/verifily/verifily-tui/core/server"
	"github.com/verifily/verifily-tui/core/server/roots"
	"github.com/verifily/verifily-tui/core/work"
)

// jobPlace is where jobs and monitors are kept, as flags name it.
type jobPlace struct{ database, dataDir string }

func (p *jobPlace) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.database, "database", "", "`URL` of a PostgreSQL database (default: a file in the data folder)")
	flags.StringVar(&p.dataDir, "data-dir", ".verifily", "`FOLDER` of the service's own files")
}

func (p *jobPlace) check(cmd *cobra.Command) error {
	if err := notEmpty(cmd, "database", "data-dir"); err != nil {
		return err
	}
	if p.database != "" {
		if u, err := url.Parse(p.database); err != nil || !slices.Contains([]string{"postgres", "postgresql"}, u.Scheme) {
			return usage("--database: must be a URL like postgres://USER@HOST/NAME", "leave it out to keep jobs in the data folder")
		}
	}
	return nil
}

// roots returns where jobs may go: the folders named, else the current and the
// temporary one; and the data folder, which is made.
func (p *jobPlace) roots(named []string) (*roots.Set, error) {
	folders := slices.Clone(named)
	if len(folders) == 0 {
		folders = []string{".", os.TempDir()}
	}
	if p.database == "" {
		if err := os.MkdirAll(p.dataDir, 0o700); err != nil {
			return nil, &core.ConfigError{Detail: fault.Detail{Op: "make data folder", Path: p.dataDir, Err: cause(err), Hint: "name another with --data-dir"}}
		}
		folders = append(folders, p.dataDir)
	}
	allowed, err := roots.New(folders...)
	if err != nil {
		return nil, &core.ConfigError{Detail: fault.Detail{Reason: "--allow-path: must be a folder", Err: err}}
	}
	return allowed, nil
}

// mostWatched bounds how much of a folder is looked through for links that lead
// out of the roots.
const mostWatched = 10_000

// watchable says which paths monitors may use: those in the roots, with all that
// is in them, and those that are not there yet.
func watchable(allowed *roots.Set) func(path string) error {
	return func(path string) error {
		if _, err := allowed.Creatable(path); err != nil {
			return err
		}
		_, err := allowed.Folder(path, mostWatched)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // whoever reads it tells
		}
		return err
	}
}

// open opens the queue at the place and the monitors in it, which may use what
// is allowed; nil: anything.
func (p *jobPlace) open(ctx context.Context, opt jobs.Options, allowed *roots.Set, log *slog.Logger) (*jobs.Queue, *monitor.Monitors, error) {
	dir, err := filepath.Abs(p.dataDir)
	if err != nil {
		return nil, nil, err
	}
	opt.Database, opt.DataDir, opt.Logger = p.database, dir, log
	q, err := jobs.Open(ctx, opt)
	if err != nil {
		return nil, nil, p.unusable(err)
	}
	watching := monitor.Options{Queue: q, Logger: log}
	if allowed != nil {
		watching.Allowed = watchable(allowed)
	}
	m, err := monitor.Open(ctx, watching)
	if err != nil {
		return nil, nil, errors.Join(p.unusable(err), q.Close())
	}
	return q, m, nil
}

func (p *jobPlace) unusable(err error) error {
	hint := "check the folder, its permissions and the free space; --data-dir names another"
	if p.database != "" {
		hint = "check the address, the user and that the server runs"
	}
	return &core.ConfigError{Detail: fault.Detail{Err: err, Hint: hint}}
}

// retention is how long finished jobs are kept; 0 is for ever.
type retention time.Duration

const usualRetention = retention(30 * 24 * time.Hour)

func (r *retention) flag(flags *pflag.FlagSet) {
	flags.DurationVar((*time.Duration)(r), "retention", time.Duration(*r),
		"`TIME` that finished jobs and their results are kept; 0: for ever. All that share a database should agree")
}

func (r retention) wrong() error {
	return usage(fmt.Sprintf("--retention: must not be negative, not %s", time.Duration(r)), "")
}

// option is what jobs.Options calls it.
func (r retention) option() time.Duration {
	if r == 0 {
		return -1
	}
	return time.Duration(r)
}

func (a *app) worker() *cobra.Command {
	var place jobPlace
	var runsDir string
	var allow []string
	var grace time.Duration
	workers, keep := whole(16), usualRetention
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run jobs and monitors of a service, without HTTP",
		Long: `Run the jobs and monitors of a database, beside verifily serve or without it, on
this machine or another. With --database, any number of workers share one queue,
and each must see the files that jobs name under the same paths. A job runs in one
worker at a time; when a worker dies, another takes its jobs over, or the next one
that starts.

What a job or a monitor reads and writes must lie in the folders given with
--allow-path or in the data folder; without --allow-path in the current folder, the
data folder or the system's temporary folder. Links are followed first.

SIGTERM and Ctrl-C end it: no new job is taken, what runs has --grace to finish,
then it is stopped with a checkpoint and taken up again by another worker or the
next start. A second Ctrl-C ends at once.

Exit codes: 0 stopped, 1 configuration or usage, and a job that would not stop.`,
		Example: `  verifily worker --data-dir .verifily
  verifily worker --database postgres://verifily@db/verifily --workers 4`,
		Args: noArguments("name the database with --database URL or --data-dir FOLDER"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := place.check(cmd); err != nil {
				return err
			}
			if err := notEmpty(cmd, "runs-dir"); err != nil {
				return err
			}
			switch {
			case workers < 1 || workers > 1024:
				return usage(fmt.Sprintf("--workers: must be from 1 to 1024, not %d", workers), "")
			case grace <= 0:
				return usage("--grace: must be more than nothing", "")
			case keep < 0:
				return keep.wrong()
			}
			allowed, err := place.roots(allow)
			if err != nil {
				return err
			}
			return a.runWorker(cmd.Context(), place, jobs.Options{Workers: int(workers), Heavy: work.Heavy, Prepare: work.Absolute,
				Kinds: server.Fenced(work.Kinds(work.Options{RunsDir: runsDir}), allowed, runsDir), Retention: keep.option()}, allowed, grace)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	place.flags(cmd)
	flags.Var(&workers, "workers", "`JOBS` run at once, beside one that trains")
	flags.StringVar(&runsDir, "runs-dir", "runs", "`FOLDER` of runs that jobs name by id")
	flags.StringArrayVar(&allow, "allow-path", nil, "`PATH` that jobs may use, again for more")
	flags.DurationVar(&grace, "grace", 30*time.Second, "`TIME` that running work has when the worker stops")
	keep.flag(flags)
	return cmd
}

func (a *app) runWorker(ctx context.Context, place jobPlace, opt jobs.Options, allowed *roots.Set, grace time.Duration) (err error) {
	q, m, err := place.open(ctx, opt, allowed, a.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	if err := q.Start(ctx); err != nil {
		return place.unusable(err)
	}
	fmt.Fprintf(a.stdout, "working on %s\n", place.name())
	if err := m.Run(ctx); err != nil { // until the first signal
		return err
	}
	a.con.Report("stopping: no new job is taken (a second Ctrl-C ends at once)")
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return q.Drain(ending)
}

// name shows where the jobs are, without a password.
func (p *jobPlace) name() string {
	if u, err := url.Parse(p.database); err == nil && p.database != "" {
		return u.Redacted()
	}
	return shortPath(p.dataDir)
}

// mustExist refuses a data folder in which no service has run: looking must not
// make one.
func (p *jobPlace) mustExist() error {
	if p.database != "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(p.dataDir, "jobs.db")); err != nil {
		return &core.ConfigError{Detail: fault.Detail{Op: "open job database", Path: p.dataDir, Reason: "no service has run here", Err: cause(err),
			Hint: "name the data folder of verifily serve with --data-dir, or its database with --database"}}
	}
	return nil
}
