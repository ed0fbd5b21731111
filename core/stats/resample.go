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
// does not show. newDraw makes the function that draws one resample with the
// scratch memory of one goroutine; work is about how many numbers it draws.
func distribution(ctx context.Context, opt Options, purpose uint64, work int, newDraw func() func(*stream) float64) ([]float64, error) {
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
				out[i] = draw(&s)
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

// table holds what each example adds to one or more sums, in columns of equal
// length, ready to be resampled.
type table struct {
	n    int
	cols [][]float64
	// rows counts the examples that are alike, when there are few kinds of
	// them; cols then hold one entry a kind.
	rows []int
}

// newTable returns the table of the columns, which it keeps.
func newTable(cols [][]float64) *table {
	t := &table{n: len(cols[0]), cols: cols}
	t.group()
	return t
}

// maxColumns is how many columns a table may have.
const maxColumns = 4

// kindsPerExample is how many examples a kind must stand for, on average, for
// drawing one binomial number a kind to be faster than drawing the examples.
const kindsPerExample = 32

// group replaces examples by kinds of examples where that pays: a resample is
// then a draw from the multinomial distribution of the kinds, which is the same
// distribution, in less time.
func (t *table) group() {
	type kind [maxColumns]float64
	limit := t.n / kindsPerExample
	number := make(map[kind]int, min(limit, 64))
	var kinds []kind
	var rows []int
	for i := range t.n {
		var k kind
		for j, col := range t.cols {
			k[j] = col[i] + 0 // -0 becomes 0
		}
		at, seen := number[k]
		if !seen {
			if len(kinds) == limit {
				return
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
	t.rows = make([]int, len(order))
	grouped := make([][]float64, len(t.cols))
	for j := range grouped {
		grouped[j] = make([]float64, len(order))
		for at, i := range order {
			grouped[j][at] = kinds[i][j]
			t.rows[at] = rows[i]
		}
	}
	t.cols = grouped
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
	return t.n * len(t.cols)
}

// draw adds up the columns over n examples drawn with replacement.
func (t *table) draw(s *stream, sums []float64) {
	clear(sums)
	if t.rows != nil {
		s.multinomial(t.n, t.n, t.rows, func(i, drawn int) {
			for j, col := range t.cols {
				sums[j] += float64(drawn) * col[i]
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
		at := *s // every column sees the same draws
		for j, col := range t.cols {
			*s = at
			if size == block {
				sums[j] += s.sumBlock((*[block]float64)(col[start:]), drawn)
			} else {
				sums[j] += s.sumAny(col[start:start+size], drawn)
			}
		}
	}
}

// block is 1024: ten bits pick one of its examples, and a column of it takes
// 8 KiB, a fraction of the fastest cache.
const block = 1 << 10

// sumBlock adds up examples of a block drawn with replacement.
func (s *stream) sumBlock(v *[block]float64, draws int) float64 {
	const mask = block - 1
	r := *s                      // in a register
	var a, b, c, d, e, f float64 // six sums that do not wait for each other
	for ; draws >= 6; draws -= 6 {
		x := r.next()
		a += v[x&mask]
		b += v[x>>10&mask]
		c += v[x>>20&mask]
		d += v[x>>30&mask]
		e += v[x>>40&mask]
		f += v[x>>50&mask]
	}
	if draws > 0 {
		for x := r.next(); draws > 0; draws-- {
			a += v[x&mask]
			x >>= 10
		}
	}
	*s = r
	return (a + b) + (c + d) + (e + f)
}

// sumAny is sumBlock for fewer examples. A random number picks three of them by
// 21 bits each; those that would favour some examples are thrown away (Lemire
// 2019, "Fast Random Integer Generation in an Interval").
func (s *stream) sumAny(v []float64, draws int) float64 {
	const mask = 1<<21 - 1
	n := uint64(len(v))
	fair := (1 << 21) % n
	var sum float64
	for draws > 0 {
		x := s.next()
		for range 3 {
			product := (x & mask) * n
			x >>= 21
			if product&mask < fair {
				continue
			}
			sum += v[product>>21]
			if draws--; draws == 0 {
				break
			}
		}
	}
	return sum
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
