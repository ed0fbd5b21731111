package native

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Arch is the shape of a decoder of the Llama family, as config.json of the
// Hugging Face layout describes it.
type Arch struct {
	VocabSize    int
	Hidden       int
	Layers       int
	Heads        int
	KVHeads      int
	HeadDim      int
	FFN          int
	MaxPositions int
	RopeTheta    float64
	RMSEps       float64
	Tied         bool     // the head shares its weights with the embedding
	EOS, PAD     int      // token ids, -1 when unknown
	Labels       []string // classification only: label of each row of score
}

// builtin are the architectures that need no files. Positions and base of the
// rotary embedding are those of Llama 2.
var builtin = map[string]Arch{
	"builtin:nano":  {Hidden: 128, Layers: 3, Heads: 4, KVHeads: 4, FFN: 344},
	"builtin:micro": {Hidden: 256, Layers: 6, Heads: 8, KVHeads: 4, FFN: 688},
}

// IsBuiltin tells whether name is a model made from the seed.
func IsBuiltin(name string) bool { return strings.HasPrefix(name, "builtin:") }

func builtinArch(name string) (Arch, error) {
	a, ok := builtin[name]
	if !ok {
		return Arch{}, &fault.ConfigError{Detail: fault.Detail{
			Op: "choose base model", Reason: fmt.Sprintf("there is no built-in model %q", name),
			Hint: "use one of " + strings.Join(slices.Sorted(maps.Keys(builtin)), ", "),
		}}
	}
	a.HeadDim = a.Hidden / a.Heads
	a.MaxPositions = 4096
	a.RopeTheta = 10000
	a.RMSEps = 1e-5
	a.Tied = true
	return a, nil
}

// archFile is config.json: the keys that decide the computation. Keys that are
// not here do not change it.
type archFile struct {
	Architectures   []string          `json:"architectures,omitempty"`
	ModelType       string            `json:"model_type"`
	VocabSize       int               `json:"vocab_size"`
	Hidden          int               `json:"hidden_size"`
	FFN             int               `json:"intermediate_size"`
	Layers          int               `json:"num_hidden_layers"`
	Heads           int               `json:"num_attention_heads"`
	KVHeads         int               `json:"num_key_value_heads"`
	HeadDim         *int              `json:"head_dim"`
	MaxPositions    int               `json:"max_position_embeddings"`
	RopeTheta       *float64          `json:"rope_theta"`
	RopeScaling     json.RawMessage   `json:"rope_scaling"`
	RMSEps          *float64          `json:"rms_norm_eps"`
	Tied            bool              `json:"tie_word_embeddings"`
	Act             string            `json:"hidden_act"`
	AttentionBias   bool              `json:"attention_bias"`
	MLPBias         bool              `json:"mlp_bias"`
	AttentionDrop   float64           `json:"attention_dropout"`
	InitializerStd  float64           `json:"initializer_range"`
	BOS             *int              `json:"bos_token_id"`
	EOS             *int              `json:"eos_token_id"`
	PAD             *int              `json:"pad_token_id"`
	Labels          map[string]string `json:"id2label,omitempty"`
	LabelIDs        map[string]int    `json:"label2id,omitempty"`
	DType           string            `json:"torch_dtype,omitempty"`
	UseCache        bool              `json:"use_cache"`
	PretrainingTP   int               `json:"pretraining_tp"`
	TransformersVer string            `json:"transformers_version,omitempty"`
}

// initStd is the standard deviation of initial weights, Llama's default.
const initStd = 0.02

// writeArch writes config.json for the architecture.
func (a Arch) file() archFile {
	f := archFile{
		Architectures: []string{"LlamaForCausalLM"}, ModelType: "llama",
		VocabSize: a.VocabSize, Hidden: a.Hidden, FFN: a.FFN, Layers: a.Layers, Heads: a.Heads,
		KVHeads: a.KVHeads, HeadDim: &a.HeadDim, MaxPositions: a.MaxPositions, RopeTheta: &a.RopeTheta,
		RMSEps: &a.RMSEps, Tied: a.Tied, Act: "silu", InitializerStd: initStd,
		DType: "float32", UseCache: true, PretrainingTP: 1,
	}
	if a.EOS >= 0 {
		f.EOS = &a.EOS
	}
	if a.PAD >= 0 {
		f.PAD = &a.PAD
	}
	if len(a.Labels) > 0 {
		f.Architectures = []string{"LlamaForSequenceClassification"}
		f.Labels, f.LabelIDs = map[string]string{}, map[string]int{}
		for i, l := range a.Labels {
			f.Labels[strconv.Itoa(i)] = l
			f.LabelIDs[l] = i
		}
	}
	return f
}

// maxJSON bounds the JSON files of a model or checkpoint, in bytes: the largest
// part of them is the names of labels.
const maxJSON = 16 << 20

