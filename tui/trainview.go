package tui

import (
	"errors"
	"fmt"
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
	t := &m.train
	form := r.W
	if r.W >= 60 {
		form = max(38, r.W/2)
		m.drawPlan(c, plot.Rect{X: form + 2, Y: r.Y, W: r.W - form - 3, H: r.H})
	}
	shown := r.H
	if r.W < 60 {
		shown = max(1, r.H-4)
		m.drawPlan(c, plot.Rect{X: 1, Y: r.Y + shown, W: r.W - 2, H: r.H - shown})
	}
	top := max(0, min(t.cursor-shown/2, len(fields)-shown))
	for i := top; i < len(fields) && i < top+shown; i++ {
		f, y := &fields[i], r.Y+i-top
		value, changed := t.value(f)
		c.PutIn(3, y, formLabel-1, screen.Dim, f.label)
		style := screen.Text
		if changed {
			style = screen.Accent
			c.Set(form-1, y, screen.Accent, '●')
		}
		if value == "" {
			value, style = "–", screen.Dim
		}
		c.PutIn(3+formLabel, y, form-formLabel-5, style, clip(value, mostName))
		if i == t.cursor {
			c.Mark(0, y, form, screen.Picked)
			c.Set(1, y, screen.Accent|screen.Picked, '▸')
		}
	}
}

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
		for _, p := range d.Problems {
			put(screen.Text, p.String())
		}
		if len(d.Problems) == 0 {
			put(screen.Text, t.err.Error())
		}
		if d.Hint != "" {
			put(screen.Dim, d.Hint)
		}
	case t.loaded.value != nil:
		put(screen.Good, "✓ can be trained")
		for _, l := range planLines(t.loaded.value) {
			if y < r.Y+r.H {
				c.PutIn(r.X, y, 12, screen.Dim, l[0])
				c.PutIn(r.X+12, y, r.W-12, screen.Text, l[1])
				y++
			}
		}
		for _, w := range t.loaded.value.Warnings {
			put(screen.Doubt, "! "+w)
		}
	}
	if len(t.states) == 0 {
		return
	}
	y++
	for _, s := range t.states[max(0, len(t.states)-6):] {
		if y >= r.Y+r.H {
			return
		}
		glyph, style := phaseSign(s.Phase)
		c.Set(r.X, y, style, glyph)
		words := string(s.Phase)
		if s.Err != nil {
			words += ": " + oneLine(s.Err)
		}
		x := c.PutIn(r.X+2, y, r.W/2, screen.Text, s.Name)
		c.PutIn(x+2, y, r.X+r.W-x-2, screen.Dim, words)
		y++
	}
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

func planLines(p *engine.Plan) [][2]string {
	rows := []string{count(p.TrainRows) + " train"}
	if p.ValRows > 0 {
		rows = append(rows, count(p.ValRows)+" validation")
	}
	if p.TestRows > 0 {
		rows = append(rows, count(p.TestRows)+" test")
	}
	return [][2]string{
		{"engine", p.Engine + " on " + p.Device},
		{"rows", strings.Join(rows, ", ")},
		{"tokens", count(int(p.TrainTokens)) + " an epoch"},
		{"steps", fmt.Sprintf("%s, %s an epoch", count(p.TotalSteps), count(p.StepsPerEpoch))},
		{"trained", parameters(p.TrainableParams) + " of " + parameters(p.TrainableParams+p.FrozenParams)},
		{"memory", fmt.Sprintf("about %s", memory(p.MemoryBytes))},
		{"time", "about " + lasted(p.Seconds)},
	}
}

func parameters(n int64) string { return plot.Number(float64(n)) }

func memory(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}
