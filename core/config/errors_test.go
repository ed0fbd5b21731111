package config_test

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
)

// problems returns what a ConfigError lists, one string a problem.
func problems(t *testing.T, err error) []string {
	t.Helper()
	var configErr *fault.ConfigError
	require.ErrorAs(t, err, &configErr)
	var out []string
	for _, p := range configErr.Problems {
		out = append(out, p.String())
	}
	return out
}

func TestEveryProblemOfAFileIsListedAtOnce(t *testing.T) {
	_, err := config.Parse("train.yaml", []byte(`task: sft
learning_rate: 1e-4
training:
  num_epochs: "3"
  batch_size: 0
  lerning_rate: 1e-4
  warmup_ratio: 1.5
lora:
  r: 3.5
  dropout: 1
  dropout: 0.1
compute:
  fp16: yes
`), config.Override{Key: "training.eval_steps", Value: -1, Source: "--eval-steps"},
		config.Override{Key: "sed", Value: 1, Source: "--set sed"})
	assert.Equal(t, []string{
		"train.yaml:2: learning_rate: unknown key (did you mean training.learning_rate?)",
		`train.yaml:4: training.num_epochs: must be a whole number, not the text "3" (write it without quotes: 3)`,
		"train.yaml:5: training.batch_size: must be at least 1, not 0",
		"train.yaml:6: training.lerning_rate: unknown key (did you mean training.learning_rate?)",
		"train.yaml:7: training.warmup_ratio: must be between 0 and 1, not 1.5",
		"train.yaml:9: lora.r: must be a whole number, not 3.5",
		"train.yaml:10: lora.dropout: must be at least 0 and less than 1, not 1",
		"train.yaml:11: lora.dropout: is set twice, first on line 10 (keep one of them)",
		`train.yaml:13: compute.fp16: must be true or false, not the text "yes" (write true)`,
		"--set sed: unknown key (did you mean seed?)",
		"train.yaml: base_model: is required (a local folder, an earlier run or a built-in model such as builtin:nano)",
		"--eval-steps: must be at least 0, not -1",
		"train.yaml: data_paths.train: is required when there is no dataset_version (name a JSONL file, or set dataset_version: ID@VERSION)",
	}, problems(t, err))
	assert.True(t, strings.HasPrefix(err.Error(), "load config: train.yaml: 13 problems\n"), err.Error())
}

