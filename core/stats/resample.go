package stats

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// distribution computes a statistic for every resample, in their order. Each
// resample has a stream of its own, so how they are shared out among processors
// does not show. newDraw makes the function that draws resample i with the
// scratch memory of one goroutine; work is about how many numbers it draws.
func distribution(ctx context.Context, opt Options, purpose uint64, work int, newDraw func() func(i int, s *stream) float64) ([]float64, error) {
	out := make([]float64, opt.resamples())
	var taken atomic.Int64
	run := func() {
		draw := newDraw()
		for ctx.Err() == nil {
			first := int(taken.Add(chunk)) - chunk
			if first >= len(out) {
				return
			}
			for i := first; i < min(first+chunk, len(out)); i++ {
				s := newStream(opt.seed(), purpose, uint64(i))
				out[i] = draw(i, &s)
			}
		}
	}
	if workers := runtime.GOMAXPROCS(0); workers > 1 && float64(work)*float64(len(out)) > worthwhile {
		var wait sync.WaitGroup
		for range workers {
			wait.Go(run)
		}
		wait.Wait()
	} else {
		run()
	}
	return out, ctx.Err()
}

const (
	// chunk is how many resamples are drawn between two looks at the context:
	// of a million examples they take a few tens of milliseconds.
	chunk = 16
	// worthwhile is how many draws make up for starting goroutines: at half a
	// nanosecond each, a tenth of a millisecond.
	worthwhile = 200_000
)

// The purposes of streams.
const (
	purposeMean = iota + 1
	purposeCounts
	purposePaired
	purposePairedCounts
	purposeUnpaired
	purposeUnpairedCounts
)

// table holds what each example adds to one or more sums, ready to be
// resampled.
type table struct {
	n int
	// Examples, or kinds of examples, in the field for their number of columns.
	one   []float64
	two   [][2]float64
	three [][3]float64
	four  [][4]float64
	// rows counts the examples that are alike, when there are few kinds of
	// them.
	rows []int
}

// newTable returns the table of columns of equal length.
func newTable(cols [][]float64) *table {
	t := &table{n: len(cols[0])}
	if kinds, rows := group(cols); kinds != nil {
		cols, t.rows = kinds, rows
	}
	t.fill(cols)
	return t
}

// fill puts the numbers of an example side by side, so that drawing it looks at
// one place in memory.
func (t *table) fill(cols [][]float64) {
	n := len(cols[0])
	switch len(cols) {
	case 1:
		t.one = cols[0]
	case 2:
		t.two = make([][2]float64, n)
		for i := range t.two {
			t.two[i] = [2]float64{cols[0][i], cols[1][i]}
		}
	case 3:
		t.three = make([][3]float64, n)
		for i := range t.three {
			t.three[i] = [3]float64{cols[0][i], cols[1][i], cols[2][i]}
		}
	default:
		t.four = make([][4]float64, n)
		for i := range t.four {
			t.four[i] = [4]float64{cols[0][i], cols[1][i], cols[2][i], cols[3][i]}
		}
	}
}

// row returns the numbers of an example or a kind.
func (t *table) row(i int) []float64 {
	switch {
	case t.one != nil:
		return t.one[i : i+1]
	case t.two != nil:
		return t.two[i][:]
	case t.three != nil:
		return t.three[i][:]
	}
	return t.four[i][:]
}

// maxColumns is how many columns a table may have.
const maxColumns = 4

// kindsPerExample is how many examples a kind must stand for, on average, for
// drawing one binomial number a kind to be faster than drawing the examples.
const kindsPerExample = 32

// group returns kinds of examples, in columns, and how many there are of each,
// where that pays: a resample is then a draw from the multinomial distribution of
// the kinds, which is the same distribution, in less time. Otherwise it returns
// nil.
func group(cols [][]float64) (grouped [][]float64, counts []int) {
	type kind [maxColumns]float64
	n := len(cols[0])
	limit := n / kindsPerExample
	number := make(map[kind]int, min(limit, 64))
	var kinds []kind
	var rows []int
	for i := range n {
		var k kind
		for j, col := range cols {
			k[j] = col[i] + 0 // -0 becomes 0
		}
		at, seen := number[k]
		if !seen {
			if len(kinds) == limit {
				return nil, nil
			}
			at = len(kinds)
			number[k] = at
			kinds = append(kinds, k)
			rows = append(rows, 0)
		}
		rows[at]++
	}
	// The most frequent come first, so that little is left to draw for the rest.
	order := byCount(rows, func(a, b int) int { return slices.Compare(kinds[a][:], kinds[b][:]) })
	counts = make([]int, len(order))
	grouped = make([][]float64, len(cols))
	for j := range grouped {
		grouped[j] = make([]float64, len(order))
		for at, i := range order {
			grouped[j][at] = kinds[i][j]
			counts[at] = rows[i]
		}
	}
	return grouped, counts
}

