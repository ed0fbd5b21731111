package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/core/server/roots"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
	"github.com/verifily/verifily-tui/runs/yamlfile"
)

// fence checks that nothing a client asks for leads out of the roots: neither
// the paths that it names, nor the links behind them, nor the paths that stand in
// the files named.
type fence struct {
	roots   *roots.Set
	runsDir string
	store   *runs.Store // of runsDir
}

func newFence(allowed *roots.Set, runsDir string) fence {
	return fence{roots: allowed, runsDir: runsDir, store: runs.NewStore(runsDir)}
}

// checkRetrain finds out whether a retrain can be served: the data set, the mode,
// the other paths, in this order.
func (f *fence) checkRetrain(req *wire.RetrainRequest, project string) error {
	if err := f.checkDataset(req.DatasetDir); err != nil {
		return err
	}
	if err := core.CheckRetrain(core.RetrainOptions{DatasetDir: req.DatasetDir, Mode: req.Mode, ProjectID: project, Seed: req.Seed}); err != nil {
		return err
	}
	if req.Mode == retrain.ModeReal && !fitsInt64(req.Seed) {
		return unprocessable("body -> seed: mode real takes seeds of 64 bits")
	}
	if err := f.checkFolder("dataset_dir", req.DatasetDir); err != nil {
		return err
	}
	for _, run := range []struct {
		field string
		path  *string
	}{{"base_run_dir", req.BaseRunDir}, {"contaminated_run_dir", req.ContaminatedRunDir}} {
		if run.path == nil {
			continue
		}
		if _, err := f.findRun(run.field, *run.path); err != nil {
			return err
		}
	}
	out := text(req.OutputDir)
	if out == "" {
		out = filepath.Join(retrain.DefaultRoot, project)
	}
	for _, dir := range []string{out, filepath.Join(out, "runs"), filepath.Join(out, "train")} {
		err := f.checkOutput("output_dir", dir)
		if usual := filepath.Join(retrain.DefaultRoot, project); errors.Is(err, roots.ErrOutside) && out == usual {
			p := forbidden(fmt.Sprintf("body -> output_dir: is needed, as %s, where retrains go without one, is outside of the paths that this server may use", usual))
			p.cause = err
			return p
		}
		if err != nil {
			return err
		}
	}
	if req.Mode == retrain.ModeReal {
		return f.checkOwnConfig(req.DatasetDir)
	}
	return nil
}

// checkOwnConfig checks the train.yaml of a data set, of which a retrain takes
// everything but the data and the output folder.
func (f *fence) checkOwnConfig(dataset string) error {
	own := filepath.Join(dataset, "train.yaml")
	if _, err := f.roots.Existing(own); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	const source = "retrain"
	cfg, err := core.LoadConfig(own, config.Override{Key: "dataset_version", Value: nil, Source: source},
		config.Override{Key: "data_paths.train", Value: filepath.Join(dataset, artifact.DataName), Source: source},
		config.Override{Key: "data_paths.val", Value: nil, Source: source}, config.Override{Key: "data_paths.test", Value: nil, Source: source})
	if err != nil {
		return err
	}
	return f.checkConfig(cfg, "")
}

// checkDataset answers for what is missing of a data set, in the contract's
// words. A folder outside of the roots is, to a client, not there.
func (f *fence) checkDataset(dir string) error {
	real, err := f.roots.Existing(dir)
	if err == nil {
		err = isFolder(real)
	}
	if err != nil {
		p := notFound("Dataset dir not found: %s", dir)
		p.cause = err
		return p
	}
	for _, name := range []string{artifact.DataName, artifact.HashesName} {
		if _, err := f.roots.Existing(filepath.Join(dir, name)); err != nil {
			p := notFound("%s not found in %s", name, dir)
			p.cause = err
			return p
		}
	}
	return nil
}

func isFolder(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	return err
}

// mostEntries bounds how much of a folder is looked through for links that lead
// out. A run with all its checkpoints has some hundred entries.
const mostEntries = 10_000

// checkFolder makes sure that reading a folder reads nothing outside of the
// roots, and waits for no pipe.
func (f *fence) checkFolder(field, dir string) error {
	_, err := f.roots.Folder(dir, mostEntries)
	return pathProblem(field, dir, err)
}

// checkOutput makes sure that a folder that will be written is in the roots.
func (f *fence) checkOutput(field, dir string) error {
	_, err := f.roots.Creatable(dir)
	return pathProblem(field, dir, err)
}

// pathProblem says what is wrong with a path that stands in a body.
func pathProblem(field, path string, err error) error {
	return pathProblemAt("body -> "+field, path, err)
}

// pathProblemAt says what is wrong with a path that a client named somewhere.
func pathProblemAt(place, path string, err error) error {
	var p *problem
	switch {
	case err == nil:
		return nil
	case errors.Is(err, roots.ErrOutside):
		p = forbidden(fmt.Sprintf("%s: %s is outside of the paths that this server may use", place, path))
	case errors.Is(err, fs.ErrNotExist):
		p = &problem{status: http.StatusBadRequest, kind: wire.Validation, message: fmt.Sprintf("%s: there is no %s", place, path)}
	default:
		p = &problem{status: http.StatusBadRequest, kind: wire.Validation, message: fmt.Sprintf("%s: %s cannot be used: %s", place, path, plain(err))}
	}
	p.cause = err
	return p
}

