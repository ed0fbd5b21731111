package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine/native/safetensors"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/tensor"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// base is a model to start from.
type base struct {
	arch         Arch
	tokenizerDir string // empty for a built-in model, whose tokenizer is learned
	src          source
	// name is what adapter_config.json calls the base: the absolute path of the
	// folder in Hugging Face layout, of a run that is an adapter itself the
	// absolute path of the run, or the name of a built-in.
	name string
}

// maxBases bounds how many runs may stand on each other's shoulders.
const maxBases = 16

// baseKind says what base_model names.
type baseKind int

const (
	builtinBase baseKind = iota
	folderBase           // a folder in Hugging Face layout
	adapterBase          // a run that holds an adapter
	noBase
)

// findBase tells what base_model names and, unless it is a built-in, where that
// is. A relative path leads from the current folder or else from the one that
// the run in runDir was started in; runDir may be empty. The error says why
// there is no base.
func findBase(name, runDir string) (kind baseKind, path string, err error) {
	if IsBuiltin(name) {
		return builtinBase, name, checkBuiltin(name)
	}
	workingDir := startedIn(runDir)
	path, _ = dataset.Locate(name, workingDir)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return noBase, path, missingBase(name, workingDir)
	case err != nil:
		return noBase, path, &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: name, Err: withoutPath(err),
			Hint: "base_model names a folder in Hugging Face layout or a completed run"}}
	case !info.IsDir():
		return noBase, path, &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: name,
			Reason: "base_model is a file, not a folder", Hint: "name the folder with config.json and " + modelWeightsName}}
	}
	if path, err = filepath.Abs(path); err != nil {
		return noBase, path, &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: name, Err: err}}
	}
	for _, dir := range []string{path, filepath.Join(path, modelDir)} {
		if exists(filepath.Join(dir, configName)) && !exists(filepath.Join(dir, adapterConfigName)) {
			return folderBase, dir, nil
		}
	}
	if exists(filepath.Join(path, adapterDir, adapterConfigName)) {
		return adapterBase, path, nil
	}
	return noBase, path, emptyBase(name, path)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// startedIn is the folder that a run was started in, empty when that is not
// known.
func startedIn(runDir string) string {
	if runDir == "" {
		return ""
	}
	run, err := runs.Open(runDir)
	if err != nil {
		return ""
	}
	meta, err := run.Meta()
	if err != nil {
		return ""
	}
	return meta.WorkingDir
}

// checkBuiltin adds to the error about an unknown built-in what was meant.
func checkBuiltin(name string) error {
	_, err := builtinArch(name)
	var unknown *fault.ConfigError
	if errors.As(err, &unknown) {
		if near, close := nearestBuiltin(name); close {
			unknown.Hint = "did you mean " + near + "?"
		}
	}
	return err
}

func nearestBuiltin(name string) (string, bool) {
	var known []string
	for b := range builtin {
		known = append(known, strings.TrimPrefix(b, builtinPrefix))
	}
	slices.Sort(known)
	near, close := config.Nearest(strings.TrimPrefix(name, builtinPrefix), known)
	return builtinPrefix + near, close
}

const builtinPrefix = "builtin:"

