package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dlclark/regexp2"

	"github.com/verifily/verifily-tui/core/metrics"
)

// fields is every key, in the order in which configs are written.
var fields = []field{
	textField("task", func(c *Config) *string { return &c.Task },
		required(oneOf(metrics.Tasks()...), "write sft or classification")),
	textField("base_model", func(c *Config) *string { return &c.BaseModel },
		required(oneLine, "a local folder, an earlier run or a built-in model such as builtin:nano")),
	optionalTextField("dataset_version", func(c *Config) **string { return &c.DatasetVersion }, datasetVersion),

	optionalTextField("data_paths.train", func(c *Config) **string { return &c.DataPaths.Train }, oneLine),
	optionalTextField("data_paths.val", func(c *Config) **string { return &c.DataPaths.Val }, oneLine),
	optionalTextField("data_paths.test", func(c *Config) **string { return &c.DataPaths.Test }, oneLine),

	intField("training.num_epochs", func(c *Config) *int { return &c.Training.NumEpochs }, 1),
	intField("training.batch_size", func(c *Config) *int { return &c.Training.BatchSize }, 1),
	intField("training.gradient_accumulation_steps",
		func(c *Config) *int { return &c.Training.GradientAccumulationSteps }, 1),
	floatField("training.learning_rate", func(c *Config) *float64 { return &c.Training.LearningRate }, above(0)),
	textField("training.lr_scheduler", func(c *Config) *string { return &c.Training.LRScheduler },
		oneOf("linear", "cosine", "constant")),
	floatField("training.warmup_ratio", func(c *Config) *float64 { return &c.Training.WarmupRatio }, between(0, 1)),
	floatField("training.weight_decay", func(c *Config) *float64 { return &c.Training.WeightDecay }, atLeast(0)),
	floatField("training.max_grad_norm", func(c *Config) *float64 { return &c.Training.MaxGradNorm }, atLeast(0)),
	intField("training.max_seq_length", func(c *Config) *int { return &c.Training.MaxSeqLength }, 2),
	intField("training.eval_steps", func(c *Config) *int { return &c.Training.EvalSteps }, 0),
	intField("training.save_steps", func(c *Config) *int { return &c.Training.SaveSteps }, 0),
	intField("training.logging_steps", func(c *Config) *int { return &c.Training.LoggingSteps }, 1),
	intField("training.save_total_limit", func(c *Config) *int { return &c.Training.SaveTotalLimit }, 0),

	boolField("lora.enabled", func(c *Config) *bool { return &c.LoRA.Enabled }),
	intField("lora.r", func(c *Config) *int { return &c.LoRA.R }, 1),
	intField("lora.alpha", func(c *Config) *int { return &c.LoRA.Alpha }, 1),
	floatField("lora.dropout", func(c *Config) *float64 { return &c.LoRA.Dropout }, share),
	targetModules,
	textField("lora.quantization", func(c *Config) *string { return &c.LoRA.Quantization },
		oneOf("none", "4bit", "8bit")),
	textField("lora.bnb_4bit_compute_dtype", func(c *Config) *string { return &c.LoRA.BNB4bitComputeDtype },
		oneOf("bfloat16", "float16", "float32")),

	textField("compute.mode", func(c *Config) *string { return &c.Compute.Mode }, oneOf("local", modeManaged)),
	textField("compute.device", func(c *Config) *string { return &c.Compute.Device }, device),
	boolField("compute.fp16", func(c *Config) *bool { return &c.Compute.FP16 }),
	boolField("compute.bf16", func(c *Config) *bool { return &c.Compute.BF16 }),
	boolField("compute.distributed", func(c *Config) *bool { return &c.Compute.Distributed }),
	optionalIntField("compute.num_gpus", func(c *Config) **int { return &c.Compute.NumGPUs }, 1),

	boolField("eval.enabled", func(c *Config) *bool { return &c.Eval.Enabled }),
	notEmpty(listField("eval.metrics", func(c *Config) *[]string { return &c.Eval.Metrics }, oneLine),
		func(c *Config) []string { return c.Eval.Metrics }),
	optionalTextField("eval.gold_set", func(c *Config) **string { return &c.Eval.GoldSet }, oneLine),
	listField("eval.slice_by_tags", func(c *Config) *[]string { return &c.Eval.SliceByTags }, sliceKey),
	intField("eval.hard_examples", func(c *Config) *int { return &c.Eval.HardExamples }, 0),
	intField("eval.batch_size", func(c *Config) *int { return &c.Eval.BatchSize }, 1),
	intField("eval.generation_max_new_tokens",
		func(c *Config) *int { return &c.Eval.GenerationMaxNewTokens }, 1),
	intField("eval.generation_num_beams", func(c *Config) *int { return &c.Eval.GenerationNumBeams }, 1),
	ours(intField("eval.min_slice", func(c *Config) *int { return &c.Eval.MinSlice }, 0)),
	ours(formatRules),

	textField("output.dir", func(c *Config) *string { return &c.Output.Dir }, oneLine),
	boolField("output.save_adapter_only", func(c *Config) *bool { return &c.Output.SaveAdapterOnly }),
	boolField("output.push_to_hub", func(c *Config) *bool { return &c.Output.PushToHub }),

	ours(intField("tokenizer.vocab_size", func(c *Config) *int { return &c.Tokenizer.VocabSize }, 260)),
	ours(optionalTextField("tokenizer.split", func(c *Config) **string { return &c.Tokenizer.Split }, splitPattern)),

	int64Field("seed", func(c *Config) *int64 { return &c.Seed }),
	optionalTextField("name", func(c *Config) **string { return &c.Name }, oneLine),
}

