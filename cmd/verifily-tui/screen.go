package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/tui"
	"github.com/verifily/verifily-tui/tui/demo"
	"github.com/verifily/verifily-tui/tui/screen"
)

// screenOptions are the flags of the workbench.
type screenOptions struct {
	tui.Options
	demo    bool
	demoDir string
	// export is a file to draw one frame to, instead of opening the screen.
	export     string
	view, size string
	press      string
	light      bool
}

func (o *screenOptions) flags(fs *pflag.FlagSet) {
	fs.StringVar(&o.RunsDir, "runs-dir", "runs", "`FOLDER` of the runs that the screen shows")
	fs.StringVar(&o.ConfigPath, "config", "", "`FILE` that the form of a training starts from (default train.yaml)")
	fs.BoolVar(&o.NoColor, "no-color", false, "no colours (also when NO_COLOR is set)")
	fs.BoolVar(&o.ASCII, "ascii", false, "no characters beyond ASCII")
	fs.BoolVar(&o.Poll, "poll", false, "look at files instead of asking the kernel for changes (network file systems)")
	fs.BoolVar(&o.demo, "demo", false, "open the screen on runs that are trained for it, with one still training")
	fs.StringVar(&o.demoDir, "demo-dir", "", "`FOLDER` that --demo keeps its runs in, and finds them again (default verifily/demo in your cache folder)")
	fs.StringVar(&o.export, "export", "", "write a frame to `FILE`.txt or FILE.svg and end; needs no terminal")
	fs.StringVar(&o.view, "view", "runs", "`NAME` of the view that --export draws: "+strings.Join(tui.Views(), ", "))
	fs.StringVar(&o.size, "size", "120x40", "`WIDTHxHEIGHT` of the frame that --export draws")
	fs.StringVar(&o.press, "press", "", "`KEYS` pressed before --export draws, as in \"j b enter\"")
	fs.BoolVar(&o.light, "light", false, "--export draws on a light ground")
}

// openScreen shows the workbench until the user leaves it, or draws one frame.
func openScreen(o screenOptions, stderr io.Writer) int {
	fail := func(err error) int {
		report(stderr, err)
		return 1
	}
	ctx := context.Background()
	if o.export == "" && !(term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))) {
		fmt.Fprintln(stderr, "verifily-tui: the screen needs a terminal; run a plan with verifily-tui --batch PLAN.yaml, see --help")
		return 1
	}
	path := o.export
	if path != "" {
		var err error
		if path, err = filepath.Abs(path); err != nil {
			return fail(err)
		}
	}
	if o.demo {
		if err := o.prepareDemo(ctx, stderr); err != nil {
			return fail(err)
		}
	}
	if path != "" {
		if err := o.draw(ctx, path); err != nil {
			return fail(err)
		}
		fmt.Fprintf(stderr, "written to %s: %s, %s\n", o.export, o.view, o.size)
		return 0
	}
	if err := tui.Run(ctx, o.Options); err != nil {
		return fail(err)
	}
	return 0
}

// prepareDemo makes the runs of the demo, where they are not there yet, and goes
// to their folder.
func (o *screenOptions) prepareDemo(ctx context.Context, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir := o.demoDir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find a folder for the demo, --demo-dir names one: %w", err)
		}
		dir = filepath.Join(cache, "verifily", "demo")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var err error
	if o.StartedIn, err = os.Getwd(); err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	base, err := demo.Make(ctx, ".", func(what string) { fmt.Fprintln(stderr, "demo:", what) })
	if err != nil {
		return err
	}
	o.RunsDir, o.ConfigPath, o.Baseline, o.Demo = demo.RunsDir, demo.Config, filepath.Base(base), true
	return nil
}

var sizes = regexp.MustCompile(`^(\d{1,4})x(\d{1,4})$`)

// draw writes the first whole frame of a view to a file, in the form that the end
// of its name asks for.
func (o *screenOptions) draw(ctx context.Context, path string) error {
	m := sizes.FindStringSubmatch(o.size)
	if m == nil {
		return fmt.Errorf("--size takes WIDTHxHEIGHT, such as 120x40, not %q", o.size)
	}
	width, _ := strconv.Atoi(m[1]) // up to four digits each
	height, _ := strconv.Atoi(m[2])
	if width == 0 || height == 0 || width > 1000 || height > 1000 {
		return errors.New("--size takes 1x1 to 1000x1000")
	}
	canvas, err := tui.Frame(ctx, o.Options, width, height, o.view, strings.Fields(o.press)...)
	if err != nil {
		return err
	}
	out := canvas.Plain()
	switch strings.ToLower(filepath.Ext(path)) {
	case ".svg":
		out = canvas.SVG(screen.Theme{Light: o.light})
	case ".txt":
		if o.ASCII {
			out = canvas.ASCII()
		}
	default:
		return fmt.Errorf("--export takes a file that ends in .txt or .svg, not %s", filepath.Base(path))
	}
	return atomicfile.WriteBytes(path, 0o644, []byte(out))
}
