package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/verifily/verifily-tui/core/fault"
)

// Spec says what data a run asks for. A nil or empty text is not given.
type Spec struct {
	Task             string
	Train, Val, Test *string // data_paths
	DatasetVersion   *string // ID@VERSION
	SearchDir        string  // output.dir, where versions are looked for
	// WorkingDir is where relative paths start that lead nowhere from the
	// current folder: the one that a run was started in. Empty: nowhere else.
	WorkingDir string
}

// located is the spec with every relative path as it leads to something.
func (s Spec) located() (Spec, error) {
	for _, path := range []**string{&s.Train, &s.Val, &s.Test} {
		if !given(*path) {
			continue
		}
		found, ok := Locate(**path, s.WorkingDir)
		if !ok {
			return s, notLocated(**path, s.WorkingDir)
		}
		*path = &found
	}
	return s, nil
}

// Locate returns path, or, when it is relative and leads nowhere from the
// current folder, the same path from the working folder. It is false when that
// does not exist either; without a working folder that is left to whoever
// opens the path.
func Locate(path, workingDir string) (string, bool) {
	if workingDir == "" || filepath.IsAbs(path) {
		return path, true
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, true
	}
	there := filepath.Join(workingDir, path)
	if _, err := os.Stat(there); err == nil {
		return there, true
	}
	return path, false
}

func notLocated(path, workingDir string) error {
	return &fault.DataError{Detail: fault.Detail{
		Op: opResolve, Path: path, Reason: "no such file",
		Hint: fmt.Sprintf("it is neither below the current folder nor below %s, where the run was started; put it back where it was", workingDir),
	}}
}

// findVersion looks below the search folder and then, when that is relative,
// below the one of the same name in the working folder.
func (s Spec) findVersion(ctx context.Context) (*Manifest, error) {
	m, err := FindVersion(ctx, s.SearchDir, *s.DatasetVersion)
	if err == nil || ctx.Err() != nil || s.WorkingDir == "" || filepath.IsAbs(s.SearchDir) {
		return m, err
	}
	if there, err := FindVersion(ctx, filepath.Join(s.WorkingDir, s.SearchDir), *s.DatasetVersion); err == nil {
		return there, nil
	}
	return nil, err
}
