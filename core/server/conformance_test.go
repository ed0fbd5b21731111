package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/reproduce"
	"github.com/verifily/verifily-tui/core/server"
	"github.com/verifily/verifily-tui/core/server/roots"
)

// keysOf lists the keys of a JSON object in document order.
func keysOf(t *testing.T, object []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	_, err := d.Token()
	require.NoError(t, err)
	var keys []string
	for d.More() {
		key, err := d.Token()
		require.NoError(t, err)
		keys = append(keys, key.(string))
		var value json.RawMessage
		require.NoError(t, d.Decode(&value))
	}
	return keys
}

// TestRefusals walks the rows of the contract that are told from a request
// alone.
func TestRefusals(t *testing.T) {
	t.Setenv("VERIFILY_ENABLE_REAL_TRAIN", "")
	s := start(t, setup{})
	data := s.dataset("data")
	write(t, filepath.Join(s.root, "no-rows", "hashes.json"), "{}")
	write(t, filepath.Join(s.root, "no-hashes", "dataset.jsonl"), "{}\n")
	write(t, filepath.Join(s.root, "a-file"), "")
	write(t, filepath.Join(s.root, "wrong", "dataset.jsonl"), "{}\n")
	write(t, filepath.Join(s.root, "wrong", "hashes.json"), `{"files": {"dataset.jsonl": "`+strings.Repeat("0a", 32)+`"}}`)
	in := func(name string) string { return filepath.Join(s.root, name) }
	with := func(extra string) string { return s.retrainBody(data, extra) }
	const notFound, invalid = "NOT_FOUND", "VALIDATION_ERROR"
	for _, c := range []struct {
		name, body string
		status     int
		kind       string
		message    string
	}{
		{"no data set folder", s.retrainBody(in("nowhere")), 404, notFound, "Dataset dir not found: " + in("nowhere")},
		{"far from the roots", s.retrainBody("/nowhere/at/all"), 404, notFound, "Dataset dir not found: /nowhere/at/all"},
		{"a file for a folder", s.retrainBody(in("a-file")), 404, notFound, "Dataset dir not found: " + in("a-file")},
		{"an empty name", s.retrainBody(""), 404, notFound, "Dataset dir not found: "},
		{"no dataset.jsonl", s.retrainBody(in("no-rows")), 404, notFound, "dataset.jsonl not found in " + in("no-rows")},
		{"no hashes.json", s.retrainBody(in("no-hashes")), 404, notFound, "hashes.json not found in " + in("no-hashes")},
		{"data set before mode: folder", s.retrainBody(in("nowhere"), `"mode": "real"`), 404, notFound, "Dataset dir not found: " + in("nowhere")},
		{"data set before mode: rows", s.retrainBody(in("no-rows"), `"mode": "real"`), 404, notFound, "dataset.jsonl not found in " + in("no-rows")},
		{"data set before mode: hashes", s.retrainBody(in("no-hashes"), `"mode": "real"`), 404, notFound, "hashes.json not found in " + in("no-hashes")},
		{"data set before other paths", s.retrainBody(in("nowhere"), `"base_run_dir": "/etc"`), 404, notFound, "Dataset dir not found: " + in("nowhere")},
		{"mode real", with(`"mode": "real"`), 400, invalid, "VERIFILY_ENABLE_REAL_TRAIN=1"},

		{"nothing", "", 422, invalid, "body: Field required"},
		{"no JSON", "{", 422, invalid, "body: is not JSON"},
		{"two values", "{} {}", 422, invalid, "body: is not JSON"},
		{"a list", "[]", 422, invalid, "body: Input should be an object"},
		{"null", "null", 422, invalid, "body: Input should be an object"},
		{"no UTF-8", "{\"dataset_dir\": \"\xff\"}", 422, invalid, "body: is not UTF-8"},
		{"deep", strings.Repeat("[", 100_000), 422, invalid, "body: is not JSON"},
		{"deep and closed", `{"x": ` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, 422, invalid, "body: is not JSON"},
		{"no data set", "{}", 422, invalid, "body -> dataset_dir: Field required"},
		{"data set is a number", `{"dataset_dir": 5}`, 422, invalid, "body -> dataset_dir: Input should be a valid string"},
		{"data set is null", `{"dataset_dir": null}`, 422, invalid, "body -> dataset_dir: Input should be a valid string"},
		{"notes is a number", with(`"notes": 5`), 422, invalid, "body -> notes: Input should be a valid string"},
		{"metric is a list", with(`"metric": []`), 422, invalid, "body -> metric: Input should be a valid string"},
		{"metric is null", with(`"metric": null`), 422, invalid, "body -> metric: Input should be a valid string"},
		{"base is an object", with(`"base_run_dir": {}`), 422, invalid, "body -> base_run_dir: Input should be a valid string"},
		{"seed with a point", with(`"seed": 1.0`), 422, invalid, "body -> seed: Input should be a valid integer"},
		{"seed with an exponent", with(`"seed": 1e3`), 422, invalid, "body -> seed: Input should be a valid integer"},
		{"seed is a text", with(`"seed": "7"`), 422, invalid, "body -> seed: Input should be a valid integer"},
		{"seed is true", with(`"seed": true`), 422, invalid, "body -> seed: Input should be a valid integer"},
		{"seed is null", with(`"seed": null`), 422, invalid, "body -> seed: Input should be a valid integer"},
		{"mode", with(`"mode": "pretend"`), 422, invalid, "body -> mode: Input should be 'mock' or 'real'"},
		{"mode in capitals", with(`"mode": "MOCK"`), 422, invalid, "body -> mode: Input should be 'mock' or 'real'"},
		{"ci is a text", with(`"ci": "yes"`), 422, invalid, "body -> ci: Input should be a valid boolean"},
		{"a project that is a path", with(`"project_id": "../up"`), 422, invalid, "body -> project_id: Input should be letters, digits and . _ -, at most 128, the first one no . or -"},
		{"given twice", with(`"seed": 1, "seed": 2`), 422, invalid, "body -> seed: is given twice"},
		{"a seed that takes long to reckon with", with(`"seed": ` + strings.Repeat("9", 4301)), 422, invalid, "body -> seed: Input should have at most 4300 digits"},
		{"every bad field", `{"dataset_dir": 1, "seed": "x", "mode": 2, "notes": 3}`, 422, invalid,
			"body -> dataset_dir: Input should be a valid string; body -> seed: Input should be a valid integer; " +
				"body -> mode: Input should be a valid string; body -> notes: Input should be a valid string"},
	} {
		for _, path := range []string{"/v1/retrain", "/v1/jobs/retrain"} {
			t.Run(c.name+" "+path, func(t *testing.T) {
				a := s.post(path, c.body, "X-Request-ID", "row-1")
				assert.Equal(t, c.status, a.status, "%s", a.body)
				assert.Equal(t, []string{"error"}, keysOf(t, a.body))
				inner, err := json.Marshal(a.doc["error"])
				require.NoError(t, err)
				assert.ElementsMatch(t, []string{"type", "message", "request_id"}, keysOf(t, inner))
				f := a.failure()
				assert.Equal(t, c.kind, f.Type)
				if c.status == 400 {
					assert.Contains(t, f.Message, c.message)
				} else {
					assert.Equal(t, c.message, f.Message)
				}
				assert.Equal(t, "row-1", f.RequestID)
				assert.Equal(t, "row-1", a.header.Get("X-Request-ID"))
				assert.Equal(t, "application/json", a.header.Get("Content-Type"))
			})
		}
	}
	t.Run("hashes that are wrong", func(t *testing.T) {
		a := s.post("/v1/retrain", s.retrainBody(in("wrong")))
		assert.Equal(t, 400, a.status)
		assert.Equal(t, invalid, a.failure().Type)
		assert.NotContains(t, a.failure().Message, strings.Repeat("0a", 12))
		assert.Contains(t, a.failure().Message, "***REDACTED***")
	})
	for _, c := range []struct{ name, body string }{
		{"no baseline", with(`"base_run_dir": ` + quote(in("nowhere")))},
		{"baseline without results", with(`"base_run_dir": ` + quote(in("no-rows")))},
		{"no contaminated run", with(`"contaminated_run_dir": ` + quote(in("nowhere")))},
		{"contaminated run without a result", with(`"contaminated_run_dir": ` + quote(in("no-rows")))},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.post("/v1/retrain", c.body)
			assert.Equal(t, 400, a.status, "%s", a.body)
			assert.Equal(t, invalid, a.failure().Type)
		})
	}
	assert.NoDirExists(t, in("out"), "a refusal leaves nothing")
}

