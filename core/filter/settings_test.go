package filter_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/filter"
)

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "eval"), 0o755))
	for name, content := range map[string]string{
		"run_meta.json":          `{"run_id": "run_a", "status": "completed", "task": "sft"}`,
		"config.yaml":            "seed: 3\ntraining: {learning_rate: 0.1, num_epochs: 2}\na: {Size: 1}\nb: {Size: 2}\n",
		"manifest.json":          `{"tag_schema": {"Source": {"type": "string", "values": ["human", "web"]}, "empty": {"values": []}}}`,
		"eval/eval_results.json": `{"overall": {"f1": 1}, "slices": {"level": {"low": {"n": 1}, "high": {"n": 2}}}}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	s := filter.ReadSettings(dir)
	for key, want := range map[string]any{
		"training.learning_rate": 0.1, "learning_rate": 0.1, "lr": 0.1, "epochs": 2, "seed": 3,
		"size": 1, "b.size": 2, // the first of several, and the others in full
		"source": "human web", "level": "high low", // tags have all their values
		"rate": nil, "empty": nil, "none": nil,
	} {
		assert.Equal(t, want, s.Value(key), key)
		assert.Equal(t, want, s.Value(key), "%s once more", key)
	}
	assert.Nil(t, filter.ReadSettings(filepath.Join(dir, "gone")).Value("seed"))
}
