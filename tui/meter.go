package tui

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/verifily/verifily-tui/core/system"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
	"github.com/verifily/verifily-tui/tui/source"
)

const (
	// meterEvery is the time between two readings of the machine: as fast as a
	// reader compares numbers, and a process of the driver each time.
	meterEvery = 2 * time.Second
	// mostReadings is how many are kept for the lines: four minutes.
	mostReadings = 120
)

// meterState is what was read of the machine while a run is watched.
type meterState struct {
	read   func(ctx context.Context, pid int) (system.Reading, error)
	dir    string // of the run that the readings are about
	list   []system.Reading
	busy   bool
	waits  bool // for the next reading
	writer *runs.Writing
	here   bool
}

func newMeter() meterState { return meterState{read: system.NewMeter(nil).Read} }

type meterMsg struct {
	dir     string
	reading system.Reading
	writer  *runs.Writing
	here    bool
	err     error
}

type meterDueMsg struct{}

func (meterDueMsg) take(m *Model) tea.Cmd {
	m.live.meter.waits = false
	return nil
}

func (msg meterMsg) take(m *Model) tea.Cmd {
	s := &m.live.meter
	s.busy, s.waits = false, true
	if msg.dir != s.dir {
		s.dir, s.list = msg.dir, nil
	}
	s.writer, s.here = msg.writer, msg.here
	if msg.err == nil {
		s.list = append(s.list[max(0, len(s.list)-mostReadings+1):], msg.reading)
	}
	if c := m.live.courses[msg.dir]; c != nil {
		c.stale = true
	}
	return m.later(meterEvery, meterDueMsg{})
}

// fetchMeter takes a reading of the machine and of the process that trains, as
// long as the open run does.
func (m *Model) fetchMeter() tea.Cmd {
	s, run := &m.live.meter, m.run()
	if m.events == nil || run == nil || run.e.Status != runs.StatusRunning || s.busy || s.waits && s.dir == run.dir {
		return nil
	}
	s.busy = true
	ctx, src, read, dir := m.ctx, m.src, s.read, run.dir
	return func() tea.Msg { return measure(ctx, src, read, dir) }
}

func measure(ctx context.Context, src *source.Source, read func(context.Context, int) (system.Reading, error), dir string) meterMsg {
	msg := meterMsg{dir: dir}
	pid := 0
	if c, err := src.Course(dir); err == nil && c.Writer != nil {
		msg.writer, msg.here = c.Writer, c.Here
		if c.Here {
			pid = c.Writer.PID
		}
	}
	msg.reading, msg.err = read(ctx, pid)
	return msg
}

// readingsOf returns the readings about the open run.
func (m *Model) readingsOf() []system.Reading {
	if m.live.meter.dir != m.open {
		return nil
	}
	return m.live.meter.list
}

// gauge is a measure of the machine with its course.
type gauge struct {
	name, value string
	course      []float64
}

