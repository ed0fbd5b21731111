package safetensors_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/engine/native/safetensors"
)

// TestRelease: a released tensor keeps its values, seen through old views too.
func TestRelease(t *testing.T) {
	data := make([]float32, 10_000)
	for i := range data {
		data[i] = float32(i)
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, safetensors.Write(path, []safetensors.Tensor{{Name: "a", Shape: []int{3}, Data: data[:3]},
		{Name: "b", Shape: []int{10_000}, Data: data}}, nil))
	f, err := safetensors.Open(path)
	require.NoError(t, err)
	defer f.Close()
	view, err := f.F32("b")
	require.NoError(t, err)
	f.Release("b")
	f.Release("a")
	f.Release("none")
	assert.Equal(t, data, view)
	again, err := f.F32("a")
	require.NoError(t, err)
	assert.Equal(t, data[:3], again)
}
