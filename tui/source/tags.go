package source

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/runs"
)

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
