package runs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
)

func TestWriterIsNamed(t *testing.T) {
	w, err := runs.Create(t.TempDir(), runs.CreateOptions{})
	require.NoError(t, err)
	run, err := runs.Open(w.Dir())
	require.NoError(t, err)
	by, ok := run.Writer()
	require.True(t, ok)
	host, err := os.Hostname()
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), by.PID)
	assert.Equal(t, host, by.Host)
	assert.False(t, by.Time.IsZero())
	require.NoError(t, w.Close())

	for _, content := range []string{"", "{", `{"pid": -3}`, `{"pid": "x"}`} {
		require.NoError(t, os.WriteFile(filepath.Join(w.Dir(), ".heartbeat"), []byte(content), 0o644))
		_, ok = run.Writer()
		assert.False(t, ok, content)
	}
}
