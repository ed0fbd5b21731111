package metrics

import (
	"cmp"
	"slices"
	"sync"

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

// Tally counts the answers of one or two classifiers to the same examples: an
// entry a kind, which is a true label with the labels predicted for it. Scores
// of counts other than the true ones are what resampling takes.
type Tally struct {
	sides  int
	labels labels
	number map[kind]int
	kinds  []kind
	counts []int
	// order lists the labels by code point, for sums that do not depend on the
	// order of the examples. It is made once, when the first score is taken.
	order   func() []uint32
	scratch sync.Pool // of []class
}

// kind is a true label and what each side predicts for it.
type kind struct {
	actual    uint32
	predicted [2]uint32
}

// NewTally returns an empty tally of the answers of one or two sides.
func NewTally(sides int) *Tally {
	t := &Tally{sides: sides, labels: labels{number: map[string]uint32{}}, number: map[kind]int{}}
	t.order = sync.OnceValue(func() []uint32 {
		order := make([]uint32, len(t.labels.names))
		for i := range order {
			order[i] = uint32(i)
		}
		slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(t.labels.names[a], t.labels.names[b]) })
		return order
	})
	return t
}

// Add counts an example: its true label, and a predicted label a side. It must
// not be called once a score was taken.
func (t *Tally) Add(actual string, predicted ...string) { t.add(1, actual, predicted...) }

func (t *Tally) add(n int, actual string, predicted ...string) {
	k := kind{actual: t.labels.of(actual)}
	for side := range t.sides {
		k.predicted[side] = t.labels.of(predicted[side])
	}
	at, seen := t.number[k]
	if !seen {
		at = len(t.kinds)
		t.number[k] = at
		t.kinds = append(t.kinds, k)
		t.counts = append(t.counts, 0)
	}
	t.counts[at] += n
}

// Counts returns how many examples there are of each kind. The slice is shared.
func (t *Tally) Counts() []int { return t.counts }

// Score computes accuracy, macro_f1 (the plain mean over the labels that are
// true or predicted somewhere) or weighted_f1 (the mean weighted by true rows)
// of a side, for counts in the order of Counts; 0 without examples. It may be
// called from several goroutines.
func (t *Tally) Score(metric string, side int, counts []int) float64 {
	classes, _ := t.scratch.Get().(*[]class)
	if classes == nil {
		classes = &[]class{}
	}
	defer t.scratch.Put(classes)
	*classes = t.classes((*classes)[:0], side, counts)
	present, correct, support := 0, 0, 0
	var sum, weighted float64
	for _, n := range t.order() {
		c := (*classes)[n]
		if c.guessed+c.support == 0 {
			continue
		}
		present++
		correct += c.correct
		support += c.support
		sum += c.f1()
		weighted += c.f1() * float64(c.support)
	}
	switch {
	case support == 0:
		return 0
	case metric == NameAccuracy:
		return ratio(correct, support)
	case metric == NameMacroF1:
		return sum / float64(present)
	default:
		return weighted / float64(support)
	}
}

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

// classes appends the counts of every label, in their order of number, to out.
func (t *Tally) classes(out []class, side int, counts []int) []class {
	for i, name := range t.labels.names {
		out = append(out, class{label: name, number: uint32(i)})
	}
	for i, n := range counts {
		actual, predicted := t.kinds[i].actual, t.kinds[i].predicted[side]
		out[actual].support += n
		out[predicted].guessed += n
		if actual == predicted {
			out[actual].correct += n
		}
	}
	return out
}

// sorted lists the labels with their counts by code point.
func (t *Tally) sorted() []class {
	all := t.classes(nil, 0, t.counts)
	out := make([]class, len(all))
	for i, n := range t.order() {
		out[i] = all[n]
	}
	return out
}

// confusion is nil when there are more than MaxConfusionLabels labels.
func (t *Tally) confusion() *runs.ConfusionMatrix {
	all := t.sorted()
	if len(all) > MaxConfusionLabels {
		return nil
	}
	m := &runs.ConfusionMatrix{Labels: make([]string, len(all)), Matrix: make([][]int, len(all))}
	place := make([]int, len(all))
	for i, c := range all {
		m.Labels[i] = c.label
		m.Matrix[i] = make([]int, len(all))
		place[c.number] = i
	}
	for i, k := range t.kinds {
		m.Matrix[place[k.actual]][place[k.predicted[0]]] = t.counts[i]
	}
	return m
}

func isClassScore(name string) bool {
	return name == NameAccuracy || name == NameMacroF1 || name == NameWeightedF1
}
