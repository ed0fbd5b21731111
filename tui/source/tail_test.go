package source_test

import (
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

// readAll reads a log to its end.
func readAll(t testing.TB, s *source.Source, dir string) source.History {
	t.Helper()
	var h source.History
	for fresh, more := true, true; more; fresh = false {
		part, err := s.Tail(dir, h, fresh)
		require.NoError(t, err)
		if part.Restarted {
			h = source.History{}
		}
		h.Append(part.Lines)
		h.Bad += part.Bad
		more = part.More
	}
	return h
}

// asRuns is what package runs makes of a log.
func asRuns(t testing.TB, dir string) source.History {
	t.Helper()
	log, err := runs.ReadLog(filepath.Join(dir, "train_log.jsonl"), 0, 0)
	require.NoError(t, err)
	var h source.History
	h.Append(source.ColumnsOf(log.Lines))
	h.Bad = log.Bad
	return h
}

func assertSame(t testing.TB, want, got source.History) {
	t.Helper()
	bits := func(values []float64) []uint64 {
		out := make([]uint64, len(values))
		for i, v := range values {
			if out[i] = math.Float64bits(v); math.IsNaN(v) {
				out[i] = math.Float64bits(math.NaN())
			}
		}
		return out
	}
	require.Equal(t, want.Bad, got.Bad, "bad lines")
	for a := range want.X {
		require.Equal(t, bits(want.X[a]), bits(got.X[a]), "axis %d", a)
	}
	if len(want.Curves) >= 200 {
		return // which of more metrics are kept is chance
	}
	require.Equal(t, want.Names(), got.Names())
	for name, c := range want.Curves {
		require.Equal(t, c.Row, got.Curves[name].Row, name)
		require.Equal(t, bits(c.Y), bits(got.Curves[name].Y), name)
	}
}

// shapes are logs of many programs.
var shapes = []string{
	`{"step": 10, "epoch": 0.05, "loss": 5.8436, "learning_rate": 2.60e-04, "grad_norm": 2.4799, "timestamp": "2026-03-04T12:00:00Z", "tokens": 5000, "tokens_per_second": 9800.0}`,
	`{"step":1,"loss":1}` + "\r\n" + `{ "step" : 2 , "loss" : -0.0 }` + "\n\n  \n" + `{"step": 3, "loss": 1e-400}`,
	`{"step": 1, "loss": null, "non_finite": {"loss": "nan"}}` + "\n" + `{"step": 2, "loss": NaN}` + "\n" + `{"step": 3, "loss": 1}`,
	`{"step": 4, "eval_loss": 1.25, "eval_accuracy": 0.5, "eval_accuracy": 0.75}` + "\n" + `{"step": 5, "eval_f1": 0.25, "note": "x"}`,
	`{"step": 1, "loss": 1e999}` + "\n" + `{"step": 2, "loss": 01}` + "\n" + `{"step": 3.0, "loss": 2}` + "\n" + `{"step": -4}` + "\n" + `{"epoch": 1}`,
	`{"step": 1, "step": 7, "loss": 1, "loss": 2, "x": 3}`,
	`{"step": 123456789012345678, "loss": 0.1234567890123456789}` + "\n" + `{"step": 5, "tokens": 5e3, "loss": 9007199254740993}`,
	`{"step": 1, "timestamp": "2026-02-30T00:00:00Z"}` + "\n" + `{"step": 2, "timestamp": "2026-03-01T00:00:60Z"}` + "\n" + `{"step": 3, "timestamp": "1969-01-01T00:00:00Z"}` + "\n" + `{"step": 4, "timestamp": "2026-03-01T07:08:09Z"}`,
	`not json` + "\n" + `[1]` + "\n" + `{"step": 9, "loss": 3} x` + "\n" + `{"step": 10, "loss": 4`,
	`{"step": 1, "a\u0062": 2, "é": 3}` + "\n" + `{"step": 2, "Loss": 4, "": 5}` + "\n" + `{"step": "6", "loss": "7"}` + "\n{}",
}

func TestTailReadsWhatRunsReads(t *testing.T) {
	for i, shape := range append(shapes, strings.Join(shapes, "\n")) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			s, dir := run(t, map[string]string{"run_meta.json": meta, "train_log.jsonl": shape + "\n"})
			assertSame(t, asRuns(t, dir), readAll(t, s, dir))
		})
	}
}

