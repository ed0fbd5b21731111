package batch

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/stats"
)

func TestJournalSurvivesATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j, records, err := openJournal(path, time.Now)
	require.NoError(t, err)
	assert.Empty(t, records)
	require.NoError(t, j.append(record{Kind: recordOpen}))
	require.NoError(t, j.append(record{Kind: recordStart, Job: "a", Key: "k", Data: "d"}))
	require.NoError(t, j.close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(whole, `{"kind":"end","jo`...), 0o644))

	j, records, err = openJournal(path, time.Now)
	require.NoError(t, err)
	assert.Len(t, records, 2)
	require.NoError(t, j.append(record{Kind: recordRun, Job: "a", Run: "run_1"}))
	require.NoError(t, j.close())
	j, records, err = openJournal(path, time.Now)
	require.NoError(t, err)
	require.NoError(t, j.close())
	require.Len(t, records, 3)
	assert.Equal(t, "run_1", records[2].Run)

	require.NoError(t, os.WriteFile(path, []byte("nonsense\n"), 0o644))
	_, _, err = openJournal(path, time.Now)
	assert.ErrorContains(t, err, "line 1")
}

func TestReplay(t *testing.T) {
	start := func(job string, halved int) record {
		return record{Kind: recordStart, Job: job, Key: job, Data: "d", Halved: halved}
	}
	run := func(job, dir string) record { return record{Kind: recordRun, Job: job, Run: dir} }
	end := func(job string, s Status, halved int) record {
		return record{Kind: recordEnd, Job: job, Status: s, Run: "r-" + job, Halved: halved}
	}
	h := replay([]record{
		{Kind: recordOpen, Plan: "p"},
		start("done", 0), run("done", "r-done"), end("done", Completed, 0),
		start("begun", 0), run("begun", "r-begun"),
		start("lost", 0),
		start("memory", 0), run("memory", "r-memory"), end("memory", Interrupted, 1),
		end("never started", Failed, 0),
		start("long", 0), {Kind: recordEnd, Job: "long", Status: Interrupted, Seconds: 5}, start("long", 0),
	})
	assert.Equal(t, 5.0, h.work[identity("long", "d")].Seconds, "the time so far is not forgotten")
	assert.Equal(t, Completed, h.work[identity("done", "d")].Status)
	assert.Equal(t, "r-begun", h.work[identity("begun", "d")].run)
	assert.Empty(t, h.work[identity("begun", "d")].Status)
	assert.Empty(t, h.work[identity("lost", "d")].run)
	memory := h.work[identity("memory", "d")]
	assert.Empty(t, memory.run, "the next attempt has another config and cannot go on with the run")
	assert.Equal(t, 1, memory.Halved)
	assert.Len(t, h.work, 5)
}

// TestLookAtResumedJob: a job that is taken up again has its run from the start,
// as the journal names a run once only.
func TestLookAtResumedJob(t *testing.T) {
	start := func(job, key string) record { return record{Kind: recordStart, Job: job, Key: key, Data: "d"} }
	l := Look{Dir: filepath.Join("runs", "batch_x")}
	l.fill([]record{
		{Kind: recordOpen},
		start("same", "k1"), {Kind: recordRun, Job: "same", Run: "run_1"},
		start("changed", "k2"), {Kind: recordRun, Job: "changed", Run: "run_2"},
		{Kind: recordOpen},
		start("same", "k1"), start("changed", "k3"),
		{Kind: recordKeep, Job: "kept", Status: Completed, Seconds: 5},
	}, []before{{Name: "same"}, {Name: "changed"}, {Name: "kept"}, {Name: "later"}})
	assert.Equal(t, []Seen{
		{Job: "same", Status: Running, Run: filepath.Join("runs", "run_1")},
		{Job: "changed", Status: Running},
		{Job: "kept", Status: Completed, Time: 5, Earlier: true},
		{Job: "later", Status: Waiting},
	}, l.Jobs)
}

// FuzzJournal: no bytes make the journal's reader fall over.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"kind":"start","job":"a","key":"k"}` + "\n" + `{"kind":"end","job":"a","status":"completed"}` + "\n"))
	f.Add([]byte("{}\n{\"kind\":\"run\",\"run\":\"x\"}\n[]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := parseJournal(data)
		if err == nil {
			require.NotNil(t, replay(records))
		}
	})
}

