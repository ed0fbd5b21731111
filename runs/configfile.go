package runs

import (
	"fmt"

	"github.com/verifily/verifily-tui/runs/yamlfile"
)

// Config reads config.yaml: the configuration as used, values as YAML types
// them. Keys that are not strings become strings.
func (r *Run) Config() (map[string]any, error) {
	path := r.path(configFile)
	data, err := readWhole(path)
	if err != nil {
		return nil, err
	}
	var v any
	if err := yamlfile.Decode(data, &v); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	switch v := stringKeys(v).(type) {
	case map[string]any:
		return v, nil
	case nil:
		return map[string]any{}, nil
	default:
		return nil, fmt.Errorf("read %s: a list of keys is expected, not %T", path, v)
	}
}

// stringKeys turns the keys of all maps into strings.
func stringKeys(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = stringKeys(e)
		}
		return v
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[fmt.Sprint(k)] = stringKeys(e)
		}
		return m
	case []any:
		for i, e := range v {
			v[i] = stringKeys(e)
		}
		return v
	}
	return v
}