// TestTailOfOddLines mixes shapes over many blocks, with a line longer than one.
func TestTailOfOddLines(t *testing.T) {
	var log strings.Builder
	for i := range 30_000 {
		switch {
		case i%997 == 0:
			fmt.Fprintf(&log, `{"step": %d, "loss": null, "non_finite": {"loss": "inf"}}`+"\n", i)
		case i == 20_000:
			fmt.Fprintf(&log, `{"step": %d, "note": %q, "loss": 3}`+"\n", i, strings.Repeat("x", 700_000))
		default:
			fmt.Fprintf(&log, `{"step": %d, "loss": %v}`+"\n", i, 1/float64(i+1))
		}
	}
	s, dir := run(t, map[string]string{"run_meta.json": meta, "train_log.jsonl": log.String()})
	assertSame(t, asRuns(t, dir), readAll(t, s, dir))
}

// TestTailLeavesWhatWasReturned appends while an earlier part is still read.
func TestTailLeavesWhatWasReturned(t *testing.T) {
	s, dir := run(t, map[string]string{"run_meta.json": meta, "train_log.jsonl": `{"step": 1, "loss": 3}` + "\n"})
	early := readAll(t, s, dir)
	f, err := os.OpenFile(filepath.Join(dir, "train_log.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"step": 2, "loss": 2, "x": 1}` + "\n")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	part, err := s.Tail(dir, early, false)
	require.NoError(t, err)
	assert.Equal(t, 1, early.Lines())
	assert.Equal(t, []string{source.Loss}, early.Names())
	late := early
	late.Append(part.Lines)
	assert.Equal(t, []float64{3, 2}, late.Curves[source.Loss].Y)
	assert.Equal(t, []float64{3}, early.Curves[source.Loss].Y)

	require.NoError(t, os.WriteFile(f.Name(), []byte(`{"step": 1, "loss": 9}`+"\n"), 0o644))
	part, err = s.Tail(dir, late, false)
	require.NoError(t, err)
	assert.True(t, part.Restarted, "a log that was cut back is read anew")
	var again source.History
	again.Append(part.Lines)
	assert.Equal(t, []float64{9}, again.Curves[source.Loss].Y)
	require.NoError(t, os.Remove(f.Name()))
	part, err = s.Tail(dir, again, false)
	require.NoError(t, err)
	assert.True(t, part.Restarted)
}

func FuzzTail(f *testing.F) {
	for _, shape := range shapes {
		f.Add([]byte(shape + "\n"))
	}
	dir := f.TempDir()
	s := source.New(filepath.Dir(dir))
	require.NoError(f, os.WriteFile(filepath.Join(dir, "run_meta.json"), []byte(meta), 0o644))
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "train_log.jsonl"), data, 0o644))
		assertSame(t, asRuns(t, dir), readAll(t, s, dir))
	})
}

func BenchmarkTail1000000Lines(b *testing.B) {
	dir := b.TempDir()
	require.NoError(b, os.WriteFile(filepath.Join(dir, "run_meta.json"), []byte(meta), 0o644))
	var log strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&log, `{"step": %d, "epoch": %v, "loss": %v, "learning_rate": %v, "grad_norm": %v, "timestamp": "2026-03-04T%02d:%02d:%02dZ", "tokens": %d, "tokens_per_second": %v}`+"\n",
			i+1, float64(i)/3e5, 3/math.Sqrt(float64(i+1)), 1e-3*(1-float64(i)/1e6), 1+math.Sin(float64(i)), i/3600%24, i/60%60, i%60, i*500, 9800+float64(i%700))
	}
	require.NoError(b, os.WriteFile(filepath.Join(dir, "train_log.jsonl"), []byte(log.String()), 0o644))
	b.SetBytes(int64(log.Len()))
	log.Reset()
	b.ReportAllocs()
	for b.Loop() {
		h := readAll(b, source.New(filepath.Dir(dir)), dir)
		require.Equal(b, 1_000_000, h.Lines())
	}
}
