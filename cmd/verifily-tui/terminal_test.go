//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// terminal is verifily-tui on a pseudo terminal, with an emulator that shows
// what somebody in front of it would see.
type terminal struct {
	t       testing.TB
	cmd     *exec.Cmd
	pty     *os.File
	pumps   sync.WaitGroup
	changed chan struct{} // holds a token when the screen has changed

	mu      sync.Mutex // guards the emulator, but for its Read
	screen  *vt.Emulator
	arrived time.Time // when what the screen shows came from the program
}

// Deadlines are for machines under load: what is waited for comes in
// milliseconds.
const patience = 60 * time.Second

// openTerminal starts the program in the working directory. Its settings go to a
// folder of the test.
func openTerminal(t testing.TB, width, height int, args ...string) *terminal {
	t.Helper()
	term := &terminal{t: t, cmd: exec.Command(os.Args[0], args...), changed: make(chan struct{}, 1), screen: vt.NewEmulator(width, height)}
	home := t.TempDir()
	term.cmd.Env = append(os.Environ(), asProgram+"=1", "TERM=xterm-256color", "LC_ALL=C.UTF-8", "COLORTERM=", "NO_COLOR=",
		"HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	var err error
	term.pty, err = pty.StartWithSize(term.cmd, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)})
	require.NoError(t, err)
	term.pumps.Go(func() {
		// What the emulator answers: where its cursor is, its colours.
		_, _ = io.Copy(term.pty, term.screen) // ends with either
	})
	term.pumps.Go(func() {
		block := make([]byte, 64<<10)
		for {
			n, err := term.pty.Read(block)
			if n > 0 {
				now := time.Now()
				term.mu.Lock()
				term.arrived = now
				_, _ = term.screen.Write(block[:n]) // memory takes it
				term.mu.Unlock()
				select {
				case term.changed <- struct{}{}:
				default:
				}
			}
			if err != nil {
				close(term.changed)
				return
			}
		}
	})
	t.Cleanup(term.close)
	return term
}

// close ends the program, which has ended unless the test failed.
func (term *terminal) close() {
	if term.cmd.ProcessState == nil {
		_ = term.cmd.Process.Kill()
		_ = term.cmd.Wait()
	}
	_ = term.pty.Close()
	_ = term.screen.Close()
	term.pumps.Wait()
}

// text returns what the screen shows.
func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.screen.String()
}

// until waits until the screen is as it should be.
func (term *terminal) until(what string, holds func(screen string) bool) string {
	term.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		now := term.text()
		if holds(now) {
			return now
		}
		select {
		case _, open := <-term.changed:
			if !open && !holds(term.text()) {
				term.t.Fatalf("the program ended before the screen showed %s:\n%s", what, term.text())
			}
		case <-deadline.C:
			term.t.Fatalf("the screen does not show %s:\n%s", what, now)
		}
	}
}

// see waits until the screen shows all words.
func (term *terminal) see(words ...string) string {
	term.t.Helper()
	return term.until(strings.Join(words, " and "), func(screen string) bool {
		for _, w := range words {
			if !strings.Contains(screen, w) {
				return false
			}
		}
		return true
	})
}

// press types keys.
func (term *terminal) press(keys string) {
	term.t.Helper()
	_, err := io.WriteString(term.pty, keys)
	require.NoError(term.t, err)
}

// leave waits until the program has ended by itself.
func (term *terminal) leave() {
	term.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- term.cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			term.t.Fatalf("%v:\n%s", err, term.text())
		}
		require.NoError(term.t, err)
	case <-time.After(patience):
		_ = term.cmd.Process.Kill()
		<-ended
		term.t.Fatalf("the program does not end:\n%s", term.text())
	}
}
