package show

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/text"
)

func TestUnits(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		assert.Equal(t, want, count(n))
	}
	for s, want := range map[float64]string{0: "0.0s", 0.84: "0.8s", 9.94: "9.9s", 9.96: "10s", 59.6: "1m00s", 72: "1m12s",
		3600: "1h00m", 7500: "2h05m", 90000: "1d01h", -1: "?", math.Inf(1): "?"} {
		assert.Equal(t, want, duration(s))
	}
	assert.Equal(t, "?", duration(math.NaN()))
	for b, want := range map[int64]string{0: "0 MB", 1: "1 MB", 64_500_000: "65 MB", 999_000_000: "999 MB", 999_999_999: "1.0 GB", 1_250_000_000: "1.2 GB"} {
		assert.Equal(t, want, memory(b))
	}
	for v, want := range map[float64]string{0.12345: "0.1235", 99.5: "99.5000", 1234.56: "1234.6", 123456: "1.235e+05",
		math.Inf(1): "+inf", math.Inf(-1): "-inf", -2: "-2.0000"} {
		assert.Equal(t, want, score(v))
	}
	assert.Equal(t, "NaN", score(math.NaN()))
	assert.Equal(t, "1,235 tok/s", rate(1234.6))
	assert.Equal(t, "? tok/s", rate(math.NaN()))
	assert.Equal(t, "1 row", plural(1, "row", "rows"))
	assert.Equal(t, "1,000 rows", plural(1000, "row", "rows"))
}

func TestPace(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var p pace
	assert.Negative(t, p.left(11, 20, start), "nothing is known after one step")
	assert.InDelta(t, 16, p.left(12, 20, start.Add(2*time.Second)), 1e-9)
	assert.InDelta(t, 0, p.left(20, 20, start.Add(9*time.Second)), 1e-9)
}

func TestStepBar(t *testing.T) {
	ev := engine.StepEvent{Step: 45, TotalSteps: 1000, Epoch: 0.135, Loss: 2.13456, LearningRate: 2e-4}
	for width, want := range map[int]string{
		120: "step   45/1000  [=>                            ]  loss 2.1346  1m12s left  epoch 0.14  1,234 tok/s  lr 2.00e-04",
		80:  "step   45/1000  [>           ]  loss 2.1346  1m12s left  epoch 0.14  1,234 tok/s",
		73:  "step   45/1000  [>    ]  loss 2.1346  1m12s left  epoch 0.14  1,234 tok/s",
		39:  "step   45/1000  loss 2.1346  1m12s left",
		50:  "step   45/1000  [>      ]  loss 2.1346  1m12s left",
		30:  "step   45/1000  loss 2.1346",
		20:  "step   45/1000",
	} {
		got := stepBar(ev, 1234, 72, width)
		assert.Equal(t, want, got, "width %d", width)
	}
	for width := 14; width < 200; width++ {
		assert.LessOrEqual(t, text.Width(stepBar(ev, 1e9, 1e6, width)), width)
	}
	assert.NotContains(t, stepBar(ev, 1234, -1, 120), "left")
}

func TestEvalBar(t *testing.T) {
	assert.Equal(t, "evaluating   5/100  [>          ]  8.0s left", evalBar(engine.PredictEvent{Done: 5, Total: 100}, 8, 44))
}

func TestGauge(t *testing.T) {
	for _, c := range []struct {
		done, total int
		want        string
	}{{0, 10, "[>    ]"}, {5, 10, "[==>  ]"}, {9, 10, "[====>]"}, {10, 10, "[=====]"}, {12, 10, "[=====]"}, {-1, 10, "[>    ]"}, {0, 0, "[>    ]"}} {
		assert.Equal(t, c.want, gauge(c.done, c.total, 7))
	}
}

func TestTableCutsAndDrops(t *testing.T) {
	columns := []column{{head: "value", least: 4}, {head: "n", right: true}, {head: "f1", right: true, optional: true}, {head: "loss", right: true, optional: true}}
	rows := [][]string{{"a long name\x1b", "1,000", "0.1", "2.5"}, {"b", "7", "0.12", "3"}}
	assert.Equal(t, []string{
		`  value                n    f1  loss`,
		`  a long name\x1b  1,000   0.1   2.5`,
		`  b                    7  0.12     3`,
	}, table(40, columns, rows))
	assert.Equal(t, []string{
		`  value              n    f1`,
		`  a long name…   1,000   0.1`,
		`  b                  7  0.12`,
	}, table(28, columns, rows), "first a long cell is cut to half of the line, then columns are left out")
	assert.Equal(t, []string{`  val…      n`, `  a l…  1,000`, `  b         7`}, table(10, columns, rows), "then it is cut further")
	assert.Equal(t, []string{"  x  1"}, table(40, []column{{}, {}}, [][]string{{"x", "1"}}), "no heads, no line for them")
}

// A column that wraps takes lines instead of losing text.
func TestTableWraps(t *testing.T) {
	columns := []column{{head: "gate", least: 6, wraps: true}, {head: "limit", first: 5, least: 4, wraps: true}, {head: "n", right: true}}
	rows := [][]string{{"length=9-12 f1 regression", "0 exact", "77"}, {"f1", "0.5", "1,000"}}
	assert.Equal(t, []string{
		`  gate                       limit        n`,
		`  length=9-12 f1 regression  0 exact     77`,
		`  f1                         0.5      1,000`,
	}, table(60, columns, rows))
	assert.Equal(t, []string{
		`  gate                       limit      n`,
		`  length=9-12 f1 regression  0         77`,
		`                             exact`,
		`  f1                         0.5    1,000`,
	}, table(41, columns, rows), "what is to go first goes first")
	assert.Equal(t, []string{
		`  gate         limit      n`,
		`  length=9-12  0         77`,
		`  f1           exact`,
		`  regression`,
		`  f1           0.5    1,000`,
	}, table(27, columns, rows))
	long := table(27, columns, [][]string{{strings.Repeat("word ", 100), "", ""}})
	assert.Len(t, long, 1+mostLines)
	assert.Contains(t, long[mostLines], "…", "a name of any length is cut in the end")
}
