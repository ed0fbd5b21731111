package tui

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// update says whether to write the golden frames anew; teatest has the flag.
func update() bool { return flag.Lookup("update").Value.String() == "true" }

// start returns a workbench over runs/ of the working directory at noon.
func start(t testing.TB, width, height int, keys ...string) *Model {
	t.Helper()
	m := New(context.Background(), Options{}, source.New("runs"), nil)
	m.clock = func() time.Time { return noon }
	send(m, tea.WindowSizeMsg{Width: width, Height: height})
	settle(m, m.Init())
	press(m, keys...)
	return m
}

func send(m *Model, msg tea.Msg) {
	_, cmd := m.Update(msg)
	settle(m, cmd)
}

func press(m *Model, keys ...string) {
	for _, k := range keys {
		send(m, keyMsg(k))
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(testdata, name+".txt")
	if update() {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./tui -update writes the frames")
	assert.Equal(t, string(want), got, name)
}

// testdata stays the same while tests change the working directory.
var testdata = func() string {
	dir, err := filepath.Abs("testdata")
	if err != nil {
		panic(err)
	}
	return dir
}()

var sizes = [][2]int{{40, 12}, {80, 24}, {120, 40}, {200, 60}}

// ups leads to the learning rate in the form of a training.
var ups = append([]string{"g"}, slices.Repeat([]string{"down"}, 10)...)

// baseline makes human-v2 the baseline and puts the cursor on the run before.
var baseline = []string{"down", "down", "b", "up"}

func with(list []string, more ...string) []string {
	return append(append([]string{}, list...), more...)
}

func TestFrames(t *testing.T) {
	t.Chdir(t.TempDir())
	writeAll(t, "runs", normal())
	writeConfig(t)
	for name, keys := range map[string][]string{
		"runs":             baseline,
		"runs-diff":        with(baseline, "D"),
		"runs-filter":      {"/", "f1>0.5", "enter"},
		"runs-wrong":       {"/", "f1>x"},
		"runs-none":        {"/", "status:nothing", "enter"},
		"help":             {"?"},
		"palette":          {":", "sort"},
		"live":             {"enter"},
		"live-done":        with(baseline, "space", "space", "3", "[", "S"),
		"live-nan":         {"G", "up", "3", "L"},
		"slices":           with(baseline, "4"),
		"slices-none":      {"4"},
		"hard":             with(baseline, "4", "enter"),
		"hard-label":       with(baseline, "5", "n", "v"),
		"hard-none":        {"5"},
		"compare":          with(baseline, "c"),
		"compare-inputs":   with(baseline, "c", "D"),
		"compare-examples": with(baseline, "c", "enter"),
		"decide":           with(baseline, "7"),
		"decide-record":    with(baseline, "7", "R"),
		"train-wrong":      with([]string{"2"}, with(ups, "enter", "ctrl+u", "-3", "enter")...),
		"compare-none":     {"6"},
		"compare-fails":    with(baseline, "G", "c"),
	} {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s-%dx%d", name, size[0], size[1]), func(t *testing.T) {
				m := start(t, size[0], size[1], keys...)
				require.False(t, m.pending(), "everything is read")
				golden(t, filepath.Join("frames", fmt.Sprintf("%s-%dx%d", name, size[0], size[1])), m.canvas().Plain())
				checkFrame(t, m)
			})
		}
	}
}

// pending says whether something is still being read.
func (m *Model) pending() bool { return m.loading() != "" }

// everySize draws a state at all sizes.
func everySize(t *testing.T, name string, m *Model) {
	t.Helper()
	for _, size := range sizes {
		t.Run(fmt.Sprintf("%s-%dx%d", name, size[0], size[1]), func(t *testing.T) {
			m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
			golden(t, filepath.Join("frames", fmt.Sprintf("%s-%dx%d", name, size[0], size[1])), m.canvas().Plain())
			checkFrame(t, m)
		})
	}
}

func TestFramesEmpty(t *testing.T) {
	t.Chdir(t.TempDir())
	for i, view := range Views() {
		everySize(t, "empty-"+view, start(t, 80, 24, makeViews()[i].key))
	}
}

// TestFramesLoading draws every view before what it reads has come.
func TestFramesLoading(t *testing.T) {
	normalRuns(t)
	writeConfig(t)
	for i, view := range Views() {
		var m *Model
		if viewID(i) == viewRuns {
			m = New(context.Background(), Options{}, source.New("runs"), nil)
			m.clock = func() time.Time { return noon }
			m.Init()
		} else {
			m = start(t, 80, 24)
			m.Update(keyMsg("down"))
			m.Update(keyMsg("c"))
			m.table.marked = map[string]bool{m.table.shown[1].dir: true, m.table.shown[2].dir: true}
			m.Update(keyMsg(makeViews()[i].key))
		}
		everySize(t, "loading-"+view, m)
	}
}

