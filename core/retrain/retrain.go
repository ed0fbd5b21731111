// Package retrain runs a retrain: it takes a data set artifact, trains on it or
// pretends to (mode mock), evaluates, decides, and leaves one directory behind
// with nine artifacts, or nothing at all.
//
// What a retrain leaves beside it are the splits of the data that a training
// read, in splits/ of the output folder: with them it is verified and repeated.
// A program that was killed leaves a hidden folder, which the next retrain
// removes, and in train/ the run of its training, an interrupted one like any
// other, which stays with its splits until somebody finishes or deletes it.
//
// A directory appears whole, under a number that no other retrain of the same
// output folder ever had, however many write at once and whatever was deleted
// since. Every artifact but hashes.json stands in its hash chain, the decision,
// the usage and the audit log included. What was asked for and cannot be read -
// a data set that was tampered with, a baseline without results, a contaminated
// run without a contamination result - is an error, never a verdict.
package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
)

// The modes.
const (
	ModeMock = "mock" // metrics follow from the data set and the seed
	ModeReal = "real" // trains with the native engine
)

// RealModeVariable must be 1 in the environment for mode real.
const RealModeVariable = "VERIFILY_ENABLE_REAL_TRAIN"

// ErrRealModeDisabled is the cause of the ConfigError for mode real without
// the variable.
var ErrRealModeDisabled = errors.New("real mode needs the environment variable " + RealModeVariable + "=1")

// DefaultRoot is the folder of the default output folders, one a project.
const DefaultRoot = "/tmp/verifily_retrain"

// The defaults of a Request.
const (
	DefaultProject = "default"
	DefaultMetric  = "f1"
	DefaultSeed    = json.Number("42")
)

// Request says what to retrain.
type Request struct {
	DatasetDir         string      // a data set artifact
	Sent               *Sent       // recorded in its place; nil: as it is
	BaseRunDir         string      // baseline; empty: none
	ContaminatedRunDir string      // a run whose contamination.json counts; empty: none
	Mode               string      // mock or real; empty: mock
	OutputDir          string      // empty: DefaultRoot/ProjectID
	ProjectID          string      // letters, digits and . _ -; empty: default
	Seed               json.Number // an integer of any size; empty: 42, or that of train.yaml
	Metric             string      // the metric that matters, recorded; empty: f1
	Notes              *string     // recorded; nil: null
	RequestID          string      // empty: made up
	JobID              string      // recorded in run_meta.json; empty: none
	CI, Privacy        bool        // recorded in usage.json
}

// Sent is a data set as it was named where the retrain was asked for.
type Sent struct {
	DatasetDir string
	WorkingDir string // where it starts if it is relative
}

// Deps are what a retrain needs from outside.
type Deps struct {
	Environment runs.Environment
	// Train is called in mode real. It may leave folders below Job.OutputDir
	// only, and none when it fails.
	Train func(ctx context.Context, job Job) (*Trained, error)
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// Getenv looks up the environment; nil means os.Getenv.
	Getenv func(string) string
}

// Job is what mode real trains.
type Job struct {
	DatasetDir string
	DataPath   string      // dataset.jsonl
	DataHash   string      // sha256 of dataset.jsonl, hex
	OutputDir  string      // of the retrain
	Seed       json.Number // empty: the training's own
}

// Trained is a finished and evaluated training.
type Trained struct {
	RunDir  string // a completed run directory, which moves into the retrain as train/
	Task    string
	Seed    json.Number // as used
	RowsOut int         // rows of all splits
}

// projectPattern keeps a project inside its folder.
var projectPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

var requestPattern = regexp.MustCompile(`^[\x20-\x7e]{1,256}$`)

