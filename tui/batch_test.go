package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// writeBatch writes the folder of a batch: what its journal says, by hand, since
// no process works on it.
func writeBatch(t testing.TB, name, plan, jobs, journal string) string {
	t.Helper()
	dir := filepath.Join("runs", name)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for file, content := range map[string]string{
		"batch.json":    fmt.Sprintf(`{"batch_id": %q, "plan_path": %q, "created_at": "2026-03-04T11:00:00Z", "number": 1}`, name, plan),
		"jobs.json":     jobs,
		"journal.jsonl": journal,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644))
	}
	return dir
}

const threeJobs = `[{"name": "lr-sweep-4"}, {"name": "broken"}, {"name": "later"}]`

const threeJournal = `{"kind": "open"}
{"kind": "start", "job": "lr-sweep-4", "key": "a", "data": "d"}
{"kind": "run", "job": "lr-sweep-4", "run": "run_20260304_115800_aaaaaa"}
{"kind": "start", "job": "broken", "key": "b", "data": "d"}
{"kind": "end", "job": "broken", "status": "failed", "class": "config", "error": "load config: \u001b[31mno such thing", "seconds": 12}
`

// held makes this process the one that works on a batch.
func held(t testing.TB, dir string) {
	t.Helper()
	host, err := os.Hostname()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".holder"), fmt.Appendf(nil, `{"host": %q, "pid": %d, "time": "2026-03-04T12:00:00Z"}`, host, os.Getpid()), 0o644))
}

// TestTimeLeftOfAJob says that it is what is left.
func TestTimeLeftOfAJob(t *testing.T) {
	m := New(context.Background(), Options{}, source.New(t.TempDir()), nil)
	loss := 0.9289
	c := screen.New(80, 1)
	m.drawPace(c, 79, 0, &batch.Progress{Step: 12345, TotalSteps: 67890, Loss: &loss, SecondsLeft: 42*60 + 18})
	assert.Contains(t, c.Plain(), " 12,345/67,890      0.929 42m 18s left\n")
}

func TestBatchIsShownLive(t *testing.T) {
	normalRuns(t)
	dir := writeBatch(t, "batch_20260304_110000_abcdef", "/far/plan.yaml", threeJobs, threeJournal)
	held(t, dir)
	m := start(t, 80, 24)
	assert.Contains(t, m.canvas().Plain(), "1 batch running (B)", "the table of runs tells of it")
	press(m, "B")
	require.Equal(t, viewBatch, m.at)
	frame := m.canvas().Plain()
	for _, words := range []string{"0 of 3 jobs complete", fmt.Sprintf("process %d", os.Getpid()), "410/1,000", "0.383", "failed: load config", `\x1b[31m`, "waiting", "1 running · 1 failed · 1 waiting"} {
		assert.Contains(t, frame, words)
	}
	checkFrame(t, m)
	press(m, "enter")
	assert.Equal(t, viewLive, m.at, "enter watches the run of the job")
	assert.Equal(t, "lr-sweep-4", m.run().name)

	// From the run the batch is stopped, after a question.
	press(m, "x")
	require.NotNil(t, m.choice)
	assert.Contains(t, m.canvas().Plain(), "works on batch_20260304_110000_abcdef")
	press(m, "esc")
	assert.NoFileExists(t, filepath.Join(dir, ".stop"), "nothing is stopped without an answer")
	press(m, "x", "s")
	assert.FileExists(t, filepath.Join(dir, ".stop"))
	assert.Contains(t, m.notice.words, "was asked to stop")

	press(m, "esc", "B", "down", "down", "down")
	assert.Equal(t, "later", m.batches.cursor)
	press(m, "enter")
	assert.Contains(t, m.notice.words, "has no run yet")
}

// TestBatchChanges looks again: at what goes on, and at what has ended.
func TestBatchChanges(t *testing.T) {
	normalRuns(t)
	dir := writeBatch(t, "batch_20260304_110000_abcdef", "/far/plan.yaml", threeJobs, threeJournal)
	held(t, dir)
	m := start(t, 80, 24, "B")
	require.True(t, m.batches.current().runs())
	require.NoError(t, os.Remove(filepath.Join(dir, ".holder")))
	send(m, batchDueMsg{})
	assert.Equal(t, batch.PhaseKilled, m.batches.current().look.Phase)
	assert.Contains(t, m.canvas().Plain(), "its process is gone")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "journal.jsonl"), []byte(threeJournal+`{"kind": "close", "exit": 5}`+"\n"), 0o644))
	send(m, batchDueMsg{})
	assert.Contains(t, m.canvas().Plain(), "over: a job failed")
	before := m.batches.current()
	send(m, batchDueMsg{})
	assert.Same(t, before, m.batches.current(), "what has ended is not read again")
	require.NoError(t, os.RemoveAll(dir))
	send(m, batchDueMsg{})
	assert.Contains(t, m.canvas().Plain(), "no batch yet")
	checkFrame(t, m)
}

