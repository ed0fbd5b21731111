package native

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// inLargePages asks for memory that is used all the time to stand in large pages
// (2 MiB), where the system leaves that to programs: the processor looks up fewer
// addresses. It is advice; what the system does not take costs nothing.
func inLargePages(x []float32) []float32 {
	const large = 2 << 20
	if 4*len(x) < 2*large {
		return x
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 4*len(x))
	start := -int(uintptr(unsafe.Pointer(&x[0]))) & (large - 1)
	_ = unix.Madvise(bytes[start:start+(len(bytes)-start)&^(large-1)], unix.MADV_HUGEPAGE)
	return x
}
