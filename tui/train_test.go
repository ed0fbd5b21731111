package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/jobs"
)

// TestFormKnowsEveryKey holds the form to the config: every key that a user may
// set is there, and every field is a key.
func TestFormKnowsEveryKey(t *testing.T) {
	elsewhere := map[string]bool{ // not for the form
		"output.dir": true, "output.push_to_hub": true, "compute.mode": true, "compute.fp16": true, "compute.bf16": true,
		"compute.distributed": true, "compute.num_gpus": true, "lora.bnb_4bit_compute_dtype": true,
	}
	known := map[string]bool{}
	for i := range fields {
		f := &fields[i]
		known[f.key] = true
		_, is := defaults[f.key]
		assert.True(t, is, "%s is no key", f.key)
		assert.NotEmpty(t, f.about)
		if len(f.choices) > 0 && f.key != "compute.device" {
			value := f.choices[0]
			for range f.choices {
				cfg, err := config.FromMap(map[string]any{"task": "sft", "base_model": "builtin:nano", "data_paths": map[string]any{"train": "x"}},
					config.Override{Key: f.key, Value: f.read(value)})
				require.NoError(t, err, "%s: %s", f.key, value)
				assert.Equal(t, value, show(flatten(cfg)[f.key]))
				value = f.next(value)
			}
			assert.Equal(t, f.choices[0], value)
		}
	}
	for key := range defaults {
		assert.True(t, known[key] || elsewhere[key], "%s has no field", key)
	}
}

func TestFieldsAreReadAsTheirType(t *testing.T) {
	for key, want := range map[string]map[string]any{
		"name":                   {"123": "123", "true": "true", " a b ": "a b", "": nil, "null": nil},
		"training.learning_rate": {"2e-4": 2e-4, "1": int64(1), "x": "x"},
		"lora.enabled":           {"true": true, "false": false, "1": int64(1), "t": "t"},
		"lora.target_modules":    {"auto": "auto", "q_proj, v_proj,": []any{"q_proj", "v_proj"}, "": nil},
		"eval.slice_by_tags":     {"a*b": []any{"a*b"}},
	} {
		for i := range fields {
			if fields[i].key != key {
				continue
			}
			for typed, value := range want {
				assert.Equal(t, value, fields[i].read(typed), "%s: %q", key, typed)
			}
		}
	}
}

// TestValidationWhileTyping says what is wrong before the value is taken.
func TestValidationWhileTyping(t *testing.T) {
	t.Chdir(t.TempDir())
	writeConfig(t)
	m := start(t, 80, 24, with([]string{"2"}, ups...)...)
	require.Equal(t, "training.learning_rate", fields[m.train.cursor].key)
	assert.Contains(t, m.canvas().Plain(), "default 0.0002")
	press(m, "enter", "ctrl+u", "-3")
	assert.Contains(t, m.canvas().Plain(), "must be greater than 0")
	press(m, "ctrl+u", "0.5")
	assert.NotContains(t, m.canvas().Plain(), "must be")
	press(m, "x")
	assert.Contains(t, m.canvas().Plain(), "must be a number")
	press(m, "esc")
	_, changed := m.train.value(&fields[m.train.cursor])
	assert.False(t, changed, "esc takes nothing over")
	press(m, "enter", "enter")
	_, changed = m.train.value(&fields[m.train.cursor])
	assert.False(t, changed, "a value that stays as it was is no change")
	press(m, "enter", "ctrl+u", "-3", "enter")
	assert.Contains(t, m.canvas().Plain(), "not yet")
	assert.NotContains(t, m.canvas().Plain(), "c opens another config", "it is not the file that is wrong")
	press(m, "backspace", "down", " ", " ")
	value, changed := m.train.value(&fields[m.train.cursor])
	assert.Equal(t, "constant", value, "space goes through the choices")
	assert.True(t, changed)
	press(m, "backspace")
	_, changed = m.train.value(&fields[m.train.cursor])
	assert.False(t, changed)
	press(m, "end")
	assert.Equal(t, "seed", fields[m.train.cursor].key)
	checkFrame(t, m)
}

