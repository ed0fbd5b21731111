package native

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/engine/native/safetensors"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/tensor"
)

// source gives the values of a base model's parameters. The slice may be
// shared with a mapped file and must not be written to.
type source interface {
	tensor(name string, shape []int) ([]float32, error)
	// release says that a tensor's values are not used any more.
	release(name string)
	close() error
}

// seedSource makes initial weights from a seed: norms are one, the rest is
// normal with Llama's standard deviation. A tensor depends on the seed and on
// its name alone.
type seedSource struct{ seed int64 }

func (s seedSource) tensor(name string, shape []int) ([]float32, error) {
	values := make([]float32, size(shape))
	if len(shape) == 1 {
		for i := range values {
			values[i] = 1
		}
		return values, nil
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	tensor.NewPhilox(s.seed, streamWeights, h.Sum64()).Normal(values, initStd)
	return values, nil
}

func (seedSource) release(string) {}

func (seedSource) close() error { return nil }

// fileSource reads a model.safetensors. The head of a classifier that the file
// does not hold, or holds for other labels, comes from the seed.
type fileSource struct {
	file      *safetensors.File
	path      string
	seed      int64
	keepScore bool // the file's score belongs to the labels of this task
}

func openModelFile(dir string, seed int64) (*fileSource, error) {
	path := filepath.Join(dir, modelWeightsName)
	if _, err := os.Stat(path); err != nil {
		hint := ""
		if _, err := os.Stat(path + ".index.json"); err == nil {
			hint = "the weights are split into shards; save the model as one model.safetensors"
		}
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: path, Err: err, Hint: hint}}
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, modelError(path, err)
	}
	return &fileSource{file: f, path: path, seed: seed}, nil
}

// modelError makes a broken file of the base model a ConfigError: base_model is
// what the user has to change.
func modelError(path string, err error) error {
	var typed fault.TrainError
	if errors.As(err, &typed) {
		return &fault.ConfigError{Detail: *typed.Fault()}
	}
	return &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: path, Err: err}}
}

func (s *fileSource) tensor(name string, shape []int) ([]float32, error) {
	info, ok := s.file.Info(name)
	if name == scoreName && !(ok && s.keepScore) {
		return seedSource{s.seed}.tensor(name, shape)
	}
	if !ok {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "load weights", Path: s.path,
			Reason: fmt.Sprintf("tensor %s is missing", name), Hint: "config.json beside it describes another model"}}
	}
	if !slices.Equal(info.Shape, shape) {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "load weights", Path: s.path,
			Reason: fmt.Sprintf("tensor %s has shape %v, config.json wants %v", name, info.Shape, shape),
			Hint:   "config.json beside it describes another model"}}
	}
	values, err := s.file.F32(name)
	if err != nil {
		return nil, modelError(s.path, err)
	}
	return values, nil
}

func (s *fileSource) release(name string) { s.file.Release(name) }

func (s *fileSource) close() error { return s.file.Close() }

// mergedSource adds a LoRA adapter to the weights of its base:
// W + alpha/r · B·A.
type mergedSource struct {
	base    source
	adapter *fileSource
	scale   float32
	kern    tensor.Kernels
}

func (s *mergedSource) tensor(name string, shape []int) ([]float32, error) {
	if name == scoreName {
		if _, ok := s.adapter.file.Info(peftScoreName); ok && s.adapter.keepScore {
			return s.adapter.tensor(peftScoreName, shape)
		}
		return seedSource{s.adapter.seed}.tensor(name, shape)
	}
	values, err := s.base.tensor(name, shape)
	prefix := "base_model.model." + strings.TrimSuffix(name, "weight")
	infoA, ok := s.adapter.file.Info(prefix + "lora_A.weight")
	if err != nil || !ok {
		return values, err
	}
	if len(infoA.Shape) != 2 || len(shape) != 2 {
		return nil, modelError(s.adapter.path, fmt.Errorf("%slora_A.weight has shape %v", prefix, infoA.Shape))
	}
	r := infoA.Shape[0]
	a, err := s.adapter.tensor(prefix+"lora_A.weight", []int{r, shape[1]})
	if err != nil {
		return nil, err
	}
	b, err := s.adapter.tensor(prefix+"lora_B.weight", []int{shape[0], r})
	if err != nil {
		return nil, err
	}
	scaled := slices.Clone(b)
	s.kern.Scale(scaled, s.scale)
	merged := slices.Clone(values)
	s.kern.Gemm(tensor.Mat(merged, shape[0], shape[1]), tensor.Mat(scaled, shape[0], r), tensor.Mat(a, r, shape[1]), true)
	return merged, nil
}

