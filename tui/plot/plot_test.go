package plot_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
)

var (
	nan = math.NaN()
	inf = math.Inf(1)
)

func steps(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(i)
	}
	return x
}

func drawn(t *testing.T, ch plot.Chart, w, h int) string {
	t.Helper()
	c := screen.New(w, h)
	require.True(t, ch.Draw(c, plot.Rect{W: w, H: h}))
	return c.Plain()
}

func TestChart(t *testing.T) {
	got := drawn(t, plot.Chart{Cross: nan, Series: []plot.Series{{X: steps(5), Y: []float64{0, 1, 2, 3, 4}}}}, 25, 6)
	assert.Equal(t, ""+
		"      4 ┤            ⢀⡠⠔⠊\n"+
		"        │        ⣀⠤⠔⠊⠁\n"+
		"      2 ┤    ⣀⠤⠒⠉\n"+
		"      0 ┤⣀⠤⠒⠉\n"+
		"        └┬───────┬──────┬\n"+
		"         0       2      4\n", got)
}

// TestPatterns draws the same curve for every number of a series: no two are
// alike, and neither are their signs.
func TestPatterns(t *testing.T) {
	seen := map[string]int{}
	for i := range screen.Lines {
		flat := plot.Series{X: steps(3), Y: []float64{1, 1, 1}, Number: i}
		points := plot.Series{X: steps(3), Y: []float64{2, 2, 2}, Number: i, Points: true}
		for _, s := range []plot.Series{flat, points} {
			seen[drawn(t, plot.Chart{Cross: nan, Series: []plot.Series{s}}, 60, 8)]++
		}
		seen[string(plot.Line(i))]++
		seen[string(plot.Mark(i))]++
	}
	assert.Len(t, seen, 4*screen.Lines)
	assert.Equal(t, plot.Line(0), plot.Line(screen.Lines), "they repeat with the colours")
}

func TestChartGaps(t *testing.T) {
	got := drawn(t, plot.Chart{Cross: nan, Series: []plot.Series{{X: steps(9), Y: []float64{3, 2, 1, nan, inf, nan, 1, 1, 1}}}}, 40, 8)
	assert.Equal(t, 3, strings.Count(got, "×"), "a value that is no number is marked:\n%s", got)
}

func TestChartTakesAnything(t *testing.T) {
	bad := []float64{nan, inf, -inf, 1e300, -1e300, 5e-324, 0, -1, 1e-300, math.MaxFloat64}
	for _, log := range []bool{false, true} {
		for n := range bad {
			for _, window := range [][2]float64{{0, 0}, {3, 5}, {nan, inf}, {-inf, inf}, {2, 2}, {1e300, 2e300}} {
				for _, size := range [][2]int{{0, 0}, {1, 1}, {16, 4}, {17, 5}, {200, 60}} {
					ch := plot.Chart{Log: log, From: window[0], To: window[1], Cross: bad[n], Series: []plot.Series{
						{X: steps(len(bad)), Y: append(bad[n:len(bad):len(bad)], bad[:n]...)},
						{X: bad[:n], Y: bad[:n], Points: true}, {X: []float64{1}, Y: []float64{2}}, {},
					}}
					c := screen.New(size[0], size[1])
					ch.Draw(c, plot.Rect{W: size[0], H: size[1]})
				}
			}
		}
	}
	assert.False(t, plot.Chart{Cross: nan}.Draw(screen.New(80, 24), plot.Rect{W: 80, H: 24}), "nothing to draw")
	assert.False(t, plot.Chart{Cross: nan, Series: []plot.Series{{X: steps(2), Y: []float64{nan, inf}}}}.Draw(screen.New(80, 24), plot.Rect{W: 80, H: 24}))
}

