package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/fault"
)

// maxManifest bounds what is read into memory: a manifest is a list of files.
const maxManifest = 16 << 20

// LoadManifest reads and checks a manifest.json. One *fault.DataError lists
// everything that is wrong with it, each with its line. Fields that the
// contract does not name are ignored. The files themselves are not looked at;
// that is what Verify and Resolve do.
func LoadManifest(path string) (*Manifest, error) {
	const op = "load manifest"
	data, err := readManifest(op, path)
	if err != nil {
		return nil, err
	}
	return parseManifest(op, path, data)
}

// readManifest reads a manifest.json of bounded size.
func readManifest(op, path string) ([]byte, error) {
	f, err := openRegular(op, anywhere{}, path, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // opened for reading only
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, readError(op, path, 0, err)
	}
	if len(data) > maxManifest {
		return nil, &fault.DataError{Detail: fault.Detail{
			Op: op, Path: path, Reason: fmt.Sprintf("is larger than %d MiB", maxManifest>>20), Hint: "this is no manifest",
		}}
	}
	return data, nil
}

// parseManifest checks the bytes of a manifest that lies, or will lie, at path.
func parseManifest(op, path string, data []byte) (*Manifest, error) {
	r := &manifestReader{path: path, data: bytes.TrimPrefix(data, bom)}
	m := &Manifest{path: path, raw: data}
	if !utf8.Valid(r.data) {
		r.report(0, "", "not valid UTF-8", "save the file as UTF-8")
	} else if root, err := r.root(); err != nil {
		offset := 0
		var s *syntaxError
		if errors.As(err, &s) {
			offset = s.offset
		}
		r.report(offset, "", "broken JSON: "+err.Error(), "")
	} else {
		r.manifest(root, m)
	}
	if len(r.problems) == 0 {
		return m, nil
	}
	if r.artifact {
		dir := filepath.Dir(path)
		return nil, &fault.DataError{Detail: fault.Detail{Op: op, Path: path,
			Reason: "belongs to an artifact of verifily ingest, which has no splits",
			Hint:   "train on " + filepath.Join(dir, "dataset.jsonl") + ", or: verifily retrain --dataset " + dir}}
	}
	d := fault.Detail{Op: op, Path: path, Reason: "is no valid manifest", Problems: r.problems,
		Hint: "write the manifest anew with the program that made the data set"}
	if more := len(r.problems) - maxProblems; more > 0 {
		d.Problems = d.Problems[:maxProblems]
		d.Reason = fmt.Sprintf("%s; the first %d of %d problems", d.Reason, maxProblems, len(r.problems))
	}
	return nil, &fault.DataError{Detail: d}
}

// manifestReader takes a checked JSON text apart and gathers what is wrong.
type manifestReader struct {
	path     string
	data     []byte
	scratch  []byte
	problems []fault.Problem
	artifact bool // it is the manifest of an artifact, which has other members
}

// fields is an object by key.
type fields map[string]value

func (r *manifestReader) report(offset int, key, reason, hint string) {
	line := 1 + bytes.Count(r.data[:offset], []byte("\n"))
	r.problems = append(r.problems, fault.Problem{Path: r.path, Line: line, Key: key, Reason: reason, Hint: hint})
}

// root checks the syntax of the whole text and returns its value.
func (r *manifestReader) root() (value, error) {
	c := &cursor{data: r.data}
	v, err := c.value()
	if err != nil {
		return v, err
	}
	return v, c.end()
}

// object returns the members of v, which is called name in messages.
func (r *manifestReader) object(v value, name string) (fields, bool) {
	if v.kind != kindObject {
		r.wrongKind(v, name, "an object")
		return nil, false
	}
	out := fields{}
	c := &cursor{data: r.data[:v.end], pos: v.start + 1}
	for first := true; ; first = false {
		key, member, ok, err := c.member(first)
		if err != nil || !ok { // the syntax was checked by root
			return out, true
		}
		text, clean := key.text(r.data, &r.scratch)
		if !clean {
			r.report(key.start, name, "a key with half a surrogate pair", "")
			continue
		}
		if _, twice := out[string(text)]; twice {
			r.report(key.start, join(name, string(text)), "given twice", "")
			continue
		}
		out[string(text)] = member
	}
}

