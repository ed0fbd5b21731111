//go:build unix

package main

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
)

// evaluated writes a completed run whose answer to every wrong-th question is
// wrong, started at a minute of a day.
func evaluated(t testing.TB, name string, minute, wrong int) string {
	t.Helper()
	dir := filepath.Join("runs", fmt.Sprintf("run_20260304_12%02d00_abcdef", minute))
	require.NoError(t, os.MkdirAll(dir, 0o755))
	var log strings.Builder
	for i := range 60 {
		fmt.Fprintf(&log, `{"step": %d, "epoch": %v, "loss": %v, "timestamp": "2026-03-04T12:%02d:%02dZ"}`+"\n", i+1, float64(i)/20, 3/float64(i+1), minute, i)
	}
	var preds []runs.Prediction
	for i := range 120 {
		p := runs.Prediction{Index: i, ID: fmt.Sprintf("row_%03d", i), Input: fmt.Sprintf("What is the capital of state %d?", i),
			Reference: fmt.Sprintf("The city of Albany %d", i), Tags: map[string]string{"difficulty": []string{"easy", "hard"}[i%2]}}
		if p.Prediction = p.Reference; i%wrong == 1 {
			p.Prediction = fmt.Sprintf("New York %d", i)
		}
		p.InputHash = runs.InputHash(p.Input)
		preds = append(preds, p)
	}
	scores, err := metrics.Score(metrics.TaskSFT, metrics.Defaults(metrics.TaskSFT), preds, metrics.Options{})
	require.NoError(t, err)
	result, err := scores.Result()
	require.NoError(t, err)
	for file, content := range map[string]string{
		"config.yaml":      "training: {learning_rate: 0.001, num_epochs: 3}\n",
		"environment.json": "{}",
		"hashes.json":      "{}",
		"train_log.jsonl":  log.String(),
		"run_meta.json": fmt.Sprintf(`{"run_id": %q, "run_name": %q, "status": "completed", "task": "sft", "started_at": "2026-03-04T12:%02d:00Z", "seed": 42, "metrics": {"f1": %v}}`,
			filepath.Base(dir), name, minute, result.Overall["f1"]),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644))
	}
	e, err := runs.BeginEval(dir)
	require.NoError(t, err)
	for _, p := range preds {
		require.NoError(t, e.Add(p))
	}
	require.NoError(t, e.Commit(runs.EvalResults{NumExamples: len(preds), Overall: result.Overall,
		Slices: scores.Slice([]string{"difficulty"}).Metrics}, metrics.Hard(metrics.TaskSFT, preds, 20), nil))
	return dir
}

// TestScreen goes the whole way: it opens the workbench, filters, sorts, marks,
// compares, reads a hard example, labels it, looks at the verdict and leaves.
func TestScreen(t *testing.T) {
	t.Chdir(t.TempDir())
	evaluated(t, "human-v2", 1, 4)
	best := evaluated(t, "human+synthetic", 2, 8)
	evaluated(t, "cold-start", 3, 2)
	term := openTerminal(t, 100, 30, "--runs-dir", "runs")

	term.see("3 runs", "cold-start", "human-v2", "human+synthetic")
	term.press("/human")
	term.see("2 of 3 runs")
	term.press(" f1>0.8\r")
	term.see("filter: human f1>0.8")
	term.press("\x1b")
	term.see("cold-start", "3 runs")
	term.press(":sort by metric\r")
	term.until("the best run first", func(screen string) bool {
		best, worst := strings.Index(screen, "human+synthetic"), strings.Index(screen, "cold-start")
		return 0 < best && best < worst
	})
	term.press("g  ")
	term.see("2 marked")
	term.press("c")
	term.see("against", "120 paired", "difficulty=hard")

	term.press("1g\r")
	term.see("human+synthetic", "difficulty=easy", "overall")
	term.press("g\r") // the worst slice is the first
	term.see("Albany", "New York", "reference")
	term.press("vm")
	term.see("reviewed 1")
	term.press("7")
	term.see("GATE", "human+synthetic")
	term.press("R")
	term.see("why?")
	term.press("read the hard ones\r")
	term.see("type yes")
	term.press("yes\r")
	term.see("✓ recorded")
	term.press("q")
	term.leave()

	review, err := os.ReadFile(filepath.Join(best, "review", "review.jsonl"))
	require.NoError(t, err)
	assert.Contains(t, string(review), "model error")
	assert.Equal(t, 1, strings.Count(string(review), "\n"))
	assert.FileExists(t, filepath.Join(best, "decision", "decision.json"))
}