// byCount returns the places of counts, largest count first.
func byCount(counts []int, tie func(a, b int) int) []int {
	order := make([]int, len(counts))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), tie(a, b)) })
	return order
}

// work is how many numbers a resample takes.
func (t *table) work() int {
	if t.rows != nil {
		return len(t.rows) * kindsPerExample
	}
	return t.n
}

// draw adds up the columns over n examples drawn with replacement.
func (t *table) draw(s *stream, sums []float64) {
	clear(sums)
	if t.rows != nil {
		s.multinomial(t.n, t.n, t.rows, func(i, drawn int) {
			for j, v := range t.row(i) {
				sums[j] += float64(drawn) * v
			}
		})
		return
	}
	// The examples of a block lie close together in memory, and one random
	// number picks six of them: first how many fall into each block, then which.
	left, examples := t.n, t.n
	for start := 0; left > 0; start += block {
		size := min(block, t.n-start)
		drawn := left
		if size < examples {
			drawn = s.binomial(left, float64(size)/float64(examples))
		}
		left -= drawn
		examples -= size
		switch {
		case size < block:
			t.drawAny(s, start, size, drawn, sums)
		case t.one != nil:
			s.addOnes((*[block]float64)(t.one[start:]), drawn, (*[1]float64)(sums))
		case t.two != nil:
			s.addTwos((*[block][2]float64)(t.two[start:]), drawn, (*[2]float64)(sums))
		case t.three != nil:
			s.addThrees((*[block][3]float64)(t.three[start:]), drawn, (*[3]float64)(sums))
		default:
			s.addFours((*[block][4]float64)(t.four[start:]), drawn, (*[4]float64)(sums))
		}
	}
}

// drawAny adds up draws among fewer examples than a block has. A random number
// picks three of them by 21 bits each; those that would favour some examples are
// thrown away (Lemire 2019, "Fast Random Integer Generation in an Interval").
func (t *table) drawAny(s *stream, start, size, draws int, sums []float64) {
	const mask = 1<<21 - 1
	n := uint64(size)
	fair := (1 << 21) % n
	var places [192]uint16
	for draws > 0 {
		picked := places[:min(draws, len(places))]
		for at := 0; at < len(picked); {
			x := s.next()
			for range 3 {
				product := (x & mask) * n
				x >>= 21
				if product&mask < fair {
					continue
				}
				picked[at] = uint16(product >> 21)
				if at++; at == len(picked) {
					break
				}
			}
		}
		draws -= len(picked)
		switch {
		case t.one != nil:
			for _, p := range picked {
				sums[0] += t.one[start+int(p)]
			}
		case t.two != nil:
			for _, p := range picked {
				v := &t.two[start+int(p)]
				sums[0] += v[0]
				sums[1] += v[1]
			}
		default:
			for _, p := range picked {
				for j, v := range t.row(start + int(p)) {
					sums[j] += v
				}
			}
		}
	}
}

// multinomial shares n draws out among kinds that stand for the given numbers of
// examples, total in all, and calls take for each kind that was drawn. Each
// number is binomial given the earlier ones.
func (s *stream) multinomial(n, total int, counts []int, take func(kind, drawn int)) {
	for i, count := range counts {
		drawn := n
		if count < total {
			drawn = s.binomial(n, float64(count)/float64(total))
		}
		if drawn > 0 {
			take(i, drawn)
			if n -= drawn; n == 0 {
				return
			}
		}
		total -= count
	}
}

// quantile interpolates between sorted numbers: the p-quantile of B resamples is
// number (B+1)p (Davison and Hinkley 1997, "Bootstrap Methods and their
// Application", 2.4).
func quantile(sorted []float64, p float64) float64 {
	at := p*float64(len(sorted)+1) - 1
	low := math.Floor(at)
	switch {
	case !(at > 0): // NaN too
		return sorted[0]
	case at >= float64(len(sorted)-1):
		return sorted[len(sorted)-1]
	}
	i := int(low)
	return sorted[i] + (at-low)*(sorted[i+1]-sorted[i])
}
