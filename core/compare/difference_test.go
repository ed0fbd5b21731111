package compare_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/runs"
)

func TestDifferences(t *testing.T) {
	got := compare.Differences(
		map[string]any{"same": 1, "rate": 0.1, "list": []any{1, "a"}, "null": nil, "only": "x", "big": 9007199254740993},
		map[string]any{"same": 1.0, "rate": 0.2, "list": []any{1.0, "a"}, "null": "", "big": 9007199254740992.0},
	)
	assert.Equal(t, []compare.Difference{
		{Name: "big", Values: []any{9007199254740993, 9007199254740992.0}},
		{Name: "null", Values: []any{nil, ""}},
		{Name: "only", Values: []any{"x", nil}, Missing: []int{1}},
		{Name: "rate", Values: []any{0.1, 0.2}},
	}, got)
	assert.Equal(t, `null null, now ""`, got[1].String())
	assert.Equal(t, "only x, now missing", got[2].String())
	assert.Equal(t, "rate 0.1, now 0.2", got[3].String())
	assert.Empty(t, compare.Differences(map[string]any{"a": 1}, nil), "what is unknown is not different")
	assert.Empty(t, compare.Differences(map[string]any{"a": "\xff"}, map[string]any{"a": "\xff"}))
	assert.Len(t, compare.Differences(map[string]any{"a": "\xff"}, map[string]any{"a": "\xfe"}), 1)
}

func TestFlatten(t *testing.T) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	assert.Equal(t, map[string]any{
		"a.b.c": 1, "a.list": []any{1, map[string]any{"x": "NaN"}}, "a.empty": map[string]any{}, "day": "2026-01-02",
		"time": "2026-01-02T01:00:00Z", "inf": "+Inf",
	}, compare.Flatten(map[string]any{
		"a":   map[string]any{"b": map[string]any{"c": 1}, "list": []any{1, map[string]any{"x": math.NaN()}}, "empty": map[string]any{}},
		"day": day, "time": day.Add(time.Hour), "inf": math.Inf(1),
	}))
	assert.Nil(t, compare.Flatten(nil))
}

func TestEnvironment(t *testing.T) {
	a := runs.Environment{RuntimeVersion: "3.11.4", OS: "linux", Packages: map[string]string{"torch": "2.2.0", "os": "1"},
		GPU: map[string]any{"name": "A100", "memory": map[string]any{"total": 80}}}
	b := a
	b.Packages = map[string]string{"torch": "2.3.1", "os": "1"}
	got := compare.Differences(compare.Environment(a), compare.Environment(b))
	require.Len(t, got, 1)
	assert.Equal(t, "torch 2.2.0, now 2.3.1", got[0].String())
	assert.Equal(t, map[string]any{"runtime_version": "3.11.4", "os": "linux", "torch": "2.2.0", "packages.os": "1",
		"gpu.name": "A100", "gpu.memory.total": 80}, compare.Environment(a))
}

func TestWhatWentIntoTheRuns(t *testing.T) {
	preds := answers(40, half)
	a := spec{preds: preds, config: "task: sft\nseed: 42\ntraining: {learning_rate: 2e-4, steps: 10}\neval: {min_slice: 7}\nstarted: 2026-01-02\n",
		environment: &runs.Environment{RuntimeVersion: "go1.26.0"}, meta: runs.Meta{DataHash: "sha256:aa", DatasetVersion: "ds@v1", Seed: json.Number("42")}}
	b := spec{preds: preds[:30], config: "task: sft\nseed: 42\ntraining: {learning_rate: 0.0004, steps: 10.0}\neval: {min_slice: 7}\n",
		environment: &runs.Environment{RuntimeVersion: "go1.26.1"}, meta: runs.Meta{DataHash: "sha256:bb", DatasetVersion: "ds@v1"}}
	r := compareRuns(t, compare.Options{}, a, b)
	assert.Equal(t, 7, r.MinSlice)
	assert.Equal(t, []compare.Difference{
		{Name: "started", Values: []any{"2026-01-02", nil}, Missing: []int{1}},
		{Name: "training.learning_rate", Values: []any{0.0002, 0.0004}},
	}, r.Config)
	assert.Equal(t, []compare.Difference{
		{Name: "data_hash", Values: []any{"sha256:aa", "sha256:bb"}},
		{Name: "num_examples", Values: []any{40, 30}},
	}, r.Data)
	assert.Equal(t, []compare.Difference{{Name: "runtime_version", Values: []any{"go1.26.0", "go1.26.1"}}}, r.Environment)
}
