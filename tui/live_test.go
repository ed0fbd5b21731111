package tui

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/system"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/jobs"
	"github.com/verifily/verifily-tui/tui/source"
)

// put writes a file of a run.
func put(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

// opening returns the workbench with a run open in the live view.
func opening(t testing.TB, name string, width, height int) *Model {
	t.Helper()
	m := start(t, width, height, "/", name, "enter", "3")
	require.Equal(t, name, m.run().name)
	return m
}

func TestAxes(t *testing.T) {
	normalRuns(t)
	m := opening(t, "human-v2", 100, 30)
	for _, want := range []string{"x step", "x epoch", "x tokens", "x time", "x share of the run", "x step"} {
		assert.Contains(t, m.canvas().Plain(), want)
		press(m, "X")
	}
}

// TestOverlayOverTheShareOfTheRun lays a run that is going on over one that is
// complete: both by how much of them is done.
func TestOverlayOverTheShareOfTheRun(t *testing.T) {
	normalRuns(t)
	m := start(t, 140, 40, "down", " ", "g", "3", "X", "X", "X", "X")
	require.Equal(t, "lr-sweep-4", m.run().name)
	require.True(t, m.live.relative)
	_, _, first, last, ok := m.window()
	require.True(t, ok)
	assert.InDelta(t, 1.0, first, 1e-9, "the complete run starts at one of its hundred lines")
	assert.InDelta(t, 100.0, last, 1e-9)
	row, inside := m.rowAt(m.open, 50)
	assert.False(t, inside, "the run that goes on is at 41%%: %d", row)
	press(m, "[")
	assert.InDelta(t, 41.0, m.live.cross, 1e-9, "the crosshair starts where the open run is")
	frame := m.canvas().Plain()
	assert.Contains(t, frame, "100%", "the axis is in percent")
	assert.Contains(t, frame, "human+synthetic")
	m.live.cross = 90
	assert.Contains(t, m.canvas().Plain(), "0.3", "the other run is read at its own place")
}

// TestCrosshairReadsEverySeries of every run that is drawn.
func TestCrosshairReadsEverySeries(t *testing.T) {
	normalRuns(t)
	m := start(t, 140, 40, "down", " ", " ", "g", "3")
	require.Len(t, m.overlaid(), 2)
	m.crossAt(200)
	frame := m.canvas().Plain()
	for _, dir := range m.overlaid() {
		v, _, ok := m.histories[dir].at(source.Loss, 20) // step 200 and the evaluation there share a step
		require.True(t, ok)
		assert.Contains(t, frame, m.table.find(dir).name)
		assert.Contains(t, frame, readout(v))
	}
	assert.Contains(t, frame, "at the crosshair")
	press(m, "0")
	assert.True(t, math.IsNaN(m.live.cross))
	m.crossAt(800)
	assert.Contains(t, m.canvas().Plain(), "step    410", "past its end the last line counts")
}

func TestMouseInTheChart(t *testing.T) {
	normalRuns(t)
	m := start(t, 100, 30, "down", "down", "3")
	inside := m.livePlaces(m.body()).chart.Inside()
	x, y := inside.X+inside.W/2, inside.Y+4
	mouse := func(button tea.MouseButton, action tea.MouseAction, x int) {
		send(m, tea.MouseMsg{X: x, Y: y, Button: button, Action: action})
	}
	mouse(tea.MouseButtonLeft, tea.MouseActionPress, x)
	assert.InDelta(t, 500, m.live.cross, 40, "a click puts the crosshair to the middle")
	mouse(tea.MouseButtonLeft, tea.MouseActionMotion, x+10)
	assert.Greater(t, m.live.cross, 520.0, "where all is in view, dragging moves the crosshair")
	mouse(tea.MouseButtonLeft, tea.MouseActionRelease, x+10)
	for range 4 {
		mouse(tea.MouseButtonWheelUp, tea.MouseActionPress, x)
	}
	from, to, first, last, _ := m.window()
	assert.InDelta(t, (last-first)*math.Pow(0.8, 4), to-from, 1e-6, "the wheel zooms")
	assert.InDelta(t, 500, (from+to)/2, 40, "around the pointer")
	mouse(tea.MouseButtonLeft, tea.MouseActionPress, x)
	mouse(tea.MouseButtonLeft, tea.MouseActionMotion, x-8)
	panned, _, _, _, _ := m.window()
	assert.Greater(t, panned, from, "dragging pans")
	mouse(tea.MouseButtonLeft, tea.MouseActionRelease, x-8)
	mouse(tea.MouseButtonNone, tea.MouseActionMotion, x+30)
	still, _, _, _, _ := m.window()
	assert.Equal(t, panned, still, "without a button nothing moves")
	for range 12 {
		mouse(tea.MouseButtonWheelDown, tea.MouseActionPress, x)
	}
	from, to, first, last, _ = m.window()
	assert.Equal(t, []float64{first, last}, []float64{from, to})
	was := m.open
	send(m, tea.MouseMsg{X: 2, Y: m.height - 2, Button: tea.MouseButtonWheelDown, Action: tea.MouseActionPress})
	assert.NotEqual(t, was, m.open, "outside of the chart the wheel goes through the runs")
}

// TestLogAndCheckpoints lists every line, and what the run can be taken up from.
func TestLogAndCheckpoints(t *testing.T) {
	normalRuns(t)
	m := opening(t, "human-v2", 100, 30)
	for step, state := range map[int]string{200: `{}`, 800: `{}`, 1000: `{"max_steps": 1000, "best_global_step": 800}`} {
		put(t, m.open, fmt.Sprintf("checkpoints/checkpoint-%d/trainer_state.json", step), state)
		require.NoError(t, os.Chtimes(filepath.Join(m.open, "checkpoints", fmt.Sprintf("checkpoint-%d", step)), noon, noon.Add(-time.Hour)))
	}
	press(m, "r")
	frame := m.canvas().Plain()
	for _, words := range []string{"checkpoints", "◆ best", "last", "checkpoint-1000 saved"} {
		assert.Contains(t, frame, words)
	}
	press(m, "v")
	frame = m.canvas().Plain()
	for _, words := range []string{"CHECKPOINTS", "TRAIN", "EVAL", "1,000", "11:01:39"} {
		assert.Contains(t, frame, words)
	}
	last := m.opened().lines.Lines() - 1
	press(m, "k", "k")
	assert.Equal(t, 2, m.live.up)
	press(m, "home")
	assert.Equal(t, last, m.live.up)
	assert.Contains(t, m.canvas().Plain(), "0.03", "the first line is in sight")
	press(m, "end")
	assert.Zero(t, m.live.up)
	m.notice.words = ""
	press(m, "esc")
	assert.Equal(t, viewLive, m.at, "esc leads back to the curves first")
	assert.Equal(t, liveCurves, m.live.part)
}

// TestTrainerFolder shows what the Hugging Face Trainer leaves like a run of
// ours.
func TestTrainerFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	var history []string
	for i := 1; i <= 30; i++ {
		history = append(history, fmt.Sprintf(`{"step": %d, "epoch": %v, "loss": %v, "learning_rate": 1e-4, "grad_norm": 2.5}`, i*10, float64(i)/10, 3/float64(i)))
		if i%10 == 0 {
			history = append(history, fmt.Sprintf(`{"step": %d, "epoch": %v, "eval_loss": %v}`, i*10, float64(i)/10, 4/float64(i)))
		}
	}
	put(t, "runs/hf_out", "trainer_state.json", `{"global_step": 300, "max_steps": 600, "epoch": 3, "best_model_checkpoint": "x/checkpoint-300", "log_history": [`+strings.Join(history, ",")+`]}`)
	put(t, "runs/hf_out", "checkpoint-300/adapter_config.json", `{"base_model_name_or_path": "some/model"}`)
	m := start(t, 120, 40, "3")
	frame := m.canvas().Plain()
	for _, words := range []string{"hf_out", "HF Trainer", "step 300", "epoch 3", "eval 0.133 (best)", "gradient norm", "checkpoints", "◆ best"} {
		assert.Contains(t, frame, words)
	}
	press(m, "X", "X", "X")
	assert.Contains(t, m.canvas().Plain(), "the log has no time: X shows another axis")
	press(m, "x")
	assert.Contains(t, m.notice.words, "it is resumed there")
	checkFrame(t, m)
}

