package tui

import (
	"slices"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/tui/screen"
)

// asides are config keys that differ between any two runs and say nothing
// about what was learned.
var asides = []string{"name", "output_dir", "run_name", "job_id"}

// changes lists the config keys in which a run differs from the baseline, nil
// where that is not known.
func (m *Model) changes(run *row) []compare.Difference {
	a, b := m.table.brief(m.table.base), m.table.brief(run.dir)
	if a == nil || b == nil || a.Config == nil || b.Config == nil {
		return nil
	}
	all := compare.Differences(a.Config, b.Config)
	return slices.DeleteFunc(append([]compare.Difference{}, all...), func(d compare.Difference) bool {
		return slices.Contains(asides, d.Name)
	})
}

// drawDiff writes the config keys that differ, with both values.
func (m *Model) drawDiff(put func(screen.Style, string), run *row) {
	base := m.table.find(m.table.base)
	switch {
	case base == nil:
		put(screen.Dim, "no baseline: b on a run makes it the one to compare with")
		return
	case base == run:
		put(screen.Dim, "this is the baseline")
		return
	}
	changes := m.changes(run)
	switch {
	case changes == nil:
		put(screen.Dim, "the config of one of the two runs is not there")
	case len(changes) == 0:
		put(screen.Dim, "the same config as "+base.name)
	}
	for _, d := range changes {
		put(screen.Text, d.Name+"  "+d.Text(0)+" → "+d.Text(1))
	}
}
