package core

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/filter"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
)

// FindRun returns the path of the run directory that a name stands for: the name
// itself where it is the path of one, else the id or the name of a run in dir
// ("runs" where that is empty). A run that reproduces another one of the same name
// does not stand in its way. A folder that is no run is returned as it is;
// whoever opens it tells what it lacks. The error is an *EvalError.
func FindRun(name, dir string) (string, error) { return findRun("find run", name, dir) }

func findRun(op, name, dir string) (string, error) {
	if dir == "" {
		dir = "runs"
	}
	if name != "" { // which would be the current folder
		_, err := runs.Open(name)
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, runs.ErrNotRun) && !errors.Is(err, fs.ErrNotExist) {
			return "", evalError(op, name, err, "check the permissions of the folder")
		}
	}
	entries, err := runs.List(dir)
	if err != nil {
		return "", evalError("list runs", dir, err, "")
	}
	var found, repeats []runs.Entry
	var known []string
	for _, e := range entries {
		known = append(known, e.Name)
		if e.Name == name || e.Meta.RunID == name {
			return e.Dir, nil
		}
		switch {
		case e.Meta.RunName != name || name == "":
		case e.Meta.Repeats != "":
			repeats = append(repeats, e)
		default:
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		found = repeats
	}
	switch len(found) {
	case 1:
		return found[0].Dir, nil
	case 0:
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			return name, nil
		}
		hint := "name a run directory, or the id or name of a run in " + filepath.Clean(dir)
		if len(known) > 0 {
			hint += ", such as " + strings.Join(known[:min(len(known), 3)], ", ")
		}
		return "", &EvalError{Detail: fault.Detail{Op: op, Path: name, Reason: "there is no such run", Hint: hint}}
	}
	return "", &EvalError{Detail: fault.Detail{Op: op, Path: dir,
		Reason: fmt.Sprintf("%d runs have the name %s", len(found), strconv.Quote(name)), Hint: "use an id, the newest first: " + candidates(found)}}
}

// mostCandidates bounds how many runs of the same name an error lists.
const mostCandidates = 8

// candidates lists runs by id and age.
func candidates(found []runs.Entry) string {
	var out []string
	for i := range found[:min(len(found), mostCandidates)] {
		out = append(out, fmt.Sprintf("%s (%s ago)", found[i].Name, text.Ago(time.Since(filter.Started(&found[i])).Seconds())))
	}
	if more := len(found) - len(out); more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ", ")
}
