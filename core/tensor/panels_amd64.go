package tensor

import "unsafe"

// packsA tells whether copying the strips of a pays before each meets n columns.
// Only those of a transposed view are scattered enough.
func packsA(a Matrix, n int) bool {
	if a.RowStride != 1 || a.ColStride == 1 || a.Cols <= shallow {
		return false
	}
	return n >= 96 || n >= 48 && a.ColStride >= 512
}

// stripsAhead is the number of strips that are copied at once: a few lines of each
// row of the transposed view, which may be pages apart.
const stripsAhead = 8

// packA copies strips of the block of a, a transposed view, that starts at row i
// and column p, column by column, one behind the other; left strips remain. It
// copies as many rows as a row of the copy holds, since whole vectors are faster,
// and returns the number of strips.
func (s *simd) packA(a Matrix, i, p, left int) int {
	const depth = 32
	strips := min(stripsAhead, left)
	for k := 0; k < s.t.k; k += depth {
		for n, row := 0, i; n < strips; n++ {
			dst, src := &s.packedA[(n*blockK+k)*s.stripRow], &a.Data[row+(p+k)*a.ColStride]
			copyRows(dst, 4*s.stripRow, src, 4*a.ColStride, min(depth, s.t.k-k), min(s.stripRow, a.Rows-row))
			row += stripRows(a.Rows-row, left-n)
		}
	}
	return strips
}

// stripRows is the height of the next strip when rows are cut into strips of
// nearly equal height.
func stripRows(rows, strips int) int { return (rows + strips - 1) / strips }

// packB copies columns j..j+nc of the block of b that starts at row p into
// panels of the widest tile. A partial last panel is as narrow as multiples of
// 8 allow. Rows of a transposed view are read sixteen at a time, unless they are
// short: of so many their lines stay in the first-level cache, and a line of the
// panel is written as a whole.
func (s *simd) packB(b Matrix, j, nc, p int) {
	width, together := s.sets[0].width, 16
	if s.t.k <= short {
		together = width
	}
	for at := 0; at < nc; at += width {
		cols := min(width, nc-at)
		row := 4 * ((cols + 7) &^ 7)
		dst := &s.packedB[at*s.t.k]
		if b.ColStride == 1 {
			copyRows(dst, row, &b.Data[p*b.RowStride+j+at], 4*b.RowStride, s.t.k, cols)
			continue
		}
		for c := 0; c < cols; c += together {
			src := &b.Data[p*b.RowStride+(j+at+c)*b.ColStride]
			transpose(&s.packedB[at*s.t.k+c], row, src, 4*b.ColStride, min(together, cols-c), s.t.k)
		}
	}
}

// packedPanel points s.t at column at of the nc packed columns.
func (s *simd) packedPanel(at, nc int) {
	width := s.sets[0].width
	first := at &^ (width - 1)
	cols := min(width, (nc-first+7)&^7)
	s.t.b = unsafe.Pointer(&s.packedB[first*s.t.k+at-first])
	s.t.bRow = 4 * cols
	s.t.bPanel = 4 * width * s.t.k
}
