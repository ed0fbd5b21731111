package batch

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

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
	var sums [3]string
	for i, f := range []*dataset.File{data.Train, data.Val, data.Test} {
		if f != nil {
			sums[i] = f.SHA256()
		}
	}
	return dataID{all: allOf(sums)}
}

// allOf is a hash over the hashes of the training, validation and test data.
func allOf(sums [3]string) string {
	return hashOf([]byte("|" + strings.Join(sums[:], "|")))
}

// dataOf is the data that a run was made for, as its manifest has it; ok is
// false where that does not tell.
func dataOf(dir string) (all string, ok bool) {
	if dir == "" {
		return "", false
	}
	m, err := dataset.LoadManifest(filepath.Join(dir, dataset.ManifestName))
	if err != nil {
		return "", false
	}
	var sums [3]string
	for i, split := range []string{dataset.Train, dataset.Val, dataset.Test} {
		switch files := m.Of(split); {
		case len(files) == 1:
			sums[i] = files[0].SHA256
		case len(files) > 1:
			return "", false
		}
	}
	return allOf(sums), true
}

// checkData looks whether the data of a job changed between the start of the
// batch, when it was identified, and that of the run: then the run is of other
// work than was planned, and the journal says of which.
func (s *scheduler) checkData(st *state) {
	if st.work.config == nil {
		return
	}
	all, ok := dataOf(st.run)
	if !ok || all == st.work.data {
		return
	}
	changed := *st.work
	changed.data = all
	st.work = &changed
	st.changed = true
	s.write(record{Kind: recordStart, Job: st.Name, Key: changed.key, Data: all, Attempt: st.attempt, Halved: st.halved})
	s.note(st.Name, otherData)
}

// otherData is said of a job whose data changed while the batch ran.
const otherData = "its data is other than when the batch was started"

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
