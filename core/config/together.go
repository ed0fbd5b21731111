package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/metrics"
)

// ErrManaged is the cause of the ConfigError when compute.mode is managed,
// whatever else is wrong: errors.Is(err, ErrManaged).
var ErrManaged = errors.New("managed mode is not available")

// checkTogether reports values that contradict each other or that need
// another key. A rule is skipped when one of its keys is wrong by itself.
func (b *builder) checkTogether() {
	c := b.config
	if c.Compute.Mode == modeManaged {
		b.managed = true
		b.add("compute.mode", flaw{reason: "is managed, which runs on a hosted service", hint: "use compute.mode: local"})
	}
	if b.sound("data_paths.train", "dataset_version") && c.DataPaths.Train == nil && c.DatasetVersion == nil {
		b.add("data_paths.train", flaw{reason: "is required when there is no dataset_version",
			hint: "name a JSONL file, or set dataset_version: ID@VERSION"})
	}
	if c.Compute.FP16 && c.Compute.BF16 && b.sound("compute.fp16", "compute.bf16") {
		f := flaw{reason: "cannot be true together with compute.bf16", hint: "set one of them to false"}
		if _, set := b.origins["compute.bf16"]; !set {
			f.hint = "bf16 is on by default: add compute.bf16: false"
		}
		b.add("compute.fp16", f)
	}
	if !c.LoRA.Enabled && c.LoRA.Quantization != "none" && b.sound("lora.enabled", "lora.quantization") {
		b.add("lora.quantization", flaw{reason: fmt.Sprintf("is %s, but lora.enabled is false", c.LoRA.Quantization),
			hint: "only a frozen base can be quantized: enable lora or use none"})
	}
	if b.sound("eval.metrics", "task") {
		b.checkMetrics()
	}
}

// Warnings names settings that are allowed and have no effect.
func (c *Config) Warnings() []string {
	if c.LoRA.Enabled {
		return nil
	}
	var idle []string
	defaults := Default()
	for i := range fields {
		f := &fields[i]
		if strings.HasPrefix(f.key, "lora.") && f.key != "lora.enabled" && !reflect.DeepEqual(f.get(c), f.get(defaults)) {
			idle = append(idle, f.key)
		}
	}
	if idle == nil {
		return nil
	}
	return []string{strings.Join(idle, ", ") + ": no effect while lora.enabled is false"}
}

func (b *builder) checkMetrics() {
	e := &b.config.Eval
	task := b.config.Task
	known := metrics.Names(task)
	for _, name := range e.Metrics {
		if b.full() {
			break
		}
		if slices.Contains(known, name) {
			continue
		}
		f := flaw{reason: "has no metric " + quoted(name), hint: "known for " + task + ": " + either(known)}
		for _, other := range metrics.Tasks() {
			if slices.Contains(metrics.Names(other), name) {
				f.reason = fmt.Sprintf("has %s, which is a metric of the task %s, not of %s", name, other, task)
			}
		}
		if near, close := Nearest(name, known); close {
			f.hint = "did you mean " + near + "?"
		}
		b.add("eval.metrics", f)
	}
	asks := func(name string) bool { return slices.Contains(e.Metrics, name) }
	if asks(metrics.NameGoldSetAccuracy) && e.GoldSet == nil && b.sound("eval.gold_set") {
		b.add("eval.gold_set", flaw{reason: "is required by the metric gold_set_accuracy", hint: "name a JSONL file"})
	}
	if asks(metrics.NameFormatCompliance) && len(e.FormatRules) == 0 && b.sound("eval.format_rules") {
		b.add("eval.format_rules", flaw{reason: "is required by the metric format_compliance",
			hint: "give a list of rules with name and pattern or max_tokens"})
	}
}

func (b *builder) sound(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { return b.bad[k] })
}
