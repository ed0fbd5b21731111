package compare

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Difference is something that is not the same in all runs.
type Difference struct {
	Name string `json:"name"` // a dotted key, a package, a field
	// Values has one entry a run, nil also where the run does not have it.
	Values []any `json:"values"`
	// Missing lists the places in Values of the runs that do not have it.
	Missing []int `json:"missing,omitempty"`
}

// String says what the first value was and what the last is now: "torch 2.2.0,
// now 2.3.1". Values are data: make them safe before they are printed.
func (d Difference) String() string {
	return fmt.Sprintf("%s %s, now %s", d.Name, d.Text(0), d.Text(len(d.Values)-1))
}

// Text is the value of run i, as it would stand in a config, or "missing".
func (d Difference) Text(i int) string {
	if slices.Contains(d.Missing, i) {
		return "missing"
	}
	if s, ok := d.Values[i].(string); ok && s != "" {
		return s
	}
	text, err := canonical.Line(d.Values[i])
	if err != nil {
		return fmt.Sprint(d.Values[i])
	}
	return string(text)
}

// Differences compares flat maps and lists, by name, what is not equal in all.
// Numbers are equal when their values are: 1 and 1.0 are. A nil map is unknown:
// it says nothing and is not compared.
func Differences(flat ...map[string]any) []Difference {
	names := map[string]bool{}
	for _, m := range flat {
		for name := range m {
			names[name] = true
		}
	}
	out := []Difference{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d := Difference{Name: name}
		var seen []string
		for i, m := range flat {
			v, has := m[name]
			d.Values = append(d.Values, v)
			if !has {
				d.Missing = append(d.Missing, i)
			}
			if m != nil {
				seen = append(seen, meaning(v, has))
			}
		}
		if slices.ContainsFunc(seen, func(s string) bool { return s != seen[0] }) {
			out = append(out, d)
		}
	}
	return out
}

// meaning is a text that is equal for equal values.
func meaning(v any, has bool) string {
	if !has {
		return ""
	}
	text, err := canonical.JSON(alike(v))
	if err != nil { // not valid UTF-8
		return fmt.Sprintf("%T %v", v, v)
	}
	return string(text)
}

// maxExact bounds the whole numbers that a float64 holds without loss.
const maxExact = 1 << 53

// alike turns whole numbers into floats where that loses nothing.
func alike(v any) any {
	switch v := v.(type) {
	case int:
		if -maxExact <= v && v <= maxExact {
			return float64(v)
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = alike(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = alike(e)
		}
		return out
	}
	return v
}

// Flatten returns the leaves of nested maps by dotted key; lists and empty maps
// are leaves. Values that JSON does not have become texts.
func Flatten(nested map[string]any) map[string]any {
	if nested == nil {
		return nil
	}
	out := map[string]any{}
	flatten(out, "", nested)
	return out
}

func flatten(out map[string]any, prefix string, nested map[string]any) {
	for key, v := range nested {
		if m, ok := v.(map[string]any); ok && len(m) > 0 {
			flatten(out, prefix+key+".", m)
			continue
		}
		out[prefix+key] = plain(v)
	}
}

func plain(v any) any {
	switch v := v.(type) {
	case time.Time:
		if v.Equal(v.Truncate(24 * time.Hour)) {
			return v.Format(time.DateOnly)
		}
		return v.Format(time.RFC3339Nano)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	}
	return v
}

// Environment returns an environment as a flat map: its fields, the packages by
// their names, the GPU's properties after "gpu.". What is empty is left out.
func Environment(e runs.Environment) map[string]any {
	out := map[string]any{}
	put := func(name, value string) {
		if value != "" {
			out[name] = value
		}
	}
	put("runtime_version", e.RuntimeVersion)
	put("platform", e.Platform)
	put("os", e.OS)
	put("cpu", e.CPU)
	put("instruction_set", e.InstructionSet)
	if len(e.GPU) > 0 {
		flatten(out, "gpu.", e.GPU)
	}
	for name, version := range e.Packages {
		if _, taken := out[name]; taken {
			name = "packages." + name
		}
		put(name, version)
	}
	return out
}

// configs are those of the runs. That of a retrain has other keys than that of a
// training: of such a mixture only what all of them have is compared.
func (c *comparison) configs() []map[string]any {
	out := make([]map[string]any, len(c.sides))
	kinds := map[bool]bool{}
	for i, s := range c.sides {
		out[i] = Flatten(s.config)
		for key, v := range Flatten(s.training) {
			out[i]["train."+key] = v
		}
		if s.config != nil {
			_, retrain := s.config["dataset_dir"]
			kinds[retrain] = true
		}
	}
	if len(kinds) < 2 {
		return out
	}
	c.out.Notes = append(c.out.Notes, "a config of a training and that of a retrain have other keys: only those that all have are compared")
	in := map[string]int{}
	known := 0
	for _, m := range out {
		if m != nil {
			known++
		}
		for key := range m {
			in[key]++
		}
	}
	for _, m := range out {
		maps.DeleteFunc(m, func(key string, _ any) bool { return in[key] < known })
	}
	return out
}

func environments(sides []*side) []map[string]any {
	out := make([]map[string]any, len(sides))
	for i, s := range sides {
		out[i] = s.environment
	}
	return out
}

// data tells what a run was trained and evaluated on.
func data(sides []*side) []map[string]any {
	out := make([]map[string]any, len(sides))
	for i, s := range sides {
		m := map[string]any{}
		put := func(name string, texts ...string) {
			for _, t := range texts {
				if t != "" {
					m[name] = t
					return
				}
			}
		}
		put("data_hash", s.meta.DataHash, s.hashes.DataHash)
		put("dataset_version", s.meta.DatasetVersion)
		put("test_data_path", s.results.TestDataPath)
		if s.info.NumExamples > 0 {
			m["num_examples"] = s.info.NumExamples
		}
		out[i] = m
	}
	return out
}
