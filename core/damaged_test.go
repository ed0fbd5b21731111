package core_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/engine/native/safetensors"
	"github.com/verifily/verifily-tui/runs"
)

// withoutHashes is a copy of a run that nobody can hold against its hashes.
func withoutHashes(t *testing.T, run *runs.Run) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), filepath.Base(run.Dir()))
	require.NoError(t, os.CopyFS(dir, os.DirFS(run.Dir())))
	require.NoError(t, os.Remove(filepath.Join(dir, "hashes.json")))
	return dir
}

// rewrite changes the tensors of a weights file.
func rewrite(t *testing.T, path string, change func([]safetensors.Tensor) []safetensors.Tensor) {
	t.Helper()
	f, err := safetensors.Open(path)
	require.NoError(t, err)
	var tensors []safetensors.Tensor
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		data, err := f.F32(name)
		require.NoError(t, err)
		tensors = append(tensors, safetensors.Tensor{Name: name, Shape: info.Shape, Data: slices.Clone(data)})
	}
	require.NoError(t, f.Close())
	require.NoError(t, safetensors.Write(path, change(tensors), nil))
}

func without(name string) func([]safetensors.Tensor) []safetensors.Tensor {
	return func(all []safetensors.Tensor) []safetensors.Tensor {
		return slices.DeleteFunc(all, func(t safetensors.Tensor) bool { return t.Name == name })
	}
}

// TestDamagedModelsAreNotEvaluated: what is missing, too much or of another
// shape is told by its name, and not made up for.
func TestDamagedModelsAreNotEvaluated(t *testing.T) {
	short := set("training.num_epochs", 1)
	adapter := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", true, short)})
	classifier := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "classification", true, short)})
	whole := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "classification", false, short)})
	larger := mustTrain(t, core.TrainOptions{Config: smallConfig(t, "sft", false, short, set("tokenizer.vocab_size", 310))})
	const (
		file   = "adapter/adapter_model.safetensors"
		beside = "adapter/adapter_config.json"
		prefix = "base_model.model.model.layers.1.self_attn.q_proj."
	)
	tensors := func(name string, change func([]safetensors.Tensor) []safetensors.Tensor) func(string) {
		return func(dir string) { rewrite(t, filepath.Join(dir, name), change) }
	}
	setting := func(name, key string, value any) func(string) {
		return func(dir string) { edit(t, filepath.Join(dir, name), key, value) }
	}
	for _, c := range []struct {
		name    string
		run     *runs.Run
		damage  func(dir string)
		message string
	}{
		{"A is missing", adapter, tensors(file, without(prefix+"lora_A.weight")), prefix + "lora_A.weight is missing"},
		{"B is missing", adapter, tensors(file, without(prefix+"lora_B.weight")), prefix + "lora_B.weight is missing"},
		{"a tensor too much", adapter, tensors(file, func(all []safetensors.Tensor) []safetensors.Tensor {
			return append(all, safetensors.Tensor{Name: "base_model.model.lm_head.lora_A.weight", Shape: []int{1}, Data: []float32{1}})
		}), "belongs to none of target_modules"},
		{"fewer rows", adapter, tensors(file, func(all []safetensors.Tensor) []safetensors.Tensor {
			i := slices.IndexFunc(all, func(t safetensors.Tensor) bool { return t.Name == prefix+"lora_A.weight" })
			all[i].Shape[0], all[i].Data = 8, all[i].Data[:8*all[i].Shape[1]]
			return all
		}), "has shape [8 128], adapter_config.json wants [16 128]"},
		{"another r", adapter, setting(beside, "r", 8), "adapter_config.json wants [8 128]"},
		{"a module more", adapter, setting(beside, "target_modules", []string{"k_proj", "q_proj", "v_proj"}), "k_proj.lora_A.weight is missing"},
		{"a module less", adapter, setting(beside, "target_modules", []string{"q_proj"}), "belongs to none of target_modules"},
		{"an unknown module", adapter, setting(beside, "target_modules", []string{"c_attn"}), "target_modules"},
		{"ranks by layer", adapter, setting(beside, "rank_pattern", map[string]int{"q_proj": 16}), "rank_pattern"},
		{"alphas by layer", adapter, setting(beside, "alpha_pattern", map[string]int{"q_proj": 1}), "alpha_pattern"},
		{"another module saved", adapter, setting(beside, "modules_to_save", []string{"embed_tokens"}), "modules_to_save"},
		{"fewer layers", adapter, setting("adapter/config.json", "num_hidden_layers", 2), "describes another model than builtin:nano"},
		{"another base of positions", adapter, setting("adapter/config.json", "rope_theta", 500000), "describes another model"},
		{"the head of an adapter", classifier, tensors(file, without("base_model.model.score.weight")), "score.weight is missing"},
		{"the head of a model", whole, tensors("model/model.safetensors", without("score.weight")), "score.weight is missing"},
		{"a larger tokenizer", adapter, func(dir string) {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "tokenizer")))
			require.NoError(t, os.CopyFS(filepath.Join(dir, "tokenizer"), os.DirFS(filepath.Join(larger.Dir(), "tokenizer"))))
		}, "the tokenizer has 310 tokens, the model 300"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := withoutHashes(t, c.run)
			c.damage(dir)
			_, err := core.Evaluate(context.Background(), core.EvaluateOptions{RunPath: dir, OutputDir: t.TempDir()})
			require.Equal(t, "eval", kind(err), "%v", err)
			assert.Contains(t, err.Error(), c.message)
			assert.NotEmpty(t, hint(err))
		})
	}
	evaluate(t, core.EvaluateOptions{RunPath: withoutHashes(t, adapter), OutputDir: t.TempDir()})
	evaluate(t, core.EvaluateOptions{RunPath: withoutHashes(t, classifier), OutputDir: t.TempDir()})
}
