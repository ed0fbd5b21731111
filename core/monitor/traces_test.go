package monitor_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
)

// TestContaminationIsLogged: a tick says only that the data fails; how many rows do,
// and what shows them, stands in the log, once for ticks in a row.
func TestContaminationIsLogged(t *testing.T) {
	s := newScene(t)
	s.pipeline("train_data: train.jsonl", "eval_data: train.jsonl")
	var log bytes.Buffer
	p := place{t: t, opt: jobs.Options{DataDir: t.TempDir()}, log: slog.New(slog.NewJSONHandler(&log, nil))}
	m := p.start()
	id, err := m.Start(patient(t), request(s.config, 1, 2))
	require.NoError(t, err)
	st := until(t, m, id, "complete", completed)
	assert.False(t, *st.LastTick.ContaminationPass)
	assert.Nil(t, st.Error, "the tick could be made")
	m.stop()
	var found []map[string]any
	for raw := range bytes.Lines(log.Bytes()) {
		var line map[string]any
		require.NoError(t, json.Unmarshal(raw, &line))
		if line["monitor"] == id {
			delete(line, "time")
			found = append(found, line)
		}
	}
	train := filepath.Join(s.dir, "train.jsonl")
	assert.Equal(t, []map[string]any{{"level": "WARN", "msg": "a monitor finds evaluation data in the training data", "monitor": id, "tick": 1.0,
		"exact_overlaps": 1.0, "near_duplicates": 0.0, "next": "verifily contamination --train " + train + " --eval " + train}}, found)
}
