package tui

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
)

// column is a column of the table of runs.
type column struct {
	id, title string
	about     string // what it shows, for people who choose
	least     int    // columns of the screen
	most      int    // what it grows to
	keep      int    // columns with a larger number go first where room is short
	right     bool
	draw      func(m *Model, c *screen.Canvas, r *row, x, y, w int)
	// less orders rows, best or newest first; rows without a value come last,
	// whatever the direction. nil: the column does not sort.
	key  func(t *table, r *row) (v float64, ok bool)
	text func(r *row) string
}

// order compares two rows by the column.
func (col *column) order(t *table, a, b *row, reverse bool) int {
	turn := 1
	if reverse {
		turn = -1
	}
	if col.text != nil {
		x, y := strings.ToLower(col.text(a)), strings.ToLower(col.text(b))
		if (x == "") != (y == "") {
			return cmp.Compare(truth(x == ""), truth(y == ""))
		}
		return turn * cmp.Compare(x, y)
	}
	x, okX := col.key(t, a)
	y, okY := col.key(t, b)
	if okX != okY {
		return cmp.Compare(truth(okY), truth(okX))
	}
	if !okX {
		return 0
	}
	return turn * cmp.Compare(x, y)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// runColumns are the columns as they come, from left to right. Most of the room
// that is left over goes to the name and the decision.
var runColumns = []column{
	{id: "name", title: "NAME", about: "name", least: 16, most: 44, keep: 0, text: func(r *row) string { return r.name }, draw: drawName},
	{id: "data", title: "DATA", about: "data version", least: 10, most: 22, keep: 6, text: func(r *row) string { return r.e.Meta.DatasetVersion },
		draw: func(_ *Model, c *screen.Canvas, r *row, x, y, w int) {
			c.PutIn(x, y, w, screen.Dim, r.e.Meta.DatasetVersion)
		}},
	{id: "model", title: "MODEL", about: "base model", least: 12, most: 22, keep: 10, text: func(r *row) string { return r.e.Meta.BaseModel },
		draw: func(_ *Model, c *screen.Canvas, r *row, x, y, w int) {
			c.PutIn(x, y, w, screen.Dim, short(r.e.Meta.BaseModel))
		}},
	{id: "task", title: "TASK", about: "task", least: 5, most: 14, keep: 11, text: func(r *row) string { return r.e.Meta.Task },
		draw: func(_ *Model, c *screen.Canvas, r *row, x, y, w int) {
			c.PutIn(x, y, w, screen.Dim, r.e.Meta.Task)
		}},
	{id: "loss", title: "LOSS", about: "loss curve", least: 7, most: 14, keep: 4, draw: func(m *Model, c *screen.Canvas, r *row, x, y, w int) {
		if b := m.table.brief(r.dir); b != nil {
			plot.Spark(c, x, y, w, screen.Text, b.Loss)
		}
	}},
	{id: "metric", title: "METRIC", about: "primary metric", least: 5, most: 8, keep: 1, right: true, draw: drawMetric,
		key: func(_ *table, r *row) (float64, bool) { return better(r), r.has }},
	{id: "delta", title: "Δ BASE", about: "against baseline", least: 8, most: 9, keep: 2, right: true, draw: drawDelta,
		key: func(t *table, r *row) (float64, bool) {
			base := t.find(t.base)
			ok := base != nil && r.has && base.has && base.metric == r.metric
			if !ok {
				return 0, false
			}
			return better(r) - better(base), true
		}},
	{id: "best", title: "EVAL LOSS", about: "best eval loss", least: 9, most: 9, keep: 8, right: true,
		draw: func(m *Model, c *screen.Canvas, r *row, x, y, w int) {
			if v, ok := bestLoss(&m.table, r); ok {
				c.PutRight(x, y, w, screen.Text, score(v))
			}
		}, key: bestLoss},
	{id: "time", title: "TIME", about: "duration", least: 7, most: 7, keep: 9, right: true,
		draw: func(m *Model, c *screen.Canvas, r *row, x, y, w int) {
			if d := r.duration(m.now); d > 0 {
				c.PutRight(x, y, w, screen.Dim, lasted(d))
			}
		}, key: func(t *table, r *row) (float64, bool) {
			d := r.duration(t.now)
			return -d, d > 0
		}},
	{id: "age", title: "AGE", about: "age", least: 4, most: 4, keep: 5, right: true,
		draw: func(m *Model, c *screen.Canvas, r *row, x, y, w int) {
			words := "–" // nothing tells when it began
			if !r.started.IsZero() {
				words = ago(m.now.Sub(r.started))
			}
			c.PutRight(x, y, w, screen.Dim, words)
		}, key: func(_ *table, r *row) (float64, bool) { return -float64(r.started.Unix()), true }},
	{id: "decision", title: "DECISION", about: "decision", least: 12, most: 40, keep: 3, draw: drawDecision,
		text: func(r *row) string { return string(r.e.Status) }},
}

func columnOf(id string) *column {
	for i := range runColumns {
		if runColumns[i].id == id {
			return &runColumns[i]
		}
	}
	return nil
}

// better is a value by which the best run sorts first.
func better(r *row) float64 {
	if metrics.LowerIsBetter(r.metric) {
		return r.value
	}
	return -r.value
}

func bestLoss(t *table, r *row) (float64, bool) {
	if b := t.brief(r.dir); b != nil && b.Summary != nil && b.Summary.BestEvalLoss != nil {
		return *b.Summary.BestEvalLoss, true
	}
	v, ok := r.e.Meta.Metrics["eval_loss"]
	return v, ok
}

func drawName(m *Model, c *screen.Canvas, r *row, x, y, w int) {
	if r.dir == m.table.base {
		c.PutIn(x, y, w-2, screen.Text|screen.Bold, r.name)
		c.Set(x+w-1, y, screen.Accent, '⚑')
		return
	}
	c.PutIn(x, y, w, screen.Text, r.name)
}

// metric returns the primary metric of the runs in sight, or where they have
// several the width of the longest name.
func (t *table) metric() (name string, mixed int) {
	for _, r := range t.page() {
		switch {
		case !r.has:
		case name == "" && mixed == 0:
			name = r.metric
		case mixed > 0 || r.metric != name:
			mixed = max(mixed, text.Width(name), text.Width(r.metric))
			name = ""
		}
	}
	return name, mixed
}

// drawMetric says which metric it is where the runs in sight have several and
// there is room.
func drawMetric(m *Model, c *screen.Canvas, r *row, x, y, w int) {
	if !r.has {
		c.PutRight(x, y, w, screen.Dim, "–")
		return
	}
	value := score(r.value)
	c.PutRight(x, y, w, screen.Text, value)
	const least = 2 // letters of a name that say something
	if room := w - text.Width(value) - 1; room >= least {
		if _, mixed := m.table.metric(); mixed > 0 {
			c.PutRight(x, y, room, screen.Dim, text.Line(r.metric, room))
		}
	}
}

// drawDelta shows the difference to the baseline: ✓ where its interval leaves
// zero out, ~ where it does not, ? where the examples cannot be paired.
func drawDelta(m *Model, c *screen.Canvas, r *row, x, y, w int) {
	base := m.table.find(m.table.base)
	switch {
	case base == nil || !r.has || !base.has || base.metric != r.metric:
		return
	case r == base:
		c.PutRight(x, y, w-2, screen.Dim, "base")
		return
	}
	delta, mark, style := r.value-base.value, ' ', screen.Dim
	if d := m.delta(r.dir); d != nil {
		delta = d.Delta
		mark, style = verdictMark(d)
	}
	c.PutRight(x, y, w-2, style, signed(delta))
	c.Set(x+w-1, y, style, mark)
}

func verdictMark(d *compare.Delta) (rune, screen.Style) {
	switch {
	case !d.Paired:
		return '?', screen.Dim
	case d.Verdict == compare.Better:
		return '✓', screen.Good
	case d.Verdict == compare.Worse:
		return '✓', screen.Bad
	}
	return '~', screen.Text
}

// delta returns the difference of a run to the baseline in its primary metric.
func (m *Model) delta(dir string) *compare.Delta {
	p := m.pairs[pairKey{m.table.base, dir, false}]
	if p == nil || p.value == nil || len(p.value.Overall) == 0 || len(p.value.Overall[0].Deltas) == 0 {
		return nil
	}
	if r := m.table.find(dir); r == nil || p.value.Overall[0].Metric != r.metric {
		return nil
	}
	d := p.value.Overall[0].Deltas[0]
	if d == nil || math.IsNaN(d.Delta) {
		return nil
	}
	return d
}

func drawDecision(m *Model, c *screen.Canvas, r *row, x, y, w int) {
	words, style := m.standing(r)
	c.PutIn(x, y, w, style, words)
}

// standing says how far a run has come, or what was decided about it.
func (m *Model) standing(r *row) (string, screen.Style) {
	if r.e.Err != nil {
		return "unreadable", screen.Bad
	}
	b := m.table.brief(r.dir)
	switch r.e.Status {
	case runs.StatusRunning:
		if f, ok := m.progress(r); ok {
			return fmt.Sprintf("training %d%%", int(f*100)), screen.Accent
		}
		return "training", screen.Accent
	case runs.StatusFailed:
		return cmp.Or(r.failure(), "failed"), screen.Bad
	case runs.StatusInterrupted:
		return "interrupted", screen.Doubt
	case runs.StatusCompleted:
		if b == nil || b.Decision == nil {
			return "", screen.Dim
		}
		switch v := b.Decision.Recommendation; v {
		case "SHIP":
			return v, screen.Good
		case "DONT_SHIP":
			return v, screen.Bad
		default:
			return v, screen.Doubt
		}
	}
	return string(r.e.Status), screen.Dim
}

// layout says where each column stands.
type placed struct {
	*column
	x, w int
	most int // what it grows to here
}

const columnGap = 2

// layout chooses the columns that fit and shares out the room that is left.
func (t *table) layout(x, w int) []placed {
	var out []placed
	_, names := t.metric()
	for _, col := range t.arranged() {
		p := placed{column: col, w: col.least, most: col.most}
		if col.id == "metric" && names > 0 {
			p.most = max(p.most, names+1+p.w) // each value has its name beside it
		}
		if !t.hidden[col.id] {
			out = append(out, p)
		}
	}
	width := func() int {
		n := -columnGap
		for _, p := range out {
			n += p.w + columnGap
		}
		return n
	}
	for width() > w && len(out) > 1 {
		last := 0
		for i, p := range out {
			if p.keep > out[last].keep {
				last = i
			}
		}
		out = append(out[:last], out[last+1:]...)
	}
	out[0].w = min(out[0].w, w)
	for i := range out {
		if out[i].most > out[i].column.most { // names of metrics are of use whole
			out[i].w += max(0, min(w-width(), out[i].most-out[i].w))
		}
	}
	for spare := w - width(); spare > 0; {
		grown := false
		for i := range out {
			// What is read gets three columns for each that others get.
			for range 1 + 2*truth(out[i].id == "name" || out[i].id == "decision") {
				if spare > 0 && out[i].w < out[i].most {
					out[i].w++
					spare--
					grown = true
				}
			}
		}
		if !grown {
			break
		}
	}
	for i := range out {
		out[i].x = x
		x += out[i].w + columnGap
	}
	return out
}

// columnActions lets the palette sort by, hide and show columns.
func (m *Model) columnActions() []binding {
	var out []binding
	for _, col := range m.table.arranged() {
		if col.key != nil || col.text != nil {
			out = append(out, binding{help: "sort by " + strings.ToLower(col.title), do: func(m *Model) tea.Cmd {
				m.table.sort, m.table.reverse, m.table.dirty = col.id, false, true
				return m.save()
			}})
		}
		if col.id == "name" {
			continue
		}
		what := "hide column "
		if m.table.hidden[col.id] {
			what = "show column "
		}
		out = append(out, binding{help: what + strings.ToLower(col.title), do: func(m *Model) tea.Cmd {
			if m.table.hidden[col.id] {
				delete(m.table.hidden, col.id)
			} else {
				m.table.hidden[col.id] = true
			}
			return m.save()
		}})
	}
	return out
}

// progress is the share of the training that is done, by epochs.
func (m *Model) progress(r *row) (float64, bool) {
	epochs := 0.0
	if b := m.table.brief(r.dir); b != nil {
		switch v := b.Config["training.num_epochs"].(type) {
		case int:
			epochs = float64(v)
		case float64:
			epochs = v
		}
		// The log of a run that is not looked at any more is read no further.
		if h := m.histories[r.dir]; h != nil && !h.stale && h.lines.Lines() > 0 && epochs > 0 {
			return min(1, h.lines.LastEpoch()/epochs), true
		}
		if epochs > 0 && b.Epoch > 0 {
			return min(1, b.Epoch/epochs), true
		}
	}
	return 0, false
}
