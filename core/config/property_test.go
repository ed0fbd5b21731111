package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
)

func optional[T any](g *rapid.Generator[T]) *rapid.Generator[*T] {
	return rapid.Custom(func(t *rapid.T) *T {
		if rapid.Bool().Draw(t, "null") {
			return nil
		}
		v := g.Draw(t, "value")
		return &v
	})
}

// anyConfig draws configs over the whole range of every key.
func anyConfig(t *rapid.T) *config.Config {
	line := rapid.OneOf(
		rapid.StringMatching(`[^\pC]{1,20}`),
		rapid.SampledFrom([]string{"yes", "null", "~", "1", "1e5", "0x1", "a: b", "- a", "#x", " x ", "'", `"`, "2026-01-31",
			"\u00a0", "\u2028", "\u200b", "\U0001f600", "<<", "1:30", "=", "!!int", "&a", "*a", "%", "@", "`"}),
	)
	count := rapid.IntRange(2, 1<<31-1)
	positive := rapid.Float64Range(1e-300, 1e300)
	lines := rapid.SliceOfNDistinct(line, 1, 3, rapid.ID[string])
	c := config.Default()
	c.Task = rapid.SampledFrom([]string{"sft", "classification"}).Draw(t, "task")
	c.BaseModel = line.Draw(t, "base_model")
	c.DatasetVersion = optional(rapid.Map(line, func(s string) string { return "a" + s + "@1" })).Draw(t, "dataset_version")
	c.DataPaths.Train = ptr(line.Draw(t, "train"))
	c.DataPaths.Test = optional(line).Draw(t, "test")
	c.Training.BatchSize = count.Draw(t, "batch_size")
	c.Training.LearningRate = positive.Draw(t, "learning_rate")
	c.Training.WeightDecay = rapid.SampledFrom([]float64{0, 1, 1e16, 1e22, 0.1, 1e-5}).Draw(t, "weight_decay")
	c.Training.EvalSteps = rapid.IntRange(0, 9).Draw(t, "eval_steps")
	c.LoRA.Enabled = rapid.Bool().Draw(t, "lora")
	if rapid.Bool().Draw(t, "modules") {
		c.LoRA.TargetModules = lines.Draw(t, "target_modules")
	}
	c.Compute.NumGPUs = optional(count).Draw(t, "num_gpus")
	if rapid.Bool().Draw(t, "metrics") {
		c.Eval.Metrics = []string{metrics.Defaults(c.Task)[0]}
	}
	if rapid.Bool().Draw(t, "slices") {
		c.Eval.SliceByTags = rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z "']{1,9}(\*[0-9]{1,3})?`), 0, 3, rapid.ID[string]).Draw(t, "slice_by_tags")
	}
	c.Eval.MinSlice = rapid.IntRange(0, 40).Draw(t, "min_slice")
	for i := range rapid.IntRange(0, 3).Draw(t, "rules") {
		r := metrics.FormatRule{Name: string(rune('a' + i)), MaxTokens: 7}
		if rapid.Bool().Draw(t, "pattern rule") {
			r = metrics.FormatRule{Name: r.Name, Invert: rapid.Bool().Draw(t, "invert"),
				Pattern: rapid.SampledFrom([]string{"a", "\n\t a\r\n", " \x00", "^\\{\\s*", "\ufeff\u0085\U0001f600", "\n", "|\n\n  x"}).Draw(t, "pattern")}
		}
		c.Eval.FormatRules = append(c.Eval.FormatRules, r)
	}
	c.Tokenizer.VocabSize = rapid.IntRange(260, 1<<20).Draw(t, "vocab_size")
	c.Tokenizer.Split = optional(rapid.SampledFrom([]string{`\p{L}+`, " ", "\n\r", "\x1b"})).Draw(t, "split")
	c.Seed = rapid.Int64().Draw(t, "seed")
	c.Name = optional(line).Draw(t, "name")
	return c
}

func TestYAMLAndMapReadBackAsTheSameConfig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyConfig(t)
		require.NoError(t, c.Validate())
		data, err := c.YAML()
		require.NoError(t, err)
		fromYAML, err := config.Parse("config.yaml", data)
		require.NoError(t, err, "%s", data)
		require.Equal(t, c, fromYAML, "%s", data)
		require.Equal(t, c.Hash(), fromYAML.Hash())
		require.Empty(t, config.Diff(c, fromYAML))

		fromMap, err := config.FromMap(c.Map())
		require.NoError(t, err)
		require.Equal(t, c, fromMap)
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", smallest, "task: [", "\ufefftask: sft", "a: &a [*a]\n<<: *a", "training: {learning_rate: 2e-4, num_epochs: 1_0}",
		smallest + "eval: {metrics: [f1], format_rules: [{name: a, pattern: '(?<x>a)\\k<x>'}]}\ntokenizer: {split: '(?=a)'}\n",
		smallest + "name: \"\\u0085\\ud83d\"\n", "? a\n: b\n", "task: sft\n---\ntask: sft\n", "%YAML 1.1\n---\n{}", "!!map {a: !!str b}",
		smallest + "training:\n  learning_rate: .5\n  weight_decay: -0.0\nseed: +5\nname: |\n  a\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("t.yaml", data)
		if err != nil {
			var configErr *fault.ConfigError
			require.ErrorAs(t, err, &configErr)
			require.NotEmpty(t, configErr.Problems)
			for _, p := range configErr.Problems {
				require.NotEmpty(t, p.Reason)
				for _, r := range p.String() {
					require.True(t, r >= ' ' && r != 0x7f, "control character in %q", p.String())
				}
			}
			return
		}
		written, err := c.YAML()
		require.NoError(t, err)
		again, err := config.Parse("config.yaml", written)
		require.NoError(t, err, "%s", written)
		require.Equal(t, c, again)
		require.Equal(t, c.Hash(), again.Hash())
	})
}

func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), "train.yaml")
	require.NoError(b, os.WriteFile(path, []byte(smallest), 0o600))
	for b.Loop() {
		if _, err := config.Load(path); err != nil {
			b.Fatal(err)
		}
	}
}
