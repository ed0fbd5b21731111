package tui

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/exp/teatest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/source"
)

func TestMain(m *testing.M) {
	// The test program waits for a signal as long as the process lives.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/charmbracelet/x/exp/teatest.NewTestModel.func2"))
}

func names(m *Model) []string {
	var out []string
	for _, r := range m.table.shown {
		out = append(out, r.name)
	}
	return out
}

func normalRuns(t testing.TB) {
	t.Chdir(t.TempDir())
	writeAll(t, "runs", normal())
}

func TestFilter(t *testing.T) {
	normalRuns(t)
	for query, want := range map[string][]string{
		"human":                      {"human+synthetic", "human-v2"},
		"status:failed":              {"qlora-8b"},
		"f1>0.85":                    {"human+synthetic"},
		"lr>=1e-3 status:completed":  {"human+synthetic"},
		"training.learning_rate:0.5": {"qlora-8b"},
		"age>2d":                     {"qlora-8b", "overnight"},
		"nothing:here":               nil,
	} {
		m := start(t, 80, 24, "/", query, "enter")
		assert.Equal(t, want, names(m), query)
		press(m, "esc")
		assert.Len(t, names(m), 5, "esc takes the filter away")
	}
	m := start(t, 80, 24, "/", "lr>0 status:foo")
	assert.Contains(t, m.canvas().Plain(), `! no run has the status "foo"; it is pending,`)
	press(m, "esc", "/", "learning_rat<1", "enter")
	assert.Contains(t, m.canvas().Plain(), `! no run has "learning_rat"; did you mean learning_rate?`)
	m = start(t, 80, 24, "/", "human", "enter", "/", " x", "esc")
	assert.Equal(t, "human", m.table.filter, "esc takes back what was typed")
}

// TestKeysAtOnce takes keys that come in one message, as fast typing does.
func TestKeysAtOnce(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24)
	send(m, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("jj3")})
	assert.Equal(t, viewLive, m.at)
	assert.Equal(t, "human-v2", m.run().name)
	send(m, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("1/over")})
	assert.Equal(t, []string{"overnight"}, names(m))
}

func TestSort(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24)
	byAge := names(m)
	assert.Equal(t, []string{"lr-sweep-4", "human+synthetic", "human-v2", "qlora-8b", "overnight"}, byAge)
	press(m, "down", ":", "sort by metric", "enter")
	assert.Equal(t, []string{"human+synthetic", "human-v2"}, names(m)[:2])
	assert.Equal(t, "human+synthetic", m.table.find(m.table.cursor).name, "the cursor stays on its run")
	press(m, "S")
	assert.Equal(t, []string{"human-v2", "human+synthetic"}, names(m)[:2], "runs without a value stay last")
	press(m, ":", "sort by name", "enter")
	assert.Equal(t, "human+synthetic", names(m)[0])
}

func TestCursorStays(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "down", "down")
	was := m.table.cursor
	fixture{name: "run_20260304_115900_ffffff", run: "newest", status: runs.StatusCompleted, age: time.Minute}.write(t, "runs")
	send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunAppeared, Run: "run_20260304_115900_ffffff"}}})
	assert.Equal(t, "newest", names(m)[0])
	assert.Equal(t, was, m.table.cursor)
	require.NoError(t, os.RemoveAll(was))
	send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunGone, Run: filepath.Base(was)}}})
	assert.Len(t, names(m), 5)
	assert.NotEqual(t, was, m.table.cursor)
	assert.NotNil(t, m.table.find(m.table.cursor), "a run that goes leaves the cursor on another")
}

