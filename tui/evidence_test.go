package tui

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHostileEvidence opens every part of the views where evidence is read on
// data of somebody who means no good, on small and large screens.
func TestHostileEvidence(t *testing.T) {
	t.Chdir(t.TempDir())
	list := hostile()[:1]
	other := list[0]
	other.name, other.run, other.wrong = "run_20260303_090000_cccccc", "\x1b]8;;http://x\x07"+strings.Repeat("W", 5000), func(i int) bool { return i%4 == 0 }
	writeAll(t, "runs", append(list, other))
	for _, name := range []string{list[0].name, other.name} {
		dir := filepath.Join("runs", name)
		put := func(file, content string) {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644))
		}
		put("review/review.jsonl", `{"id": "row_009", "verdict": "\u001b[31m", "note": "`+strings.Repeat(`\u202e`, 3000)+`", "reviewer": "\u001b]0;x\u0007"}`+"\n")
		put("decision/audit_log.jsonl", `{"ts": "\u001b", "status": "\u001b[2J", "reviewer": "\u200b", "note": "`+strings.Repeat("n", 10_000)+`"}`+"\n{torn")
		put("contamination.json", `{"status": "PASS", "exact_overlaps": 0, "near_duplicates": 0, "x": "`+strings.Repeat(`\u001b[2J`, 20_000)+`"}`)
		seal(t, dir)
	}
	for _, steps := range [][]string{
		{"C", "j", "space", ">", "esc", "b", "j", "D"},
		{"4", "G", "s", "S", "X", "j l m"},
		{"5", "n", "v", "m p", "enter", "G", "esc w", "esc / slice:\x1b enter"},
		{"b j 6", "D", "a", "o", "m j j", "enter", "enter"},
		{"7", "G", "enter", "esc g enter", "G", "esc j enter", "esc j j enter", "esc R", evil, "enter"},
	} {
		m := start(t, 80, 24)
		for _, step := range steps {
			if step == evil {
				press(m, step)
			} else {
				press(m, strings.Fields(step)...)
			}
			for _, size := range [][2]int{{40, 12}, {160, 50}, {30, 8}} {
				send(m, tea.WindowSizeMsg{Width: size[0], Height: size[1]})
				checkFrame(t, m)
			}
		}
	}
}

// TestEmptyViewsSayWhatToDo never leaves anybody without a next step.
func TestEmptyViewsSayWhatToDo(t *testing.T) {
	normalRuns(t)
	for _, c := range []struct {
		keys []string
		want string
	}{
		{[]string{"4"}, "verifily eval --run"},
		{[]string{"5"}, "verifily eval --run"},
		{[]string{"6"}, "space marks some and c compares them"},
		{[]string{"7"}, "nothing is recorded yet: R does"},
		{with(baseline, "c", "enter"), "enter reads one"},
		{with(baseline, "5", "/", "verdict:fine", "enter"), "esc takes it away"},
		{with(baseline, "G", "c"), "evaluate it first"},
	} {
		frame := strings.Join(strings.Fields(start(t, 100, 24, c.keys...).canvas().Plain()), " ")
		assert.Contains(t, frame, c.want, "%v", c.keys)
	}
}