// Each case adds lines from line 5 on to a config that is valid without them.
func TestProblems(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		// wrong types
		"text for a number":      {"training: {learning_rate: fast}", `5: training.learning_rate: must be a number, not the text "fast"`},
		"quoted float":           {"training: {learning_rate: '1e-4'}", `5: training.learning_rate: must be a number, not the text "1e-4" (write it without quotes: 1e-4)`},
		"whole float for an int": {"seed: 3.0", "5: seed: must be a whole number, not 3.0 (write 3)"},
		"huge float for an int":  {"seed: 1e300", "5: seed: must be a whole number, not 1e300"},
		"leading zero":           {"seed: 007", "5: seed: must be a whole number, not 007 (write it as a decimal number without leading zeros)"},
		"hexadecimal":            {"training: {learning_rate: 0x10}", "5: training.learning_rate: must be a number, not 0x10 (write it as a decimal number without leading zeros)"},
		"misplaced underscore":   {"seed: 1__0", `5: seed: must be a whole number, not the text "1__0"`},
		"seed over 64 bits":      {"seed: 9223372036854775808", "5: seed: must be between -9223372036854775808 and 9223372036854775807, not 9223372036854775808"},
		"infinite":               {"training: {learning_rate: .inf}", "5: training.learning_rate: must be a finite number, not +Inf"},
		"not a number":           {"training: {weight_decay: .nan}", "5: training.weight_decay: must be a finite number, not NaN"},
		"float out of range":     {"training: {weight_decay: 1e999}", "5: training.weight_decay: 1e999 is too large"},
		"number for a text":      {"name: 12", `5: name: must be text, not 12 (put it in quotes: "12")`},
		"truth for a text":       {"name: true", `5: name: must be text, not true (put it in quotes: "true")`},
		"number for a truth":     {"lora: {enabled: 1}", "5: lora.enabled: must be true or false, not 1 (write true)"},
		"list for a number":      {"seed: [1]", "5: seed: must be a whole number, not a list"},
		"mapping for a text":     {"name: {a: b}", "5: name: must be text, not a mapping"},
		"null for a number":      {"training: {num_epochs: }", "5: training.num_epochs: must not be empty (leave the key out for its default, 3)"},
		"value for a section":    {"training: 3", "5: training: must hold keys of its own, not 3 (write them indented under training:)"},
		"text for a list":        {"eval: {metrics: f1}", `5: eval.metrics: must be a list, not the text "f1" (write [f1])`},
		"number in a list":       {"eval:\n  slice_by_tags:\n    - a\n    - 5", `8: eval.slice_by_tags: item 2 must be text, not 5 (put it in quotes: "5")`},
		"text for auto":          {"lora: {target_modules: q_proj}", `5: lora.target_modules: must be auto or a list of module names, not the text "q_proj" (write [q_proj])`},

		// ranges
		"learning rate 0":    {"training: {learning_rate: 0}", "5: training.learning_rate: must be greater than 0, not 0"},
		"tiny learning rate": {"training: {learning_rate: 1e-999}", "5: training.learning_rate: must be greater than 0, not 0"},
		"negative decay":     {"training: {weight_decay: -0.1}", "5: training.weight_decay: must be at least 0, not -0.1"},
		"sequence of 1":      {"training: {max_seq_length: 1}", "5: training.max_seq_length: must be at least 2, not 1"},
		"too many":           {"training: {save_steps: 2147483648}", "5: training.save_steps: must be at most 2147483647, not 2147483648"},
		"no logging":         {"training: {logging_steps: 0}", "5: training.logging_steps: must be at least 1, not 0"},
		"no beam":            {"eval: {generation_num_beams: 0}", "5: eval.generation_num_beams: must be at least 1, not 0"},
		"no GPU":             {"compute: {num_gpus: 0}", "5: compute.num_gpus: must be at least 1, not 0"},
		"scheduler":          {"training: {lr_scheduler: cosin}", `5: training.lr_scheduler: must be linear, cosine or constant, not "cosin" (did you mean cosine?)`},
		"device":             {"compute: {device: 'cuda:x'}", `5: compute.device: must be auto, cpu, cuda, cuda:N or mps, not "cuda:x"`},
		"empty path":         {"output: {dir: ''}", "5: output.dir: must not be empty"},
		"escape sequence":    {`name: "\e[31m"`, `5: name: must not contain control characters: "\x1b[31m"`},
		"dataset version":    {"dataset_version: tickets", `5: dataset_version: must be ID@VERSION, not "tickets" (for example support-tickets@v3)`},
		"dataset no version": {"dataset_version: tickets@", `5: dataset_version: must be ID@VERSION, not "tickets@" (for example support-tickets@v3)`},
		"small vocabulary":   {"tokenizer: {vocab_size: 259}", "5: tokenizer.vocab_size: must be at least 260, not 259"},
		"split pattern":      {"tokenizer: {split: '('}", "5: tokenizer.split: does not compile: error parsing regexp: missing closing ) in `(`"},
		"empty split":        {"tokenizer: {split: ''}", "5: tokenizer.split: must not be empty"},
		"crossed slice":      {"eval: {slice_by_tags: [a*]}", `5: eval.slice_by_tags: item 1 must be a tag key, or keys joined by *, not "a*"`},
		"repeated slice":     {"eval: {slice_by_tags: [a, b, a]}", `5: eval.slice_by_tags: item 3 repeats item 1, "a"`},
		"no modules":         {"lora: {target_modules: []}", "5: lora.target_modules: must not be an empty list (write auto)"},
		"no metrics":         {"eval: {metrics: []}", "5: eval.metrics: must not be an empty list (leave it out for the metrics of the task, or set eval.enabled: false)"},

		// format rules
		"rules not a list":   {"eval: {format_rules: {name: a}}", "5: eval.format_rules: must be a list of rules, not a mapping"},
		"rule not a mapping": {"eval: {format_rules: [a]}", `5: eval.format_rules: rule 1: must be a mapping with name and pattern or max_tokens, not the text "a"`},
		"rule without name":  {"eval: {format_rules: [{max_tokens: 1}]}", "5: eval.format_rules: rule 1: needs a name"},
		"rule with nothing":  {"eval: {format_rules: [{name: a}]}", "5: eval.format_rules: rule 1: needs a pattern or max_tokens"},
		"rule with both":     {"eval: {format_rules: [{name: a, pattern: b, max_tokens: 1}]}", "5: eval.format_rules: rule 1: has both a pattern and max_tokens; make it two rules"},
		"rule with bad key":  {"eval:\n  format_rules:\n    - name: a\n      patern: b", "8: eval.format_rules: rule 1: patern is not a key of a rule (did you mean pattern?)"},
		"rule key twice":     {"eval:\n  format_rules:\n    - name: a\n      max_tokens: 1\n      name: b", "9: eval.format_rules: rule 1: name is set twice"},
		"rule with no limit": {"eval: {format_rules: [{name: a, max_tokens: 0}]}", "5: eval.format_rules: rule 1: max_tokens must be between 1 and 2147483647, not 0"},
		"rules of one name":  {"eval: {format_rules: [{name: a, max_tokens: 1}, {name: a, max_tokens: 2}]}", "5: eval.format_rules: rule 2 repeats the name of rule 1"},
		"rule inverted":      {"eval: {format_rules: [{name: a, max_tokens: 1, invert: true}]}", "5: eval.format_rules: rule 1: invert belongs to a pattern"},
		"rule pattern":       {"eval: {format_rules: [{name: a, pattern: '['}]}", "5: eval.format_rules: rule 1: pattern does not compile: error parsing regexp: unterminated [] set in `[`"},

		// contradictions
		"fp16 and default bf16": {"compute: {fp16: true}", "5: compute.fp16: cannot be true together with compute.bf16 (bf16 is on by default: add compute.bf16: false)"},
		"fp16 and bf16":         {"compute: {fp16: true, bf16: true}", "5: compute.fp16: cannot be true together with compute.bf16 (set one of them to false)"},
		"quantization alone":    {"lora: {enabled: false, quantization: 4bit}", "5: lora.quantization: is 4bit, but lora.enabled is false (only a frozen base can be quantized: enable lora or use none)"},
		"unknown metric":        {"eval: {metrics: [f1, rouge2]}", `5: eval.metrics: has no metric "rouge2" (did you mean rouge1?)`},
		"metric of other task":  {"eval: {metrics: [accuracy]}", "5: eval.metrics: has accuracy, which is a metric of the task classification, not of sft (known for sft: eval_loss, perplexity, exact_match, f1, rouge1, rougeL, format_compliance, gold_set_accuracy or wer)"},
		"no gold set":           {"eval: {metrics: [gold_set_accuracy]}", "eval.gold_set: is required by the metric gold_set_accuracy (name a JSONL file)"},
		"no format rules":       {"eval: {metrics: [format_compliance]}", "eval.format_rules: is required by the metric format_compliance (give a list of rules with name and pattern or max_tokens)"},
		"managed":               {"compute: {mode: managed}", "5: compute.mode: is managed, which runs on a hosted service (use compute.mode: local)"},

		// unknown keys
		"two places":        {"batch_size: 3", "5: batch_size: unknown key (did you mean training.batch_size or eval.batch_size?)"},
		"joined":            {"lora_r: 3", "5: lora_r: unknown key (did you mean lora.r?)"},
		"dotted":            {"training.learning_rate: 3", "5: training.learning_rate: unknown key (write learning_rate on a line of its own under training:)"},
		"other name":        {"training: {epochs: 3}", "5: training.epochs: unknown key (did you mean training.num_epochs?)"},
		"top key nested":    {"training: {seed: 3}", "5: training.seed: unknown key (did you mean seed?)"},
		"section nested":    {"training: {lora: {r: 3}}", "5: training.lora: unknown key (lora stands at the top level)"},
		"misspelt section":  {"trianing: {batch_size: 3}", "5: trianing: unknown key (did you mean training?)"},
		"swapped letters":   {"training: {lr_schedluer: linear}", "5: training.lr_schedluer: unknown key (did you mean training.lr_scheduler?)"},
		"other case":        {"lora: {Target-Modules: auto}", "5: lora.Target-Modules: unknown key (did you mean lora.target_modules?)"},
		"same beginning":    {"eval: {slices: [kind]}", "5: eval.slices: unknown key (did you mean eval.slice_by_tags?)"},
		"far from anything": {"optimizer: adamw", "5: optimizer: unknown key (the nearest known key is output.dir)"},
		"hostile key":       {`"\e]0;x\a": 1`, `5: "\x1b]0;x\a": unknown key (the nearest known key is task)`},

		// YAML that is not for configs
		"alias":         {"name: &x a\noutput: {dir: *x}", "6: aliases are not supported (write the value out in place of *x)"},
		"cyclic alias":  {"name: &x [*x]", "5: aliases are not supported (write the value out in place of *x)"},
		"merge key":     {"lora:\n  <<: {r: 3}", "6: merge keys are not supported (write the keys out in place of <<)"},
		"tag":           {"seed: !!int '3'", "5: tags such as !!int are not supported (write the plain value)"},
		"list as a key": {"[a]: 3", "5: a key must be plain text"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("t.yaml", []byte(smallest+c.text+"\n"))
			place := "t.yaml:"
			if c.want[0] < '0' || c.want[0] > '9' {
				place = "t.yaml: "
			}
			assert.Equal(t, []string{place + c.want}, problems(t, err))
		})
	}
}