// TestPickConfig lists what is there: found, used before, of the open run.
func TestPickConfig(t *testing.T) {
	normalRuns(t)
	writeConfig(t)
	require.NoError(t, os.Mkdir("deep", 0o755))
	require.NoError(t, os.WriteFile("deep/other.yaml", []byte("task: sft\nbase_model: builtin:nano\ndata_paths: {train: nowhere.jsonl}\n"), 0o644))
	m := start(t, 80, 24, "down")
	m.train.recent = []string{"used.yaml"}
	press(m, "2", "c")
	frame := m.canvas().Plain()
	for _, words := range []string{"used.yaml", "recent", "train.yaml", "deep/other.yaml", "config.yaml", "open run"} {
		assert.Contains(t, frame, words)
	}
	press(m, "other", "enter")
	assert.Equal(t, "deep/other.yaml", m.train.path)
	assert.Contains(t, m.canvas().Plain(), "nowhere.jsonl", "what stands in its way is said")
	press(m, "c", "zzz/qqq.yaml")
	assert.Contains(t, m.canvas().Plain(), "enter opens the file of this path")
	press(m, "enter")
	assert.Equal(t, "zzz/qqq.yaml", m.train.path)
	press(m, "c", "esc")
	assert.Equal(t, "zzz/qqq.yaml", m.train.path)
	press(m, "c", "train.yaml", "enter")
	require.NoError(t, m.train.err)
	m.jobs.Close() // what is started is stopped at once
	press(m, "R")
	assert.Equal(t, []string{"train.yaml", "used.yaml"}, m.train.recent)
}

// training returns a workbench that trains for ever, with a job that waits.
func training(t *testing.T) *Model {
	t.Helper()
	t.Chdir(t.TempDir())
	writeConfig(t)
	m := start(t, 80, 24, "2")
	t.Cleanup(m.jobs.Close)
	m.train.override("training.num_epochs", 100_000)
	press(m, "r", "R", "R")
	await(m, func(s []jobs.State) bool { return s[0].Dir != "" })
	return m
}

// await takes changes of the jobs until they are as they should be.
func await(m *Model, holds func([]jobs.State) bool) {
	for !holds(m.jobs.States()) {
		<-m.jobs.Changed()
		send(m, jobsMsg{m.jobs.States()})
	}
	send(m, jobsMsg{m.jobs.States()})
}

// TestSteering pauses, goes on, asks for a checkpoint and stops, from the live
// view; the queue moves up.
func TestSteering(t *testing.T) {
	m := training(t)
	assert.Contains(t, m.canvas().Plain(), "queue")
	assert.Contains(t, m.canvas().Plain(), "2 jobs here")
	press(m, "1", "3", "x")
	require.NotNil(t, m.choice)
	press(m, "p")
	assert.Equal(t, jobs.Paused, m.train.states[0].Phase)
	assert.Contains(t, m.canvas().Plain(), "paused")
	press(m, "x", "g")
	assert.Equal(t, jobs.Training, m.train.states[0].Phase)
	press(m, "x", "c")
	dir := filepath.Join(m.open, "checkpoints")
	require.Eventually(t, func() bool {
		found, err := filepath.Glob(filepath.Join(dir, "checkpoint-*"))
		return err == nil && len(found) > 0
	}, time.Minute, 10*time.Millisecond)
	press(m, "x", "s")
	await(m, func(s []jobs.State) bool { return s[0].Ended() && s[1].Phase == jobs.Training })
	assert.Equal(t, jobs.Stopped, m.train.states[0].Phase)
	press(m, "2", "x")
	require.NotNil(t, m.palette)
	press(m, "stop", "enter")
	await(m, func(s []jobs.State) bool { return s[1].Ended() })
	press(m, "x")
	assert.Contains(t, m.notice.words, "nothing trains here")
}

// TestLeaveByHandingOver asks how to leave, and stays where nobody takes the
// work over.
func TestLeaveByHandingOver(t *testing.T) {
	m := training(t)
	m.opt.Background = func(context.Context, string) error { return errors.New("no\x1b[2J room") }
	press(m, "q")
	frame := m.canvas().Plain()
	for _, words := range []string{"2 trainings go on", "hand over", "stop: save a checkpoint", "stay"} {
		assert.Contains(t, frame, words)
	}
	press(m, "h")
	assert.Nil(t, m.choice)
	assert.Contains(t, m.notice.words, "nothing was handed over")
	checkFrame(t, m)
	assert.Equal(t, 2, m.atWork(), "it goes on here")

	started := ""
	m.opt.Background = func(_ context.Context, plan string) error {
		started = plan
		return nil
	}
	press(m, "q")
	_, cmd := m.Update(keyMsg("h"))
	assert.Contains(t, m.canvas().Plain(), "handing over")
	press(m, "R", "q")
	assert.Contains(t, m.canvas().Plain(), "handing over", "there is no way back now")
	settle(m, cmd)
	require.NotEmpty(t, started)
	for m.atWork() > 0 {
		<-m.jobs.Changed()
		_, cmd = m.Update(jobsMsg{m.jobs.States()})
	}
	assert.IsType(t, tea.QuitMsg{}, first(cmd))
	said := m.parting(context.Background(), false)
	assert.Contains(t, said, "2 trainings go on in the background: runs/batch_")
	list, err := runs.List("runs")
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, runs.StatusInterrupted, list[0].Status, "the other process finds it as it was left")
}