// TestFlat draws a curve that does not move: no two labels of its axis are alike.
func TestFlat(t *testing.T) {
	for _, v := range []float64{1, 1e-5, 3, 1e5} {
		for _, log := range []bool{false, true} {
			c := screen.New(60, 20)
			require.True(t, plot.Chart{Log: log, Cross: nan, Series: []plot.Series{{X: steps(9), Y: []float64{v, v, v, v, v, v, v, v, v}}}}.Draw(c, plot.Rect{W: 60, H: 20}))
			seen := map[string]bool{}
			for line := range strings.Lines(c.Plain()) {
				words, _, found := strings.Cut(line, "┤")
				assert.False(t, found && seen[words], "%v: %s twice", v, words)
				seen[words] = true
			}
			assert.Greater(t, len(seen), 1, "%v", v)
		}
	}
	c := screen.New(60, 20)
	plot.Chart{Log: true, Cross: nan, Series: []plot.Series{{X: steps(2), Y: []float64{1, 1.000001}}}}.Draw(c, plot.Rect{W: 60, H: 20})
	assert.Equal(t, 1, strings.Count(c.Plain(), " 1 ┤"), "values too close to be told apart")
}

func TestSpark(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   string
	}{
		{[]float64{1, 2, 3, 4}, "▁▃▆█"},
		{[]float64{4, 4}, "▁▁"},
		{[]float64{4, nan, 1}, "█×▁"},
		{[]float64{1, inf}, "▁×"},
		{[]float64{1, 1, 1, 1, 1, 9, 9, 9, 9, 9}, "▁▁▅██"},
		{nil, ""},
	} {
		canvas := screen.New(10, 1)
		plot.Spark(canvas, 0, 0, 5, screen.Text, c.values)
		assert.Equal(t, c.want+"\n", canvas.Plain())
	}
}

func TestInterval(t *testing.T) {
	s := plot.Scale{From: 0, To: 1, W: 11}
	for _, c := range []struct {
		low, v, high float64
		want         string
	}{
		{0.2, 0.5, 0.9, "  ├──●───┤"},
		{0.5, 0.5, 0.5, "     ●"},
		{-4, 0.1, 9, "├●────────┤"},
		{nan, 0.3, nan, "   ●"},
		{0.2, nan, 0.9, ""},
		{0.9, 0.5, 0.2, "     ●"},
	} {
		canvas := screen.New(11, 1)
		s.Interval(canvas, 0, 0, screen.Text, c.low, c.v, c.high)
		assert.Equal(t, c.want+"\n", canvas.Plain())
	}
}

func TestScale(t *testing.T) {
	s, ok := plot.NewScale([]float64{0.2, nan, 0.99, inf}, 0, 1, 30)
	require.True(t, ok)
	assert.InDelta(t, 0.168, s.From, 0.01)
	assert.InDelta(t, 1, s.To, 1e-9, "no wider than what there can be")
	c := screen.New(30, 1)
	s.Ticks(c, 0, 0, screen.Text)
	assert.Equal(t, []string{"0.2", "0.4", "0.6", "0.8", "1"}, strings.Fields(c.Plain()))
	_, ok = plot.NewScale([]float64{nan}, 0, 1, 30)
	assert.False(t, ok)
	s, ok = plot.NewScale([]float64{5, 5}, math.Inf(-1), inf, 10)
	require.True(t, ok)
	assert.Less(t, s.From, s.To)
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", 0.25: "0.25", 1234: "1234", 12345: "12.35k", 1.5e6: "1.5M", 2e9: "2G", 3e13: "30T", 1e20: "1e+20",
		1e-7: "1e-07", 0.0029942: "0.00299", -0.5: "-0.5", inf: "+Inf",
	} {
		got := plot.Number(v)
		assert.Equal(t, want, got)
		assert.LessOrEqual(t, len(got), 7)
	}
	assert.Equal(t, "NaN", plot.Number(nan))
}

func BenchmarkChart100000Points(b *testing.B) {
	y := steps(100_000)
	ch := plot.Chart{Cross: nan, Series: []plot.Series{{X: y, Y: y}}}
	c := screen.New(200, 60)
	for b.Loop() {
		ch.Draw(c, plot.Rect{W: 200, H: 60})
	}
}
