package batch_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/batch"
)

// asJob makes the test program behave as the process of a job.
const asJob = "VERIFILY_BATCH_AS_JOB"

func TestMain(m *testing.M) {
	if os.Getenv(asJob) != "" {
		pretendJob()
		return
	}
	os.Exit(m.Run())
}

// pretendJob does what the name of its job says.
func pretendJob() {
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	var a batch.Attempt
	if err := json.Unmarshal(in.Bytes(), &a); err != nil {
		panic(err)
	}
	out := batch.ReportsFile()
	say := func(m batch.Message) {
		data, err := json.Marshal(m)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(out, "%s\n", data)
	}
	end := batch.Message{Kind: batch.MessageEnd, Class: "complete"}
	switch a.Job {
	case "panics":
		panic("something broke")
	case "memory":
		fmt.Fprintln(os.Stderr, "fatal error: runtime: out of memory")
		os.Exit(2)
	case "silent":
		return
	case "torn":
		fmt.Fprintf(out, "{\"kind\":\"en")
		os.Exit(1)
	case "environment":
		end.Text = os.Getenv("GOMAXPROCS") + " " + os.Getenv("CUDA_VISIBLE_DEVICES")
	case "listens", "stubborn":
		say(batch.Message{Kind: batch.MessageStep, Step: 1, TotalSteps: 2})
		for in.Scan() {
			switch {
			case in.Text() == "checkpoint":
				say(batch.Message{Kind: batch.MessageCheckpoint, Step: 1})
			case a.Job == "listens":
				end.Class = "interrupted"
				say(end)
				return
			}
		}
	}
	say(end)
}

// processes returns a runner of pretended jobs.
func processes(t testing.TB) batch.Processes {
	t.Setenv(asJob, "1")
	return batch.Processes{Command: []string{os.Args[0]}}
}

func TestProcesses(t *testing.T) {
	defer goleak.VerifyNone(t)
	p := processes(t)
	dir := t.TempDir()
	for job, want := range map[string]struct {
		class, text, log string
	}{
		"completes":   {class: "complete"},
		"panics":      {class: "died", text: "exit status 2", log: "something broke"},
		"memory":      {class: "memory", text: "ran out of memory", log: "out of memory"},
		"silent":      {class: "died", text: "without a result"},
		"torn":        {class: "died", text: "exit status 1"},
		"environment": {class: "complete", text: "3 1"},
	} {
		a := batch.Attempt{Job: job, Threads: 3, GPU: 1, Log: filepath.Join(dir, job+".log")}
		end := p.Run(t.Context(), a, nil, nil, func(batch.Message) {})
		assert.Equal(t, want.class, fmt.Sprint(end.Class), job)
		assert.Contains(t, end.Text, want.text, job)
		if want.log == "" {
			assert.NoFileExists(t, a.Log)
			continue
		}
		log, err := os.ReadFile(a.Log)
		require.NoError(t, err)
		assert.Contains(t, string(log), want.log)
	}
	end := batch.Processes{Command: []string{"/no/such/program"}}.Run(t.Context(), batch.Attempt{Log: filepath.Join(dir, "x")}, nil, nil, nil)
	assert.Contains(t, end.Text, "/no/such/program")
	end = p.Run(t.Context(), batch.Attempt{Log: filepath.Join(dir, "none", "x")}, nil, nil, nil)
	assert.Contains(t, end.Text, "no such file")
}

func TestProcessesObey(t *testing.T) {
	defer goleak.VerifyNone(t)
	p := processes(t)
	log := filepath.Join(t.TempDir(), "log")
	t.Run("checkpoint, then stop", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		checkpoint := make(chan struct{}, 1)
		end := p.Run(ctx, batch.Attempt{Job: "listens", Log: log}, checkpoint, nil, func(m batch.Message) {
			switch m.Kind {
			case batch.MessageStep:
				checkpoint <- struct{}{}
			case batch.MessageCheckpoint:
				cancel()
			}
		})
		assert.Equal(t, "interrupted", fmt.Sprint(end.Class))
	})
	t.Run("at once", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		abort := make(chan struct{})
		end := p.Run(ctx, batch.Attempt{Job: "stubborn", Log: log}, nil, abort, func(batch.Message) {
			cancel()
			close(abort)
		})
		assert.Equal(t, "interrupted", fmt.Sprint(end.Class))
	})
}

func TestServeRefusesWhatIsNoAttempt(t *testing.T) {
	for _, in := range []string{"", "{", "[]\n", "x\n"} {
		var out bytes.Buffer
		assert.ErrorContains(t, batch.Serve(t.Context(), strings.NewReader(in), &out), "read attempt", in)
		assert.Empty(t, out.String())
	}
	var out bytes.Buffer
	require.NoError(t, batch.Serve(t.Context(), strings.NewReader(`{"job":"a","config":{"task":"sft"}}`+"\n"), &out))
	assert.Contains(t, out.String(), `"class":"config"`)
	assert.Contains(t, out.String(), "base_model")
	out.Reset()
	require.NoError(t, batch.Serve(t.Context(), strings.NewReader(`{"job":"a","evaluate":"no/run"}`+"\n"), &out))
	assert.Contains(t, out.String(), `"class":"evaluation"`)
}

// BenchmarkProcesses is the overhead of a job with its process, which does
// nothing.
func BenchmarkProcesses(b *testing.B) { benchmark(b, processes(b)) }

// BenchmarkScheduler is the overhead of a job without a process.
func BenchmarkScheduler(b *testing.B) { benchmark(b, nothing{}) }

// benchmark runs a thousand jobs that do nothing. It reports the time a job
// takes, and what is in memory when a hundred and when all of them are over.
func benchmark(b *testing.B, runner batch.Runner) {
	const jobs = 1000
	batchOf(b, manyJobs(jobs))
	p, err := batch.Load("plan.yaml")
	require.NoError(b, err)
	var early, late int64
	for b.Loop() {
		ended := 0
		sum, err := batch.Run(b.Context(), p, batch.Options{Runner: runner, Fresh: true, Events: func(ev batch.Event) {
			if ev.Kind != batch.EventEnd {
				return
			}
			switch ended++; ended {
			case jobs / 10:
				early = heap()
			case jobs:
				late = heap()
			}
		}})
		require.NoError(b, err)
		require.Equal(b, 0, sum.Exit)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N)/jobs, "ms/job")
	b.ReportMetric(float64(early)/1e6, "MB-after-100")
	b.ReportMetric(float64(late)/1e6, "MB-after-1000")
}
