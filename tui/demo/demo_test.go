package demo_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/demo"
)

func TestMake(t *testing.T) {
	demo.Shorten(t)
	dir := filepath.Join(t.TempDir(), "demo")
	said := 0
	base, err := demo.Make(context.Background(), dir, func(string) { said++ })
	require.NoError(t, err)
	assert.Positive(t, said)
	list, err := runs.List(filepath.Join(dir, demo.RunsDir))
	require.NoError(t, err)
	states := map[string]runs.Status{}
	for _, e := range list {
		require.NoError(t, e.Err)
		states[e.Meta.RunName] = e.Status
		if e.Dir == base {
			assert.Equal(t, demo.Baseline, e.Meta.RunName)
		}
	}
	assert.Equal(t, map[string]runs.Status{"first-try": runs.StatusCompleted, "longer": runs.StatusCompleted, "longer-seed-7": runs.StatusCompleted,
		"too-hot": runs.StatusFailed, "overnight": runs.StatusInterrupted}, states)

	again, err := demo.Make(context.Background(), dir, func(string) {})
	require.NoError(t, err)
	assert.Equal(t, base, again)
	after, err := runs.List(filepath.Join(dir, demo.RunsDir))
	require.NoError(t, err)
	assert.Len(t, after, len(list), "what is there is not made again")
}
