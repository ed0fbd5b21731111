package tui

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/source"
)

// header returns the line of the column titles.
func header(m *Model) string {
	return strings.Split(m.canvas().Plain(), "\n")[3]
}

func TestColumnsAreChosenAndRemembered(t *testing.T) {
	normalRuns(t)
	path := filepath.Join(t.TempDir(), "workbench.json")
	m := start(t, 80, 24)
	m.opt.SettingsPath = path
	assert.Less(t, strings.Index(header(m), "NAME"), strings.Index(header(m), "DATA"))

	press(m, "C")
	require.NotNil(t, m.chooser)
	assert.Contains(t, m.canvas().Plain(), "no room", "columns that do not fit say so")
	checkFrame(t, m)
	press(m, "down", "space") // the data version goes
	assert.NotContains(t, header(m), "DATA")
	press(m, "down", "down", "<", "<") // the task moves up, and shows now
	assert.Equal(t, []string{"name", "task", "data", "model"}, m.table.columns[:4])
	press(m, "g", "s", "s", "esc")
	assert.Nil(t, m.chooser)
	assert.Equal(t, "name", m.table.sort)
	assert.True(t, m.table.reverse)

	again := New(context.Background(), Options{SettingsPath: path}, source.New("runs"), nil)
	again.restore(source.ReadSettings(path))
	assert.Equal(t, m.table.columns, again.table.columns)
	assert.True(t, again.table.hidden["data"])
	assert.Equal(t, "name", again.table.sort)
	assert.True(t, again.table.reverse)

	press(m, "C", "space")
	assert.False(t, m.table.hidden["name"], "the name cannot be hidden")
	press(m, "0", "q")
	assert.Empty(t, m.table.columns)
	assert.Contains(t, header(m), "DATA")
}

func TestColumnsOfOldSettings(t *testing.T) {
	var tb table
	tb.arrange([]string{"age", "gone", "age", "name"})
	assert.Equal(t, []string{"age", "name"}, tb.columns[:2])
	assert.Len(t, tb.columns, len(runColumns), "columns that settings do not know keep a place")
	tb.arrange(nil)
	assert.Nil(t, tb.order())
}

func TestPreviewTellsTheDecision(t *testing.T) {
	normalRuns(t)
	dir := filepath.Join("runs", normal()[1].name)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "decision", "decision.json"),
		[]byte(`{"recommendation": "SHIP", "reasons": ["F1 (0.8886) meets threshold (0.5)", "second"]}`), 0o644))
	m := start(t, 80, 24, baseline...)
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "decision SHIP: F1 (0.8886) meets threshold (0.5) (and 1 more)")
	assert.Contains(t, frame, "worst slice difficulty=hard")
	assert.Contains(t, frame, "changed against baseline: training.learning_rate")
	assert.NotContains(t, frame, "worst slice source=gsw", "a slice that is too small is not the worst")
}

// TestDiffShowsWhatDiffers keeps to the keys that are not the same, however many
// there are.
func TestDiffShowsWhatDiffers(t *testing.T) {
	t.Chdir(t.TempDir())
	list := normal()
	for i := range list {
		list[i].config = "same: 1\n"
		for k := range 40 {
			list[i].config += "k" + string(rune('a'+k%26)) + strings.Repeat("x", k/26) + ": " + strings.Repeat("1", 1+i) + "\n"
		}
	}
	writeAll(t, "runs", list)
	m := start(t, 80, 24, with(baseline, "D")...)
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "ka  111 → 11")
	assert.NotContains(t, frame, "same  1")
	assert.Regexp(t, `and \d+ more: c, then D shows all of them`, frame)
	press(m, "down")
	assert.Contains(t, m.canvas().Plain(), "this is the baseline")
}

// TestBaselineOutOfSight reads the config of a baseline that is scrolled away.
func TestBaselineOutOfSight(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "/", "synthetic", "enter")...)
	require.Equal(t, []string{"human+synthetic"}, names(m))
	m.briefs = map[string]*loaded[*source.Brief]{}
	press(m, "j")
	assert.Contains(t, m.canvas().Plain(), "changed against baseline: training.learning_rate")
}

