package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/verifily/verifily-tui/cmd/internal/batches"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/text"
)

// batchOptions are the flags of a batch.
type batchOptions struct {
	plan        string
	dryRun      bool
	fresh       bool
	retryFailed bool
	asJSON      bool
	quiet       bool
	detach      bool
	every       time.Duration
}

// batchOnly are the flags that mean nothing to the screen.
var batchOnly = []string{"dry-run", "new", "retry-failed", "every", "quiet", "detach", "json"}

func (o *batchOptions) flags(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVar(&o.plan, "batch", "", "run the jobs of `PLAN`, a plan or a train.yaml")
	fs.BoolVar(&o.dryRun, "dry-run", false, "check everything and print the jobs, but run none")
	fs.BoolVar(&o.fresh, "new", false, "start a new batch, although there is one of this plan")
	fs.BoolVar(&o.retryFailed, "retry-failed", false, "try jobs again that failed before in a way that does not pass")
	fs.DurationVar(&o.every, "every", 30*time.Second, "`TIME` between two lines of progress")
	fs.BoolVar(&o.quiet, "quiet", false, "print the final table alone")
	fs.BoolVar(&o.detach, "detach", false, "run in the background, free of the terminal")
	fs.BoolVar(&o.asJSON, "json", false, "print one JSON object a line (see verifily-tui help json)")
}

// runBatch runs a plan and returns the exit code.
func runBatch(o batchOptions, stdout, stderr io.Writer) int {
	var background *detached
	if os.Getenv(detachedVariable) != "" {
		background = &detached{ready: batch.ReportsFile()}
		stdout, stderr = background, problems{background}
	}
	fail := func(err error) int {
		report(stderr, err)
		return batch.ExitToolError
	}
	if o.every <= 0 {
		return fail(fmt.Errorf("--every: must be longer than nothing, not %v", o.every))
	}
	p := batches.NewPrinter(stdout, o.quiet, o.asJSON)
	said := stderr
	if batches.Draws(p) && !o.dryRun {
		said = io.Discard // it says so where it draws
	}
	ctx, sig := listen(said)
	defer sig.close()
	plan, err := batch.Load(o.plan)
	if err != nil {
		return fail(err)
	}
	if o.dryRun {
		return dryRun(ctx, plan, o, stdout, stderr)
	}
	self, err := os.Executable()
	if err != nil {
		return fail(fmt.Errorf("find this program: %w", err))
	}
	events := newQueue(p.Event)
	tell := events.add
	if background != nil {
		tell = func(ev batch.Event) {
			background.event(ev)
			events.add(ev)
		}
	}
	sum, err := batch.Run(ctx, plan, batch.Options{
		Runner: batch.Processes{Command: []string{self, jobFlag}},
		Fresh:  o.fresh, RetryFailed: o.retryFailed, Every: p.Every(o.every),
		Checkpoint: sig.checkpoint, Abort: sig.abort, GPUs: batch.GPUs(), Events: tell,
	})
	events.close(lastWords)
	switch {
	case err != nil && ctx.Err() != nil && sum == nil:
		report(stderr, errors.New("interrupted before any job was started"))
		return batch.ExitInterrupted
	case sum == nil:
		return fail(err)
	case err != nil:
		report(stderr, err) // the batch is over, its folder could not be given up
	}
	return sum.Exit
}

// report prints an error with its hint.
func report(w io.Writer, err error) {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = text.Escape(lines[i])
	}
	fmt.Fprintln(w, "verifily-tui: "+strings.Join(lines, "\n"))
	if hint := hintOf(err); hint != "" {
		fmt.Fprintln(w, "hint: "+text.Escape(hint))
	}
}

// hintOf is what helps against an error, empty where it does not say.
func hintOf(err error) string {
	var typed core.VerifilyTrainError
	if errors.As(err, &typed) {
		return typed.Fault().Hint
	}
	return ""
}

// signals are what the system asks of a batch.
type signals struct {
	abort      chan struct{} // closed by the second request to end
	checkpoint chan struct{}
	close      func()
}

// listen turns signals into requests: the first that ends the process ends the
// context, the second closes abort, the third ends the process as it stands.
func listen(stderr io.Writer) (context.Context, *signals) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &signals{abort: make(chan struct{}), checkpoint: make(chan struct{}, 1)}
	ignoreSignals()
	stops, checkpoints := make(chan os.Signal, 4), make(chan os.Signal, 1)
	signal.Notify(stops, stopSignals...)
	signal.Notify(checkpoints, checkpointSignal)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for asked := 0; ; {
			select {
			case <-quit:
				return
			case <-checkpoints:
				select {
				case s.checkpoint <- struct{}{}:
				default: // one is asked for already
				}
			case <-stops:
				switch asked++; asked {
				case 1:
					fmt.Fprintln(stderr, "stopping: "+batches.StopHint)
					cancel()
				case 2:
					close(s.abort)
				default:
					os.Exit(batch.ExitInterrupted)
				}
			}
		}
	}()
	s.close = func() {
		signal.Stop(stops)
		signal.Stop(checkpoints)
		close(quit)
		<-done
		cancel()
	}
	return ctx, s
}

// serveJob carries out one job for the process of the batch, which alone hears
// signals and passes on what they ask.
func serveJob() int {
	ignoreSignals()
	signal.Ignore(stopSignals...)
	signal.Ignore(checkpointSignal)
	if err := batch.Serve(context.Background(), os.Stdin, batch.ReportsFile()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
