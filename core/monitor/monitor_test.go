package monitor_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/jobs/jobstest"
	"github.com/verifily/verifily-tui/core/monitor"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/work"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is a database of its own for one test.
type place struct {
	t       *testing.T
	opt     jobs.Options
	allowed func(path string) error
	log     *slog.Logger
}

func onEach(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	jobstest.OnEach(t, func(t *testing.T, database string) {
		test(t, place{t: t, opt: jobs.Options{Database: database, DataDir: t.TempDir()}})
	})
}

// process is a queue and its monitors, as a process has them.
type process struct {
	*monitor.Monitors
	queue *jobs.Queue
	stop  func() // may be called more than once
}

func (p place) start() *process {
	p.t.Helper()
	opt := p.opt
	opt.Kinds, opt.Heavy = work.Kinds(work.Options{}), work.Heavy
	q, err := jobs.Open(patient(p.t), opt)
	require.NoError(p.t, err)
	require.NoError(p.t, q.Start(patient(p.t)))
	m, err := monitor.Open(patient(p.t), monitor.Options{Queue: q, Allowed: p.allowed, Logger: p.log})
	require.NoError(p.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	out := &process{Monitors: m, queue: q}
	stopped := false
	out.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			assert.NoError(p.t, <-done)
			assert.NoError(p.t, q.Close())
		}
	}
	p.t.Cleanup(out.stop)
	return out
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// scene is a folder with a run, data and a pipeline.yaml.
type scene struct {
	t                     *testing.T
	dir, config, data, in string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, dir: t.TempDir()}
	s.config = filepath.Join(s.dir, "pipeline.yaml")
	s.data = filepath.Join(s.dir, "data")
	rows := s.put("rows.jsonl", strings.Repeat(`{"instruction": "Say", "input": "a", "output": "a"}`+"\n", 10))
	_, err := artifact.Ingest(patient(t), artifact.Options{Input: rows, OutDir: s.data, Schema: "sft"})
	require.NoError(t, err)
	s.in = s.retrain("42")
	s.put("train.jsonl", `{"instruction": "Tell of the sea", "output": "It is wide and grey"}`+"\n")
	s.put("eval.jsonl", `{"instruction": "Name a mountain", "output": "Annapurna stands in Nepal"}`+"\n")
	return s
}

func (s *scene) put(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	require.NoError(s.t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

// retrain makes a run whose f1 follows from the seed.
func (s *scene) retrain(seed string) string {
	s.t.Helper()
	res, err := core.Retrain(patient(s.t), core.RetrainOptions{DatasetDir: s.data, OutputDir: filepath.Join(s.dir, "out"), Seed: json.Number(seed)})
	require.NoError(s.t, err)
	return res.RunDir
}

// pipeline writes the config.
func (s *scene) pipeline(lines ...string) {
	s.put("pipeline.yaml", "run_dir: "+s.in+"\n"+strings.Join(lines, "\n")+"\n")
}

func (s *scene) lines() []map[string]any {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, monitor.HistoryName))
	require.NoError(s.t, err)
	var out []map[string]any
	for raw := range bytes.Lines(data) {
		require.True(s.t, bytes.HasSuffix(raw, []byte("\n")))
		var m map[string]any
		require.NoError(s.t, json.Unmarshal(raw, &m))
		out = append(out, m)
	}
	return out
}

func request(config string, interval float64, ticks int) monitor.Request {
	return monitor.Request{MonitorRequest: wire.MonitorRequest{ConfigPath: config, IntervalSeconds: &interval, MaxTicks: &ticks}}
}

// until waits for a state of a monitor.
func until(t *testing.T, p *process, id string, what string, is func(monitor.Status) bool) monitor.Status {
	t.Helper()
	var s monitor.Status
	require.Eventually(t, func() bool {
		var err error
		s, err = p.Status(patient(t), id)
		require.NoError(t, err)
		return is(s)
	}, time.Minute, 5*time.Millisecond, what)
	return s
}

func completed(s monitor.Status) bool { return s.Status == monitor.Completed }