func TestTextThatIsNoConfig(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"empty":             {"", "t.yaml: the file is empty (a config needs at least task, base_model and data_paths.train or dataset_version)"},
		"comments only":     {"# nothing\n", "t.yaml: the file is empty (a config needs at least task, base_model and data_paths.train or dataset_version)"},
		"null document":     {"---\n", "t.yaml:2: the file is empty (a config starts like this: task: sft)"},
		"a list":            {"- task\n", "t.yaml:1: the file holds a list, not keys with values (a config starts like this: task: sft)"},
		"a word":            {"sft\n", `t.yaml:1: the file holds the text "sft", not keys with values (a config starts like this: task: sft)`},
		"two documents":     {smallest + "---\nseed: 1\n", "t.yaml:5: a second YAML document begins (keep one config a file and remove the line ---)"},
		"not UTF-8":         {"task: sft\nname: caf\xe9\n", "t.yaml:2: the byte 0xe9 is not valid UTF-8 (save the file as UTF-8)"},
		"UTF-16":            {"\xff\xfet\x00", "t.yaml:1: the byte 0xff is not valid UTF-8 (save the file as UTF-8)"},
		"control character": {"task: sft\n\nname: \x1b[31m\n", "t.yaml:3: the control character U+001B is not allowed (remove it, or write it escaped in double quotes)"},
		"tab":               {"task: sft\ntraining:\n\tseed: 1\n", "t.yaml:3: not valid YAML: found character that cannot start any token (indent with spaces, and put values that begin with @, ` or % in quotes)"},
		"open bracket":      {"task: sft\neval:\n  metrics: [f1\n", "t.yaml:3: not valid YAML: did not find expected ',' or ']' (a bracket or brace is not closed)"},
		"no colon":          {"task: sft\nbase_model m\nseed: 1\n", "t.yaml:2: not valid YAML: could not find expected ':' (every key is followed by a colon and a space)"},
		"two colons":        {"task: a: b\n", "t.yaml:1: not valid YAML: mapping values are not allowed in this context (check the indentation, and put values that hold a colon in quotes)"},
		"indentation":       {"lora:\n  r: 1\n alpha: 2\n", "t.yaml:3: not valid YAML: did not find expected key (check the indentation)"},
		"open quote":        {"task: sft\nname: 'x\n", "t.yaml:2: not valid YAML: found unexpected end of stream (a quote is not closed)"},
		"stray bracket":     {"task: sft\nseed: 1\nname: ]\n", "t.yaml:3: not valid YAML: did not find expected node content"},
		"unknown alias":     {"task: sft\nname: *x\n", "t.yaml:2: not valid YAML: unknown anchor 'x' referenced"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("t.yaml", []byte(c.text))
			assert.Equal(t, []string{c.want}, problems(t, err))
		})
	}
}

