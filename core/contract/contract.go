// Package contract checks a run directory against the run contract: the files
// that a run must have before anybody decides about it.
//
// Check looks at existence and status alone, as every reader of run directories
// does, and its answer decides. Content looks inside the files - hashes, chain,
// config, metrics, predictions - and its answers stand beside, since what older
// writers left may fail them and yet be a run. Nothing is written, and no file
// outside the run directory is opened, whatever hashes.json names.
package contract

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/verifily/verifily-tui/runs"
)

// Status is the outcome of one check.
type Status string

// The outcomes of a check.
const (
	Pass Status = "PASS"
	Fail Status = "FAIL"
)

// Item is one thing looked at.
type Item struct {
	File   string `json:"file"` // slash path relative to the run
	Status Status `json:"status"`
	Detail string `json:"detail"`
}

// Result is what the run contract says of a run.
type Result struct {
	Valid   bool   `json:"valid"`
	Checks  []Item `json:"checks"`
	HasEval bool   `json:"has_eval"`
}

// Missing lists the files of the checks that failed, in the order of the
// checks.
func (r Result) Missing() []string {
	out := []string{}
	for _, c := range r.Checks {
		if c.Status == Fail {
			out = append(out, c.File)
		}
	}
	return out
}

// The files that the contract names.
const (
	configFile      = "config.yaml"
	hashesFile      = "hashes.json"
	environmentFile = "environment.json"
	resultsFile     = "eval/eval_results.json"
	topResultsFile  = "eval_results.json"
	metaFile        = "run_meta.json"
)

// Check checks a run directory: config.yaml, hashes.json and environment.json
// exist, eval/eval_results.json (or eval_results.json at the top) exists, and
// run_meta.json, if it is there, parses and says completed. A folder that does
// not exist fails every check.
func Check(dir string) Result {
	res := Result{Valid: true}
	add := func(file string, ok bool, detail string) {
		status := Pass
		if !ok {
			status, res.Valid = Fail, false
		}
		res.Checks = append(res.Checks, Item{File: file, Status: status, Detail: detail})
	}
	for _, name := range []string{configFile, hashesFile, environmentFile} {
		ok, detail := exists(dir, name)
		add(name, ok, detail)
	}
	ok, detail := exists(dir, resultsFile)
	name := resultsFile
	if !ok {
		if top, d := exists(dir, topResultsFile); top {
			ok, detail, name = true, d, topResultsFile
		}
	}
	res.HasEval = ok
	add(name, ok, detail)
	if there, _ := exists(dir, metaFile); there {
		ok, detail := completed(dir)
		add(metaFile, ok, detail)
	}
	return res
}

func exists(dir, name string) (bool, string) {
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, "missing"
	case err != nil:
		return false, "cannot be read: " + cause(err).Error()
	case info.IsDir():
		return false, "is a folder"
	case !info.Mode().IsRegular():
		return false, "is not a regular file"
	}
	return true, "exists"
}

// completed says whether run_meta.json parses and has the status completed.
func completed(dir string) (bool, string) {
	run, err := runs.Open(dir)
	if err != nil {
		return false, "cannot be read: " + cause(err).Error()
	}
	meta, err := run.Meta()
	switch {
	case err != nil:
		return false, "cannot be parsed"
	case meta.Status == "":
		return false, "has no status"
	case meta.Status != runs.StatusCompleted:
		return false, fmt.Sprintf("status is %q, not %q", meta.Status, runs.StatusCompleted)
	}
	return true, "status is completed"
}

// cause drops the path that an error of package os repeats.
func cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}
