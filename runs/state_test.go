package runs_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
)

func state(t *testing.T, dir string, now time.Time) runs.Status {
	t.Helper()
	s, err := open(t, dir).State(now)
	require.NoError(t, err)
	return s
}

func TestState(t *testing.T) {
	host, err := os.Hostname()
	require.NoError(t, err)
	now := time.Now()
	beat := func(host string, age time.Duration) string {
		return fmt.Sprintf(`{"pid": 1, "host": %q, "time": %q}`, host, now.Add(-age).UTC().Format(time.RFC3339Nano))
	}
	const free = "" // an empty lock file that nobody holds
	for _, c := range []struct {
		name   string
		status runs.Status
		files  map[string]string
		age    time.Duration // of all files
		want   runs.Status
	}{
		{"fresh beat of another machine, free lock", runs.StatusRunning, map[string]string{".heartbeat": beat("elsewhere", time.Second), ".lock": free}, time.Hour, runs.StatusRunning},
		{"stale beat of another machine", runs.StatusRunning, map[string]string{".heartbeat": beat("elsewhere", time.Minute), ".lock": free}, time.Hour, runs.StatusInterrupted},
		{"fresh beat of this machine, free lock", runs.StatusRunning, map[string]string{".heartbeat": beat(host, 0), ".lock": free}, 0, runs.StatusInterrupted},
		{"fresh beat of this machine, no lock to ask", runs.StatusRunning, map[string]string{".heartbeat": beat(host, 0)}, 0, runs.StatusRunning},
		{"beat that cannot be read, old", runs.StatusRunning, map[string]string{".heartbeat": "{"}, time.Minute, runs.StatusInterrupted},
		{"beat that cannot be read, new", runs.StatusRunning, map[string]string{".heartbeat": "{"}, 0, runs.StatusRunning},
		{"another program's, written just now", runs.StatusRunning, nil, time.Minute, runs.StatusRunning},
		{"another program's, silent", runs.StatusRunning, nil, time.Hour, runs.StatusInterrupted},
		{"free lock, no beat", runs.StatusRunning, map[string]string{".lock": free}, 0, runs.StatusInterrupted},
		{"completed", runs.StatusCompleted, map[string]string{".heartbeat": beat("elsewhere", time.Hour)}, time.Hour, runs.StatusCompleted},
		{"pending", runs.StatusPending, map[string]string{".lock": free}, time.Hour, runs.StatusPending},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "run_meta.json", fmt.Sprintf(`{"status": %q}`, c.status))
			for name, content := range c.files {
				put(t, dir, name, content)
			}
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			for _, e := range entries {
				require.NoError(t, os.Chtimes(filepath.Join(dir, e.Name()), now.Add(-c.age), now.Add(-c.age)))
			}
			assert.Equal(t, c.want, state(t, dir, now))
			_, err = os.Stat(filepath.Join(dir, ".lock"))
			assert.Equal(t, c.files[".lock"] == free && hasKey(c.files, ".lock"), err == nil, "looking creates nothing")
		})
	}
}

func hasKey(m map[string]string, key string) bool {
	_, ok := m[key]
	return ok
}

func TestHeldLockBeatsAStaleHeartbeat(t *testing.T) {
	w := create(t, runs.Meta{})
	assert.FileExists(t, filepath.Join(w.Dir(), ".heartbeat"))
	assert.Equal(t, runs.StatusRunning, state(t, w.Dir(), time.Now().Add(time.Hour)))
	require.NoError(t, w.Close())
	assert.Equal(t, runs.StatusInterrupted, state(t, w.Dir(), time.Now()))
}

// TestKilledWriter kills a child process in the middle of a run.
func TestKilledWriter(t *testing.T) {
	if root := os.Getenv("RUNS_TEST_KILL"); root != "" {
		w, err := runs.Create(root, runs.CreateOptions{})
		require.NoError(t, err)
		fmt.Println(w.Dir())
		_, err = os.Stdin.Read(make([]byte, 1)) // until killed
		require.NoError(t, err)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledWriter$")
	cmd.Env = append(os.Environ(), "RUNS_TEST_KILL="+t.TempDir())
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	dir := lines.Text()

	assert.Equal(t, runs.StatusRunning, state(t, dir, time.Now()))
	_, err = runs.Reopen(dir)
	require.ErrorIs(t, err, runs.ErrLocked)

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	assert.Equal(t, runs.StatusInterrupted, state(t, dir, time.Now()))
	w, err := runs.Reopen(dir)
	require.NoError(t, err)
	require.NoError(t, w.Close())
}
