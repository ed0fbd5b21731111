package tui

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/source"
)

func labels(m *Model) []string {
	var out []string
	for _, s := range m.sliceRows() {
		out = append(out, s.label())
	}
	return out
}

func TestSlicesCarryTheirEvidence(t *testing.T) {
	normalRuns(t)
	m := start(t, 160, 40, with(baseline, "4")...)
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "difficulty=hard")
	assert.Contains(t, frame, "too few (30 needed)")
	assert.Contains(t, frame, "Δ ALL")
	assert.Contains(t, frame, "to human-v2 +0.205 [+0.167, +0.243] ✓")
	assert.Contains(t, frame, "74% of 98 errors")
	assert.Regexp(t, `to overall −0\.138 \[−0\.\d+, −0\.\d+\]`, frame)
	press(m, "G")
	assert.Contains(t, m.canvas().Plain(), "too few to say anything: 30 needed, 20 more")
	narrow := start(t, 80, 24, with(baseline, "4")...)
	assert.Contains(t, narrow.canvas().Plain(), "to human-v2 +0.205", "what has no column stands below")
}

func TestSliceSorts(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "4")...)
	assert.Equal(t, []string{"difficulty=hard", "source=human", "overall", "source=synthetic", "difficulty=easy", "source=gsw"}, labels(m))
	press(m, "down")
	require.Equal(t, "source=human", m.slices.picked)
	press(m, "s")
	assert.Equal(t, []string{"overall", "difficulty=easy", "difficulty=hard", "source=gsw", "source=human", "source=synthetic"}, labels(m))
	assert.Equal(t, 4, m.sliceAt(m.sliceRows()), "the cursor stays on its slice")
	press(m, "S")
	assert.Equal(t, "source=synthetic", labels(m)[1])
	assert.Equal(t, "source=gsw", labels(m)[5], "what is too small stays last")
	press(m, "s", "s")
	assert.Equal(t, "difficulty=hard", labels(m)[1], "most errors first")
	press(m, "s")
	assert.Equal(t, "difficulty=easy", labels(m)[1], "the smallest difference first")
	press(m, "w")
	assert.Equal(t, []string{"overall", "difficulty=easy", "difficulty=hard"}, labels(m))
}

// TestOverallDelta checks the interval of a part against its whole on two cases
// that are known: all of it, and an independent half.
func TestOverallDelta(t *testing.T) {
	make := func(n int, v, half float64) slice {
		return slice{Slice: &source.Slice{N: n, Values: map[string]float64{"f1": v}, Intervals: map[string]source.Interval{"f1": {Low: v - half, High: v + half}}}}
	}
	whole := make(400, 0.5, 0.05)
	d, i, ok := overallDelta(make(400, 0.5, 0.05), whole, "f1")
	require.True(t, ok)
	assert.Zero(t, d)
	assert.InDelta(t, 0, i.High, 1e-9, "all examples are no different from themselves")
	d, i, ok = overallDelta(make(100, 0.4, 0.1), whole, "f1")
	require.True(t, ok)
	assert.InDelta(t, -0.1, d, 1e-9)
	assert.InDelta(t, 0.0866025, (i.High-i.Low)/2, 1e-6)
	_, _, ok = overallDelta(slice{overall: true, Slice: whole.Slice}, whole, "f1")
	assert.False(t, ok)
	_, _, ok = overallDelta(make(5, 1, 0), whole, "other")
	assert.False(t, ok)
}

func TestHeatMap(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "4", "X")...)
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "difficulty × source")
	assert.Contains(t, frame, "n=3", "a cell that is too small says how small")
	assert.Contains(t, frame, "difficulty=easy source=human · f1 0.958")
	press(m, "down", "l")
	assert.Contains(t, m.canvas().Plain(), "difficulty=hard source=synthetic")
	checkFrame(t, m)
	press(m, "enter")
	require.Equal(t, viewHard, m.at)
	require.NotEmpty(t, m.hard.shown())
	for _, e := range m.hard.shown() {
		assert.Equal(t, "hard", e.Tags["difficulty"])
		assert.Equal(t, "synthetic", e.Tags["source"])
	}
	subject, _ := m.hardSubject()
	assert.Contains(t, subject, "slice difficulty=hard source=synthetic")
	press(m, "esc")
	require.NotNil(t, m.slices.cross, "esc leads back to the heat map")
	press(m, "esc")
	assert.Nil(t, m.slices.cross)
	assert.Equal(t, viewSlices, m.at)
}