func quote(s string) string {
	data, _ := json.Marshal(s) // a text always encodes
	return string(data)
}

// TestRetrain walks section 6 over HTTP.
func TestRetrain(t *testing.T) {
	s := start(t, setup{})
	data := s.dataset("data")
	out := filepath.Join(s.root, "out")

	a := s.post("/v1/retrain", s.retrainBody(data))
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.Equal(t, []string{"job_type", "run_dir", "decision", "exit_code", "eval_summary", "usage", "artifacts", "elapsed_ms"}, keysOf(t, a.body))
	assert.Equal(t, "RETRAIN", a.doc["job_type"])
	first := filepath.Join(out, "runs", "retrain_0001")
	assert.Equal(t, first, a.doc["run_dir"])
	artifacts := a.doc["artifacts"].(map[string]any)
	for name, path := range map[string]string{"config": "config.yaml", "environment": "environment.json", "hashes": "hashes.json",
		"run_meta": "run_meta.json", "eval_results": "eval/eval_results.json", "decision_json": "decision/decision.json",
		"decision_txt": "decision/decision.txt", "usage": "usage.json", "audit_log": "audit_log.jsonl"} {
		assert.Equal(t, filepath.Join(first, path), artifacts[name])
		assert.FileExists(t, filepath.Join(first, path))
	}
	assert.Len(t, artifacts, 9)
	assert.True(t, contract.Check(first).Valid)

	t.Run("a directory passes its hashes", func(t *testing.T) {
		report, err := reproduce.Verify(t.Context(), first, reproduce.Options{})
		require.NoError(t, err)
		assert.Zero(t, report.ExitCode(), "%+v", report.Checks)
	})
	t.Run("seeds of any size, sign kept", func(t *testing.T) {
		for _, seed := range []string{"0", "-5", "123456789012345678901234567890", "-98765432109876543210987654321", strings.Repeat("9", 4000), "-" + strings.Repeat("9", 4300)} {
			a := s.post("/v1/retrain", s.retrainBody(data, `"seed": `+seed))
			require.Equal(t, 200, a.status, "%s", a.body)
			config, err := os.ReadFile(filepath.Join(a.doc["run_dir"].(string), "config.yaml"))
			require.NoError(t, err)
			assert.Contains(t, string(config), "\nseed: "+seed+"\n")
		}
	})
	t.Run("as sent", func(t *testing.T) {
		a := s.post("/v1/retrain", s.retrainBody(data+"/.", `"metric": "exact_match"`, `"notes": "a: \u0007\n"`, `"ci": true`, `"later": {"a": [1]}`))
		require.Equal(t, 200, a.status, "%s", a.body)
		config, err := os.ReadFile(filepath.Join(a.doc["run_dir"].(string), "config.yaml"))
		require.NoError(t, err)
		assert.Contains(t, string(config), "dataset_dir: "+data+"/.\n")
		assert.Contains(t, string(config), `notes: "a: \a\n"`)
		assert.Equal(t, true, a.doc["usage"].(map[string]any)["ci"])
	})
	t.Run("the same request, the same metrics", func(t *testing.T) {
		b := s.post("/v1/retrain", s.retrainBody(data))
		assert.Equal(t, a.doc["eval_summary"], b.doc["eval_summary"])
		assert.NotEqual(t, a.doc["run_dir"], b.doc["run_dir"])
	})
	t.Run("a baseline and a contaminated run", func(t *testing.T) {
		write(t, filepath.Join(s.root, "dirty", "contamination.json"), `{"status": "FAIL", "exact_overlaps": 3, "near_duplicates": 1}`)
		b := s.post("/v1/retrain", s.retrainBody(data, `"base_run_dir": `+quote(first), `"contaminated_run_dir": `+quote(filepath.Join(s.root, "dirty"))))
		require.Equal(t, 200, b.status, "%s", b.body)
		assert.Equal(t, "DONT_SHIP", b.doc["decision"])
		assert.Equal(t, json.Number("1"), b.doc["exit_code"])
		was, err := a.doc["eval_summary"].(map[string]any)["f1"].(json.Number).Float64()
		require.NoError(t, err)
		is, err := b.doc["eval_summary"].(map[string]any)["f1"].(json.Number).Float64()
		require.NoError(t, err)
		assert.InDelta(t, was-0.15, is, 1e-12)
	})
	t.Run("nulls are left out", func(t *testing.T) {
		a := s.post("/v1/retrain", s.retrainBody(data, `"base_run_dir": null, "contaminated_run_dir": null, "notes": null, "project_id": null`))
		assert.Equal(t, 200, a.status, "%s", a.body)
	})
}

