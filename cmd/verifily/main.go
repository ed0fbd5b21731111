// Command verifily trains, evaluates, compares and judges small models from the
// command line.
//
// Results and progress go to standard output, errors and diagnostics to
// standard error. The exit code says what went wrong: see exitCode.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/show"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/decision"
)

func main() {
	os.Exit(runWithSignals())
}

// runWithSignals ends the context of the command on the first Ctrl-C or
// SIGTERM; the second one ends the process at once.
func runWithSignals() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	// Writing to a pipe whose reader is gone is an error like others.
	signal.Ignore(syscall.SIGPIPE)
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// run runs the command line and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{args: args, stdout: stdout, stderr: stderr}
	root := a.command()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return a.verdict
	}
	code := exitCode(ctx, err)
	if _, judges := cmd.Annotations[exitCodeIsVerdict]; judges && code != show.ExitInterrupted {
		code = decision.ExitToolError // the others are verdicts
	}
	a.fail(err, code)
	return code
}

// exitCodeIsVerdict is the annotation of commands whose exit code is that of a
// decision.
const exitCodeIsVerdict = "exit code is a verdict"

var judging = map[string]string{exitCodeIsVerdict: ""}

// exitCode maps errors to the exit codes that other tools rely on.
func exitCode(ctx context.Context, err error) int {
	var interrupted *core.Interrupted
	var typed core.VerifilyTrainError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &interrupted), ctx.Err() != nil && errors.Is(err, context.Canceled):
		return show.ExitInterrupted
	case errors.Is(err, config.ErrManaged):
		return 10
	case !errors.As(err, &typed):
		return 1
	}
	switch typed.(type) {
	case *core.DataError:
		return 2
	case *core.TrainingError:
		return 3
	case *core.EvalError:
		return 4
	}
	return 1 // *core.ConfigError and what has no code of its own
}
