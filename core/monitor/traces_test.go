package monitor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/monitor"
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

// TestHistoryFloats: floats have a point in the file, as over HTTP.
func TestHistoryFloats(t *testing.T) {
	s := newScene(t)
	s.pipeline()
	f := monitor.Foreground{ConfigPath: s.config, MaxTicks: 2, Ticked: func(monitor.Tick, error) {}}
	require.NoError(t, f.Run(context.Background()))
	data, err := os.ReadFile(filepath.Join(s.dir, monitor.HistoryName))
	require.NoError(t, err)
	lines := bytes.Split(data, []byte("\n"))
	require.Len(t, lines, 3)
	assert.Contains(t, string(lines[1]), `"delta":0.0,"regression_detected":false,"contamination_pass":null,"contract_pass":true,"retrain_submitted":false,"retrain_run_dir":null,"monitor_id":null}`)
}