func TestHeatMapNeedsTags(t *testing.T) {
	t.Chdir(t.TempDir())
	f := normal()[1]
	f.tags = func(i int) map[string]string { return map[string]string{"difficulty": "x*y"} }
	f.write(t, "runs")
	m := start(t, 80, 24, "4", "X")
	require.NotNil(t, m.slices.cross, "a tag that is missing is a value too")
	assert.Contains(t, m.canvas().Plain(), "x*y")
	assert.Contains(t, m.canvas().Plain(), runs.Untagged)
	press(m, "enter")
	assert.Len(t, m.hard.shown(), 50)
	require.NoError(t, os.Remove(filepath.Join(m.open, "eval", "predictions.jsonl")))
	m = start(t, 80, 24, "4", "X")
	assert.Contains(t, m.canvas().Plain(), "no predictions to cross")
	m = start(t, 80, 24, "4")
	m.evaluation().Keys = []string{"one", "two", "three"}
	press(m, "X", "two three", "enter")
	assert.Equal(t, "two", m.slices.cross.a)
	assert.Equal(t, "three", m.slices.cross.b)
	m.slices.cross = nil
	m.evaluation().Keys = []string{"one"}
	press(m, "X")
	assert.Contains(t, m.notice.words, "takes two tags")
}

// manySlices is an evaluation with n slices.
func manySlices(n int) *source.Evaluation {
	e := &source.Evaluation{Task: metrics.TaskSFT, N: 100 * n, Metrics: []string{"f1"}, Values: map[string]float64{"f1": 0.5},
		Intervals: map[string]source.Interval{"f1": {Low: 0.49, High: 0.51}}, Errors: 50 * n, MinSlice: 30, Keys: []string{"tag"}}
	for i := range n {
		v := float64(i%997) / 997
		e.Slices = append(e.Slices, source.Slice{Key: "tag", Value: fmt.Sprintf("v%05d", i), N: 100, Values: map[string]float64{"f1": v},
			Intervals: map[string]source.Interval{"f1": {Low: v - 0.05, High: v + 0.05}}, Errors: i % 90, Lift: nan, LiftEnds: source.Unknown})
	}
	return e
}

func TestTenThousandSlices(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "down", "4")
	m.evals[m.open].value = manySlices(10_000)
	press(m, "G")
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "10,001 of 10,001")
	assert.Contains(t, frame, "tag=v")
	checkFrame(t, m)
	press(m, "g", "s", "S")
	assert.Len(t, m.sliceRows(), 10_001)
	rows := m.sliceRows()
	assert.Same(t, &rows[0], &m.sliceRows()[0], "rows are worked out once")
}

func BenchmarkSlices10000(b *testing.B) {
	b.Chdir(b.TempDir())
	writeAll(b, "runs", normal())
	m := start(b, 160, 50, "down", "4")
	m.evals[m.open].value = manySlices(10_000)
	for b.Loop() {
		m.Update(keyMsg("j"))
		m.View()
	}
}

func TestSlicesExport(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "4", "e", "ctrl+u", "slices.csv", "enter")...)
	assert.Contains(t, m.notice.words, "✓")
	data, err := os.ReadFile("slices.csv")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	require.Len(t, lines, 7)
	assert.Equal(t, "key,value,n,too_few,metric,score,low,high,delta_to_overall,delta_to_baseline,errors", lines[0])
	assert.True(t, strings.HasPrefix(lines[1], "difficulty,hard,133,false,f1,0.75"))
	press(m, "e", "ctrl+u", "slices.pdf", "enter")
	assert.Contains(t, m.notice.words, "nothing is exported as .pdf here")
	assert.NoFileExists(t, "slices.pdf")
}

func TestSpreadsheetsGetNoFormulas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	require.NoError(t, writeCSV(path, [][]string{{"=cmd()", "-1.5", "@x", "plain", "a,b", ""}}))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "'=cmd(),-1.5,'@x,plain,\"a,b\",\n", string(data))
}

// TestSlicesSayWhatCompareSays holds a difference to the baseline to the same
// evidence in both views.
func TestSlicesSayWhatCompareSays(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, with(baseline, "4", "6")...)
	pair := m.pairs[pairKey{m.table.base, m.open, true}]
	require.NotNil(t, pair)
	require.NotNil(t, m.compare.value)
	require.NotEmpty(t, pair.value.Slices)
	assert.Equal(t, m.compare.value.Overall, pair.value.Overall)
	assert.Equal(t, m.compare.value.Slices, pair.value.Slices)
}

// TestBaselineWithoutEvaluation says why no slice has a difference.
func TestBaselineWithoutEvaluation(t *testing.T) {
	normalRuns(t)
	m := start(t, 120, 40, "g", "b", "down", "4")
	subject, _ := m.slicesSubject()
	assert.Contains(t, subject, "no Δ: lr-sweep-4 is not evaluated")
}
