package tui

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// exportEnd is the end of the file name that is proposed for an export: the
// hard examples leave as data, everything else as a picture.
func (m *Model) exportEnd() string {
	if m.at == viewHard {
		return ".jsonl"
	}
	return ".svg"
}

// exportData writes what the view shows as data, where the end of the name asks
// for it; false means that the frame is asked for.
func (m *Model) exportData(path string) (tea.Cmd, bool) {
	end := strings.ToLower(filepath.Ext(path))
	if end == ".svg" || end == ".txt" || end == "" {
		return nil, false
	}
	var write func() error
	known := ""
	switch m.at {
	case viewRuns:
		known = ".csv"
		if end == ".csv" {
			rows := m.runTable()
			write = func() error { return writeCSV(path, rows) }
		}
	case viewSlices:
		known = ".csv"
		if end == ".csv" {
			rows := m.sliceTable()
			write = func() error { return writeCSV(path, rows) }
		}
	case viewHard:
		known = ".jsonl"
		if end == ".jsonl" && m.hard.value != nil {
			list := slices.Clone(m.hard.shown())
			write = func() error { return source.WriteRelabel(path, list) }
		}
	case viewCompare:
		known = ".csv, .json and .md"
		if r := m.compare.value; r != nil && strings.Contains(" .csv .json .md ", " "+end+" ") {
			write = func() error {
				var out bytes.Buffer
				var err error
				switch end {
				case ".csv":
					err = r.WriteCSV(&out)
				case ".json":
					err = r.WriteJSON(&out)
				default:
					err = r.WriteMarkdown(&out)
				}
				if err != nil {
					return err
				}
				return atomicfile.WriteBytes(path, 0o644, out.Bytes())
			}
		}
	case viewDecide:
		known = ".json"
		if j := m.decide.value; j != nil && end == ".json" {
			write = func() error {
				data, err := j.Decision.JSON()
				if err != nil {
					return err
				}
				return atomicfile.WriteBytes(path, 0o644, data)
			}
		}
	}
	if write == nil {
		return m.say(screen.Doubt, "nothing is exported as "+text.Line(end, 12)+" here: .svg and .txt are the frame"+dataEnds(known)), true
	}
	return func() tea.Msg { return exportedMsg{path, write()} }, true
}

func dataEnds(known string) string {
	if known == "" {
		return ""
	}
	return ", " + known + " the data"
}

// writeCSV writes rows for a spreadsheet. A text that it would take for a formula
// starts with an apostrophe.
func writeCSV(path string, rows [][]string) error {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	for _, row := range rows {
		for i, s := range row {
			if _, err := strconv.ParseFloat(s, 64); err != nil && s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
				row[i] = "'" + s
			}
		}
		if err := w.Write(row); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return atomicfile.WriteBytes(path, 0o644, out.Bytes())
}

// full writes a number as it is, nothing for one that is not finite.
func full(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// runTable is the table of runs as it is filtered and sorted.
func (m *Model) runTable() [][]string {
	rows := [][]string{{"run", "name", "status", "task", "base_model", "dataset_version", "metric", "value", "delta_to_baseline", "best_eval_loss",
		"duration_seconds", "started_at", "decision"}}
	for _, r := range m.table.shown {
		value, delta, best, verdict := "", "", "", ""
		if r.has {
			value = full(r.value)
		}
		if d := m.delta(r.dir); d != nil {
			delta = full(d.Delta)
		}
		if v, ok := bestLoss(&m.table, r); ok {
			best = full(v)
		}
		if b := m.table.brief(r.dir); b != nil && b.Decision != nil {
			verdict = b.Decision.Recommendation
		}
		meta := &r.e.Meta
		rows = append(rows, []string{r.e.Name, r.name, string(r.e.Status), meta.Task, meta.BaseModel, meta.DatasetVersion, r.metric, value, delta, best,
			full(meta.DurationSeconds), meta.StartedAt, verdict})
	}
	return rows
}

// sliceTable is the table of slices in its order.
func (m *Model) sliceTable() [][]string {
	rows := [][]string{{"key", "value", "n", "too_few", "metric", "score", "low", "high", "delta_to_overall", "delta_to_baseline", "errors"}}
	e := m.evaluation()
	if e == nil {
		return rows
	}
	metric, all := m.sliceMetric(e), overallRow(e)
	for _, s := range m.sliceRows() {
		interval, value, away, delta, wrong := s.interval(metric), "", "", "", ""
		if v, ok := s.Values[metric]; ok {
			value = full(v)
		}
		if d, _, ok := overallDelta(s, all, metric); ok {
			away = full(d)
		}
		if d := m.sliceDelta(s); d != nil {
			delta = full(d.Delta)
		}
		if s.Errors >= 0 {
			wrong = strconv.Itoa(s.Errors)
		}
		rows = append(rows, []string{s.Key, s.Value, strconv.Itoa(s.N), strconv.FormatBool(s.TooFew), metric, value, full(interval.Low), full(interval.High),
			away, delta, wrong})
	}
	return rows
}
