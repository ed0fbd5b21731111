package tensor

import (
	"os"
	"unsafe"
)

// exactSet is the assembly of one instruction set for operations that give the
// same bits in plain Go, and so are no part of Kernels. It does whole vectors,
// or whole groups of four; plain Go does the rest, and everything where there
// is no assembly. lanes is then 0.
type exactSet struct {
	isa       string
	lanes     int
	dropout   func(dst, src *float32, groups int, k0, k1, block, blockHigh, rowLow, rowHigh, threshold uint32, keep float32)
	uniform   func(dst *float32, groups int, k0, k1, block, blockHigh uint32, bound float32)
	normal    func(dst *float32, vectors int, k0, k1, block, blockHigh uint32, step float32)
	int8Row   func(dst *float32, src *int8, n int, scale float32)
	nf4Blocks func(dst *float32, codes *byte, sizes *int8, n int, scale, mean float32, levels *float32)
}

// exact is the set in use: the best one of this machine, or what VERIFILY_ISA
// named when the program started.
var exact = exactFor(os.Getenv(ISAVariable))

func exactFor(isa string) exactSet {
	for _, e := range machineExact() {
		if isa == "" || isa == e.isa {
			return e
		}
	}
	return exactSet{}
}

// chunk bounds the values that one call of assembly works on: it cannot be
// interrupted, and a collection of garbage waits for it. 16384 take about 10 µs.
const chunk = 16384

// chunks runs do over the whole vectors or groups, of the given number of
// values, that fit in n values, at most so many values at a time, and returns
// the number of values done.
func chunks(n, group, most int, do func(at, groups int)) int {
	if group == 0 {
		return 0
	}
	whole := n / group * group
	for at := 0; at < whole; at += most {
		do(at, min(most, whole-at)/group)
	}
	return whole
}

// first is the address of the first value of x, which may be empty.
func first[T any](x []T) *T { return unsafe.SliceData(x) }
