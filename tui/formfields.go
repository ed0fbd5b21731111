package tui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/config"
)

// fieldKind says how what is typed is read.
type fieldKind int

const (
	scalar fieldKind = iota // as a YAML file would read it
	words                   // always text, also where it looks like a number
	listed                  // several texts, with commas between
)

// field is a line of the form: a key of the config.
type field struct {
	section    string // stands above the first of its fields
	key, label string
	about      string // what it means and what is allowed
	kind       fieldKind
	choices    []string // space goes through them
}

var truths = []string{"true", "false"}

// fields are the keys of a train.yaml; the folder of the runs is that of the
// workbench.
var fields = []field{
	{"what", "name", "name", "how the run is called in tables; empty: by its id", words, nil},
	{"what", "task", "task", "sft: answer instructions; classification: choose a label", words, []string{"sft", "classification"}},
	{"what", "base_model", "base model", "builtin:nano or builtin:micro (from random weights), a local Hugging Face folder, or the folder of a run", words, nil},
	{"data", "data_paths.train", "train", "JSON lines to train on", words, nil},
	{"data", "data_paths.val", "validation", "JSON lines whose loss is watched; empty: none", words, nil},
	{"data", "data_paths.test", "test", "JSON lines that the trained model is evaluated on; empty: no evaluation", words, nil},
	{"data", "dataset_version", "version", "ID@VERSION of a data set, in place of the paths above", words, nil},
	{"training", "training.num_epochs", "epochs", "passes over the training data, at least 1", scalar, nil},
	{"training", "training.batch_size", "batch size", "rows of a forward pass, at least 1", scalar, nil},
	{"training", "training.gradient_accumulation_steps", "accumulation", "batches of an optimiser step, at least 1", scalar, nil},
	{"training", "training.learning_rate", "learning rate", "the peak, above 0", scalar, nil},
	{"training", "training.lr_scheduler", "schedule", "how the learning rate falls after the warmup", words, []string{"cosine", "linear", "constant"}},
	{"training", "training.warmup_ratio", "warmup", "share of the steps in which the learning rate rises, 0 to 1", scalar, nil},
	{"training", "training.weight_decay", "weight decay", "0 or more; none on norms", scalar, nil},
	{"training", "training.max_grad_norm", "clip gradient", "norm that gradients are clipped to; 0 switches it off", scalar, nil},
	{"training", "training.max_seq_length", "max tokens", "longer rows lose their end, with a warning", scalar, nil},
	{"training", "training.eval_steps", "eval every", "steps between evaluations; 0: at the end of every epoch", scalar, nil},
	{"training", "training.save_steps", "save every", "steps between checkpoints; 0: at the end of every epoch", scalar, nil},
	{"training", "training.logging_steps", "log every", "steps between lines of the log, at least 1", scalar, nil},
	{"training", "training.save_total_limit", "checkpoints", "how many are kept besides the best; 0: all", scalar, nil},
	{"adapter", "lora.enabled", "lora", "true trains a small adapter, false every weight", scalar, truths},
	{"adapter", "lora.r", "rank", "at least 1", scalar, nil},
	{"adapter", "lora.alpha", "alpha", "scale of the adapter, at least 1", scalar, nil},
	{"adapter", "lora.dropout", "dropout", "0 or more, under 1", scalar, nil},
	{"adapter", "lora.target_modules", "modules", "auto (q_proj and v_proj) or names with commas between", listed, nil},
	{"adapter", "lora.quantization", "quantization", "how the frozen weights are held", words, []string{"none", "8bit", "4bit"}},
	{"evaluation", "eval.enabled", "evaluate", "answer the test data when training is over", scalar, truths},
	{"evaluation", "eval.metrics", "metrics", "names with commas between; empty: those of the task", listed, nil},
	{"evaluation", "eval.slice_by_tags", "slice by", "tag keys with commas between; a*b crosses two", listed, nil},
	{"evaluation", "eval.hard_examples", "hard examples", "how many are kept; 0 writes none", scalar, nil},
	{"evaluation", "eval.batch_size", "batch size", "examples answered together, at least 1", scalar, nil},
	{"evaluation", "eval.generation_max_new_tokens", "max answer", "tokens of an answer at most", scalar, nil},
	{"evaluation", "eval.generation_num_beams", "beams", "1 is greedy", scalar, nil},
	{"evaluation", "eval.gold_set", "gold set", "JSON lines that gold_set_accuracy is measured on", words, nil},
	{"machine", "compute.device", "device", "auto takes cuda, then mps, then cpu", words, []string{"auto", "cpu", "cuda", "mps"}},
	{"machine", "tokenizer.vocab_size", "vocabulary", "tokens that a built-in model learns, at least 260", scalar, nil},
	{"machine", "output.save_adapter_only", "adapter only", "false also writes the merged model", scalar, truths},
	{"machine", "seed", "seed", "the same seed, data and config give the same bytes", scalar, nil},
}

// defaults are the values of the keys that nobody set.
var defaults = flatten(config.Default())

// flatten returns the values of a config by their dotted keys.
func flatten(c *config.Config) map[string]any {
	out := map[string]any{}
	var add func(prefix string, m map[string]any)
	add = func(prefix string, m map[string]any) {
		for k, v := range m {
			if inner, ok := v.(map[string]any); ok {
				add(prefix+k+".", inner)
				continue
			}
			out[prefix+k] = v
		}
	}
	add("", c.Map())
	// Map leaves out what only this program knows where it has its default.
	out["tokenizer.vocab_size"] = c.Tokenizer.VocabSize
	return out
}

// show writes a value of the config.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = fmt.Sprint(v[i])
		}
		return strings.Join(parts, ", ")
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}

// read gives what was typed the type that the key has in a file.
func (f *field) read(s string) any {
	s = strings.TrimSpace(s)
	switch {
	case s == "" || s == "null":
		return nil
	case f.kind == words:
		return s
	case f.kind == listed:
		if s == "auto" {
			return s
		}
		out := []any{}
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
		return out
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil {
		return x
	}
	if b, err := strconv.ParseBool(s); err == nil && len(s) > 1 {
		return b
	}
	return s
}

// next is the choice after a value, in a circle.
func (f *field) next(value string) string {
	return f.choices[(slices.Index(f.choices, value)+1)%len(f.choices)]
}

// plain says what a key is when nobody sets it.
func (f *field) plain() string {
	if v := show(defaults[f.key]); v != "" {
		return v
	}
	return "none"
}
