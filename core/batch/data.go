package batch

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/verifily/verifily-tui/core/dataset"
)

// dataID is the data of a job: hashes, or why it cannot be used.
type dataID struct {
	all string // hash over all splits
	err error
}

func dataKey(st *state) string {
	c := st.Config
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	return fmt.Sprintf("%q", []string{c.Task, text(c.DataPaths.Train), text(c.DataPaths.Val), text(c.DataPaths.Test), text(c.DatasetVersion), c.Output.Dir})
}

// identifyData checks and hashes the data of all jobs, each set once.
func (s *scheduler) identifyData(ctx context.Context) (map[string]dataID, error) {
	out := map[string]dataID{}
	for _, st := range s.jobs {
		if st.Config == nil {
			continue
		}
		key := dataKey(st)
		if _, ok := out[key]; !ok {
			c := st.Config
			out[key] = identify(ctx, dataset.Spec{Task: c.Task, Train: c.DataPaths.Train, Val: c.DataPaths.Val,
				Test: c.DataPaths.Test, DatasetVersion: c.DatasetVersion, SearchDir: c.Output.Dir})
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return out, nil
}

func identify(ctx context.Context, spec dataset.Spec) dataID {
	data, err := dataset.Resolve(ctx, spec)
	if err != nil {
		return dataID{err: err}
	}
	defer data.Close()
	all := ""
	for _, f := range []*dataset.File{data.Train, data.Val, data.Test} {
		all += "|"
		if f != nil {
			all += f.SHA256()
		}
	}
	return dataID{all: hashOf([]byte(all))}
}

// below is a path as seen from the folder of the runs, so that the folder may
// be moved.
func (s *scheduler) below(path string) string {
	if path == "" {
		return ""
	}
	root, err := filepath.Abs(s.plan.RunsDir)
	if err != nil {
		return path
	}
	if !filepath.IsAbs(path) {
		if path, err = filepath.Abs(path); err != nil {
			return path
		}
	}
	rel, err := filepath.Rel(root, path)
	if err != nil || !filepath.IsLocal(rel) {
		return path
	}
	return filepath.ToSlash(rel)
}

// within is the inverse of below.
func (s *scheduler) within(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.plan.RunsDir, filepath.FromSlash(path))
}
