package metrics

import (
	"maps"
	"slices"

	"github.com/verifily/verifily-tui/runs"
)

// MaxConfusionLabels is the most labels a confusion matrix is made for: its
// size grows with their square, and 2000 make 4 million cells.
const MaxConfusionLabels = 2000

// labels numbers the labels as they are met.
type labels struct {
	number map[string]uint32
	names  []string
}

func (l *labels) of(name string) uint32 {
	n, ok := l.number[name]
	if !ok {
		n = uint32(len(l.names))
		l.number[name] = n
		l.names = append(l.names, name)
	}
	return n
}

// cell is a true label and a predicted one.
type cell struct{ actual, predicted uint32 }

// class counts the rows of one label.
type class struct {
	label   string
	number  uint32
	correct int // predicted and true
	guessed int // predicted
	support int // true
}

// precision is 0 for a label that was never predicted.
func (c class) precision() float64 { return ratio(c.correct, c.guessed) }

// recall is 0 for a label that no row has.
func (c class) recall() float64 { return ratio(c.correct, c.support) }

func (c class) f1() float64 { return ratio(2*c.correct, c.guessed+c.support) }

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// classes lists the labels that are true or predicted somewhere, sorted by
// code point.
func classes(counts map[cell]int, names []string) []class {
	byNumber := map[uint32]*class{}
	at := func(n uint32) *class {
		c := byNumber[n]
		if c == nil {
			c = &class{label: names[n], number: n}
			byNumber[n] = c
		}
		return c
	}
	for pair, n := range counts {
		at(pair.actual).support += n
		at(pair.predicted).guessed += n
		if pair.actual == pair.predicted {
			at(pair.actual).correct += n
		}
	}
	sorted := slices.SortedFunc(maps.Values(byNumber), func(a, b *class) int {
		if a.label < b.label {
			return -1
		}
		return 1
	})
	out := make([]class, len(sorted))
	for i, c := range sorted {
		out[i] = *c
	}
	return out
}

// classScore computes one number over all classes of n rows: accuracy,
// macro_f1 (the plain mean over the classes) or weighted_f1 (the mean weighted
// by the rows of each class).
func classScore(name string, all []class, n int) float64 {
	correct, sum, weighted := 0, 0.0, 0.0
	for _, c := range all {
		correct += c.correct
		sum += c.f1()
		weighted += c.f1() * float64(c.support)
	}
	switch name {
	case NameAccuracy:
		return ratio(correct, n)
	case NameMacroF1:
		return sum / float64(len(all))
	default:
		return weighted / float64(n)
	}
}

func confusion(all []class, counts map[cell]int) *runs.ConfusionMatrix {
	if len(all) > MaxConfusionLabels {
		return nil
	}
	m := &runs.ConfusionMatrix{Labels: make([]string, len(all)), Matrix: make([][]int, len(all))}
	place := make(map[uint32]int, len(all))
	for i, c := range all {
		m.Labels[i] = c.label
		m.Matrix[i] = make([]int, len(all))
		place[c.number] = i
	}
	for pair, n := range counts {
		m.Matrix[place[pair.actual]][place[pair.predicted]] = n
	}
	return m
}
