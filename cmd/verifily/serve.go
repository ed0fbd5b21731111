package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/monitor"
	"github.com/verifily/verifily-tui/core/server"
	"github.com/verifily/verifily-tui/core/server/roots"
	"github.com/verifily/verifily-tui/core/work"
)

// apiKeyVariable holds the key that clients of the service must send.
const apiKeyVariable = "VERIFILY_API_KEY"

// serveFlags are the flags of verifily serve.
type serveFlags struct {
	addr          string
	allowNonlocal bool
	workers       whole
	database      string
	dataDir       string
	runsDir       string
	allow         []string
	grace         time.Duration
	retention     retention
}

func (a *app) serve() *cobra.Command {
	f := serveFlags{workers: 16, retention: usualRetention}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve retrains, jobs, monitors and runs over HTTP",
		Long: `Serve retrains, trainings, evaluations, comparisons, monitors and a look at runs
over HTTP. GET /docs describes every call; it needs no network.

The server listens on this machine alone. With --allow-nonlocal it listens
anywhere, but only when ` + apiKeyVariable + ` is set: clients then send
"Authorization: Bearer KEY". The key is read from the environment, so that it
stands on no command line.

Clients name files of this machine. They may lead into the folders given with
--allow-path and the data folder; without --allow-path into the current folder,
the data folder and the system's temporary folder. Links are followed first.

Jobs are kept in a database: a file in the data folder, or PostgreSQL, which
several servers and workers may share. What was accepted outlives the server.

SIGTERM and Ctrl-C end it: no new work is taken, what runs has --grace to finish,
then it is stopped with a checkpoint and taken up again by the next start. A
second Ctrl-C ends at once. Every request is one line of JSON on standard error.

Exit codes: 0 stopped, 1 configuration or usage, 3 something would not stop.`,
		Example: `  verifily serve
  verifily serve --addr 127.0.0.1:0 --allow-path /data --allow-path /models
  VERIFILY_API_KEY=... verifily serve --addr :8080 --allow-nonlocal --database postgres://verifily@db/verifily`,
		Args: noArguments("name the address with --addr HOST:PORT"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notEmpty(cmd, "addr", "database", "data-dir", "runs-dir", "allow-path"); err != nil {
				return err
			}
			level := slog.LevelInfo // a request is a line, unless less was asked for
			if cmd.Flags().Changed("log-level") {
				_ = level.UnmarshalText([]byte(a.logLevel)) // begin has checked it
			}
			log := slog.New(slog.NewJSONHandler(a.con.Diagnostics(), &slog.HandlerOptions{Level: level}))
			return a.runServe(cmd.Context(), &f, log)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.addr, "addr", "127.0.0.1:8080", "`HOST:PORT` to listen on; port 0 takes a free one")
	flags.BoolVar(&f.allowNonlocal, "allow-nonlocal", false, "listen for other machines too; needs "+apiKeyVariable)
	flags.Var(&f.workers, "workers", "`JOBS` run at once, beside one that trains; 0 runs none here")
	flags.StringVar(&f.database, "database", "", "`URL` of a PostgreSQL database (default: a file in the data folder)")
	flags.StringVar(&f.dataDir, "data-dir", ".verifily", "`FOLDER` of the service's own files")
	flags.StringVar(&f.runsDir, "runs-dir", "runs", "`FOLDER` of runs that clients name by id")
	flags.StringArrayVar(&f.allow, "allow-path", nil, "`PATH` that clients may use, again for more")
	flags.DurationVar(&f.grace, "grace", 30*time.Second, "`TIME` that running work has when the server stops")
	f.retention.flag(flags)
	return cmd
}

