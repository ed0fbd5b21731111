package work_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/work"
)

// TestAdopted: a retrain that a process published before it ended is adopted by
// the next attempt, whatever the clock said when it was written.
func TestAdopted(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, off := range map[string]time.Duration{"years ago": -10 * year, "now": 0, "years ahead": 10 * year} {
		t.Run(name, func(t *testing.T) {
			opt := jobs.Options{DataDir: t.TempDir()}
			published := make(chan string, 1)
			opt.Kinds = map[string]jobs.Handler{work.Retrain: func(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
				doc, err := work.Kinds(work.Options{})[work.Retrain](ctx, a)
				var made struct {
					RunDir string `json:"run_dir"`
				}
				if assert.NoError(t, err) && assert.NoError(t, json.Unmarshal(doc, &made)) {
					then := time.Now().Add(off)
					assert.NoError(t, os.Chtimes(made.RunDir, then, then))
				}
				published <- made.RunDir
				<-ctx.Done() // it never says that it has finished
				return nil, ctx.Err()
			}}
			first, err := jobs.Open(patient(t), opt)
			require.NoError(t, err)
			require.NoError(t, first.Start(patient(t)))
			out := t.TempDir()
			job := submit(t, first, work.Retrain, wire.RetrainRequest{DatasetDir: dataSet(t), OutputDir: &out})
			dir := <-published
			require.NoError(t, first.Close())

			q := start(t, opt)
			job = finish(t, q, job)
			require.Equal(t, jobs.Succeeded, job.Status, "%v", job.Error)
			assert.Equal(t, 2, job.Attempts)
			found, err := filepath.Glob(filepath.Join(out, "runs", "retrain_*"))
			require.NoError(t, err)
			assert.Equal(t, []string{dir}, found)
			checkRun(t, q, job.ID, dir)
		})
	}
}
