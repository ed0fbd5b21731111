package tui

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/source"
)

// metaFolder writes n completed runs with nothing but their meta data.
func metaFolder(b *testing.B, n int) string {
	b.Helper()
	root := b.TempDir()
	for i := range n {
		name := fmt.Sprintf("run_20260101_000000_%06x", i)
		dir := filepath.Join(root, name)
		require.NoError(b, os.Mkdir(dir, 0o755))
		meta := fmt.Sprintf(`{"run_id": %q, "run_name": "sweep-%d", "status": "completed", "task": "sft", "base_model": "builtin:nano", "dataset_version": "words@v3",`+
			` "started_at": "2026-01-%02dT%02d:%02d:00Z", "duration_seconds": %d, "metrics": {"train_loss": 0.5, "eval_loss": 0.75, "f1": %v}, "seed": 42}`,
			name, i, 1+i%28, i/28%24, i%60, 60+i%3000, float64(i%997)/997)
		require.NoError(b, os.WriteFile(filepath.Join(dir, "run_meta.json"), []byte(meta), 0o644))
	}
	return root
}

// BenchmarkFirstFrame measures from the start of the model to a frame with the
// table of runs in it; the files are in the page cache.
func BenchmarkFirstFrame(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			root := metaFolder(b, n)
			b.ReportAllocs()
			for b.Loop() {
				m := New(context.Background(), Options{}, source.New(root), nil)
				m.Update(tea.WindowSizeMsg{Width: 160, Height: 50})
				m.Update(m.list()())
				require.Contains(b, m.View(), "sweep-")
			}
		})
	}
}

// longLog writes a run with a log of n lines of what the native engine logs.
func longLog(b *testing.B, n int) string {
	b.Helper()
	root := b.TempDir()
	dir := filepath.Join(root, "run_20260101_000000_aaaaaa")
	require.NoError(b, os.Mkdir(dir, 0o755))
	require.NoError(b, os.WriteFile(filepath.Join(dir, "run_meta.json"), []byte(`{"run_id": "run_20260101_000000_aaaaaa", "run_name": "long", "status": "completed", "task": "sft"}`), 0o644))
	var log bytes.Buffer
	for i := range n {
		fmt.Fprintf(&log, `{"step": %d, "epoch": %v, "loss": %v, "learning_rate": %v, "grad_norm": %v, "timestamp": "2026-01-01T%02d:%02d:%02dZ", "tokens": %d, "tokens_per_second": %v}`+"\n",
			i+1, float64(i)/3e5, 3/math.Sqrt(float64(i+1))+0.1*math.Sin(float64(i)*0.7), 1e-3*(1-float64(i)/1e6), 1+0.3*math.Sin(float64(i)), i/3600%24, i/60%60, i%60, i*500, 9800+float64(i%700))
	}
	require.NoError(b, os.WriteFile(filepath.Join(dir, "train_log.jsonl"), log.Bytes(), 0o644))
	return root
}

// BenchmarkOpenMillionPoints opens a run with a million logged lines and draws a
// frame after every stretch that was read, until the charts show all of it. MB/peak
// is the largest heap that was in use after a frame, less that before.
func BenchmarkOpenMillionPoints(b *testing.B) {
	root := longLog(b, 1_000_000)
	b.ReportAllocs()
	peak := uint64(0)
	for b.Loop() {
		b.StopTimer()
		runtime.GC()
		before := heap()
		b.StartTimer()
		m := New(context.Background(), Options{}, source.New(root), nil)
		m.Update(tea.WindowSizeMsg{Width: 160, Height: 50})
		_, cmd := m.Update(m.list()())
		queue := []tea.Cmd{cmd, func() tea.Msg { return keyMsg("3") }}
		for len(queue) > 0 {
			cmd, queue = queue[0], queue[1:]
			if cmd == nil {
				continue
			}
			switch msg := cmd().(type) {
			case tea.BatchMsg:
				queue = append(queue, msg...)
			case nil:
			default:
				_, next := m.Update(msg)
				require.NotEmpty(b, m.View())
				queue = append(queue, next)
				peak = max(peak, heap()-min(before, heap()))
			}
		}
		require.Equal(b, 1_000_000, m.opened().lines.Lines())
	}
	b.ReportMetric(float64(peak)/1e6, "MB/peak")
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapInuse
}

// BenchmarkEightCharts draws a frame of 200x60 with eight charts of a million
// points each.
func BenchmarkEightCharts(b *testing.B) {
	m := New(context.Background(), Options{}, source.New(b.TempDir()), nil)
	m.Update(tea.WindowSizeMsg{Width: 200, Height: 60})
	m.listing.begin()
	m.Update(listMsg{entries: manyRuns(1)})
	m.at, m.open = viewLive, m.table.cursor
	lines := make([]runs.LogLine, 1_000_000)
	for i := range lines {
		v := 1/float64(i+1) + 0.1*math.Sin(float64(i))
		lines[i] = runs.LogLine{Step: i, Loss: &v, LearningRate: &v, GradNorm: &v, TokensPerSecond: &v,
			Metrics: map[string]float64{"memory": v, "reward": v, "kl": v, "entropy": v}}
	}
	m.histories[m.open] = &history{loaded: loaded[struct{}]{done: true}}
	m.histories[m.open].lines.Append(source.ColumnsOf(lines))
	m.prepareLive()
	b.ReportAllocs()
	for b.Loop() {
		m.View()
	}
}

func BenchmarkKeyWith10000Runs(b *testing.B) {
	m := New(context.Background(), Options{}, source.New(b.TempDir()), nil)
	m.Update(tea.WindowSizeMsg{Width: 160, Height: 50})
	m.listing.begin()
	m.Update(listMsg{entries: manyRuns(10_000)})
	for b.Loop() {
		m.Update(keyMsg("j"))
		m.View()
	}
}

func BenchmarkFilter10000Runs(b *testing.B) {
	m := New(context.Background(), Options{}, source.New(b.TempDir()), nil)
	m.listing.begin()
	m.Update(listMsg{entries: manyRuns(10_000)})
	for b.Loop() {
		m.table.setFilter("swp77 f1>0.5")
		m.table.update(m.briefs, noon)
	}
}