// TestRunsOfOtherPrograms shows what older writers left.
func TestRunsOfOtherPrograms(t *testing.T) {
	t.Chdir(t.TempDir())
	put := func(name, content string) {
		path := filepath.Join("runs", filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	put("hf/trainer_state.json", `{"global_step": 20, "log_history": [{"step": 10, "epoch": 0.5, "loss": 3.1}, {"step": 10, "epoch": 0.5, "eval_loss": 3.0}, {"step": 20, "epoch": 1.0, "loss": 2.0}]}`)
	put("old/run_meta.json", `{"run_id": "old", "status": "completed", "task": "sft", "metrics": {"f1": 0.6}}`)
	put("old/eval_results.json", `{"num_test_examples": 90, "aggregate": {"f1": 0.6}, "slices": {"source=human": {"n": 60, "f1": 0.7}, "source=web": {"n": 12, "f1": 0.2}}}`)
	put("old/hashes.json", `{"files": {"run_meta.json": "typed by hand"}, "chain_hash": "x"}`)
	for _, view := range []string{"1", "3", "4", "5", "6", "7"} {
		for _, down := range [][]string{{}, {"down"}} {
			m := start(t, 80, 24, append(down, view)...)
			checkFrame(t, m)
			require.False(t, m.pending(), view)
		}
	}
	m := start(t, 80, 24, "/", "f1>0.5", "enter", "4")
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "source=human")
	assert.Contains(t, frame, "too few (30 needed)")
	assert.Contains(t, frame, "no predictions: shares of errors are not known")
}

// TestRunVanishes opens every view of a run that goes while it is looked at.
func TestRunVanishes(t *testing.T) {
	for _, view := range []string{"3", "4", "5", "6", "7"} {
		t.Run(view, func(t *testing.T) {
			normalRuns(t)
			m := start(t, 80, 24, with(baseline, view)...)
			gone := m.open
			require.NoError(t, os.RemoveAll(gone))
			send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunGone, Run: filepath.Base(gone), Dir: gone}}})
			send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunGone, Run: filepath.Base(gone), Dir: gone}}})
			assert.Equal(t, gone, m.open, "no other run takes its place")
			if view != "6" {
				assert.Contains(t, m.canvas().Plain(), filepath.Base(gone)+" is gone")
			}
			press(m, "r", "enter", "down", "v", "m", "esc", "R", "note", "enter", "yes", "enter")
			checkFrame(t, m)
			assert.NoDirExists(t, gone, "nothing is written where a run was")
		})
	}
}

// TestFilterByTag keeps the runs whose data has a tag of that value.
func TestFilterByTag(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "/", "source:gsw", "enter")
	assert.Equal(t, []string{"human+synthetic", "human-v2"}, names(m))
	press(m, "/", "ctrl+u", "source:martian", "enter")
	assert.Empty(t, names(m))
}

// TestMetricsOfSeveralTasks names the metric beside the value where the runs in
// sight have several.
func TestMetricsOfSeveralTasks(t *testing.T) {
	normalRuns(t)
	m := start(t, 120, 40)
	assert.Contains(t, header(m), "F1")
	assert.NotContains(t, m.canvas().Plain(), "f1 0.889  ", "one for all is in the title")
	dir := filepath.Join("runs", "run_20260304_100000_ffffff")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run_meta.json"),
		[]byte(`{"status": "completed", "task": "classification", "started_at": "2026-03-04T10:00:00Z", "metrics": {"accuracy": 0.729}}`), 0o644))
	for width, want := range map[int][]string{
		80:  {"METRIC", "  0.889  "},
		120: {"METRIC", "  f1 0.889  ", " accu… 0.729  "},
		140: {"METRIC", "  f1 0.889  ", " accuracy 0.729  "},
	} {
		m := start(t, width, 40)
		for _, words := range want {
			assert.Contains(t, m.canvas().Plain(), words)
		}
		checkFrame(t, m)
	}
}

// TestTimeOfAResumedRun counts the stretches before and the one that goes on.
func TestTimeOfAResumedRun(t *testing.T) {
	normalRuns(t)
	path := filepath.Join("runs", normal()[0].name, "run_meta.json")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data = []byte(strings.Replace(string(data), `"duration_seconds":0`, `"duration_seconds":48`, 1))
	require.NoError(t, os.WriteFile(path, data, 0o644))
	require.NoError(t, os.Chtimes(path, time.Time{}, noon.Add(-30*time.Second)))
	m := start(t, 120, 40)
	assert.Contains(t, m.canvas().Plain(), "1m 18s")
	m.clock = func() time.Time { return noon.Add(5 * time.Second) }
	send(m, tickMsg{})
	assert.Contains(t, m.canvas().Plain(), "1m 23s")
}

// TestRunWithoutTime shows no age where no file tells one.
func TestRunWithoutTime(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.MkdirAll(filepath.Join("runs", "odd", "run_meta.json"), 0o755))
	frame := start(t, 80, 24).canvas().Plain()
	assert.Contains(t, frame, "–  unreadable")
	assert.NotContains(t, frame, "292y")
}
