package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Map returns the full config as nested maps of nil, bool, int, int64, float64,
// string, []any and map[string]any. Keys that only this program knows are left
// out while they have their default, so a config without them hashes as other
// tools hash it.
func (c *Config) Map() map[string]any { return plain(c.tree()).(map[string]any) }

func plain(v any) any {
	switch v := v.(type) {
	case canonical.Object:
		m := make(map[string]any, len(v))
		for _, member := range v {
			m[member.Key] = plain(member.Value)
		}
		return m
	case []canonical.Object:
		out := make([]any, len(v))
		for i, o := range v {
			out[i] = plain(o)
		}
		return out
	default:
		return v
	}
}

// tree is Map with the keys in the order in which configs are written.
func (c *Config) tree() canonical.Object {
	defaults := Default()
	var out canonical.Object
	at := map[string]int{} // of the sections in out
	for i := range fields {
		f := &fields[i]
		v := f.get(c)
		if f.extra && reflect.DeepEqual(v, f.get(defaults)) {
			continue
		}
		section, name, nested := strings.Cut(f.key, ".")
		if !nested {
			out = append(out, canonical.Member{Key: f.key, Value: v})
			continue
		}
		j, open := at[section]
		if !open {
			j = len(out)
			at[section] = j
			out = append(out, canonical.Member{Key: section, Value: canonical.Object(nil)})
		}
		out[j].Value = append(out[j].Value.(canonical.Object), canonical.Member{Key: name, Value: v})
	}
	return out
}

// Hash returns the config_hash, "sha256:" and 64 hex digits over Map. A config
// that Validate refuses may have no hash; then it is empty.
func (c *Config) Hash() string {
	hash, err := canonical.Hash(c.tree())
	if err != nil {
		return ""
	}
	return hash
}

// YAML renders the full config. Parse reads it back to an equal config with an
// equal hash.
func (c *Config) YAML() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	data, err := writeYAML(c.tree())
	if err != nil {
		return nil, &fault.ConfigError{Detail: fault.Detail{Op: "write config", Err: fmt.Errorf("encode YAML: %w", err)}}
	}
	return data, nil
}

// Change is one key that differs between two configs.
type Change struct {
	Key  string // dotted
	A, B any    // as in Map
}

// Diff lists the keys whose values differ, in the order of the file.
func Diff(a, b *Config) []Change {
	var out []Change
	for i := range fields {
		va, vb := plain(fields[i].get(a)), plain(fields[i].get(b))
		if !reflect.DeepEqual(va, vb) {
			out = append(out, Change{Key: fields[i].key, A: va, B: vb})
		}
	}
	return out
}