// TestHangUp hands over without a question.
func TestHangUp(t *testing.T) {
	m := training(t)
	started := 0
	m.opt.Background = func(context.Context, string) error {
		started++
		return nil
	}
	assert.Contains(t, m.parting(context.Background(), true), "in the background")
	assert.Equal(t, 1, started)
	assert.Contains(t, m.parting(context.Background(), true), "in the background")
	assert.Equal(t, 1, started, "there is nothing to hand over a second time")
}

// TestLeaveByStopping says how the run is taken up again.
func TestLeaveByStopping(t *testing.T) {
	m := training(t)
	press(m, "q", "s", "esc")
	assert.Contains(t, m.notice.words, "closes as soon as everything is saved")
	await(m, func(s []jobs.State) bool { return s[0].Ended() && s[1].Ended() })
	m.opt.StartedIn = t.TempDir()
	said := m.parting(context.Background(), false)
	here, err := os.Getwd()
	require.NoError(t, err)
	assert.Contains(t, said, "verifily train --resume "+filepath.Join(here, "runs", short(m.train.states[0].Dir)))
}

// TestHintsLeadFromTheShell names what is left from the folder that the program
// was started in, also where it works in another.
func TestHintsLeadFromTheShell(t *testing.T) {
	m := training(t)
	here, err := os.Getwd()
	require.NoError(t, err)
	m.opt.Background = func(context.Context, string) error { return nil }
	for _, c := range []struct{ startedIn, want string }{
		{"", "runs/run_x"},
		{here, "runs/run_x"},
		{filepath.Dir(here), filepath.Join(filepath.Base(here), "runs/run_x")},
		{t.TempDir(), filepath.Join(here, "runs/run_x")},
	} {
		m.opt.StartedIn = c.startedIn
		assert.Equal(t, c.want, m.fromShell("runs/run_x"), c.startedIn)
	}
	assert.Equal(t, "/runs/run_x", m.fromShell("/runs/run_x"))
	said := m.parting(context.Background(), true)
	for _, words := range []string{"in the background: ", "\nfollow it:  verifily batch follow ", "\nstop it:    verifily batch stop "} {
		assert.Contains(t, said, words+filepath.Join(here, "runs", "batch_"))
	}
}

// TestQueueAndTheirFrames draws jobs in every phase at every size.
func TestQueueFrames(t *testing.T) {
	t.Chdir(t.TempDir())
	writeConfig(t)
	m := start(t, 80, 24, "2")
	for i, p := range []jobs.Phase{jobs.Done, jobs.Failed, jobs.Stopped, jobs.Handed, jobs.Paused, jobs.Training, jobs.Stopping, jobs.Waiting} {
		s := jobs.State{ID: i, Name: fmt.Sprintf("job %d", i), Phase: p}
		if p == jobs.Failed {
			s.Err = errors.New(evil)
		}
		m.train.states = append(m.train.states, s)
	}
	for w := 30; w <= 210; w += 9 {
		for h := 8; h <= 60; h += 4 {
			m.width, m.height = w, h
			for _, cursor := range []int{0, len(fields) / 2, len(fields) - 1} {
				m.train.cursor = cursor
				checkFrame(t, m)
			}
			m.choice = &choice{question: evil, more: []string{evil}, options: []option{{"h", evil, nil}, {"s", "stop", nil}}}
			checkFrame(t, m)
			m.choice = nil
		}
	}
}

// TestStartedTrainingIsShown starts a training beside older runs: 3 shows its
// curves, unless another run was picked meanwhile.
func TestStartedTrainingIsShown(t *testing.T) {
	for name, keys := range map[string][]string{"stays": {"3"}, "goes to another run": {"1", "j", "3"}} {
		t.Run(name, func(t *testing.T) {
			normalRuns(t)
			writeConfig(t)
			m := start(t, 80, 24, "j", "2")
			defer m.jobs.Close()
			press(m, "enter", "ctrl+u", "brand-new", "enter", "R")
			press(m, keys...)
			before := m.open
			for !m.jobs.States()[0].Ended() {
				<-m.jobs.Changed()
				send(m, jobsMsg{m.jobs.States()})
			}
			send(m, jobsMsg{m.jobs.States()})
			require.NoError(t, m.jobs.States()[0].Err)
			if len(keys) > 1 {
				assert.Equal(t, before, m.open)
				return
			}
			assert.Equal(t, "brand-new", m.run().name)
			assert.Contains(t, m.canvas().Plain(), "\n brand-new ", "the subject")
			press(m, "1")
			assert.Equal(t, m.open, m.table.cursor)
		})
	}
}
