package tensor

import "unsafe"

// peakProbe returns a function that does a number of float32 operations as
// fast as the kernels can, and that number.
func peakProbe(k Kernels) (run func(), flops int) {
	s, ok := k.(*simd)
	if !ok {
		return portableProbe(k)
	}
	const depth, panels = 4096, 4
	set := &s.sets[0]
	rows := len(set.tiles) - 1
	a, b, c := alignedFloats(16), alignedFloats(32), alignedFloats(rows*set.width)
	return func() {
		// No stride: every step reads the same values.
		s.t = tile{a: unsafe.Pointer(&a[0]), b: unsafe.Pointer(&b[0]), c: unsafe.Pointer(&c[0]), k: depth, panels: 1}
		for range panels {
			set.tiles[rows](&s.t)
		}
		s.t = tile{}
	}, 2 * rows * set.width * depth * panels
}
