//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/engine/native"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// process is verifily-tui with its jobs in a process group of its own.
type process struct {
	*exec.Cmd
	t    *testing.T
	out  *bufio.Reader
	pipe *os.File // what out reads from
	errs bytes.Buffer
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), t: t}
	p.Env = append(os.Environ(), asProgram+"=1")
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.Stderr = &p.errs
	r, w, err := os.Pipe()
	require.NoError(t, err)
	p.Stdout, p.out, p.pipe = w, bufio.NewReader(r), r
	require.NoError(t, p.Start())
	require.NoError(t, w.Close())
	t.Cleanup(func() {
		p.killGroup() // it has ended, unless the test failed
		_ = r.Close()
	})
	return p
}

func (p *process) killGroup() { _ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL) }

// readTo reads lines up to one that holds all texts.
func (p *process) readTo(texts ...string) string {
	p.t.Helper()
next:
	for {
		line, err := p.out.ReadString('\n')
		require.NoError(p.t, err, "the output ends before %q; stderr:\n%s", texts, &p.errs)
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		return line
	}
}

// end reads the rest and returns it with the exit code.
func (p *process) end() (string, int) {
	p.t.Helper()
	var rest bytes.Buffer
	_, err := p.out.WriteTo(&rest)
	require.NoError(p.t, err)
	_ = p.Wait() // the state says how it ended
	return rest.String(), p.ProcessState.ExitCode()
}

// outcome is what must not depend on interruptions: by run, the hashes of the
// weights and the predictions, the metrics, and the loss of every step.
func outcome(t *testing.T, dir string) map[string][]string {
	t.Helper()
	entries, err := runs.List(filepath.Join(dir, "runs"))
	require.NoError(t, err)
	out := map[string][]string{}
	for _, e := range entries {
		name := e.Meta.RunName
		assert.Equal(t, runs.StatusCompleted, e.Status, name)
		assert.NotContains(t, out, name, "a job has two runs")
		weights, err := filepath.Glob(filepath.Join(e.Dir, e.Meta.ArtifactPath, "*.safetensors"))
		require.NoError(t, err)
		require.Len(t, weights, 1, name)
		var parts []string
		for _, file := range []string{weights[0], filepath.Join(e.Dir, "eval", "predictions.jsonl")} {
			sum, err := canonical.FileHash(file)
			require.NoError(t, err, name)
			parts = append(parts, sum)
		}
		run, err := runs.Open(e.Dir)
		require.NoError(t, err)
		results, err := run.EvalResults()
		require.NoError(t, err)
		for _, metrics := range []map[string]float64{results.Overall, e.Meta.Metrics} {
			text, err := canonical.JSON(metrics)
			require.NoError(t, err)
			parts = append(parts, string(text))
		}
		log, err := run.Log()
		require.NoError(t, err)
		steps := map[int]bool{}
		for _, l := range log.Lines {
			if l.Loss != nil {
				assert.False(t, steps[l.Step], "%s reports step %d twice", name, l.Step)
				steps[l.Step] = true
				parts = append(parts, fmt.Sprintf("%d %v %v", l.Step, *l.Loss, *l.GradNorm))
			}
		}
		out[name] = parts
	}
	return out
}

// slowTests asks for tests that take minutes.
const slowTests = "VERIFILY_SLOW_TESTS"

// bundled is the folder of the data that comes with the program.
func bundled(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "testdata", "cmudict", "sft"))
	require.NoError(t, err)
	return dir
}

