package tui

import (
	"cmp"
	"fmt"
	"math"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/jobs"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

// readoutWidth is the width of the values beside the chart; they are left out
// where the chart would become too narrow.
const (
	readoutWidth = 22
	readoutFrom  = 64
)

// livePlaces says where the parts of the view stand; those that have no room
// have no height.
type livePlaces struct {
	progress, meters, chart, small, readout, log plot.Rect
	across, down                                 int // small charts
}

func (m *Model) livePlaces(r plot.Rect) livePlaces {
	var p livePlaces
	take := func(n int) plot.Rect {
		out := plot.Rect{X: r.X, Y: r.Y, W: r.W, H: n}
		r.Y, r.H = r.Y+n, r.H-n
		return out
	}
	run := m.run()
	if run != nil && run.e.Status == runs.StatusRunning && r.H >= 6 {
		p.progress = take(1)
		if n := m.meterLines(); n > 0 && r.H >= 22 {
			p.meters = take(n)
		}
	}
	if n := m.logLines(r.H); n > 0 {
		p.log = plot.Rect{X: r.X, Y: r.Y + r.H - n, W: r.W, H: n}
		r.H -= n
	}
	if r.W >= readoutFrom {
		p.readout = plot.Rect{X: r.X + r.W - readoutWidth + 2, Y: r.Y + 1, W: readoutWidth - 2, H: r.H - 1}
		r.W -= readoutWidth
	}
	rest := 0
	if h := m.opened(); h != nil {
		rest = len(m.charts(h)) - 1
	}
	if r.H >= 15 && rest > 0 {
		p.across = min(rest, max(1, r.W/34))
		p.down = min((rest+p.across-1)/p.across, max(1, (r.H-14)/8))
		height := max(6, min(9, r.H/(p.down+2))) * p.down
		p.small = plot.Rect{X: r.X, Y: r.Y + r.H - height, W: r.W, H: height}
		r.H -= height
	}
	p.chart = r
	return p
}

// logLines is how many lines the newest entries of the log take.
func (m *Model) logLines(h int) int {
	n := 0
	switch {
	case h >= 36:
		n = 5
	case h >= 24:
		n = 3
	case h >= 9:
		n = 1
	}
	if h := m.opened(); h == nil {
		return 0
	} else if m.width < readoutFrom && !math.IsNaN(m.live.cross) {
		return max(n, 1) // the values at the crosshair have no other place
	}
	return min(n, len(m.happened(n)))
}

func (m *Model) liveSubject() (left, right string) {
	r := m.run()
	if r == nil {
		return m.noRun(), ""
	}
	left = r.name
	add := func(s string) {
		if s != "" {
			left += " · " + s
		}
	}
	if m.width >= 100 { // what is always the same goes first where room is short
		add(clip(r.e.Meta.Task, mostName))
		add(short(clip(r.e.Meta.BaseModel, mostName)))
	}
	total := m.totalSteps(r.dir)
	if h := m.opened(); h != nil {
		n := h.lines.Lines() - 1
		step := count(int(h.lines.X[source.Steps][n]))
		if total > 0 && r.e.Status == runs.StatusRunning {
			step += "/" + count(total)
		}
		add("step " + step)
		add("epoch " + epochCount(h.lines.X[source.Epochs][n]))
	}
	c := m.course(r.dir)
	if c != nil && c.Trainer {
		add("HF Trainer")
	}
	switch {
	case r.e.Status == runs.StatusInterrupted && c != nil && c.Trainer:
		return left, "no end in the log"
	case r.e.Status == runs.StatusInterrupted:
		return left, "interrupted · x resumes it"
	case r.e.Status != runs.StatusRunning:
		right = clip(string(r.e.Status), mostName)
		if d := r.e.Meta.DurationSeconds; d > 0 {
			right += " " + lasted(d)
		}
		return left, right
	}
	if f, ok := m.done(r); ok {
		add(fmt.Sprintf("%d%%", int(f*100)))
		switch left, ok := m.secondsLeft(r); {
		case f >= 1:
			right = "finishing"
		case ok:
			right = "ETA " + lasted(left)
		}
	}
	if s := m.mine(r.dir); s != nil && s.Phase != jobs.Training {
		right = string(s.Phase)
	} else if c != nil && c.Writer != nil && !c.Here {
		right = cmp.Or(right, "training") + " on " + clip(c.Writer.Host, 30)
	}
	return left, cmp.Or(right, "training")
}

// totalSteps is how many steps a run will have, 0 where nothing tells.
func (m *Model) totalSteps(dir string) int {
	if c := m.course(dir); c != nil && c.Steps > 0 {
		return c.Steps
	}
	r, h := m.table.find(dir), m.histories[dir]
	if r == nil || h == nil || h.lines.Lines() == 0 {
		return 0
	}
	f, ok := m.progress(r)
	last := h.lines.X[source.Steps][h.lines.Lines()-1]
	if !ok || !(f > 0) {
		return 0
	}
	if total := math.Round(last / f); total < 1e12 {
		return int(total)
	}
	return 0
}

// done is the share of a run that is done.
func (m *Model) done(r *row) (float64, bool) {
	h := m.histories[r.dir]
	total := float64(m.totalSteps(r.dir))
	if h == nil || h.lines.Lines() == 0 || total == 0 {
		return m.progress(r)
	}
	return min(1, h.lines.X[source.Steps][h.lines.Lines()-1]/total), true
}

// paceOver is how many lines of a log tell how fast a run is now.
const paceOver = 200

// secondsLeft is how long a run still takes at the pace of its last lines, or of
// the whole where these say nothing.
func (m *Model) secondsLeft(r *row) (float64, bool) {
	f, ok := m.done(r)
	if !ok || !(f > 0) {
		return 0, false
	}
	h, total := m.histories[r.dir], float64(m.totalSteps(r.dir))
	if h == nil || h.lines.Lines() == 0 || total == 0 {
		return m.now.Sub(r.started).Seconds() * (1 - f) / f, f > 0.01
	}
	n := h.lines.Lines() - 1
	steps, seconds := h.lines.X[source.Steps], h.lines.X[source.Seconds]
	from := max(0, n-paceOver)
	passed, made := seconds[n]-seconds[from], steps[n]-steps[from]
	if passed < 2 || made <= 0 {
		return m.now.Sub(r.started).Seconds() * (1 - f) / f, f > 0.01
	}
	left := (total - steps[n]) * passed / made
	if at, ok := h.lines.Clock(n); ok {
		// It has gone on since, up to about the next line.
		left -= min(max(0, m.now.Sub(at).Seconds()), passed/float64(n-from))
	}
	return max(0, left), true
}

// course returns what is known of the checkpoints of a run, nil where nothing
// was read.
func (m *Model) course(dir string) *source.Course {
	if c := m.live.courses[dir]; c != nil {
		return c.value
	}
	return nil
}

type courseMsg struct {
	dir    string
	course *source.Course
	err    error
}

func (msg courseMsg) take(m *Model) tea.Cmd {
	if c := m.live.courses[msg.dir]; c != nil {
		c.set(msg.course, msg.err)
	}
	return nil
}

// fetchCourses reads the checkpoints of the runs that are drawn.
func (m *Model) fetchCourses() tea.Cmd {
	var cmds []tea.Cmd
	room(m.live.courses, mostDetails, func(dir string, c *loaded[*source.Course]) bool { return c.busy || m.wanted(dir) })
	for _, dir := range m.drawn() {
		if m.table.find(dir) == nil {
			continue
		}
		c := m.live.courses[dir]
		if c == nil {
			c = &loaded[*source.Course]{}
			m.live.courses[dir] = c
		}
		if !c.need() {
			continue
		}
		c.begin()
		src := m.src
		cmds = append(cmds, func() tea.Msg {
			course, err := src.Course(dir)
			return courseMsg{dir, course, err}
		})
	}
	return tea.Batch(cmds...)
}

func (m *Model) drawProgress(c *screen.Canvas, r plot.Rect, f float64, words string) {
	w := r.W - 2
	if words != "" {
		shown := min(text.Width(words)+2, w*2/3)
		c.PutRight(r.X+1+w-shown, r.Y, shown, screen.Text, words)
		w -= shown
	}
	done := int(float64(w) * f)
	c.Fill(r.X+1, r.Y, done, screen.Accent, '━')
	c.Fill(r.X+1+done, r.Y, w-done, screen.Dim, '─')
}
