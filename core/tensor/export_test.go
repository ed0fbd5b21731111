package tensor

import (
	"testing"
	"unsafe"
)

// ForceExact has what gives the same bits everywhere done by one instruction
// set until the test ends.
func ForceExact(t testing.TB, isa string) {
	old := exact
	exact = exactFor(isa)
	t.Cleanup(func() { exact = old })
}

// Move moves the values to memory that take hands out.
func (q *Int8) Move(take func(bytes int) []byte) { moveBytes(&q.values, take) }

// Move moves the codes and the magnitudes to memory that take hands out.
func (q *NF4) Move(takeCodes, takeSizes func(bytes int) []byte) {
	moveBytes(&q.codes, takeCodes)
	moveBytes(&q.size, takeSizes)
}

func moveBytes[T int8 | byte](s *[]T, take func(bytes int) []byte) {
	to := take(len(*s))
	moved := unsafe.Slice((*T)(unsafe.Pointer(&to[0])), len(to))
	copy(moved, *s)
	*s = moved
}
