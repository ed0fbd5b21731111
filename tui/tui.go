// Package tui is the workbench: a screen to watch models learn, to find out
// where they fail and to hold runs side by side.
//
// It is one tea.Model. Update does no I/O and neither does View: what takes
// time is a command, and a frame is a function of the state and the size of
// the screen. Runs are read through package source only, so the screen shows
// nothing that is not on disk, and runs of other processes like those of its
// own.
//
// Who does what: bubbletea runs the loop and writes frames to the terminal.
// bubbles has the bindings of keys (key), edits every line that is typed
// (textinput) and scrolls (viewport). Package screen composes a frame, as a grid
// of cells: a view puts text at a place and cannot break another's, escape
// sequences in data cannot pass, and a frame is text, SVG or a golden file as
// well. lipgloss knows what the terminal can show and turns the styles of cells
// into its sequences. Package plot draws curves and sparklines with the dots and
// bars of ntcharts, behind a guard for values and sizes that those cannot take.
package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// Options say what the workbench opens.
type Options struct {
	RunsDir string // folder of the runs; empty means "runs"
	// ConfigPath is the train.yaml that the form of a training starts from; empty
	// means "train.yaml".
	ConfigPath string
	// Demo starts a training of ConfigPath at once.
	Demo bool
	// Baseline is the folder name of the run that is the baseline where the
	// settings know none.
	Baseline string
	// SettingsPath is where the order of the table, the baseline and the theme
	// are remembered. Empty means a file in the user's folder for settings.
	SettingsPath string
	// Poll looks at files instead of asking the kernel for changes, as network
	// file systems need it.
	Poll bool
	// NoColor leaves out colours; NO_COLOR in the environment does so too.
	NoColor bool
	// ASCII leaves out every character beyond ASCII; it is on where the
	// environment says that the terminal knows no others.
	ASCII bool
	// StartedIn is the folder that the user's shell is in, from which commands that
	// are shown must lead to their files; empty means the working directory.
	StartedIn string
	// Background starts a process that works on a plan and outlives this one; nil
	// starts this program with --batch PLAN --detach.
	Background func(ctx context.Context, plan string) error
}

// framesPerSecond is how often a changed frame is written at most: half a tick,
// 8 ms, is what it adds to the time from a key to its frame. Each tick wakes the
// process, which is most of what it costs while nothing happens.
const framesPerSecond = 60

// Run shows the workbench on the terminal until the user leaves or ctx ends,
// which is no error. When the terminal hangs up, what trains is handed over to a
// process in the background.
func Run(ctx context.Context, opt Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if opt.RunsDir == "" {
		opt.RunsDir = "runs"
	}
	if opt.SettingsPath == "" {
		if dir, err := os.UserConfigDir(); err == nil {
			opt.SettingsPath = filepath.Join(dir, "verifily", "workbench.json")
		}
	}
	events, err := runs.Watch(ctx, opt.RunsDir, runs.WatchOptions{Poll: opt.Poll})
	if err != nil {
		return err
	}
	m := New(ctx, opt, source.New(opt.RunsDir), events)
	settings := source.ReadSettings(opt.SettingsPath)
	m.theme = terminalTheme(opt, settings.Theme == "")
	m.restore(settings)
	m.propose(opt.Baseline)
	defer m.jobs.Close()
	if opt.Demo {
		m.await(m.jobs.Start(m.planned(), "in-progress"))
	}
	p := tea.NewProgram(m, tea.WithAltScreen(), tea.WithMouseCellMotion(), tea.WithContext(ctx), tea.WithFPS(framesPerSecond))
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	watched := make(chan struct{})
	var hungUp atomic.Bool
	go func() {
		defer close(watched)
		select {
		case <-hangups:
			hungUp.Store(true)
			p.Quit()
		case <-ctx.Done():
		}
	}()
	_, err = p.Run()
	// Where the terminal is gone reading from it fails, before or after the
	// signal comes.
	lost := hungUp.Load() || err != nil && !errors.Is(err, tea.ErrProgramKilled)
	said := m.parting(ctx, lost)
	cancel()
	<-watched
	_, _ = io.WriteString(os.Stdout, said) // a terminal that hung up reads no more
	for range events {
		// The watcher closes the channel when it has ended.
	}
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// terminalTheme asks the environment, and the terminal for its ground where
// that is not settled: one that does not answer costs seconds.
func terminalTheme(opt Options, ask bool) screen.Theme {
	t := screen.Detect(os.Stdout, ask && !opt.NoColor)
	t.ASCII = opt.ASCII || !unicodeLocale(os.Getenv)
	if os.Getenv("TERM") == "dumb" {
		t.ASCII, t.Bare = true, true
	}
	if opt.NoColor {
		t.Profile = termenv.Ascii
	}
	return t
}

// unicodeLocale says whether the terminal shows more than ASCII: everywhere
// but where the locale says otherwise.
func unicodeLocale(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := env(name); v != "" {
			return v != "C" && v != "POSIX"
		}
	}
	return true
}

