package source

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"github.com/verifily/verifily-tui/runs/atomicfile"
)

// Settings is what the screen remembers.
type Settings struct {
	Theme   string            `json:"theme,omitempty"` // "light", "dark" or empty: as the terminal is
	Sort    string            `json:"sort,omitempty"`  // column of the table of runs
	Reverse bool              `json:"reverse,omitempty"`
	Hidden  []string          `json:"hidden_columns,omitempty"`
	Columns []string          `json:"columns,omitempty"`   // their order, from left to right
	Configs []string          `json:"configs,omitempty"`   // files that were trained from, the last first
	Base    map[string]string `json:"baselines,omitempty"` // folder of runs to name of a run
}

// maxSettings bounds the file of the settings.
const maxSettings = 1 << 20

// ReadSettings returns the settings at path; where they cannot be read, none.
func ReadSettings(path string) Settings {
	var s Settings
	f, err := os.Open(path)
	if err != nil {
		return s
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, maxSettings)).Decode(&s); err != nil {
		return Settings{}
	}
	return s
}

// WriteSettings writes the settings; without a path it does nothing. Baselines
// of other folders stay as they are.
func WriteSettings(path string, s Settings) error {
	if path == "" {
		return nil
	}
	base := ReadSettings(path).Base
	if base == nil {
		base = map[string]string{}
	}
	for root, name := range s.Base {
		base[root] = name
	}
	s.Base = base
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, 0o644, append(data, '\n'))
}