// TestDefaultOutput: without output_dir a project has its folder in the
// temporary one.
func TestDefaultOutput(t *testing.T) {
	project := "conformance-" + filepath.Base(filepath.Dir(t.TempDir()))
	s := start(t, setup{options: func(o *server.Options) {
		var err error
		o.Roots, err = roots.New(append(o.Roots.Folders(), "/tmp")...)
		require.NoError(t, err)
	}})
	out := "/tmp/verifily_retrain/" + project
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(out)) })
	a := s.post("/v1/retrain", fmt.Sprintf(`{"dataset_dir": %q}`, s.dataset("data")), "X-Project-ID", project)
	require.Equal(t, 200, a.status, "%s", a.body)
	assert.Equal(t, out+"/runs/retrain_0001", a.doc["run_dir"])

	s = start(t, setup{})
	a = s.post("/v1/retrain", fmt.Sprintf(`{"dataset_dir": %q}`, s.dataset("data")), "X-Project-ID", project)
	assert.Equal(t, 403, a.status)
	assert.Equal(t, "body -> output_dir: is needed, as "+out+", where retrains go without one, is outside of the paths that this server may use", a.failure().Message)
}

// TestProject: the header, then the body, then default.
func TestProject(t *testing.T) {
	s := start(t, setup{})
	data := s.dataset("data")
	for _, c := range []struct{ header, body, want string }{
		{"", "", "default"}, {"", "b", "b"}, {"h", "", "h"}, {"h", "b", "h"},
	} {
		body := s.retrainBody(data)
		if c.body != "" {
			body = s.retrainBody(data, `"project_id": `+quote(c.body))
		}
		a := s.post("/v1/retrain", body, "X-Project-ID", c.header)
		require.Equal(t, 200, a.status, "%s", a.body)
		assert.Equal(t, c.want, a.doc["usage"].(map[string]any)["project_id"])
		a = s.post("/v1/jobs/retrain", body, "X-Project-ID", c.header)
		require.Equal(t, 200, a.status, "%s", a.body)
		assert.Equal(t, c.want, a.doc["project_id"])
	}
	a := s.post("/v1/retrain", s.retrainBody(data), "X-Project-ID", "../up")
	assert.Equal(t, 422, a.status)
	assert.Contains(t, a.failure().Message, "header -> X-Project-ID: ")
}

