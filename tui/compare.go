package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/tui/screen"
)

// compareState is which runs are held side by side, and what of them is shown.
type compareState struct {
	loaded[*core.CompareResult]
	dirs  []string // the base first
	with  int      // place of the run that is held against the base, from 0
	part  comparePart
	moved int // lines scrolled in the part
}

// comparePart is what of a comparison is shown.
type comparePart int

const (
	partMetrics comparePart = iota
	partInputs
	partExamples
)

type compareMsg struct {
	dirs   []string
	result *core.CompareResult
	err    error
}

// mostCompared bounds how many runs are compared at once.
const mostCompared = 8

func compareKeys() []binding {
	part := func(p comparePart) func(*Model) tea.Cmd {
		return func(m *Model) tea.Cmd {
			if m.compare.part == p {
				p = partMetrics
			}
			m.compare.part, m.compare.moved = p, 0
			return nil
		}
	}
	return []binding{
		{[]string{"enter"}, "enter", "read the examples that changed from right to wrong, and back", "examples", part(partExamples)},
		{[]string{"D"}, "D", "config, data and environment: what differs", "differences", part(partInputs)},
		{[]string{"w"}, "w", "hold the next of the runs against the baseline", "next run", func(m *Model) tea.Cmd {
			if r := m.compare.value; r != nil {
				m.compare.with = (m.compare.with + 1) % max(1, len(r.Runs)-1)
				m.compare.moved = 0
			}
			return nil
		}},
	}
}

// compareMarked compares the marked runs, or else the run under the cursor,
// with the baseline.
func (m *Model) compareMarked() tea.Cmd {
	m.open = m.table.cursor
	if len(m.compared()) < 2 {
		return m.say(screen.Doubt, "comparing takes two runs: space marks them, or b makes one the baseline")
	}
	m.compare.with, m.compare.moved = 0, 0
	return m.show(viewCompare)
}

// compared lists the runs to compare, the base first: the baseline and the
// marked ones; without marks the baseline and the open run. Without a baseline
// the oldest is the base.
func (m *Model) compared() []string {
	var out []string
	for _, r := range slices.Backward(m.table.all) {
		if m.table.marked[r.dir] && r.dir != m.table.base && len(out) < mostCompared {
			out = append(out, r.dir)
		}
	}
	if len(out) == 0 && m.open != "" && m.open != m.table.base {
		out = append(out, m.open)
	}
	if m.table.find(m.table.base) != nil {
		out = slices.Insert(out, 0, m.table.base)
	}
	return out[:min(len(out), mostCompared)]
}

func (m *Model) fetchCompare() tea.Cmd {
	dirs := m.compared()
	if len(dirs) < 2 {
		return nil
	}
	s := &m.compare
	if !slices.Equal(dirs, s.dirs) {
		if s.busy {
			return nil // one at a time: the next follows
		}
		s.loaded = loaded[*core.CompareResult]{}
		s.dirs, s.with, s.moved = dirs, 0, 0
	}
	if !s.need() {
		return nil
	}
	s.begin()
	ctx, src := m.ctx, m.src
	return func() tea.Msg {
		result, err := src.Compare(ctx, dirs)
		return compareMsg{dirs, result, err}
	}
}

func (s *compareState) outdate(dir string) {
	if slices.Contains(s.dirs, dir) {
		s.stale = true
	}
}

// compareLines returns the lines of a part that scrolls, w columns wide.
func (m *Model) compareLines(w int) [][]span {
	r := m.compare.value
	if r == nil {
		return nil
	}
	switch m.compare.part {
	case partInputs:
		return inputLines(r, m.compare.with+1, w)
	case partExamples:
		return exampleLines(r, m.compare.with, w)
	}
	return nil
}

// inputLines writes what went into the runs and is not the same.
func inputLines(r *core.CompareResult, with, w int) [][]span {
	var out [][]span
	for _, part := range []struct {
		name  string
		diffs []compare.Difference
	}{{"config", r.Config}, {"data", r.Data}, {"environment", r.Environment}} {
		out = append(out, []span{{screen.Accent | screen.Bold, part.name}})
		if len(part.diffs) == 0 {
			out = append(out, []span{{screen.Dim, "  the same"}})
		}
		for _, d := range part.diffs {
			line := []span{{screen.Text, "  " + clip(d.Name, mostName) + "  "}, {screen.Dim, clip(d.Text(0), mostName) + " → "}, {screen.Text, clip(d.Text(with), mostName)}}
			out = append(out, line)
		}
	}
	return out
}

// exampleLines writes the examples of which the answer became right or wrong.
func exampleLines(r *core.CompareResult, with, w int) [][]span {
	if with >= len(r.Examples) {
		return [][]span{{{screen.Dim, "The examples of the two runs cannot be paired."}}}
	}
	var out [][]span
	for _, part := range []struct {
		name  string
		style screen.Style
		list  []compare.Example
	}{{"✗ broken", screen.Bad, r.Examples[with].Broken}, {"✓ fixed", screen.Good, r.Examples[with].Fixed}} {
		out = append(out, []span{{part.style | screen.Bold, fmt.Sprintf("%s: %s", part.name, plural(len(part.list), "example", "examples"))}}, nil)
		for i, e := range part.list {
			if i == mostListed {
				out = append(out, []span{{screen.Dim, fmt.Sprintf("and %s more", count(len(part.list)-i))}}, nil)
				break
			}
			field := func(name string, spans []span) {
				for i, l := range flow(spans, w-12) {
					if i > 0 {
						name = ""
					}
					out = append(out, append([]span{{screen.Dim, "  " + name + strings.Repeat(" ", 10-len(name))}}, l...))
				}
			}
			field("input", []span{{screen.Text, clip(e.Input, mostFailure)}})
			field("reference", []span{{screen.Text, clip(e.Reference, mostFailure)}})
			field("base", diffWords(clip(e.Reference, mostFailure), clip(e.BasePrediction, mostFailure)))
			field("new", diffWords(clip(e.Reference, mostFailure), clip(e.Prediction, mostFailure)))
			out = append(out, nil)
		}
	}
	return out
}

// mostListed bounds how many changed examples are written out.
const mostListed = 200
