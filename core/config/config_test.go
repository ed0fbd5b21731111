package config_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/metrics"
)

// smallest is the least that makes a config.
const smallest = "task: sft\nbase_model: builtin:nano\ndata_paths:\n  train: train.jsonl\n"

func parse(t *testing.T, text string, overrides ...config.Override) *config.Config {
	t.Helper()
	c, err := config.Parse("train.yaml", []byte(text), overrides...)
	require.NoError(t, err)
	return c
}

func ptr[T any](v T) *T { return &v }

func TestDefaultsFillWhatTheFileLeavesOut(t *testing.T) {
	want := config.Default()
	want.Task, want.BaseModel, want.DataPaths.Train = "sft", "builtin:nano", ptr("train.jsonl")
	assert.Equal(t, want, parse(t, smallest))
}

func TestEveryKeyIsRead(t *testing.T) {
	c := parse(t, `
task: classification
base_model: ./models/base
dataset_version: tickets@v3
data_paths: {train: a.jsonl, val: b.jsonl, test: c.jsonl}
training:
  num_epochs: 1
  batch_size: 2
  gradient_accumulation_steps: 3
  learning_rate: 1e-5
  lr_scheduler: linear
  warmup_ratio: 0
  weight_decay: .5
  max_grad_norm: 2
  max_seq_length: 1_024
  eval_steps: 0
  save_steps: 7
  logging_steps: 8
  save_total_limit: 0
lora:
  enabled: True
  r: 4
  alpha: 5
  dropout: 0.25
  target_modules: [q_proj, up_proj]
  quantization: 8bit
  bnb_4bit_compute_dtype: float16
compute: {mode: local, device: "cuda:1", fp16: true, bf16: false, distributed: true, num_gpus: 2}
eval:
  enabled: false
  metrics: [accuracy, weighted_f1]
  gold_set: gold.jsonl
  slice_by_tags: [source, source*length]
  hard_examples: 0
  batch_size: 3
  generation_max_new_tokens: 9
  generation_num_beams: 1
  min_slice: 5
  format_rules:
    - {name: json, pattern: '^\{'}
    - name: no apology
      pattern: (?i)sorry
      invert: true
    - name: short
      max_tokens: 64
output: {dir: out, save_adapter_only: false, push_to_hub: true}
tokenizer: {vocab_size: 300, split: '\p{L}+|\s+(?!\S)'}
seed: -9223372036854775808
name: 2026-01-31
`)
	assert.Equal(t, &config.Config{
		Task:           "classification",
		BaseModel:      "./models/base",
		DatasetVersion: ptr("tickets@v3"),
		DataPaths:      config.DataPaths{Train: ptr("a.jsonl"), Val: ptr("b.jsonl"), Test: ptr("c.jsonl")},
		Training: config.Training{
			NumEpochs: 1, BatchSize: 2, GradientAccumulationSteps: 3, LearningRate: 1e-5, LRScheduler: "linear",
			WarmupRatio: 0, WeightDecay: 0.5, MaxGradNorm: 2, MaxSeqLength: 1024,
			EvalSteps: 0, SaveSteps: 7, LoggingSteps: 8, SaveTotalLimit: 0,
		},
		LoRA: config.LoRA{
			Enabled: true, R: 4, Alpha: 5, Dropout: 0.25, TargetModules: config.TargetModules{"q_proj", "up_proj"},
			Quantization: "8bit", BNB4bitComputeDtype: "float16",
		},
		Compute: config.Compute{Mode: "local", Device: "cuda:1", FP16: true, Distributed: true, NumGPUs: ptr(2)},
		Eval: config.Eval{
			Metrics: []string{"accuracy", "weighted_f1"}, GoldSet: ptr("gold.jsonl"),
			SliceByTags: []string{"source", "source*length"}, BatchSize: 3,
			GenerationMaxNewTokens: 9, GenerationNumBeams: 1, MinSlice: 5,
			FormatRules: []metrics.FormatRule{
				{Name: "json", Pattern: `^\{`},
				{Name: "no apology", Pattern: "(?i)sorry", Invert: true},
				{Name: "short", MaxTokens: 64},
			},
		},
		Output:    config.Output{Dir: "out", PushToHub: true},
		Tokenizer: config.Tokenizer{VocabSize: 300, Split: ptr(`\p{L}+|\s+(?!\S)`)},
		Seed:      -9223372036854775808,
		Name:      ptr("2026-01-31"),
	}, c)
}

func TestEmptySectionsAndNullsMeanDefaults(t *testing.T) {
	c := parse(t, smallest+"training:\nlora: {}\neval:\n  metrics: null\n  slice_by_tags: ~\nname:\n")
	assert.Equal(t, parse(t, smallest), c)
}