// loadArch reads config.json in dir and refuses what this engine would compute
// differently.
func loadArch(dir string) (Arch, error) {
	path := filepath.Join(dir, "config.json")
	bad := func(hint, format string, args ...any) (Arch, error) {
		return Arch{}, &fault.ConfigError{Detail: fault.Detail{
			Op: "load model", Path: path, Reason: fmt.Sprintf(format, args...), Hint: hint}}
	}
	data, err := regular.Read(path, maxJSON)
	if err != nil {
		return Arch{}, &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: path, Err: err,
			Hint: "base_model names a folder in Hugging Face layout, an earlier run, or a built-in model such as builtin:nano"}}
	}
	var f archFile
	if err := json.Unmarshal(data, &f); err != nil {
		return bad("is it the config.json of a model?", "not a model configuration: %v", fault.JSON(err))
	}
	const family = "this engine runs Llama-style models: RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases"
	switch {
	case f.ModelType != "llama":
		return bad(family, "model_type is %q", f.ModelType)
	case f.AttentionBias || f.MLPBias:
		return bad(family, "the model has biases")
	case f.Act != "" && f.Act != "silu":
		return bad(family, "hidden_act is %q", f.Act)
	case f.AttentionDrop != 0:
		return bad("set it to 0 in config.json; lora.dropout regularises adapters", "attention_dropout is %v", f.AttentionDrop)
	case len(f.RopeScaling) > 0 && string(f.RopeScaling) != "null":
		return bad(family, "rope_scaling is not supported")
	}
	a := Arch{VocabSize: f.VocabSize, Hidden: f.Hidden, Layers: f.Layers, Heads: f.Heads, KVHeads: f.KVHeads,
		FFN: f.FFN, MaxPositions: f.MaxPositions, RopeTheta: 10000, RMSEps: 1e-6, Tied: f.Tied, EOS: -1, PAD: -1}
	if a.KVHeads == 0 {
		a.KVHeads = a.Heads
	}
	if f.HeadDim != nil {
		a.HeadDim = *f.HeadDim
	} else if a.Heads > 0 {
		a.HeadDim = a.Hidden / a.Heads
	}
	if f.RopeTheta != nil {
		a.RopeTheta = *f.RopeTheta
	}
	if f.RMSEps != nil {
		a.RMSEps = *f.RMSEps
	}
	if f.EOS != nil {
		a.EOS = *f.EOS
	}
	if f.PAD != nil {
		a.PAD = *f.PAD
	}
	if f.LabelIDs != nil {
		for i := range len(f.Labels) {
			l, ok := f.Labels[strconv.Itoa(i)]
			if !ok {
				return bad("labels are numbered from 0", "id2label has no entry %d", i)
			}
			a.Labels = append(a.Labels, l)
		}
	}
	if reason := a.check(); reason != "" {
		return bad("is the file damaged?", "%s", reason)
	}
	return a, nil
}

// check says what is impossible about the shape, or nothing.
func (a Arch) check() string {
	for _, v := range []struct {
		name     string
		n, limit int
	}{
		{"vocab_size", a.VocabSize, 1 << 24}, {"hidden_size", a.Hidden, 1 << 16},
		{"num_hidden_layers", a.Layers, 1 << 10}, {"num_attention_heads", a.Heads, 1 << 10},
		{"num_key_value_heads", a.KVHeads, 1 << 10}, {"head_dim", a.HeadDim, 1 << 12},
		{"intermediate_size", a.FFN, 1 << 18}, {"max_position_embeddings", a.MaxPositions, 1 << 24},
	} {
		if v.n < 1 || v.n > v.limit {
			return fmt.Sprintf("%s is %d, not in 1..%d", v.name, v.n, v.limit)
		}
	}
	switch {
	case a.Heads%a.KVHeads != 0:
		return fmt.Sprintf("%d heads cannot share %d key-value heads", a.Heads, a.KVHeads)
	case a.HeadDim%2 != 0:
		return fmt.Sprintf("head_dim is %d: rotary positions need an even number", a.HeadDim)
	case !(a.RopeTheta > 0 && a.RopeTheta < 1e12) || !(float32(a.RMSEps) > 0 && a.RMSEps < 1):
		return "rope_theta and rms_norm_eps must be positive and of usual size"
	}
	return ""
}

// sameWeights tells whether both describe models with the same weights, heads
// aside. That of a built-in model has no vocabulary of its own.
func (a Arch) sameWeights(b Arch) bool {
	if b.VocabSize == 0 {
		b.VocabSize = a.VocabSize
	}
	for _, x := range []*Arch{&a, &b} {
		x.EOS, x.PAD, x.Labels = 0, 0, nil
	}
	return reflect.DeepEqual(a, b)
}

// attn is the width of the query, kv that of keys and values.
func (a Arch) attn() int { return a.Heads * a.HeadDim }
func (a Arch) kv() int   { return a.KVHeads * a.HeadDim }
