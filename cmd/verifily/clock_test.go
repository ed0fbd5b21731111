//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/client"
	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/jobs/database"
	"github.com/verifily/verifily-tui/core/jobs/jobstest"
	"github.com/verifily/verifily-tui/core/monitor"
	"github.com/verifily/verifily-tui/runs"
)

const (
	// slowTests asks for tests that take minutes.
	slowTests = "VERIFILY_SLOW_TESTS"
	// clockTime is how long TestClockSteps sets clocks.
	clockTime = "VERIFILY_TEST_CLOCK_TIME"
	// clockFile is read by testdata/clock/time.go.
	clockFile = "VERIFILY_TEST_CLOCK"

	// mostWait is how long a job may take, and any answer: what a process has that
	// is killed is taken over within seconds.
	mostWait = 30 * time.Second
	// mostUnrest is how long traces of a clock that was ahead may stay: they are
	// looked for once a minute.
	mostUnrest = 90 * time.Second
	// mostSilence is how long a monitor with an interval of a second may be silent
	// when the process is killed that looks after it.
	mostSilence = 15 * time.Second
	// keepForYears is a --retention that no clock here reaches. Dates are by the
	// clock, so a process that starts with one far ahead may forget what has ended.
	keepForYears = "876000h"
)

// TestClockSteps sets the clocks of a service and a worker, each for itself, while
// clients retrain and a monitor looks: by seconds, minutes, hours, days and ten
// years, to and fro. In the first half of the time it also kills and stops them.
// Every job that was accepted ends well, once and soon, and neither runs nor
// tickets are left besides.
//
// The program is built with two more files, see testdata/clock. Without
// VERIFILY_SLOW_TESTS it is only made sure that package time can be changed for
// them. The clock of PostgreSQL itself stays right, as that of another machine does.
func TestClockSteps(t *testing.T) {
	overlay := clockOverlay(t)
	if os.Getenv(slowTests) == "" {
		return // everything is built anew
	}
	long := 25 * time.Second
	if text := os.Getenv(clockTime); text != "" {
		var err error
		long, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	program := filepath.Join(t.TempDir(), "verifily")
	out, err := exec.Command("go", "build", "-overlay", overlay, "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	jobstest.OnEach(t, func(t *testing.T, url string) {
		t.Parallel()
		s := startStepped(t, program, url)
		s.checkClock(url == "")
		load, stop := context.WithCancel(context.Background())
		var clients sync.WaitGroup
		defer clients.Wait() // where the test fails
		defer stop()
		for range 4 {
			clients.Go(func() { s.submitJobs(load) })
		}
		clients.Go(func() { s.retrain(load) })
		clients.Go(func() { s.watchMonitor(load) })
		s.setClocks(long)
		stop()
		clients.Wait()
		s.rest()
		s.audit()
		for _, p := range []*clocked{s.server, s.worker} {
			p.quit(false)
			if t.Failed() {
				t.Log(&p.errs)
			}
		}
	})
}

// clockOverlay writes what go build -overlay reads to build programs with a clock
// that can be set.
func clockOverlay(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	timeDir := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(timeDir, "time.go"))
	require.NoError(t, err)
	const read = "\tsec, nsec, mono := runtimeNow()\n"
	require.Equal(t, 1, bytes.Count(source, []byte(read)), "time.Now of this Go reads the clock in another way: adapt this test")
	changed := filepath.Join(dir, "time.go")
	require.NoError(t, os.WriteFile(changed, bytes.Replace(source, []byte(read), []byte(read+"\tsec += step()\n"), 1), 0o644))
	abs := func(path string) string {
		abs, err := filepath.Abs(filepath.FromSlash(path))
		require.NoError(t, err)
		return abs
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(timeDir, "time.go"):              changed,
		filepath.Join(timeDir, "step.go"):              abs("testdata/clock/time.go"),
		abs("../../core/jobs/database/sqliteclock.go"): abs("testdata/clock/sqlite.go"),
	}})
	require.NoError(t, err)
	file := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(file, overlay, 0o644))
	return file
}

// clocked is a process whose clock can be set. It can be started again.
type clocked struct {
	*child
	command func() *exec.Cmd
	clock   *os.File
}

// set sets the clock of the process, to so much after the right time.
func (p *clocked) set(off time.Duration) {
	_, err := p.clock.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(off/time.Second)), 0)
	require.NoError(p.t, err)
}