// watching gives the model a meter that answers as told, and events that never
// come.
func watching(m *Model, r func(pid int) system.Reading) {
	m.events = make(chan runs.Event)
	m.live.meter.read = func(_ context.Context, pid int) (system.Reading, error) { return r(pid), nil }
}

// metered runs the commands of an update but for those that wait.
func metered(m *Model) {
	if cmd := m.fetchMeter(); cmd != nil {
		m.Update(cmd())
	}
}

func TestMeter(t *testing.T) {
	normalRuns(t)
	m := start(t, 140, 40, "3")
	host, err := os.Hostname()
	require.NoError(t, err)
	put(t, m.open, ".heartbeat", fmt.Sprintf(`{"pid": 4711, "host": %q, "time": "2026-03-04T12:00:00Z"}`, host))
	asked := 0
	watching(m, func(pid int) system.Reading {
		asked = pid
		return system.Reading{Cores: 8, CPU: 3, MemoryUsed: 4 << 30, MemoryFull: 16 << 30,
			Process: &system.Process{PID: pid, CPU: 1.88, Memory: 412 << 20},
			GPUs:    []system.GPU{{Index: 0, Busy: 0.87, MemoryUsed: 3 << 30, MemoryFull: 24 << 30, Celsius: 61, Watts: nan}, {Index: 1, Busy: nan, Celsius: nan, Watts: nan}}}
	})
	metered(m)
	assert.Equal(t, 4711, asked, "the process of the heartbeat is measured")
	frame := m.canvas().Plain()
	for _, words := range []string{"cpu 188%", "412 MiB", "gpu 0 87% 3.0 GiB of 24 GiB 61 °C", "gpu 1 –"} {
		assert.Contains(t, frame, words)
	}
	assert.Nil(t, m.fetchMeter(), "the next reading is not due")
	m.Update(meterDueMsg{})
	assert.True(t, m.live.meter.busy, "now it was")
	checkFrame(t, m)

	// A run of another machine: its process cannot be measured from here.
	m.live.meter.busy, m.live.meter.waits = false, false
	put(t, m.open, ".heartbeat", `{"pid": 4711, "host": "far.example", "time": "2026-03-04T12:00:00Z"}`)
	watching(m, func(pid int) system.Reading {
		asked = pid
		return system.Reading{Cores: 8, CPU: 3, MemoryUsed: 4 << 30, MemoryFull: 16 << 30}
	})
	metered(m)
	assert.Zero(t, asked)
	assert.Contains(t, m.canvas().Plain(), "machine cpu 300% of 800%")
	for w := 30; w < 200; w += 13 {
		for h := 8; h < 60; h += 5 {
			m.width, m.height = w, h
			checkFrame(t, m)
		}
	}
}

