package tui

import (
	"cmp"
	"math"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// slicesState is how the slices are looked at.
type slicesState struct {
	metric  string // empty: the primary one
	sort    int    // place in sliceSorts
	reverse bool
	key     string // only slices of this tag; empty: all
	picked  string // label of the row that the cursor is on
	at      int    // its place, for when the row has gone
	cross   *cross // two tags crossed, nil: the slices are shown

	rows   []slice // as last worked out
	extent extent
	deltas map[string]*compare.Delta
	of     rowsKey
}

// rowsKey says what rows were worked out from.
type rowsKey struct {
	eval        *source.Evaluation
	pair        *core.CompareResult
	metric, key string
	sort        int
	reverse     bool
}

var sliceSorts = []string{"worst", "name", "n", "errors", "Δ base"}

func slicesKeys() []binding {
	return []binding{
		{[]string{"enter"}, "enter", "read the hard examples of the slice", "read", (*Model).openSlice},
		{[]string{"s"}, "s", "sort: worst, name, n, errors, difference", "sort", func(m *Model) tea.Cmd {
			m.slices.sort, m.slices.reverse = (m.slices.sort+1)%len(sliceSorts), false
			return nil
		}},
		{[]string{"S"}, "S", "turn the order around", "", func(m *Model) tea.Cmd {
			m.slices.reverse = !m.slices.reverse
			return nil
		}},
		{[]string{"m"}, "m", "next metric", "metric", func(m *Model) tea.Cmd {
			if e := m.evaluation(); e != nil && len(e.Metrics) > 0 {
				at := slices.Index(e.Metrics, m.sliceMetric(e))
				m.slices.metric = e.Metrics[(at+1)%len(e.Metrics)]
			}
			return nil
		}},
		{[]string{"w"}, "w", "slices of one tag only, then of the next", "tag", func(m *Model) tea.Cmd {
			if e := m.evaluation(); e != nil {
				at := slices.Index(e.Keys, m.slices.key) + 1
				m.slices.key, m.slices.picked, m.slices.at = "", "", 0
				if at < len(e.Keys) {
					m.slices.key = e.Keys[at]
				}
			}
			return nil
		}},
		{[]string{"X"}, "X", "cross two tags into a heat map", "cross", (*Model).askCross},
		{[]string{"left", "h"}, "← h", "heat map: to the left", "", func(m *Model) tea.Cmd { return m.moveCross(0, -1) }},
		{[]string{"right", "l"}, "→ l", "heat map: to the right", "", func(m *Model) tea.Cmd { return m.moveCross(0, 1) }},
	}
}

// leave closes the heat map; false means that none was open.
func (s *slicesState) leave() bool {
	open := s.cross != nil
	s.cross = nil
	return open
}

// evaluation returns that of the open run, nil where there is none yet.
func (m *Model) evaluation() *source.Evaluation {
	if e := m.evals[m.open]; e != nil {
		return e.value
	}
	return nil
}

func (m *Model) sliceMetric(e *source.Evaluation) string {
	if slices.Contains(e.Metrics, m.slices.metric) {
		return m.slices.metric
	}
	if len(e.Metrics) == 0 {
		return ""
	}
	return e.Metrics[0]
}

func (m *Model) moveSlices(by int) {
	if m.slices.cross != nil {
		m.moveCross(by, 0)
		return
	}
	rows := m.sliceRows()
	at := max(0, min(len(rows)-1, m.sliceAt(rows)+by))
	if at < len(rows) {
		m.slices.picked, m.slices.at = rows[at].label(), at
	}
}

// sliceAt finds the row of the cursor: the same slice when the order changes,
// the same place when it has gone.
func (m *Model) sliceAt(rows []slice) int {
	if at := m.slices.at; at < len(rows) && rows[at].label() == m.slices.picked {
		return at
	}
	if at := slices.IndexFunc(rows, func(s slice) bool { return s.label() == m.slices.picked }); at >= 0 {
		return at
	}
	return max(0, min(m.slices.at, len(rows)-1))
}

// slice is a row of the view.
type slice struct {
	*source.Slice
	overall bool
}

func (s slice) label() string {
	if s.overall {
		return "overall"
	}
	return s.Name()
}

func (s slice) interval(metric string) source.Interval {
	if i, ok := s.Intervals[metric]; ok {
		return i
	}
	return source.Unknown
}

// worst orders the slices of an evaluation, the worst first and those that
// are too small last.
func worst(e *source.Evaluation, metric string) []slice {
	out := make([]slice, 0, len(e.Slices))
	for i := range e.Slices {
		out = append(out, slice{Slice: &e.Slices[i]})
	}
	slices.SortStableFunc(out, func(a, b slice) int { return compareWorst(a, b, metric) })
	return out
}

func compareWorst(a, b slice, metric string) int {
	turn := 1
	if metrics.LowerIsBetter(metric) {
		turn = -1
	}
	x, okX := a.Values[metric]
	y, okY := b.Values[metric]
	return cmp.Or(cmp.Compare(truth(a.TooFew), truth(b.TooFew)), cmp.Compare(truth(!okX), truth(!okY)), turn*cmp.Compare(x, y))
}

// overallRow is the row of all examples.
func overallRow(e *source.Evaluation) slice {
	return slice{overall: true, Slice: &source.Slice{N: e.N, Values: e.Values, Intervals: e.Intervals, Errors: e.Errors, Lift: nan, LiftEnds: source.Unknown}}
}

// sliceRows returns the rows in their order, with one for all examples. They are
// worked out once for what they depend on: there may be ten thousand.
func (m *Model) sliceRows() []slice {
	e := m.evaluation()
	if e == nil {
		return nil
	}
	s := &m.slices
	of := rowsKey{eval: e, metric: m.sliceMetric(e), key: s.key, sort: s.sort, reverse: s.reverse}
	if p := m.pairs[pairKey{m.table.base, m.open, true}]; p != nil {
		of.pair = p.value
	}
	if s.of != of {
		s.of, s.deltas = of, deltasOf(of.pair, of.metric)
		s.rows = m.sortSlices(e, of.metric)
		s.extent = m.measure(s.rows, of.metric)
	}
	return s.rows
}

func (m *Model) sortSlices(e *source.Evaluation, metric string) []slice {
	s := &m.slices
	rows := slices.DeleteFunc(worst(e, metric), func(r slice) bool { return s.key != "" && r.Key != s.key })
	all := overallRow(e)
	var by func(a, b slice) int
	switch sliceSorts[s.sort] {
	case "name":
		by = func(a, b slice) int { return cmp.Compare(a.Name(), b.Name()) }
	case "n":
		by = func(a, b slice) int { return cmp.Compare(b.N, a.N) }
	case "errors":
		by = func(a, b slice) int { return cmp.Compare(b.Errors, a.Errors) }
	case "Δ base":
		by = func(a, b slice) int { return cmp.Compare(m.sortDelta(a, metric), m.sortDelta(b, metric)) }
	}
	if by != nil {
		slices.SortStableFunc(rows, by)
	}
	if s.reverse {
		slices.Reverse(rows)
		// What says too little stays last.
		slices.SortStableFunc(rows, func(a, b slice) int { return cmp.Compare(truth(a.TooFew), truth(b.TooFew)) })
	}
	if by != nil {
		return slices.Insert(rows, 0, all)
	}
	at := 0
	for at < len(rows) && !rows[at].TooFew && (compareWorst(rows[at], all, metric) < 0) != s.reverse {
		at++
	}
	return slices.Insert(rows, at, all)
}

func (m *Model) sortDelta(s slice, metric string) float64 {
	d := m.slices.deltas[s.label()]
	switch {
	case d == nil:
		return math.Inf(1)
	case metrics.LowerIsBetter(metric):
		return -d.Delta
	}
	return d.Delta
}

// deltasOf indexes the differences to the baseline in a metric by slice.
func deltasOf(p *core.CompareResult, metric string) map[string]*compare.Delta {
	out := map[string]*compare.Delta{}
	if p == nil {
		return out
	}
	for _, o := range p.Overall {
		if o.Metric == metric && len(o.Deltas) > 0 {
			out["overall"] = o.Deltas[0]
		}
	}
	if p.Metric != metric {
		return out
	}
	for _, o := range p.Slices {
		if len(o.Deltas) > 0 {
			out[o.Key+"="+o.Value] = o.Deltas[0]
		}
	}
	return out
}

// sliceDelta returns the difference of a row to the baseline, nil where it is
// not known.
func (m *Model) sliceDelta(s slice) *compare.Delta { return m.slices.deltas[s.label()] }

// overallDelta is how far a slice lies from all examples, with its interval.
//
// A slice of n is part of the N. For means of independent examples the covariance
// of the two is n/N times the variance of the slice, so the variance of the
// difference is var(slice)(1-2n/N) + var(all).
func overallDelta(s, all slice, metric string) (float64, source.Interval, bool) {
	v, ok := s.Values[metric]
	mean, known := all.Values[metric]
	if s.overall || !ok || !known || s.N <= 0 || all.N < s.N {
		return 0, source.Unknown, false
	}
	part, whole := s.interval(metric), all.interval(metric)
	if !part.Known() || !whole.Known() {
		return v - mean, source.Unknown, true
	}
	a, b := (part.High-part.Low)/2, (whole.High-whole.Low)/2
	half := math.Sqrt(max(0, a*a*(1-2*float64(s.N)/float64(all.N))+b*b))
	return v - mean, source.Interval{Low: v - mean - half, High: v - mean + half}, true
}

func (m *Model) openSlice() tea.Cmd {
	if m.slices.cross != nil {
		return m.openCell()
	}
	rows := m.sliceRows()
	if len(rows) == 0 {
		return nil
	}
	s := rows[m.sliceAt(rows)]
	m.hard.readSlice("", "")
	if !s.overall {
		m.hard.setSlice(s.Key, s.Value)
	}
	return m.show(viewHard)
}

func (m *Model) slicesSubject() (left, right string) {
	r := m.run()
	if r == nil {
		return m.noRun(), ""
	}
	e := m.evaluation()
	if e == nil {
		return r.name, ""
	}
	parts := []string{r.name}
	if e.TestData != "" {
		parts = append(parts, short(e.TestData)+" n="+count(e.N))
	} else {
		parts = append(parts, "n="+count(e.N))
	}
	by := strings.Join(e.Keys, ", ")
	if m.slices.key != "" {
		by = m.slices.key
	}
	if x := m.slices.cross; x != nil {
		return strings.Join(append(parts, m.sliceMetric(e)+" by "+x.a+" × "+x.b), " · "), ""
	}
	if by != "" {
		parts = append(parts, cmp.Or(m.sliceMetric(e), "no metric")+" by "+clip(by, mostName))
	}
	switch base := m.table.find(m.table.base); {
	case base == nil || base == r:
	case base.has:
		parts = append(parts, "Δ against "+base.name)
	default:
		parts = append(parts, "no Δ: "+base.name+" is not evaluated")
	}
	right = "sort: " + sliceSorts[m.slices.sort]
	if m.slices.reverse {
		right += ", turned"
	}
	return strings.Join(parts, " · "), right
}

// widestSlice is how much of the name of a slice is shown in the table.
const widestSlice = 36

// sharesOf writes the share of a slice among the errors, with what it is more or
// less than its share among all.
func sharesOf(s slice, e *source.Evaluation) (share, lift string, style screen.Style) {
	if s.Errors < 0 || e.Errors <= 0 {
		return "", "", screen.Dim
	}
	share = percent(s.Errors, e.Errors)
	// Under a twentieth the arrow would point at 1.0.
	if !s.LiftEnds.Known() || s.TooFew || s.overall || math.Abs(s.Lift-1) < 0.05 {
		return share, "", screen.Dim
	}
	switch {
	case s.LiftEnds.Low > 1:
		return share, "▲" + places1(s.Lift), screen.Bad
	case s.LiftEnds.High < 1:
		return share, "▼" + places1(s.Lift), screen.Good
	}
	return share, "", screen.Dim
}
