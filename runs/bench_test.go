package runs_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// BenchmarkList10000 lists 10,000 run folders with all files in the page
// cache: "fresh" reads every run_meta.json, "again" finds nothing changed.
func BenchmarkList10000(b *testing.B) {
	root := b.TempDir()
	start := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	hash := runs.InputHash("x")
	for i := range 10000 {
		at := start.Add(time.Duration(i) * time.Minute)
		id := fmt.Sprintf("run_%s_%06x", at.Format("20060102_150405"), i)
		data, err := canonical.Indent(runs.Meta{
			RunID: id, Status: runs.StatusCompleted, Task: "sft", BaseModel: "builtin:nano",
			DatasetVersion: "cmudict@1", ComputeMode: "local", Device: "cpu",
			StartedAt: runs.FormatTime(at), CompletedAt: runs.FormatTime(at.Add(time.Minute)), DurationSeconds: 60.25,
			Metrics:      map[string]float64{"train_loss": 1.2345678 + float64(i), "eval_loss": 2.5, "f1": 0.75, "exact_match": 0.125},
			ArtifactPath: "runs/" + id + "/adapter", ConfigHash: hash, DataHash: hash, EnvironmentHash: hash,
			ReproducibilityHash: hash, Seed: "42", RunName: "demo", Version: "0.1.0",
		})
		require.NoError(b, err)
		require.NoError(b, os.Mkdir(filepath.Join(root, id), 0o755))
		require.NoError(b, os.WriteFile(filepath.Join(root, id, "run_meta.json"), data, 0o644))
	}
	check := func(b *testing.B, entries []runs.Entry, err error) {
		require.NoError(b, err)
		require.Len(b, entries, 10000)
	}
	b.Run("fresh", func(b *testing.B) {
		for b.Loop() {
			entries, err := runs.List(root)
			check(b, entries, err)
		}
	})
	b.Run("again", func(b *testing.B) {
		store := runs.NewStore(root)
		entries, err := store.List()
		check(b, entries, err)
		for b.Loop() {
			entries, err := store.List()
			check(b, entries, err)
		}
	})
}

// BenchmarkReadLogMillion reads a log of 1,000,000 lines, an evaluation every
// hundred.
func BenchmarkReadLogMillion(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "train_log.jsonl")
	f, err := os.Create(path)
	require.NoError(b, err)
	w := bufio.NewWriterSize(f, 1<<20)
	at := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 1000000 {
		epoch, stamp := canonical.Float(float64(i)/3333), runs.FormatTime(at.Add(time.Duration(i)*700*time.Millisecond))
		if i%100 == 99 {
			fmt.Fprintf(w, `{"step": %d, "epoch": %s, "eval_loss": %s, "timestamp": "%s"}`+"\n", i+1, epoch, canonical.Float(2+1/float64(i+1)), stamp)
			continue
		}
		fmt.Fprintf(w, `{"step": %d, "epoch": %s, "loss": %s, "learning_rate": %s, "grad_norm": %s, "timestamp": "%s", "tokens": %d, "tokens_per_second": %s}`+"\n",
			i+1, epoch, canonical.Float(1+3/float64(i+1)), canonical.Float(2e-4/float64(i+1)), canonical.Float(float64(i%977)/331), stamp, 4096*(i+1), canonical.Float(10000/3.0+float64(i%13)))
	}
	require.NoError(b, w.Flush())
	info, err := f.Stat()
	require.NoError(b, err)
	require.NoError(b, f.Close())
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		log, err := runs.ReadLog(path, 0, 0)
		require.NoError(b, err)
		require.Len(b, log.Lines, 1000000)
		require.Zero(b, log.Bad)
	}
}