// TestTimeLeft goes by the pace of the last lines, not by when the run was
// started: it may have been interrupted for days.
func TestTimeLeft(t *testing.T) {
	t.Chdir(t.TempDir())
	fixture{name: "run_20260301_110000_aaaaaa", run: "resumed", status: runs.StatusRunning, age: 72 * time.Hour,
		config: fmt.Sprintf(plainConfig, 0.002), losses: curve(41, 3.2, 0.4), epochs: 1.23}.write(t, "runs")
	log, err := os.ReadFile("runs/run_20260301_110000_aaaaaa/train_log.jsonl")
	require.NoError(t, err)
	// The last line is of now.
	text := strings.ReplaceAll(string(log), "2026-03-01T12:00", "2026-03-04T11:59")
	put(t, "runs/run_20260301_110000_aaaaaa", "train_log.jsonl", text)
	m := start(t, 100, 30, "3")
	left, ok := m.secondsLeft(m.run())
	require.True(t, ok)
	assert.InDelta(t, 59-1, left, 1, "590 steps at ten a second, and a line's time after the last one")
	assert.Contains(t, m.canvas().Plain(), "step 410/1,000")
	put(t, m.open, "checkpoints/checkpoint-400/trainer_state.json", `{"max_steps": 420}`)
	press(m, "r")
	assert.Contains(t, m.canvas().Plain(), "step 410/420", "a checkpoint knows the steps")
}

