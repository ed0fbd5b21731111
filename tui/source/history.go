package source

import (
	"slices"

	"github.com/verifily/verifily-tui/runs"
)

// Names of the curves that every engine may log. Further metrics have the
// names they are logged by.
const (
	Loss         = "loss"
	EvalLoss     = "eval_loss"
	LearningRate = "learning_rate"
	GradNorm     = "grad_norm"
	Speed        = "tokens_per_second"
)

// Axis is what a curve can be drawn over.
type Axis int

// The axes.
const (
	Steps Axis = iota
	Epochs
	Tokens
	Seconds // since the first line
	axes
)

// Next returns the axis after a, in a circle.
func (a Axis) Next() Axis { return (a + 1) % axes }

// String names the axis.
func (a Axis) String() string { return [...]string{"step", "epoch", "tokens", "time"}[a] }

// History is a training log by columns. A copy of one stays as it is while
// lines are added to another.
type History struct {
	X      [axes][]float64 // a value a line; where a line lacks one, that before it
	Curves map[string]*Curve
	Bad    int   // lines that could not be read
	start  int64 // unix time of the first line
	// names holds the names of further metrics, so that each is one string.
	names map[string]string
}

// Curve holds the values of a metric, with the lines they come from.
type Curve struct {
	Row []int32
	Y   []float64
}

// Columns are lines of a log that follow those of a history.
type Columns struct {
	lines []runs.LogLine
	grown *History // the history with what follows; nil: only lines follow
}

// ColumnsOf returns lines to be appended.
func ColumnsOf(lines []runs.LogLine) Columns { return Columns{lines: lines} }

// Append adds lines. Those that Tail returned take no time, however many.
func (h *History) Append(c Columns) {
	if c.grown != nil {
		bad := h.Bad
		*h = *c.grown
		h.Bad = bad
	}
	for i := range c.lines {
		h.line(&c.lines[i])
	}
}

// branch returns a history that can grow while the old one is read.
func (h *History) branch() History {
	out := *h
	out.Curves, out.names = make(map[string]*Curve, len(h.Curves)), make(map[string]string, len(h.names))
	for name, c := range h.Curves {
		copied := *c
		out.Curves[name] = &copied
	}
	for name := range h.names {
		out.names[name] = name
	}
	return out
}

// mostReserved bounds the lines that room is made for ahead of reading them.
const mostReserved = 4 << 20

// reserve makes room for the lines of a log of which the first bytes are read:
// growing bit by bit would hold columns twice.
func (h *History) reserve(size, read int64) {
	lines := int64(h.Lines())
	if lines == 0 || read == 0 {
		return
	}
	factor := min(float64(size)/float64(read)*1.01, float64(mostReserved)/float64(lines))
	room := func(n int) int { return int(float64(n)*factor) + 64 }
	for a := range h.X {
		h.X[a] = grown(h.X[a], room(len(h.X[a])))
	}
	for _, c := range h.Curves {
		c.Row, c.Y = grown(c.Row, room(len(c.Row))), grown(c.Y, room(len(c.Y)))
	}
}

func grown[T any](s []T, room int) []T {
	if room <= cap(s) {
		return s
	}
	return append(make([]T, 0, room), s...)
}

// Lines returns the number of lines.
func (h *History) Lines() int { return len(h.X[Steps]) }

// LastEpoch returns the epoch of the last line.
func (h *History) LastEpoch() float64 {
	if h.Lines() == 0 {
		return 0
	}
	return h.X[Epochs][h.Lines()-1]
}

// Over returns the values of an axis for the points of a curve.
func (h *History) Over(a Axis, c *Curve) []float64 {
	if len(c.Row) == len(h.X[a]) {
		return h.X[a] // every line has the metric
	}
	out := make([]float64, len(c.Row))
	for i, row := range c.Row {
		out[i] = h.X[a][row]
	}
	return out
}

// Names lists the curves, those that every engine logs first.
func (h *History) Names() []string {
	out := []string{}
	for _, name := range []string{Loss, EvalLoss, LearningRate, GradNorm, Speed} {
		if h.Curves[name] != nil {
			out = append(out, name)
		}
	}
	known := len(out)
	for name := range h.Curves {
		if !slices.Contains(out[:known], name) {
			out = append(out, name)
		}
	}
	slices.Sort(out[known:])
	return out
}

// line adds a line.
func (h *History) line(l *runs.LogLine) {
	tokens := 0.0
	if l.Tokens != nil {
		tokens = float64(*l.Tokens)
	}
	unix, timed := unixOf(l.Timestamp)
	row := h.row(float64(l.Step), l.Epoch, tokens, l.Tokens != nil, unix, timed)
	for i, v := range [numbers]*float64{isLoss: l.Loss, isEvalLoss: l.EvalLoss, isRate: l.LearningRate, isNorm: l.GradNorm, isSpeed: l.TokensPerSecond} {
		if v != nil {
			h.add(numberNames[i], row, *v)
		}
	}
	for name, v := range l.Metrics {
		h.add(name, row, v)
	}
}

// row adds a line to the axes and returns its number.
func (h *History) row(step, epoch, tokens float64, hasTokens bool, unix int64, timed bool) int32 {
	row := int32(len(h.X[Steps]))
	h.X[Steps] = append(h.X[Steps], h.rising(Steps, step, true))
	h.X[Epochs] = append(h.X[Epochs], h.rising(Epochs, epoch, true))
	h.X[Tokens] = append(h.X[Tokens], h.rising(Tokens, tokens, hasTokens))
	if timed && h.start == 0 {
		h.start = unix
	}
	h.X[Seconds] = append(h.X[Seconds], h.rising(Seconds, float64(unix-h.start), timed))
	return row
}

// rising keeps an axis from going back, as a clock or a broken log may.
func (h *History) rising(a Axis, v float64, known bool) float64 {
	last := 0.0
	if n := len(h.X[a]); n > 0 {
		last = h.X[a][n-1]
	}
	if !known || !finite(v) {
		return last
	}
	return max(last, v)
}

// maxCurves bounds how many metrics are kept: each has a chart of its own, and
// a log that names its metrics by the step would fill the memory.
const maxCurves = 200

// curve returns the curve of a metric, nil where there are too many.
func (h *History) curve(name string) *Curve {
	c := h.Curves[name]
	if c == nil && len(h.Curves) < maxCurves {
		if h.Curves == nil {
			h.Curves = map[string]*Curve{}
		}
		c = &Curve{}
		h.Curves[name] = c
	}
	return c
}

func (h *History) add(name string, row int32, v float64) {
	if c := h.curve(name); c != nil {
		c.Row, c.Y = append(c.Row, row), append(c.Y, v)
	}
}
