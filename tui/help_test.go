package tui

import (
	"cmp"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/text"
)

// TestHelpFits holds every line of the help to the width of the screen, with all
// of its words.
func TestHelpFits(t *testing.T) {
	normalRuns(t)
	for _, width := range []int{40, 80, 120} {
		m := start(t, width, 24)
		for id := range m.views {
			m.at = viewID(id)
			var all []string
			for _, l := range m.helpLines()[1:] {
				assert.LessOrEqual(t, text.Width(l.words), width-helpLeft, "%s: %s", m.views[id].name, l.words)
				assert.LessOrEqual(t, text.Width(l.keys), 13, "%s: %s", m.views[id].name, l.keys)
				all = append(all, l.words)
			}
			for _, b := range m.views[id].bindings {
				assert.Contains(t, strings.Join(all, " "), b.help)
			}
		}
	}
}

// TestHelpNamesKeys shows with every action the keys that do it, and no others.
func TestHelpNamesKeys(t *testing.T) {
	normalRuns(t)
	m := start(t, 120, 40)
	names := map[string]string{"←": "left", "→": "right", "↑": "up", "↓": "down", "pgdn": "pgdown", "⌫": "backspace", "space": " "}
	for _, v := range m.views {
		for _, b := range append(v.bindings, m.globals()...) {
			for _, k := range strings.Fields(b.show) {
				assert.Contains(t, b.keys, cmp.Or(names[k], k), "%s: %s", v.name, b.help)
			}
		}
	}
	press(m, "3")
	assert.Contains(t, m.canvas().Plain(), "[ ] crosshair  + - zoom  < > pan", "the last line has them in pairs")
}

// TestHelpScrollsAtEverySize reads the help to its end after the screen became
// narrower, where it has more lines.
func TestHelpScrollsAtEverySize(t *testing.T) {
	normalRuns(t)
	m := start(t, 120, 24, "?")
	m.Update(tea.WindowSizeMsg{Width: 40, Height: 12})
	for range len(m.helpLines()) {
		press(m, "down")
	}
	require.True(t, m.help)
	all := m.helpLines()
	assert.Contains(t, m.canvas().Plain(), all[len(all)-1].words)
}

// TestPaletteUsesTheWidth shows the actions whole where there is room, and the
// first part of long ones where there is none.
func TestPaletteUsesTheWidth(t *testing.T) {
	normalRuns(t)
	long := "Decide: record the verdict in the run: asks for a note, then for a yes"
	for width, want := range map[int]string{120: long, 80: "Decide: record the verdict in the run: asks for a note…", 40: "Decide: record the …"} {
		m := start(t, width, 24, ":", "record the verdict")
		assert.Contains(t, m.canvas().Plain(), want)
		checkFrame(t, m)
	}
	m := start(t, 120, 40, ":")
	for _, b := range m.palette.all {
		assert.LessOrEqual(t, text.Width(b.help), 120-4-16, b.help)
	}
}

// TestPaletteHasEveryAction finds what any view can do, from each of them.
func TestPaletteHasEveryAction(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "j")
	for at := range m.views {
		press(m, m.views[at].key, ":")
		listed := map[string]bool{}
		for _, b := range m.palette.all {
			listed[b.show+" "+b.help] = true
		}
		for id, v := range m.views {
			for _, b := range v.bindings {
				name := v.key + " " + b.show + " " + v.name + ": " + b.help
				if id == at {
					name = b.show + " " + b.help
				}
				assert.True(t, listed[name], "%s, in %s", name, m.views[at].name)
			}
		}
		press(m, "esc")
	}
	press(m, "1", ":", "Slices: cross", "enter")
	assert.Equal(t, viewSlices, m.at)
	checkFrame(t, m)
}
