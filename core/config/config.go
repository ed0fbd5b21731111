// Package config reads, checks and hashes train.yaml.
//
// A Config that Load, Parse or FromMap returned is complete (every key has its
// value or its default) and valid. What is wrong is reported at once: one
// *fault.ConfigError lists every problem with its line, its dotted key and a
// hint. Values given by flags or API arguments win over the file, the file
// wins over the defaults.
//
// Paths are kept as they are written and are relative to the working
// directory, not to the folder of the file, since other tools that read the
// same file treat them so.
package config

import "github.com/verifily/verifily-tui/core/metrics"

// The values of Config.Task.
const (
	TaskSFT            = metrics.TaskSFT
	TaskClassification = metrics.TaskClassification
)

// Config is the full training configuration. Pointers and nil slices stand for
// null in the file.
type Config struct {
	Task           string  // sft or classification
	BaseModel      string  // local folder, earlier run or builtin:NAME
	DatasetVersion *string // ID@VERSION
	DataPaths      DataPaths
	Training       Training
	LoRA           LoRA
	Compute        Compute
	Eval           Eval
	Output         Output
	Tokenizer      Tokenizer
	Seed           int64
	Name           *string
}

// DataPaths names the JSONL files of the splits; they win over DatasetVersion.
type DataPaths struct {
	Train, Val, Test *string
}

// Training holds the settings of the optimisation.
type Training struct {
	NumEpochs                 int
	BatchSize                 int     // sequences a forward pass
	GradientAccumulationSteps int     // batches an optimiser step
	LearningRate              float64 // the peak, above 0
	LRScheduler               string  // linear, cosine or constant
	WarmupRatio               float64 // share of all steps, 0 to 1
	WeightDecay               float64 // 0 or more
	MaxGradNorm               float64 // global norm; 0 switches clipping off
	MaxSeqLength              int     // tokens, at least 2
	EvalSteps                 int     // optimiser steps between evaluations; 0: at the end of every epoch
	SaveSteps                 int     // optimiser steps between checkpoints; 0: at the end of every epoch
	LoggingSteps              int     // optimiser steps between lines of the log
	SaveTotalLimit            int     // checkpoints kept; 0 keeps all
}

// LoRA holds the settings of the low-rank adapters.
type LoRA struct {
	Enabled             bool // false trains every weight
	R                   int
	Alpha               int
	Dropout             float64       // 0 or more, under 1
	TargetModules       TargetModules // nil: auto
	Quantization        string        // none, 4bit or 8bit
	BNB4bitComputeDtype string        // bfloat16, float16 or float32
}

// TargetModules lists the modules that get an adapter. An empty list is
// "auto": the engine takes the usual ones of the model family.
type TargetModules []string

// Auto says whether the engine chooses the modules.
func (m TargetModules) Auto() bool { return len(m) == 0 }

// Compute says where and with which arithmetic to train.
type Compute struct {
	Mode        string // local; managed ends in ErrManaged
	Device      string // auto, cpu, cuda, cuda:N or mps
	FP16, BF16  bool   // at most one of them
	Distributed bool
	NumGPUs     *int
}

// Eval holds the settings of the evaluation.
type Eval struct {
	Enabled                bool
	Metrics                []string // nil: the default of the task, see MetricNames
	GoldSet                *string  // JSONL file that gold_set_accuracy is measured on
	SliceByTags            []string // tag keys; a*b crosses two of them
	HardExamples           int      // 0 writes none
	BatchSize              int
	GenerationMaxNewTokens int
	GenerationNumBeams     int
	MinSlice               int                  // rows under which a slice is marked as too few
	FormatRules            []metrics.FormatRule // what format_compliance checks
}

// MetricNames lists the metrics to compute: those asked for, or the default of
// the task.
func (c *Config) MetricNames() []string {
	if c.Eval.Metrics != nil {
		return c.Eval.Metrics
	}
	return DefaultMetrics(c.Task)
}

// DefaultMetrics lists the metrics of a task when eval.metrics is null.
func DefaultMetrics(task string) []string { return metrics.Defaults(task) }

// Output says where runs are written and what they keep.
type Output struct {
	Dir             string
	SaveAdapterOnly bool
	PushToHub       bool
}

// Tokenizer holds the settings of tokenizers learned for builtin models.
type Tokenizer struct {
	VocabSize int     // tokens, at least 260: the 256 bytes and four special ones
	Split     *string // regular expression (regexp2) that cuts text into words; nil: the built-in one
}

// Default returns a config with every default. Task, BaseModel and the data
// have none, so it is not valid as it stands.
func Default() *Config {
	return &Config{
		Training: Training{
			NumEpochs:                 3,
			BatchSize:                 8,
			GradientAccumulationSteps: 4,
			LearningRate:              2e-4,
			LRScheduler:               "cosine",
			WarmupRatio:               0.03,
			WeightDecay:               0.01,
			MaxGradNorm:               1.0,
			MaxSeqLength:              2048,
			EvalSteps:                 500,
			SaveSteps:                 500,
			LoggingSteps:              10,
			SaveTotalLimit:            2,
		},
		LoRA: LoRA{
			Enabled:             true,
			R:                   16,
			Alpha:               32,
			Dropout:             0.05,
			Quantization:        "none",
			BNB4bitComputeDtype: "bfloat16",
		},
		Compute: Compute{Mode: "local", Device: "auto", BF16: true},
		Eval: Eval{
			Enabled:                true,
			HardExamples:           50,
			BatchSize:              16,
			GenerationMaxNewTokens: 128,
			GenerationNumBeams:     4,
			MinSlice:               30,
		},
		Output:    Output{Dir: "runs/", SaveAdapterOnly: true},
		Tokenizer: Tokenizer{VocabSize: 4096},
		Seed:      42,
	}
}