func TestOneTick(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := newScene(t)
		s.pipeline("train_data: train.jsonl", "eval_data: eval.jsonl", "baseline_run: "+s.retrain("43"))
		m := p.start()
		id, err := m.Start(patient(t), request(s.config, 60, 1))
		require.NoError(t, err)
		assert.Regexp(t, `^[0-9a-f]{12}$`, id)
		st := until(t, m, id, "complete", completed)
		assert.Equal(t, 1, st.TickCount)
		assert.Nil(t, st.Error)
		assert.Equal(t, map[string]any{"config_path": s.config, "interval_seconds": 60.0, "max_ticks": 1.0, "rolling_window": 20.0,
			"project_id": "default", "allow_retrain": false, "retrain_dataset_dir": nil}, st.Config)
		tick := *st.LastTick
		assert.Equal(t, 1, tick.TickNumber)
		assert.Equal(t, "SHIP", tick.Decision)
		assert.True(t, tick.ContractPass)
		require.NotNil(t, tick.ContaminationPass)
		assert.True(t, *tick.ContaminationPass)
		require.NotNil(t, tick.MetricValue)
		require.NotNil(t, tick.Delta, "a first tick is held against the baseline")
		assert.Equal(t, *tick.Delta < -0.02, tick.RegressionDetected)
		assert.False(t, tick.RetrainSubmitted)
		_, err = time.Parse(time.RFC3339, tick.Timestamp)
		assert.NoError(t, err)

		h, err := m.History(patient(t), id, 0)
		require.NoError(t, err)
		assert.Equal(t, monitor.History{MonitorID: id, Ticks: []monitor.Tick{tick}, TotalTicks: 1}, h)
		require.Eventually(t, func() bool {
			_, err := os.Stat(filepath.Join(s.dir, monitor.HistoryName))
			return err == nil
		}, time.Minute, time.Millisecond)
		lines := s.lines()
		require.Len(t, lines, 1)
		assert.Equal(t, id, lines[0]["monitor_id"])
		assert.Equal(t, 1.0, lines[0]["tick_number"])
	})
}

func TestStopAndList(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := newScene(t)
		s.pipeline()
		m := p.start()
		id, err := m.Start(patient(t), request(s.config, 3600, 0))
		require.NoError(t, err)
		until(t, m, id, "one tick", func(s monitor.Status) bool { return s.TickCount == 1 && s.Status == monitor.Running })
		st, err := m.Stop(patient(t), id)
		require.NoError(t, err)
		assert.Equal(t, monitor.Stopped, st.Status)
		st, err = m.Stop(patient(t), id)
		require.NoError(t, err)
		assert.Equal(t, monitor.Stopped, st.Status)
		second, err := m.Start(patient(t), request(s.config, 3600, 1))
		require.NoError(t, err)
		until(t, m, second, "complete", completed)
		st, err = m.Stop(patient(t), second)
		require.NoError(t, err)
		assert.Equal(t, monitor.Completed, st.Status, "what has ended stays as it is")
		ids, err := m.List(patient(t))
		require.NoError(t, err)
		assert.Equal(t, []string{second, id}, ids)
		for _, f := range []func() error{
			func() error { _, err := m.Status(patient(t), "0123456789ab"); return err },
			func() error { _, err := m.Stop(patient(t), "0123456789ab"); return err },
			func() error { _, err := m.History(patient(t), "0123456789ab", 1); return err },
		} {
			assert.ErrorIs(t, f(), monitor.ErrNotFound)
		}
	})
}

// TestKilledAfterTheLastTick: a monitor is complete when its last tick stands in the
// file, too. One whose process died in between writes it, ticks no more and is
// complete.
func TestKilledAfterTheLastTick(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := newScene(t)
		s.pipeline()
		m := p.start()
		id, err := m.Start(patient(t), request(s.config, 1, 1))
		require.NoError(t, err)
		until(t, m, id, "complete", completed)
		path := filepath.Join(s.dir, monitor.HistoryName)
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Remove(path))
		_, err = m.queue.Database().Exec(patient(t), `UPDATE verifily_monitor SET status = $1 WHERE id = $2`, monitor.Running, id)
		require.NoError(t, err)
		m.stop()

		m = p.start()
		st := until(t, m, id, "complete", completed)
		assert.Equal(t, 1, st.TickCount)
		again, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, string(whole), string(again))
	})
}

// TestGoesOnAfterARestart: ticks are neither lost nor made twice, in the database
// and in the file, also when the line of the last one did not get there.
func TestGoesOnAfterARestart(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := newScene(t)
		s.pipeline()
		m := p.start()
		id, err := m.Start(patient(t), request(s.config, 1, 4))
		require.NoError(t, err)
		until(t, m, id, "two ticks", func(s monitor.Status) bool { return s.TickCount >= 2 })
		m.stop()
		// The last line is cut off in the middle, as a kill would leave it.
		path := filepath.Join(s.dir, monitor.HistoryName)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data[:len(data)-20], 0o644))

		m = p.start()
		until(t, m, id, "complete", completed)
		m.stop()
		var numbers []float64
		data, err = os.ReadFile(path)
		require.NoError(t, err)
		torn := 0
		for raw := range bytes.Lines(data) {
			var line map[string]any
			if json.Unmarshal(raw, &line) != nil {
				torn++
				continue
			}
			numbers = append(numbers, line["tick_number"].(float64))
		}
		assert.Equal(t, []float64{1, 2, 3, 4}, numbers)
		assert.Equal(t, 1, torn)
		q := p.start()
		h, err := q.History(patient(t), id, 2)
		require.NoError(t, err)
		assert.Equal(t, 4, h.TotalTicks)
		require.Len(t, h.Ticks, 2)
		assert.Equal(t, 3, h.Ticks[0].TickNumber)
	})
}

