package native

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
)

func TestMemAvailable(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  int64
		known bool
	}{
		{"MemTotal: 16 kB\nMemFree:  1 kB\nMemAvailable:   12 kB\nBuffers: 3 kB\n", 12 << 10, true},
		{"MemAvailable: 0 kB", 0, true},
		{"MemTotal: 16 kB\n", 0, false},
		{"MemAvailable: 12 MB\n", 0, false},
		{"MemAvailable: -12 kB\n", 0, false},
		{"MemAvailable: many kB\n", 0, false},
		{"MemAvailable:", 0, false},
		{"", 0, false},
		{"MemAvailable: 9223372036854775807 kB\n", 0, false},
	} {
		got, known := memAvailable([]byte(c.text))
		assert.Equal(t, c.want, got, c.text)
		assert.Equal(t, c.known, known, c.text)
	}
	require.NoError(t, checkMemory("nothing", 0, ""))
}

// TestCheckGeneration: numbers that no response can be made with.
func TestCheckGeneration(t *testing.T) {
	arch := tinyArch(true) // 13 tokens, 64 positions, 2 layers, keys and values of 4
	large := arch
	large.MaxPositions, large.VocabSize, large.Layers, large.KVHeads = 1<<24, 1<<24, 1<<10, 1<<10
	for _, c := range []struct {
		name                       string
		arch                       Arch
		maxNew, beams, batch, rows int
		message, hint              string
	}{
		{"usual", arch, 8, 4, 8, 100, "", ""},
		{"the most", arch, 63, 13, 8, 100, "", ""},
		{"no room for a prompt", arch, 64, 1, 8, 100, "eval.generation_max_new_tokens is 64, the model has 64 positions", "lower it"},
		{"more beams than tokens", arch, 8, 14, 8, 100, "eval.generation_num_beams is 14, the model has 13 tokens", "greedy"},
		{"a large batch of few rows", arch, 8, 4, math.MaxInt32, 3, "", ""},
		{"a large batch", arch, 63, 13, math.MaxInt32, math.MaxInt32, "above the limit of 16", "eval.batch_size"},
		{"past all integers", large, 1<<24 - 1, 1 << 24, math.MaxInt32, math.MaxInt32, "above the limit of 16", "eval.batch_size"},
	} {
		e := config.Eval{GenerationMaxNewTokens: c.maxNew, GenerationNumBeams: c.beams, BatchSize: c.batch}
		err := checkGeneration(&e, &c.arch, c.rows)
		if c.message == "" {
			assert.NoError(t, err, c.name)
			continue
		}
		var bad *fault.ConfigError
		require.ErrorAs(t, err, &bad, c.name)
		assert.Contains(t, bad.Reason, c.message, c.name)
		assert.Contains(t, bad.Hint, c.hint, c.name)
	}
}

func TestPromptBatches(t *testing.T) {
	of := func(lengths ...int) (prompts [][]int32) {
		for _, n := range lengths {
			prompts = append(prompts, make([]int32, n))
		}
		return prompts
	}
	for _, c := range []struct {
		prompts [][]int32
		size    int
		want    []int
	}{
		{of(1, 1, 1, 1, 1), 2, []int{2, 2, 1}},
		{of(1, 1, 1, 1), 2, []int{2, 2}},
		{of(1, 1), math.MaxInt, []int{2}},
		{of(maxPromptRows-1, 1, 1), 9, []int{2, 1}},
		{of(1, maxPromptRows+7, 1), 9, []int{1, 1, 1}},
		{of(5), 1, []int{1}},
	} {
		var sizes []int
		for _, b := range promptBatches(c.prompts, c.size) {
			sizes = append(sizes, len(b))
		}
		assert.Equal(t, c.want, sizes)
	}
}