func TestOverridesWinOverTheFile(t *testing.T) {
	c := parse(t, smallest+"training:\n  num_epochs: 9\n  learning_rate: much\nname: from file\n",
		config.Override{Key: "training.learning_rate", Value: 1, Source: "--lr"},
		config.Override{Key: "training.num_epochs", Value: 5, Source: "--epochs"},
		config.Override{Key: "training.num_epochs", Value: 6, Source: "--epochs"},
		config.Override{Key: "data_paths", Value: map[string]any{"test": "t.jsonl"}},
		config.Override{Key: "lora.target_modules", Value: []string{"k_proj"}},
		config.Override{Key: "name", Value: nil},
	)
	assert.Equal(t, 1.0, c.Training.LearningRate)
	assert.Equal(t, 6, c.Training.NumEpochs)
	assert.Equal(t, ptr("train.jsonl"), c.DataPaths.Train)
	assert.Equal(t, ptr("t.jsonl"), c.DataPaths.Test)
	assert.Equal(t, config.TargetModules{"k_proj"}, c.LoRA.TargetModules)
	assert.Nil(t, c.Name)
}

func TestFromMapTakesDecodedJSON(t *testing.T) {
	body := `{"task": "sft", "base_model": "m", "dataset_version": "d@1", "seed": 7,
		"training": {"num_epochs": 2, "learning_rate": 1, "max_grad_norm": 0.5},
		"eval": {"metrics": ["f1"], "format_rules": [{"name": "short", "max_tokens": 3}]}}`
	for name, decode := range map[string]func(*json.Decoder){
		"float64":     func(*json.Decoder) {},
		"json.Number": (*json.Decoder).UseNumber,
	} {
		t.Run(name, func(t *testing.T) {
			var m map[string]any
			dec := json.NewDecoder(strings.NewReader(body))
			decode(dec)
			require.NoError(t, dec.Decode(&m))
			c, err := config.FromMap(m, config.Override{Key: "lora.r", Value: 3})
			require.NoError(t, err)
			assert.Equal(t, 2, c.Training.NumEpochs)
			assert.Equal(t, 1.0, c.Training.LearningRate)
			assert.Equal(t, 0.5, c.Training.MaxGradNorm)
			assert.Equal(t, int64(7), c.Seed)
			assert.Equal(t, 3, c.LoRA.R)
			assert.Equal(t, []metrics.FormatRule{{Name: "short", MaxTokens: 3}}, c.Eval.FormatRules)
		})
	}
}

// The expected hashes are sha256 over the JSON of the same config as another
// implementation of the format prints it.
func TestHashIsTheOneOtherToolsCompute(t *testing.T) {
	assert.Equal(t, "sha256:e2a9781b6dcc4de0984303126aecb8ab8e2d8b2eee5fad92090bb77db30882bc",
		parse(t, smallest).Hash())
	assert.Equal(t, "sha256:c17dd5a4b7da5f77798f0b2176c859c2bb59b52036d74b1e2f5c6ac144faf2f7",
		parse(t, smallest+"tokenizer: {vocab_size: 512}\ntraining: {max_grad_norm: 0, learning_rate: 1e-5}\n").Hash())
}

func TestHashIgnoresSpellingAndOwnDefaults(t *testing.T) {
	want := parse(t, smallest).Hash()
	for name, text := range map[string]string{
		"whole number for a float": "training: {max_grad_norm: 1}\n",
		"another spelling":         "training: {learning_rate: 0.2e-3, max_seq_length: 2_048}\n",
		"own keys at defaults":     "tokenizer: {vocab_size: 4096, split: null}\neval: {min_slice: 30, format_rules: []}\n",
	} {
		assert.Equal(t, want, parse(t, smallest+text).Hash(), name)
	}
	assert.Equal(t, parse(t, smallest+"training: {weight_decay: 0.0}\n").Hash(),
		parse(t, smallest+"training: {weight_decay: -0.0}\n").Hash())
	assert.NotEqual(t, want, parse(t, smallest+"eval: {min_slice: 31}\n").Hash())
	assert.NotEqual(t, want, parse(t, smallest+"eval: {slice_by_tags: []}\n").Hash())
}

func TestMapKeepsFloatsAndInts(t *testing.T) {
	m := parse(t, smallest+"training: {learning_rate: 1}\n").Map()
	training := m["training"].(map[string]any)
	assert.Equal(t, 1.0, training["learning_rate"])
	assert.Equal(t, 3, training["num_epochs"])
	assert.NotContains(t, m, "tokenizer")
	assert.NotContains(t, m["eval"], "min_slice")
	assert.Contains(t, m["eval"], "gold_set")
}

