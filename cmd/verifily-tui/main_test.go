package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/cmd/internal/batches"
	"github.com/verifily/verifily-tui/core/batch"
)

// asProgram makes the test program behave as verifily-tui.
const asProgram = "VERIFILY_TUI_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		if os.Getenv(littleMemory) != "" && len(os.Args) == 2 && os.Args[1] == jobFlag {
			os.Exit(serveWithLittleMemory())
		}
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// example makes a folder with data, a train.yaml and a plan the current one.
func example(t *testing.T, plan string) string {
	t.Helper()
	dir := t.TempDir()
	rows := func(n, offset int) string {
		var b strings.Builder
		for i := range n {
			k := (i*7 + offset) % 26
			word := []byte{byte('a' + k), byte('a' + (k*5+i)%26), byte('a' + (i*3)%26)}
			fmt.Fprintf(&b, `{"instruction":"turn","input":"%s","output":"%c %c %c","tags":{"half":"%d"},"id":"r%d_%d"}`+"\n", word, word[2], word[1], word[0], k/13, offset, i)
		}
		return b.String()
	}
	for name, content := range map[string]string{
		"train.jsonl": rows(48, 0), "val.jsonl": rows(12, 3), "test.jsonl": rows(20, 5), "plan.yaml": plan,
		"train.yaml": `task: sft
base_model: builtin:nano
data_paths: {train: train.jsonl, val: val.jsonl, test: test.jsonl}
lora: {enabled: false}
tokenizer: {vocab_size: 300}
training: {num_epochs: 1, batch_size: 4, gradient_accumulation_steps: 2, eval_steps: 6, save_steps: 3, logging_steps: 2, learning_rate: 1.0e-3}
eval: {slice_by_tags: [half], generation_max_new_tokens: 4, generation_num_beams: 1}
`} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	t.Chdir(dir)
	return dir
}

const smallPlan = `jobs:
  - {name: human, config: train.yaml}
  - {name: pair, config: train.yaml, matrix: {seed: [1, 2]}}
compare: {metric: f1, baseline: human}
slots: {cpu: 2}
`

// call runs the command line in this process; jobs are processes all the same.
func call(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	t.Setenv(asProgram, "1")
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return out.String(), errs.String(), code
}

func TestWithoutABatch(t *testing.T) {
	_, errs, code := call(t)
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "verifily-tui --batch PLAN.yaml")
	out, _, code := call(t, "--help")
	assert.Equal(t, 0, code)
	assert.Contains(t, out, "130 interrupted")
	out, _, code = call(t, "help", "json")
	assert.Equal(t, 0, code)
	assert.Contains(t, out, "The last line is summary")
	out, _, code = call(t, "--version")
	assert.Equal(t, 0, code)
	assert.Contains(t, out, "verifily-tui ")
}

// TestPlanHelp: what the help shows is a plan.
func TestPlanHelp(t *testing.T) {
	out, _, code := call(t, "help", "plan")
	require.Zero(t, code)
	_, plan, found := strings.Cut(out, "\n\n")
	require.True(t, found)
	plan, _, found = strings.Cut(plan, "\nKeys under")
	require.True(t, found)
	example(t, plan)
	require.NoError(t, os.WriteFile("ship.yaml", []byte("ship_if: {min_f1: 0.5}\n"), 0o644))
	require.NoError(t, os.Mkdir("data", 0o755))
	require.NoError(t, os.WriteFile("data/hard.jsonl", nil, 0o644))
	p, err := batch.Load("plan.yaml")
	require.NoError(t, err)
	assert.Len(t, p.Jobs, 9)
}

func TestBadCommandLines(t *testing.T) {
	example(t, "jobs:\n  - {name: a, config: train.yaml, sett: {seed: 1}}\n  - {name: b, config: train.yaml, set: {seeed: 1}}\n")
	for want, args := range map[string][]string{
		"plan.yaml:2: jobs[1].sett: unknown key (did you mean set?)": {"--batch", "plan.yaml"},
		"plan.yaml:3: b: seeed: unknown key":                         {"--batch", "plan.yaml", "--dry-run"},
		"no such file":                                               {"--batch", "none.yaml"},
		"unknown flag: --bath":                                       {"--bath", "plan.yaml"},
		"--every: must be longer than nothing":                       {"--batch", "plan.yaml", "--every", "0s"},
		"--batch needs the path":                                     {"--batch", ""},
		"--detach needs --batch PLAN":                                {"--detach"},
		"did you mean plan?":                                         {"help", "plam"},
		"unknown help topic \"nosuch\"":                              {"help", "nosuch"},
		"unknown help topic \"no\"":                                  {"help", "batch", "no"},
	} {
		out, errs, code := call(t, args...)
		assert.Equal(t, batch.ExitToolError, code, want)
		assert.Contains(t, errs, want)
		assert.Empty(t, out)
	}
	assert.NoDirExists(t, "runs")
}