// TestRequestID: echoed on every answer, or made.
func TestRequestID(t *testing.T) {
	s := start(t, setup{options: func(o *server.Options) { o.APIKey = "correct horse battery" }})
	made := regexp.MustCompile(`^[0-9a-f]{12}$`)
	for _, path := range []string{"/health", "/ready", "/metrics", "/docs", "/openapi.json", "/v1/jobs", "/v1/runs", "/nowhere", "/v1/jobs/x/result"} {
		assert.Equal(t, "mine", s.get(path, "X-Request-ID", "mine").header.Get("X-Request-ID"), path)
		assert.Regexp(t, made, s.get(path).header.Get("X-Request-ID"), path)
		assert.Regexp(t, made, s.get(path, "X-Request-ID", strings.Repeat("x", 257)).header.Get("X-Request-ID"), path)
		assert.Regexp(t, made, s.get(path, "X-Request-ID", "a "+s.key).header.Get("X-Request-ID"), "%s: the key is not echoed", path)
	}
	a := s.post("/v1/retrain", "{}")
	assert.Equal(t, a.header.Get("X-Request-ID"), a.failure().RequestID)
}

// TestKey: with a key, everything but five paths wants it.
func TestKey(t *testing.T) {
	const key = "correct horse battery"
	s := start(t, setup{options: func(o *server.Options) { o.APIKey = key }})
	s.key = ""
	for _, path := range []string{"/health", "/ready", "/metrics", "/docs", "/openapi.json"} {
		assert.Equal(t, 200, s.get(path).status, path)
	}
	for _, c := range []struct{ method, path string }{
		{"POST", "/v1/retrain"}, {"POST", "/v1/jobs/retrain"}, {"POST", "/v1/jobs/train"}, {"POST", "/v1/jobs/eval"}, {"POST", "/v1/jobs/compare"},
		{"GET", "/v1/jobs"}, {"GET", "/v1/jobs/0123456789abcdef"}, {"GET", "/v1/jobs/0123456789abcdef/result"},
		{"POST", "/v1/jobs/0123456789abcdef/cancel"}, {"GET", "/v1/jobs/0123456789abcdef/events"}, {"GET", "/v1/runs"}, {"GET", "/v1/runs/x"},
		{"POST", "/v1/monitor/start"}, {"POST", "/v1/monitor/stop"}, {"GET", "/v1/monitor/status"}, {"GET", "/v1/monitor/history"},
		{"GET", "/"}, {"GET", "/nowhere"}, {"DELETE", "/health"},
	} {
		for _, header := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Basic " + key, key, "Bearer " + key + "x", "Bearer " + key[:5]} {
			a := s.do(c.method, c.path, nil, "Authorization", header)
			assert.Equal(t, 401, a.status, "%s %s %q", c.method, c.path, header)
			assert.Equal(t, "AUTH_ERROR", a.failure().Type)
			assert.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
		}
		a := s.do(c.method, c.path, nil, "Authorization", "Bearer "+key)
		assert.NotEqual(t, 401, a.status, "%s %s", c.method, c.path)
	}
	data := s.dataset("data")
	a := s.post("/v1/jobs/retrain", s.retrainBody(data, `"notes": `+quote(key)), "Authorization", "bearer "+key)
	require.Equal(t, 200, a.status, "%s", a.body)
	job := s.get("/v1/jobs/"+a.doc["job_id"].(string), "Authorization", "Bearer "+key)
	assert.Equal(t, "ce7672c62d22", job.doc["api_key_id"], "the start of sha256(verifily:KEY)")
	a = s.post("/v1/retrain", s.retrainBody("/nowhere/"+key), "Authorization", "Bearer "+key)
	assert.Equal(t, "Dataset dir not found: /nowhere/***REDACTED***", a.failure().Message)
	require.NoError(t, s.stop())
	assert.NotContains(t, s.logs.String(), key)
}

