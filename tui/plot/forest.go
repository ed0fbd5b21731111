package plot

import (
	"math"

	"github.com/NimbleMarkets/ntcharts/canvas/runes"

	"github.com/verifily/verifily-tui/tui/screen"
)

// bar returns the bar of a share of the height; the lowest is an eighth high,
// so that every value shows.
func bar(share float64) rune { return runes.LowerBlockElementFromFloat64((1 + 7*share) / 8) }

// Spark draws values as a line of bars, w columns at most, newest last. More
// values than columns are reduced to means; a value that is not finite is a
// cross.
func Spark(c *screen.Canvas, x, y, w int, style screen.Style, values []float64) {
	if w <= 0 || len(values) == 0 {
		return
	}
	if len(values) < w {
		w = len(values)
	}
	bars := make([]float64, w)
	low, high := math.Inf(1), math.Inf(-1)
	for i := range bars {
		from, to := i*len(values)/w, (i+1)*len(values)/w
		sum := 0.0
		for _, v := range values[from:to] {
			sum += v
		}
		bars[i] = sum / float64(to-from)
		if bounded(bars[i]) {
			low, high = min(low, bars[i]), max(high, bars[i])
		}
	}
	for i, v := range bars {
		switch {
		case !bounded(v):
			c.Set(x+i, y, screen.Bad, '×')
		case high <= low:
			c.Set(x+i, y, style, bar(0))
		default:
			c.Set(x+i, y, style, bar((v-low)/(high-low)))
		}
	}
}

// Scale is a shared axis for intervals: From stands in the first of W columns,
// To in the last.
type Scale struct {
	From, To float64
	W        int
}

// NewScale returns a scale that holds all values and a little more, but no
// more than the limits, which are natural bounds such as 0 and 1.
func NewScale(values []float64, floor, ceiling float64, w int) (Scale, bool) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if bounded(v) {
			low, high = min(low, v), max(high, v)
		}
	}
	if low > high || w < 3 {
		return Scale{}, false
	}
	margin := (high - low) * 0.04
	if margin == 0 {
		margin = max(math.Abs(low)*0.1, 0.01)
	}
	return Scale{From: max(low-margin, min(floor, low)), To: min(high+margin, max(ceiling, high)), W: w}, true
}

// Column returns the column of a value, bounded by the ends of the scale.
func (s Scale) Column(v float64) int {
	if !(s.To > s.From) || math.IsNaN(v) {
		return 0
	}
	at := (v - s.From) / (s.To - s.From) * float64(s.W-1)
	return int(math.Round(min(float64(s.W-1), max(0, at))))
}

// Interval draws a value with its whiskers.
func (s Scale) Interval(c *screen.Canvas, x, y int, style screen.Style, low, value, high float64) {
	if !finite(value) {
		return
	}
	if finite(low) && finite(high) && low <= high {
		a, b := s.Column(low), s.Column(high)
		c.Fill(x+a, y, b-a+1, style, '─')
		if b > a {
			c.Set(x+a, y, style, '├')
			c.Set(x+b, y, style, '┤')
		}
	}
	c.Set(x+s.Column(value), y, style|screen.Bold, '●')
}

// Ticks draws the labels of the scale, and returns nothing where no two fit.
func (s Scale) Ticks(c *screen.Canvas, x, y int, style screen.Style) {
	step := s.step()
	if step == 0 {
		return
	}
	end := -1
	for v := math.Ceil(s.From/step) * step; v <= s.To+step*1e-9; v += step {
		if math.Abs(v) < step*1e-6 {
			v = 0
		}
		words := Number(round(v, step))
		at := s.Column(v) - len(words)/2
		at = max(0, min(s.W-len(words), at))
		if at > end {
			c.PutIn(x+at, y, s.W-at, style, words)
			end = at + len(words)
		}
	}
}

// step returns a round distance between labels that leaves room for them.
func (s Scale) step() float64 {
	const (
		room = 7 // columns a label
		most = 8 // labels
	)
	return roundStep((s.To - s.From) / min(most, max(1, float64(s.W)/room)))
}

// roundStep returns the smallest of 1, 2 and 5 times a power of ten that is
// not below least, 0 where there is none.
func roundStep(least float64) float64 {
	if !(least > 0) || math.IsInf(least, 1) {
		return 0
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= least*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

func round(v, step float64) float64 { return math.Round(v/step) * step }