func TestYAMLIsWrittenInTheOrderOfTheTable(t *testing.T) {
	c := parse(t, smallest+"training: {learning_rate: 1e-5}\nname: 'yes'\neval: {format_rules: [{max_tokens: 3, name: a b}]}\n")
	data, err := c.YAML()
	require.NoError(t, err)
	assert.Equal(t, `task: sft
base_model: builtin:nano
dataset_version: null
data_paths:
  train: train.jsonl
  val: null
  test: null
training:
  num_epochs: 3
  batch_size: 8
  gradient_accumulation_steps: 4
  learning_rate: 1.0e-05
  lr_scheduler: cosine
  warmup_ratio: 0.03
  weight_decay: 0.01
  max_grad_norm: 1.0
  max_seq_length: 2048
  eval_steps: 500
  save_steps: 500
  logging_steps: 10
  save_total_limit: 2
lora:
  enabled: true
  r: 16
  alpha: 32
  dropout: 0.05
  target_modules: auto
  quantization: none
  bnb_4bit_compute_dtype: bfloat16
compute:
  mode: local
  device: auto
  fp16: false
  bf16: true
  distributed: false
  num_gpus: null
eval:
  enabled: true
  metrics: null
  gold_set: null
  slice_by_tags: null
  hard_examples: 50
  batch_size: 16
  generation_max_new_tokens: 128
  generation_num_beams: 4
  format_rules:
    - name: "a b"
      max_tokens: 3
output:
  dir: runs/
  save_adapter_only: true
  push_to_hub: false
seed: 42
name: "yes"
`, string(data))
}

func TestYAMLRefusesAnInvalidConfig(t *testing.T) {
	_, err := config.Default().YAML()
	require.ErrorContains(t, err, "task: is required")
}

func TestSettingsWithoutEffectAreWarnedOf(t *testing.T) {
	load := func(set ...config.Override) *config.Config {
		c, err := config.FromMap(map[string]any{"task": "sft", "base_model": "builtin:nano", "data_paths": map[string]any{"train": "t"}}, set...)
		require.NoError(t, err)
		return c
	}
	off := config.Override{Key: "lora.enabled", Value: false}
	rank := config.Override{Key: "lora.r", Value: 4}
	modules := config.Override{Key: "lora.target_modules", Value: []any{"q_proj"}}
	assert.Empty(t, load(off).Warnings())
	assert.Empty(t, load(rank, modules).Warnings())
	assert.Equal(t, []string{"lora.r, lora.target_modules: no effect while lora.enabled is false"}, load(off, rank, modules).Warnings())
}

func TestDiffNamesTheKeysThatDiffer(t *testing.T) {
	a := parse(t, smallest)
	b := parse(t, smallest+"training: {learning_rate: 1e-3}\nlora: {target_modules: [q_proj]}\neval: {min_slice: 1}\nname: x\n")
	assert.Empty(t, config.Diff(a, parse(t, smallest)))
	assert.Equal(t, []config.Change{
		{Key: "training.learning_rate", A: 2e-4, B: 1e-3},
		{Key: "lora.target_modules", A: "auto", B: []any{"q_proj"}},
		{Key: "eval.min_slice", A: 30, B: 1},
		{Key: "name", A: nil, B: "x"},
	}, config.Diff(a, b))
}

func TestMetricNamesFallBackToTheTask(t *testing.T) {
	c := parse(t, smallest)
	assert.Equal(t, []string{"eval_loss", "perplexity", "f1", "exact_match"}, c.MetricNames())
	c.Task = config.TaskClassification
	assert.Equal(t, []string{"accuracy", "macro_f1", "confusion_matrix"}, c.MetricNames())
	c.Eval.Metrics = []string{"accuracy"}
	assert.Equal(t, []string{"accuracy"}, c.MetricNames())
}

func TestLoadReadsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "train.yaml")
	require.NoError(t, os.WriteFile(path, []byte("\ufeff"+smallest), 0o600))
	c, err := config.Load(path, config.Override{Key: "seed", Value: int64(1)})
	require.NoError(t, err)
	assert.Equal(t, int64(1), c.Seed)
}

func TestManagedModeCanBeTold(t *testing.T) {
	_, err := config.Parse("train.yaml", []byte(smallest+"compute: {mode: managed}\n"))
	assert.True(t, errors.Is(err, config.ErrManaged))
	require.ErrorContains(t, err, "managed mode is not available")
	_, err = config.Parse("train.yaml", []byte(smallest+"compute: {mode: manged}\n"))
	require.Error(t, err)
	assert.False(t, errors.Is(err, config.ErrManaged))
	_, err = config.Parse("train.yaml", []byte(smallest),
		config.Override{Key: "compute.mode", Value: "managed", Source: "--mode"},
		config.Override{Key: "training.num_epochs", Value: 0, Source: "--epochs"})
	assert.True(t, errors.Is(err, config.ErrManaged))
	require.ErrorContains(t, err, "--epochs: must be at least 1")
}