func (p *clocked) start() {
	c := &child{Cmd: p.command(), t: p.t}
	c.Stderr = &c.errs
	r, w, err := os.Pipe()
	require.NoError(p.t, err)
	c.run(r, w)
	_, err = c.out.ReadString('\n')
	require.NoError(p.t, err, "%s", &c.errs)
	p.child = c
}

// quit kills the process, or stops it as a supervisor does.
func (p *clocked) quit(kill bool) {
	if !kill {
		require.Zero(p.t, p.stop(), "%s", &p.errs)
		return
	}
	require.NoError(p.t, p.Process.Kill())
	p.end()
}

// stepped is a service and a worker beside it, in a folder.
type stepped struct {
	t              *testing.T
	dir            string
	out, answers   string // output folders of jobs, and of retrains that are waited for
	server, worker *clocked
	address        string // of the server
	client         *client.Client
	queue          *jobs.Queue // which only looks
	monitor        string

	// outages is odd while the server may be unable to answer.
	outages atomic.Int64

	mu       sync.Mutex    // guards the next two
	accepted []string      // ids of jobs
	waited   time.Duration // for a job, at most

	answered []string      // run directories
	broken   int           // retrains that an outage cut off
	silent   time.Duration // of the monitor, at most
}

// sender sends requests.
type sender func(*http.Request) (*http.Response, error)

func (f sender) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func startStepped(t *testing.T, program, url string) *stepped {
	s := &stepped{t: t, dir: t.TempDir()}
	require.NoError(t, writeExample(s.dir))
	s.out, s.answers = filepath.Join(s.dir, "out"), filepath.Join(s.dir, "answers")
	for _, args := range [][]string{
		{"ingest", "words/train.jsonl", "--schema", "sft", "--out", "data"},
		{"retrain", "--dataset", "data", "--out", "base"},
	} {
		cmd := exec.Command(program, args...)
		cmd.Dir = s.dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	address := freeAddress(t)
	process := func(args ...string) *clocked {
		args = append(args, "--retention", keepForYears, "--log-level", "warn")
		if url != "" {
			args = append(args, "--database", url)
		}
		clock, err := os.Create(filepath.Join(s.dir, args[0]+".clock"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, clock.Close()) })
		p := &clocked{child: &child{t: t}, clock: clock, command: func() *exec.Cmd {
			cmd := exec.Command(program, args...)
			cmd.Dir, cmd.Env = s.dir, append(os.Environ(), clockFile+"="+clock.Name())
			return cmd
		}}
		p.set(0)
		p.start()
		return p
	}
	s.server = process("serve", "--addr", address)
	s.address = "http://" + address
	var err error
	s.client, err = client.New(s.address, client.Options{Retries: 1000, LongestWait: time.Second, HTTP: &http.Client{Transport: sender(s.send)}})
	require.NoError(t, err)
	t.Cleanup(s.client.Close)
	s.outages.Add(1)
	s.ready()
	s.worker = process("worker")
	ctx, cancel := patient()
	defer cancel()
	s.queue, err = jobs.Open(ctx, jobs.Options{Database: url, DataDir: filepath.Join(s.dir, ".verifily"), Workers: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.queue.Close()) })

	pipeline := filepath.Join(s.dir, "pipeline.yaml")
	require.NoError(t, os.WriteFile(pipeline, []byte("run_dir: base/runs/retrain_0001\n"), 0o644))
	interval := 1.0
	started, err := s.client.StartMonitor(ctx, client.MonitorRequest{ConfigPath: pipeline, IntervalSeconds: &interval})
	require.NoError(t, err)
	s.monitor = started.MonitorID
	return s
}

// freeAddress finds an address for a server that comes back to it: its port is none
// that the system gives to a connection meanwhile.
func freeAddress(t *testing.T) string {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000)))
		if err == nil {
			require.NoError(t, l.Close())
			return l.Addr().String()
		}
	}
	require.Fail(t, "no port is free")
	return ""
}

// patient is a context that ends after the longest that anything may take.
func patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), mostWait)
}

// send sends a request. That the server cannot answer fails the test unless it is
// down or starts.
func (s *stepped) send(r *http.Request) (*http.Response, error) {
	before := s.outages.Load()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && resp.StatusCode >= http.StatusInternalServerError {
		assert.Equal(s.t, http.StatusServiceUnavailable, resp.StatusCode, "%s %s", r.Method, r.URL.Path)
		assert.True(s.t, s.outage(before), "%s %s: %s", r.Method, r.URL.Path, resp.Status)
	}
	return resp, err
}

