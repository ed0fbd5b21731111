package source_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/source"
)

func TestCourse(t *testing.T) {
	s, dir := run(t, map[string]string{
		"run_meta.json": meta,
		"checkpoints/checkpoint-100/trainer_state.json": `{"global_step": 100}`,
		"checkpoints/checkpoint-20/trainer_state.json":  `{"global_step": 20}`,
		"checkpoints/checkpoint-120/trainer_state.json": `{"global_step": 120, "max_steps": 400, "best_global_step": 100}`,
		"checkpoints/checkpoint-x/trainer_state.json":   `{}`,
		"checkpoints/.saving-1/weights":                 `half`,
		"checkpoints/checkpoint-7":                      `a file`,
		".heartbeat":                                    `{"pid": 7, "host": "elsewhere.example"}`,
	})
	c, err := s.Course(dir)
	require.NoError(t, err)
	require.Len(t, c.Checkpoints, 3)
	assert.Equal(t, 400, c.Steps)
	assert.Equal(t, []int{20, 100, 120}, []int{c.Checkpoints[0].Step, c.Checkpoints[1].Step, c.Checkpoints[2].Step})
	assert.True(t, c.Checkpoints[1].Best && !c.Checkpoints[1].Last)
	assert.True(t, c.Checkpoints[2].Last && !c.Checkpoints[2].Best)
	assert.EqualValues(t, len(`{"global_step": 20}`), c.Checkpoints[0].Bytes)
	require.NotNil(t, c.Writer)
	assert.Equal(t, 7, c.Writer.PID)
	assert.False(t, c.Here)
}

func TestCourseOfATrainerFolder(t *testing.T) {
	s, dir := run(t, map[string]string{
		"trainer_state.json":                `{"max_steps": 90, "best_model_checkpoint": "/far/away/checkpoint-30", "log_history": []}`,
		"checkpoint-30/trainer_state.json":  `{}`,
		"checkpoint-60/trainer_state.json":  "\x00",
		"checkpoint-60/adapter_config.json": `{}`,
	})
	c, err := s.Course(dir)
	require.NoError(t, err)
	assert.True(t, c.Trainer)
	assert.Equal(t, 90, c.Steps)
	require.Len(t, c.Checkpoints, 2)
	assert.True(t, c.Checkpoints[0].Best)
	assert.Nil(t, c.Writer)
	require.NoError(t, os.RemoveAll(dir))
	_, err = s.Course(dir)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestCourseWithoutCheckpoints(t *testing.T) {
	s, dir := run(t, map[string]string{"run_meta.json": meta})
	c, err := s.Course(dir)
	require.NoError(t, err)
	assert.Empty(t, c.Checkpoints)
	assert.Zero(t, c.Steps)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "checkpoints"), nil, 0o644))
	_, err = s.Course(dir)
	assert.Error(t, err, "a file in place of the folder is told")
}

func TestClock(t *testing.T) {
	var h source.History
	h.Append(source.ColumnsOf([]runs.LogLine{{Step: 1}, {Step: 2, Timestamp: "2026-03-04T12:00:00Z"}, {Step: 3, Timestamp: "2026-03-04T12:00:09Z"}}))
	at, ok := h.Clock(2)
	require.True(t, ok)
	assert.Equal(t, "12:00:09", at.UTC().Format(time.TimeOnly))
	_, ok = h.Clock(3)
	assert.False(t, ok)
	var none source.History
	none.Append(source.ColumnsOf([]runs.LogLine{{Step: 1}}))
	_, ok = none.Clock(0)
	assert.False(t, ok)
}