// gauges are what the last reading tells, the process that trains first.
func (m *Model) gauges() []gauge {
	list := m.readingsOf()
	if len(list) == 0 {
		return nil
	}
	last := &list[len(list)-1]
	over := func(f func(*system.Reading) float64) []float64 {
		out := make([]float64, len(list))
		for i := range list {
			out[i] = f(&list[i])
		}
		return out
	}
	var out []gauge
	if p := last.Process; p != nil {
		of := func(f func(*system.Process) float64) []float64 {
			return measured(over(func(r *system.Reading) float64 {
				if r.Process == nil {
					return nan
				}
				return f(r.Process)
			}))
		}
		out = append(out, gauge{"cpu", percent100(p.CPU), of(func(p *system.Process) float64 { return p.CPU })},
			gauge{"memory", memory(p.Memory), of(func(p *system.Process) float64 { return float64(p.Memory) })})
	} else {
		// No process of this machine writes the run, or it does not say which.
		out = append(out, gauge{"machine cpu", fmt.Sprintf("%s of %d00%%", percent100(last.CPU), last.Cores), measured(over(func(r *system.Reading) float64 { return r.CPU }))},
			gauge{"memory", memory(last.MemoryUsed) + " of " + memory(last.MemoryFull), measured(over(func(r *system.Reading) float64 { return float64(r.MemoryUsed) }))})
	}
	for i := range last.GPUs {
		g := &last.GPUs[i]
		value := "–"
		if !math.IsNaN(g.Busy) {
			value = fmt.Sprintf("%.0f%%", 100*g.Busy)
		}
		if g.MemoryFull > 0 {
			value += " " + memory(g.MemoryUsed) + " of " + memory(g.MemoryFull)
		}
		if !math.IsNaN(g.Celsius) {
			value += fmt.Sprintf(" %.0f °C", g.Celsius)
		}
		if !math.IsNaN(g.Watts) {
			value += fmt.Sprintf(" %.0f W", g.Watts)
		}
		out = append(out, gauge{fmt.Sprintf("gpu %d", g.Index), value, measured(over(func(r *system.Reading) float64 {
			for i := range r.GPUs {
				if r.GPUs[i].Index == g.Index {
					return r.GPUs[i].Busy
				}
			}
			return nan
		}))})
	}
	return out
}

// percent100 writes cores as percent of one.
func percent100(cores float64) string {
	if math.IsNaN(cores) {
		return "…"
	}
	return fmt.Sprintf("%.0f%%", 100*cores)
}

// measured leaves out what was not measured.
func measured(values []float64) []float64 {
	var out []float64
	for _, v := range values {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	return out
}

// meterWords is the reading in words.
func (m *Model) meterWords() string {
	var parts []string
	for _, g := range m.gauges() {
		parts = append(parts, g.name+" "+g.value)
	}
	return strings.Join(parts, "  ")
}

// paceWords is what stands beside the progress: tokens a second, and where the
// gauges have no line of their own the processor and the memory.
func (m *Model) paceWords(h *history) string {
	var parts []string
	if v, _, ok := h.at(source.Speed, h.lines.Lines()-1); ok && v > 0 && !math.IsInf(v, 0) {
		parts = append(parts, plot.Number(math.Round(v))+" tok/s")
	}
	most := 2
	if m.width < readoutFrom {
		most = 1
	}
	for i, g := range m.gauges() {
		if i < most || strings.HasPrefix(g.name, "gpu") && m.width >= 100 {
			parts = append(parts, strings.TrimSpace(strings.TrimPrefix(g.name, "memory")+" "+g.value))
		}
	}
	return strings.Join(parts, "  ")
}

// gaugeCourse is the width of the course of a gauge.
const gaugeCourse = 14

// meterLines is how many lines the gauges take.
func (m *Model) meterLines() int {
	list := m.gauges()
	if len(list) == 0 {
		return 0
	}
	const most = 4
	return min(most, m.placeGauges(list, func(*gauge, int, int) {})+1)
}

// placeGauges places gauges in lines and returns the last line.
func (m *Model) placeGauges(list []gauge, put func(g *gauge, x, line int)) int {
	x, line := 1, 0
	for i := range list {
		g := &list[i]
		w := text.Width(g.name) + 1 + max(6, text.Width(g.value)) + 1 + gaugeCourse + 3
		if x > 1 && x+w > m.width {
			x, line = 1, line+1
		}
		put(g, x, line)
		x += w
	}
	return line
}

// drawMeters draws the gauges with their courses.
func (m *Model) drawMeters(c *screen.Canvas, r plot.Rect) {
	if r.H < 1 {
		return
	}
	m.placeGauges(m.gauges(), func(g *gauge, x, line int) {
		if line >= r.H {
			return
		}
		y := r.Y + line
		end := c.PutIn(r.X+x, y, r.W-x, screen.Dim, g.name) + 1
		c.PutIn(end, y, r.X+r.W-end, screen.Text, g.value)
		end += max(6, text.Width(g.value)) + 1
		if end+gaugeCourse < r.X+r.W {
			plot.Spark(c, end, y, gaugeCourse, screen.Line1, g.course)
		}
	})
}