// outage says whether the server may have been unable to answer since a count of
// outages.
func (s *stepped) outage(before int64) bool { return before%2 == 1 || before != s.outages.Load() }

// ready waits for the server, and ends an outage.
func (s *stepped) ready() {
	ctx, cancel := patient()
	defer cancel()
	require.Eventually(s.t, func() bool {
		_, err := s.client.Ready(ctx)
		return err == nil
	}, mostWait, 20*time.Millisecond, "%s", &s.server.errs)
	s.outages.Add(1)
}

// checkClock makes sure that the clock that is set is the one that the program
// reads, and SQLite in it.
func (s *stepped) checkClock(sqlite bool) {
	const day = 24 * time.Hour
	s.server.set(day)
	defer s.server.set(0)
	resp, err := http.Get(s.address + "/health")
	require.NoError(s.t, err)
	require.NoError(s.t, resp.Body.Close())
	date, err := http.ParseTime(resp.Header.Get("Date"))
	require.NoError(s.t, err)
	require.WithinDuration(s.t, time.Now().Add(day), date, time.Minute)
	s.submitJob()
	if sqlite {
		var made int64
		s.query(&made, `SELECT CAST(strftime('%s', max(created_at)) AS integer) FROM river_job`)
		require.WithinDuration(s.t, time.Now().Add(day), time.Unix(made, 0), time.Minute)
	}
}

// query reads a number from the database.
func (s *stepped) query(to *int64, query string) {
	ctx, cancel := patient()
	defer cancel()
	require.NoError(s.t, database.QueryRow(ctx, s.queue.Database(), []any{to}, query))
}

// setClocks sets clocks at random, and in the first half of the time ends
// processes at random and starts them again, with the clock that they have.
func (s *stepped) setClocks(long time.Duration) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	const day = 24 * time.Hour
	units := []time.Duration{0, time.Second, time.Minute, time.Hour, day, 10 * 365 * day}
	steps, ends := 0, 0
	for begun := time.Now(); time.Since(begun) < long; {
		p := []*clocked{s.server, s.worker}[random.IntN(2)]
		off := units[random.IntN(len(units))]
		if off < 365*day {
			off *= time.Duration(1 + random.IntN(30))
		}
		if random.IntN(2) == 0 {
			off = -off
		}
		p.set(off)
		steps++
		if random.IntN(8) == 0 && time.Since(begun) < long/2 {
			s.restart(p, random.IntN(3) > 0)
			ends++
		}
		<-time.After(time.Duration(random.Int64N(int64(600 * time.Millisecond))))
	}
	s.server.set(0)
	s.worker.set(0)
	s.t.Logf("seed %d: %d steps of a clock, %d ends of a process", seed, steps, ends)
}

// restart ends a process and starts it again.
func (s *stepped) restart(p *clocked, kill bool) {
	if p == s.server {
		s.outages.Add(1)
	}
	p.quit(kill)
	p.start()
	if p == s.server {
		s.ready()
	}
}

// submitJob submits a retrain and returns its id.
func (s *stepped) submitJob() string {
	ctx, cancel := patient()
	defer cancel()
	job, err := s.client.SubmitRetrainJob(ctx, client.RetrainRequest{DatasetDir: "data", OutputDir: &s.out})
	if !assert.NoError(s.t, err) {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = append(s.accepted, job.JobID)
	return job.JobID
}

// submitJobs submits jobs and waits for each.
func (s *stepped) submitJobs(load context.Context) {
	for load.Err() == nil {
		begun := time.Now()
		id := s.submitJob()
		ctx, cancel := patient()
		_, err := s.client.WaitForJob(ctx, id)
		cancel()
		assert.NoError(s.t, err, "job %s", id)
		s.mu.Lock()
		s.waited = max(s.waited, time.Since(begun))
		s.mu.Unlock()
	}
}

// retrain retrains and waits for the answers.
func (s *stepped) retrain(load context.Context) {
	for load.Err() == nil {
		before := s.outages.Load()
		ctx, cancel := patient()
		res, err := s.client.Retrain(ctx, client.RetrainRequest{DatasetDir: "data", OutputDir: &s.answers})
		cancel()
		if err != nil {
			assert.True(s.t, s.outage(before), "%v", err)
			s.broken++
			continue
		}
		s.answered = append(s.answered, res.RunDir)
	}
}

// watchMonitor looks how long it takes from a tick to the next.
func (s *stepped) watchMonitor(load context.Context) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var size int64
	last := time.Now()
	for load.Err() == nil {
		<-look.C
		s.silent = max(s.silent, time.Since(last))
		if info, err := os.Stat(filepath.Join(s.dir, monitor.HistoryName)); err == nil && info.Size() != size {
			size, last = info.Size(), time.Now()
		}
	}
}

