package work_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/jobs/jobstest"
)

func TestMain(m *testing.M) {
	if os.Getenv(asWorker) != "" {
		os.Exit(workerProcess())
	}
	goleak.VerifyTestMain(m)
}

func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// dataSet ingests ten rows.
func dataSet(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	rows := filepath.Join(dir, "rows.jsonl")
	require.NoError(t, os.WriteFile(rows, []byte(strings.Repeat(`{"instruction": "Say", "input": "a", "output": "a"}`+"\n", 10)), 0o644))
	out := filepath.Join(dir, "data")
	_, err := artifact.Ingest(context.Background(), artifact.Options{Input: rows, OutDir: out, Schema: "sft"})
	require.NoError(t, err)
	return out
}

// onEach runs a test on every database that there is.
func onEach(t *testing.T, test func(t *testing.T, opt jobs.Options)) {
	t.Helper()
	jobstest.OnEach(t, func(t *testing.T, database string) { test(t, jobs.Options{Database: database, DataDir: t.TempDir()}) })
}
