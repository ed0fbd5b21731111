package native

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/engine/native/safetensors"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/tensor"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/regular"
)

// loraSpec says which adapters a model gets.
type loraSpec struct {
	r       int
	alpha   float64
	dropout float64
	modules []string // such as "q_proj"
	seed    int64
}

// Streams of random numbers, so that no two purposes share one.
const (
	streamWeights = iota + 1
	streamLoRA
	streamDropout
	streamShuffle
)

// loraModules resolves lora.target_modules: none given means the query and the
// value projections, PEFT's default for this family.
func loraModules(names []string) ([]string, error) {
	if len(names) == 0 {
		return []string{"q_proj", "v_proj"}, nil
	}
	var known []string
	for _, m := range moduleNames {
		known = append(known, m.name)
	}
	var out []string
	for _, name := range names {
		short := name[strings.LastIndexByte(name, '.')+1:]
		switch {
		case name == "all-linear":
			out = append(out, known...)
		case slices.Contains(known, short):
			out = append(out, short)
		default:
			return nil, &fault.ConfigError{Detail: fault.Detail{Op: "choose adapters",
				Reason: fmt.Sprintf("lora.target_modules: the model has no linear layer %q", name),
				Hint:   "it has " + strings.Join(known, ", ") + "; auto means q_proj and v_proj"}}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (m *Model) addAdapters(spec *loraSpec) error {
	for i, b := range m.Blocks {
		for j, l := range b.linears() {
			mod := moduleNames[j]
			if !slices.Contains(spec.modules, mod.name) {
				continue
			}
			out, in := l.W.Shape[0], l.W.Shape[1]
			if spec.r > min(out, in) {
				return &fault.ConfigError{Detail: fault.Detail{Op: "choose adapters",
					Reason: fmt.Sprintf("lora.r is %d, and %s has only %d inputs and %d outputs", spec.r, mod.name, in, out),
					Hint:   fmt.Sprintf("set it to %d or less; 8 to 64 are usual", min(out, in))}}
			}
			prefix := fmt.Sprintf("base_model.model.model.layers.%d.%s.%s.", i, mod.part, mod.name)
			a := &Adapter{
				A:       &Param{Name: prefix + "lora_A.weight", Shape: []int{spec.r, in}, Decay: true},
				B:       &Param{Name: prefix + "lora_B.weight", Shape: []int{out, spec.r}, Decay: true},
				Scale:   float32(spec.alpha / float64(spec.r)),
				Dropout: float32(spec.dropout),
				stream:  uint64(i*len(moduleNames) + j),
			}
			l.LoRA = a
			m.adapters = append(m.adapters, a.A, a.B)
		}
	}
	return nil
}

// initialise sets every A by Kaiming-uniform from the seed; B stays zero, so
// that training starts from the base model.
func (spec *loraSpec) initialise(m *Model) {
	for i, p := range m.adapters {
		if p.Value == nil {
			p.Value = make([]float32, size(p.Shape))
		}
		if i%2 == 0 {
			tensor.NewPhilox(spec.seed, streamLoRA, uint64(i)).Uniform(p.Value, kaimingBound(p.Shape[1]))
		}
	}
}

// adapterFile is adapter_config.json in PEFT's layout.
type adapterFile struct {
	AlphaPattern     pattern  `json:"alpha_pattern"`
	AutoMapping      *string  `json:"auto_mapping"`
	BaseModel        string   `json:"base_model_name_or_path"`
	Bias             string   `json:"bias"`
	FanInFanOut      bool     `json:"fan_in_fan_out"`
	InferenceMode    bool     `json:"inference_mode"`
	InitLoRAWeights  bool     `json:"init_lora_weights"`
	LayersPattern    *string  `json:"layers_pattern"`
	LayersToTransfer *string  `json:"layers_to_transform"`
	Alpha            float64  `json:"lora_alpha"`
	Dropout          float64  `json:"lora_dropout"`
	ModulesToSave    []string `json:"modules_to_save"`
	PeftType         string   `json:"peft_type"`
	R                int      `json:"r"`
	RankPattern      pattern  `json:"rank_pattern"`
	Revision         *string  `json:"revision"`
	TargetModules    []string `json:"target_modules"`
	TaskType         string   `json:"task_type"`
	UseDoRA          bool     `json:"use_dora"`
	UseRSLoRA        bool     `json:"use_rslora"`
}

// pattern gives single layers an r or alpha of their own.
type pattern map[string]any

const (
	adapterConfigName  = "adapter_config.json"
	adapterWeightsName = "adapter_model.safetensors"
	modelWeightsName   = "model.safetensors"
	configName         = "config.json"
	// peftScoreName is how PEFT saves a head listed in modules_to_save.
	peftScoreName = "base_model.model." + scoreName
)

// saveAdapter writes the adapter and, for classification, the head, as PEFT
// lays them out; config.json beside them holds the labels.
func (m *Model) saveAdapter(dir string, spec *loraSpec, baseModel string) error {
	f := adapterFile{BaseModel: baseModel, Bias: "none", InferenceMode: true, InitLoRAWeights: true,
		Alpha: spec.alpha, Dropout: spec.dropout, PeftType: "LORA", R: spec.r,
		TargetModules: spec.modules, TaskType: "CAUSAL_LM", AlphaPattern: pattern{}, RankPattern: pattern{}}
	var tensors []safetensors.Tensor
	for _, p := range m.adapters {
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
	}
	if m.Score != nil {
		f.TaskType, f.ModulesToSave = "SEQ_CLS", []string{"score"}
		tensors = append(tensors, safetensors.Tensor{Name: peftScoreName, Shape: m.Score.Shape, Data: m.Score.Value})
	}
	if err := writeJSON(filepath.Join(dir, adapterConfigName), f); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, configName), m.Arch.file()); err != nil {
		return err
	}
	return safetensors.Write(filepath.Join(dir, adapterWeightsName), tensors, map[string]string{"format": "pt"})
}

// saveModel writes the whole model in Hugging Face layout. It needs a model
// without adapters.
func (m *Model) saveModel(dir string) error {
	if err := writeJSON(filepath.Join(dir, configName), m.Arch.file()); err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	for _, p := range m.params {
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
	}
	return safetensors.Write(filepath.Join(dir, modelWeightsName), tensors, map[string]string{"format": "pt"})
}

const hintAdapter = "restore the adapter, or train it again"

// loadAdapterConfig reads adapter_config.json and refuses variants that would
// compute something else.
func loadAdapterConfig(dir string) (*adapterFile, error) {
	path := filepath.Join(dir, adapterConfigName)
	data, err := regular.Read(path, maxJSON)
	if err != nil {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "load adapter", Path: path, Err: err}}
	}
	var f adapterFile
	err = json.Unmarshal(data, &f)
	switch {
	case err != nil:
		err = fault.JSON(err)
	case f.PeftType != "LORA" || f.UseDoRA || f.UseRSLoRA || f.FanInFanOut || f.Bias != "none":
		err = fmt.Errorf("only plain LoRA without biases is supported")
	case len(f.RankPattern) > 0 || len(f.AlphaPattern) > 0:
		err = fmt.Errorf("rank_pattern and alpha_pattern are not supported")
	case f.R < 1:
		err = fmt.Errorf("r is %d", f.R)
	}
	if err != nil {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "load adapter", Path: path, Err: err, Hint: hintAdapter}}
	}
	return &f, nil
}