// TestLiveFollows reads what a run logs while it is looked at.
func TestLiveFollows(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "enter")
	require.Equal(t, viewLive, m.at)
	before := m.opened().lines.Lines()
	path := filepath.Join(m.open, "train_log.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"step": 420, "epoch": 1.3, "loss": 0.25}` + "\n" + `{"step": 430, "epo`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunChanged, Dir: m.open, Files: []string{"train_log.jsonl"}}}})
	assert.Equal(t, before+1, m.opened().lines.Lines(), "a torn line is left for later")
	assert.Contains(t, m.canvas().Plain(), "step 420")

	require.NoError(t, os.WriteFile(path, []byte(`{"step": 10, "epoch": 0.1, "loss": 3}`+"\n"), 0o644))
	send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunChanged, Dir: m.open, Files: []string{"train_log.jsonl"}}}})
	assert.Equal(t, 1, m.opened().lines.Lines(), "a log that was cut back is read anew")
}

// TestProgressWithoutTheCursor follows a run that was looked at and is no more.
func TestProgressWithoutTheCursor(t *testing.T) {
	normalRuns(t)
	m := start(t, 120, 40)
	dir := m.table.cursor
	require.Contains(t, m.canvas().Plain(), "training 41%")
	require.NotNil(t, m.histories[dir], "the preview has read its log")
	press(m, "down")
	f, err := os.OpenFile(filepath.Join(dir, "train_log.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"step": 420, "epoch": 2.4, "loss": 0.25}` + "\n")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunChanged, Dir: dir, Files: []string{"train_log.jsonl"}}}})
	assert.Contains(t, m.canvas().Plain(), "training 80%")
	press(m, "up")
	assert.Contains(t, m.canvas().Plain(), "training 80%")
}

func TestCrosshairAndZoom(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "down", "3")
	press(m, "[")
	assert.Equal(t, 1000.0, m.live.cross, "the crosshair starts at the end")
	press(m, "[")
	assert.Equal(t, 990.0, m.live.cross)
	press(m, "+")
	from, to, first, last, _ := m.window()
	assert.InDelta(t, (last-first)/2, to-from, 1e-9)
	assert.Equal(t, last, to)
	press(m, "<")
	from2, to2, _, _, _ := m.window()
	assert.Less(t, from2, from)
	assert.InDelta(t, to-from, to2-from2, 1e-9)
	press(m, "-", "-")
	from, to, _, _, _ = m.window()
	assert.Equal(t, []float64{first, last}, []float64{from, to})
	press(m, "+", "X")
	assert.Equal(t, source.Epochs, m.live.axis)
	from, to, _, _, _ = m.window()
	assert.InDelta(t, 3.0, to, 1e-9, "another axis shows all of it")
	assert.InDelta(t, 0.03, from, 1e-9)
}

func TestReview(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "down", "5")
	first := m.hard.current()
	press(m, "v", "l")
	assert.Equal(t, 1, m.hard.cursor, "a verdict moves on")
	assert.Equal(t, 1, m.hard.reviewed())
	press(m, "a", "see the reference", "enter", "v", "q")
	assert.False(t, m.hard.labelling, "any other key leaves the verdicts")
	data, err := os.ReadFile(filepath.Join(m.open, "review", "review.jsonl"))
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	require.Len(t, lines, 2)
	assert.Contains(t, lines[0], `"id":"`+first.ID+`"`)
	assert.Contains(t, lines[0], `"verdict":"label error"`)
	assert.Contains(t, lines[1], `"note":"see the reference"`)

	again := start(t, 80, 24, "down", "5", "u")
	assert.Equal(t, 1, again.hard.reviewed(), "a review is taken up where it was left")
	assert.Equal(t, 1, again.hard.cursor)
	press(again, "/", "verdict:label", "enter")
	assert.Len(t, again.hard.shown(), 1)
	press(again, "v", "backspace")
	assert.Equal(t, 0, again.hard.reviewed(), "a verdict can be taken back")
}

func TestSliceLeadsToItsExamples(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "down", "enter", "enter")
	require.Equal(t, viewHard, m.at)
	assert.Equal(t, "difficulty", m.hard.key)
	for _, e := range m.hard.shown() {
		assert.Equal(t, "hard", e.Tags["difficulty"])
	}
	press(m, "esc", "esc")
	assert.Equal(t, viewRuns, m.at)
}

