package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Override sets one key from outside the file: a flag or an API argument.
type Override struct {
	Key    string // dotted: training.learning_rate
	Value  any    // nil is null
	Source string // how the user knows it: --lr. Empty: the key
}

// MaxFileSize is the largest config file that is read, in bytes.
const MaxFileSize = 1 << 20

const op = "load config"

// Load reads the config file at path and applies the overrides.
func Load(path string, overrides ...Override) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data, overrides...)
}

func readFile(path string) ([]byte, error) {
	data, err := regular.Read(path, MaxFileSize)
	switch {
	case errors.Is(err, regular.ErrTooLarge):
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: op, Path: path,
			Reason: fmt.Sprintf("larger than %d bytes", MaxFileSize),
			Hint:   "is it the data set? A config has a few dozen lines"}}
	case err != nil:
		return nil, openError(path, err)
	}
	return data, nil
}

func openError(path string, err error) error {
	d := fault.Detail{Op: op, Path: path, Err: err}
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		d.Err = pathErr.Err // the path stands in the message already
	}
	switch info, statErr := os.Stat(path); {
	case statErr == nil && info.IsDir():
		d.Hint = "name the file in the folder" + neighbours(path, "")
	case errors.Is(err, fs.ErrNotExist):
		d.Hint = "check the path" + neighbours(filepath.Dir(path), filepath.Base(path))
	case errors.Is(err, fs.ErrPermission):
		d.Hint = "make the file readable"
	case errors.Is(err, regular.ErrNotRegular):
		d.Hint = "a config is read more than once: write it to a file first"
	}
	return &fault.ConfigError{Detail: d}
}

// neighbours names the YAML files of a folder that may have been meant: the
// one nearest to name, or all if there are few.
func neighbours(dir, name string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var found []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			found = append(found, e.Name())
		}
	}
	if near, close := Nearest(name, found); close && name != "" && len(found) > 0 {
		found = []string{near}
	}
	if len(found) == 0 || len(found) > 3 {
		return ""
	}
	for i, f := range found {
		found[i] = printable(filepath.Join(dir, f))
	}
	return ": did you mean " + either(found) + "?"
}

// Parse reads a config from the bytes of a file; name stands in messages.
func Parse(name string, data []byte, overrides ...Override) (*Config, error) {
	root, problems := readYAML(data)
	if problems != nil {
		for i := range problems {
			problems[i].Path = name
		}
		return nil, configError(name, problems, nil)
	}
	return build(name, root, overrides)
}

// FromMap reads a config from nested maps, such as a decoded JSON body or the
// result of Map.
func FromMap(m map[string]any, overrides ...Override) (*Config, error) {
	return build("", fromGo(m, 0), overrides)
}

// Validate checks every value and how they go together.
func (c *Config) Validate() error {
	b := builder{config: c, origins: map[string]origin{}, bad: map[string]bool{}}
	b.check()
	return b.result("check config")
}

// builder makes a config out of entries and collects what is wrong with them.
type builder struct {
	config   *Config
	path     string
	origins  map[string]origin // of every key that was set
	bad      map[string]bool   // keys whose value is wrong
	problems []fault.Problem
	managed  bool
}

// origin says where the value of a key came from.
type origin struct {
	line   int    // in the file
	source string // the name of an override
}

type entry struct {
	key   string
	value value
	origin
}

func build(path string, root value, overrides []Override) (*Config, error) {
	b := builder{config: Default(), path: path, origins: map[string]origin{}, bad: map[string]bool{}}
	file := b.flatten("", root, "")
	var given []entry
	for _, o := range overrides {
		source := o.Source
		if source == "" {
			source = o.Key
		}
		given = append(given, b.entries(o.Key, fromGo(o.Value, 0), origin{source: source})...)
	}
	for _, e := range given {
		// What is overridden is not looked at: a flag repairs a bad value.
		file = slices.DeleteFunc(file, func(f entry) bool { return f.key == e.key })
	}
	for _, e := range append(file, given...) {
		b.origins[e.key] = e.origin
		delete(b.bad, e.key)
		b.add(e.key, fieldOf[e.key].store(b.config, e.value)...)
	}
	b.check()
	if err := b.result(op); err != nil {
		return nil, err
	}
	return b.config, nil
}

