package source_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/source"
)

func run(t *testing.T, files map[string]string) (*source.Source, string) {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "run_a")
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return source.New(root), dir
}

const meta = `{"run_id": "run_a", "status": "completed", "task": "sft"}`

func TestBriefOfLongLog(t *testing.T) {
	var log strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&log, `{"step": %d, "epoch": %v, "loss": %v}`+"\n", i+1, float64(i)/1000, 20_000-i)
	}
	s, dir := run(t, map[string]string{"run_meta.json": meta, "train_log.jsonl": log.String(), "config.yaml": "training: {learning_rate: 0.1}"})
	b, err := s.Brief(dir)
	require.NoError(t, err)
	assert.Greater(t, len(b.Loss), 40)
	assert.Less(t, len(b.Loss), 5000, "a long log is sampled")
	assert.Greater(t, b.Loss[0], b.Loss[len(b.Loss)-1])
	assert.InDelta(t, 19.999, b.Epoch, 0.01)
	assert.Equal(t, 0.1, b.Config["training.learning_rate"])
	assert.Empty(t, b.Missing)
}

func TestBriefSaysWhatItCouldNotRead(t *testing.T) {
	s, dir := run(t, map[string]string{"run_meta.json": meta, "config.yaml": "a: [", "decision/decision.json": "{"})
	b, err := s.Brief(dir)
	require.NoError(t, err)
	require.Len(t, b.Missing, 2)
	assert.Contains(t, b.Missing[0], "config.yaml")
	assert.Contains(t, b.Missing[1], "decision.json")
}

func TestTail(t *testing.T) {
	var log strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&log, `{"step": %d, "epoch": 1, "loss": 1.5, "eval_accuracy": 0.5}`+"\n", i+1)
	}
	s, dir := run(t, map[string]string{"run_meta.json": meta, "train_log.jsonl": log.String()})
	var h source.History
	calls := 0
	for more := true; more; calls++ {
		part, err := s.Tail(dir, h, calls == 0)
		require.NoError(t, err)
		assert.Equal(t, calls == 0, part.Restarted)
		h.Append(part.Lines)
		more = part.More
	}
	assert.Greater(t, calls, 1, "a long log comes in stretches")
	assert.Equal(t, 300_000, h.Lines())
	assert.Equal(t, []string{source.Loss, "eval_accuracy"}, h.Names())
}

func TestHistoryAxesRise(t *testing.T) {
	v := func(f float64) *float64 { return &f }
	tokens := int64(500)
	var h source.History
	h.Append(source.ColumnsOf([]runs.LogLine{
		{Step: 1, Epoch: 0.1, Loss: v(3), Tokens: &tokens, Timestamp: "2026-03-04T12:00:00Z"},
		{Step: 5, Epoch: math.NaN(), EvalLoss: v(2), Timestamp: "2026-03-04T12:00:09Z"},
		{Step: 3, Epoch: 0.3, Loss: v(math.NaN()), Timestamp: "yesterday"},
	}))
	assert.Equal(t, []float64{1, 5, 5}, h.X[source.Steps])
	assert.Equal(t, []float64{0.1, 0.1, 0.3}, h.X[source.Epochs])
	assert.Equal(t, []float64{500, 500, 500}, h.X[source.Tokens])
	assert.Equal(t, []float64{0, 9, 9}, h.X[source.Seconds])
	assert.Equal(t, []float64{5}, h.Over(source.Steps, h.Curves[source.EvalLoss]))
	assert.Equal(t, 0.3, h.LastEpoch())
}

func TestHistoryBoundsCurves(t *testing.T) {
	var h source.History
	for i := range 1000 {
		h.Append(source.ColumnsOf([]runs.LogLine{{Step: i, Metrics: map[string]float64{fmt.Sprint("m", i): 1}}}))
	}
	assert.LessOrEqual(t, len(h.Curves), 200)
}

func TestLabel(t *testing.T) {
	s, dir := run(t, map[string]string{"run_meta.json": meta,
		"eval/hard_examples.jsonl": `{"rank": 1, "input_hash": "sha256:x", "id": "a", "prediction": "p", "reference": "r"}` + "\n",
		"review/review.jsonl":      `{"id": "a", "input_hash": "sha256:x", "verdict": "fi`})
	r := source.Review{ID: "a", InputHash: "sha256:x", Verdict: "fine", Note: "ok", Reviewer: "Ada", Time: "2026-03-04T12:00:00Z"}
	saved, err := s.Label(context.Background(), dir, r)
	require.NoError(t, err)
	require.Equal(t, r, saved)
	data, err := os.ReadFile(filepath.Join(dir, "review", "review.jsonl"))
	require.NoError(t, err)
	lines := strings.Split(string(data), "\n")
	require.Len(t, lines, 3, "a torn line does not take the next one with it")
	assert.JSONEq(t, `{"id": "a", "input_hash": "sha256:x", "verdict": "fine", "note": "ok", "reviewer": "Ada", "ts": "2026-03-04T12:00:00Z"}`, lines[1])

	hard, err := s.Hard(dir, "")
	require.NoError(t, err)
	require.Len(t, hard.Examples, 1)
	assert.Equal(t, "fine", hard.Examples[0].Label)
	r.Verdict = "ambiguous"
	_, err = s.Label(context.Background(), dir, r)
	require.NoError(t, err)
	hard, err = s.Hard(dir, "")
	require.NoError(t, err)
	assert.Equal(t, "ambiguous", hard.Examples[0].Label, "the last verdict counts")
}

func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "s.json")
	assert.Equal(t, source.Settings{}, source.ReadSettings(path))
	require.NoError(t, source.WriteSettings(path, source.Settings{Sort: "name", Base: map[string]string{"/one": "run_a"}}))
	require.NoError(t, source.WriteSettings(path, source.Settings{Sort: "age", Base: map[string]string{"/two": "run_b"}}))
	got := source.ReadSettings(path)
	assert.Equal(t, "age", got.Sort)
	assert.Equal(t, map[string]string{"/one": "run_a", "/two": "run_b"}, got.Base, "baselines of other folders stay")
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o644))
	assert.Equal(t, source.Settings{}, source.ReadSettings(path))
	assert.NoError(t, source.WriteSettings("", got))
}

func TestReason(t *testing.T) {
	met, flag := "F1 (0.7431) meets threshold (0.7)", "kind=sum F1: too few, 3 of 30 rows"
	for want, v := range map[string]source.Verdict{
		met:     {Recommendation: "SHIP", Reasons: []string{met, flag}},
		flag:    {Recommendation: "INVESTIGATE", Reasons: []string{met, flag}},
		"wrong": {Recommendation: "DONT_SHIP", Reasons: []string{"wrong", met}},
		"":      {Recommendation: "INVESTIGATE"},
	} {
		assert.Equal(t, want, v.Reason())
	}
	only := source.Verdict{Recommendation: "INVESTIGATE", Reasons: []string{met}}
	assert.Equal(t, met, only.Reason())
}