func TestDryRun(t *testing.T) {
	example(t, smallPlan+"  \nretries: 0\n")
	out, _, code := call(t, "--batch", "plan.yaml", "--dry-run")
	assert.Equal(t, 0, code)
	assert.Contains(t, out, "2. pair-1\n   seed: 1\n   6 steps on cpu, ")
	assert.Contains(t, out, "3 jobs, about ")
	out, _, code = call(t, "--batch", "plan.yaml", "--dry-run", "--json")
	assert.Equal(t, 0, code)
	lines := jsonLines(t, out)
	require.Len(t, lines, 3)
	assert.EqualValues(t, 6, lines[2]["steps"])
	assert.Equal(t, map[string]any{"seed": 2.0}, lines[2]["changes"])
	assert.NoDirExists(t, "runs")

	require.NoError(t, os.Remove("train.jsonl"))
	out, _, code = call(t, "--batch", "plan.yaml", "--dry-run")
	assert.Equal(t, batch.ExitToolError, code)
	assert.Contains(t, out, "cannot start: ")
}

func jsonLines(t *testing.T, out string) []map[string]any {
	t.Helper()
	require.True(t, strings.HasSuffix(out, "\n"))
	var all []map[string]any
	for line := range strings.Lines(out) {
		var v map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &v), line)
		all = append(all, v)
	}
	return all
}

func TestPlainOutput(t *testing.T) {
	example(t, smallPlan)
	out, errs, code := call(t, "--batch", "plan.yaml", "--every", "20ms")
	require.Equal(t, 0, code, errs)
	assert.Empty(t, errs)
	for _, r := range out {
		require.True(t, r == '\n' || r >= ' ' && r != 0x7f, "a control character: %q", r)
	}
	for _, want := range []string{"starting runs/batch_", ", 3 jobs\n", "human: starts on cpu with ", "human: completed in ", "pair-2: completed in ",
		" of 3 jobs done | ", "vs human", "over seeds", "summary: runs/batch_"} {
		assert.True(t, strings.Contains(out, want), "%q is not in the output", want)
	}
	quiet, _, code := call(t, "--batch", "plan.yaml", "--quiet")
	assert.Equal(t, 0, code)
	assert.True(t, strings.HasPrefix(quiet, "job "), quiet)
	assert.True(t, strings.Contains(out, quiet), "a second start finds something else")
	logs, err := filepath.Glob("runs/batch_*/jobs/*")
	require.NoError(t, err)
	assert.Empty(t, logs, "jobs that said nothing leave no log")
}

func TestJSONOutput(t *testing.T) {
	example(t, smallPlan)
	out, _, code := call(t, "--batch", "plan.yaml", "--json", "--every", "20ms")
	require.Equal(t, 0, code)
	lines := jsonLines(t, out)
	kinds := map[string]int{}
	for _, l := range lines {
		kind, ok := l["event"].(string)
		require.True(t, ok)
		kinds[kind]++
		assert.Contains(t, batches.JSONHelp, "\n  "+kind+" ", "documented")
	}
	assert.Equal(t, 3, kinds[batch.EventStart])
	assert.Equal(t, 3, kinds[batch.EventEnd])
	assert.Equal(t, 1, kinds[batch.EventSummary])
	assert.Positive(t, kinds[batch.EventStep])
	assert.Positive(t, kinds[batch.EventProgress])
	last := lines[len(lines)-1]
	assert.Equal(t, batch.EventSummary, last["event"])
	assert.EqualValues(t, 0, last["summary"].(map[string]any)["exit_code"])
}

func TestTrainYAMLAsBatch(t *testing.T) {
	example(t, "")
	_, _, code := call(t, "--batch", "train.yaml", "--quiet")
	assert.Equal(t, 0, code)
	again, _, code := call(t, "--batch", "train.yaml")
	assert.Equal(t, 0, code)
	assert.Contains(t, again, "train: completed before")
}
