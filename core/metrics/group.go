package metrics

import (
	"math"
	"sync"

	"github.com/verifily/verifily-tui/core/stats"
)

// group is the predictions of a slice, or all of them.
type group struct {
	s       *Scores
	members []int32 // nil means all predictions
	opt     stats.Options
}

func (g group) size() int {
	if g.members == nil {
		return len(g.s.preds)
	}
	return len(g.members)
}

// numbers returns the metrics that are one number, leaving out those that have
// no finite value, and their intervals if wanted, leaving out those that cannot
// be told.
func (g group) numbers(wantIntervals bool) (map[string]float64, map[string]stats.Interval) {
	values := make(map[string]float64, len(g.s.names)+1)
	var intervals map[string]stats.Interval
	if wantIntervals {
		intervals = make(map[string]stats.Interval, len(g.s.names))
	}
	put := func(name string, v float64, interval func() (stats.Interval, bool)) {
		if _, ok := finite(&v); !ok {
			return
		}
		values[name] = v
		if !wantIntervals {
			return
		}
		if i, ok := interval(); ok && !math.IsInf(i.High, 0) && !math.IsNaN(i.Low) {
			intervals[name] = i
		}
	}
	if g.s.task == TaskClassification {
		t := g.tally()
		for _, name := range g.s.names {
			if isClassScore(name) && g.size() > 0 {
				put(name, t.Score(name, 0, t.Counts()), func() (stats.Interval, bool) { return g.classInterval(t, name) })
			}
		}
		return values, intervals
	}
	// A measure may stand behind two metrics.
	var known [numMeasures]*meanOf
	for _, name := range g.s.names {
		m, ok := measureOf[name]
		if !ok {
			continue
		}
		if known[m] == nil {
			known[m] = g.mean(m, wantIntervals)
		}
		mean := known[m]
		v := mean.value
		if name == NamePerplexity {
			v = Perplexity(v)
		}
		put(name, v, func() (stats.Interval, bool) {
			if name == NamePerplexity {
				return mean.interval.Of(Perplexity), mean.told
			}
			return mean.interval, mean.told
		})
	}
	return values, intervals
}

// meanOf is a measure over a group.
type meanOf struct {
	value    float64 // NaN without examples
	interval stats.Interval
	told     bool // the interval is
}

func (g group) mean(m measure, wantInterval bool) *meanOf {
	b, _ := buffers.Get().(*buffer)
	if b == nil {
		b = &buffer{}
	}
	defer buffers.Put(b)
	s := g.sample(m, b)
	out := &meanOf{value: s.Value()}
	if !wantInterval || math.IsNaN(out.value) {
		return out
	}
	n := len(s.Num)
	switch m {
	case measureExact, measureFormat:
		out.interval, out.told = stats.Wilson(out.value*float64(n), n, g.level()), true
	default:
		out.interval, out.told = stats.Bootstrap(s, g.opt)
		if !out.told && m.isShare() && 0 <= out.value && out.value <= 1 {
			// All examples agree: the bootstrap sees no variation, and Wilson's
			// interval holds for any numbers between 0 and 1.
			out.interval, out.told = stats.Wilson(out.value*float64(n), n, g.level()), true
		}
	}
	return out
}

func (g group) level() float64 {
	if g.opt.Level == 0 {
		return stats.Level
	}
	return g.opt.Level
}

// isShare says whether the numbers of the measure lie between 0 and 1.
func (m measure) isShare() bool { return m != measureLoss && m != measureWER }

// buffer holds the numbers of one group at a time.
type buffer struct{ num, den []float64 }

var buffers sync.Pool // of *buffer

// sample gathers the numbers of the members that have one, in the buffer.
func (g group) sample(m measure, b *buffer) stats.Sample {
	num, den := g.s.num[m], g.s.den[m]
	b.num, b.den = b.num[:0], b.den[:0]
	for k := range g.size() {
		i := k
		if g.members != nil {
			i = int(g.members[k])
		}
		if math.IsNaN(num[i]) {
			continue
		}
		b.num = append(b.num, num[i])
		if den != nil {
			b.den = append(b.den, den[i])
		}
	}
	if den == nil {
		return stats.Sample{Num: b.num}
	}
	return stats.Sample{Num: b.num, Den: b.den}
}

// missing counts the members without a number.
func (g group) missing(m measure) int {
	n := 0
	for _, v := range g.s.num[m] {
		if math.IsNaN(v) {
			n++
		}
	}
	return n
}

// maxKindDraws bounds the resampling of labels that have very many pairs of a
// true and a predicted one: the numbers drawn for one interval.
const maxKindDraws = 20_000_000

func (g group) classInterval(t *Tally, name string) (stats.Interval, bool) {
	n := g.size()
	if name == NameAccuracy {
		return stats.Wilson(t.Score(name, 0, t.Counts())*float64(n), n, g.level()), true
	}
	opt := g.opt
	if opt.Resamples == 0 {
		opt.Resamples = stats.Resamples
	}
	opt.Resamples = min(opt.Resamples, max(200, maxKindDraws/len(t.Counts())))
	return stats.BootstrapCounts(t.Counts(), func(counts []int) float64 { return t.Score(name, 0, counts) }, opt)
}

// tally counts the pairs of labels among the members.
func (g group) tally() *Tally {
	t := NewTally(1)
	add := func(n int, number uint32) {
		c := g.s.cells[number]
		t.add(n, g.s.labels.names[c.actual], g.s.labels.names[c.predicted])
	}
	if g.members != nil && len(g.members) < len(g.s.cells) {
		for _, i := range g.members {
			add(1, g.s.cellOf[i])
		}
		return t
	}
	counts := make([]int, len(g.s.cells))
	if g.members == nil {
		for _, c := range g.s.cellOf {
			counts[c]++
		}
	}
	for _, i := range g.members {
		counts[g.s.cellOf[i]]++
	}
	for i, n := range counts {
		if n > 0 {
			add(n, uint32(i))
		}
	}
	return t
}