func TestAliasesAreNotExpanded(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'z'; c++ {
		last := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+last+", ", 9) + "]\n"
	}
	_, err := config.Parse("t.yaml", []byte(bomb))
	require.ErrorContains(t, err, "aliases are not supported")
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "train.yaml"), []byte(smallest), 0o600))
	large := filepath.Join(dir, "large.yml")
	require.NoError(t, os.WriteFile(large, []byte(strings.Repeat("# x\n", 300_000)), 0o600))

	fail := func(path string) *fault.ConfigError {
		_, err := config.Load(path)
		var configErr *fault.ConfigError
		require.ErrorAs(t, err, &configErr)
		assert.Equal(t, path, configErr.Path)
		return configErr
	}
	missing := fail(filepath.Join(dir, "trian.yaml"))
	require.ErrorIs(t, missing, fs.ErrNotExist)
	assert.Equal(t, "check the path: did you mean "+filepath.Join(dir, "train.yaml")+"?", missing.Hint)
	assert.Equal(t, "check the path", fail(filepath.Join(dir, "no", "such", "folder.yaml")).Hint)

	folder := fail(dir)
	assert.Contains(t, folder.Error(), "is a directory")
	assert.Contains(t, folder.Hint, "did you mean "+large+" or "+filepath.Join(dir, "train.yaml")+"?")

	assert.Contains(t, fail(large).Error(), "larger than 1048576 bytes")

	pipe := filepath.Join(dir, "pipe.yaml")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, path := range []string{pipe, "/dev/zero"} {
		assert.Contains(t, fail(path).Error(), "not a regular file")
		assert.Contains(t, fail(path).Hint, "write it to a file first")
	}
}