// TestKilledAndStartedAgain kills the whole process group at random moments and
// starts the plan again each time: the end state is that of an undisturbed
// batch, no run is left over, and no step before the last checkpoint of a job
// is trained again.
func TestKilledAndStartedAgain(t *testing.T) {
	plan, kills := `jobs:
  - name: sweep
    config: train.yaml
    set: {training.num_epochs: 10, training.save_steps: 10, training.logging_steps: 1}
    matrix: {training.learning_rate: [1e-3, 2e-3], seed: [1, 2]}
slots: {cpu: 2}
`, 3
	if os.Getenv(slowTests) != "" {
		plan, kills = fmt.Sprintf(`jobs:
  - name: sweep
    config: train.yaml
    set:
      data_paths: {train: %[1]q, val: null, test: %[2]q}
      lora.enabled: true
      training: {num_epochs: 4, batch_size: 8, save_steps: 10, logging_steps: 1, max_seq_length: 64}
      eval.slice_by_tags: [kind]
    matrix: {training.learning_rate: [1e-3, 2e-3], lora.r: [8, 16], seed: [1, 2, 3]}
compare: {metric: f1, slice_by: kind, baseline: sweep-1}
slots: {cpu: 2}
`, filepath.Join(bundled(t), "val.jsonl"), filepath.Join(bundled(t), "val.jsonl")), 20
	}
	want := example(t, plan)
	began := time.Now()
	_, code := startProcess(t, "--batch", "plan.yaml", "--json").end()
	require.Equal(t, 0, code)
	// So that the kills are spread over the whole of the work.
	longest := 3 * time.Since(began) / time.Duration(kills)

	dir := example(t, plan)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d, kills up to %v after a start", seed, longest.Round(time.Millisecond))
	for range kills {
		saved := checkpoints(t)
		p := startProcess(t, "--batch", "plan.yaml", "--json")
		delay := time.Duration(random.Int64N(int64(longest)))
		timer := time.AfterFunc(delay, p.killGroup)
		out, _ := p.end()
		timer.Stop()
		done := notTwice(t, saved, out)
		t.Logf("killed after %v, %d steps", delay.Round(time.Millisecond), done)
	}
	saved := checkpoints(t)
	rest, code := startProcess(t, "--batch", "plan.yaml", "--json").end()
	require.Equal(t, 0, code, rest)
	notTwice(t, saved, rest)
	assert.Equal(t, outcome(t, want), outcome(t, dir))
	left, err := os.ReadDir("runs")
	require.NoError(t, err)
	batches := 0
	for _, e := range left {
		switch {
		case strings.HasPrefix(e.Name(), "batch_"):
			batches++
		case !strings.HasPrefix(e.Name(), "."):
			assert.FileExists(t, filepath.Join("runs", e.Name(), "run_meta.json"))
		}
	}
	assert.Equal(t, 1, batches)
	rest, code = startProcess(t, "--batch", "plan.yaml", "--json").end()
	assert.Equal(t, 0, code)
	assert.Zero(t, notTwice(t, checkpoints(t), rest), "all is complete")
}

// checkpoints is the step of the last checkpoint of every job in ./runs.
func checkpoints(t *testing.T) map[string]int {
	t.Helper()
	entries, err := runs.List("runs")
	require.NoError(t, err)
	out := map[string]int{}
	for _, e := range entries {
		require.NoError(t, e.Err)
		_, step, err := native.LatestCheckpoint(e.Dir)
		require.NoError(t, err)
		if e.Status == runs.StatusCompleted {
			step = math.MaxInt
		}
		out[e.Meta.RunName] = step
	}
	return out
}

// notTwice checks, by the log of a start, that no job trains a step which its
// last checkpoint before had; it counts the steps.
func notTwice(t *testing.T, saved map[string]int, log string) int {
	t.Helper()
	steps := 0
	for line := range strings.Lines(log) {
		var ev batch.Event
		if json.Unmarshal([]byte(line), &ev) != nil {
			assert.False(t, strings.HasSuffix(line, "\n"), line) // torn by the kill
			continue
		}
		if ev.Kind == batch.EventStep {
			steps++
			assert.Greater(t, ev.Step, saved[ev.Job], ev.Job)
		}
	}
	return steps
}

// longPlan trains longer than any test waits.
const longPlan = `jobs:
  - {name: a, config: train.yaml, set: {training.num_epochs: 15, training.save_steps: 10}}
  - {name: b, config: train.yaml, set: {training.num_epochs: 15, training.save_steps: 10, seed: 1}}
  - {name: c, config: train.yaml, set: {seed: 2}}
slots: {cpu: 2}
`

// longOutcome is that of longPlan, once it is known.
var longOutcome map[string][]string

// undisturbed is the outcome of longPlan when nothing happens to it.
func undisturbed(t *testing.T) map[string][]string {
	t.Helper()
	if longOutcome == nil {
		dir := example(t, longPlan)
		_, code := startProcess(t, "--batch", "plan.yaml", "--json").end()
		require.Equal(t, 0, code)
		longOutcome = outcome(t, dir)
	}
	return longOutcome
}

