package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMemoryIsAsPlanned holds the memory that a dry run states against the most
// that the training and its evaluation then have resident, for configurations that
// differ in what takes the memory.
func TestMemoryIsAsPlanned(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "few.jsonl"), randomRows(24, 90), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "many.jsonl"), randomRows(300, 90), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "brief.jsonl"), randomRows(24, 4), 0o644))
	program := filepath.Join(dir, "verifily")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	const (
		none  = "{enabled: false}"
		full  = "{enabled: false}"
		short = "{generation_max_new_tokens: 8, batch_size: 8}"
		beams = "{generation_max_new_tokens: 100, generation_num_beams: 4, batch_size: 12}"
		long  = "{generation_max_new_tokens: 400, batch_size: 12}"
		part  = "{generation_max_new_tokens: 400, batch_size: 20}"
		gold  = "{generation_max_new_tokens: 8, generation_num_beams: 1, batch_size: 24, gold_set: few.jsonl, metrics: [gold_set_accuracy]}"

		few      = "{train: few.jsonl, test: few.jsonl}"
		many     = "{train: many.jsonl, test: many.jsonl}"
		brief    = "{train: brief.jsonl, test: brief.jsonl}"
		validate = "{train: brief.jsonl, val: few.jsonl, test: brief.jsonl}"
	)
	for _, c := range []struct {
		name, data, model string
		vocabulary        int // learned from the data
		lora, eval        string
		workers           string // GOMAXPROCS
	}{
		{"small, all trained", few, "builtin:nano", 4096, full, none, ""},
		{"all trained", few, "builtin:micro", 4096, full, none, ""},
		{"adapters", few, "builtin:micro", 4096, "{r: 16}", none, ""},
		{"adapters of everything", few, "builtin:micro", 4096, "{r: 64, target_modules: [all-linear]}", none, ""},
		{"adapters over 4 bits", few, "builtin:micro", 4096, "{r: 16, quantization: 4bit}", none, ""},
		{"a large vocabulary", many, "builtin:nano", 20000, "{r: 16}", none, ""},
		{"one worker", few, "builtin:micro", 300, full, none, "1"},
		{"one worker, evaluated", few, "builtin:micro", 300, full, short, "1"},
		{"evaluated with beams", few, "builtin:nano", 4096, "{r: 16}", beams, ""},
		{"adapters over 4 bits, evaluated", few, "builtin:micro", 4096, "{r: 16, quantization: 4bit}", short, ""},
		{"a batch that is not full", few, "builtin:nano", 300, "{r: 16}", part, ""},
		{"a gold set", brief, "builtin:nano", 300, full, gold, ""},
		{"long validation rows", validate, "builtin:micro", 300, "{r: 16}", short, ""},
		{"long responses", few, "builtin:micro", 300, "{r: 16}", long, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.workers != "" {
				t.Setenv("GOMAXPROCS", c.workers)
			}
			config := filepath.Join(dir, "train.yaml")
			text := fmt.Sprintf("task: sft\nbase_model: %s\ndata_paths: %s\ntokenizer: {vocab_size: %d}\nlora: %s\n"+
				"training: {num_epochs: 1, batch_size: 12, gradient_accumulation_steps: 1, max_seq_length: 512}\n"+
				"eval: %s\noutput: {dir: runs}\n", c.model, c.data, c.vocabulary, c.lora, c.eval)
			require.NoError(t, os.WriteFile(config, []byte(text), 0o644))
			plan := exec.Command(program, "train", "--config", config, "--dry-run", "--json")
			plan.Dir = dir
			stated, err := plan.Output()
			require.NoError(t, err)
			var event struct {
				Memory int64 `json:"estimated_memory_bytes"`
			}
			first, _, _ := strings.Cut(string(stated), "\n")
			require.NoError(t, json.Unmarshal([]byte(first), &event))

			// The figure of the kernel starts with what the parent has resident, so a
			// small program stands between.
			train := exec.Command("sh", "-c", program+" train --config train.yaml --json >/dev/null")
			train.Dir = dir
			out, err := train.CombinedOutput()
			require.NoError(t, err, string(out))
			measured := train.ProcessState.SysUsage().(*syscall.Rusage).Maxrss * 1024
			t.Logf("stated %d MB, measured %d MB", event.Memory/1e6, measured/1e6)
			assert.InEpsilon(t, measured, event.Memory, 0.15)
		})
	}
}

// randomRows are sft rows of so many random words.
func randomRows(n, words int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for range n {
		var text []string
		for range words {
			word := make([]byte, 3+rng.IntN(6))
			for i := range word {
				word[i] = byte('a' + rng.IntN(26))
			}
			text = append(text, string(word))
		}
		fmt.Fprintf(&b, `{"instruction": "Say it again.", "input": %q, "output": %q}`+"\n", strings.Join(text[:words/2], " "), strings.Join(text, " "))
	}
	return []byte(b.String())
}
