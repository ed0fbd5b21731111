package dataset

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// ManifestName is the file that describes a DatasetVersion, in its folder.
const ManifestName = "manifest.json"

// FormatJSONL is the only format of data files.
const FormatJSONL = "jsonl"

// The splits of a data set.
const (
	Train = "train"
	Val   = "val"
	Test  = "test"
)

// Manifest describes a DatasetVersion: what files it has and what is in them.
type Manifest struct {
	DatasetID string `json:"dataset_id"`
	Version   string `json:"version"`
	Format    string `json:"format"` // jsonl
	Task      string `json:"task"`
	NumRows   int    `json:"num_rows"` // of all files
	// ContentHash identifies the data. This program writes ContentHashOf;
	// other writers have forms of their own, which are kept and not judged.
	ContentHash string         `json:"content_hash"`
	CreatedAt   string         `json:"created_at"` // YYYY-MM-DDTHH:MM:SSZ
	TagKeys     []string       `json:"tag_keys"`
	Files       []ManifestFile `json:"files"`
	// RowSchema describes the fields of a row; any JSON value. This program
	// writes {field: {type, required}}.
	RowSchema any                `json:"row_schema"`
	TagSchema map[string]TagType `json:"tag_schema"`

	path string // "" unless loaded
	raw  []byte // as loaded
}

// ManifestFile is one data file of a DatasetVersion.
type ManifestFile struct {
	Path    string `json:"path"`  // relative to the manifest, with slashes
	Split   string `json:"split"` // train, val or test
	NumRows int    `json:"num_rows"`
	SHA256  string `json:"sha256"` // lower-case hex
}

// TagType describes the values of one tag. Values is null when there are too
// many of them to list.
type TagType struct {
	Type   string   `json:"type"` // string
	Values []string `json:"values"`
}

// Ref returns `ID@VERSION`.
func (m *Manifest) Ref() string { return m.DatasetID + "@" + m.Version }

// Path returns the file the manifest was loaded from, "" for one made in
// memory.
func (m *Manifest) Path() string { return m.path }

// Of returns the files of a split, in the manifest's order.
func (m *Manifest) Of(split string) []ManifestFile {
	var out []ManifestFile
	for _, f := range m.Files {
		if f.Split == split {
			out = append(out, f)
		}
	}
	return out
}

// JSON returns the manifest as a file: the very bytes it was loaded from, which
// keeps what other writers added, else indented JSON in the contract's order.
func (m *Manifest) JSON() ([]byte, error) {
	if m.raw != nil {
		return bytes.Clone(m.raw), nil
	}
	data, err := canonical.Indent(*m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest %s: %w", m.Ref(), err)
	}
	return data, nil
}

// contentPrefix marks a content_hash that this program can verify.
const contentPrefix = "chain:"

// ContentHashOf returns `chain:` and the chain hash of the files: sha256 over
// `path=sha256` pairs joined by `|`, paths sorted by code point.
func ContentHashOf(files []ManifestFile) string {
	sums := make(map[string]string, len(files))
	for _, f := range files {
		sums[f.Path] = f.SHA256
	}
	return contentPrefix + canonical.ChainHash(sums)
}

// Part is a file and what a manifest calls it.
type Part struct {
	Path  string // as the manifest names it: relative, with slashes
	Split string
	File  *File
}

// Describe makes the manifest of the files given, which are of one task. Tag
// values are listed unless a key has more than 1000.
func Describe(id, version, task, createdAt string, parts []Part) *Manifest {
	m := &Manifest{
		DatasetID: id, Version: version, Format: FormatJSONL, Task: task, CreatedAt: createdAt,
		TagKeys: []string{}, Files: []ManifestFile{}, RowSchema: rowSchema(task), TagSchema: map[string]TagType{},
	}
	values := map[string]map[string]bool{}
	for _, p := range parts {
		m.NumRows += p.File.Len()
		m.Files = append(m.Files, ManifestFile{Path: p.Path, Split: p.Split, NumRows: p.File.Len(), SHA256: p.File.SHA256()})
		for _, t := range p.File.Tags() {
			known, met := values[t.Key]
			if !met {
				known = map[string]bool{}
			}
			if t.More {
				known = nil // unlisted from here on
			}
			if known != nil {
				for _, v := range t.Values {
					known[v.Value] = true
				}
			}
			values[t.Key] = known
		}
	}
	for key, known := range values {
		m.TagKeys = append(m.TagKeys, key)
		t := TagType{Type: "string"}
		for v := range known {
			t.Values = append(t.Values, v)
		}
		slices.Sort(t.Values)
		m.TagSchema[key] = t
	}
	slices.Sort(m.TagKeys)
	m.ContentHash = ContentHashOf(m.Files)
	return m
}

// rowSchema is the row_schema this program writes.
func rowSchema(task string) canonical.Object {
	field := func(name, kind string, required bool) canonical.Member {
		return canonical.Member{Key: name, Value: canonical.Object{{Key: "type", Value: kind}, {Key: "required", Value: required}}}
	}
	schema := canonical.Object{field("text", "string", true), field("label", "string", true)}
	if task == SFT {
		schema = canonical.Object{
			field("instruction", "string", true), field("input", "string", false), field("output", "string", true),
		}
	}
	return append(schema, field("tags", "object", false), field("id", "string", false))
}

// ParseRef splits `ID@VERSION`. Both parts are made of letters, digits and
// `. _ -`, the id also of `/`, the version also of `+`; they begin with a
// letter or a digit. Anything else is a ConfigError.
func ParseRef(ref string) (id, version string, err error) {
	id, version, found := strings.Cut(ref, "@")
	if found && validName(id, "._-/") && validName(version, "._-+") {
		return id, version, nil
	}
	return "", "", &fault.ConfigError{Detail: fault.Detail{
		Op:     "resolve data",
		Reason: fmt.Sprintf("dataset_version %s is not of the form ID@VERSION", quote(ref)),
		Hint:   "for example words@1.0.0; letters, digits and . _ - are allowed",
	}}
}

func validName(s, extra string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune(extra, r)) {
			return false
		}
	}
	return s != "" && !strings.Contains(s, "..") // an id may become a path
}

// dir is the folder that the manifest's paths start from.
func (m *Manifest) dir() string { return filepath.Dir(m.path) }