// plain is an error without the path that the operating system repeats.
func plain(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// trainConfig reads the configuration of a training, checks its paths, and
// writes out where relative ones lead.
func (f *fence) trainConfig(req *wire.TrainRequest) (*config.Config, error) {
	var set []config.Override
	if req.OutputDir != nil {
		set = append(set, config.Override{Key: "output.dir", Value: *req.OutputDir, Source: "output_dir"})
	}
	if req.Seed != "" {
		set = append(set, config.Override{Key: "seed", Value: req.Seed, Source: "seed"})
	}
	beside := ""
	var cfg *config.Config
	var err error
	if req.Config != nil {
		cfg, err = config.FromMap(req.Config, set...)
	} else {
		real, wrong := f.roots.Existing(req.ConfigPath)
		if wrong != nil {
			return nil, pathProblem("config_path", req.ConfigPath, wrong)
		}
		if wrong := notData("config_path", real); wrong != nil {
			return nil, wrong
		}
		beside = filepath.Dir(real)
		cfg, err = core.LoadConfig(real, set...)
	}
	if err != nil {
		return nil, err
	}
	if err := f.checkConfig(cfg, beside); err != nil {
		return nil, err
	}
	settle(cfg, beside)
	return cfg, nil
}

// notData refuses a file that is not called a configuration. What is wrong in a
// configuration is told in its own words, and those of a data set are nobody's
// business.
func notData(field, path string) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml", ".json":
		return nil
	}
	return &problem{status: http.StatusBadRequest, kind: wire.Validation,
		message: fmt.Sprintf("body -> %s: %s is not called a configuration: its name must end in .yaml, .yml or .json", field, path)}
}

// checkConfig keeps every path of a configuration in the roots. Relative ones
// start at the server's folder or else beside the file.
func (f *fence) checkConfig(cfg *config.Config, beside string) error {
	for _, p := range []struct {
		key  string
		path *string
	}{{"data_paths.train", cfg.DataPaths.Train}, {"data_paths.val", cfg.DataPaths.Val}, {"data_paths.test", cfg.DataPaths.Test},
		{"eval.gold_set", cfg.Eval.GoldSet}, {"output.dir", &cfg.Output.Dir}} {
		if p.path == nil {
			continue
		}
		if err := f.checkEither("config -> "+p.key, *p.path, beside); err != nil {
			return err
		}
	}
	if cfg.DatasetVersion != nil { // manifests are looked for below the output folder
		if err := f.checkFolderIfThere("config -> output.dir", cfg.Output.Dir); err != nil {
			return err
		}
	}
	return f.checkBase("config -> base_model", cfg.BaseModel, beside)
}

// settle writes out where relative paths of a configuration lead: from the
// server's folder, or else from the folder of the file.
func settle(cfg *config.Config, beside string) {
	if beside == "" {
		return
	}
	for _, path := range []*string{&cfg.BaseModel, cfg.DataPaths.Train, cfg.DataPaths.Val, cfg.DataPaths.Test, cfg.Eval.GoldSet} {
		if path == nil || filepath.IsAbs(*path) {
			continue
		}
		at := filepath.Join(beside, *path)
		if _, err := os.Stat(*path); err == nil {
			continue
		}
		if _, err := os.Stat(at); err == nil {
			*path = at
		}
	}
}

