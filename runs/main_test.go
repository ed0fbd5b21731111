package runs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/runs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ptr[T any](v T) *T { return &v }

// create makes a run that is closed when the test ends.
func create(t *testing.T, meta runs.Meta) *runs.Writer {
	t.Helper()
	w, err := runs.Create(t.TempDir(), runs.CreateOptions{Meta: meta})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w
}

func open(t *testing.T, dir string) *runs.Run {
	t.Helper()
	r, err := runs.Open(dir)
	require.NoError(t, err)
	return r
}

// put writes a file of a made-up run, folders included.
func put(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

func text(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(data)
}

// keys returns the keys of a JSON object in the order of the text.
func keys(t *testing.T, data string) []string {
	t.Helper()
	var raw map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(data), &raw))
	dec := json.NewDecoder(strings.NewReader(data))
	_, err := dec.Token()
	require.NoError(t, err)
	var out []string
	for dec.More() {
		key, err := dec.Token()
		require.NoError(t, err)
		out = append(out, key.(string))
		var skip json.RawMessage
		require.NoError(t, dec.Decode(&skip))
	}
	return out
}

// clock is a time that tests move by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newClock() *clock { return &clock{time.Date(2025, 3, 1, 12, 30, 45, 987654321, time.UTC)} }