// check refuses a weights file that does not hold exactly what the config
// promises: both matrices of every adapter and, of a classifier, the head.
func (f *adapterFile) check(file *fileSource, arch Arch) error {
	bad := func(path, format string, args ...any) error {
		return &fault.ConfigError{Detail: fault.Detail{Op: "load adapter", Path: path,
			Reason: fmt.Sprintf(format, args...), Hint: hintAdapter}}
	}
	beside := filepath.Join(filepath.Dir(file.path), adapterConfigName)
	modules, err := loraModules(f.TargetModules)
	if err != nil {
		return bad(beside, "target_modules names a layer that the model does not have")
	}
	m := &Model{Arch: arch}
	m.layout()
	if err := m.addAdapters(&loraSpec{r: f.R, modules: modules}); err != nil {
		return bad(beside, "r is %d, more than a layer of the model has inputs or outputs", f.R)
	}
	wanted := slices.Clone(m.adapters)
	var saved []string
	if m.Score != nil {
		saved = []string{"score"}
		wanted = append(wanted, &Param{Name: peftScoreName, Shape: m.Score.Shape})
	}
	if !slices.Equal(f.ModulesToSave, saved) {
		return bad(beside, "modules_to_save is %q, and not %q as for this model", f.ModulesToSave, saved)
	}
	known := make(map[string]bool, len(wanted))
	for _, p := range wanted {
		known[p.Name] = true
		if _, err := file.check(p.Name, p.Shape); err != nil {
			return err
		}
	}
	for _, name := range file.file.Names() {
		if !known[name] {
			return bad(file.path, "tensor %.200q belongs to none of target_modules", name)
		}
	}
	return nil
}

// writeJSON writes v with indent 2, whole or not at all.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return atomicfile.WriteBytes(path, 0o644, append(data, '\n'))
}
