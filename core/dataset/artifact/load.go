package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// DefaultHash stands for the hash of an artifact that gives none.
const DefaultHash = "default_hash"

// MissingError says that an artifact, or a file it must have, is not there. Its
// text is the one that HTTP answers carry.
type MissingError struct {
	Name string // of the file, "" for the folder itself
	Dir  string
}

func (e *MissingError) Error() string {
	if e.Name == "" {
		return "Dataset dir not found: " + e.Dir
	}
	return e.Name + " not found in " + e.Dir
}

// FileHash is a file that hashes.json names.
type FileHash struct {
	Name string
	Hash string // as it is written there
}

// Artifact is an artifact of this program or another.
type Artifact struct {
	Dir       string
	Files     []FileHash // `files` of hashes.json, in document order
	Documents []FileHash // `documents`, which this program adds
	DataHash  string     // `dataset_hash`; empty when it is not there
	ChainHash string     // `chain_hash`; empty when it is not there
	Schema    string     // of manifest.json: sft or classification, else ""
}

// Load opens an artifact: a folder with dataset.jsonl and hashes.json. The
// other files may be missing, and hashes.json may lack any of its keys. What is
// not there is a *fault.DataError around a *MissingError, what is of the wrong
// type a *fault.DataError. Nothing is verified yet.
func Load(dir string) (*Artifact, error) {
	missing := func(name string) error {
		return &fault.DataError{Detail: fault.Detail{Op: opLoad, Hint: "make the artifact with verifily ingest", Err: &MissingError{name, dir}}}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, missing("")
	}
	for _, name := range []string{DataName, HashesName} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			return nil, missing(name)
		}
	}
	a := &Artifact{Dir: dir}
	if err := a.readHashes(); err != nil {
		return nil, err
	}
	a.readSchema()
	return a, nil
}

const opLoad = "open data set"

// maxDocument bounds what is read of a JSON file of an artifact.
const maxDocument = 64 << 20

// object reads a JSON file that is one object.
func object(op, path string) ([]dataset.Member, error) {
	fail := func(reason string, err error) error {
		return &fault.DataError{Detail: fault.Detail{Op: op, Path: path, Reason: reason, Err: err, Hint: "make the file anew"}}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fail("cannot be read", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fail("is not a regular file", nil)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail("cannot be read", err)
	}
	defer func() { _ = f.Close() }() // opened for reading only
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, fail("cannot be read", err)
	}
	if len(data) > maxDocument {
		return nil, fail(fmt.Sprintf("is larger than %d MiB", maxDocument>>20), nil)
	}
	members, err := dataset.Object(bytes.TrimPrefix(data, bom))
	if err != nil {
		return nil, fail("is no JSON object", err)
	}
	seen := map[string]bool{}
	for _, m := range members {
		if seen[m.Key] {
			return nil, fail(fmt.Sprintf("the key %.60q is given twice", m.Key), nil)
		}
		seen[m.Key] = true
	}
	return members, nil
}

func (a *Artifact) readHashes() error {
	path := filepath.Join(a.Dir, HashesName)
	members, err := object(opLoad, path)
	if err != nil {
		return err
	}
	wrong := func(key string, m dataset.Member, want string) error {
		return &fault.DataError{Detail: fault.Detail{
			Op: opLoad, Path: path, Reason: "is no list of hashes",
			Problems: []fault.Problem{{Path: path, Key: key, Reason: m.Kind() + " where " + want + " belongs"}},
			Hint:     "make the artifact anew",
		}}
	}
	for _, m := range members {
		if m.Kind() == "null" {
			continue
		}
		switch m.Key {
		case "dataset_hash", "chain_hash":
			text, ok := m.Text()
			if !ok {
				return wrong(m.Key, m, "a text")
			}
			if m.Key == "chain_hash" {
				a.ChainHash = text
			} else {
				a.DataHash = text
			}
		case "files", "documents":
			if m.Kind() != "an object" {
				return wrong(m.Key, m, "an object")
			}
			list, err := dataset.Object(m.Raw)
			if err != nil {
				return wrong(m.Key, m, "an object of texts")
			}
			var out []FileHash
			seen := map[string]bool{}
			for _, file := range list {
				text, ok := file.Text()
				if !ok || seen[file.Key] {
					return wrong(fmt.Sprintf("%s.%.60q", m.Key, file.Key), file, "one hash")
				}
				seen[file.Key] = true
				out = append(out, FileHash{file.Key, text})
			}
			if m.Key == "files" {
				a.Files = out
			} else {
				a.Documents = out
			}
		}
	}
	return nil
}

// readSchema takes the schema from the manifest when it names one. Manifests of
// other forms are no error: the rows themselves tell.
func (a *Artifact) readSchema() {
	members, err := object(opLoad, filepath.Join(a.Dir, ManifestName))
	if err != nil {
		return
	}
	for _, m := range members {
		if text, ok := m.Text(); ok && m.Key == "schema" && (text == dataset.SFT || text == dataset.Classification) {
			a.Schema = text
		}
	}
}

// DataPath returns the path of dataset.jsonl.
func (a *Artifact) DataPath() string { return filepath.Join(a.Dir, DataName) }

// Task returns the schema, told by the first row where the manifest does not
// name it.
func (a *Artifact) Task(ctx context.Context) (string, error) {
	if a.Schema != "" {
		return a.Schema, nil
	}
	return dataset.DetectTask(ctx, a.DataPath())
}

// DatasetHash returns what identifies the data, as all readers of artifacts take it:
// chain_hash when there is one, else the first hash of files, else DefaultHash.
func (a *Artifact) DatasetHash() string {
	switch {
	case a.ChainHash != "":
		return a.ChainHash
	case len(a.Files) > 0:
		return a.Files[0].Hash
	}
	return DefaultHash
}