// propose makes a run the baseline where there is none yet.
func (m *Model) propose(name string) {
	if name != "" && m.table.base == "" {
		m.table.base = filepath.Join(m.src.Root(), name)
	}
}

// Views lists the names of the views, as Frame takes them.
func Views() []string {
	var out []string
	for _, v := range makeViews() {
		out = append(out, strings.ToLower(v.name))
	}
	return out
}

// Frame returns the first whole frame that a view shows of the runs at a size,
// once it has read what it needs. Keys are pressed one after another first, by
// the names of the key table.
func Frame(ctx context.Context, opt Options, width, height int, view string, keys ...string) (*screen.Canvas, error) {
	at := slices.Index(Views(), strings.ToLower(view))
	if at < 0 {
		near, _ := config.Nearest(view, Views())
		return nil, fmt.Errorf("there is no view %q, the nearest is %s: there are %s", view, near, strings.Join(Views(), ", "))
	}
	if opt.RunsDir == "" {
		opt.RunsDir = "runs"
	}
	m := New(ctx, opt, source.New(opt.RunsDir), nil)
	defer m.jobs.Close()
	m.propose(opt.Baseline)
	if opt.Demo && (viewID(at) == viewRuns || viewID(at) == viewLive) {
		dir, err := m.trainSome(ctx)
		defer func() {
			m.jobs.Close()
			_ = os.RemoveAll(dir) // a frame leaves nothing behind
		}()
		if err != nil {
			return nil, err
		}
	}
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	settle(m, m.Init())
	for _, k := range append(slices.Clone(keys), makeViews()[at].key) {
		_, cmd := m.Update(keyMsg(k))
		settle(m, cmd)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return m.canvas(), nil
}

// someSteps is how far a training has come that a frame of it is worth while.
const someSteps = 150

// trainSome starts the training of a demo, waits until it has curves and returns
// the folder of the run, empty where it came to none.
func (m *Model) trainSome(ctx context.Context) (string, error) {
	id := m.jobs.Start(m.planned(), "in-progress")
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		state := m.jobs.States()[id]
		if state.Ended() {
			return state.Dir, state.Err
		}
		if state.Dir != "" {
			stretch, err := m.src.Tail(state.Dir, source.History{}, true)
			if err != nil {
				return state.Dir, err
			}
			var h source.History
			h.Append(stretch.Lines)
			if n := h.Lines(); n > 0 && h.X[source.Steps][n-1] >= someSteps {
				return state.Dir, nil
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return state.Dir, ctx.Err()
		}
	}
}

// settle runs commands, and those that follow from them, until all is read.
// Timers do not count.
func settle(m *Model, first tea.Cmd) {
	queue := []tea.Cmd{first}
	for len(queue) > 0 {
		cmd := queue[0]
		queue = queue[1:]
		if cmd == nil {
			continue
		}
		switch msg := cmd().(type) {
		case tea.BatchMsg:
			queue = append(queue, msg...)
		case tea.QuitMsg, nil:
		default:
			_, next := m.Update(msg)
			queue = append(queue, next)
		}
	}
}

// keyMsg returns the message for a key by its name.
func keyMsg(name string) tea.KeyMsg {
	if name == "space" {
		name = " "
	}
	for t := tea.KeyCtrlAt; t <= tea.KeyCtrlQuestionMark; t++ {
		if t.String() == name && !strings.HasPrefix(name, " ") {
			return tea.KeyMsg{Type: t}
		}
	}
	for t := tea.KeyF20; t < 0; t++ {
		if t.String() == name {
			return tea.KeyMsg{Type: t, Runes: []rune(" ")}
		}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
}
