//go:build unix

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
)

// terminal is a verifily with a terminal of its own.
type terminal struct {
	*child
	tty  *os.File
	seen bytes.Buffer // everything it wrote
}

const terminalWidth = 60

func startTerminal(t *testing.T, env []string, args ...string) *terminal {
	c := newChild(t, args...)
	c.Stderr = nil // the terminal too
	c.Env = append(os.Environ(), "TERM=xterm-256color", "NO_COLOR=")
	c.Env = append(c.Env, env...)
	tty, err := pty.StartWithSize(c.Cmd, &pty.Winsize{Rows: 24, Cols: terminalWidth})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = c.Process.Kill() // it has ended, unless the test failed
		_ = tty.Close()
	})
	return &terminal{child: c, tty: tty}
}

// readTo reads until the screen has shown the text.
func (s *terminal) readTo(text string) {
	buf := make([]byte, 256)
	for !strings.Contains(s.seen.String(), text) {
		n, err := s.tty.Read(buf)
		s.seen.Write(buf[:n])
		require.NoError(s.t, err, "the output ends before %q:\n%q", text, s.seen.String())
	}
}

// end reads the rest and returns everything, with the exit code.
func (s *terminal) end() (string, int) {
	_, err := io.Copy(&s.seen, s.tty)
	if !errors.Is(err, syscall.EIO) { // how Linux tells that the other side closed
		require.NoError(s.t, err)
	}
	return s.seen.String(), s.wait()
}

// drawn finds what was drawn in place: from the start of a line up to the
// erasure of its rest.
var drawn = regexp.MustCompile(`\r([^\r\n\x1b]+)\x1b\[K`)

var colour = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// settle plays what was drawn and returns the lines that stay on the screen.
func settle(t *testing.T, raw string) []string {
	var lines []string
	for _, line := range strings.Split(strings.TrimSuffix(strings.ReplaceAll(raw, "\r\n", "\n"), "\n"), "\n") {
		parts := strings.Split(line, "\r")
		for i, part := range parts {
			if i > 0 {
				require.Contains(t, part, "\x1b[K", "something is drawn over a line without erasing it: %q", line)
			}
		}
		// What follows the last erasure stands alone on the line.
		last := line[strings.LastIndex(line, "\x1b[K")+1:]
		lines = append(lines, strings.TrimPrefix(last, "[K"))
	}
	return lines
}

func TestTerminalShowsAStatusLine(t *testing.T) {
	s := startTerminal(t, nil, "train")
	raw, code := s.end()
	require.Zero(t, code, raw)
	bars := drawn.FindAllStringSubmatch(raw, -1)
	require.NotEmpty(t, bars, raw)
	for _, bar := range bars {
		assert.Less(t, text.Width(bar[1]), terminalWidth, "%q", bar[1])
	}
	assert.Regexp(t, `^step +\d+/10  (\[[=> ]+\]  )?loss \d`, bars[0][1])
	lines := settle(t, raw)
	for _, line := range lines {
		assert.NotRegexp(t, `^step +\d+/10  (\[|loss)`, line, "a status line stays on the screen")
		assert.NotContains(t, line, "\x1b[K")
	}
	screen := colour.ReplaceAllString(strings.Join(lines, "\n"), "")
	assert.Regexp(t, `(?m)^step  5/10  validation loss \d\.\d{4}  best so far$`, screen)
	assert.Regexp(t, `(?m)^step 10/10  saved checkpoints/checkpoint-10$`, screen)
	assert.Contains(t, screen, "\nmetrics on words/test.jsonl\n")
	assert.Regexp(t, colour, raw)
}

func TestTerminalWithoutColour(t *testing.T) {
	for name, c := range map[string]struct{ env, args []string }{
		"NO_COLOR":   {env: []string{"NO_COLOR=1"}},
		"--no-color": {args: []string{"--no-color"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startTerminal(t, c.env, append([]string{"train"}, c.args...)...)
			raw, code := s.end()
			require.Zero(t, code, raw)
			assert.NotRegexp(t, colour, raw)
			assert.Regexp(t, drawn, raw, "the status line is no colour")
		})
	}
}

