package tensor_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The committed assembly is what the generator writes today.
func TestAssemblyIsWhatTheGeneratorWrites(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("go", "run", "./asm", "-dir", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	made, err := os.ReadDir(dir)
	require.NoError(t, err)
	written := map[string]bool{}
	for _, f := range made {
		written[f.Name()] = true
		want, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		got, err := os.ReadFile(f.Name())
		require.NoError(t, err)
		assert.True(t, string(want) == string(got), "%s is stale: run go generate ./core/tensor", f.Name())
	}
	committed, err := filepath.Glob("*.s")
	require.NoError(t, err)
	for _, name := range committed {
		assert.True(t, written[name], "%s is no longer generated", name)
	}
}