// TestKeyInTheWrongPlace: a key that a client puts where it does not belong stays
// out of the log, and the refusal says where it does belong.
func TestKeyInTheWrongPlace(t *testing.T) {
	const key = "a-key-0123456789"
	s := start(t, setup{options: func(o *server.Options) { o.APIKey = key }})
	body := s.retrainBody(s.dataset("data"))
	assert.Equal(t, 200, s.post("/v1/jobs/retrain", body, "X-Project-ID", key).status)
	s.post("/v1/jobs/retrain", body, "Idempotency-Key", key, "User-Agent", key)
	s.get("/v1/jobs?status=" + key)
	s.get("/v1/jobs/" + key)
	s.get("/" + key)
	a := s.do(key, "/v1/jobs", nil, "Authorization", "")
	assert.Equal(t, "needs a key: send it in the header Authorization, after the word Bearer", a.failure().Message)
	require.NoError(t, s.stop())
	assert.NotContains(t, s.logs.String(), key)
	assert.Contains(t, s.logs.String(), `"method":"other"`)
}

// TestRedaction: bearer tokens and long hex runs are blotted out of messages.
func TestRedaction(t *testing.T) {
	s := start(t, setup{})
	for sent, want := range map[string]string{
		strings.Repeat("a", 23):                   "Dataset dir not found: " + strings.Repeat("a", 23),
		strings.Repeat("A0", 12):                  "Dataset dir not found: ***REDACTED***",
		"x" + strings.Repeat("0", 64) + "/y":      "Dataset dir not found: x***REDACTED***/y",
		"Authorization: Bearer sk-live-1 rest":    "Dataset dir not found: Authorization: Bearer ***REDACTED*** rest",
		"bearer\tabc.def-ghi":                     "Dataset dir not found: bearer ***REDACTED***",
		"two " + strings.Repeat("b", 24) + ` "é"`: `Dataset dir not found: two ***REDACTED*** "é"`,
	} {
		a := s.post("/v1/retrain", s.retrainBody(sent))
		assert.Equal(t, 404, a.status)
		assert.Equal(t, want, a.failure().Message)
	}
}