func TestVerdictsHaveColour(t *testing.T) {
	plain := ""
	for _, env := range [][]string{{"NO_COLOR=1"}, nil} {
		s := startTerminal(t, env, "contract-check", "--run", "nothing")
		raw, code := s.end()
		assert.Equal(t, 3, code, raw)
		if env != nil {
			assert.NotRegexp(t, colour, raw)
			plain = raw
			continue
		}
		assert.Contains(t, raw, "\x1b[31mINVALID\x1b[0m")
		assert.Contains(t, raw, "\x1b[31m✗\x1b[0m")
		assert.Equal(t, plain, colour.ReplaceAllString(raw, ""), "the colour is all that differs")
	}
}

// What each command judges has a colour on a terminal, and only there.
func TestColourOfEveryVerdict(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, writeExample(dir))
	in := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, exec.Command("verifily", "ingest", in("words/train.jsonl"), "--schema", "sft", "--out", in("data")).Run())
	for _, seed := range []string{"1", "2"} {
		require.NoError(t, exec.Command("verifily", "retrain", "--dataset", in("data"), "--out", in("out"), "--seed", seed).Run())
	}
	first, second := in("out/runs/retrain_0001"), in("out/runs/retrain_0002")
	for _, args := range [][]string{
		{"ingest", in("words/train.jsonl"), "--schema", "sft", "--out", "data"},
		{"retrain", "--dataset", in("data"), "--out", "out"},
		{"contract-check", "--run", first},
		{"decide", "--run", second, "--baseline", first, "--dry-run"},
		{"reproduce", first, "--verify-only"},
		{"contamination", "--train", in("words/train.jsonl"), "--eval", in("words/test.jsonl")},
		{"eval", "--run", "nothing"},
		{"compare", first, "nothing"},
	} {
		t.Run(args[0], func(t *testing.T) {
			coloured, want := startTerminal(t, nil, args...).end()
			assert.Regexp(t, colour, coloured)
			for name, env := range map[string]string{"NO_COLOR": "NO_COLOR=1", "TERM": "TERM=dumb"} {
				plain, code := startTerminal(t, []string{env}, args...).end()
				assert.NotRegexp(t, colour, plain, name)
				assert.Equal(t, want, code, name)
			}
			plain, code := startTerminal(t, nil, append(args, "--json")...).end()
			assert.NotContains(t, plain, "\x1b")
			assert.Equal(t, want, code)
		})
	}
}

func TestTerminalThatCannotDraw(t *testing.T) {
	s := startTerminal(t, []string{"TERM=dumb"}, "train")
	raw, code := s.end()
	require.Zero(t, code, raw)
	assert.NotContains(t, raw, "\x1b")
	assert.NotRegexp(t, drawn, raw)
	assert.Contains(t, raw, "step  2/10  epoch 0.40")
}

func TestJSONOnATerminal(t *testing.T) {
	s := startTerminal(t, nil, "train", "--json")
	raw, code := s.end()
	require.Zero(t, code, raw)
	for _, line := range strings.Split(strings.TrimSuffix(raw, "\r\n"), "\r\n") {
		assert.Regexp(t, `^\{"event":"\w+".*\}$`, line)
	}
}

func TestCtrlCOnATerminal(t *testing.T) {
	s := startTerminal(t, nil, "train", "--config", "long.yaml", "--verbose")
	s.readTo("step   3/400")
	_, err := s.tty.WriteString("\x03")
	require.NoError(t, err)
	raw, code := s.end()
	assert.Equal(t, 130, code)
	s.requireStatus(runs.StatusInterrupted)
	screen := colour.ReplaceAllString(strings.Join(settle(t, raw), "\n"), "")
	assert.Regexp(t, `(?m)^interrupted at step \d+ of 400: `, screen)
	assert.Regexp(t, `(?m)^hint: resume with verifily train --resume runs/run_\w+$`, screen)
}

func TestLostTerminalDoesNotStopARun(t *testing.T) {
	s := startTerminal(t, nil, "train", "--config", "long.yaml", "--verbose")
	s.readTo("step   3/400")
	require.NoError(t, s.tty.Close())
	assert.Zero(t, s.wait())
	s.requireStatus(runs.StatusCompleted)
}
