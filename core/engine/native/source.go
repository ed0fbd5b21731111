package native

import (
	"errors"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"slices"
	"strings"

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
	if !exists(path) {
		d := fault.Detail{Op: "load model", Path: dir, Reason: "the folder has no " + modelWeightsName,
			Hint: "save the model with its weights as " + modelWeightsName}
		if exists(path + ".index.json") {
			d.Reason, d.Hint = "the weights are split into shards", "save the model as one "+modelWeightsName
		}
		return nil, &fault.ConfigError{Detail: d}
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