func TestCompareMarked(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "c")
	assert.Equal(t, viewRuns, m.at)
	assert.Contains(t, m.notice.words, "comparing takes two runs")
	press(m, "down", " ", " ", "c")
	require.Equal(t, viewCompare, m.at)
	require.NoError(t, m.compare.err)
	assert.Equal(t, "human-v2", m.compare.value.Runs[0].Name, "without a baseline the oldest is the base")
	assert.Contains(t, m.canvas().Plain(), "fixed 60 · broken 0")
	press(m, "enter")
	assert.Contains(t, m.canvas().Plain(), "The town of New York 5 → The city of Albany 5", "the base's answer, the new one")
	press(m, "esc")
	assert.Equal(t, partMetrics, m.compare.part)
}

func TestDecide(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "down", "7")
	verdict := m.decide.value.Decision.Recommendation
	assert.Contains(t, m.canvas().Plain(), verdict)
	before, err := os.ReadFile(filepath.Join(m.open, "decision", "decision.json"))
	require.NoError(t, err)
	press(m, "R", "a note", "enter", "no", "enter")
	after, err := os.ReadFile(filepath.Join(m.open, "decision", "decision.json"))
	require.NoError(t, err)
	assert.Equal(t, before, after, "without a yes nothing is written")
	press(m, "R", "a note", "enter", "yes", "enter")
	assert.Contains(t, m.notice.words, "decision.json")
	after, err = os.ReadFile(filepath.Join(m.open, "decision", "decision.json"))
	require.NoError(t, err)
	assert.Contains(t, string(after), verdict)
}

// TestTrain starts a training from the form and watches it to the end.
func TestTrain(t *testing.T) {
	t.Chdir(t.TempDir())
	writeConfig(t)
	m := start(t, 80, 24, "2")
	defer m.jobs.Close()
	require.NoError(t, m.train.err)
	assert.Contains(t, m.canvas().Plain(), "8, 8 an epoch")
	press(m, "enter", "ctrl+u", "from the form", "enter")
	press(m, "c", "ctrl+u", "none.yaml", "enter", "R")
	assert.Contains(t, m.notice.words, "cannot be trained")
	assert.Contains(t, m.canvas().Plain(), "none.yaml")
	press(m, "c", "ctrl+u", "train.yaml", "enter", "enter", "ctrl+u", "from the form", "enter")
	press(m, with(ups, "enter", "ctrl+u", "0.002", "enter")...)
	assert.Contains(t, m.canvas().Plain(), "2 changes")
	press(m, "R")
	for !m.jobs.States()[0].Ended() {
		<-m.jobs.Changed()
		send(m, jobsMsg{m.jobs.States()})
	}
	send(m, jobsMsg{m.jobs.States()})
	require.NoError(t, m.jobs.States()[0].Err)
	assert.Equal(t, []string{"from the form"}, names(m))
	press(m, "1", "enter", "3")
	assert.Contains(t, m.canvas().Plain(), "step 8")
	assert.Zero(t, m.atWork())
}

// TestQuitAsks leaves only after a question while something of ours runs.
func TestQuitAsks(t *testing.T) {
	t.Chdir(t.TempDir())
	writeConfig(t)
	m := start(t, 80, 24, "2")
	defer m.jobs.Close()
	m.train.override("training.num_epochs", 100_000)
	press(m, "r", "R")
	send(m, jobsMsg{m.jobs.States()})
	require.Equal(t, 1, m.atWork())
	press(m, "x")
	require.NotNil(t, m.palette)
	press(m, "esc", "q", "c")
	assert.Nil(t, m.choice, "it stays")
	press(m, "q", "s")
	assert.Contains(t, m.canvas().Plain(), "saving a checkpoint")
	for !m.jobs.States()[0].Ended() {
		<-m.jobs.Changed()
	}
	_, cmd := m.Update(jobsMsg{m.jobs.States()})
	assert.IsType(t, tea.QuitMsg{}, first(cmd))
}