// TestOtherPaths: what is not there, and methods that are not taken.
func TestOtherPaths(t *testing.T) {
	s := start(t, setup{})
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/jobs/", "/v2/retrain", "/v1/retrain/", "//v1/jobs", "/v1/../v1/jobs", "/V1/jobs", "/openapi", "/docs/", "/%00", "/" + strings.Repeat("x", 5000)} {
		a := s.get(path)
		assert.Equal(t, 404, a.status, path)
		assert.Equal(t, "NOT_FOUND", a.failure().Type, path)
	}
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "/v1/retrain", "POST"}, {"PUT", "/v1/jobs/retrain", "POST"}, {"POST", "/v1/jobs", "GET, HEAD"}, {"DELETE", "/v1/jobs/0123456789abcdef", "GET, HEAD"},
		{"GET", "/v1/jobs/0123456789abcdef/cancel", "POST"}, {"POST", "/health", "GET, HEAD"}, {"NONSENSE", "/metrics", "GET, HEAD"},
		{"GET", "/v1/monitor/start", "POST"},
	} {
		a := s.do(c.method, c.path, nil)
		assert.Equal(t, 405, a.status, "%s %s", c.method, c.path)
		assert.Equal(t, c.allow, a.header.Get("Allow"))
		assert.Equal(t, "VALIDATION_ERROR", a.failure().Type)
	}
	a := s.do("HEAD", "/health", nil)
	assert.Equal(t, 200, a.status)
	assert.Empty(t, a.body)
}

