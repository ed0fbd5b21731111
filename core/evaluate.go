package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/engine/native"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/reproduce"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/runs"
)

// EvaluateOptions says what to evaluate. The zero value of a field leaves the
// matter to the run's config.
type EvaluateOptions struct {
	RunPath      string   // run directory of a finished training
	TestData     string   // JSONL file; else the run's test data, else its validation data
	Metrics      []string // see eval.metrics
	SliceBy      []string // tag keys, also crossed as a*b
	HardExamples *int     // the most to keep
	Device       string   // see compute.device
	BatchSize    int      // see eval.batch_size
	MaxNewTokens int      // see eval.generation_max_new_tokens
	NumBeams     int      // see eval.generation_num_beams
	OutputDir    string   // where the files go; see Evaluate
	Events       func(engine.Event)
}

// EvalResult is the outcome of an evaluation.
type EvalResult struct {
	runs.EvalResults
	Hard      []runs.HardExample
	Confusion *runs.ConfusionMatrix
	// Missing counts, by metric, the examples without a usable value.
	Missing map[string]int
	// MinSlice is the size under which a slice says little.
	MinSlice int
	// SliceBy lists the keys of the slices in the order they were asked for.
	SliceBy []string
	// Totals and Sliced hold the metrics with their intervals.
	Totals metrics.Result
	Sliced metrics.Sliced
	// Lift says which slices the hard examples come from.
	Lift []metrics.TagLift
	// Dir is where the files are.
	Dir string
}

// Evaluate lets the model of a run answer test data and writes predictions,
// metrics, slices and hard examples.
//
// The evaluation of the data that the run was made with - its test data, else
// its validation data - goes to eval/ of the run, where comparisons and
// decisions read it. That of any other data goes to a folder below, named after
// the file and the start of its hash: eval/NAME-1a2b3c4d. OutputDir wins over
// both. It must not lie in a run, unless in eval/ of this one: all else in a
// run is sealed.
//
// A key of SliceBy that no row has is a *ConfigError, as it would take the place
// of slices that say something - unless no row has any tag: then there is
// nothing to lose, and it is a warning, as it is for the keys of the config.
//
// Weights that are not those of hashes.json, or a base model that has changed,
// are an *EvalError.
func Evaluate(ctx context.Context, opt EvaluateOptions) (*EvalResult, error) {
	run, err := runs.Open(opt.RunPath)
	if err != nil {
		return nil, evalError("open run", opt.RunPath, err, "name a run directory, such as runs/run_20260101_120000_abcdef")
	}
	meta, err := run.Meta()
	if err != nil {
		return nil, evalError("read run", opt.RunPath, err, "")
	}
	if err := opt.checkRetrain(run); err != nil {
		return nil, err
	}
	cfg, err := opt.config(run)
	if err != nil {
		return nil, err
	}
	if err := opt.checkTrained(run, meta); err != nil {
		return nil, err
	}
	e := evaluation{dir: run.Dir(), startedIn: meta.WorkingDir, runID: meta.RunID, cfg: cfg, engine: native.Engine{}, emit: opt.Events}
	if e.emit == nil {
		e.emit = func(engine.Event) {}
	}
	if opt.OutputDir != "" {
		if e.place, err = placeOf(opt.OutputDir, run.Dir()); err != nil {
			return nil, err
		}
	}
	path, err := opt.testPath(ctx, cfg, meta.WorkingDir)
	if err != nil {
		return nil, err
	}
	if e.test, err = dataset.Open(ctx, path, cfg.Task); err != nil {
		return nil, err
	}
	defer e.test.Close()
	if err := opt.checkTags(e.test); err != nil {
		return nil, err
	}
	if opt.OutputDir == "" {
		opt.chooseFolder(&e)
	}
	if err := checkWeights(ctx, run, meta, cfg); err != nil {
		return nil, err
	}
	for _, w := range tagWarnings(cfg.Eval.SliceByTags, e.test) {
		e.emit(engine.LogEvent{Warning: true, Message: w})
	}
	return e.run(ctx)
}

// config is the run's with what the options set.
func (opt *EvaluateOptions) config(run *runs.Run) (*config.Config, error) {
	path := filepath.Join(run.Dir(), configName)
	if _, err := os.Stat(path); err != nil {
		return nil, evalError("read run", path, cause(err), "the run was not made by this program, or its config.yaml is gone")
	}
	cfg, err := config.Load(path, opt.overrides()...)
	var bad *ConfigError
	if errors.As(err, &bad) {
		for i := range bad.Problems {
			if p := &bad.Problems[i]; p.Key == "eval.gold_set" || p.Key == "eval.format_rules" {
				p.Path, p.Line = "", 0
				p.Hint = "it is a setting of the run's configuration, which does not change once the run is trained; leave the metric out"
			}
		}
	}
	return cfg, err
}