// hubID is the form of a name on the Hugging Face hub.
var hubID = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$`)

// missingBase is the error for a name that leads nowhere.
func missingBase(name, workingDir string) error {
	d := fault.Detail{Op: "load model", Path: name, Reason: "base_model is neither a folder here nor a built-in model",
		Hint: "models are not downloaded; name a local folder, an earlier run, or builtin:nano"}
	_, isBuiltin := builtin[builtinPrefix+name]
	switch near, close := nearestBuiltin(name); {
	case isBuiltin || close && !strings.ContainsAny(name, `/\.`):
		d.Hint = "did you mean " + near + "?"
	case workingDir != "" && !filepath.IsAbs(name):
		d.Hint = fmt.Sprintf("it is neither below the current folder nor below %s, where the run was started; put it back where it was", workingDir)
	case strings.HasPrefix(filepath.Base(name), "run_"):
		d.Hint = "no run is there; base_model takes the path of a run's folder, such as runs/" + filepath.Base(name)
	case hubID.MatchString(name):
		d.Hint = fmt.Sprintf("models are not downloaded here: if it is a Hugging Face id, run `hf download %s --local-dir %s` first; else check the path",
			name, name)
	}
	return &fault.ConfigError{Detail: d}
}

// emptyBase is the error for a folder without a model.
func emptyBase(name, path string) error {
	d := fault.Detail{Op: "load model", Path: name, Reason: "the folder holds no config.json, model/ or adapter/",
		Hint: "base_model names a folder in Hugging Face layout or a completed run"}
	if exists(filepath.Join(path, "run_meta.json")) {
		if run, err := runs.Open(path); err == nil {
			if status, err := run.State(time.Now()); err == nil && status != runs.StatusCompleted {
				d.Reason = fmt.Sprintf("the run is %s and has no trained weights yet", status)
				d.Hint = "finish it with verifily train --resume " + name
				if status == runs.StatusRunning {
					d.Hint = "wait until it is finished"
				}
			}
		}
	}
	return &fault.ConfigError{Detail: d}
}

// openBase opens the model that base_model names; see findBase.
func openBase(name, runDir string, seed int64) (*base, error) {
	return openBaseDepth(name, runDir, seed, 0)
}

func openBaseDepth(name, runDir string, seed int64, depth int) (*base, error) {
	if err := checkDepth(name, depth); err != nil {
		return nil, err
	}
	kind, path, err := findBase(name, runDir)
	switch {
	case err != nil:
		return nil, err
	case kind == builtinBase:
		arch, err := builtinArch(name)
		return &base{arch: arch, src: seedSource{seed}, name: name}, err
	case kind == adapterBase:
		return openAdapterRun(path, seed, depth)
	default:
		return openFolder(path, seed)
	}
}

func checkDepth(name string, depth int) error {
	if depth <= maxBases {
		return nil
	}
	return &fault.ConfigError{Detail: fault.Detail{Op: "load model", Path: name,
		Reason: fmt.Sprintf("more than %d runs build on each other", maxBases),
		Hint:   "does a run name itself as its base?"}}
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
	return &base{arch: arch, tokenizerDir: dir, src: src, name: dir}, nil
}

// openAdapterRun rebuilds the model of a LoRA run: its base, as the run's own
// config names it, with the adapter merged.
func openAdapterRun(run string, seed int64, depth int) (*base, error) {
	dir := filepath.Join(run, adapterDir)
	ac, err := loadAdapterConfig(dir)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(filepath.Join(run, "config.yaml"))
	if err != nil {
		return nil, err
	}
	b, err := openBaseDepth(cfg.BaseModel, run, cfg.Seed, depth+1)
	if err != nil {
		return nil, adapterNeeds(run, err)
	}
	if err := b.adapt(dir, ac, cfg, seed); err != nil {
		return nil, firstError(err, b.src.close())
	}
	b.tokenizerDir = filepath.Join(run, tokenizerDir)
	b.name = run
	return b, nil
}

// adapt merges the adapter in dir into the base, which stays open on an error.
func (b *base) adapt(dir string, ac *adapterFile, cfg *config.Config, seed int64) error {
	arch, err := loadArch(dir)
	if err != nil {
		return err
	}
	if !arch.sameWeights(b.arch) {
		return &fault.ConfigError{Detail: fault.Detail{Op: "load adapter", Path: filepath.Join(dir, configName),
			Reason: "it describes another model than " + cfg.BaseModel + ", which the adapter was trained over",
			Hint:   "restore the adapter and its base, or train it again"}}
	}
	kern, err := tensor.New()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, adapterWeightsName)
	file, err := safetensors.Open(path)
	if err != nil {
		return modelError(path, err)
	}
	adapter := &fileSource{file: file, path: path, config: adapterConfigName, seed: seed}
	if err := ac.check(adapter, arch); err != nil {
		return firstError(err, adapter.close())
	}
	if cfg.LoRA.Enabled {
		b.quantize(cfg.LoRA.Quantization)
	}
	b.arch = arch
	b.src = &mergedSource{base: b.src, adapter: adapter, r: ac.R, scale: float32(ac.Alpha / float64(ac.R)), kern: kern}
	return nil
}

// adapterNeeds says whose base it is that cannot be loaded.
func adapterNeeds(run string, err error) error {
	var bad *fault.ConfigError
	if !errors.As(err, &bad) {
		return err
	}
	d := bad.Detail
	d.Hint = fmt.Sprintf("%s is an adapter over this model, which must be where it was: %s", run, d.Hint)
	return &fault.ConfigError{Detail: d}
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

// BaseHash identifies the weights that base_model names: "sha256:" and the hash
// of model.safetensors, or of an adapter run the hash of the adapter's file and
// of its base's; empty for a built-in model, which comes from the seed. runDir
// is as for the run that names the base; it may be empty. The error is that of
// loading the model.
func BaseHash(ctx context.Context, name, runDir string) (string, error) {
	return baseHash(ctx, name, runDir, 0)
}

func baseHash(ctx context.Context, name, runDir string, depth int) (string, error) {
	if err := checkDepth(name, depth); err != nil {
		return "", err
	}
	kind, path, err := findBase(name, runDir)
	switch {
	case err != nil || kind == builtinBase:
		return "", err
	case kind == adapterBase:
		return adapterHash(ctx, path, depth)
	}
	// What cannot be loaded is not worth hashing.
	b, err := openFolder(path, 0)
	if err == nil {
		err = b.src.close()
	}
	if err != nil {
		return "", err
	}
	return fileHash(ctx, filepath.Join(path, modelWeightsName))
}

func adapterHash(ctx context.Context, run string, depth int) (string, error) {
	cfg, err := config.Load(filepath.Join(run, "config.yaml"))
	if err != nil {
		return "", err
	}
	below, err := baseHash(ctx, cfg.BaseModel, run, depth+1)
	if err != nil {
		return "", adapterNeeds(run, err)
	}
	if below == "" { // a built-in follows from its name and the seed
		below = fmt.Sprintf("%s@%d", cfg.BaseModel, cfg.Seed)
	}
	own, err := fileHash(ctx, filepath.Join(run, adapterDir, adapterWeightsName))
	if err != nil {
		return "", err
	}
	return "sha256:" + canonical.ChainHash(map[string]string{"adapter": own, "base": below}), nil
}

func fileHash(ctx context.Context, path string) (string, error) {
	sum, err := dataset.SHA256(ctx, path)
	if err != nil && ctx.Err() == nil {
		err = modelError(path, err)
	}
	return "sha256:" + sum, err
}
