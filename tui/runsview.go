package tui

import (
	"cmp"
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

func runsKeys() []binding {
	return []binding{
		{[]string{"enter"}, "enter", "open the run: its slices, or its curves while it trains", "open", (*Model).openRun},
		{[]string{" "}, "space", "mark the run, to lay its curves over others", "mark", func(m *Model) tea.Cmd {
			m.table.mark()
			return m.move(1)
		}},
		{[]string{"c"}, "c", "compare the marked runs with the baseline", "compare", (*Model).compareMarked},
		{[]string{"b"}, "b", "make the run the baseline; again to have none", "baseline", (*Model).setBase},
		{[]string{"/"}, "/", "filter: words and conditions", "filter", (*Model).askFilter},
		{[]string{"s"}, "s", "sort by the next column", "sort", func(m *Model) tea.Cmd { return m.sortNext(1) }},
		{[]string{"S"}, "S", "turn the order around", "", func(m *Model) tea.Cmd {
			m.table.reverse = !m.table.reverse
			m.table.dirty = true
			return m.save()
		}},
		{[]string{"D"}, "D", "config keys that differ from the baseline, all of them", "diff", func(m *Model) tea.Cmd {
			m.table.diff = !m.table.diff
			return nil
		}},
		{[]string{"C"}, "C", "columns: which, in what order, sorted by which", "columns", (*Model).chooseColumns},
		{[]string{"x"}, "x", "actions on the run: pause, checkpoint, stop, resume", "", (*Model).jobActions},
		{[]string{"p"}, "p", "hide or show the preview", "", func(m *Model) tea.Cmd {
			m.table.noPreview = !m.table.noPreview
			return nil
		}},
		{[]string{"u"}, "u", "take all marks away", "", func(m *Model) tea.Cmd {
			clear(m.table.marked)
			return nil
		}},
	}
}

func (m *Model) openRun() tea.Cmd {
	r := m.table.find(m.table.cursor)
	if r == nil {
		return nil
	}
	m.open = r.dir
	if r.e.Status == runs.StatusCompleted && r.has {
		return m.show(viewSlices)
	}
	return m.show(viewLive)
}

func (m *Model) setBase() tea.Cmd {
	switch r := m.table.find(m.table.cursor); {
	case r == nil:
		return nil
	case m.table.base == r.dir:
		m.table.base = ""
		return tea.Batch(m.save(), m.say(screen.Dim, "no baseline"))
	default:
		m.table.base = r.dir
		m.table.dirty = true
		return tea.Batch(m.save(), m.say(screen.Dim, "differences are against "+r.name))
	}
}

func (m *Model) askFilter() tea.Cmd {
	before := m.table.filter
	m.entry = &entry{prompt: "/", line: newLine(before),
		typed:  func(m *Model, s string) { m.table.setFilter(s) },
		done:   func(m *Model, s string) tea.Cmd { m.table.setFilter(s); return nil },
		cancel: func(m *Model) { m.table.setFilter(before) },
		wrong:  func(m *Model) string { return m.table.complaint() },
	}
	return nil
}

// sortNext sorts by the next column that is shown.
func (m *Model) sortNext(by int) tea.Cmd {
	shown := m.table.layout(0, m.width-tableLeft-1)
	at := 0
	for i, p := range shown {
		if p.id == m.table.sort {
			at = i
		}
	}
	for range shown {
		at = (at + by + len(shown)) % len(shown)
		if shown[at].key != nil || shown[at].text != nil {
			break
		}
	}
	m.table.sort, m.table.reverse, m.table.dirty = shown[at].id, false, true
	return tea.Batch(m.save(), m.say(screen.Dim, "sorted by "+strings.ToLower(m.title(&shown[at]))))
}

func (m *Model) runsSubject() (left, right string) {
	t := &m.table
	left = strings.TrimSuffix(m.src.Root(), "/") + "/"
	if m.listing.done {
		n := plural(len(t.all), "run", "runs")
		if len(t.shown) != len(t.all) {
			n = count(len(t.shown)) + " of " + n
		}
		left += " · " + n
	}
	training := 0
	for _, r := range t.all {
		training += truth(r.e.Status == runs.StatusRunning)
	}
	if training > 0 {
		left += fmt.Sprintf(" · %d training", training)
	}
	if n := m.batches.running(); n > 0 {
		left += " · " + plural(n, "batch", "batches") + " running (B)"
	}
	if len(t.marked) > 0 {
		left += fmt.Sprintf(" · %d marked", len(t.marked))
	}
	if base := t.find(t.base); base != nil {
		left += " · baseline " + base.name
	}
	if t.filter != "" && m.entry == nil {
		right = "filter: " + t.filter
		if wrong := t.complaint(); wrong != "" {
			right = "! " + wrong
		}
	}
	return left, right
}

// tableLeft is where the columns begin: cursor, mark and sign stand before.
const tableLeft = 5

// tableTop is the line of the first run.
func (m *Model) tableTop() int {
	if m.height >= 16 {
		return 4
	}
	return 3
}

// bodyHeight is how many lines a view has.
func (m *Model) bodyHeight() int { return m.height - m.tableTop() - 1 }

// previewHeight is how many lines the preview takes.
func (m *Model) previewHeight() int {
	switch h := m.bodyHeight(); {
	case m.table.noPreview || h < 11:
		return 0
	case m.table.diff:
		return max(5, h/2)
	case h < 18:
		return 5
	case h < 26:
		return 7
	default:
		return min(20, h*2/5)
	}
}

// previewCharts says whether the preview has room for curves.
func (m *Model) previewCharts() bool { return m.previewHeight() > 8 && !m.table.diff }

// tableRows is how many runs are in sight.
func (m *Model) tableRows() int { return max(1, m.bodyHeight()-1-m.previewHeight()) }

func (m *Model) title(p *placed) string {
	if p.id != "metric" {
		return p.title
	}
	name, _ := m.table.metric()
	return cmp.Or(strings.ToUpper(name), p.title)
}

func (m *Model) drawRuns(c *screen.Canvas, r plot.Rect) {
	t := &m.table
	switch {
	case !m.listing.done:
		sayIn(c, r, said{screen.Dim, "reading " + m.src.Root() + " …"})
		return
	case len(t.all) == 0 && m.listing.err != nil:
		sayIn(c, r, said{screen.Bad, "✗ the runs could not be read"}, said{screen.Text, oneLine(m.listing.err)},
			said{screen.Dim, "r tries again"})
		return
	case len(t.all) == 0:
		sayIn(c, r, said{screen.Text | screen.Bold, "no runs yet"},
			said{screen.Dim, "A run appears here by itself as soon as one starts. For instance:"}, said{screen.Text, ""},
			said{screen.Text, "verifily train --config train.yaml --output-dir " + m.src.Root()}, said{screen.Text, ""},
			said{screen.Dim, "Another folder is shown by verifily-tui --runs-dir DIR."})
		return
	case len(t.shown) == 0:
		lines := []said{{screen.Text | screen.Bold, "no run passes the filter"},
			{screen.Dim, "/ changes it, esc takes it away: " + t.filter}}
		if t.unmet != "" {
			lines = append(lines, said{screen.Bad, "! " + t.unmet})
		}
		sayIn(c, r, lines...)
		return
	}
	columns := t.layout(tableLeft, c.Width()-tableLeft-1)
	for i := range columns {
		m.drawTitle(c, &columns[i], r.Y)
	}
	for i, run := range t.page() {
		y := r.Y + 1 + i
		for _, p := range columns {
			p.draw(m, c, run, p.x, y, p.w)
		}
		glyph, style := sign(&run.e)
		c.Set(3, y, style, glyph)
		if t.marked[run.dir] {
			c.Set(2, y, screen.Accent, '▪')
		}
		if run.dir == t.cursor {
			c.Mark(0, y, c.Width(), screen.Picked)
			c.Set(1, y, screen.Accent|screen.Picked, '▸')
		}
	}
	if h := m.previewHeight(); h > 0 {
		m.drawPreview(c, plot.Rect{X: 0, Y: r.Y + r.H - h + 1, W: r.W, H: h - 1})
	}
}

func (m *Model) drawTitle(c *screen.Canvas, p *placed, y int) {
	words, style := m.title(p), screen.Dim
	if p.id == m.table.sort {
		style = screen.Text
		arrow := "↓"
		if m.table.reverse {
			arrow = "↑"
		}
		words += arrow
	}
	if p.right {
		w := p.w
		if p.id == "delta" {
			w -= 2
		}
		c.PutRight(p.x-1, y, w+1, style, words)
		return
	}
	c.PutIn(p.x, y, p.w, style, words)
}

// drawPreview shows the run under the cursor.
func (m *Model) drawPreview(c *screen.Canvas, r plot.Rect) {
	run := m.table.find(m.table.cursor)
	if run == nil {
		return
	}
	c.Fill(1, r.Y-1, r.W-2, screen.Dim, '─')
	if m.previewCharts() {
		left := r.W * 45 / 100
		if m.drawPreviewChart(c, plot.Rect{X: 1, Y: r.Y, W: left - 2, H: r.H}, run) {
			r.X, r.W = left, r.W-left
		}
	}
	y, bottom := r.Y, r.Y+r.H
	put := func(style screen.Style, words string) {
		if y < bottom && words != "" {
			c.PutIn(r.X+1, y, r.W-2, style, words)
			y++
		}
	}
	right := r.X + r.W - 1
	x := c.PutIn(r.X+1, y, r.W/2, screen.Text|screen.Bold, run.name) + 2
	c.PutIn(x, y, right-x, screen.Dim, m.describe(run))
	y++
	if run.e.Err != nil {
		put(screen.Bad, "! "+oneLine(run.e.Err))
	}
	if run.failure() != "" {
		put(screen.Bad, "✗ "+run.failure())
	}
	if run.e.Status == runs.StatusInterrupted {
		put(screen.Doubt, "◌ stopped on the way; verifily train --resume "+m.fromShell(run.dir))
	}
	if m.table.diff {
		var lines []said
		m.drawDiff(func(style screen.Style, words string) { lines = append(lines, said{style, words}) }, run)
		if room := bottom - y; len(lines) > room {
			lines = append(lines[:max(0, room-1)], said{screen.Dim, fmt.Sprintf("and %d more: c, then D shows all of them", len(lines)-room+1)})
		}
		for _, l := range lines {
			put(l.style, l.words)
		}
		return
	}
	below := m.previewFoot(run)
	m.drawScores(put, run, bottom-y-len(below))
	for _, l := range below {
		put(l.style, l.words)
	}
}

// previewFoot says what was decided about a run, and what went into it otherwise
// than into the baseline.
func (m *Model) previewFoot(run *row) []said {
	var out []said
	if b := m.table.brief(run.dir); b != nil && b.Decision != nil {
		words := "decision " + clip(b.Decision.Recommendation, mostName)
		if len(b.Decision.Reasons) > 0 {
			words += ": " + clip(b.Decision.Reason(), mostFailure)
			if n := len(b.Decision.Reasons) - 1; n > 0 {
				words += fmt.Sprintf(" (and %d more)", n)
			}
		}
		out = append(out, said{verdictStyle(b.Decision.Recommendation), words})
	}
	if words := m.changedAgainst(run); words != "" {
		out = append(out, said{screen.Dim, words})
	}
	return out
}

func (m *Model) describe(run *row) string {
	meta := &run.e.Meta
	parts := []string{meta.Task, short(meta.BaseModel), meta.DatasetVersion}
	if meta.Seed != "" {
		parts = append(parts, "seed "+meta.Seed.String())
	}
	if d := run.duration(m.now); d > 0 {
		parts = append(parts, lasted(d))
	}
	if b := m.table.brief(run.dir); b != nil && len(b.Chain) >= 4 {
		parts = append(parts, "chain "+b.Chain[:4]+"…")
	}
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " · ")
}

