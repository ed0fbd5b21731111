package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/verifily/verifily-tui/core/fault"
)

// FuzzPipeline reads a config from any bytes: it is one that can be used, or a
// typed error.
func FuzzPipeline(f *testing.F) {
	for _, seed := range []string{"run_dir: a\n", "run_dir: a\ntrain_data: b\neval_data: /c\nbaseline_run: d\nship_if: {min_f1: 0.5, max_pii_hits: null}\n",
		"", "a: &x [*x]", "run_dir: {", "- 1", "run_dir: 5", "run_dir: a\nship_if: {min_f1: 1e400}", "run_dir: \"\\0\"", "? [a]: b"} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "pipeline.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := loadPipeline(path)
		var typed *fault.ConfigError
		if err != nil && !errors.As(err, &typed) {
			t.Fatalf("%v is no *fault.ConfigError", err)
		}
		if err == nil && !filepath.IsAbs(p.runDir) {
			t.Fatalf("run_dir is %q", p.runDir)
		}
	})
}

// FuzzHistory goes on with a history of any bytes.
func FuzzHistory(f *testing.F) {
	for _, seed := range []string{"", "{}\n", `{"tick_number": 3, "metric_value": 0.5}` + "\n", `{"tick_number": 1e99}`, "\x00\n[", `{"tick_number": 7, "monitor_id": "a"}` + "\n{"} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	config := filepath.Join(dir, "pipeline.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, HistoryName), data, 0o644); err != nil {
			t.Fatal(err)
		}
		ticks, last, err := readHistory(config, 3)
		if err != nil || len(ticks) > 3 {
			t.Fatalf("%d ticks, %v", len(ticks), err)
		}
		if err := appendTick(config, line{Tick: Tick{TickNumber: last + 1}}); err != nil {
			t.Fatal(err)
		}
		if _, now, err := readHistory(config, 3); err != nil || now != last+1 {
			t.Fatalf("last tick %d, want %d: %v", now, last+1, err)
		}
	})
}
