package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/atomicfile"
)

// refuseOutput says why a file must not be written: it is a folder, one of the
// inputs, or a part of a run that stays as it is. It is asked before the work
// is done.
func refuseOutput(op, path string, inputs ...string) error {
	if path == "" {
		return nil
	}
	refused := func(reason, hint string) error {
		return &core.ConfigError{Detail: fault.Detail{Op: op, Path: path, Reason: "is not written: " + reason, Hint: hint}}
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return refused("it is a folder", "name a file with --output")
	case err == nil && !info.Mode().IsRegular():
		return refused("it is not a regular file", "name a file with --output")
	case err == nil:
		for _, input := range inputs {
			if other, err := os.Stat(input); err == nil && os.SameFile(info, other) {
				return refused("it is one of the files that are read", "name another file with --output")
			}
		}
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return refused("there is no folder "+filepath.Dir(path), "make it first, or name another file")
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return err
	}
	inside := ""
	for dir := folder; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, "run_meta.json")); err == nil {
			below, _, _ := strings.Cut(inside, string(filepath.Separator))
			if !slices.Contains([]string{"eval", "decision", "review"}, below) {
				return refused("it would change the run "+dir, "a run stays as it is but for eval/, decision/ and review/")
			}
			if partOfRun(dir, filepath.ToSlash(filepath.Join(inside, filepath.Base(path)))) {
				return refused("it is a part of the run "+dir, "name another file with --output")
			}
			return nil
		} else if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return nil // not to be seen, or the top
		}
		inside = filepath.Join(filepath.Base(dir), inside)
	}
}

// runFiles are those of the folders that other files may be written to, which
// evaluations and decisions leave there.
var runFiles = []string{"eval/eval_results.json", "eval/predictions.jsonl", "eval/hard_examples.jsonl", "eval/confusion_matrix.json",
	"decision/decision.json", "decision/decision.txt", "decision/gates.json", "decision/hashes.json", "decision/" + decision.TrailName}

// partOfRun says whether a file, named relative to a run, is one that the run is
// made of: of its evaluation or decision, a label that is there, or what its
// hashes cover.
func partOfRun(dir, name string) bool {
	if slices.Contains(runFiles, name) {
		return true
	}
	if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name))); err == nil && strings.HasPrefix(name, "review/") {
		return true
	}
	run, err := runs.Open(dir)
	if err != nil {
		return false
	}
	hashes, err := run.Hashes()
	return err == nil && hashes.Files[name] != ""
}

// save writes a file, whole or not at all.
func save(op, path string, write func(io.Writer) error) error {
	if err := atomicfile.Write(path, 0o644, write); err != nil {
		return &core.ConfigError{Detail: fault.Detail{Op: op, Path: path, Reason: "cannot be written", Err: cause(err),
			Hint: "check free space and permissions, or name another file with --output"}}
	}
	return nil
}

// cause drops the path that an error of the operating system repeats.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