// first runs a command, and the first of a batch.
func first(cmd tea.Cmd) tea.Msg {
	msg := cmd()
	if batch, ok := msg.(tea.BatchMsg); ok {
		return first(batch[0])
	}
	return msg
}

func TestDiffWords(t *testing.T) {
	for _, c := range []struct{ reference, prediction, want string }{
		{"a b c", "a b c", "a b c"},
		{"a b c", "a x c", "a [-b-] {+x+} c"},
		{"a b", "", "[-a b-]"},
		{"", "a b", "{+a b+}"},
		{"the cat sat", "the big cat", "the {+big+} cat [-sat-]"},
		{"", "", ""},
	} {
		var words []string
		for _, s := range diffWords(c.reference, c.prediction) {
			words = append(words, s.words)
		}
		assert.Equal(t, c.want, strings.Join(words, " "))
	}
}

func TestLine(t *testing.T) {
	l := newLine("ab cd")
	for _, k := range []string{"left", "ctrl+w", "x", "home", "日", "end", "backspace", "delete"} {
		assert.True(t, l.key(keyMsg(k)), k)
	}
	assert.Equal(t, "日ab x", l.String())
	assert.False(t, l.key(keyMsg("f5")))
	assert.True(t, l.key(tea.KeyMsg{Type: tea.KeyRunes, Paste: true, Runes: []rune("\n\x1b" + strings.Repeat("y", 2*maxEntry))}))
	assert.Len(t, []rune(l.String()), maxEntry)
	assert.True(t, strings.HasPrefix(l.String(), "日ab x yyy"), "what a terminal obeys is left out")
}

// TestKeysMeanOneThing holds the key table to its promise.
func TestKeysMeanOneThing(t *testing.T) {
	m := New(context.Background(), Options{}, source.New("runs"), nil)
	for _, v := range m.views {
		seen := map[string]string{}
		for _, b := range append(append([]binding{}, v.bindings...), m.globals()...) {
			assert.NotEmpty(t, b.help)
			for _, k := range b.keys {
				assert.Empty(t, seen[k], "%s in %s: %s", k, v.name, b.help)
				seen[k] = b.help
				if k != "ctrl+c" {
					assert.Equal(t, k, keyMsg(k).String())
				}
			}
		}
	}
}

func TestSettings(t *testing.T) {
	normalRuns(t)
	path := filepath.Join(t.TempDir(), "deep", "workbench.json")
	m := start(t, 80, 24)
	m.opt.SettingsPath = path
	press(m, "down", "b", ":", "sort by name", "enter", ":", "hide column data", "enter", "T")
	again := New(context.Background(), Options{SettingsPath: path}, source.New("runs"), nil)
	again.restore(source.ReadSettings(path))
	assert.Equal(t, m.table.base, again.table.base)
	assert.Equal(t, "name", again.table.sort)
	assert.True(t, again.table.hidden["data"])
	assert.Equal(t, m.theme.Light, again.theme.Light)
}

func TestExport(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "e", "ctrl+u", "frame.svg", "enter")
	svg, err := os.ReadFile("frame.svg")
	require.NoError(t, err)
	assert.Contains(t, string(svg), "human+synthetic")
	press(m, "e", "ctrl+u", "frame.txt", "enter")
	txt, err := os.ReadFile("frame.txt")
	require.NoError(t, err)
	assert.Contains(t, string(txt), "1 Runs")
	press(m, "e", "ctrl+u", "no/such/folder.txt", "enter")
	assert.Contains(t, m.notice.words, "no/such")
}