func TestSignalsThatStop(t *testing.T) {
	want := undisturbed(t)
	for name, send := range map[string]func(p *process) error{
		"terminate": func(p *process) error { return p.Process.Signal(syscall.SIGTERM) },
		"Ctrl-C":    func(p *process) error { return syscall.Kill(-p.Process.Pid, syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := example(t, longPlan)
			p := startProcess(t, "--batch", "plan.yaml", "--json")
			p.readTo(`"event":"step"`, `"job":"b"`)
			require.NoError(t, send(p))
			rest, code := p.end()
			assert.Equal(t, batch.ExitInterrupted, code)
			assert.Contains(t, rest, `"event":"stopping"`)
			assert.Contains(t, rest, `"status":"interrupted"`)
			assert.Contains(t, p.errs.String(), "stopping: every job saves a checkpoint")
			entries, err := runs.List("runs")
			require.NoError(t, err)
			for _, e := range entries {
				assert.Equal(t, runs.StatusInterrupted, e.Meta.Status, "it was told so")
			}
			again, code := startProcess(t, "--batch", "plan.yaml", "--json").end()
			assert.Equal(t, 0, code)
			assert.Contains(t, again, `"resumed":true`)
			assert.Equal(t, want, outcome(t, dir))
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"terminate": syscall.SIGTERM, "Ctrl-C": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			dir := example(t, longPlan)
			p := startProcess(t, "--batch", "plan.yaml", "--json")
			p.readTo(`"event":"step"`)
			require.NoError(t, p.Process.Signal(signal))
			p.readTo(`"event":"stopping"`)
			_ = p.Process.Signal(signal) // it may have ended by itself
			_, code := p.end()
			assert.Equal(t, batch.ExitInterrupted, code)
			_, code = startProcess(t, "--batch", "plan.yaml", "--json").end()
			assert.Equal(t, 0, code, "what is left can be gone on with")
			assert.Equal(t, undisturbed(t), outcome(t, dir))
		})
	}
}

func TestSignalsThatDoNotStop(t *testing.T) {
	example(t, longPlan)
	p := startProcess(t, "--batch", "plan.yaml", "--json")
	p.readTo(`"event":"step"`)
	require.NoError(t, syscall.Kill(-p.Process.Pid, syscall.SIGHUP))
	require.NoError(t, syscall.Kill(-p.Process.Pid, syscall.SIGUSR1))
	p.readTo("every running job saves a checkpoint")
	p.readTo(`"event":"checkpoint"`)
	_, code := p.end()
	assert.Zero(t, code)
}

// children lists the processes that a process started.
func children(t *testing.T, pid int) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	require.NoError(t, err)
	var out []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, field := range strings.Fields(string(data)) {
			child, err := strconv.Atoi(field)
			require.NoError(t, err)
			out = append(out, child)
		}
	}
	require.NotEmpty(t, out)
	return out
}

// TestOneJobKilled: a job whose process is killed goes on from its checkpoint,
// and the others do not notice.
func TestOneJobKilled(t *testing.T) {
	want := undisturbed(t)
	dir := example(t, longPlan)
	p := startProcess(t, "--batch", "plan.yaml", "--json")
	p.readTo(`"event":"checkpoint"`, `"job":"a"`)
	require.NoError(t, syscall.Kill(children(t, p.Process.Pid)[0], syscall.SIGKILL))
	p.readTo(`"event":"retry"`)
	p.readTo(`"event":"start"`, `"resumed":true`)
	_, code := p.end()
	assert.Zero(t, code)
	assert.Equal(t, want, outcome(t, dir))
}

// TestOnlyTheBatchKilled: jobs do not outlive their batch, and the next start
// waits until they have saved.
func TestOnlyTheBatchKilled(t *testing.T) {
	dir := example(t, longPlan)
	p := startProcess(t, "--batch", "plan.yaml", "--json")
	p.readTo(`"event":"step"`, `"job":"b"`)
	require.NoError(t, p.Process.Kill())
	rest, code := startProcess(t, "--batch", "plan.yaml", "--json").end()
	assert.Zero(t, code, rest)
	assert.Contains(t, rest, "which had this batch, is gone")
	assert.Equal(t, undisturbed(t), outcome(t, dir))
	_, _ = p.end()
}