// TestOneProcessTicks: of several processes one lets a monitor tick.
func TestOneProcessTicks(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := newScene(t)
		s.pipeline()
		a, b := p.start(), p.start()
		id, err := a.Start(patient(t), request(s.config, 1, 3))
		require.NoError(t, err)
		until(t, b, id, "complete", completed)
		a.stop()
		b.stop()
		assert.Len(t, s.lines(), 3)
	})
}

func TestRegression(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := newScene(t)
		// Runs with a high and a low f1.
		high, low := "", ""
		for seed := 0; high == "" || low == ""; seed++ {
			dir := s.retrain(fmt.Sprint(seed))
			switch f1 := f1Of(t, dir); {
			case f1 > 0.75:
				high = dir
			case f1 < 0.65:
				low = dir
			}
		}
		s.in = high
		s.pipeline()
		m := p.start()
		id, err := m.Start(patient(t), request(s.config, 1, 3))
		require.NoError(t, err)
		st := until(t, m, id, "a tick", func(s monitor.Status) bool { return s.TickCount == 1 })
		assert.Nil(t, st.LastTick.Delta, "there is nothing before it")
		assert.False(t, st.LastTick.RegressionDetected)
		s.in = low
		s.pipeline()
		st = until(t, m, id, "a tick of the low run", func(s monitor.Status) bool {
			return s.LastTick.MetricValue != nil && *s.LastTick.MetricValue < 0.65
		})
		assert.InDelta(t, f1Of(t, low)-f1Of(t, high), *st.LastTick.Delta, 0.06)
		assert.True(t, st.LastTick.RegressionDetected)
		until(t, m, id, "complete", completed)
	})
}

func f1Of(t *testing.T, dir string) float64 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "eval/eval_results.json"))
	require.NoError(t, err)
	var res struct{ Overall map[string]float64 }
	require.NoError(t, json.Unmarshal(data, &res))
	return res.Overall["f1"]
}

func TestRetrain(t *testing.T) {
	cases := map[string]struct {
		lines    []string
		decision string
		retrains bool
	}{
		"ships":        {[]string{"train_data: train.jsonl", "eval_data: eval.jsonl"}, "SHIP", true},
		"not checked":  {nil, "SHIP", true},
		"contaminated": {[]string{"train_data: train.jsonl", "eval_data: train.jsonl"}, "DONT_SHIP", false},
		"below limit":  {[]string{"ship_if: {min_f1: 0.99}"}, "DONT_SHIP", false},
	}
	onEach(t, func(t *testing.T, p place) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				s := newScene(t)
				s.pipeline(c.lines...)
				p.t = t // the process ends before the scene, whose history it writes
				m := p.start()
				req := request(s.config, 60, 1)
				req.AllowRetrain, req.RetrainDatasetDir, req.Project = true, &s.data, "monitored-"+rand.Text()[:8]
				t.Cleanup(func() { require.NoError(t, os.RemoveAll("/tmp/verifily_retrain/"+req.Project)) })
				id, err := m.Start(patient(t), req)
				require.NoError(t, err)
				st := until(t, m, id, "complete", completed)
				assert.Nil(t, st.Error)
				assert.Equal(t, c.decision, st.LastTick.Decision)
				assert.Equal(t, c.retrains, st.LastTick.RetrainSubmitted)
				list, err := m.queue.List(patient(t), jobs.Filter{ProjectID: req.Project})
				require.NoError(t, err)
				if !c.retrains {
					assert.Nil(t, st.LastTick.RetrainRunDir)
					assert.Empty(t, list)
					return
				}
				require.NotNil(t, st.LastTick.RetrainRunDir)
				assert.FileExists(t, filepath.Join(*st.LastTick.RetrainRunDir, "hashes.json"))
				assert.Len(t, list, 1)
			})
		}
	})
}

func TestTickThatCannotBeMade(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		s := newScene(t)
		s.pipeline("baseline_run: nowhere")
		m := p.start()
		id, err := m.Start(patient(t), request(s.config, 60, 1))
		require.NoError(t, err)
		st := until(t, m, id, "complete", completed)
		assert.Equal(t, "ERROR", st.LastTick.Decision)
		require.NotNil(t, st.Error)
		assert.Contains(t, *st.Error, "nowhere")
	})
}

