package server_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMonitors walks section 9 over HTTP.
func TestMonitors(t *testing.T) {
	s, w := remembered(t)
	write(t, filepath.Join(s.root, "pipeline.yaml"), "run_dir: runs/a\n")
	config := `"config_path": ` + quote(filepath.Join(s.root, "pipeline.yaml"))
	a := s.post("/v1/monitor/start", "{"+config+"}", "X-Request-ID", "r", "X-Project-ID", "p")
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.Equal(t, map[string]any{"monitor_id": watchID, "status": "running"}, a.doc)
	assert.Equal(t, 60.0, *w.last.IntervalSeconds)
	assert.Equal(t, 0, *w.last.MaxTicks)
	assert.Equal(t, 20, *w.last.RollingWindow)
	assert.Equal(t, []string{"r", "p", "anonymous"}, []string{w.last.RequestID, w.last.Project, w.last.APIKeyID})

	data := s.dataset("data")
	a = s.post("/v1/monitor/start", "{"+config+`, "interval_seconds": 1, "max_ticks": 3, "rolling_window": 1, "allow_retrain": true, "project_id": "q", "retrain_dataset_dir": `+quote(data)+"}")
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.Equal(t, []any{1.0, 3, 1, true, data, "q"}, []any{*w.last.IntervalSeconds, *w.last.MaxTicks, *w.last.RollingWindow, w.last.AllowRetrain, *w.last.RetrainDatasetDir, w.last.Project})

	for body, want := range map[string]string{
		"{}": "body -> config_path: Field required", `{"config_path": 5}`: "body -> config_path: Input should be a valid string",
		"{" + config + `, "interval_seconds": 0.5}`:                                             "body -> interval_seconds: Input should be greater than or equal to 1",
		"{" + config + `, "interval_seconds": "60"}`:                                            "body -> interval_seconds: Input should be a valid number",
		"{" + config + `, "interval_seconds": 1e999}`:                                           "body -> interval_seconds: Input should be less than or equal to 3.16224e+07",
		"{" + config + `, "max_ticks": -1}`:                                                     "body -> max_ticks: Input should be greater than or equal to 0",
		"{" + config + `, "max_ticks": 1.5}`:                                                    "body -> max_ticks: Input should be a valid integer",
		"{" + config + `, "rolling_window": 0}`:                                                 "body -> rolling_window: Input should be greater than or equal to 1",
		"{" + config + `, "rolling_window": 99999999999999999999}`:                              "body -> rolling_window: Input should be less than or equal to 2147483647",
		"{" + config + `, "allow_retrain": 1}`:                                                  "body -> allow_retrain: Input should be a valid boolean",
		"{" + config + `, "allow_retrain": true}`:                                               "body -> retrain_dataset_dir: Field required with allow_retrain",
		`{"config_path": 1, "interval_seconds": 0, "max_ticks": -5, "retrain_dataset_dir": []}`: "body -> config_path: Input should be a valid string; body -> interval_seconds: Input should be greater than or equal to 1; body -> max_ticks: Input should be greater than or equal to 0; body -> retrain_dataset_dir: Input should be a valid string",
	} {
		a := s.post("/v1/monitor/start", body)
		assert.Equal(t, 422, a.status, body)
		assert.Equal(t, want, a.failure().Message)
	}
	a = s.post("/v1/monitor/start", `{"config_path": `+quote(filepath.Join(s.root, "none.yaml"))+`}`)
	assert.Equal(t, 400, a.status)
	a = s.post("/v1/monitor/start", "{"+config+`, "retrain_dataset_dir": `+quote(filepath.Join(s.root, "none"))+"}")
	assert.Equal(t, 404, a.status)

	a = s.get("/v1/monitor/status?monitor_id=" + watchID)
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.Equal(t, []string{"monitor_id", "status", "tick_count", "last_tick", "config", "error"}, keysOf(t, a.body))
	assert.Equal(t, "no run at ***REDACTED***", a.doc["error"])
	a = s.get("/v1/monitor/history?monitor_id=" + watchID + "&last_n=7")
	assert.Equal(t, map[string]any{"monitor_id": watchID, "ticks": []any{}, "total_ticks": json.Number("7")}, a.doc)
	a = s.post("/v1/monitor/stop?monitor_id="+watchID, "")
	assert.Equal(t, map[string]any{"monitor_id": watchID, "status": "stopped"}, a.doc)

	for _, id := range []string{"ffffffffffff", "x", "..", strings.Repeat("a", 500)} {
		for _, a := range []*answer{s.get("/v1/monitor/status?monitor_id=" + id), s.get("/v1/monitor/history?monitor_id=" + id), s.post("/v1/monitor/stop?monitor_id="+id, "")} {
			assert.Equal(t, 404, a.status)
			assert.Equal(t, "NOT_FOUND", a.failure().Type)
		}
	}
	for _, a := range []*answer{s.get("/v1/monitor/status"), s.get("/v1/monitor/history?monitor_id=" + watchID + "&last_n=-1"),
		s.get("/v1/monitor/history?monitor_id=" + watchID + "&last_n=x"), s.post("/v1/monitor/stop", "")} {
		assert.Equal(t, 422, a.status, "%s", a.body)
		assert.Contains(t, a.failure().Message, "query -> ")
	}
}

// TestMonitorWatches: a monitor ticks, writes its history beside its config,
// submits a retrain where it may, and ends.
func TestMonitorWatches(t *testing.T) {
	s := start(t, setup{})
	data := s.dataset("data")
	a := s.post("/v1/retrain", s.retrainBody(data))
	require.Equal(t, 200, a.status, "%s", a.body)
	require.Equal(t, "SHIP", a.doc["decision"])
	config := filepath.Join(s.root, "watch", "pipeline.yaml")
	write(t, config, "run_dir: ../out/runs/retrain_0001\n")
	a = s.post("/v1/monitor/start", fmt.Sprintf(`{"config_path": %q, "max_ticks": 1, "interval_seconds": 1}`, config))
	require.Equal(t, 200, a.status, "%s", a.body)
	id := a.doc["monitor_id"].(string)
	assert.Regexp(t, "^[0-9a-f]{12}$", id)
	s.until(func() bool { return s.get("/v1/monitor/status?monitor_id=" + id).doc["status"] == "completed" })
	a = s.get("/v1/monitor/history?monitor_id=" + id)
	assert.Equal(t, json.Number("1"), a.doc["total_ticks"])
	tick, err := json.Marshal(a.doc["ticks"].([]any)[0])
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"tick_number", "timestamp", "decision", "metric_value", "delta", "regression_detected", "contamination_pass",
		"contract_pass", "retrain_submitted", "retrain_run_dir"}, keysOf(t, tick))
	assert.Equal(t, "SHIP", a.doc["ticks"].([]any)[0].(map[string]any)["decision"])
	history, err := os.ReadFile(filepath.Join(s.root, "watch", "monitor_history.jsonl"))
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(history), "\n"))

	a = s.post("/v1/monitor/start", fmt.Sprintf(`{"config_path": %q}`, config))
	id = a.doc["monitor_id"].(string)
	a = s.post("/v1/monitor/stop?monitor_id="+id, "")
	assert.Equal(t, "stopped", a.doc["status"])
	a = s.get("/v1/monitor/status?monitor_id=" + id)
	assert.Equal(t, "stopped", a.doc["status"])
	assert.Equal(t, map[string]any{"config_path": config, "interval_seconds": json.Number("60"), "max_ticks": json.Number("0"),
		"rolling_window": json.Number("20"), "project_id": "default", "allow_retrain": false, "retrain_dataset_dir": nil}, a.doc["config"])
}