// TestFramesError draws every view over files that cannot be read.
func TestFramesError(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("file", []byte("a file, not a folder"), 0o644))
	m := New(context.Background(), Options{}, source.New("file"), nil)
	m.clock = func() time.Time { return noon }
	settle(m, m.Init())
	everySize(t, "error-runs", m)

	writeAll(t, "runs", normal()[1:3])
	require.NoError(t, os.WriteFile("train.yaml", []byte("task: sft\nbase_modle: builtin:nano\n"), 0o644))
	broken := errors.New("read runs/run_20260304_090000_bbbbbb/a/file.json: input/output error")
	for i, view := range Views() {
		if viewID(i) == viewRuns {
			continue
		}
		m := start(t, 80, 24, "down", "b", "up", makeViews()[i].key)
		switch viewID(i) {
		case viewLive:
			m.histories[m.open] = &history{}
			m.histories[m.open].set(struct{}{}, broken)
		case viewSlices:
			m.evals[m.open].set(nil, broken)
		case viewHard:
			m.hard.loaded.set(nil, broken)
		case viewCompare:
			m.compare.loaded.set(nil, broken)
		case viewDecide:
			m.decide.loaded.set(nil, broken)
		case viewBatch:
			m.batches.loaded.set(nil, broken)
		}
		everySize(t, "error-"+view, m)
	}
}

// TestFramesThemes draws one frame for all kinds of terminals.
func TestFramesThemes(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "space", "4")...)
	for name, theme := range map[string]screen.Theme{
		"full":      {Profile: termenv.TrueColor},
		"256":       {Profile: termenv.ANSI256},
		"256-light": {Profile: termenv.ANSI256, Light: true},
		"16":        {Profile: termenv.ANSI},
		"16-light":  {Profile: termenv.ANSI, Light: true},
		"no-color":  {Profile: termenv.Ascii},
		"dumb":      {Profile: termenv.Ascii, ASCII: true, Bare: true},
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, filepath.Join("frames", "theme-"+name), strings.ReplaceAll(m.canvas().Render(theme), "\x1b", "␛")+"\n")
		})
	}
}

// TestTerminalTheme reads what the environment says about the terminal.
func TestTerminalTheme(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want screen.Theme
	}{
		{map[string]string{"TERM": "dumb", "LC_ALL": "C.UTF-8"}, screen.Theme{Profile: termenv.Ascii, ASCII: true, Bare: true}},
		{map[string]string{"TERM": "xterm-256color", "LC_ALL": "C", "NO_COLOR": "1"}, screen.Theme{Profile: termenv.Ascii, ASCII: true}},
	} {
		for _, name := range []string{"TERM", "LC_ALL", "NO_COLOR", "COLORTERM", "CLICOLOR_FORCE"} {
			t.Setenv(name, c.env[name])
		}
		assert.Equal(t, c.want, terminalTheme(Options{}, true), "%v", c.env)
	}
}

// TestHostileFrames draws what tries to break out of its place.
func TestHostileFrames(t *testing.T) {
	t.Chdir(t.TempDir())
	writeAll(t, "runs", hostile())
	require.NoError(t, os.MkdirAll("runs/run_20260101_000000_ffffff", 0o755))
	require.NoError(t, os.WriteFile("runs/run_20260101_000000_ffffff/run_meta.json", []byte("{\x1b"), 0o644))
	require.NoError(t, os.WriteFile("train.yaml", []byte("name: \"\\e[31mred \\u202e\"\ntask: \"s\\eft\"\n\"\\e[2J\": 1\nbase_model: \""+strings.Repeat("日🙂", 10_000)+"\"\n"), 0o644))
	for name, keys := range map[string][]string{
		"runs":    {"j", "j"},
		"diff":    {"j", "j", "b", "j", "D"},
		"live":    {"j", "j", "3", "S", "["},
		"slices":  {"j", "j", "4"},
		"hard":    {"j", "j", "5"},
		"decide":  {"j", "j", "7"},
		"compare": {"j", "j", "b", "k", "c"},
		"filter":  {"/", evil},
		"note":    {"j", "j", "5", "a", evil},
		"train":   {"2"},
		"help":    {"j", "j", "?"},
		"palette": {":", evil},
	} {
		m := start(t, 80, 24, keys...)
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s-%dx%d", name, size[0], size[1]), func(t *testing.T) {
				send(m, tea.WindowSizeMsg{Width: size[0], Height: size[1]})
				golden(t, filepath.Join("frames", fmt.Sprintf("hostile-%s-%dx%d", name, size[0], size[1])), m.canvas().Plain())
				checkFrame(t, m)
			})
		}
	}
}

// checkFrame holds a frame to its size, and to characters that a terminal only
// shows.
func checkFrame(t *testing.T, m *Model) {
	t.Helper()
	canvas := m.canvas()
	lines := strings.Split(strings.TrimSuffix(canvas.Plain(), "\n"), "\n")
	require.Len(t, lines, m.height)
	for _, l := range lines {
		if text.Width(l) > m.width || text.Escape(l) != l {
			t.Fatalf("%dx%d: %q", m.width, m.height, l)
		}
	}
	for _, r := range canvas.Render(screen.Theme{Profile: termenv.Ascii, ASCII: true, Bare: true}) {
		if r != '\n' && (r < ' ' || r > '~') {
			t.Fatalf("%q is not for every terminal", r)
		}
	}
}

// TestAnySize resizes every view down to nothing and up.
func TestAnySize(t *testing.T) {
	t.Chdir(t.TempDir())
	writeAll(t, "runs", normal())
	for _, keys := range [][]string{{}, {"?"}, {":"}, {"/", "long filter > 3"}, {"3", "["}, with(baseline, "4"), with(baseline, "5", "v"), {"p"}} {
		m := start(t, 80, 24, keys...)
		for w := 1; w <= 210; w += 11 {
			for h := 1; h <= 61; h += 5 {
				send(m, tea.WindowSizeMsg{Width: w, Height: h})
				checkFrame(t, m)
			}
		}
	}
}