// complete fills the defaults in and checks what was given.
func (r *Request) complete() error {
	if r.Mode == "" {
		r.Mode = ModeMock
	}
	if r.ProjectID == "" {
		r.ProjectID = DefaultProject
	}
	if r.Metric == "" {
		r.Metric = DefaultMetric
	}
	wrong := func(key, reason, hint string) error {
		return &fault.ConfigError{Detail: fault.Detail{Op: "retrain", Reason: key + ": " + reason, Hint: hint}}
	}
	switch {
	case r.Mode != ModeMock && r.Mode != ModeReal:
		return wrong("mode", fmt.Sprintf("must be mock or real, not %q", r.Mode), "")
	case !projectPattern.MatchString(r.ProjectID):
		return wrong("project_id", fmt.Sprintf("%q is no project id", r.ProjectID),
			"use letters, digits and . _ -, at most 128, the first one no point")
	case r.RequestID != "" && !requestPattern.MatchString(r.RequestID):
		return wrong("request_id", fmt.Sprintf("%q is no request id", r.RequestID), "use at most 256 printable ASCII characters")
	}
	if r.Seed != "" {
		n, ok := new(big.Int).SetString(r.Seed.String(), 10)
		if !ok {
			return wrong("seed", fmt.Sprintf("must be an integer, not %q", r.Seed.String()), "")
		}
		r.Seed = json.Number(n.String())
	}
	if r.OutputDir == "" {
		r.OutputDir = filepath.Join(DefaultRoot, r.ProjectID)
	}
	return nil
}

// Check finds out, before anything is made, whether a request can be served:
// its values, the data set's files, the mode, in this order.
func Check(req *Request, getenv func(string) string) error {
	_, err := check(req, getenv)
	return err
}

// check returns the data set, which is not verified yet.
func check(req *Request, getenv func(string) string) (*artifact.Artifact, error) {
	if err := req.complete(); err != nil {
		return nil, err
	}
	a, err := loadArtifact(req.DatasetDir)
	if err != nil {
		return nil, err
	}
	if getenv == nil {
		getenv = os.Getenv
	}
	if req.Mode == ModeReal && getenv(RealModeVariable) != "1" {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "retrain", Err: ErrRealModeDisabled,
			Hint: "set it where the program runs, or use mode mock"}}
	}
	return a, nil
}

// Run serves a request. The errors are those of Check; *fault.DataError for a
// data set that is not what its hashes say or a contamination result that
// cannot be read; *fault.EvalError for a baseline; those of Deps.Train; and
// *fault.TrainingError when the directory cannot be written.
func Run(ctx context.Context, req Request, deps Deps) (*Result, error) {
	data, err := check(&req, deps.Getenv)
	if err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Environment.Packages == nil {
		deps.Environment.Packages = map[string]string{}
	}
	if deps.Environment.GPU == nil {
		deps.Environment.GPU = map[string]any{}
	}
	j := &job{ctx: ctx, req: req, deps: deps, start: deps.Now()}
	if err := j.open(data); err != nil {
		return nil, err
	}
	s, err := enter(ctx, j.req.OutputDir)
	if err != nil {
		return nil, j.writeError(err)
	}
	var res *Result
	if err = j.evaluate(); err == nil {
		res, err = j.write()
	}
	s.leave(j, err != nil)
	return res, err
}

// job is one call of Run.
type job struct {
	ctx   context.Context
	req   Request
	deps  Deps
	start time.Time

	source  *source
	sources decision.Sources // without the run
	trained *Trained         // nil in mode mock
	eval    evaluation
	usage   Usage
}

// open reads and verifies what the request names.
func (j *job) open(data *artifact.Artifact) error {
	var err error
	if j.source, err = openSource(j.ctx, data); err != nil {
		return err
	}
	j.sources.Baseline = j.req.BaseRunDir
	j.sources.Report = j.source.report
	begun := j.deps.Now()
	if j.req.ContaminatedRunDir != "" {
		if j.sources.Contamination, err = contaminationOf(j.req.ContaminatedRunDir); err != nil {
			return err
		}
		j.usage.Units.ContaminationChecks = 1
	}
	if err := j.sources.Check(); err != nil {
		return err
	}
	j.usage.Timing.Contamination = milliseconds(j.deps.Now().Sub(begun))
	return nil
}

func milliseconds(d time.Duration) int64 { return max(0, d.Milliseconds()) }

// contaminationOf finds the contamination result of a run.
func contaminationOf(dir string) (string, error) {
	if path := decision.ContaminationIn(dir); path != "" {
		return path, nil
	}
	reason := "the run has no contamination.json"
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		reason = "there is no such folder"
	}
	// A run is sealed but for eval/.
	return "", &fault.DataError{Detail: fault.Detail{Op: "read contamination of run", Path: dir, Reason: reason,
		Hint: "write one with: verifily contamination --train A --eval B --output " + filepath.Join(dir, "eval", "contamination.json")}}
}
