package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/verifily/verifily-tui/tui"
)

// screenOptions are the flags of the workbench.
type screenOptions struct{ tui.Options }

func (o *screenOptions) flags(fs *pflag.FlagSet) {
	fs.StringVar(&o.RunsDir, "runs-dir", "runs", "`FOLDER` of the runs that the screen shows")
	fs.StringVar(&o.ConfigPath, "config", "", "`FILE` that the form of a training starts from (default train.yaml)")
	fs.BoolVar(&o.NoColor, "no-color", false, "no colours (also when NO_COLOR is set)")
	fs.BoolVar(&o.ASCII, "ascii", false, "no characters beyond ASCII")
	fs.BoolVar(&o.Poll, "poll", false, "look at files instead of asking the kernel for changes (network file systems)")
}

// openScreen shows the workbench until the user leaves it.
func openScreen(o screenOptions, stderr io.Writer) int {
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
		fmt.Fprintln(stderr, "verifily-tui: the screen needs a terminal; run a plan with verifily-tui --batch PLAN.yaml, see --help")
		return 1
	}
	if err := tui.Run(context.Background(), o.Options); err != nil {
		report(stderr, err)
		return 1
	}
	return 0
}