// TestDocuments: the description names every path, and the page needs nothing
// else.
func TestDocuments(t *testing.T) {
	s := start(t, setup{})
	a := s.get("/openapi.json")
	require.Equal(t, 200, a.status)
	assert.Equal(t, "3.1.0", a.doc["openapi"])
	paths := a.doc["paths"].(map[string]any)
	want := map[string][]string{"/v1/retrain": {"post"}, "/v1/jobs/retrain": {"post"}, "/v1/jobs/train": {"post"}, "/v1/jobs/eval": {"post"},
		"/v1/jobs/compare": {"post"}, "/v1/jobs": {"get"}, "/v1/jobs/{id}": {"get"}, "/v1/jobs/{id}/result": {"get"}, "/v1/jobs/{id}/cancel": {"post"},
		"/v1/jobs/{id}/events": {"get"}, "/v1/runs": {"get"}, "/v1/runs/{id}": {"get"}, "/v1/monitor/start": {"post"}, "/v1/monitor/stop": {"post"},
		"/v1/monitor/status": {"get"}, "/v1/monitor/history": {"get"}, "/health": {"get"}, "/ready": {"get"}, "/metrics": {"get"},
		"/openapi.json": {"get"}, "/docs": {"get"}}
	assert.Len(t, paths, len(want))
	page := s.get("/docs")
	assert.Equal(t, 200, page.status)
	assert.Equal(t, "text/html; charset=utf-8", page.header.Get("Content-Type"))
	assert.Contains(t, string(page.body), "number ≥ 1 (60)", "the default of interval_seconds")
	assert.Contains(t, string(page.body), "VERIFILY_ENABLE_REAL_TRAIN=1", "without it retrains are mock")
	for path, methods := range want {
		described, ok := paths[path].(map[string]any)
		require.True(t, ok, path)
		for _, m := range methods {
			assert.Contains(t, described, m, path)
		}
		assert.Contains(t, string(page.body), "</span> "+path+"</span>", path)
	}
	schemas := a.doc["components"].(map[string]any)["schemas"].(map[string]any)
	seed := schemas["RetrainRequest"].(map[string]any)["properties"].(map[string]any)["seed"].(map[string]any)
	assert.Equal(t, "integer", seed["type"])
	assert.NotContains(t, seed, "format", "a seed has any size")
	assert.Equal(t, []any{"dataset_dir"}, schemas["RetrainRequest"].(map[string]any)["required"])

	for path, statuses := range map[string][]string{"/v1/retrain": {"200", "400", "401", "403", "404", "413", "422", "429", "500", "503"},
		"/v1/jobs/eval":    {"200", "400", "401", "403", "413", "422", "429", "500", "503"},
		"/v1/monitor/stop": {"200", "401", "403", "404", "422", "429", "500", "503"}} {
		assert.ElementsMatch(t, statuses, slices.Collect(maps.Keys(paths[path].(map[string]any)["post"].(map[string]any)["responses"].(map[string]any))), path)
	}
	assert.Contains(t, schemas["Unready"].(map[string]any)["properties"], "checks", "of a /ready that is 503")
	notes := schemas["RetrainRequest"].(map[string]any)["properties"].(map[string]any)["notes"].(map[string]any)
	assert.Equal(t, []any{"string", "null"}, notes["type"])
	result := schemas["JobResult"].(map[string]any)
	assert.ElementsMatch(t, []any{"job_type", "job_id"}, result["required"])
	members := slices.Collect(maps.Keys(result["properties"].(map[string]any)))
	assert.Subset(t, members, slices.Collect(maps.Keys(schemas["Result"].(map[string]any)["properties"].(map[string]any))), "of a retrain")
	assert.Subset(t, members, []string{"run_dir", "run_id", "run_meta", "eval_results", "eval_dir", "comparison"}, "of the others")
	for _, link := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(string(page.body), -1) {
		assert.Contains(t, string(page.body), `id="`+link[1]+`"`)
	}
	for _, name := range []string{"Usage", "BillableUnits", "Timing", "Artifacts", "Tick", "Job"} {
		assert.Contains(t, string(page.body), `<h3 id="type-`+name+`">`)
	}

	outside := regexp.MustCompile(`(?i)(src|href|action)\s*=\s*"([^"#/][^"]*|//[^"]*)"|@import|url\(|<script`)
	assert.NotRegexp(t, outside, string(page.body))
	assert.Regexp(t, `^default-src 'none';.* style-src 'sha256-`, page.header.Get("Content-Security-Policy"))
	assert.NotContains(t, string(page.body), "ZgotmplZ")
}

// TestMetrics: in the text format of Prometheus, by route and state.
func TestMetrics(t *testing.T) {
	s := start(t, setup{})
	s.post("/v1/retrain", s.retrainBody(s.dataset("data")))
	s.get("/v1/jobs/0123456789abcdef")
	s.do("BREW", "/nowhere/"+strings.Repeat("x", 10), nil)
	a := s.get("/metrics")
	assert.Equal(t, 200, a.status)
	assert.Contains(t, a.header.Get("Content-Type"), "text/plain")
	text := string(a.body)
	for _, line := range []string{`verifily_http_requests_total{code="200",method="POST",route="/v1/retrain"} 1`,
		`verifily_http_requests_total{code="404",method="GET",route="/v1/jobs/{id}"} 1`,
		`verifily_http_requests_total{code="404",method="other",route="none"} 1`,
		"verifily_ready 1", `verifily_jobs{status="QUEUED"} 0`, "go_goroutines "} {
		assert.Contains(t, text, "\n"+line)
	}
}

