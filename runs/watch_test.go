package runs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// watched gathers events, melted together by run.
type watched struct {
	t      *testing.T
	events <-chan runs.Event
	cancel context.CancelFunc
}

func watch(t *testing.T, root string, poll bool) *watched {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	events, err := runs.Watch(ctx, root, runs.WatchOptions{Poll: poll, Interval: 5 * time.Millisecond, Settle: 5 * time.Millisecond})
	require.NoError(t, err)
	w := &watched{t, events, cancel}
	t.Cleanup(w.stop)
	return w
}

// stop ends the watch and waits until the channel is closed.
func (w *watched) stop() {
	w.cancel()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-w.events:
			if !ok {
				return
			}
		case <-deadline:
			w.t.Error("the channel was not closed")
			return
		}
	}
}

// until reads events of a run until one is of the kind and names the file, and
// returns it. Events of the run before it must be changes.
func (w *watched) until(kind runs.EventKind, run, file string) runs.Event {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e, ok := <-w.events:
			require.True(w.t, ok, "the channel was closed")
			require.Equal(w.t, run, e.Run)
			if e.Kind == kind && (file == "" || slices.Contains(e.Files, file)) {
				return e
			}
			// The file may have been told of with the run's appearance.
			if kind == runs.RunChanged && e.Kind == runs.RunAppeared && slices.Contains(e.Files, file) {
				return e
			}
			require.Equal(w.t, runs.RunChanged, e.Kind, "%+v while waiting for %s %s", e, kind, file)
		case <-deadline:
			w.t.Fatalf("no event %s of %s with %q", kind, run, file)
		}
	}
}

func TestWatch(t *testing.T) {
	for _, poll := range []bool{false, true} {
		t.Run(map[bool]string{false: "notices", true: "polling"}[poll], func(t *testing.T) {
			root := t.TempDir()
			put(t, root, "old/run_meta.json", "{}")
			put(t, root, "old/checkpoint-5/trainer_state.json", "{}")
			w := watch(t, root, poll)

			// Nothing is told of what was there; changes are.
			put(t, root, "old/run_meta.json", `{"status": "failed"}`)
			e := w.until(runs.RunChanged, "old", "run_meta.json")
			assert.Equal(t, filepath.Join(root, "old"), e.Dir)
			put(t, root, "old/checkpoint-5/trainer_state.json", `{"a": 1}`)
			w.until(runs.RunChanged, "old", "checkpoint-5/trainer_state.json")

			put(t, root, "notes/readme.txt", "no run")
			put(t, root, "stray.txt", "no folder")
			run, err := runs.Create(root, runs.CreateOptions{})
			require.NoError(t, err)
			defer run.Close()
			w.until(runs.RunAppeared, run.ID(), "")
			require.NoError(t, run.AppendLog(runs.LogLine{Step: 1}))
			w.until(runs.RunChanged, run.ID(), "train_log.jsonl")
			require.NoError(t, run.AppendLog(runs.LogLine{Step: 2}))
			w.until(runs.RunChanged, run.ID(), "train_log.jsonl")
			evaluate(t, run.Dir(), 1)
			w.until(runs.RunChanged, run.ID(), "eval/eval_results.json")
			evaluate(t, run.Dir(), 2)
			w.until(runs.RunChanged, run.ID(), "eval/eval_results.json")
			require.NoError(t, os.Mkdir(filepath.Join(run.Dir(), "checkpoints"), 0o755))
			require.NoError(t, os.Mkdir(filepath.Join(run.Dir(), "checkpoints", "checkpoint-2"), 0o755))
			w.until(runs.RunChanged, run.ID(), "checkpoints/checkpoint-2")
			require.NoError(t, os.Remove(filepath.Join(run.Dir(), "checkpoints", "checkpoint-2")))
			w.until(runs.RunChanged, run.ID(), "checkpoints/checkpoint-2")

			require.NoError(t, os.Rename(filepath.Join(root, "old"), filepath.Join(root, "new")))
			got := map[string]runs.EventKind{}
			for len(got) < 2 {
				select {
				case e := <-w.events:
					got[e.Run] = e.Kind
				case <-time.After(patience):
					t.Fatalf("only %v", got)
				}
			}
			assert.Equal(t, map[string]runs.EventKind{"old": runs.RunGone, "new": runs.RunAppeared}, got)
		})
	}
}

func TestWatchOfARootThatComesAndGoes(t *testing.T) {
	for _, poll := range []bool{false, true} {
		t.Run(map[bool]string{false: "notices", true: "polling"}[poll], func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "a", "runs")
			w := watch(t, root, poll)
			for range 2 {
				put(t, root, "one/run_meta.json", "{}")
				w.until(runs.RunAppeared, "one", "")
				put(t, root, "one/hashes.json", "{}")
				w.until(runs.RunChanged, "one", "hashes.json")
				require.NoError(t, os.RemoveAll(root))
				w.until(runs.RunGone, "one", "")
			}
		})
	}
}

// A reader that takes nothing for a while finds one event a run.
func TestEventsMelt(t *testing.T) {
	root := t.TempDir()
	put(t, root, "busy/run_meta.json", "{}")
	put(t, root, "marker/run_meta.json", "{}")
	w := watch(t, root, true)
	for i := range 50 {
		put(t, root, "busy/train_log.jsonl", string(make([]byte, i)))
		put(t, root, "busy/config.yaml", string(make([]byte, i)))
	}
	put(t, root, "marker/config.yaml", "x")
	busy := 0
	for {
		select {
		case e := <-w.events:
			if e.Run == "marker" {
				assert.LessOrEqual(t, busy, 51)
				assert.GreaterOrEqual(t, busy, 1)
				return
			}
			assert.Equal(t, runs.RunChanged, e.Kind)
			busy++
		case <-time.After(patience):
			t.Fatal("no event")
		}
	}
}

// TestOneNameForAFolder: a list and a watch name a run alike, however the root is
// written.
func TestOneNameForAFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	for i, root := range []string{"runs", "runs/", "./runs", "runs//", "./x/../runs/"} {
		require.NoError(t, os.MkdirAll("x", 0o755))
		name := fmt.Sprint("run_", i)
		put(t, "runs", name+"/run_meta.json", `{"started_at": "2025-03-02T00:00:00Z"}`)
		entries, err := runs.List(root)
		require.NoError(t, err)
		at := slices.IndexFunc(entries, func(e runs.Entry) bool { return e.Name == name })
		assert.Equal(t, filepath.Join("runs", name), entries[at].Dir, root)
		w := watch(t, root, false)
		put(t, "runs", name+"/run_meta.json", `{"status": "failed"}`)
		assert.Equal(t, entries[at].Dir, w.until(runs.RunChanged, name, "").Dir, root)
		w.stop()
	}
}

func TestWatchRefusesAFile(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "file", "")
	_, err := runs.Watch(context.Background(), filepath.Join(dir, "file"), runs.WatchOptions{})
	require.ErrorContains(t, err, "not a folder")
}