func (opt *EvaluateOptions) overrides() []config.Override {
	var out []config.Override
	add := func(key string, value any, source string) {
		out = append(out, config.Override{Key: key, Value: value, Source: source})
	}
	if len(opt.Metrics) > 0 {
		add("eval.metrics", anySlice(opt.Metrics), "--metrics")
	}
	if len(opt.SliceBy) > 0 {
		add("eval.slice_by_tags", anySlice(opt.SliceBy), "--slice-by")
	}
	if opt.HardExamples != nil {
		add("eval.hard_examples", *opt.HardExamples, "--hard-examples")
	}
	if opt.Device != "" {
		add("compute.device", opt.Device, "--device")
	}
	if opt.BatchSize > 0 {
		add("eval.batch_size", opt.BatchSize, "--batch-size")
	}
	if opt.MaxNewTokens > 0 {
		add("eval.generation_max_new_tokens", opt.MaxNewTokens, "--max-new-tokens")
	}
	if opt.NumBeams > 0 {
		add("eval.generation_num_beams", opt.NumBeams, "--beams")
	}
	return out
}

func anySlice(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

// checkTrained refuses a run whose training has not come to its end.
func (opt *EvaluateOptions) checkTrained(run *runs.Run, meta runs.Meta) error {
	if meta.ArtifactPath != "" {
		return nil
	}
	status, err := run.State(time.Now())
	if err != nil {
		return evalError("read run", opt.RunPath, err, "")
	}
	d := fault.Detail{Op: "evaluate", Path: opt.RunPath, Reason: fmt.Sprintf("the run has no trained weights; it is %s", status)}
	switch status {
	case runs.StatusRunning:
		d.Hint = "wait until it is finished"
	case runs.StatusCompleted:
		d.Hint = "choose a run that was trained by this program"
	default:
		d.Hint = "finish it first: verifily train --resume " + opt.RunPath
	}
	return &EvalError{Detail: d}
}

// checkRetrain refuses a retrain, which is evaluated already and whose model is
// that of the training in it, and to write into this training: the hashes of the
// retrain cover it.
func (opt *EvaluateOptions) checkRetrain(run *runs.Run) error {
	if r, err := reproduce.RetrainOf(run); err == nil && r != nil {
		d := fault.Detail{Op: "evaluate", Path: opt.RunPath, Reason: "it is a retrain in mode mock, which has no model",
			Hint: "name a training, or a retrain in mode real"}
		if r.Mode == retrain.ModeReal {
			d.Reason = "it is a retrain, which is evaluated and sealed"
			d.Hint = "its training can be evaluated once more: verifily eval --run " + filepath.Join(opt.RunPath, "train") + " --output FOLDER"
		}
		return &ConfigError{Detail: d}
	}
	dir, err := realPath(run.Dir())
	if err != nil {
		return evalError("read run", opt.RunPath, err, "")
	}
	outer := filepath.Dir(dir)
	if _, err := os.Lstat(filepath.Join(outer, "run_meta.json")); err != nil {
		return nil
	}
	if opt.OutputDir != "" {
		at, err := placeOf(opt.OutputDir, dir)
		if err != nil || at.outside != "" {
			return err
		}
	}
	return &ConfigError{Detail: fault.Detail{Op: "write evaluation", Path: opt.RunPath,
		Reason: fmt.Sprintf("it lies in the run %s, and a run is sealed", filepath.Base(outer)),
		Hint:   "name a folder outside of all runs with --output"}}
}

// testPath finds the data to evaluate on.
func (opt *EvaluateOptions) testPath(ctx context.Context, cfg *config.Config, workingDir string) (string, error) {
	if opt.TestData != "" {
		return opt.TestData, nil
	}
	data, err := dataset.Resolve(ctx, specOf(cfg, workingDir))
	if err != nil {
		return "", err
	}
	defer data.Close()
	if file := testOf(data); file != nil {
		return file.Path(), nil
	}
	return "", &EvalError{Detail: fault.Detail{Op: "find test data", Path: opt.RunPath,
		Reason: "the run has neither test nor validation data", Hint: "name a file with --test-data"}}
}

// checkTags refuses slices by tags that no row has, where rows have others.
func (opt *EvaluateOptions) checkTags(test *dataset.File) error {
	known := test.TagKeys()
	unknown := unknownTags(opt.SliceBy, test)
	if len(known) == 0 || len(unknown) == 0 {
		return nil
	}
	bad := &ConfigError{Detail: fault.Detail{Op: "evaluate"}}
	for _, tag := range unknown {
		p := fault.Problem{Path: test.Path(), Key: "--slice-by", Reason: noSuchTag(tag, known)}
		if near, close := config.Nearest(tag, known); close {
			p.Hint = "did you mean " + near + "?"
		}
		bad.Problems = append(bad.Problems, p)
	}
	return bad
}

// chooseFolder sends the evaluation of data that is not the run's own to a
// folder of its own.
func (opt *EvaluateOptions) chooseFolder(e *evaluation) {
	own := ownTestHash(e.dir)
	if own == "" || own == e.test.SHA256() {
		return
	}
	e.place.below = folderName(e.test.Path()) + "-" + e.test.SHA256()[:8]
	where := "the evaluation goes to eval/" + e.place.below + ", and that of the run's own data stays"
	if opt.TestData != "" {
		e.emit(engine.LogEvent{Message: where})
		return
	}
	e.emit(engine.LogEvent{Warning: true, Message: e.test.Path() + " has changed since the run was made: " + where})
}

// ownTestHash is the sha256 of what a run was to be evaluated on when it was
// started, empty when there was nothing or it is not known.
func ownTestHash(runDir string) string {
	m, err := dataset.LoadManifest(filepath.Join(runDir, dataset.ManifestName))
	if err != nil {
		return "" // of another writer
	}
	for _, split := range []string{dataset.Test, dataset.Val} {
		if files := m.Of(split); len(files) == 1 {
			return files[0].SHA256
		}
	}
	return ""
}

// folderName makes a plain name of that of a file.
func folderName(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}, name)
	const longest = 60
	return cmp.Or(strings.TrimLeft(name[:min(len(name), longest)], "."), "data")
}