func (s *mergedSource) release(name string) { s.base.release(name) }

func (s *mergedSource) close() error {
	err := s.adapter.close()
	return firstError(err, s.base.close())
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// base is a model to start from.
type base struct {
	arch         Arch
	tokenizerDir string // empty for a built-in model, whose tokenizer is learned
	src          source
}

// maxBases bounds how many runs may stand on each other's shoulders.
const maxBases = 16

// openBase finds the model that base_model names: a built-in, a folder in
// Hugging Face layout, or a run directory.
func openBase(name string, seed int64) (*base, error) { return openBaseDepth(name, seed, 0) }

func openBaseDepth(name string, seed int64, depth int) (*base, error) {
	if depth > maxBases {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: name,
			Reason: fmt.Sprintf("more than %d runs build on each other", maxBases),
			Hint:   "does a run name itself as its base?"}}
	}
	if IsBuiltin(name) {
		arch, err := builtinArch(name)
		return &base{arch: arch, src: seedSource{seed}}, err
	}
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: name, Err: err,
			Reason: "base_model is neither a folder here nor a built-in model",
			Hint:   "models are not downloaded; name a local folder, an earlier run, or builtin:nano"}}
	}
	for _, dir := range []string{name, filepath.Join(name, "model")} {
		if exists(filepath.Join(dir, configName)) && !exists(filepath.Join(dir, adapterConfigName)) {
			return openFolder(dir, seed)
		}
	}
	if exists(filepath.Join(name, "adapter", adapterConfigName)) {
		return openAdapterRun(name, seed, depth)
	}
	return nil, &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: name,
		Reason: "the folder holds no config.json, model/ or adapter/",
		Hint:   "base_model names a folder in Hugging Face layout or a completed run"}}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func openFolder(dir string, seed int64) (*base, error) {
	arch, err := loadArch(dir)
	if err != nil {
		return nil, err
	}
	src, err := openModelFile(dir, seed)
	if err != nil {
		return nil, err
	}
	return &base{arch: arch, tokenizerDir: dir, src: src}, nil
}

// openAdapterRun rebuilds the model of a LoRA run: its base, as the run's own
// config names it, with the adapter merged.
func openAdapterRun(run string, seed int64, depth int) (*base, error) {
	dir := filepath.Join(run, "adapter")
	ac, err := loadAdapterConfig(dir)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(filepath.Join(run, "config.yaml"))
	if err != nil {
		return nil, err
	}
	b, err := openBaseDepth(cfg.BaseModel, cfg.Seed, depth+1)
	if err != nil {
		return nil, err
	}
	arch, err := loadArch(dir)
	if err != nil {
		return nil, firstError(err, b.src.close())
	}
	path := filepath.Join(dir, adapterWeightsName)
	file, err := safetensors.Open(path)
	if err != nil {
		b.src.close()
		return nil, modelError(path, err)
	}
	kern, err := tensor.New()
	if err != nil {
		return nil, err
	}
	if cfg.LoRA.Enabled {
		b.quantize(cfg.LoRA.Quantization)
	}
	b.arch = arch
	b.tokenizerDir = filepath.Join(run, "tokenizer")
	b.src = &mergedSource{base: b.src, kern: kern, scale: float32(ac.Alpha / float64(ac.R)),
		adapter: &fileSource{file: file, path: path, seed: seed}}
	return b, nil
}

// quantize keeps the base in fewer bits, as lora.quantization says.
func (b *base) quantize(bits string) {
	if bits != "none" {
		b.src = &quantSource{b.src, bits}
	}
}

// keepScore makes the base's classification head part of the model.
func (b *base) keepScore() {
	src := b.src
	if q, ok := src.(*quantSource); ok {
		src = q.source
	}
	switch s := src.(type) {
	case *fileSource:
		s.keepScore = true
	case *mergedSource:
		s.adapter.keepScore = true
	}
}