// What a config names may change after a monitor was started: every tick asks, and
// one that is refused reads nothing and writes nothing.
func TestPathsAreAskedForAtEveryTick(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		for _, refused := range []string{"pipeline.yaml", "elsewhere", "train.jsonl", "test.jsonl", "base", "monitor_history.jsonl"} {
			s := newScene(t)
			s.put("pipeline.yaml", "run_dir: elsewhere\ntrain_data: train.jsonl\neval_data: test.jsonl\nbaseline_run: base\n")
			p.allowed = func(path string) error {
				if filepath.Base(path) == refused {
					return fmt.Errorf("outside: %s", refused)
				}
				return nil
			}
			m := p.start()
			id, err := m.Start(patient(t), request(s.config, 60, 1))
			require.NoError(t, err)
			st := until(t, m, id, "complete", completed)
			m.stop()
			assert.Equal(t, "ERROR", st.LastTick.Decision, refused)
			require.NotNil(t, st.Error, refused)
			if refused == "monitor_history.jsonl" {
				assert.NoFileExists(t, filepath.Join(filepath.Dir(s.config), refused))
			} else {
				assert.Contains(t, *st.Error, "outside: "+refused)
			}
		}
	})
}

func TestStartRefuses(t *testing.T) {
	m := place{t: t, opt: jobs.Options{DataDir: t.TempDir()}}.start()
	s := newScene(t)
	s.pipeline()
	bad := func(name, content string) string { return s.put(name, content) }
	short, endless, window := 0.5, -1, 0
	for name, req := range map[string]monitor.Request{
		"no config":        {},
		"missing":          request(filepath.Join(s.dir, "nowhere.yaml"), 60, 0),
		"a folder":         request(s.dir, 60, 0),
		"a device":         request("/dev/zero", 60, 0),
		"short interval":   request(s.config, short, 0),
		"negative ticks":   request(s.config, 60, endless),
		"no window":        {MonitorRequest: wire.MonitorRequest{ConfigPath: s.config, RollingWindow: &window}},
		"nothing to do":    {MonitorRequest: wire.MonitorRequest{ConfigPath: s.config, AllowRetrain: true}},
		"empty":            request(bad("empty.yaml", ""), 60, 0),
		"no YAML":          request(bad("no.yaml", "{{{"), 60, 0),
		"a list":           request(bad("list.yaml", "- a"), 60, 0),
		"unknown key":      request(bad("unknown.yaml", "run_dir: a\nrun_dri: b"), 60, 0),
		"no run":           request(bad("norun.yaml", "eval_data: a"), 60, 0),
		"a number":         request(bad("number.yaml", "run_dir: 5"), 60, 0),
		"half the data":    request(bad("half.yaml", "run_dir: a\ntrain_data: b"), 60, 0),
		"limit too high":   request(bad("limit.yaml", "run_dir: a\nship_if: {min_f1: 2}"), 60, 0),
		"limits of a kind": request(bad("limits.yaml", "run_dir: a\nship_if: 3"), 60, 0),
	} {
		_, err := m.Start(patient(t), req)
		var config *core.ConfigError
		assert.ErrorAs(t, err, &config, name)
	}
	ids, err := m.List(patient(t))
	require.NoError(t, err)
	assert.Empty(t, ids)
}

func TestForeground(t *testing.T) {
	s := newScene(t)
	s.pipeline()
	out := filepath.Join(s.dir, "monitored")
	var ticks []monitor.Tick
	run := func(n int) error {
		f := monitor.Foreground{ConfigPath: s.config, MaxTicks: n, Window: 2, ProjectID: "p", RetrainDatasetDir: s.data, OutputDir: out,
			Ticked: func(t monitor.Tick, failure error) {
				assert.NoError(s.t, failure)
				ticks = append(ticks, t)
			}}
		return f.Run(patient(t))
	}
	require.NoError(t, run(1))
	require.NoError(t, run(2))
	require.Len(t, ticks, 3)
	for i, tick := range ticks {
		assert.Equal(t, i+1, tick.TickNumber, "it goes on where the last call ended")
		assert.Equal(t, "SHIP", tick.Decision)
		assert.Equal(t, i > 0, tick.Delta != nil)
		require.NotNil(t, tick.RetrainRunDir)
		assert.DirExists(t, *tick.RetrainRunDir)
	}
	assert.Len(t, s.lines(), 3)

	require.NoError(t, os.Remove(filepath.Join(s.dir, monitor.HistoryName)))
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, monitor.HistoryName), 0o755))
	var config *core.ConfigError
	assert.ErrorAs(t, run(1), &config)
}
