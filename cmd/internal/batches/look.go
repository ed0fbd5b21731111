package batches

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/verifily/verifily-tui/cmd/internal/commands"
	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/fault"
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

// Command returns the commands that look at batches which other processes run.
// Examples and hints name verifily, whichever program has them. code receives the
// exit code of a batch that was followed.
func Command(stdout io.Writer, code *int) *cobra.Command {
	l := &looker{stdout: stdout, code: code}
	cmd := &cobra.Command{Use: "batch", Short: "List, show, follow and stop batches from elsewhere",
		Long: `Look at batches from any login on the same machine or file system. A batch is
named by its folder, or by the end of its name; without a name it is the newest.
verifily-tui --batch PLAN starts one.

Exit codes: follow ends with that of the batch; else 0, or 4 for an error.`,
		Example: "  verifily batch ls\n  verifily batch follow\n  verifily batch show 4c1f2e\n  verifily batch stop runs/batch_20260101_220000_4c1f2e",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.Args = commands.Known
	cmd.PersistentFlags().StringVar(&l.runsDir, "runs-dir", "runs", "`FOLDER` of the runs")
	one := func(name, short string, do func(ctx context.Context, dir string) error) *cobra.Command {
		return &cobra.Command{Use: name + " [BATCH]", Short: short, Args: atMostOne, RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := batch.Find(strings.Join(args, ""), l.runsDir)
			if err != nil {
				return err
			}
			return do(cmd.Context(), dir)
		}}
	}
	ls := &cobra.Command{Use: "ls", Short: "List the batches, the newest first", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return l.list() }}
	show := one("show", "Show the jobs of a batch", l.show)
	follow := one("follow", "Follow a batch to its end", l.follow)
	follow.Long = "Follow a batch to its end; the exit code is that of the batch. Ctrl-C ends the following, not the batch."
	follow.Flags().DurationVar(&l.every, "every", 10*time.Second, "`TIME` between two lines of progress")
	stop := one("stop", "Let a batch save checkpoints and end", l.stop)
	stop.Long = "Ask a batch to save a checkpoint of every job and end. Started again, it goes on from there."
	for _, c := range []*cobra.Command{ls, show} {
		c.Flags().BoolVar(&l.asJSON, "json", false, "print one JSON document")
	}
	follow.Flags().BoolVar(&l.asJSON, "json", false, "print one JSON object a line (see verifily-tui help json)")
	cmd.AddCommand(ls, show, follow, stop)
	return cmd
}

func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) < 2 {
		return nil
	}
	return &fault.ConfigError{Detail: fault.Detail{Reason: fmt.Sprintf("unexpected argument %q", args[1]), Hint: "name one batch"}}
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
	var unreadable []error
	for _, info := range slices.Backward(infos) {
		look, err := batch.Open(filepath.Join(l.runsDir, info.BatchID))
		if err != nil {
			unreadable = append(unreadable, err) // the others can be seen all the same
			continue
		}
		looks = append(looks, look)
	}
	if l.asJSON {
		if err := l.printJSON(looks); err != nil {
			return err
		}
	} else if len(looks) == 0 && len(unreadable) == 0 {
		fmt.Fprintf(l.stdout, "there are no batches in %s\n", Path(l.runsDir))
	}
	if !l.asJSON {
		l.printList(looks)
	}
	if len(unreadable) > 0 {
		return unreadable[0]
	}
	return nil
}

func (l *looker) printList(looks []*batch.Look) {
	widest := 0
	for _, look := range looks {
		widest = max(widest, text.Width(countsText(look)))
	}
	for _, look := range looks {
		fmt.Fprintf(l.stdout, "%s  %-11s  %s  %s\n", text.Escape(look.BatchID), phase(look), text.Pad(countsText(look), widest), Path(look.PlanPath))
	}
}

// countsText says how many jobs are complete, and what became of others.
func countsText(look *batch.Look) string {
	out := fmt.Sprintf("%d of %d completed", look.Counts[batch.Completed], len(look.Jobs))
	for _, status := range []batch.Status{batch.Failed, batch.Skipped, batch.Interrupted} {
		if n := look.Counts[status]; n > 0 {
			out += fmt.Sprintf(", %d %s", n, status)
		}
	}
	return out
}

