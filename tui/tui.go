// Package tui is the workbench: a screen to watch models learn, to find out
// where they fail and to hold runs side by side.
//
// It is one tea.Model. Update does no I/O and neither does View: what takes
// time is a command, and a frame is a function of the state and the size of
// the screen. Runs are read through package source only, so the screen shows
// nothing that is not on disk, and runs of other processes like those of its
// own.
package tui

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

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
	// Demo starts a training of ConfigPath at once and shows it.
	Demo bool
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
}

// Run shows the workbench on the terminal until the user leaves or ctx ends,
// which is no error.
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
	defer m.jobs.Close()
	if opt.Demo {
		m.jobs.Start(m.planned(), "demo")
	}
	_, err = tea.NewProgram(m, tea.WithAltScreen(), tea.WithMouseCellMotion(), tea.WithContext(ctx), tea.WithFPS(30)).Run()
	cancel()
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
	t := screen.Theme{Profile: termenv.EnvColorProfile(), ASCII: opt.ASCII || !unicodeLocale(os.Getenv)}
	if os.Getenv("TERM") == "dumb" {
		t.ASCII, t.Bare = true, true
	}
	if opt.NoColor {
		t.Profile = termenv.Ascii
	}
	if ask && t.Profile != termenv.Ascii {
		t.Light = !termenv.HasDarkBackground()
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

// Frame returns what the workbench shows of the runs at a size, once it has
// read what the view needs: keys are pressed one after another first, by the
// names of the key table.
func Frame(ctx context.Context, opt Options, width, height int, keys ...string) (*screen.Canvas, error) {
	if opt.RunsDir == "" {
		opt.RunsDir = "runs"
	}
	m := New(ctx, opt, source.New(opt.RunsDir), nil)
	defer m.jobs.Close()
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	settle(m, m.Init())
	for _, k := range keys {
		_, cmd := m.Update(keyMsg(k))
		settle(m, cmd)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return m.canvas(), nil
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