// TestScreenMouse clicks and turns the wheel.
func TestScreenMouse(t *testing.T) {
	t.Chdir(t.TempDir())
	for i := range 40 {
		dir := filepath.Join("runs", fmt.Sprintf("run_20260304_12%02d00_abcdef", i))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "run_meta.json"),
			fmt.Appendf(nil, `{"run_name": "sweep-%d", "status": "completed", "started_at": "2026-03-04T12:%02d:00Z"}`, i, i), 0o644))
	}
	term := openTerminal(t, 80, 24, "--runs-dir", "runs")
	screen := term.see("40 runs", "sweep-39", "sweep-35")
	at := func(screen, word string) (x, y int) {
		for y, line := range strings.Split(screen, "\n") {
			if x := strings.Index(line, word); x >= 0 {
				return len([]rune(line[:x])) + 1, y + 1
			}
		}
		t.Fatalf("there is no %q:\n%s", word, screen)
		return 0, 0
	}
	mouse := func(button, x, y int) { term.press(fmt.Sprintf("\x1b[<%d;%d;%dM", button, x, y)) }
	picked := func(word string) {
		term.until(word+" picked", func(screen string) bool {
			for line := range strings.SplitSeq(screen, "\n") {
				if strings.Contains(line, "▸") && strings.Contains(line, word) {
					return true
				}
			}
			return false
		})
	}
	x, y := at(screen, "sweep-35")
	mouse(0, x, y)
	picked("sweep-35")
	const wheelDown = 65
	mouse(wheelDown, x, y)
	picked("sweep-32")
	x, y = at(screen, "4 Slices")
	mouse(0, x+3, y)
	term.see("sweep-32", "not evaluated")
	term.press("q")
	term.leave()
}

// TestScreenTrains starts a training in the workbench and watches it to its end.
func TestScreenTrains(t *testing.T) {
	example(t, "")
	term := openTerminal(t, 120, 40, "--config", "train.yaml")
	term.see("no runs")
	term.press("2")
	term.see("can be trained")
	term.press("R")
	term.see("✓ started")
	term.press("1")
	term.see("1 run")
	term.press("3")
	term.see("loss", "step 6", "completed")
	term.press("q")
	term.leave()
	list, err := runs.List("runs")
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, runs.StatusCompleted, list[0].Status)
}

func TestExportFrame(t *testing.T) {
	t.Chdir(t.TempDir())
	evaluated(t, "human-v2", 1, 4)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--export", "a.txt", "--size", "90x20"}, 0, "human-v2"},
		{[]string{"--export", "b.svg", "--view", "slices", "--light"}, 0, "difficulty=hard"},
		{[]string{"--export", "c.txt", "--view", "hard", "--press", "j", "--ascii"}, 0, "New York"},
		{[]string{"--export", "d.png"}, 1, ".txt or .svg"},
		{[]string{"--export", "e.txt", "--view", "walks"}, 1, "runs, train, live, slices, hard, compare, decide"},
		{[]string{"--export", "f.txt", "--size", "10"}, 1, "WIDTHxHEIGHT"},
		{[]string{"--export", "g.txt", "--size", "0x9"}, 1, "1x1 to 1000x1000"},
	} {
		_, errs, code := call(t, c.args...)
		assert.Equal(t, c.code, code, "%v: %s", c.args, errs)
		if c.code != 0 {
			assert.Contains(t, errs, c.want)
			assert.NoFileExists(t, c.args[1])
			continue
		}
		assert.Regexp(t, "^written to "+c.args[1]+": [a-z]+, [0-9]+x[0-9]+\n$", errs)
		data, err := os.ReadFile(c.args[1])
		require.NoError(t, err)
		assert.Contains(t, string(data), c.want)
		if strings.HasSuffix(c.args[1], ".txt") {
			assert.LessOrEqual(t, strings.Count(string(data), "\n"), 40)
		}
	}
}
