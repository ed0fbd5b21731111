package source

import (
	"maps"
	"slices"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/runs"
)

// Inputs are all that went into runs, what is the same in all of them included:
// by name, with a value a run.
type Inputs struct {
	Config, Data, Environment []compare.Difference
}

// Of is the group of a name, as compare.Inputs has it.
func (in *Inputs) Of(name string) []compare.Difference {
	return map[string][]compare.Difference{"config": in.Config, "data": in.Data, "environment": in.Environment}[name]
}

// Inputs reads what went into runs. What a run does not tell is missing.
func (s *Source) Inputs(dirs []string) (*Inputs, error) {
	var config, data, environment []map[string]any
	for _, dir := range dirs {
		run, err := runs.Open(dir)
		if err != nil {
			return nil, err
		}
		c, _ := run.Config()
		config = append(config, compare.Flatten(c))
		env := map[string]any{}
		if e, err := run.Environment(); err == nil {
			env = compare.Environment(e)
		}
		environment = append(environment, env)
		data = append(data, dataOf(run))
	}
	return &Inputs{Config: everything(config), Data: everything(data), Environment: everything(environment)}, nil
}

// dataOf tells what a run was trained and evaluated on.
func dataOf(run *runs.Run) map[string]any {
	out := map[string]any{}
	put := func(name, value string) {
		if _, ok := out[name]; !ok && value != "" {
			out[name] = value
		}
	}
	if meta, err := run.Meta(); err == nil {
		put("data_hash", meta.DataHash)
		put("dataset_version", meta.DatasetVersion)
	}
	if hashes, err := run.Hashes(); err == nil {
		put("data_hash", hashes.DataHash)
	}
	if results, err := run.EvalResults(); err == nil {
		put("test_data_path", results.TestDataPath)
		if results.NumExamples > 0 {
			out["num_examples"] = results.NumExamples
		}
	}
	return out
}

// everything lists the values of all names, sorted.
func everything(flat []map[string]any) []compare.Difference {
	names := map[string]bool{}
	for _, m := range flat {
		for name := range m {
			names[name] = true
		}
	}
	var out []compare.Difference
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d := compare.Difference{Name: name, Values: make([]any, len(flat))}
		for i, m := range flat {
			v, ok := m[name]
			if d.Values[i] = v; !ok {
				d.Missing = append(d.Missing, i)
			}
		}
		out = append(out, d)
	}
	return out
}