// TestBatchGoesOn starts the process again that a killed batch needs.
func TestBatchGoesOn(t *testing.T) {
	normalRuns(t)
	writeBatch(t, "batch_20260304_110000_abcdef", "/far/plan.yaml", threeJobs, threeJournal)
	m := start(t, 80, 24)
	var started string
	m.opt.Background = func(_ context.Context, plan string) error {
		started = plan
		return errors.New("no\x1b[2J such plan")
	}
	press(m, "B", "x")
	assert.Contains(t, m.canvas().Plain(), "goes on where it stopped")
	press(m, "g")
	assert.Equal(t, "/far/plan.yaml", started)
	assert.Contains(t, m.canvas().Plain(), "it does not go on")
	checkFrame(t, m)
	m.opt.Background = func(context.Context, string) error { return nil }
	press(m, "x", "enter")
	assert.Contains(t, m.notice.words, "goes on in the background")
}

// TestManyBatches shows the one that runs first, and the others by a key.
func TestManyBatches(t *testing.T) {
	normalRuns(t)
	old := writeBatch(t, "batch_20260301_110000_aaaaaa", "/a.yaml", threeJobs, threeJournal)
	writeBatch(t, "batch_20260302_110000_bbbbbb", "/b.yaml", `[{"name": "only"}]`, `{"kind": "open"}
{"kind": "start", "job": "only", "key": "a", "data": "d"}
{"kind": "end", "job": "only", "status": "completed", "seconds": 3.5}
{"kind": "close", "exit": 0}
`)
	require.NoError(t, os.WriteFile(filepath.Join("runs", "batch_20260302_110000_bbbbbb", "summary.json"),
		[]byte(`{"exit_code": 0, "metric": "f1", "jobs": [{"job": "only", "status": "completed", "metrics": {"f1": {"value": 0.7291}}}], "decision": "SHIP", "decision_job": "only"}`), 0o644))
	broken := writeBatch(t, "batch_20260303_110000_cccccc", "/c.yaml", `{`, "")
	held(t, old)
	m := start(t, 100, 30, "B")
	assert.Equal(t, old, m.batches.current().dir, "what runs comes first")
	press(m, ">")
	assert.Equal(t, broken, m.batches.current().dir)
	assert.Contains(t, m.canvas().Plain(), "could not be read")
	press(m, "x")
	assert.Contains(t, m.notice.words, "no batch to do something with")
	press(m, ">")
	frame := m.canvas().Plain()
	for _, words := range []string{"(3 of 3)", "every job is complete", "decision SHIP", "F1", "0.729", "3.5s"} {
		assert.Contains(t, frame, words)
	}
	press(m, ">", "x")
	assert.Contains(t, m.notice.words, "every job of the batch is complete")
	press(m, "<", "<", "<")
	assert.Equal(t, old, m.batches.current().dir)
	for w := 30; w <= 200; w += 17 {
		for h := 8; h <= 60; h += 7 {
			m.width, m.height = w, h
			checkFrame(t, m)
		}
	}
}

func TestNoBatch(t *testing.T) {
	t.Chdir(t.TempDir())
	m := start(t, 80, 24, "B")
	assert.Contains(t, m.canvas().Plain(), "verifily-tui --batch plan.yaml --detach")
	press(m, "x", "enter", "<", "down")
	assert.Nil(t, m.choice)
	require.NoError(t, os.WriteFile("runs", nil, 0o644))
	send(m, batchDueMsg{})
	assert.Contains(t, m.canvas().Plain(), "could not be read")
}

// TestRunElsewhere says who trains a run that is not ours.
func TestRunElsewhere(t *testing.T) {
	t.Chdir(t.TempDir())
	w, err := runs.Create("runs", runs.CreateOptions{Meta: runs.Meta{RunName: "far", Task: "sft", StartedAt: runs.FormatTime(noon.Add(-time.Minute))}})
	require.NoError(t, err)
	defer w.Close()
	loss := 1.5
	require.NoError(t, w.AppendLog(runs.LogLine{Step: 1, Epoch: 0.1, Loss: &loss}))
	m := start(t, 80, 24, "3", "x")
	assert.Contains(t, m.notice.words, fmt.Sprintf("kill -INT %d", os.Getpid()))
}
