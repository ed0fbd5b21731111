package native

import "github.com/verifily/verifily-tui/core/tensor"

// arena hands out scratch memory that is released all at once or back to a
// mark. It grows to what the largest unit needed and then allocates no more.
type arena struct {
	buf  []float32
	used int // may run past buf; what does not fit comes from the heap
	peak int
	// measuring makes all slices share one place: only peak matters.
	measuring bool
}

// Slices start on multiples of 16 floats, a cache line.
const arenaAlign = 16

// take returns n floats with undefined contents.
func (a *arena) take(n int) []float32 {
	start := a.used
	a.used += (n + arenaAlign - 1) &^ (arenaAlign - 1)
	a.peak = max(a.peak, a.used)
	if a.measuring {
		a.grow(n)
		return a.buf[:n:n]
	}
	if a.used > len(a.buf) {
		return make([]float32, n)
	}
	return a.buf[start : start+n : start+n]
}

// zeros returns n floats, all zero.
func (a *arena) zeros(n int) []float32 {
	s := a.take(n)
	clear(s)
	return s
}

// mat returns a rows×cols matrix with undefined contents.
func (a *arena) mat(rows, cols int) tensor.Matrix {
	return tensor.Mat(a.take(rows*cols), rows, cols)
}

// spread is mat with rows an odd number of cache lines apart: rows of a power of
// two would share few sets of the caches.
func (a *arena) spread(rows, cols int) tensor.Matrix {
	lines := (cols+arenaAlign-1)/arenaAlign | 1
	return tensor.Strided(a.take(rows*lines*arenaAlign), rows, cols, lines*arenaAlign)
}

// mark is a point to release back to.
func (a *arena) mark() int { return a.used }

// release gives back what was taken since the mark.
func (a *arena) release(mark int) { a.used = mark }

// reset releases everything and makes room for the most that was ever in use.
func (a *arena) reset() {
	a.used = 0
	a.grow(a.peak)
}

// grow makes room for n floats.
func (a *arena) grow(n int) {
	if n > len(a.buf) {
		a.buf = inLargePages(make([]float32, n))
	}
}
