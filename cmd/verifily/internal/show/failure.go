package show

import (
	"errors"
	"strings"

	"github.com/verifily/verifily-tui/cmd/verifily/internal/console"
	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/text"
)

// Failure is an error with what a command knows about it.
type Failure struct {
	Err      error
	ExitCode int
	// RunDir and Resume are set when the run can be taken up again: its
	// folder, and the command that does it.
	RunDir, Resume string
}

// detail returns the place, the reason and the hint of the error, empty when
// it has none.
func (f Failure) detail() fault.Detail {
	var typed core.VerifilyTrainError
	if errors.As(f.Err, &typed) {
		return *typed.Fault()
	}
	return fault.Detail{}
}

// message is the text of the error without its list of problems.
func (f Failure) message() string {
	var list strings.Builder
	for _, p := range f.detail().Problems {
		list.WriteString("\n  " + p.String())
	}
	return strings.Replace(f.Err.Error(), list.String(), "", 1)
}

// kind names the type of the error for programs.
func (f Failure) kind() string {
	if f.interrupted() {
		return "Interrupted"
	}
	var typed core.VerifilyTrainError
	if errors.As(f.Err, &typed) {
		switch typed.(type) {
		case *core.ConfigError:
			return "ConfigError"
		case *core.DataError:
			return "DataError"
		case *core.TrainingError:
			return "TrainingError"
		case *core.EvalError:
			return "EvalError"
		case *core.ReproduceError:
			return "ReproduceError"
		}
	}
	return "Error"
}

func (f Failure) interrupted() bool { return f.ExitCode == ExitInterrupted }

// ExitInterrupted is the exit code of a command that was interrupted, by
// Ctrl-C or from outside.
const ExitInterrupted = 130

// hint is the next step for the user, empty when there is none to give.
func (f Failure) hint() string {
	if f.Resume != "" {
		return "resume with " + f.Resume
	}
	return f.detail().Hint
}

// report writes the failure to the error stream: what and where, a line a
// problem, what to do.
func (f Failure) report(con *console.Console) {
	label := con.PaintError(console.Red, "error:") + " "
	if f.interrupted() {
		label = ""
	}
	var lines []string
	for i, line := range strings.Split(f.message(), "\n") {
		if i == 0 {
			lines = append(lines, label+text.Escape(line))
		} else {
			lines = append(lines, "  "+text.Escape(strings.TrimPrefix(line, "  ")))
		}
	}
	for _, p := range f.detail().Problems {
		lines = append(lines, "  "+text.Escape(p.String()))
	}
	if hint := f.hint(); hint != "" {
		lines = append(lines, con.PaintError(console.Bold, "hint:")+" "+text.Escape(hint))
	}
	con.Report(lines...)
}
