package show

import (
	"fmt"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/text"
)

// pace estimates how long something still takes from how long it has taken.
type pace struct {
	first   int // where it stood when it was first looked at
	started time.Time
}

// left returns the seconds to the end, negative when they are not known yet.
func (p *pace) left(done, total int, now time.Time) float64 {
	if p.started.IsZero() || done < p.first {
		p.first, p.started = done, now
	}
	if done == p.first {
		return -1
	}
	return now.Sub(p.started).Seconds() / float64(done-p.first) * float64(total-done)
}

// smoothing is the weight of the past in the speed on display: single steps
// differ by the length of their sequences.
const smoothing = 0.9

// stepBar is the status line of training.
func stepBar(ev engine.StepEvent, tokensPerSecond, left float64, width int) string {
	total := fmt.Sprint(ev.TotalSteps)
	facts := []string{"loss " + score(ev.Loss)}
	if left >= 0 {
		facts = append(facts, duration(left)+" left")
	}
	facts = append(facts, fmt.Sprintf("epoch %.2f", ev.Epoch), rate(tokensPerSecond), "lr "+learningRate(ev.LearningRate))
	return bar(fmt.Sprintf("step %*d/%s", len(total), ev.Step, total), ev.Step, ev.TotalSteps, facts, width)
}

// evalBar is the status line of evaluation.
func evalBar(ev engine.PredictEvent, left float64, width int) string {
	total := fmt.Sprint(ev.Total)
	var facts []string
	if left >= 0 {
		facts = append(facts, duration(left)+" left")
	}
	return bar(fmt.Sprintf("evaluating %*d/%s", len(total), ev.Done, total), ev.Done, ev.Total, facts, width)
}

// The gauge is drawn when there is room for at least leastGauge columns, and
// is no longer than mostGauge: a longer one says no more.
const (
	leastGauge = 7
	mostGauge  = 32
)

// firstFacts is how many facts are more important than the gauge.
const firstFacts = 2

// bar joins the title, a gauge and as many of the facts as fit, the first ones
// being the most important.
func bar(title string, done, total int, facts []string, width int) string {
	used := text.Width(title)
	n := 0
	for n < len(facts) {
		more := gap + text.Width(facts[n])
		if n >= firstFacts && used+more+gap+leastGauge > width || used+more > width {
			break
		}
		used += more
		n++
	}
	parts := []string{title}
	if room := min(width-used-gap, mostGauge); room >= leastGauge {
		parts = append(parts, gauge(done, total, room))
	}
	return strings.Join(append(parts, facts[:n]...), strings.Repeat(" ", gap))
}

// gauge draws [====>   ] in a number of columns. It is ASCII, since block
// characters are two columns wide on some terminals.
func gauge(done, total, width int) string {
	room := width - 2
	full := 0
	if total > 0 {
		full = max(0, min(room, room*done/total))
	}
	if full == room {
		return "[" + strings.Repeat("=", room) + "]"
	}
	return "[" + strings.Repeat("=", full) + ">" + strings.Repeat(" ", room-full-1) + "]"
}