// list returns the items of v.
func (r *manifestReader) list(v value, name string) []value {
	if v.kind != kindArray {
		r.wrongKind(v, name, "a list")
		return nil
	}
	var out []value
	c := &cursor{data: r.data[:v.end], pos: v.start + 1}
	for c.space(); c.data[c.pos] != ']'; c.space() {
		if c.data[c.pos] == ',' {
			c.pos++
		}
		item, err := c.value()
		if err != nil { // the syntax was checked by root
			return out
		}
		out = append(out, item)
	}
	return out
}

func (r *manifestReader) wrongKind(v value, name, want string) {
	r.report(v.start, name, fmt.Sprintf("%s where %s belongs", v.kind, want), "")
}

// text returns the string v.
func (r *manifestReader) text(v value, name string) string {
	if v.kind != kindString {
		r.wrongKind(v, name, "a string")
		return ""
	}
	text, ok := v.text(r.data, &r.scratch)
	if !ok {
		r.report(v.start, name, "half a surrogate pair is no character", "")
	}
	return string(text)
}

// texts returns the strings of the list v.
func (r *manifestReader) texts(v value, name string) []string {
	out := []string{}
	for _, item := range r.list(v, name) {
		out = append(out, r.text(item, name))
	}
	return out
}

// anything returns v as encoding/json does, numbers as they are written.
func (r *manifestReader) anything(v value) any {
	d := json.NewDecoder(bytes.NewReader(v.raw(r.data)))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		r.report(v.start, "row_schema", err.Error(), "")
	}
	return out
}

// take returns member key of f; one that must be there is reported if it is
// not, and null counts as not there.
func (r *manifestReader) take(f fields, of value, key, name string, must bool) (value, bool) {
	v, ok := f[key]
	if ok = ok && v.kind != kindNull; !ok && must {
		r.report(of.start, name, "is missing", "")
	}
	return v, ok
}

func (r *manifestReader) mustText(f fields, of value, key, name string) string {
	v, ok := r.take(f, of, key, name, true)
	if !ok {
		return ""
	}
	s := r.text(v, name)
	if s == "" && v.kind == kindString {
		r.report(v.start, name, "is empty", "")
	}
	return s
}

func (r *manifestReader) optionalText(f fields, of value, key string) string {
	if v, ok := r.take(f, of, key, key, false); ok {
		return r.text(v, key)
	}
	return ""
}

// rows returns a number of rows.
func (r *manifestReader) rows(f fields, of value, key, name string) int {
	v, ok := r.take(f, of, key, name, true)
	if !ok {
		return 0
	}
	if v.kind != kindNumber {
		r.wrongKind(v, name, "a number")
		return 0
	}
	n, err := strconv.ParseInt(string(v.raw(r.data)), 10, 64)
	if err != nil || n < 0 || n > 1<<48 { // 2^48 rows sum up without overflow
		r.report(v.start, name, "is not a number of rows", "a whole number from 0 up")
		return 0
	}
	return int(n)
}

func (r *manifestReader) manifest(root value, m *Manifest) {
	f, ok := r.object(root, "")
	if !ok {
		return
	}
	_, r.artifact = f["row_count_out"]
	m.DatasetID = r.mustText(f, root, "dataset_id", "dataset_id")
	m.Version = r.mustText(f, root, "version", "version")
	if m.DatasetID != "" && m.Version != "" {
		if _, _, err := ParseRef(m.Ref()); err != nil {
			r.report(f["dataset_id"].start, "dataset_id", fmt.Sprintf("%s is not of the form ID@VERSION", quote(m.Ref())),
				"letters, digits and . _ - are allowed")
		}
	}
	if m.Format = r.mustText(f, root, "format", "format"); m.Format != "" && m.Format != FormatJSONL {
		r.report(f["format"].start, "format", fmt.Sprintf("unknown format %s", quote(m.Format)), "jsonl is the one that can be read")
	}
	if m.Task = r.mustText(f, root, "task", "task"); m.Task != "" && checkTask("", m.Task) != nil {
		r.report(f["task"].start, "task", fmt.Sprintf("unknown task %s", quote(m.Task)), "task is sft or classification")
	}
	m.NumRows = r.rows(f, root, "num_rows", "num_rows")
	m.ContentHash = r.optionalText(f, root, "content_hash")
	m.CreatedAt = r.optionalText(f, root, "created_at")
	m.TagKeys = []string{}
	if v, ok := r.take(f, root, "tag_keys", "tag_keys", false); ok {
		m.TagKeys = r.texts(v, "tag_keys")
	}
	if v, ok := r.take(f, root, "files", "files", true); ok {
		r.files(v, m)
	}
	if v, ok := r.take(f, root, "row_schema", "row_schema", false); ok {
		m.RowSchema = r.anything(v)
	}
	m.TagSchema = map[string]TagType{}
	if v, ok := r.take(f, root, "tag_schema", "tag_schema", false); ok {
		r.tagSchema(v, m)
	}
}

