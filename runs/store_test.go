package runs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
)

func listed(entries []runs.Entry) []string {
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name)
	}
	return out
}

func TestList(t *testing.T) {
	root := t.TempDir()
	put(t, root, "run_b/run_meta.json", `{"run_id": "run_b", "status": "completed", "started_at": "2025-03-02T00:00:00Z"}`)
	put(t, root, "run_a/run_meta.json", `{"run_id": "run_a", "status": "failed", "started_at": "2025-03-02T00:00:00Z", "mode": "mock"}`)
	put(t, root, "run_c/run_meta.json", `{"status": "completed", "started_at": "2025-03-03T00:00:00Z"}`)
	put(t, root, "broken/run_meta.json", `{"run_id"`)
	put(t, root, "no_meta/config.yaml", `task: sft`)
	put(t, root, "foreign/checkpoint-5/trainer_state.json", `{"global_step": 5, "max_steps": 5}`)
	put(t, root, "notes/readme.txt", ``)
	put(t, root, "file.txt", ``)
	put(t, root, ".hidden/run_meta.json", `{}`)
	require.NoError(t, os.Mkdir(filepath.Join(root, "empty"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(root, "folder_as_meta"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(root, "folder_as_meta", "run_meta.json"), 0o755))

	store := runs.NewStore(root)
	for range 2 { // the second listing comes from memory
		entries, err := store.List()
		require.NoError(t, err)
		byName := map[string]runs.Entry{}
		for _, e := range entries {
			byName[e.Name] = e
		}
		assert.Len(t, byName, 7)
		order := slices.DeleteFunc(listed(entries), func(name string) bool { return !strings.HasPrefix(name, "run_") })
		assert.Equal(t, []string{"run_c", "run_b", "run_a"}, order, "newest first, then by name")

		assert.Equal(t, runs.StatusFailed, byName["run_a"].Status)
		assert.Equal(t, filepath.Join(root, "run_a"), byName["run_a"].Dir)
		assert.Equal(t, "run_c", byName["run_c"].Meta.RunID)
		assert.False(t, byName["run_c"].Modified.IsZero())
		require.ErrorContains(t, byName["broken"].Err, filepath.Join(root, "broken", "run_meta.json"))
		require.ErrorIs(t, byName["no_meta"].Err, os.ErrNotExist)
		require.ErrorContains(t, byName["folder_as_meta"].Err, "is a directory")
		assert.Equal(t, runs.KindTrainer, byName["foreign"].Kind)
		assert.Equal(t, runs.StatusCompleted, byName["foreign"].Status)
		require.NoError(t, byName["foreign"].Err)
	}
}

func TestListOfNothing(t *testing.T) {
	root := t.TempDir()
	entries, err := runs.List(filepath.Join(root, "none"))
	require.NoError(t, err)
	assert.Empty(t, entries)
	put(t, root, "file", "")
	_, err = runs.List(filepath.Join(root, "file"))
	require.ErrorContains(t, err, filepath.Join(root, "file"))
}

func TestStoreSeesChanges(t *testing.T) {
	root := t.TempDir()
	store := runs.NewStore(root)
	one := func() runs.Entry {
		t.Helper()
		entries, err := store.List()
		require.NoError(t, err)
		require.Len(t, entries, 1)
		return entries[0]
	}
	w, err := runs.Create(root, runs.CreateOptions{})
	require.NoError(t, err)
	assert.Equal(t, runs.StatusRunning, one().Status)
	m := w.Meta()
	m.RunName = "named"
	require.NoError(t, w.WriteMeta(m))
	assert.Equal(t, "named", one().Meta.RunName)
	require.NoError(t, w.Close())
	assert.Equal(t, runs.StatusInterrupted, one().Status, "the file did not change, the writer is gone")
	require.NoError(t, os.RemoveAll(w.Dir()))
	entries, err := store.List()
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestStoreSeesANewerCheckpoint(t *testing.T) {
	root := t.TempDir()
	store := runs.NewStore(root)
	for _, step := range []int{5, 10, 20} {
		put(t, root, fmt.Sprintf("out/checkpoint-%d/trainer_state.json", step), fmt.Sprintf(`{"global_step": %d, "max_steps": 20}`, step))
		entries, err := store.List()
		require.NoError(t, err)
		require.Len(t, entries, 1)
		assert.Equal(t, step == 20, entries[0].Status == runs.StatusCompleted)
	}
	put(t, root, "out/run_meta.json", `{"run_id": "mine"}`)
	entries, err := store.List()
	require.NoError(t, err)
	assert.Equal(t, runs.KindRun, entries[0].Kind)
	assert.Equal(t, "mine", entries[0].Meta.RunID)
}

func TestStoreFromSeveralGoroutines(t *testing.T) {
	root := t.TempDir()
	for i := range 50 {
		put(t, root, fmt.Sprintf("run_%02d/run_meta.json", i), `{"status": "completed", "started_at": "2025-03-01T00:00:00Z"}`)
	}
	store := runs.NewStore(root)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				entries, err := store.List()
				assert.NoError(t, err)
				assert.Len(t, entries, 50)
				assert.Equal(t, "run_49", entries[0].Name)
			}
		})
	}
	wg.Wait()
}
