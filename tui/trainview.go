package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/tui/jobs"
	"github.com/verifily/verifily-tui/tui/plot"
	"github.com/verifily/verifily-tui/tui/screen"
)

func (m *Model) trainSubject() (left, right string) {
	left = m.train.path
	if n := len(m.train.overrides); n > 0 {
		left += " · " + plural(n, "change", "changes")
	}
	if n := m.atWork(); n > 0 {
		right = plural(n, "job", "jobs") + " here"
	}
	return left, right
}

// formLabel is the width of the names in the form.
const formLabel = 15

func (m *Model) drawTrain(c *screen.Canvas, r plot.Rect) {
	form, plan := r, plot.Rect{X: 1, Y: r.Y, W: r.W - 2}
	if r.H >= 9 {
		m.drawAbout(c, plot.Rect{X: r.X, Y: r.Y + r.H - 1, W: r.W, H: 1})
		form.H -= 2
	}
	if r.W >= 60 {
		form.W = min(72, max(38, r.W/2))
		plan = plot.Rect{X: form.W + 2, Y: r.Y, W: min(70, r.W-form.W-3), H: form.H}
	} else {
		plan.H = min(4, form.H/2)
		form.H -= plan.H
		plan.Y = form.Y + form.H
	}
	m.drawForm(c, form)
	m.drawPlan(c, plan)
}

// drawForm draws the fields under the names of their sections, those around the
// cursor where there is no room for all.
func (m *Model) drawForm(c *screen.Canvas, r plot.Rect) {
	t := &m.train
	type line struct {
		section string
		field   int
	}
	var lines []line
	at := 0
	for i := range fields {
		if i == 0 || fields[i].section != fields[i-1].section {
			lines = append(lines, line{fields[i].section, -1})
		}
		if i == t.cursor {
			at = len(lines)
		}
		lines = append(lines, line{field: i})
	}
	top := max(0, min(at-r.H/2, len(lines)-r.H))
	for j := 0; j < r.H && top+j < len(lines); j++ {
		l, y := lines[top+j], r.Y+j
		if l.field < 0 {
			c.PutIn(r.X+3, y, r.W-4, screen.Dim|screen.Bold, l.section)
			continue
		}
		m.drawField(c, &fields[l.field], r.X, y, r.W)
		if l.field == t.cursor {
			c.Mark(r.X, y, r.W, screen.Picked)
			c.Set(r.X+1, y, screen.Accent|screen.Picked, '▸')
		}
	}
	if top > 0 {
		c.Set(r.X+r.W-1, r.Y, screen.Dim, '↑')
	}
	if top+r.H < len(lines) {
		c.Set(r.X+r.W-1, r.Y+r.H-1, screen.Dim, '↓')
	}
}

// drawField draws a field: bright where it differs from what it is when nobody
// sets it, with a mark where it was changed here.
func (m *Model) drawField(c *screen.Canvas, f *field, x, y, w int) {
	value, changed := m.train.value(f)
	c.PutIn(x+5, y, formLabel-1, screen.Dim, f.label)
	style := screen.Text
	switch {
	case changed:
		style = screen.Accent
		c.Set(x+3, y, screen.Accent, '●')
	case value == show(defaults[f.key]):
		style = screen.Dim
	}
	if value == "" {
		value, style = "–", screen.Dim
	}
	c.PutIn(x+5+formLabel, y, w-formLabel-7, style, clip(value, mostName))
}

// drawAbout explains the field under the cursor.
func (m *Model) drawAbout(c *screen.Canvas, r plot.Rect) {
	f := &fields[m.train.cursor]
	choices := ""
	if len(f.choices) > 0 {
		choices = " (" + strings.Join(f.choices, ", ") + ")"
	}
	words := f.about + choices
	right := r.X + r.W - 1
	end := c.PutIn(r.X+3, r.Y, r.W-4, screen.Text, f.key) + 2
	note := "default " + f.plain()
	if r.W >= 72 && end+len(words)+len(note)+3 < right {
		c.PutRight(right-len(note), r.Y, len(note), screen.Dim, note)
		right -= len(note) + 2
	} else {
		words = note + " · " + words
	}
	c.PutIn(end, r.Y, right-end, screen.Dim, words)
}

// planLabel is the width of the names in the plan.
const planLabel = 9

