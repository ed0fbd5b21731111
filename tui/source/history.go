package source

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

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

// History is a training log by columns.
type History struct {
	X      [axes][]float64 // a value a line; where a line lacks one, that before it
	Curves map[string]*Curve
	Bad    int   // lines that could not be read
	start  int64 // unix time of the first line
}

// Curve holds the values of a metric, with the lines they come from.
type Curve struct {
	Row []int32
	Y   []float64
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

// Append adds the lines of a log.
func (h *History) Append(lines []runs.LogLine) {
	if h.Curves == nil {
		h.Curves = map[string]*Curve{}
	}
	for i := range lines {
		l := &lines[i]
		row := int32(len(h.X[Steps]))
		h.X[Steps] = append(h.X[Steps], h.rising(Steps, float64(l.Step), true))
		h.X[Epochs] = append(h.X[Epochs], h.rising(Epochs, l.Epoch, true))
		tokens := l.Tokens
		if tokens == nil {
			tokens = new(int64)
		}
		h.X[Tokens] = append(h.X[Tokens], h.rising(Tokens, float64(*tokens), l.Tokens != nil))
		at, err := time.Parse(runs.TimeFormat, l.Timestamp)
		if err == nil && h.start == 0 {
			h.start = at.Unix()
		}
		h.X[Seconds] = append(h.X[Seconds], h.rising(Seconds, float64(at.Unix()-h.start), err == nil))
		h.add(Loss, row, l.Loss)
		h.add(EvalLoss, row, l.EvalLoss)
		h.add(LearningRate, row, l.LearningRate)
		h.add(GradNorm, row, l.GradNorm)
		h.add(Speed, row, l.TokensPerSecond)
		for name, v := range l.Metrics {
			h.add(name, row, &v)
		}
	}
}

// rising keeps an axis from going back, as a clock or a broken log may.
func (h *History) rising(a Axis, v float64, known bool) float64 {
	last := 0.0
	if n := len(h.X[a]); n > 0 {
		last = h.X[a][n-1]
	}
	if !known || math.IsNaN(v) || math.IsInf(v, 0) {
		return last
	}
	return max(last, v)
}

// maxCurves bounds how many metrics are kept: each has a chart of its own, and
// a log that names its metrics by the step would fill the memory.
const maxCurves = 200

func (h *History) add(name string, row int32, v *float64) {
	if v == nil {
		return
	}
	c := h.Curves[name]
	if c == nil {
		if len(h.Curves) >= maxCurves {
			return
		}
		c = &Curve{}
		h.Curves[name] = c
	}
	c.Row, c.Y = append(c.Row, row), append(c.Y, *v)
}

// Stretch is a part of a log.
type Stretch struct {
	Lines []runs.LogLine
	Bad   int
	// Restarted says that what was returned before is void.
	Restarted bool
	// More says that there is more to read at once.
	More bool
}

// stretchSize is how much of a log is read at a time: some 20 ms.
const stretchSize = 2 << 20

// Tail returns what was logged since the last call for the run; with fresh,
// from the start.
func (s *Source) Tail(dir string, fresh bool) (Stretch, error) {
	path := filepath.Join(dir, "train_log.jsonl")
	if _, err := os.Stat(path); err != nil {
		run, err := runs.Open(dir)
		if err != nil {
			return Stretch{}, err
		}
		if run.Kind() == runs.KindTrainer {
			log, err := run.Log()
			if err != nil {
				return Stretch{}, err
			}
			return Stretch{Lines: log.Lines, Bad: log.Bad, Restarted: true}, nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tail := s.tails[dir]
	if tail == nil || fresh {
		tail = runs.NewLogTail(path)
		s.tails[dir] = tail
	}
	log, restarted, err := tail.Next(stretchSize)
	if err != nil {
		return Stretch{}, err
	}
	return Stretch{Lines: log.Lines, Bad: log.Bad, Restarted: restarted || fresh, More: len(log.Lines) > 0}, nil
}