// store sets the field; null is refused where it means nothing.
func (f *field) store(c *Config, v value) []flaw {
	bad := f.set(c, v)
	if v.kind == null && bad != nil {
		bad = []flaw{{reason: "must not be empty", hint: "leave the key out for its default"}}
		if d := f.get(Default()); d != "" {
			bad[0].hint += fmt.Sprintf(", %v", d)
		}
	}
	return bad
}

// flatten lists the entries of a mapping that stands at prefix; source names
// the override that gave it, if one did.
func (b *builder) flatten(prefix string, m value, source string) []entry {
	var out []entry
	seen := map[string]int{}
	for _, p := range m.pairs {
		if b.full() {
			break
		}
		key, from := prefix+p.key, origin{line: p.line, source: source}
		if line, twice := seen[p.key]; twice {
			b.report(key, from, flaw{
				reason: fmt.Sprintf("is set twice, first on line %d", line), hint: "keep one of them"})
			continue
		}
		seen[p.key] = p.line
		if strings.Contains(p.key, ".") { // only overrides address keys so
			b.report(key, from, flaw{reason: "unknown key", hint: suggest(key, false)})
			continue
		}
		out = append(out, b.entries(key, p.value, from)...)
	}
	return out
}

// entries lists what a value sets under a dotted key, which is a field, a
// section or unknown.
func (b *builder) entries(key string, v value, from origin) []entry {
	switch {
	case fieldOf[key] != nil:
		return []entry{{key, v, from}}
	case slices.Contains(sections, key):
		switch v.kind {
		case null: // everything under it is commented out
			return nil
		case mapping:
			return b.flatten(key+".", v, from.source)
		}
		b.report(key, from, flaw{reason: "must hold keys of its own, not " + v.describe(),
			hint: "write them indented under " + key + ":"})
	default:
		b.report(key, from, flaw{reason: "unknown key", hint: suggest(key, v.kind == mapping)})
	}
	return nil
}

// check looks at ranges, then at how the values go together.
func (b *builder) check() {
	for i := range fields {
		if f := &fields[i]; !b.bad[f.key] {
			b.add(f.key, f.check(b.config)...)
		}
	}
	b.checkTogether()
}

// add reports flaws in the value of a known key.
func (b *builder) add(key string, flaws ...flaw) {
	for _, f := range flaws {
		b.bad[key] = true
		b.report(key, b.origins[key], f)
	}
}

// mostProblems bounds what is told about one config: nobody reads more, and a
// hint for each of a hundred thousand keys takes a minute.
const mostProblems = 100

// full says that more problems would not be told.
func (b *builder) full() bool { return len(b.problems) > mostProblems }

func (b *builder) report(key string, from origin, f flaw) {
	if b.full() {
		return
	}
	p := fault.Problem{Path: b.path, Line: from.line, Key: quiet(key), Reason: f.reason, Hint: f.hint}
	if f.line > 0 {
		p.Line = f.line
	}
	if from.source != "" {
		p.Path, p.Line, p.Key = "", 0, printable(from.source)
	}
	b.problems = append(b.problems, p)
}

func (b *builder) result(op string) error {
	if b.problems == nil {
		return nil
	}
	// In the order of the file; what has no line comes last, as found.
	slices.SortStableFunc(b.problems, func(x, y fault.Problem) int {
		switch {
		case x.Line == y.Line:
			return 0
		case x.Line == 0:
			return 1
		case y.Line == 0:
			return -1
		}
		return x.Line - y.Line
	})
	var cause error
	if b.managed {
		cause = ErrManaged
	}
	err := configError(b.path, b.problems, cause)
	err.Op = op
	return err
}

func configError(path string, problems []fault.Problem, cause error) *fault.ConfigError {
	d := fault.Detail{Op: op, Path: path, Problems: problems[:min(len(problems), mostProblems)], Err: cause}
	switch {
	case len(problems) > mostProblems:
		d.Reason = fmt.Sprintf("more than %d problems", mostProblems)
	case len(problems) > 1:
		d.Reason = fmt.Sprintf("%d problems", len(problems))
	case cause == nil:
		d.Reason = "1 problem"
	}
	return &fault.ConfigError{Detail: d}
}
