//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
)

// writeLive lets n runs log a line every so often until the test ends.
func writeLive(t testing.TB, n int, every time.Duration) {
	t.Helper()
	stop := make(chan struct{})
	var work sync.WaitGroup
	for i := range n {
		w, err := runs.Create("runs", runs.CreateOptions{Meta: runs.Meta{RunName: fmt.Sprintf("live-%d", i), Task: "sft"}})
		require.NoError(t, err)
		work.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for step := 1; ; step++ {
				loss, rate := 3/float64(step), 0.001
				err := w.AppendLog(runs.LogLine{Step: step, Epoch: float64(step) / 100, Loss: &loss, LearningRate: &rate, Timestamp: runs.FormatTime(time.Now())})
				select {
				case <-stop:
					_ = w.Close()
					return
				case <-tick.C:
				}
				if err != nil {
					t.Errorf("log: %v", err)
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		close(stop)
		work.Wait()
	})
}

// cursorLine returns the line that the cursor of the table is on, -1 for none,
// and when the program had written that.
func (term *terminal) cursorLine() (int, time.Time) {
	term.mu.Lock()
	defer term.mu.Unlock()
	for y := range term.screen.Height() {
		if c := term.screen.CellAt(1, y); c != nil && c.Content == "▸" {
			return y, term.arrived
		}
	}
	return -1, term.arrived
}

// BenchmarkKeyToFrame measures from a key on the terminal to the frame that
// answers it, while five runs write ten lines a second each.
func BenchmarkKeyToFrame(b *testing.B) {
	b.Chdir(b.TempDir())
	writeLive(b, 5, 100*time.Millisecond)
	term := openTerminal(b, 120, 40, "--runs-dir", "runs")
	term.see("5 runs", "5 training", "└")
	var took []time.Duration
	for b.Loop() {
		for _, key := range []string{"j", "k"} {
			before, _ := term.cursorLine()
			start := time.Now()
			term.press(key)
			at, arrived := term.cursorLine()
			for ; at == before; at, arrived = term.cursorLine() {
				<-term.changed
			}
			took = append(took, arrived.Sub(start))
		}
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/p99")
	term.press("q")
	term.leave()
}

// BenchmarkIdle measures what the program costs while nothing happens, with a
// thousand runs on the screen.
func BenchmarkIdle(b *testing.B) {
	b.Chdir(b.TempDir())
	for i := range 1000 {
		dir := filepath.Join("runs", fmt.Sprintf("run_20260304_120000_%06x", i))
		require.NoError(b, os.MkdirAll(dir, 0o755))
		require.NoError(b, os.WriteFile(filepath.Join(dir, "run_meta.json"), fmt.Appendf(nil, `{"run_name": "sweep-%d", "status": "completed", "task": "sft"}`, i), 0o644))
	}
	term := openTerminal(b, 120, 40, "--runs-dir", "runs")
	term.see("1,000 runs", "sweep-")
	time.Sleep(3 * time.Second) // what the first frame set off is done
	const long = 5 * time.Second
	share, windows := 0.0, 0
	for b.Loop() {
		before := processorTime(b, term.cmd.Process.Pid)
		time.Sleep(long)
		share += 100 * (processorTime(b, term.cmd.Process.Pid) - before).Seconds() / long.Seconds()
		windows++
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(share/float64(windows), "%core")
	term.press("q")
	term.leave()
}

// processorTime is the time that the processors spent on a process: Linux counts
// hundredths of a second.
func processorTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	sum := 0
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(f)
		require.NoError(t, err)
		sum += n
	}
	return time.Duration(sum) * 10 * time.Millisecond
}
