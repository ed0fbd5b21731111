package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/fault"
)

const opResolve = "resolve data"

// Resolved is the data of a run, verified and open.
type Resolved struct {
	Train     *File // never nil
	Val, Test *File // nil when there is none
	// Manifest describes what is used. It is the data set's own where there is
	// one, else made for the occasion with the version "local".
	Manifest     *Manifest
	ManifestPath string // "" for a manifest made for the occasion
	Version      string // the manifest's ID@VERSION
	DataHash     string // sha256: and the hex of the train file
	Warnings     []string
}

// Resolve finds, verifies and opens the data of a run, in this order:
//
//  1. Train, when given. With a manifest.json in its folder that lists it, the
//     hashes of that manifest are verified; the manifest is the run's when it
//     lists all of the paths given under the splits they are given for.
//  2. DatasetVersion, found among the manifests under SearchDir (FindVersion).
//     A Val or Test given beside it takes the place of the version's own.
//  3. Versions kept behind an API cannot be looked up yet: a DataError says so.
//
// The task that is asked for must be the manifest's. The caller closes what is
// returned.
func Resolve(ctx context.Context, spec Spec) (*Resolved, error) {
	if err := checkTask(opResolve, spec.Task); err != nil {
		return nil, err
	}
	spec, err := spec.located()
	if err != nil {
		return nil, err
	}
	r := &Resolved{}
	switch {
	case given(spec.Train):
		err = r.fromPaths(ctx, spec)
	case given(spec.DatasetVersion):
		err = r.fromVersion(ctx, spec)
	default:
		err = &fault.ConfigError{Detail: fault.Detail{
			Op: opResolve, Reason: "no data is given", Hint: "set data_paths.train or dataset_version",
		}}
	}
	if err != nil {
		_ = r.Close() // opened for reading only
		return nil, err
	}
	r.Version = r.Manifest.Ref()
	r.DataHash = "sha256:" + r.Train.SHA256()
	r.warnOverlap()
	return r, nil
}