// phase says in a word or two what goes on with a batch.
func phase(look *batch.Look) string {
	if look.Phase == batch.PhaseOver && look.Exit != nil {
		if *look.Exit == batch.ExitInterrupted {
			return string(batch.Interrupted)
		}
		return "exit " + strconv.Itoa(*look.Exit)
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
	fmt.Fprintf(l.stdout, "%s  %s\nplan %s\n", Path(dir), phase(look), Path(look.PlanPath))
	if h := look.Holder; h != nil {
		fmt.Fprintf(l.stdout, "process %d on %s\n", h.PID, text.Escape(h.Host))
	}
	fmt.Fprintln(l.stdout)
	if look.Phase == batch.PhaseOver {
		if sum, err := look.Summary(); err == nil {
			err = sum.WriteTable(l.stdout, widthOf(l.stdout))
			l.listRuns(sum)
			return err
		}
	}
	progress := map[string]batch.Progress{}
	for _, p := range look.Progress() {
		progress[p.Job] = p
	}
	for _, j := range look.Jobs {
		line := text.Escape(j.Job) + ": " + string(j.Status)
		if p, ok := progress[j.Job]; ok && p.TotalSteps > 0 {
			line += ", " + strings.TrimPrefix(progressText(&p), j.Job+" ")
		}
		if j.Run != "" {
			line += "  " + Path(j.Run)
		}
		if j.Error != "" {
			line += ": " + oneLine(j.Error)
		}
		fmt.Fprintln(l.stdout, line)
	}
	if look.Phase == batch.PhaseKilled {
		fmt.Fprintf(l.stdout, "\nits process was killed; verifily-tui --batch %s goes on with it\n", Path(look.PlanPath))
	}
	return nil
}

// listRuns names the run of each job, which the table has no room for.
func (l *looker) listRuns(sum *batch.Summary) {
	widest := 0
	for _, r := range sum.Jobs {
		if r.Run != "" {
			widest = max(widest, text.Width(text.Escape(r.Job)))
		}
	}
	if widest > 0 {
		fmt.Fprintln(l.stdout, "\nruns")
	}
	for _, r := range sum.Jobs {
		if r.Run != "" {
			fmt.Fprintf(l.stdout, "%s  %s\n", text.Pad(text.Escape(r.Job), widest), Path(r.Run))
		}
	}
}

func (l *looker) stop(_ context.Context, dir string) error {
	if err := batch.RequestStop(dir); err != nil {
		return err
	}
	fmt.Fprintf(l.stdout, "asked to stop: %s; every job saves a checkpoint\n", Path(dir))
	return nil
}

// lookEvery is the time between two looks at a batch that is followed.
const lookEvery = time.Second

// follow prints what changes until no process works on the batch any more, as
// the process itself prints it.
func (l *looker) follow(ctx context.Context, dir string) error {
	if l.every <= 0 {
		return fmt.Errorf("--every: must be longer than nothing, not %v", l.every)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	p := NewPrinter(l.stdout, false, l.asJSON)
	every := p.Every(l.every)
	tell := func(ev batch.Event) {
		ev.Time = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		p.Event(ev)
	}
	seen := map[string]batch.Status{}
	var told time.Time
	for {
		look, err := batch.Open(dir)
		if err != nil {
			return err
		}
		for _, j := range look.Jobs {
			if j.Status == batch.Waiting || seen[j.Job] == j.Status {
				continue
			}
			seen[j.Job] = j.Status
			if j.Status == batch.Running {
				tell(batch.Event{Kind: batch.EventNote, Job: j.Job, Text: strings.TrimSpace("is running  " + relative(j.Run)), Run: j.Run})
				continue
			}
			tell(batch.Event{Kind: batch.EventEnd, Job: j.Job, Status: j.Status, Run: j.Run, Seconds: j.Time, Earlier: j.Earlier, Text: j.Error})
		}
		if look.Phase != batch.PhaseRunning {
			return l.last(look, tell)
		}
		if time.Since(told) >= every {
			told = time.Now()
			tell(batch.Event{Kind: batch.EventProgress, Running: look.Progress(), Counts: look.Counts})
		}
		select {
		case <-ctx.Done():
			if !l.asJSON {
				fmt.Fprintln(l.stdout, "not followed any more; the batch goes on (verifily batch stop ends it)")
			}
			return nil
		case <-time.After(min(lookEvery, every)):
		}
	}
}

// last tells how a batch ended that nobody works on.
func (l *looker) last(look *batch.Look, tell func(batch.Event)) error {
	if look.Exit == nil {
		*l.code = batch.ExitInterrupted
		tell(batch.Event{Kind: batch.EventNote, Text: "its process was killed; verifily-tui --batch " + relative(look.PlanPath) + " goes on with it"})
		return nil
	}
	*l.code = *look.Exit
	tell(batch.Event{Kind: batch.EventNote, Text: phase(look)})
	sum, err := look.Summary()
	if err != nil {
		return err
	}
	tell(batch.Event{Kind: batch.EventSummary, Batch: look.Dir, Summary: sum})
	return nil
}
