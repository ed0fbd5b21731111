package batch

import (
	"fmt"
	"slices"
	"strings"
)

// matrixKeys lists the keys of the config that the matrices of a plan set, in
// the order of the alphabet.
func (p *Plan) matrixKeys() []string {
	var keys []string
	seen := map[string]bool{}
	for i := range p.Jobs {
		for _, s := range p.Jobs[i].combination {
			if !seen[s.Key] {
				seen[s.Key] = true
				keys = append(keys, s.Key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// values are what the config of a job has for keys, nil where it has none of
// them.
func (j *Job) values(keys []string) map[string]any {
	if j.Config == nil || len(keys) == 0 {
		return nil
	}
	out := map[string]any{}
	config := j.Config.Map()
	for _, key := range keys {
		v := valueAt(config, key)
		if _, section := v.(map[string]any); !section {
			out[key] = v
		}
	}
	return out
}

// valueAt is what a config, as a map, has for a dotted key, nil for nothing.
func valueAt(config map[string]any, key string) any {
	var at any = config
	for part := range strings.SplitSeq(key, ".") {
		section, _ := at.(map[string]any) // nil has no keys
		at = section[part]
	}
	return at
}

// settingKeys lists the keys of the settings of rows, in the order of the
// alphabet.
func (sum *Summary) settingKeys() []string {
	seen := map[string]bool{}
	for _, r := range sum.Jobs {
		for key := range r.Settings {
			seen[key] = true
		}
	}
	var keys []string
	for key := range seen {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// settingsText writes the settings of a row in a line: "r=8 seed=1". A key goes
// by its last part where no other of keys has the same.
func settingsText(keys []string, settings map[string]any) string {
	var parts []string
	for _, key := range keys {
		v, ok := settings[key]
		if !ok {
			continue
		}
		name := lastPart(key)
		if slices.ContainsFunc(keys, func(other string) bool { return other != key && lastPart(other) == name }) {
			name = key
		}
		parts = append(parts, fmt.Sprintf("%s=%s", name, ValueText(v)))
	}
	return plain(strings.Join(parts, " "))
}