func (r *manifestReader) files(v value, m *Manifest) {
	items := r.list(v, "files")
	if len(items) == 0 && v.kind == kindArray {
		r.report(v.start, "files", "is empty", "a data set has at least a train file")
	}
	known := map[string]bool{}
	sum, before := 0, len(r.problems)
	for i, item := range items {
		name := fmt.Sprintf("files[%d]", i)
		f, ok := r.object(item, name)
		if !ok {
			continue
		}
		file := ManifestFile{
			Path:    r.mustText(f, item, "path", name+".path"),
			Split:   r.mustText(f, item, "split", name+".split"),
			NumRows: r.rows(f, item, "num_rows", name+".num_rows"),
			SHA256:  r.mustText(f, item, "sha256", name+".sha256"),
		}
		if file.Path != "" {
			if reason := badPath(file.Path); reason != "" {
				r.report(f["path"].start, name+".path", fmt.Sprintf("%s %s", quote(file.Path), reason), "paths are relative to the manifest and stay in its folder")
			}
			file.Path = path.Clean(file.Path)
			if known[file.Path] {
				r.report(f["path"].start, name+".path", fmt.Sprintf("%s is listed twice", quote(file.Path)), "")
			}
			known[file.Path] = true
		}
		if s := file.Split; s != "" && s != Train && s != Val && s != Test {
			r.report(f["split"].start, name+".split", fmt.Sprintf("unknown split %s", quote(s)), "train, val or test")
		}
		if file.SHA256 != "" {
			if file.SHA256 = strings.ToLower(strings.TrimPrefix(file.SHA256, "sha256:")); !isSHA256(file.SHA256) {
				r.report(f["sha256"].start, name+".sha256", "is not a sha256", "64 hex digits")
			}
		}
		sum += file.NumRows
		m.Files = append(m.Files, file)
	}
	if len(r.problems) == before && sum != m.NumRows {
		r.report(v.start, "num_rows", fmt.Sprintf("is %d, but the files have %d rows in all", m.NumRows, sum), "")
	}
}

// badPath says why a path of a manifest is not accepted, "" when it is. Links
// are judged when the file is opened.
func badPath(p string) string {
	switch {
	case strings.ContainsAny(p, "\\\x00"):
		return "has a backslash or a NUL in it"
	case path.IsAbs(p):
		return "is absolute"
	case !filepath.IsLocal(filepath.FromSlash(p)):
		return "leads out of the manifest's folder"
	case path.Clean(p) == ".":
		return "is the folder itself"
	}
	return ""
}

func isSHA256(s string) bool {
	for i := range len(s) {
		if !isHex(s[i]) {
			return false
		}
	}
	return len(s) == 64
}

func (r *manifestReader) tagSchema(v value, m *Manifest) {
	keys, ok := r.object(v, "tag_schema")
	if !ok {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		v := keys[key]
		name := join("tag_schema", key)
		f, ok := r.object(v, name)
		if !ok {
			continue
		}
		var t TagType
		if v, ok := r.take(f, v, "type", name+".type", false); ok {
			t.Type = r.text(v, name+".type")
		}
		if v, ok := r.take(f, v, "values", name+".values", false); ok {
			t.Values = r.texts(v, name+".values")
		}
		m.TagSchema[key] = t
	}
}

// join appends a key that came from data to a dotted name.
func join(name, key string) string {
	if !validName(key, "._-") {
		key = quote(key)
	}
	if name == "" {
		return key
	}
	return name + "." + key
}
