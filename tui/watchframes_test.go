package tui

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/tui/jobs"
)

// fix gives a plan the figures that are measured when it is made.
func fix(m *Model) {
	if p := m.train.loaded.value; p != nil {
		fixed := *p
		fixed.Seconds, fixed.MemoryBytes, fixed.TrainingBytes = 42, 48<<20, 48<<20
		m.train.loaded.value = &fixed
	}
}

// TestWatchFrames holds the views in which work is started and watched to their
// golden frames.
func TestWatchFrames(t *testing.T) {
	normalRuns(t)
	writeConfig(t)
	put(t, "runs/run_20260303_110000_cccccc", "checkpoints/checkpoint-1000/trainer_state.json", `{"max_steps": 1000, "best_global_step": 1000}`)
	require.NoError(t, os.Chtimes("runs/run_20260303_110000_cccccc/checkpoints/checkpoint-1000", noon, noon.Add(-24*time.Hour)))
	writeBatch(t, "batch_20260304_110000_abcdef", "/far/plan.yaml", threeJobs, threeJournal)
	for name, keys := range map[string][]string{
		"live-log":      {"down", "3", "v"},
		"live-overlay":  {"down", " ", " ", "g", "3", "X", "X", "X", "X", "[", "["},
		"live-actions":  {"G", "3", "x"},
		"train-typing":  with([]string{"2"}, with(ups, "enter", "ctrl+u", "-3")...),
		"train-configs": {"2", "c"},
		"batch-killed":  {"B"},
		"batch-go-on":   {"B", "x"},
	} {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s-%dx%d", name, size[0], size[1]), func(t *testing.T) {
				m := start(t, size[0], size[1], keys...)
				fix(m)
				require.False(t, m.pending(), "everything is read")
				golden(t, filepath.Join("frames", fmt.Sprintf("%s-%dx%d", name, size[0], size[1])), m.canvas().Plain())
				checkFrame(t, m)
			})
		}
	}
	for _, size := range sizes {
		m := start(t, size[0], size[1], "2")
		m.train.states = []jobs.State{{Name: "first", Phase: jobs.Done}, {ID: 1, Name: "second", Phase: jobs.Training}, {ID: 2, Name: "third", Phase: jobs.Waiting}}
		fix(m)
		golden(t, filepath.Join("frames", fmt.Sprintf("train-queue-%dx%d", size[0], size[1])), m.canvas().Plain())
		press(m, "q")
		golden(t, filepath.Join("frames", fmt.Sprintf("leave-%dx%d", size[0], size[1])), m.canvas().Plain())
	}
}