// placeOf says what an output folder is: a place below eval/ of the run, or one
// outside of all runs. Anything else in a run is sealed.
func placeOf(out, runDir string) (place, error) {
	real, err := realPath(out)
	if err == nil {
		runDir, err = realPath(runDir)
	}
	if err != nil {
		return place{}, evalError("write evaluation", out, err, "check the path")
	}
	for dir := real; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, "run_meta.json")); err == nil {
			below, inEval := strings.CutPrefix(real, filepath.Join(dir, "eval"))
			if dir == runDir && inEval && (below == "" || below[0] == filepath.Separator) {
				return place{below: filepath.ToSlash(strings.TrimPrefix(below, string(filepath.Separator)))}, nil
			}
			return place{}, &ConfigError{Detail: fault.Detail{Op: "write evaluation", Path: out,
				Reason: fmt.Sprintf("it lies in the run %s, and a run is sealed", filepath.Base(dir)),
				Hint:   "name a folder outside of all runs, or leave it out: then the evaluation goes to eval/ of its run"}}
		}
		if dir == filepath.Dir(dir) {
			return place{outside: out}, nil
		}
	}
}

// realPath is the absolute path without links of something that need not exist
// yet.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for dir := abs; ; dir = filepath.Dir(dir) {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", err
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// checkWeights holds what is loaded of a completed run against its hashes: the
// model, its tokenizer and, of an adapter, the base it was trained over.
func checkWeights(ctx context.Context, run *runs.Run, meta runs.Meta, cfg *config.Config) error {
	hashes, err := run.Hashes()
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // not completed: there are none yet
		return evalError("check trained model", run.Dir(), err, "hashes.json is damaged: restore it, or train again")
	}
	names := slices.Sorted(maps.Keys(hashes.Files))
	// A run that holds a whole model needs neither its adapter nor its base.
	whole := slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "model/") })
	weights := "adapter"
	if whole {
		weights = "model"
	}
	for _, name := range names {
		if folder, _, _ := strings.Cut(name, "/"); folder != weights && folder != "tokenizer" {
			continue
		}
		if err := checkFile(ctx, filepath.Join(run.Dir(), filepath.FromSlash(name)), hashes.Files[name]); err != nil {
			return err
		}
	}
	if whole || meta.BaseWeightsHash == "" {
		return nil
	}
	now, err := native.BaseHash(ctx, cfg.BaseModel, run.Dir())
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return nil // the engine tells why it cannot be loaded
	case now != meta.BaseWeightsHash:
		return &EvalError{Detail: fault.Detail{Op: "check base model", Path: cfg.BaseModel,
			Reason: "its weights have changed since the run was trained over them", Hint: "restore the model, or train again"}}
	}
	return nil
}

// checkFile compares a file with its hash. Other writers gave values typed by
// hand, which say nothing.
func checkFile(ctx context.Context, path, want string) error {
	if len(want) != 64 || strings.Trim(want, "0123456789abcdefABCDEF") != "" {
		return nil
	}
	got, err := dataset.SHA256(ctx, path)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d := fault.Detail{Op: "check trained model", Path: path, Hint: "restore the file, or train again"}
	var bad *DataError
	switch {
	case errors.As(err, &bad):
		d.Reason, d.Err = bad.Reason, bad.Err
	case err != nil:
		d.Err = err
	case !strings.EqualFold(got, want):
		d.Reason = "the file was changed after the run was completed: hashes.json has another hash"
	default:
		return nil
	}
	return &EvalError{Detail: d}
}
