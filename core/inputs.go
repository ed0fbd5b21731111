package core

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine/native"
	"github.com/verifily/verifily-tui/core/fault"
)

// load reads the config, or that of the run to be resumed, and applies the
// options.
func (t *trainRun) load() error {
	opt := &t.opt
	if opt.ResumeFrom != "" {
		if err := t.findResumed(); err != nil {
			return err
		}
	}
	overrides, err := t.overrides()
	if err != nil {
		return err
	}
	switch {
	case opt.Config != nil:
		t.cfg, err = config.FromMap(opt.Config.Map(), overrides...)
	case opt.ConfigPath != "":
		t.cfg, err = config.Load(opt.ConfigPath, overrides...)
	case opt.ResumeFrom != "":
		path := filepath.Join(t.resumeDir, configName)
		if missing(path) {
			return &ConfigError{Detail: fault.Detail{Op: "resume", Path: path, Err: fs.ErrNotExist,
				Hint: "the run was stopped before it was written: resume with --config and the file that the run was started with"}}
		}
		t.cfg, err = config.Load(path, overrides...)
	default:
		err = &ConfigError{Detail: fault.Detail{Op: "train", Reason: "there is no configuration",
			Hint: "name a train.yaml, or a run to resume"}}
	}
	return err
}

func (t *trainRun) overrides() ([]config.Override, error) {
	opt := &t.opt
	out := append([]config.Override(nil), opt.Overrides...)
	add := func(key string, value any, source string) {
		out = append(out, config.Override{Key: key, Value: value, Source: source})
	}
	if opt.BaseModel != "" {
		add("base_model", opt.BaseModel, "--base-model")
	}
	if opt.OutputDir != "" {
		add("output.dir", opt.OutputDir, "--output-dir")
	}
	if opt.Device != "" {
		add("compute.device", opt.Device, "--device")
	}
	if opt.Seed != nil {
		add("seed", *opt.Seed, "--seed")
	}
	if opt.Dataset == "" {
		return out, nil
	}
	paths, err := datasetPaths(opt.Dataset)
	if err != nil {
		return nil, err
	}
	if paths == nil {
		add("dataset_version", opt.Dataset, "--dataset")
		paths = map[string]any{"train": nil, "val": nil, "test": nil}
	}
	for _, split := range []string{"train", "val", "test"} {
		add("data_paths."+split, paths[split], "--dataset")
	}
	return out, nil
}

// datasetPaths turns a dataset argument into data_paths: a train file, or the
// splits of the manifest in a folder. Nil means that it names a version.
func datasetPaths(arg string) (map[string]any, error) {
	info, err := os.Stat(arg)
	if err != nil {
		if strings.Contains(arg, "@") {
			return nil, nil
		}
		return nil, &DataError{Detail: fault.Detail{Op: "find data set", Path: arg, Err: cause(err),
			Hint: "name ID@VERSION, a JSONL file, or a folder with manifest.json"}}
	}
	if !info.IsDir() && filepath.Base(arg) != "manifest.json" {
		return map[string]any{"train": arg}, nil
	}
	path := arg
	if info.IsDir() {
		path = filepath.Join(arg, "manifest.json")
	}
	m, err := dataset.LoadManifest(path)
	if err != nil {
		return nil, err
	}
	paths := map[string]any{}
	for _, split := range []string{"train", "val", "test"} {
		files := m.Of(split)
		if len(files) > 1 {
			return nil, &DataError{Detail: fault.Detail{Op: "find data set", Path: path,
				Reason: fmt.Sprintf("split %s has %d files", split, len(files)), Hint: "one file a split is supported"}}
		}
		if len(files) == 1 {
			paths[split] = filepath.Join(filepath.Dir(path), filepath.FromSlash(files[0].Path))
		}
	}
	return paths, nil
}