// Close releases the files.
func (r *Resolved) Close() error {
	var errs []error
	for _, f := range []*File{r.Train, r.Val, r.Test} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

func given(s *string) bool { return s != nil && *s != "" }

// slot is a split's place in Resolved and the path asked for it.
type slot struct {
	split string
	path  *string
	file  **File
}

func (r *Resolved) slots(spec Spec) []slot {
	return []slot{{Train, spec.Train, &r.Train}, {Val, spec.Val, &r.Val}, {Test, spec.Test, &r.Test}}
}

// fromPaths opens the files that data_paths name.
func (r *Resolved) fromPaths(ctx context.Context, spec Spec) error {
	if given(spec.DatasetVersion) {
		r.warn("dataset_version %s is not used: data_paths.train is set", quote(*spec.DatasetVersion))
	}
	m, err := r.neighbour(spec)
	if err != nil {
		return err
	}
	whole := m != nil // the manifest lists everything that is used
	for _, s := range r.slots(spec) {
		if !given(s.path) {
			continue
		}
		entry, listed := m.entry(*s.path)
		switch {
		case !listed:
			whole = false
			*s.file, err = Open(ctx, *s.path, spec.Task)
		default:
			if entry.Split != s.split {
				whole = false
				r.warn("data_paths.%s is the %s split of %s", s.split, entry.Split, m.Ref())
			}
			*s.file, err = m.load(ctx, opResolve, entry)
		}
		if err != nil {
			return err
		}
	}
	if whole {
		r.Manifest, r.ManifestPath = m, m.Path()
		return nil
	}
	r.Manifest = r.local(spec)
	return nil
}

// neighbour returns the manifest beside the train file when it lists that file,
// nil when there is none to go by.
func (r *Resolved) neighbour(spec Spec) (*Manifest, error) {
	name := filepath.Join(filepath.Dir(*spec.Train), ManifestName)
	data, err := readManifest(opResolve, name)
	if err != nil {
		if _, statErr := os.Lstat(name); statErr == nil {
			r.warn("%s is not used: %s", name, asProblem(err).Reason)
		}
		return nil, nil
	}
	if claim := readClaim(data); !claim.lists(filepath.Base(*spec.Train)) {
		return nil, nil // it describes something else
	}
	m, err := parseManifest(opResolve, name, data)
	if err != nil {
		return nil, err
	}
	if m.Task != spec.Task {
		r.warn("%s is not used: it is for task %s", name, m.Task)
		return nil, nil
	}
	return m, m.mismatchError(opResolve, m.checkContentHash())
}

// entry returns what a loaded manifest lists for the file at path. A nil
// manifest lists nothing.
func (m *Manifest) entry(path string) (ManifestFile, bool) {
	if m == nil {
		return ManifestFile{}, false
	}
	want, err := filepath.Abs(path)
	if err != nil {
		return ManifestFile{}, false
	}
	for _, f := range m.Files {
		have, err := filepath.Abs(filepath.Join(m.dir(), filepath.FromSlash(f.Path)))
		if err == nil && have == want {
			return f, true
		}
	}
	return ManifestFile{}, false
}

// local describes files that no manifest describes as a whole. The id is the
// name of the train file's folder, the version "local", and the time that of
// the youngest file, so that the same files give the same manifest. A file
// outside that folder is listed by its name, under the name of its split where
// two would be the same; its hash is what identifies it.
func (r *Resolved) local(spec Spec) *Manifest {
	dir := filepath.Dir(r.Train.Path())
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	var parts []Part
	var youngest time.Time
	used := map[string]bool{}
	for _, s := range r.slots(spec) {
		f := *s.file
		if f == nil {
			continue
		}
		name := nameIn(dir, f.Path())
		if used[name] {
			name = path.Join(s.split, name)
		}
		used[name] = true
		parts = append(parts, Part{Path: name, Split: s.split, File: f})
		if f.modified.After(youngest) {
			youngest = f.modified
		}
	}
	return Describe(idFrom(filepath.Base(dir)), "local", spec.Task, youngest.UTC().Format(time.RFC3339), parts)
}

// nameIn returns path relative to dir, or its last element when it lies
// elsewhere or has a name that a manifest cannot hold.
func nameIn(dir, file string) string {
	if abs, err := filepath.Abs(file); err == nil {
		if rel, err := filepath.Rel(dir, abs); err == nil && badPath(filepath.ToSlash(rel)) == "" {
			return filepath.ToSlash(rel)
		}
	}
	return strings.ToValidUTF8(strings.ReplaceAll(filepath.Base(file), `\`, "_"), "_")
}

// idFrom makes a dataset_id of the name of a folder.
func idFrom(name string) string {
	id := strings.Map(func(r rune) rune {
		if validName("a"+string(r), "._-") {
			return r
		}
		return '-'
	}, name)
	if id = strings.TrimLeft(id, "._-"); id == "" {
		return "data"
	}
	return id
}

// fromVersion opens the files of a DatasetVersion.
func (r *Resolved) fromVersion(ctx context.Context, spec Spec) error {
	m, err := spec.findVersion(ctx)
	if err != nil {
		return err
	}
	if m.Task != spec.Task {
		return &fault.DataError{Detail: fault.Detail{
			Op: opResolve, Path: m.Path(), Reason: fmt.Sprintf("%s is for task %s, and task %s is asked for", m.Ref(), m.Task, spec.Task),
			Hint: "set task to " + m.Task + ", or choose another data set",
		}}
	}
	if err := m.mismatchError(opResolve, m.checkContentHash()); err != nil {
		return err
	}
	whole := true
	for _, s := range r.slots(spec) {
		if given(s.path) {
			whole = false
			r.warn("data_paths.%s is used instead of the %s split of %s", s.split, s.split, m.Ref())
			*s.file, err = Open(ctx, *s.path, spec.Task)
		} else {
			*s.file, err = m.loadSplit(ctx, s.split)
		}
		if err != nil {
			return err
		}
	}
	if whole {
		r.Manifest, r.ManifestPath = m, m.Path()
		return nil
	}
	r.Manifest = r.local(spec)
	return nil
}

// loadSplit opens the file of a split, nil when the version has none; there
// must be one to train on.
func (m *Manifest) loadSplit(ctx context.Context, split string) (*File, error) {
	files := m.Of(split)
	switch {
	case len(files) == 1:
		return m.load(ctx, opResolve, files[0])
	case len(files) > 1:
		return nil, &fault.DataError{Detail: fault.Detail{
			Op: opResolve, Path: m.Path(), Reason: fmt.Sprintf("%s has %d files in its %s split, and one is supported", m.Ref(), len(files), split),
			Hint: "join them into one file and write the manifest anew",
		}}
	case split == Train:
		return nil, &fault.DataError{Detail: fault.Detail{
			Op: opResolve, Path: m.Path(), Reason: m.Ref() + " has no train split", Hint: "choose a data set with one, or set data_paths.train",
		}}
	}
	return nil, nil
}

func (r *Resolved) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// warnOverlap warns of splits that are the same bytes: what is measured on the
// train split says nothing about unseen data.
func (r *Resolved) warnOverlap() {
	for _, s := range r.slots(Spec{})[1:] {
		if f := *s.file; f != nil && f.SHA256() == r.Train.SHA256() {
			r.warn("the %s file is the train file: %s and %s have the same bytes", s.split, f.Path(), r.Train.Path())
		}
	}
	if r.Val != nil && r.Test != nil && r.Val.SHA256() == r.Test.SHA256() && r.Val.SHA256() != r.Train.SHA256() {
		r.warn("the test file is the val file: %s and %s have the same bytes", r.Test.Path(), r.Val.Path())
	}
}
