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
	// check refuses a tensor that is not there in this shape, before anything is
	// made for it. bytes is the memory that its values take; those in a mapped
	// file take none.
	check(name string, shape []int) (bytes int64, err error)
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

func (seedSource) check(_ string, shape []int) (int64, error) { return 4 * int64(size(shape)), nil }

func (seedSource) release(string) {}

func (seedSource) close() error { return nil }

// fileSource reads a model.safetensors. The head of a classifier comes from the
// seed, unless it is the file's that is wanted.
type fileSource struct {
	file      *safetensors.File
	path      string
	config    string // the file beside it that describes the model
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
	return &fileSource{file: f, path: path, config: configName, seed: seed}, nil
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

func (s *fileSource) fromSeed(name string) bool { return name == scoreName && !s.keepScore }

func (s *fileSource) check(name string, shape []int) (int64, error) {
	if s.fromSeed(name) {
		return seedSource{s.seed}.check(name, shape)
	}
	d := fault.Detail{Op: "load weights", Path: s.path, Hint: s.config + " beside it describes another model, or the file is damaged"}
	info, ok := s.file.Info(name)
	switch {
	case !ok:
		d.Reason = fmt.Sprintf("tensor %s is missing", name)
	case !slices.Equal(info.Shape, shape):
		d.Reason = fmt.Sprintf("tensor %s has shape %v, %s wants %v", name, info.Shape, s.config, shape)
	case info.DType == safetensors.F32:
		return 0, nil
	default:
		return 4 * int64(size(shape)), nil
	}
	return 0, &fault.ConfigError{Detail: d}
}

func (s *fileSource) tensor(name string, shape []int) ([]float32, error) {
	if s.fromSeed(name) {
		return seedSource{s.seed}.tensor(name, shape)
	}
	if _, err := s.check(name, shape); err != nil {
		return nil, err
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
	adapter *fileSource // checked, see adapterFile.check
	r       int
	scale   float32
	kern    tensor.Kernels
}

// adapted names the two matrices that change a tensor; ok is false when it
// stays as it is.
func (s *mergedSource) adapted(name string) (a, b string, ok bool) {
	prefix := "base_model.model." + strings.TrimSuffix(name, "weight")
	a, b = prefix+"lora_A.weight", prefix+"lora_B.weight"
	_, ok = s.adapter.file.Info(a)
	return a, b, ok
}

// head is the name to ask the adapter for the classification head by; under
// scoreName it gives a new one, from the seed.
func (s *mergedSource) head() string {
	if s.adapter.keepScore {
		return peftScoreName
	}
	return scoreName
}

func (s *mergedSource) check(name string, shape []int) (int64, error) {
	if name == scoreName {
		return s.adapter.check(s.head(), shape)
	}
	bytes, err := s.base.check(name, shape)
	if _, _, ok := s.adapted(name); ok && err == nil {
		bytes = 4 * int64(size(shape))
	}
	return bytes, err
}

func (s *mergedSource) tensor(name string, shape []int) ([]float32, error) {
	if name == scoreName {
		return s.adapter.tensor(s.head(), shape)
	}
	values, err := s.base.tensor(name, shape)
	nameA, nameB, ok := s.adapted(name)
	if err != nil || !ok {
		return values, err
	}
	r := s.r
	a, err := s.adapter.tensor(nameA, []int{r, shape[1]})
	if err != nil {
		return nil, err
	}
	b, err := s.adapter.tensor(nameB, []int{shape[0], r})
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
