package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/fault"
)

// searchDepth is how many folders below the search folder are looked into:
// enough for datasets/ORG/NAME/VERSION, and a bound on a slip such as "/".
const searchDepth = 5

// FindVersion returns the manifest of `ID@VERSION` found under dir (and under
// dir/datasets, also where that is a link), up to five folders deep. Run
// folders and their checkpoints are passed over: the manifest in a run is a
// copy of what was used, without the data.
//
// Several manifests of the version are one answer while they list the same
// hashes, and then the first whose files exist is taken; with different hashes
// they are a DataError that names them. So is a version that is not found.
func FindVersion(ctx context.Context, dir, ref string) (*Manifest, error) {
	id, version, err := ParseRef(ref)
	if err != nil {
		return nil, err
	}
	s := &search{ctx: ctx, id: id, version: version, met: map[string]bool{}}
	for _, start := range []string{dir, filepath.Join(dir, "datasets")} {
		if real, err := filepath.EvalSymlinks(start); err == nil {
			if err := s.walk(start, real, 0); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", opResolve, dir, err)
			}
		}
	}
	if len(s.found) == 0 {
		return nil, s.notFound(dir)
	}
	return s.choose()
}

// search gathers the manifests of one version.
type search struct {
	ctx         context.Context
	id, version string
	met         map[string]bool // folders, links resolved
	found       []*Manifest
	others      []string        // the same id in other versions
	problems    []fault.Problem // what could not be read
}

// walk looks into folder dir, whose path without links is real.
func (s *search) walk(dir, real string, depth int) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if s.met[real] {
		return nil
	}
	s.met[real] = true
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.problems = append(s.problems, fault.Problem{Path: dir, Reason: reduce(err).Error()})
		return nil
	}
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name && !e.IsDir() })
	}
	if depth > 0 && has("run_meta.json") {
		return nil // a run
	}
	if has(ManifestName) {
		s.look(filepath.Join(dir, ManifestName))
	}
	if depth == searchDepth {
		return nil
	}
	for _, e := range entries {
		if name := e.Name(); e.IsDir() && !passOver(name) {
			if err := s.walk(filepath.Join(dir, name), filepath.Join(real, name), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// passOver names folders that hold weights rather than data.
func passOver(name string) bool {
	switch name {
	case "checkpoints", "adapter", "tokenizer", "model", "eval":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "checkpoint-")
}

// look takes a manifest into account when it claims to be of the version.
// Files of the same name and another purpose are common, so only one that makes
// the claim has to be valid.
func (s *search) look(path string) {
	data, err := readManifest(opResolve, path)
	if err != nil {
		s.problems = append(s.problems, asProblem(err))
		return
	}
	claim := readClaim(data)
	switch {
	case claim.broken:
		s.problems = append(s.problems, fault.Problem{Path: path, Reason: "broken JSON"})
	case claim.id != s.id:
	case claim.version != s.version:
		s.others = append(s.others, quote(claim.id+"@"+claim.version))
	default:
		m, err := parseManifest(opResolve, path, data)
		if err == nil {
			s.found = append(s.found, m)
			return
		}
		var bad *fault.DataError
		if errors.As(err, &bad) {
			s.problems = append(s.problems, bad.Problems...)
		}
	}
}

// claim is what a file named manifest.json says it describes.
type claim struct {
	broken      bool // no JSON object
	id, version string
	paths       []string
}

// readClaim reads the few fields that tell whose manifest this is, and takes
// anything for them.
func readClaim(data []byte) claim {
	r := &manifestReader{data: bytes.TrimPrefix(data, bom)}
	root, err := r.root()
	if err != nil || root.kind != kindObject {
		return claim{broken: true}
	}
	f, _ := r.object(root, "")
	c := claim{id: r.optionalText(f, root, "dataset_id"), version: r.optionalText(f, root, "version")}
	files, ok := f["files"]
	if !ok || files.kind != kindArray {
		return c
	}
	for _, item := range r.list(files, "files") {
		if entry, ok := r.object(item, "files"); ok {
			c.paths = append(c.paths, r.optionalText(entry, item, "path"))
		}
	}
	return c
}

// lists reports whether the file name stands in the claim's list.
func (c claim) lists(name string) bool {
	return slices.ContainsFunc(c.paths, func(p string) bool { return filepath.Clean(filepath.FromSlash(p)) == name })
}

// choose picks among the manifests found.
func (s *search) choose() (*Manifest, error) {
	first := s.found[0]
	for _, m := range s.found[1:] {
		if !sameContent(first, m) {
			var problems []fault.Problem
			for _, m := range s.found {
				problems = append(problems, fault.Problem{Path: m.Path(), Reason: "train " + trainSum(m)})
			}
			return nil, &fault.DataError{Detail: fault.Detail{
				Op: opResolve, Reason: fmt.Sprintf("%d manifests of %s list different data", len(s.found), first.Ref()),
				Hint:     "remove all but one, or give data_paths.train",
				Problems: problems[:min(len(problems), maxProblems)],
			}}
		}
	}
	for _, m := range s.found {
		if m.present() {
			return m, nil
		}
	}
	return first, nil // opening its files will say what is missing
}

// sameContent reports whether two manifests list the same bytes in each split.
func sameContent(a, b *Manifest) bool {
	key := func(m *Manifest) []string {
		var out []string
		for _, f := range m.Files {
			out = append(out, f.Split+" "+f.SHA256)
		}
		slices.Sort(out)
		return out
	}
	return a.Task == b.Task && slices.Equal(key(a), key(b))
}

func trainSum(m *Manifest) string {
	if files := m.Of(Train); len(files) > 0 {
		return files[0].SHA256
	}
	return "split is missing"
}

// present reports whether all files are where the manifest says.
func (m *Manifest) present() bool {
	for _, f := range m.Files {
		if _, err := os.Stat(filepath.Join(m.dir(), filepath.FromSlash(f.Path))); err != nil {
			return false
		}
	}
	return true
}

func (s *search) notFound(dir string) error {
	d := fault.Detail{
		Op: opResolve, Path: dir,
		Reason: fmt.Sprintf("%s@%s was not found in the manifests here, and looking versions up over an API is not available yet", s.id, s.version),
		Hint: fmt.Sprintf("put the data set with its manifest.json below %s or below %s, or set data_paths.train",
			dir, filepath.Join(dir, "datasets")),
		Problems: s.problems[:min(len(s.problems), maxProblems)],
	}
	switch {
	case len(s.met) == 0:
		d.Reason += "; there is no such folder"
	case len(s.others) > 0:
		slices.Sort(s.others)
		d.Reason += "; found " + strings.Join(slices.Compact(s.others), ", ")
	}
	return &fault.DataError{Detail: d}
}