// rest waits until nothing waits any more, neither jobs nor tickets of them, and
// one of the processes leads, which clears used tickets away.
func (s *stepped) rest() {
	var working, tickets, leaders int64
	if !assert.Eventually(s.t, func() bool {
		s.query(&working, `SELECT count(*) FROM verifily_job WHERE status IN ('QUEUED', 'RUNNING')`)
		s.query(&tickets, `SELECT count(*) FROM river_job WHERE state IN ('available', 'scheduled', 'retryable')`)
		s.query(&leaders, `SELECT count(*) FROM river_leader l JOIN verifily_member m ON m.id = l.leader_id`)
		return working == 0 && tickets == 0 && leaders == 1
	}, mostUnrest, 100*time.Millisecond) {
		s.t.Logf("%d jobs, %d tickets wait, %d processes lead", working, tickets, leaders)
	}
}

// audit holds the jobs against the runs.
func (s *stepped) audit() {
	ctx := s.t.Context()
	owner := map[string]string{} // job by run directory
	ended := map[string]bool{}
	for after, more := "", true; more; {
		list, err := s.queue.List(ctx, jobs.Filter{Limit: jobs.MaxList, After: after})
		require.NoError(s.t, err)
		more = len(list) == jobs.MaxList
		for _, job := range list {
			after = job.ID
			if !assert.Equal(s.t, jobs.Succeeded, job.Status, "%s: %v", job.ID, job.Error) {
				continue
			}
			require.NotNil(s.t, job.ResultPath, job.ID)
			assert.Empty(s.t, owner[*job.ResultPath], "two jobs have the run %s", *job.ResultPath)
			owner[*job.ResultPath], ended[job.ID] = job.ID, true
			assert.Equal(s.t, job.ID, s.checkRun(ctx, *job.ResultPath))
		}
	}
	for _, id := range s.accepted {
		assert.True(s.t, ended[id], "job %s was accepted and is lost", id)
	}
	assert.Len(s.t, ended, len(s.accepted))
	for _, dir := range s.made(s.out) {
		assert.NotEmpty(s.t, owner[dir], "the run %s belongs to no job", dir)
	}

	answered := map[string]bool{}
	for _, dir := range s.answered {
		assert.False(s.t, answered[dir], "two answers have the run %s", dir)
		answered[dir] = true
		assert.Empty(s.t, s.checkRun(ctx, dir))
	}
	assert.LessOrEqual(s.t, len(s.made(s.answers)), len(answered)+s.broken) // what was cut off may have been made

	history, err := s.client.MonitorHistory(ctx, s.monitor, 0)
	require.NoError(s.t, err)
	for i, tick := range history.Ticks {
		assert.Equal(s.t, i+1, tick.TickNumber)
		assert.NotEqual(s.t, "ERROR", tick.Decision)
	}
	assert.Less(s.t, s.silent, mostSilence, "the monitor was silent")
	s.t.Logf("%d jobs, the longest took %v; %d retrains answered, %d cut off; %d ticks, at most %v apart", len(ended), s.waited.Round(time.Millisecond),
		len(s.answered), s.broken, len(history.Ticks), s.silent.Round(time.Millisecond))
}

// made lists the run directories of an output folder.
func (s *stepped) made(out string) []string {
	found, err := filepath.Glob(filepath.Join(out, "runs", "retrain_*"))
	require.NoError(s.t, err)
	return found
}

// checkRun holds a run directory against the contract and its hashes, and returns
// the job that made it.
func (s *stepped) checkRun(ctx context.Context, dir string) string {
	res := contract.Check(dir)
	assert.True(s.t, res.Valid, "%s: %v", dir, res.Checks)
	items, err := contract.Content(ctx, dir)
	require.NoError(s.t, err)
	for _, item := range items {
		assert.Equal(s.t, contract.Pass, item.Status, "%s %s: %s", dir, item.File, item.Detail)
	}
	run, err := runs.Open(dir)
	require.NoError(s.t, err)
	meta, err := run.Meta()
	require.NoError(s.t, err)
	return meta.JobID
}
