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
	"github.com/verifily/verifily-tui/core/fault"
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
			return nil
		} else if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return nil // not to be seen, or the top
		}
		inside = filepath.Join(filepath.Base(dir), inside)
	}
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