// drawScores writes the metrics with their evidence, and the worst slices, in as
// many lines as there is room for.
func (m *Model) drawScores(put func(screen.Style, string), run *row, room int) {
	e := m.evals[run.dir]
	if e == nil || e.value == nil {
		put(screen.Text, m.trainedSoFar(run))
		return
	}
	var parts []string
	for i, name := range e.value.Metrics {
		interval, ok := e.value.Intervals[name]
		if !ok {
			interval = source.Unknown
		}
		part := name + " " + scoreIn(e.value.Values[name], interval)
		if i == 0 {
			part += " " + ends(interval) + " n=" + count(e.value.N)
		}
		if len(parts) < 3 {
			parts = append(parts, part)
		}
	}
	put(screen.Text, strings.Join(parts, " · "))
	rows := worst(e.value, run.metric)
	for i, s := range rows {
		if i >= room-1 || s.TooFew {
			break
		}
		lead := "worst slice "
		if i > 0 {
			lead = strings.Repeat(" ", len(lead))
		}
		interval := s.interval(run.metric)
		put(screen.Text, lead+s.Name()+" "+scoreIn(s.Values[run.metric], interval)+" "+ends(interval)+" n="+count(s.N))
	}
}

// trainedSoFar says how far a run came that has no predictions to be judged by.
func (m *Model) trainedSoFar(run *row) string {
	var parts []string
	if run.has {
		parts = append(parts, run.metric+" "+score(run.value))
	}
	if b := m.table.brief(run.dir); b != nil {
		if n := len(b.Loss); n > 0 {
			parts = append(parts, "loss "+readout(b.Loss[n-1]))
		}
		if best, ok := bestLoss(&m.table, run); ok {
			parts = append(parts, "best eval loss "+score(best))
		}
		if b.Epoch > 0 {
			parts = append(parts, "epoch "+epochCount(b.Epoch))
		}
	}
	return strings.Join(parts, " · ")
}

func (m *Model) changedAgainst(run *row) string {
	base := m.table.find(m.table.base)
	if base == nil || base == run {
		return ""
	}
	changes := m.changes(run)
	if changes == nil {
		return ""
	}
	if len(changes) == 0 {
		return "same config as " + base.name
	}
	var names []string
	for _, d := range changes {
		names = append(names, d.Name)
	}
	return "changed against baseline: " + strings.Join(names, ", ")
}

func (m *Model) drawPreviewChart(c *screen.Canvas, r plot.Rect, run *row) bool {
	h := m.histories[run.dir]
	if h == nil || h.lines.Lines() == 0 {
		return false
	}
	x := h.lines.X[source.Steps]
	var series []plot.Series
	for i, name := range []string{source.Loss, source.EvalLoss} {
		if h.lines.Curves[name] != nil {
			s := plot.Series{Style: screen.Line(i), Points: i == 1}
			s.X, s.Y = h.points(name, source.Steps, 0, x[0], x[len(x)-1])
			series = append(series, s)
		}
	}
	return plot.Chart{Series: series, Log: true, Cross: nan}.Draw(c, r)
}