func TestFromMapNamesKeysWithoutAFile(t *testing.T) {
	_, err := config.FromMap(map[string]any{
		"task":       "sft",
		"base_model": "m\xff",
		"seed":       1.5,
		"name":       make(chan int),
		"data_paths": map[string]any{"train": "a", "tst": "b"},
		"training":   map[string]any{"learning_rate": float32(-0.1)},
		"lora":       map[string]any{"r": uint64(math.MaxUint64)},
	})
	assert.Equal(t, []string{
		"data_paths.tst: unknown key (did you mean data_paths.test?)",
		"lora.r: must be between -9223372036854775808 and 9223372036854775807, not 18446744073709551615",
		"name: must be text, not a Go value of type chan int",
		"seed: must be a whole number, not 1.5",
		"base_model: is not valid UTF-8",
		"training.learning_rate: must be greater than 0, not -0.1",
	}, problems(t, err))
	assert.True(t, strings.HasPrefix(err.Error(), "load config: 6 problems\n"), err.Error())

	_, err = config.FromMap(nil)
	require.ErrorContains(t, err, "task: is required")

	circle := map[string]any{}
	circle["training"] = circle
	_, err = config.FromMap(circle)
	require.ErrorContains(t, err, "training.training: unknown key")
}

// TestMuchWrong: what is told about a config is bounded, whatever is wrong in it.
func TestMuchWrong(t *testing.T) {
	items := make([]any, 50_000)
	unknown := map[string]any{}
	for i := range items {
		items[i] = fmt.Sprint("no such metric ", i)
		unknown[fmt.Sprint("key", i)] = 1
	}
	for name, m := range map[string]map[string]any{
		"keys":    unknown,
		"metrics": {"task": "sft", "base_model": "builtin:nano", "data_paths": map[string]any{"train": "t"}, "eval": map[string]any{"metrics": items}},
	} {
		_, err := config.FromMap(m)
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), "more than 100 problems", name)
		assert.Equal(t, 100, strings.Count(err.Error(), "\n"), name)
	}
}

func TestValidateChecksAConfigMadeInCode(t *testing.T) {
	c := config.Default()
	c.Task, c.BaseModel, c.DatasetVersion = "classification", "m", ptr("d@1")
	require.NoError(t, c.Validate())
	assert.NotEmpty(t, c.Hash())

	c.Training.LearningRate = math.NaN()
	c.Compute.NumGPUs = ptr(-1)
	c.Eval.Metrics = []string{"f1"}
	c.Eval.FormatRules = []metrics.FormatRule{{Name: "a\x1b", MaxTokens: 1}, {Name: "b", Pattern: "\xff"}}
	assert.Equal(t, []string{
		"training.learning_rate: must be a finite number, not NaN",
		"compute.num_gpus: must be at least 1, not -1",
		`eval.format_rules: rule 1: name must not contain control characters: "a\x1b"`,
		"eval.format_rules: rule 2: pattern is not valid UTF-8",
		"eval.metrics: has f1, which is a metric of the task sft, not of classification (known for classification: accuracy, macro_f1, weighted_f1, precision_per_class, recall_per_class or confusion_matrix)",
	}, problems(t, c.Validate()))
	assert.Empty(t, c.Hash())
}

func TestOverrideProblemsNameTheirSource(t *testing.T) {
	_, err := config.Parse("t.yaml", []byte(smallest),
		config.Override{Key: "training.learning_rate", Value: "x", Source: "--lr"},
		config.Override{Key: "task", Value: "sfy"},
		config.Override{Key: "data_paths", Value: map[string]any{"trian": "x"}, Source: "--data"})
	assert.Equal(t, []string{
		"--data: unknown key (did you mean data_paths.train?)",
		`--lr: must be a number, not the text "x"`,
		`task: must be sft or classification, not "sfy" (did you mean sft?)`,
	}, problems(t, err))
}

// TestDropoutBelowOne: what rounds to 1 in float32 would drop everything.
func TestDropoutBelowOne(t *testing.T) {
	for value, ok := range map[float64]bool{0: true, 0.99999: true, 0.999999999: false, 1: false, -0.1: false} {
		_, err := config.FromMap(map[string]any{"task": "sft", "base_model": "builtin:nano",
			"data_paths": map[string]any{"train": "t.jsonl"}, "lora": map[string]any{"dropout": value}})
		if ok {
			assert.NoError(t, err, value)
		} else {
			assert.ErrorContains(t, err, "lora.dropout: must be at least 0 and less than 1", value)
		}
	}
}