// TestHostsAndOrigins: a browser cannot be made to speak for its user.
func TestHostsAndOrigins(t *testing.T) {
	s := start(t, setup{})
	_, port, _ := strings.Cut(strings.TrimPrefix(s.base, "http://"), ":")
	for host, want := range map[string]int{"localhost": 200, "localhost:" + port: 200, "127.0.0.1:" + port: 200, "[::1]:" + port: 200, "evil.example": 403, "evil.example:" + port: 403} {
		assert.Equal(t, want, s.get("/v1/jobs", "Host", host).status, host)
	}
	data := s.dataset("data")
	for _, c := range []struct {
		header, value string
		want          int
	}{
		{"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-origin", 200}, {"Origin", "http://evil.example", 403}, {"Origin", s.base, 200},
	} {
		a := s.post("/v1/retrain", s.retrainBody(data), c.header, c.value)
		assert.Equal(t, c.want, a.status, c.value)
		if c.want == 403 {
			assert.Equal(t, "AUTH_ERROR", a.failure().Type)
		}
	}
}

// TestLargeBody: a megabyte is taken, more is refused, told or not.
func TestLargeBody(t *testing.T) {
	s := start(t, setup{})
	data := s.dataset("data")
	body := s.retrainBody(data)
	fill := func(size int) string { return body + strings.Repeat(" ", size-len(body)) }
	assert.Equal(t, 200, s.post("/v1/retrain", fill(1<<20)).status)
	a := s.post("/v1/retrain", fill(1<<20+1))
	assert.Equal(t, 413, a.status)
	assert.Equal(t, "VALIDATION_ERROR", a.failure().Type)
	r, err := http.NewRequest("POST", s.base+"/v1/retrain", io.MultiReader(strings.NewReader(fill(2<<20)))) // of no known length
	require.NoError(t, err)
	resp, err := s.http.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, 413, resp.StatusCode)
}

// TestMuchWrong: the list of what is wrong has an end, in the answer and in the
// log.
func TestMuchWrong(t *testing.T) {
	s := start(t, setup{})
	var body strings.Builder
	body.WriteString(`{"dataset_dir": 1`)
	for i := range 10_000 {
		fmt.Fprintf(&body, `, "k%d": 1, "k%d": 2`, i, i)
	}
	a := s.post("/v1/retrain", body.String()+"}")
	assert.Equal(t, 422, a.status)
	assert.Less(t, len(a.body), 10_000)
	assert.Contains(t, a.failure().Message, "body -> k0: is given twice; body -> k1: is given twice; ")
	assert.True(t, strings.HasSuffix(a.failure().Message, "; body: there is more that is wrong"), a.failure().Message)
	a = s.post("/v1/jobs/eval", `{"run": "a", "slice_by": [`+strings.Repeat(`"a", `, 1000)+`"a"]}`)
	assert.Equal(t, 422, a.status)
	assert.Equal(t, "body -> slice_by: List should have at most 1000 items", a.failure().Message)
	require.NoError(t, s.stop())
	for line := range strings.Lines(s.logs.String()) {
		assert.Less(t, len(line), 10_000)
	}
}

// TestServerOptions: OPTIONS * has an id and an envelope like any request.
func TestServerOptions(t *testing.T) {
	s := start(t, setup{})
	r, err := http.NewRequest(http.MethodOptions, s.base, nil)
	require.NoError(t, err)
	r.URL.Opaque = "*"
	resp, err := s.http.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, 404, resp.StatusCode)
	assert.Regexp(t, "^[0-9a-f]{12}$", resp.Header.Get("X-Request-ID"))
}
