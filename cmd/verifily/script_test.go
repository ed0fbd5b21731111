package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"verifily": main})
}

// TestScripts runs testdata/*.txtar. Each starts in a folder with the files of
// writeExample. Besides the usual commands a script may use:
//
//	status CODE PROGRAM ARGS...   runs a program that must end with this exit code
//	events NAME...                stdout is JSON lines, whose events are these,
//	                              repeated ones taken as one
//	no-run FOLDER                 there is no run in a folder, nor part of one
//	newest VAR FOLDER             sets VAR to the newest run in a folder
//	stop-at STEP ARGS...          runs verifily ARGS --json, sends it SIGINT after
//	                              that step, and expects exit code 130; what it
//	                              printed is in stopped.out and stopped.err
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               func(env *testscript.Env) error { return writeExample(env.WorkDir) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status, "events": events, "no-run": noRun, "newest": newest, "stop-at": stopAt,
		},
	})
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s; stdout:\n%s\nstderr:\n%s", code, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

func events(ts *testscript.TestScript, _ bool, want []string) {
	var got []string
	for _, line := range strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\n"), "\n") {
		got = append(got, eventOf(ts, line))
	}
	if got = slices.Compact(got); !slices.Equal(got, want) {
		ts.Fatalf("events %s, want %s", got, want)
	}
}

func eventOf(ts *testscript.TestScript, line string) string {
	var object struct{ Event string }
	if err := json.Unmarshal([]byte(line), &object); err != nil {
		ts.Fatalf("%q is not JSON: %v", line, err)
	}
	return object.Event
}

func noRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: no-run FOLDER")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		ts.Fatalf("%v", err)
	}
	for _, e := range entries {
		ts.Fatalf("%s is in %s", e.Name(), args[0])
	}
}

func newest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: newest VAR FOLDER")
	}
	found, err := filepath.Glob(ts.MkAbs(args[1]) + "/run_*")
	ts.Check(err)
	if len(found) == 0 {
		ts.Fatalf("no run in %s", args[1])
	}
	stamp := func(path string) int64 {
		info, err := os.Stat(path)
		ts.Check(err)
		return info.ModTime().UnixNano()
	}
	last := slices.MaxFunc(found, func(a, b string) int { return int(stamp(a) - stamp(b)) })
	ts.Setenv(args[0], args[1]+"/"+filepath.Base(last))
}

func stopAt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: stop-at STEP ARGS...")
	}
	cmd := exec.Command("verifily", append(args[1:], "--json")...)
	cmd.Dir = ts.MkAbs(".")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	var printed strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		printed.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), `{"event":"step","step":`+args[0]+`,`) {
			ts.Check(cmd.Process.Signal(os.Interrupt))
		}
	}
	ts.Check(lines.Err())
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		ts.Fatalf("stop-at: %v, want exit code 130; stderr:\n%s", err, errs.String())
	}
	ts.Check(os.WriteFile(ts.MkAbs("stopped.out"), []byte(printed.String()), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("stopped.err"), []byte(errs.String()), 0o644))
}

// writeExample writes a data set of words to be spelled backwards, one of
// words with a label, and a configuration for each:
//
//	words/train.jsonl, val.jsonl, test.jsonl, train.yaml     10 steps
//	labels/train.jsonl, val.jsonl, test.jsonl, labels.yaml   10 steps, LoRA
//	long.yaml                                                400 short steps
func writeExample(dir string) error {
	var words []string
	for _, first := range []string{"al", "be", "co", "du", "en", "fi", "go", "hu"} {
		for _, last := range []string{"ra", "ton", "mi", "les", "k"} {
			words = append(words, first+last)
		}
	}
	var val, test []string
	for i, w := range words {
		if i%5 == 0 {
			val = append(val, w)
		}
		if i%4 == 1 {
			test = append(test, w)
		}
	}
	files := map[string]string{"train.yaml": sftYAML, "long.yaml": longYAML, "labels.yaml": labelsYAML}
	for split, part := range map[string][]string{"train": words, "val": val, "test": test} {
		var sft, labels strings.Builder
		for _, w := range part {
			kind := "consonant"
			if strings.ContainsAny(w[:1], "aeiou") {
				kind = "vowel"
			}
			reversed := []byte(w)
			slices.Reverse(reversed)
			fmt.Fprintf(&sft, `{"instruction": "Backwards.", "input": %q, "output": %q, "tags": {"first": %q}}`+"\n", w, reversed, kind)
			fmt.Fprintf(&labels, `{"text": %q, "label": %q, "tags": {"length": "%d"}}`+"\n", w, kind, len(w))
		}
		files["words/"+split+".jsonl"] = sft.String()
		files["labels/"+split+".jsonl"] = labels.String()
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const sftYAML = `task: sft
base_model: builtin:nano
data_paths:
  train: words/train.jsonl
  val: words/val.jsonl
  test: words/test.jsonl
tokenizer:
  vocab_size: 300
lora:
  enabled: false
training:
  num_epochs: 2
  batch_size: 4
  gradient_accumulation_steps: 2
  learning_rate: 3.0e-3
  max_seq_length: 64
  logging_steps: 2
  eval_steps: 0
  save_steps: 0
eval:
  slice_by_tags: [first]
  min_slice: 5
  generation_max_new_tokens: 6
  generation_num_beams: 1
`

// One row a step: the steps are short, and their JSON lines fill any pipe, so
// a run whose reader waits does not end.
const longYAML = `task: sft
base_model: builtin:nano
data_paths:
  train: words/train.jsonl
tokenizer:
  vocab_size: 300
lora:
  enabled: false
training:
  num_epochs: 10
  batch_size: 1
  gradient_accumulation_steps: 1
  learning_rate: 1.0e-3
  max_seq_length: 64
`

const labelsYAML = `task: classification
base_model: builtin:nano
data_paths:
  train: labels/train.jsonl
  val: labels/val.jsonl
  test: labels/test.jsonl
tokenizer:
  vocab_size: 300
lora:
  r: 4
training:
  num_epochs: 2
  batch_size: 4
  gradient_accumulation_steps: 2
  learning_rate: 3.0e-3
  max_seq_length: 64
  logging_steps: 2
eval:
  slice_by_tags: [length]
`
