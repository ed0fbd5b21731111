package tensor

// dropper is the assembly of Philox.Dropout for one instruction set; group is
// the number of values it does at once.
type dropper struct {
	group int
	run   func(dst, src *float32, groups int, k0, k1, rowLow, rowHigh, block, threshold uint32, keep float32)
}

// droppers lists what this machine has, best first. All give the same bits, so
// there is nothing to choose for a caller.
var droppers = machineDroppers()

// dropoutVectors does the first values of Philox.Dropout and returns their
// number, a multiple of four.
func (p Philox) dropoutVectors(dst, src []float32, row uint64, threshold uint32, keep float32) int {
	if len(droppers) == 0 {
		return 0
	}
	return droppers[0].do(p, dst, src, row, threshold, keep)
}

func (d dropper) do(p Philox, dst, src []float32, row uint64, threshold uint32, keep float32) int {
	done := 0
	for left := len(src) / d.group; left > 0; {
		n := min(left, chunk/d.group)
		d.run(first(dst[done:]), first(src[done:]), n, p.k0, p.k1, uint32(row), uint32(row>>32), uint32(done/4), threshold, keep)
		left, done = left-n, done+n*d.group
	}
	return done
}
