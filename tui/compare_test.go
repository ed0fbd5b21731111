package tui

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/source"
)

// fourRuns are four evaluated runs; the oldest is the base.
func fourRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	list := normal()
	for i, name := range []string{"third", "fourth"} {
		f := list[1]
		f.run, f.name = name, "run_2026030"+string(rune('1'+i))+"_080000_99999"+string(rune('0'+i))
		f.losses, f.epochs = curve(50+20*i, 3, 0.4), 3
		f.wrong = func(j int) bool { return j%(4+i) == 0 }
		list = append(list, f)
	}
	writeAll(t, "runs", []fixture{list[1], list[2], list[5], list[6]})
}

func TestCompareSideBySide(t *testing.T) {
	fourRuns(t)
	m := start(t, 120, 40, "space", "space", "space", "space", "c")
	require.NoError(t, m.compare.err)
	require.Len(t, m.compare.value.Runs, 4)
	require.True(t, m.compare.sideBySide())
	lines := strings.Split(m.canvas().Plain(), "\n")
	for _, run := range m.compare.value.Runs[1:] {
		assert.Contains(t, lines[3], run.Label(), "every run has a column")
	}
	assert.Regexp(t, `f1 .*0\.\d+ .*[+−]0\.\d+ [✓~].*[+−]0\.\d+ [✓~].*[+−]0\.\d+ [✓~]`, lines[4])
	first := m.compare.with
	press(m, "w")
	assert.Equal(t, first+1, m.compare.with)
	press(m, "m")
	assert.Contains(t, m.canvas().Plain(), "p (Holm)", "one against the base, with its intervals")
	press(m, "down")
	assert.Contains(t, m.canvas().Plain(), "exact_match · 0.")
	small := start(t, 40, 12, "space", "space", "space", "space", "c", "w", "w")
	assert.Contains(t, small.canvas().Plain(), m.compare.value.Runs[3].Label()[:6], "the run that is picked is in sight")
	checkFrame(t, small)
}

// TestCurvesWithoutColours tells the curves of runs apart by their lines and
// marks.
func TestCurvesWithoutColours(t *testing.T) {
	fourRuns(t)
	m := start(t, 120, 40, "space", "space", "space", "space", "c", "o")
	frame := m.canvas().Plain()
	for i := range 4 {
		entry := string(plot.Line(i)) + string(plot.Mark(i)) + " " + m.runName(m.compare.dirs[i])
		assert.Contains(t, frame, entry)
		assert.GreaterOrEqual(t, strings.Count(frame, string(plot.Mark(i))), 2, "in the chart as well as above it")
	}
	press(m, "3")
	for i, dir := range m.drawn() {
		assert.Contains(t, m.canvas().Plain(), string(plot.Line(i))+string(plot.Mark(i))+" "+m.runName(dir))
	}
}

func TestCompareInputs(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "c", "D")...)
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "training.learning_rate")
	assert.NotContains(t, frame, "training.num_epochs", "only what differs unless asked")
	press(m, "a")
	frame = m.canvas().Plain()
	assert.Contains(t, frame, "training.num_epochs")
	assert.Contains(t, frame, "test_data_path")
	assert.Contains(t, frame, "config  1 key differs")
	press(m, "a")
	assert.NotContains(t, m.canvas().Plain(), "training.num_epochs")
	press(m, "esc")
	assert.Equal(t, partMetrics, m.compare.part)
}

func TestCompareCurves(t *testing.T) {
	fourRuns(t)
	m := start(t, 120, 40, "space", "space", "space", "space", "c", "o")
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "over step (X)")
	assert.Contains(t, frame, "1000")
	press(m, "X")
	assert.Contains(t, m.canvas().Plain(), "over epoch (X)")
	press(m, "X", "L")
	frame = m.canvas().Plain()
	assert.Contains(t, frame, "linear (L) · over relative step (X)")
	assert.NotContains(t, frame, "1000", "all runs end at 100 %")
	for _, dir := range m.compare.dirs {
		h := m.histories[dir]
		x, _ := h.scaled(source.Loss, overShare.log(), 0, overShare.unit(h), -1, 1e9)
		assert.InDelta(t, 100, x[len(x)-1], 1e-9)
	}
	checkFrame(t, m)
}

// TestChangedExamplesOpenInTheReader reads what one run broke, and labels it.
func TestChangedExamplesOpenInTheReader(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "down", "b", "down", "c", "enter") // human-v2 against the better run
	require.NoError(t, m.compare.err)
	assert.Contains(t, m.canvas().Plain(), "broken 60 · fixed 0")
	assert.Contains(t, m.canvas().Plain(), "The city of Albany 5 → The town of New York 5")
	press(m, "down", "enter")
	require.Equal(t, viewHard, m.at)
	assert.Equal(t, 1, m.hard.cursor, "the example that was picked")
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "broken against human+synthetic")
	assert.Contains(t, frame, "2/60 · reviewed 0 of 60")
	assert.Contains(t, frame, "[-Albany-] {+New York+}")
	assert.Contains(t, frame, "✓ right there")
	assert.Contains(t, frame, "difficulty=hard", "tags come from the predictions")
	press(m, "v", "m")
	assert.Equal(t, 1, m.hard.reviewed())
	press(m, "esc")
	assert.Equal(t, viewCompare, m.at)
	assert.Equal(t, partExamples, m.compare.part)
	assert.Equal(t, 1, m.compare.row)
	press(m, "4", "enter")
	assert.Nil(t, m.hard.of.changed, "a slice leads to the hard examples of the run")
	press(m, "6", "enter", "down", "enter")
	require.NotNil(t, m.hard.of.changed)
	press(m, "w", "hard examples of the run", "enter")
	assert.Len(t, m.hard.value.Examples, 50)
	assert.Equal(t, 1, m.hard.reviewed(), "a hard example has the verdict too")
}

func TestCompareExports(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "c")...)
	for name, want := range map[string]string{"a.csv": "level", "a.json": `"p_holm"`, "a.md": "|", "a.txt": "6 Compare"} {
		press(m, "e", "ctrl+u", name, "enter")
		data, err := os.ReadFile(name)
		require.NoError(t, err, name)
		assert.Contains(t, string(data), want, name)
	}
}