// drawPlan shows what would be trained, or what stands in its way, and the
// jobs of this process.
func (m *Model) drawPlan(c *screen.Canvas, r plot.Rect) {
	t := &m.train
	y := r.Y
	put := func(style screen.Style, words string) {
		for _, l := range wrap(clip(words, mostFailure), r.W) {
			if y < r.Y+r.H {
				c.PutIn(r.X, y, r.W, style, l)
				y++
			}
		}
	}
	switch {
	case !t.done:
		put(screen.Dim, "making a plan …")
	case t.err != nil:
		put(screen.Bad, "✗ not yet")
		var fault core.VerifilyTrainError
		if !errors.As(t.err, &fault) {
			put(screen.Text, t.err.Error())
			break
		}
		d := fault.Fault()
		elsewhere := len(d.Problems) == 0 // something is wrong that is not in the form
		for _, p := range d.Problems {
			put(screen.Text, p.String())
			elsewhere = elsewhere || !slices.ContainsFunc(fields, func(f field) bool { return f.key == p.Key })
		}
		if len(d.Problems) == 0 {
			put(screen.Text, t.err.Error())
		}
		if d.Hint != "" {
			put(screen.Dim, d.Hint)
		}
		if elsewhere {
			put(screen.Dim, "c opens another config")
		}
	case t.loaded.value != nil:
		put(screen.Good, "✓ can be trained")
		for _, l := range planLines(t.loaded.value, r.H > 20) {
			if y < r.Y+r.H {
				c.PutIn(r.X, y, planLabel, screen.Dim, l[0])
				c.PutIn(r.X+planLabel, y, r.W-planLabel, screen.Text, l[1])
				y++
			}
		}
		for _, w := range t.loaded.value.Warnings {
			put(screen.Doubt, "! "+w)
		}
	}
	if len(t.states) > 0 {
		m.drawQueue(c, plot.Rect{X: r.X, Y: y + 1, W: r.W, H: r.Y + r.H - y - 1})
	}
}

// drawQueue lists the jobs of this process, the newest where not all have room.
func (m *Model) drawQueue(c *screen.Canvas, r plot.Rect) {
	if r.H < 2 {
		return
	}
	c.PutIn(r.X, r.Y, r.W, screen.Dim|screen.Bold, "queue")
	states := m.train.states
	for i, s := range states[max(0, len(states)-r.H+1):] {
		y := r.Y + 1 + i
		glyph, style := phaseSign(s.Phase)
		c.Set(r.X, y, style, glyph)
		words := string(s.Phase)
		if s.Err != nil {
			words += ": " + oneLine(s.Err)
		}
		if f, ok := m.jobDone(&s); ok {
			words += fmt.Sprintf(" %d%%", int(100*f))
		}
		x := c.PutIn(r.X+2, y, r.W/2, screen.Text, jobTitle(&s))
		c.PutIn(x+2, y, r.X+r.W-x-2, screen.Dim, words)
	}
}

// jobDone is how far a job is that trains.
func (m *Model) jobDone(s *jobs.State) (float64, bool) {
	if s.Ended() || s.Dir == "" {
		return 0, false
	}
	for _, r := range m.table.all {
		if short(r.dir) == short(s.Dir) {
			return m.progress(r)
		}
	}
	return 0, false
}

func phaseSign(p jobs.Phase) (rune, screen.Style) {
	switch p {
	case jobs.Training:
		return '●', screen.Accent
	case jobs.Done:
		return '✓', screen.Good
	case jobs.Failed:
		return '✗', screen.Bad
	case jobs.Waiting:
		return '○', screen.Dim
	}
	return '◌', screen.Doubt
}

// planLines are the parts of a plan with their names, in full the rarer ones as
// well.
func planLines(p *engine.Plan, full bool) [][2]string {
	rows := []string{count(p.TrainRows) + " train"}
	if p.ValRows > 0 {
		rows = append(rows, count(p.ValRows)+" val")
	}
	if p.TestRows > 0 {
		rows = append(rows, count(p.TestRows)+" test")
	}
	bytes := "about " + memory(p.MemoryBytes)
	if p.MemoryBytes > p.TrainingBytes {
		bytes += " to evaluate"
	}
	out := [][2]string{
		{"rows", strings.Join(rows, ", ")},
		{"steps", fmt.Sprintf("%s, %s an epoch", count(p.TotalSteps), count(p.StepsPerEpoch))},
		{"tokens", count(int(p.TrainTokens)) + " an epoch"},
		{"trained", parameters(p.TrainableParams) + " of " + parameters(p.TrainableParams+p.FrozenParams)},
		{"memory", bytes},
		{"time", "about " + lasted(p.Seconds)},
		{"engine", p.Engine + " on " + p.Device},
	}
	if full {
		out = append(out, [2]string{"warmup", plural(p.WarmupSteps, "step", "steps")},
			[2]string{"longest", plural(p.LongestSequence, "token", "tokens")},
			[2]string{"vocab", plural(p.VocabSize, "token", "tokens")})
		if p.TruncatedRows > 0 {
			out = append(out, [2]string{"cut", plural(p.TruncatedRows, "row", "rows")})
		}
	}
	return out
}

func parameters(n int64) string { return plot.Number(float64(n)) }

// memory writes a number of bytes.
func memory(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.0f GiB", float64(n)/(1<<30))
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}