// specOf is the data that a config names; workingDir is where the run with that
// config was started, empty for a new one.
func specOf(c *config.Config, workingDir string) dataset.Spec {
	return dataset.Spec{Task: c.Task, Train: c.DataPaths.Train, Val: c.DataPaths.Val, Test: c.DataPaths.Test,
		DatasetVersion: c.DatasetVersion, SearchDir: c.Output.Dir, WorkingDir: workingDir}
}

// warnings names what is allowed and probably not meant.
func (t *trainRun) warnings() []string {
	data := t.job.Data
	out := append(append(append([]string(nil), data.Warnings...), t.dropped()...), t.cfg.Warnings()...)
	if file := testOf(data); file != nil && t.cfg.Eval.Enabled {
		out = append(out, tagWarnings(t.cfg.Eval.SliceByTags, file)...)
	}
	if t.checkpoint != "" && missing(filepath.Join(t.resumeDir, dataset.ManifestName)) {
		out = append(out, dataset.ManifestName+" of the run is gone: whether its validation and test data are still those it was started on cannot be told")
	}
	return out
}

// checkGold looks at the gold set, which is not needed before the evaluation: a
// run that was trained already could not be evaluated without it.
func (t *trainRun) checkGold(ctx context.Context) error {
	if !t.cfg.Eval.Enabled || testOf(t.job.Data) == nil || t.cfg.Eval.GoldSet == nil {
		return nil
	}
	var err error
	if t.job.Gold, err = openGold(ctx, t.cfg, t.startedIn); err != nil {
		return err
	}
	return native.CheckLabels(t.job.Data.Train, t.job.Gold)
}

// openGold opens the gold set of a config that names one.
func openGold(ctx context.Context, c *config.Config, workingDir string) (*dataset.File, error) {
	path, _ := dataset.Locate(*c.Eval.GoldSet, workingDir) // one that leads nowhere is told by Open
	return dataset.Open(ctx, path, c.Task)
}

// testOf is what a run is evaluated on: its test data, else its validation
// data, else nothing.
func testOf(data *dataset.Resolved) *dataset.File {
	if data.Test != nil {
		return data.Test
	}
	return data.Val
}

// dropped names the data of the config that --dataset leaves without a
// successor.
func (t *trainRun) dropped() []string {
	opt := &t.opt
	if opt.Dataset == "" {
		return nil
	}
	before := opt.Config
	if before == nil {
		// Any train data makes a config valid that leaves its to --dataset.
		set := append(slices.Clone(opt.Overrides), config.Override{Key: "data_paths.train", Value: opt.Dataset})
		before, _ = config.Load(opt.ConfigPath, set...)
	}
	if before == nil {
		return nil
	}
	var out []string
	for _, split := range []struct {
		name string
		path *string
		used *dataset.File
	}{{"val", before.DataPaths.Val, t.job.Data.Val}, {"test", before.DataPaths.Test, t.job.Data.Test}} {
		if split.path != nil && split.used == nil {
			out = append(out, fmt.Sprintf("data_paths.%s (%s) is not used: --dataset takes the place of all data of the config", split.name, *split.path))
		}
	}
	return out
}

// tagWarnings warns of slices by tags that no row has.
func tagWarnings(keys []string, file *dataset.File) []string {
	var out []string
	for _, tag := range unknownTags(keys, file) {
		out = append(out, noSuchTag(tag, file.TagKeys()))
	}
	return out
}

// unknownTags are the tags in keys of slices that no row has, each once.
func unknownTags(keys []string, file *dataset.File) []string {
	known := file.TagKeys()
	if len(known) >= dataset.MaxTagKeys {
		return nil // there may be more
	}
	var out []string
	for _, key := range keys {
		for tag := range strings.SplitSeq(key, "*") {
			if !slices.Contains(known, tag) && !slices.Contains(out, tag) {
				out = append(out, tag)
			}
		}
	}
	return out
}

func noSuchTag(tag string, known []string) string {
	has := "the data has no tags"
	if len(known) > 0 {
		has = "the data has " + strings.Join(known[:min(len(known), 12)], ", ")
	}
	return fmt.Sprintf("no row has the tag %q; %s", tag, has)
}