const modeManaged = "managed"

var (
	fieldOf  = map[string]*field{} // by dotted key
	keys     []string              // dotted, in order
	sections []string              // data_paths, training, ...
)

func init() {
	for i := range fields {
		f := &fields[i]
		fieldOf[f.key] = f
		keys = append(keys, f.key)
		if section, _, nested := strings.Cut(f.key, "."); nested && !slices.Contains(sections, section) {
			sections = append(sections, section)
		}
	}
}

// Keys lists the keys of a train.yaml, dotted, in order.
func Keys() []string { return slices.Clone(keys) }

func ours(f field) field {
	f.extra = true
	return f
}

// required turns an empty text into the message that the key is missing.
func required(says func(string) []flaw, hint string) func(string) []flaw {
	return func(s string) []flaw {
		if s == "" {
			return []flaw{{reason: "is required", hint: hint}}
		}
		return says(s)
	}
}

func notEmpty(f field, items func(*Config) []string) field {
	check := f.check
	f.check = func(c *Config) []flaw {
		if l := items(c); l != nil && len(l) == 0 {
			return []flaw{{reason: "must not be an empty list",
				hint: "leave it out for the metrics of the task, or set eval.enabled: false"}}
		}
		return check(c)
	}
	return f
}

func datasetVersion(s string) []flaw {
	if bad := oneLine(s); bad != nil {
		return bad
	}
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 {
		return []flaw{{reason: "must be ID@VERSION, not " + quoted(s), hint: "for example support-tickets@v3"}}
	}
	return nil
}

var devicePattern = regexp.MustCompile(`^(auto|cpu|mps|cuda(:(0|[1-9][0-9]{0,3}))?)$`)

func device(s string) []flaw {
	if devicePattern.MatchString(s) {
		return nil
	}
	return flawf("must be auto, cpu, cuda, cuda:N or mps, not %s", quoted(s))
}

func sliceKey(s string) []flaw {
	if bad := oneLine(s); bad != nil {
		return bad
	}
	if slices.Contains(strings.Split(s, "*"), "") {
		return flawf("must be a tag key, or keys joined by *, not %s", quoted(s))
	}
	return nil
}

func splitPattern(s string) []flaw {
	switch {
	case s == "":
		return flawf("must not be empty")
	case !utf8.ValidString(s):
		return flawf("is not valid UTF-8")
	}
	if _, err := regexp2.Compile(s, regexp2.None); err != nil {
		return flawf("does not compile: %s", printable(err.Error()))
	}
	return nil
}

var targetModules = field{
	key: "lora.target_modules",
	set: func(c *Config, v value) []flaw {
		if v.kind == text && v.text == "auto" {
			c.LoRA.TargetModules = nil
			return nil
		}
		if v.kind != list {
			bad := flawf("must be auto or a list of module names, not %s", v.describe())
			if v.kind == text {
				_, wrong := v.strings()
				bad[0].hint = wrong[0].hint
			}
			return bad
		}
		items, bad := v.strings()
		if len(v.list) == 0 {
			bad = []flaw{{reason: "must not be an empty list", hint: "write auto"}}
		}
		if bad == nil {
			c.LoRA.TargetModules = items
		}
		return bad
	},
	get: func(c *Config) any {
		if c.LoRA.TargetModules.Auto() {
			return "auto"
		}
		return anyList(c.LoRA.TargetModules)
	},
	check: func(c *Config) []flaw { return checkItems(c.LoRA.TargetModules, oneLine) },
}
