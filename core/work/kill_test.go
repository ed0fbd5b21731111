package work_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/work"
)

const (
	// asWorker makes the test program a process that submits jobs and runs them;
	// see workerProcess.
	asWorker = "VERIFILY_TEST_AS_WORKER"
	// slowTests runs the long versions of tests, and kills how many processes are
	// then killed on each database.
	slowTests = "VERIFILY_SLOW_TESTS"
	kills     = "VERIFILY_TEST_KILLS"
	// deaths is how many processes may die under a job here: an unlucky one is to
	// succeed in the end all the same.
	deaths = 1000
)

// loadPlan is what a worker process is told.
type loadPlan struct {
	Database, DataDir,
	DataSet, OutputDir string
	Clients int // that submit without end; 0: it only runs jobs
}

// workerProcess runs jobs, and submits some. Every line that it prints is the id
// of a job that was accepted. It ends by being killed, or, as a process that only
// runs jobs, when its standard input ends.
func workerProcess() int {
	var plan loadPlan
	if err := json.Unmarshal([]byte(os.Getenv(asWorker)), &plan); err != nil {
		return 2
	}
	ctx := context.Background()
	q, err := jobs.Open(ctx, jobs.Options{Database: plan.Database, DataDir: plan.DataDir, Kinds: work.Kinds(work.Options{}), Heavy: work.Heavy,
		MaxAttempts: deaths})
	if err == nil {
		err = q.Start(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("started")
	input, _ := json.Marshal(wire.RetrainRequest{DatasetDir: plan.DataSet, OutputDir: &plan.OutputDir})
	var out sync.Mutex
	for range plan.Clients {
		go func() {
			for {
				job, err := q.Submit(ctx, jobs.Request{Kind: work.Retrain, Input: input})
				if err != nil {
					return
				}
				out.Lock()
				fmt.Println(job.ID)
				out.Unlock()
				if _, err := q.Wait(ctx, job.ID); err != nil {
					return
				}
			}
		}()
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	if err := q.Close(); err != nil {
		return 1
	}
	return 0
}

// TestKilledAtRandom kills processes that submit and run jobs, one after the
// other and with a second one beside, and then audits: every job that was
// accepted has ended once, and every run directory is whole and belongs to
// exactly one of them.
func TestKilledAtRandom(t *testing.T) {
	times, within := 4, 600*time.Millisecond
	if os.Getenv(slowTests) != "" {
		times = 200
		if n, err := strconv.Atoi(os.Getenv(kills)); err == nil {
			times = n
		}
	}
	onEach(t, func(t *testing.T, opt jobs.Options) {
		plan := loadPlan{Database: opt.Database, DataDir: opt.DataDir, DataSet: dataSet(t), OutputDir: t.TempDir(), Clients: 16}
		accepted := map[string]bool{}
		for i := range times {
			runAndKill(t, plan, accepted, time.Duration(rand.Int64N(int64(within))), i%4 == 3)
		}
		audit(t, opt, plan, accepted)
	})
}

// runAndKill starts a process, two where beside is set, and kills them a moment
// after they have started.
func runAndKill(t *testing.T, plan loadPlan, accepted map[string]bool, after time.Duration, beside bool) {
	t.Helper()
	first := startWorker(t, plan)
	processes := []*workerCmd{first}
	if beside {
		processes = append(processes, startWorker(t, plan))
	}
	timer := time.NewTimer(after)
	<-timer.C
	for _, p := range processes {
		require.NoError(t, p.Process.Kill())
		for _, id := range p.rest(t) {
			accepted[id] = true
		}
	}
}

type workerCmd struct {
	*exec.Cmd
	lines *bufio.Scanner
	errs  strings.Builder
}

func startWorker(t *testing.T, plan loadPlan) *workerCmd {
	t.Helper()
	data, err := json.Marshal(plan)
	require.NoError(t, err)
	p := &workerCmd{Cmd: exec.Command(os.Args[0])}
	p.Env = append(os.Environ(), asWorker+"="+string(data))
	stdin, err := p.StdinPipe()
	require.NoError(t, err)
	stdout, err := p.StdoutPipe()
	require.NoError(t, err)
	p.Stderr, p.lines = &p.errs, bufio.NewScanner(stdout)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = p.Process.Kill() // it has ended, unless the test failed
	})
	require.True(t, p.lines.Scan(), "the process did not start: %s", &p.errs)
	return p
}

// rest collects the ids that a process printed before it ended.
func (p *workerCmd) rest(t *testing.T) (ids []string) {
	t.Helper()
	for p.lines.Scan() {
		if line := p.lines.Text(); len(line) == 16 { // the last one may be cut off
			ids = append(ids, line)
		}
	}
	_ = p.Wait() // it was killed
	return ids
}

// audit runs what is left and compares the database with the disk.
func audit(t *testing.T, opt jobs.Options, plan loadPlan, accepted map[string]bool) {
	t.Helper()
	ctx := patient(t)
	opt.Kinds, opt.Heavy, opt.MaxAttempts = work.Kinds(work.Options{}), work.Heavy, deaths
	q, err := jobs.Open(ctx, opt)
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close()) }()
	require.NoError(t, q.Start(ctx))
	owner := map[string]string{} // job by run directory
	again, failed := 0, 0
	for job := range everyJob(t, q) {
		done, err := q.Wait(ctx, job)
		require.NoError(t, err, job)
		delete(accepted, job)
		if done.Attempts > 1 {
			again++
		}
		if done.Status == jobs.Failed {
			failed++
			t.Logf("job %s: %s", job, *done.Error)
			continue
		}
		require.NotNil(t, done.ResultPath, job)
		dir := *done.ResultPath
		assert.NotContains(t, owner, dir, "two jobs have a run")
		owner[dir] = job
		checkRun(t, q, job, dir)
	}
	assert.Empty(t, accepted, "jobs that were accepted are lost")
	assert.Zero(t, failed)
	dirs, err := filepath.Glob(filepath.Join(plan.OutputDir, "runs", "retrain_*"))
	require.NoError(t, err)
	for _, dir := range dirs {
		assert.Contains(t, owner, dir, "a finished run belongs to no job")
	}
	assert.Len(t, dirs, len(owner))
	t.Logf("%d jobs, %d begun more than once", len(owner), again)
}

// everyJob goes through all jobs of a queue.
func everyJob(t *testing.T, q *jobs.Queue) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		after := ""
		for {
			list, err := q.List(patient(t), jobs.Filter{Limit: jobs.MaxList, After: after})
			require.NoError(t, err)
			for _, j := range list {
				if !yield(j.ID) {
					return
				}
				after = j.ID
			}
			if len(list) < jobs.MaxList {
				return
			}
		}
	}
}

// checkRun holds a run directory against the contract, its hashes and the result
// of its job.
func checkRun(t *testing.T, q *jobs.Queue, job, dir string) {
	t.Helper()
	res := contract.Check(dir)
	assert.True(t, res.Valid, "%s: %v", dir, res.Checks)
	items, err := contract.Content(patient(t), dir)
	require.NoError(t, err)
	for _, item := range items {
		assert.Equal(t, contract.Pass, item.Status, "%s %s: %s", dir, item.File, item.Detail)
	}
	doc, _, err := q.Result(patient(t), job)
	require.NoError(t, err)
	var result struct {
		RunDir string `json:"run_dir"`
	}
	require.NoError(t, json.Unmarshal(doc, &result))
	assert.Equal(t, dir, result.RunDir)
}