func TestSpread(t *testing.T) {
	// Quantiles from printed tables.
	for df, want := range map[int]float64{1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 9: 2.2622, 10: 2.2281, 30: 2.0423, 120: 1.9799} {
		assert.InDelta(t, want, tQuantile975(df), 5e-5, "%d degrees of freedom", df)
	}
	s := spread("something", []float64{1, 2, 3})
	assert.Equal(t, 3, s.N)
	assert.InDelta(t, 2, s.Mean, 1e-12)
	assert.InDelta(t, 1, s.SD, 1e-12)
	assert.InDelta(t, 2-4.3027/1.7320508, *s.Low, 1e-4)
	assert.InDelta(t, 2+4.3027/1.7320508, *s.High, 1e-4)
	s = spread("f1", []float64{0.1, 0.9})
	assert.Nil(t, s.Low, "two seeds say nothing")
	assert.Nil(t, s.High)
}

// TestSpreadKeepsToTheMetric: an interval has no values that the metric cannot
// have.
func TestSpreadKeepsToTheMetric(t *testing.T) {
	for metric, want := range map[string]struct {
		values    []float64
		low, high float64
	}{
		"f1":         {[]float64{0.1, 0.5, 0.9}, 0, 1},
		"macro_f1":   {[]float64{0.1, 0.5, 0.9}, 0, 1},
		"eval_loss":  {[]float64{0.1, 0.5, 0.9}, 0, 1.4937},
		"train_loss": {[]float64{0.1, 0.5, 0.9}, 0, 1.4937},
		"wer":        {[]float64{0.1, 0.5, 0.9}, 0, 1.4937},
		"perplexity": {[]float64{1.1, 1.5, 1.9}, 1, 2.4937},
		"lift":       {[]float64{0.1, 0.5, 0.9}, -0.4937, 1.4937},
	} {
		s := spread(metric, want.values)
		assert.InDelta(t, want.low, *s.Low, 1e-4, metric)
		assert.InDelta(t, want.high, *s.High, 1e-4, metric)
	}
}

func TestSlots(t *testing.T) {
	s := newSlots(Slots{CPU: 2, CUDA: AllGPUs}, []int{0, 1, 3}, 8, 10)
	assert.Equal(t, 4, s.threads, "CPU jobs share the processors")
	take := func(device string, want int, ok bool) {
		t.Helper()
		gpu, got := s.take(device)
		assert.Equal(t, ok, got, device)
		if ok {
			assert.Equal(t, want, gpu, device)
		}
	}
	take("cuda:1", 1, true)
	take("cuda:1", 0, false)
	take("cuda", 0, true)
	take("cuda", 3, true)
	take("cuda", 0, false)
	s.free(3)
	s.free(1)
	take("cuda", 1, true)
	take("auto", noGPU, true)
	take("cpu", noGPU, true)
	take("cpu", 0, false)
	s.free(noGPU)
	take("cpu", noGPU, true)

	s = newSlots(Slots{CPU: 1, CUDA: 1}, []int{0, 1}, 2, 1)
	take("cuda", 0, true)
	take("cuda", 0, false)
	s = newSlots(Slots{CPU: 1, CUDA: AllGPUs}, nil, 2, 1)
	take("cuda", noGPU, true) // the engine says that there is none

	assert.Equal(t, 8, newSlots(Slots{CPU: 4}, nil, 8, 1).threads, "one job gets all processors")
	assert.Equal(t, 1, newSlots(Slots{CPU: 64}, nil, 8, 100).threads)
}

// TestInterrupted: somebody who presses Ctrl-C while a job evaluates is not told
// of contexts.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	end := ending(ctx, fmt.Errorf("evaluate: %w", context.Canceled))
	assert.Equal(t, classInterrupted, end.Class)
	assert.Empty(t, end.Text)
}