func (f *fence) checkFolderIfThere(field, dir string) error {
	if _, err := f.roots.Existing(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return f.checkFolder(field, dir)
}

// checkEither checks a path wherever it may be taken to start.
func (f *fence) checkEither(field, path, beside string) error {
	if err := f.checkOutput(field, path); err != nil {
		return err
	}
	if beside != "" && !filepath.IsAbs(path) {
		return f.checkOutput(field, beside+string(filepath.Separator)+path)
	}
	return nil
}

// mostBases is how long a chain of runs, each the base model of the next, may
// be.
const mostBases = 16

// checkBase checks a base model: a folder, or a run with a base of its own.
func (f *fence) checkBase(field, base, beside string) error {
	for range mostBases {
		if strings.HasPrefix(base, "builtin:") || base == "" {
			return nil
		}
		if err := f.checkEither(field, base, beside); err != nil {
			return err
		}
		at := base
		if _, err := f.roots.Existing(at); err != nil && beside != "" && !filepath.IsAbs(base) {
			at = filepath.Join(beside, base)
		}
		if _, err := f.roots.Existing(at); err != nil {
			return nil // the name of a model, or nothing: the training tells
		}
		if err := f.checkFolder(field, at); err != nil {
			return err
		}
		if base, beside = baseOf(at); base == "" {
			return nil
		}
	}
	return unprocessable("body -> " + field + ": too many models are based on each other")
}

// baseOf is the base model that a run was trained on, and where its relative
// paths start.
func baseOf(dir string) (base, beside string) {
	run, err := runs.Open(dir)
	if err != nil {
		return "", ""
	}
	cfg, err := run.Config()
	if err != nil {
		return "", ""
	}
	meta, _ := run.Meta() // without one there is no other folder to start at
	base, _ = cfg["base_model"].(string)
	return base, meta.WorkingDir
}

// checkEval checks the paths of an evaluation and puts the folder of the run in
// the place of its name.
func (f *fence) checkEval(req *wire.EvalRequest) error {
	var err error
	if req.Run, err = f.findRun("run", req.Run); err != nil {
		return err
	}
	if req.TestData != nil {
		if _, err := f.roots.Existing(*req.TestData); err != nil {
			return pathProblem("test_data", *req.TestData, err)
		}
	}
	if req.OutputDir != nil {
		if err := f.checkOutput("output_dir", *req.OutputDir); err != nil {
			return err
		}
	}
	return f.checkRunInputs(req.Run, req.TestData == nil)
}

// checkCompare checks the runs of a comparison and puts their folders in the
// place of their names.
func (f *fence) checkCompare(req *wire.CompareRequest) error {
	for i, name := range req.Runs {
		var err error
		if req.Runs[i], err = f.findRun("runs", name); err != nil {
			return err
		}
	}
	return nil
}

// checkRunInputs checks what evaluating a run reads besides the run: its base
// model, and its data when no other is named.
func (f *fence) checkRunInputs(dir string, withData bool) error {
	run, err := runs.Open(dir)
	if err != nil {
		return nil // the evaluation tells
	}
	cfg, err := run.Config()
	if err != nil {
		return nil
	}
	meta, _ := run.Meta() // without one there is no other folder to start at
	if paths, ok := cfg["data_paths"].(map[string]any); ok && withData {
		for _, key := range []string{"test", "val"} {
			if path, ok := paths[key].(string); ok {
				if err := f.checkEither("run -> data_paths."+key, path, meta.WorkingDir); err != nil {
					return err
				}
			}
		}
	}
	if eval, ok := cfg["eval"].(map[string]any); ok {
		if path, ok := eval["gold_set"].(string); ok {
			if err := f.checkEither("run -> eval.gold_set", path, meta.WorkingDir); err != nil {
				return err
			}
		}
	}
	base, _ := cfg["base_model"].(string)
	return f.checkBase("run -> base_model", base, meta.WorkingDir)
}

// namePattern is what ids and names of runs look like; paths have separators.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._ -]{0,199}$`)

// findRun returns the folder of a run: a path in the roots, else the id or name
// of a run in the runs folder. All of it must be in the roots.
func (f *fence) findRun(field, name string) (string, error) {
	_, err := f.roots.Existing(name)
	if err == nil {
		return name, f.checkFolder(field, name)
	}
	if namePattern.MatchString(name) {
		if _, err := f.roots.Existing(f.runsDir); err == nil {
			entries, err := f.list(f.runsDir)
			if err != nil {
				return "", err
			}
			for _, e := range entries {
				if e.Name == name || e.Meta.RunID == name || e.Meta.RunName == name {
					return e.Dir, f.checkFolder(field, e.Dir)
				}
			}
		}
	}
	return "", pathProblem(field, name, err)
}

// list lists the runs of a folder in the roots.
func (f *fence) list(dir string) ([]runs.Entry, error) {
	if dir == f.runsDir {
		return f.store.List()
	}
	return runs.List(dir)
}

// mostPipeline bounds a pipeline.yaml, in bytes.
const mostPipeline = 1 << 20

// checkPipeline keeps every path of a pipeline.yaml in the roots. They start
// beside the file.
func (f *fence) checkPipeline(path string) error {
	real, err := f.roots.Existing(path)
	if err != nil {
		return pathProblem("config_path", path, err)
	}
	if err := notData("config_path", real); err != nil {
		return err
	}
	data, err := regular.Read(real, mostPipeline)
	if err != nil {
		return pathProblem("config_path", path, err)
	}
	var named struct {
		RunDir      string `yaml:"run_dir"`
		TrainData   string `yaml:"train_data"`
		EvalData    string `yaml:"eval_data"`
		BaselineRun string `yaml:"baseline_run"`
	}
	if err := yamlfile.Decode(data, &named); err != nil {
		return &core.ConfigError{Detail: fault.Detail{Op: "read monitor config", Path: path, Reason: "is not a pipeline.yaml"}}
	}
	for _, p := range []struct{ key, path string }{{"run_dir", named.RunDir}, {"train_data", named.TrainData},
		{"eval_data", named.EvalData}, {"baseline_run", named.BaselineRun}} {
		if p.path == "" {
			continue
		}
		at, field := p.path, "config_path -> "+p.key
		if !filepath.IsAbs(at) {
			at = filepath.Dir(real) + string(filepath.Separator) + at
		}
		if err := f.checkOutput(field, at); err != nil {
			return err
		}
		if err := f.checkFolderIfThere(field, at); err != nil {
			return err
		}
	}
	return f.checkOutput("config_path", filepath.Join(filepath.Dir(real), "monitor_history.jsonl"))
}
