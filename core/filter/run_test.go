package filter_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/verifily/verifily-tui/core/filter"
	"github.com/verifily/verifily-tui/runs"
)

// TestDuration: that of a run that goes on counts on from what its meta data says.
func TestDuration(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	e := runs.Entry{Kind: runs.KindRun, Status: runs.StatusCompleted, Modified: now.Add(-time.Minute), Meta: runs.Meta{DurationSeconds: 40}}
	assert.Equal(t, 40.0, filter.Duration(&e, now))
	e.Status = runs.StatusRunning
	assert.Equal(t, 100.0, filter.Duration(&e, now))
	v, ok := filter.Run(&e, "duration", now)
	assert.True(t, ok)
	assert.Equal(t, 100.0, v.Number)
	assert.Equal(t, 40.0, filter.Duration(&e, now.Add(-time.Hour)), "a clock that was set back")
}
