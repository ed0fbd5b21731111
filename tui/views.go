package tui

import (
	"path/filepath"
	"strings"
)

// leave goes one step back within a view; false means that it is at its
// outermost.
func (m *Model) leave() bool {
	switch m.at {
	case viewLive:
		if m.live.part != liveCurves {
			m.live.part = liveCurves
			return true
		}
	case viewSlices:
		return m.slices.leave()
	case viewHard:
		return m.hard.leave()
	case viewCompare:
		return m.compare.leave()
	case viewDecide:
		return m.decide.leave()
	}
	return false
}

// outdateEvidence marks what the reading views hold of a run as old, once a file
// of it has changed. What a log or a checkpoint says bears on none of them.
func (m *Model) outdateEvidence(dir, file string) {
	if file == "train_log.jsonl" || filepath.Base(file) == "trainer_state.json" || strings.HasPrefix(file, "checkpoint") {
		return
	}
	switch filepath.Dir(file) {
	case "eval", "review":
		m.hard.outdate(dir)
	}
	m.decide.outdate(dir)
}