// Verify compares every hash that hashes.json gives with what is there. One
// *fault.DataError names all that differ or are missing. Values that are no
// sha256 - other programs have had theirs typed by hand - prove nothing either
// way and are returned by name, as is dataset.jsonl when no hash covers it.
func (a *Artifact) Verify(ctx context.Context) (unverified []string, err error) {
	const op = "verify data set"
	var problems []fault.Problem
	report := func(path, reason string) {
		// Two lists may name the same file, and give the same hash.
		if p := (fault.Problem{Path: path, Reason: reason}); !slices.Contains(problems, p) {
			problems = append(problems, p)
		}
	}
	doubt := func(name string) {
		if !slices.Contains(unverified, name) {
			unverified = append(unverified, name)
		}
	}
	sums := map[string]string{}
	compare := func(name, want string) error {
		want, ok := normalHash(want)
		path := filepath.Join(a.Dir, filepath.FromSlash(name))
		switch {
		case !filepath.IsLocal(filepath.FromSlash(name)):
			report(a.Dir, fmt.Sprintf("hashes.json names %.100q, which leads out of the folder", name))
			return nil
		case !ok:
			doubt(name)
			return nil
		}
		got, known := sums[name]
		if !known {
			var err error
			if got, err = dataset.SHA256(ctx, path); err != nil {
				var bad *fault.DataError
				if !errors.As(err, &bad) {
					return err
				}
				report(path, "is listed in hashes.json and cannot be read: "+bad.Reason)
				return nil
			}
			sums[name] = got
		}
		if got != want {
			report(path, fmt.Sprintf("was changed: its sha256 is %s, hashes.json has %s", got, want))
		}
		return nil
	}
	for _, list := range [][]FileHash{a.Files, a.Documents} {
		for _, f := range list {
			if err := compare(f.Name, f.Hash); err != nil {
				return nil, err
			}
		}
	}
	if a.DataHash != "" {
		if err := compare(DataName, a.DataHash); err != nil {
			return nil, err
		}
	}
	if sums[DataName] == "" && len(problems) == 0 {
		doubt(DataName)
	}
	if a.ChainHash != "" && !a.chainHolds() {
		if _, ok := normalHash(a.ChainHash); ok && len(a.Files) > 0 {
			report(filepath.Join(a.Dir, HashesName), "chain_hash is not that of the files it lists")
		} else {
			doubt("chain_hash")
		}
	}
	if len(problems) == 0 {
		return unverified, nil
	}
	return unverified, &fault.DataError{Detail: fault.Detail{
		Op: op, Path: a.Dir, Reason: "the data set is not the one that its hashes tell of", Problems: problems,
		Hint: "restore the files, or make the artifact anew from its source",
	}}
}

// chainHolds tells whether chain_hash is that of files as they are written.
func (a *Artifact) chainHolds() bool {
	files := make(map[string]string, len(a.Files))
	for _, f := range a.Files {
		files[f.Name] = f.Hash
	}
	want, _ := normalHash(a.ChainHash)
	if want == canonical.ChainHash(files) {
		return true
	}
	for name, hash := range files {
		files[name], _ = normalHash(hash)
	}
	return want == canonical.ChainHash(files)
}

// normalHash returns a sha256 in lower-case hex without prefix; false when s is
// none.
func normalHash(s string) (string, bool) {
	s = strings.ToLower(strings.TrimPrefix(s, "sha256:"))
	if len(s) != 64 {
		return s, false
	}
	for i := range len(s) {
		if b := s[i]; (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return s, false
		}
	}
	return s, true
}

// Report is what a decision looks at in report.json.
type Report struct {
	RowCount        int
	Schema          string
	ExactDuplicates int
	UniqueRows      int
	PIIScan         map[string]int
	PIITotalHits    int
	PIIClean        bool
	// HasPII is true when the file says how many hits there are.
	HasPII bool
}

// LoadReport reads a report.json, of this program or another. Missing keys are
// zero, unknown ones are ignored, and a wrong type is a *fault.DataError.
func LoadReport(path string) (*Report, error) {
	const op = "read data report"
	members, err := object(op, path)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	for _, m := range members {
		if m.Kind() == "null" {
			continue
		}
		var err error
		switch m.Key {
		case "row_count":
			r.RowCount, err = count(m)
		case "exact_duplicates":
			r.ExactDuplicates, err = count(m)
		case "unique_rows":
			r.UniqueRows, err = count(m)
		case "pii_total_hits":
			r.PIITotalHits, err = count(m)
			r.HasPII = true
		case "pii_clean":
			err = json.Unmarshal(m.Raw, &r.PIIClean)
		case "pii_scan":
			r.PIIScan, err = counts(m)
		case "schema":
			r.Schema, _ = m.Text() // other programs describe the fields here
		}
		if err != nil {
			return nil, &fault.DataError{Detail: fault.Detail{
				Op: op, Path: path, Reason: "is no report of a data set", Hint: "make the report anew",
				Problems: []fault.Problem{{Path: path, Key: m.Key, Reason: m.Kind() + " is not what belongs here"}},
			}}
		}
	}
	return r, nil
}

func counts(m dataset.Member) (map[string]int, error) {
	list, err := dataset.Object(m.Raw)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int, len(list))
	for _, kind := range list {
		if out[kind.Key], err = count(kind); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// count reads a whole number from 0 up, also one that is written as 2.0.
func count(m dataset.Member) (int, error) {
	var f float64
	if err := json.Unmarshal(m.Raw, &f); err != nil {
		return 0, err
	}
	if f < 0 || f > 1<<53 || f != float64(int64(f)) {
		return 0, errors.New("not a count")
	}
	return int(f), nil
}
