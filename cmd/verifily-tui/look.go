package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/text"
)

// looker is the commands that look at batches from elsewhere.
type looker struct {
	stdout  io.Writer
	runsDir string
	asJSON  bool
	every   time.Duration
	code    *int // exit code of the program
}

func (l *looker) command() *cobra.Command {
	cmd := &cobra.Command{Use: "batch", Short: "List, show, follow and stop batches from elsewhere",
		Long: `Look at batches from any login on the same machine or file system. A batch is
named by its folder, or by the end of its name; without a name it is the newest.`,
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.PersistentFlags().StringVar(&l.runsDir, "runs-dir", "runs", "`FOLDER` of the runs")
	one := func(name, short string, do func(ctx context.Context, dir string) error) *cobra.Command {
		return &cobra.Command{Use: name + " [BATCH]", Short: short, Args: cobra.MaximumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := batch.Find(strings.Join(args, ""), l.runsDir)
			if err != nil {
				return err
			}
			return do(cmd.Context(), dir)
		}}
	}
	ls := &cobra.Command{Use: "ls", Short: "List the batches", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return l.list() }}
	show := one("show", "Show the jobs of a batch", l.show)
	follow := one("follow", "Follow a batch to its end", l.follow)
	follow.Long = "Follow a batch to its end; the exit code is that of the batch. Ctrl-C ends the following, not the batch."
	follow.Flags().DurationVar(&l.every, "every", 10*time.Second, "`TIME` between two lines of progress")
	stop := one("stop", "Let a batch save checkpoints and end", func(_ context.Context, dir string) error {
		if err := batch.RequestStop(dir); err != nil {
			return err
		}
		fmt.Fprintln(l.stdout, "asked to stop: "+shortPath(dir))
		return nil
	})
	for _, c := range []*cobra.Command{ls, show} {
		c.Flags().BoolVar(&l.asJSON, "json", false, "print JSON")
	}
	cmd.AddCommand(ls, show, follow, stop)
	return cmd
}

func (l *looker) printJSON(v any) error {
	enc := json.NewEncoder(l.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (l *looker) list() error {
	infos, err := batch.List(l.runsDir)
	if err != nil {
		return err
	}
	looks := []*batch.Look{}
	for _, info := range slices.Backward(infos) {
		look, err := batch.Open(filepath.Join(l.runsDir, info.BatchID))
		if err != nil {
			return err
		}
		looks = append(looks, look)
	}
	if l.asJSON {
		return l.printJSON(looks)
	}
	for _, look := range looks {
		fmt.Fprintf(l.stdout, "%s  %-8s %s of %s  %s\n", look.BatchID, phase(look), fmt.Sprintf("%3d", over(look.Counts)), jobCount(len(look.Jobs)), text.Escape(look.PlanPath))
	}
	return nil
}

func phase(look *batch.Look) string {
	if look.Phase == batch.PhaseOver && look.Exit != nil {
		return fmt.Sprintf("exit %d", *look.Exit)
	}
	return string(look.Phase)
}

func (l *looker) show(_ context.Context, dir string) error {
	look, err := batch.Open(dir)
	if err != nil {
		return err
	}
	if l.asJSON {
		return l.printJSON(look)
	}
	fmt.Fprintf(l.stdout, "%s  %s\nplan %s\n", shortPath(dir), phase(look), text.Escape(look.PlanPath))
	if h := look.Holder; h != nil {
		fmt.Fprintf(l.stdout, "process %d on %s\n", h.PID, text.Escape(h.Host))
	}
	fmt.Fprintln(l.stdout)
	if look.Phase == batch.PhaseOver {
		if sum, err := look.Summary(); err == nil {
			return sum.WriteTable(l.stdout, 0)
		}
	}
	for _, j := range look.Jobs {
		fmt.Fprintln(l.stdout, seenLine(j))
	}
	for _, p := range look.Progress() {
		fmt.Fprintln(l.stdout, progressText(&p))
	}
	return nil
}

func seenLine(j batch.Seen) string {
	line := text.Escape(j.Job) + ": " + string(j.Status)
	if j.Run != "" {
		line += "  " + shortPath(j.Run)
	}
	if j.Error != "" {
		line += ": " + text.Escape(strings.ReplaceAll(j.Error, "\n", "; "))
	}
	return line
}

// lookEvery is the time between two looks at a batch that is followed.
const lookEvery = time.Second

// follow prints what changes until no process works on the batch any more.
func (l *looker) follow(ctx context.Context, dir string) error {
	seen := map[string]batch.Status{}
	var told time.Time
	for {
		look, err := batch.Open(dir)
		if err != nil {
			return err
		}
		for _, j := range look.Jobs {
			if j.Status != batch.Waiting && seen[j.Job] != j.Status {
				seen[j.Job] = j.Status
				fmt.Fprintln(l.stdout, seenLine(j))
			}
		}
		if look.Phase != batch.PhaseRunning {
			fmt.Fprintln(l.stdout, phase(look))
			if look.Exit == nil {
				*l.code = batch.ExitInterrupted
				return nil
			}
			*l.code = *look.Exit
			sum, err := look.Summary()
			if err != nil {
				return err
			}
			return sum.WriteTable(l.stdout, 0)
		}
		if time.Since(told) >= l.every {
			told = time.Now()
			if line, ok := lineOf(batch.Event{Kind: batch.EventProgress, Running: look.Progress(), Counts: look.Counts}); ok {
				fmt.Fprintln(l.stdout, line)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
	}
}
