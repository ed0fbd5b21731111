package decision_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/decision"
)

func trailPath(run string) string { return filepath.Join(run, "decision", decision.TrailName) }

// trail returns the lines of the audit trail.
func trail(t *testing.T, run string) []string {
	t.Helper()
	data, err := os.ReadFile(trailPath(run))
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func judged(t *testing.T) (run string, d *decision.Decision) {
	t.Helper()
	run = evaluatedRun(t, 20, coin(1, 1))
	in, err := decision.Gather(context.Background(), decision.Sources{Run: run}, decision.DefaultCriteria(), nil)
	require.NoError(t, err)
	return run, decision.Decide(in)
}

func TestRecordAddsToTheTrail(t *testing.T) {
	run, d := judged(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	require.NoError(t, decision.Record(run, d, decision.Entry{Time: at, RunID: "run_1"}))
	first, err := os.ReadFile(filepath.Join(run, "decision", "decision.json"))
	require.NoError(t, err)
	hostile := "a\"b\n\x1b[31m\u202e\U000e0041<é>\xff"
	require.NoError(t, decision.Record(run, d, decision.Entry{Time: at.Add(time.Hour), RunID: "run_1", Reviewer: "Zoë", Note: hostile}))
	again, err := os.ReadFile(filepath.Join(run, "decision", "decision.json"))
	require.NoError(t, err)
	assert.Equal(t, first, again, "a note does not change the decision")
	assert.Equal(t, []string{
		`{"ts":"2026-03-04T05:06:07Z","step":"decide","status":"SHIP","run_id":"run_1","reviewer":"","note":"","exit_code":0}`,
		`{"ts":"2026-03-04T06:06:07Z","step":"decide","status":"SHIP","run_id":"run_1","reviewer":"Zoë","note":"a\"b\n\u001b[31m\u202e\udb40\udc41<é>\ufffd","exit_code":0}`,
	}, trail(t, run))
	var line struct{ Note string }
	require.NoError(t, json.Unmarshal([]byte(trail(t, run)[1]), &line))
	assert.Equal(t, strings.ToValidUTF8(hostile, "\ufffd"), line.Note)

	seal, err := contract.VerifyDecision(context.Background(), run)
	require.NoError(t, err)
	assert.True(t, seal.Intact())
	assert.Equal(t, 4, seal.Files)
}

// A trail that somebody touched is shown by the hashes, and no further decision
// covers it up.
func TestTrailIsGuarded(t *testing.T) {
	for name, touch := range map[string]func(*testing.T, string){
		"a line changed": func(t *testing.T, run string) {
			require.NoError(t, os.WriteFile(trailPath(run), []byte(strings.Replace(strings.Join(trail(t, run), "\n")+"\n", "first", "other", 1)), 0o644))
		},
		"a line removed": func(t *testing.T, run string) {
			require.NoError(t, os.WriteFile(trailPath(run), []byte(trail(t, run)[0]+"\n"), 0o644))
		},
		"the trail removed": func(t *testing.T, run string) { require.NoError(t, os.Remove(trailPath(run))) },
		"the hashes damaged": func(t *testing.T, run string) {
			require.NoError(t, os.WriteFile(filepath.Join(run, "decision", "hashes.json"), []byte("{"), 0o644))
		},
		"the hashes removed": func(t *testing.T, run string) {
			require.NoError(t, os.Remove(filepath.Join(run, "decision", "hashes.json")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			run, d := judged(t)
			for _, note := range []string{"first", "second", "third"} {
				require.NoError(t, decision.Record(run, d, decision.Entry{Note: note}))
			}
			touch(t, run)
			seal, err := contract.VerifyDecision(context.Background(), run)
			assert.False(t, err == nil && seal.Intact())
			before := files(t, filepath.Join(run, "decision"))
			require.ErrorIs(t, decision.Record(run, d, decision.Entry{Note: "fourth"}), decision.ErrTrailChanged)
			assert.Equal(t, before, files(t, filepath.Join(run, "decision")), "nothing was written")
		})
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		out[e.Name()] = string(data)
	}
	return out
}

// Programs that were killed between the trail and its hashes leave more lines
// than they know; deciding goes on from there.
func TestTrailAfterAKill(t *testing.T) {
	run, d := judged(t)
	require.NoError(t, decision.Record(run, d, decision.Entry{Note: "first"}))
	known, err := os.ReadFile(filepath.Join(run, "decision", "hashes.json"))
	require.NoError(t, err)
	for _, note := range []string{"second", "another"} {
		require.NoError(t, decision.Record(run, d, decision.Entry{Note: note}))
		require.NoError(t, os.WriteFile(filepath.Join(run, "decision", "hashes.json"), known, 0o644))
	}
	// And the files that it did not get to put in place go.
	for _, name := range []string{".audit_log.jsonl123", ".hashes.json77", ".notes", "mine.txt"} {
		require.NoError(t, os.WriteFile(filepath.Join(run, "decision", name), nil, 0o644))
	}
	require.NoError(t, decision.Record(run, d, decision.Entry{Note: "third"}))
	assert.Len(t, trail(t, run), 4)
	assert.ElementsMatch(t, []string{".notes", "mine.txt", "audit_log.jsonl", "decision.json", "decision.txt", "gates.json", "hashes.json"},
		slices.Collect(maps.Keys(files(t, filepath.Join(run, "decision")))))
	seal, err := contract.VerifyDecision(context.Background(), run)
	require.NoError(t, err)
	assert.True(t, seal.Intact())
}