// TestErrorsOfTheFileSystem are not the job's.
func TestErrorsOfTheFileSystem(t *testing.T) {
	end := ending(t.Context(), &fault.DataError{Detail: fault.Detail{Op: "read row", Err: fmt.Errorf("%w: now", dataset.ErrChanged)}})
	assert.False(t, permanent(end.Class), "the data may be as it was when the batch is started again")
	for why, want := range map[syscall.Errno]struct {
		class class
		text  string
	}{
		syscall.ENOSPC: {classSpace, "no space left on device"},
		syscall.EIO:    {classOther, "save: a: write a/.b123: input/output error"},
		syscall.EACCES: {classTraining, "save: a: write a/.b123: permission denied"},
	} {
		end = ending(t.Context(), &fault.TrainingError{Detail: fault.Detail{Op: "save", Path: "a", Err: &fs.PathError{Op: "write", Path: "a/.b123", Err: why}}})
		assert.Equal(t, want.class, end.Class, why)
		assert.Equal(t, want.text, end.Text, why)
		assert.Equal(t, want.class == classTraining, permanent(end.Class), why)
	}
}

// TestOneErrorIsTold: that a folder cannot be given up either is not worth a
// line.
func TestOneErrorIsTold(t *testing.T) {
	dir := t.TempDir()
	plan := &Plan{Path: filepath.Join(dir, "plan.yaml"), RunsDir: dir}
	f, err := makeFolder(dir, plan.Path, 1, time.Now())
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(f.path(holderFile+"/x"), 0o755))
	require.NoError(t, os.WriteFile(f.path(jobsFile), []byte("x"), 0o644))
	_, err = Run(t.Context(), plan, Options{})
	require.ErrorContains(t, err, "jobs.json")
	assert.NotContains(t, err.Error(), holderFile)
}

func TestFormatBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1500: "1.5 kB", 5e9: "5.0 GB", 2e15: "2000.0 TB"} {
		assert.Equal(t, want, formatBytes(n))
	}
}

// TestTableFitsTheTerminal: a table without a baseline, which has room for more
// metrics, and its seeds.
func TestTableFitsTheTerminal(t *testing.T) {
	sum := &Summary{Counts: map[Status]int{}}
	cell := func(v float64) Cell {
		return Cell{Value: v, Interval: &stats.Interval{Low: v - 0.1, High: v + 0.1, N: 40}}
	}
	spreads := map[string]Spread{}
	low, high := 0.4, 0.6
	for _, name := range []string{"f1", "eval_loss", "exact_match", "wer"} {
		spreads[name] = Spread{N: 3, Mean: 0.5, SD: 0.01, Low: &low, High: &high}
	}
	for _, job := range []string{"sweep-1", "sweep-2"} {
		sum.Jobs = append(sum.Jobs, Row{Job: job, Status: Completed, Seconds: 14, Metrics: map[string]Cell{"f1": cell(0.5), "eval_loss": cell(2), "exact_match": cell(0), "wer": cell(0.7)}})
	}
	sum.Groups = []Group{{Name: "sweep learning_rate=3e-3", Jobs: []string{"sweep-1", "sweep-2"}, Metrics: spreads}}
	var out strings.Builder
	require.NoError(t, sum.WriteTable(&out, 80))
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, len(line), 81, line)
	}
	assert.Contains(t, out.String(), "sweep learning_rate=3e-3  2      0.5000 sd 0.0100 [0.4000, 0.6000]")
}

// TestUnpairedIsMarked: a difference that could not be paired is not shown as
// if it were.
func TestUnpairedIsMarked(t *testing.T) {
	row := Row{Job: "a", Status: Completed, Metrics: map[string]Cell{"f1": {Value: 0.9, Delta: &compare.Delta{Delta: 0.5, Verdict: compare.Better}}}}
	sum := &Summary{Metric: "f1", Baseline: "b", Jobs: []Row{row}}
	var table, md, csv strings.Builder
	require.NoError(t, sum.WriteTable(&table, 0))
	require.NoError(t, sum.WriteMarkdown(&md))
	require.NoError(t, sum.WriteCSV(&csv))
	for _, out := range []string{table.String(), md.String()} {
		assert.Contains(t, out, "+0.5000 ? better")
		assert.Contains(t, out, "? is not paired: weaker than a paired test")
	}
	assert.Contains(t, csv.String(), ",delta_high,paired,p,verdict,")
	assert.Contains(t, csv.String(), ",0.5,,,false,,better,")
	row.Metrics["f1"].Delta.Paired = true
	table.Reset()
	require.NoError(t, sum.WriteTable(&table, 0))
	assert.Contains(t, table.String(), "+0.5000 better")
	assert.NotContains(t, table.String(), "?")
}