func TestFrame(t *testing.T) {
	normalRuns(t)
	canvas, err := Frame(context.Background(), Options{}, 100, 30, "slices", "down")
	require.NoError(t, err)
	assert.Contains(t, canvas.Plain(), "difficulty=hard")
	canvas, err = Frame(context.Background(), Options{}, 100, 30, "batch")
	require.NoError(t, err)
	assert.Contains(t, canvas.Plain(), "no batch yet")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Frame(ctx, Options{}, 100, 30, "runs", "down")
	assert.ErrorIs(t, err, context.Canceled)
	_, err = Frame(context.Background(), Options{}, 100, 30, "walks")
	assert.ErrorContains(t, err, "runs, train, live")
	_, err = Frame(context.Background(), Options{}, 100, 30, "lives")
	assert.ErrorContains(t, err, "the nearest is live")
}

func TestUnicodeLocale(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, true},
		{map[string]string{"LANG": "C"}, false},
		{map[string]string{"LANG": "C", "LC_ALL": "de_CH.UTF-8"}, true},
		{map[string]string{"LC_CTYPE": "POSIX", "LANG": "en_US.UTF-8"}, false},
		{map[string]string{"LANG": "C.UTF-8"}, true},
	} {
		assert.Equal(t, c.want, unicodeLocale(func(name string) string { return c.env[name] }), "%v", c.env)
	}
}

// TestProgram runs the whole program: it opens, follows a new run, filters,
// sorts, marks and leaves.
func TestProgram(t *testing.T) {
	normalRuns(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events, err := runs.Watch(ctx, "runs", runs.WatchOptions{})
	require.NoError(t, err)
	m := New(ctx, Options{}, source.New("runs"), events)
	p := teatest.NewTestModel(t, m, teatest.WithInitialTermSize(80, 24))
	see := func(words ...string) {
		teatest.WaitFor(t, p.Output(), func(out []byte) bool {
			for _, w := range words {
				if !bytes.Contains(out, []byte(w)) {
					return false
				}
			}
			return true
		}, teatest.WithDuration(20*time.Second), teatest.WithCheckInterval(10*time.Millisecond))
	}
	see("5 runs", "overnight")
	fixture{name: "run_20260304_115959_abcdef", run: "arrived", status: runs.StatusCompleted}.write(t, "runs")
	see("6 runs", "arrived")
	p.Type("/over")
	see("1 of 6 runs")
	p.Send(keyMsg("enter"))
	p.Send(keyMsg("esc"))
	see("6 runs")
	p.Type("s")
	see("sorted by")
	p.Type("  ")
	see("2 marked")
	p.Type("3")
	see("loss")
	p.Type("q")
	end := p.FinalModel(t, teatest.WithFinalTimeout(20*time.Second)).(*Model)
	assert.Len(t, end.table.marked, 2)
	cancel()
	for range events {
		t.Log("an event after the end")
	}
}

// TestManyRuns keeps a table of ten thousand runs in order.
func TestManyRuns(t *testing.T) {
	m := New(context.Background(), Options{}, source.New(t.TempDir()), nil)
	entries := manyRuns(10_000)
	m.listing.begin()
	send(m, listMsg{entries: entries})
	press(m, "G")
	assert.Equal(t, "sweep-9999", m.table.find(m.table.cursor).name)
	press(m, "/", "sweep-77 f1>0.5", "enter")
	for _, n := range names(m) {
		assert.Contains(t, n, "sweep-77")
	}
	press(m, "esc")
	for range 100 {
		press(m, "pgup")
	}
	assert.Less(t, len(m.briefs), mostBriefs+50, "details of runs out of sight are given up")
	assert.Less(t, len(m.evals), mostDetails+50)
}

func manyRuns(n int) []runs.Entry {
	out := make([]runs.Entry, n)
	for i := range out {
		name := fmt.Sprintf("run_%05d", i)
		out[i] = runs.Entry{Name: name, Dir: filepath.Join("none", name), Status: runs.StatusCompleted,
			Meta: runs.Meta{RunID: name, RunName: fmt.Sprintf("sweep-%d", i), Status: runs.StatusCompleted, Task: "sft",
				StartedAt: runs.FormatTime(noon.Add(-time.Duration(i) * time.Minute)), Metrics: map[string]float64{"f1": float64(i%997) / 997}}}
	}
	return out
}