// TestBrokenLogs shows logs that no sane program writes.
func TestBrokenLogs(t *testing.T) {
	for name, log := range map[string]string{
		"not numbers":      `{"step": 1, "loss": null, "non_finite": {"loss": "nan"}}` + "\n" + `{"step": 2, "loss": 1e308}` + "\n" + `{"step": 3, "loss": -1e308}` + "\n" + `{"step": 4, "loss": 2}`,
		"negative steps":   `{"step": -5, "loss": 1}` + "\n" + `{"step": 3, "loss": 1}` + "\n",
		"clock goes back":  `{"step": 1, "loss": 1, "timestamp": "2026-03-04T12:00:00Z"}` + "\n" + `{"step": 2, "loss": 1, "timestamp": "1926-03-04T12:00:00Z"}` + "\n",
		"steps go back":    `{"step": 9, "loss": 1}` + "\n" + `{"step": 2, "loss": 2}` + "\n" + `{"step": 9007199254740991, "loss": 2}` + "\n",
		"one line":         `{"step": 7, "loss": 0.5}` + "\n",
		"nothing but step": `{"step": 7}` + "\n" + `{"step": 8}` + "\n",
		"other metrics":    `{"step": 1, "a\u001b[2J": 3, "b": null}` + "\n" + `{"step": 2, "a\u001b[2J": 4}` + "\n",
		"not JSON":         "\x00\xff{{{\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			put(t, "runs/run_a", "run_meta.json", `{"run_id": "run_a", "status": "running"}`)
			put(t, "runs/run_a", "train_log.jsonl", log)
			for _, keys := range [][]string{{}, {"["}, {"[", "[", "+", "<"}, {"L", "S"}, {"X", "["}, {"X", "X", "X"}, {"X", "X", "X", "X", "["}, {"v"}, {"m", "v", "k"}} {
				m := start(t, 80, 24, append([]string{"3"}, keys...)...)
				for _, size := range sizes {
					send(m, tea.WindowSizeMsg{Width: size[0], Height: size[1]})
					checkFrame(t, m)
				}
			}
		})
	}
}

// TestRunGoesWhileShown removes a run that is looked at.
func TestRunGoesWhileShown(t *testing.T) {
	normalRuns(t)
	m := opening(t, "human-v2", 100, 30)
	press(m, "S", "[")
	require.NoError(t, os.RemoveAll(m.open))
	name := filepath.Base(m.open)
	send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunChanged, Run: name, Dir: m.open, Files: []string{"train_log.jsonl"}}}})
	checkFrame(t, m)
	send(m, eventsMsg{events: []runs.Event{{Kind: runs.RunGone, Run: name, Dir: m.open}}})
	checkFrame(t, m)
	press(m, "v", "x", "esc", "[", "+")
	checkFrame(t, m)
}

func TestResumeFromTheTable(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "G")
	defer m.jobs.Close()
	require.Equal(t, runs.StatusInterrupted, m.table.find(m.table.cursor).e.Status)
	press(m, "x")
	assert.Contains(t, m.canvas().Plain(), "resume it here")
	press(m, "r")
	assert.Contains(t, m.notice.words, "is resumed")
	for !m.jobs.States()[0].Ended() {
		<-m.jobs.Changed()
	}
	send(m, jobsMsg{m.jobs.States()})
	assert.Contains(t, m.notice.words, "overnight failed", "the fixture has no data, which is said")
}

// TestFailsAtOnce: the failure of a job is told, once, although it was over when its
// state was first looked at.
func TestFailsAtOnce(t *testing.T) {
	normalRuns(t)
	m := start(t, 80, 24, "G")
	defer m.jobs.Close()
	m.jobs.Start(jobs.Spec{Resume: filepath.Join(t.TempDir(), "nowhere"), RunsDir: m.src.Root()}, "gone")
	for !m.jobs.States()[0].Ended() {
		<-m.jobs.Changed()
	}
	m.train.states = m.jobs.States()
	send(m, jobsMsg{m.jobs.States()})
	assert.Contains(t, m.notice.words, "gone failed")
	m.notice.words = ""
	send(m, jobsMsg{m.jobs.States()})
	assert.NotContains(t, m.notice.words, "failed")
}

// TestSmoothedBest marks the best evaluation whatever the smoothing.
func TestSmoothedBest(t *testing.T) {
	normalRuns(t)
	m := opening(t, "human-v2", 120, 40)
	assert.Contains(t, m.canvas().Plain(), "◆")
	row, loss, ok := m.opened().best()
	require.True(t, ok)
	m.live.cross = m.opened().lines.X[source.Steps][row]
	press(m, "S", "S")
	assert.Contains(t, m.canvas().Plain(), readout(loss)+" best")
}

func TestEpochCount(t *testing.T) {
	for v, want := range map[float64]string{0.1234: "0.123", 3: "3", 12.34: "12.3", 99.96: "100", 1000: "1000", 12345.6: "12346"} {
		assert.Equal(t, want, epochCount(v))
	}
}

func TestShortStep(t *testing.T) {
	for v, want := range map[float64]string{400: "400", 9999: "9999", 14645: "14.6k", 999999: "999k", 1.5e6: "1.5M"} {
		assert.Equal(t, want, shortStep(v))
	}
}
