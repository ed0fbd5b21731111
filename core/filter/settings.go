package filter

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/runs"
)

// Settings are the values of a run that its meta data does not have: those of
// its config and the tags of its data.
type Settings struct {
	run   *runs.Run
	flat  map[string]any // the config, by dotted key
	found map[string]any // what was asked for before; nil marks a key without a value
}

// ReadSettings reads the config of the run in a folder. A run without one has no
// values.
func ReadSettings(dir string) *Settings {
	s := &Settings{found: map[string]any{}}
	run, err := runs.Open(dir)
	if err != nil {
		return s
	}
	if config, err := run.Config(); err == nil {
		s.run, s.flat = run, compare.Flatten(config)
	}
	return s
}

// Value is the value of a key, nil where there is none. A key is the dotted name
// of a leaf of the config, the last part of it or an alias, or else a tag of the
// data, of which it has all values.
func (s *Settings) Value(key string) any {
	if v, known := s.found[key]; known || s.run == nil {
		return v
	}
	v, ok := leaf(s.flat, key)
	if !ok {
		if values, ok := tagValues(s.run, key); ok {
			v = values
		}
	}
	s.found[key] = v
	return v
}

// aliases are customary short names of config keys.
var aliases = map[string]string{
	"lr": "learning_rate", "epochs": "num_epochs", "bs": "batch_size", "rank": "r", "steps": "max_steps",
}

// leaf finds a leaf of a flat config by its dotted name, the last part of it,
// or an alias. Of several the first in order of name counts.
func leaf(flat map[string]any, key string) (any, bool) {
	if v, ok := flat[key]; ok {
		return v, true
	}
	if long, ok := aliases[key]; ok {
		key = long
	}
	best := ""
	for name := range flat {
		lower := strings.ToLower(name)
		if (lower == key || strings.HasSuffix(lower, "."+key)) && (best == "" || name < best) {
			best = name
		}
	}
	v, ok := flat[best]
	return v, ok && best != ""
}

// tagValues returns the values that a tag has in the data of a run, in words: as
// its manifest lists them, or else as its evaluation was sliced by them. False
// means that the data has no such tag.
func tagValues(run *runs.Run, key string) (string, bool) {
	var manifest struct {
		TagSchema map[string]struct {
			Values []any `json:"values"`
		} `json:"tag_schema"`
	}
	if data, err := run.Manifest(); err == nil && json.Unmarshal(data, &manifest) == nil {
		for tag, schema := range manifest.TagSchema {
			if strings.EqualFold(tag, key) && len(schema.Values) > 0 {
				return strings.TrimSpace(fmt.Sprintln(schema.Values...)), true
			}
		}
	}
	results, err := run.EvalResults()
	if err != nil {
		return "", false
	}
	for tag, values := range results.Slices {
		if strings.EqualFold(tag, key) && len(values) > 0 {
			return strings.Join(slices.Sorted(maps.Keys(values)), " "), true
		}
	}
	return "", false
}