func (a *app) runServe(ctx context.Context, f *serveFlags, log *slog.Logger) error {
	key := strings.TrimSpace(os.Getenv(apiKeyVariable))
	address, err := f.address(key)
	if err != nil {
		return err
	}
	allowed, err := f.roots()
	if err != nil {
		return err
	}
	srv, err := server.New(server.Options{APIKey: key, Roots: allowed, RunsDir: f.runsDir, DataDir: f.dataDir, Log: log, Grace: f.grace,
		Open: func(ctx context.Context) (*server.Backend, error) { return f.open(ctx, allowed, log) }})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address.String())
	if err != nil {
		return &core.ConfigError{Detail: fault.Detail{Op: "serve", Reason: "cannot listen on " + f.addr, Err: err,
			Hint: "choose another address with --addr; port 0 takes a free one"}}
	}
	fmt.Fprintf(a.stdout, "serving on http://%s\n", listener.Addr())
	return srv.Serve(ctx, listener)
}

// address finds out where to listen, and refuses what is not safe.
func (f *serveFlags) address(key string) (*net.TCPAddr, error) {
	switch {
	case f.workers < 0 || f.workers > 1024:
		return nil, usage(fmt.Sprintf("--workers: must be from 0 to 1024, not %d", f.workers), "")
	case f.grace <= 0:
		return nil, usage("--grace: must be more than nothing", "")
	case f.retention < 0:
		return nil, f.retention.wrong()
	case f.allowNonlocal && key == "":
		return nil, usage("--allow-nonlocal needs a key", "set "+apiKeyVariable+" to a long random text, and give it to clients")
	}
	if f.database != "" {
		if u, err := url.Parse(f.database); err != nil || !slices.Contains([]string{"postgres", "postgresql"}, u.Scheme) {
			return nil, usage("--database: must be a URL like postgres://USER@HOST/NAME", "leave it out to keep jobs in the data folder")
		}
	}
	address, err := net.ResolveTCPAddr("tcp", f.addr)
	if err != nil {
		return nil, usage(fmt.Sprintf("--addr: %q is no address", f.addr), "use HOST:PORT, such as 127.0.0.1:8080")
	}
	if !f.allowNonlocal && !address.IP.IsLoopback() {
		return nil, usage(fmt.Sprintf("--addr: %s can be reached from other machines", f.addr),
			"use 127.0.0.1, or --allow-nonlocal with "+apiKeyVariable)
	}
	return address, nil
}

// roots makes the data folder and returns where clients may go.
func (f *serveFlags) roots() (*roots.Set, error) {
	if err := os.MkdirAll(f.dataDir, 0o700); err != nil {
		return nil, &core.ConfigError{Detail: fault.Detail{Op: "make data folder", Path: f.dataDir, Err: cause(err), Hint: "name another with --data-dir"}}
	}
	folders := f.allow
	if len(folders) == 0 {
		folders = []string{".", os.TempDir()}
	}
	allowed, err := roots.New(append(slices.Clone(folders), f.dataDir)...)
	if err != nil {
		return nil, &core.ConfigError{Detail: fault.Detail{Op: "serve", Reason: "--allow-path: must be a folder", Err: err}}
	}
	return allowed, nil
}

// open opens the queue and the monitors in it, and starts to run jobs.
func (f *serveFlags) open(ctx context.Context, allowed *roots.Set, log *slog.Logger) (*server.Backend, error) {
	dir, err := filepath.Abs(f.dataDir)
	if err != nil {
		return nil, err
	}
	workers := int(f.workers)
	if workers == 0 {
		workers = -1 // takes jobs and runs none
	}
	q, err := jobs.Open(ctx, jobs.Options{Database: f.database, DataDir: dir, Workers: workers, Heavy: work.Heavy, Prepare: work.Absolute, Logger: log,
		Kinds: server.Fenced(work.Kinds(work.Options{RunsDir: f.runsDir}), allowed, f.runsDir), Retention: f.retention.option()})
	if err != nil {
		return nil, err
	}
	watches, err := monitor.Open(ctx, monitor.Options{Queue: q, Allowed: watchable(allowed), Logger: log})
	if err == nil {
		err = q.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return &server.Backend{Queue: q, Monitors: watches}, nil
}
