package tensor

import "math"

// Quantized is a frozen matrix kept in fewer bits. It is made float32 again a
// few rows at a time, inside the product that needs them.
type Quantized interface {
	// Shape returns the numbers of rows and columns.
	Shape() (rows, cols int)
	// Rows writes rows first..first+n-1 to dst as float32, n × cols.
	Rows(dst []float32, first, n int)
	// Bytes is the memory the values take.
	Bytes() int
}

// Int8 keeps a row as 8-bit integers and one scale: the largest magnitude of
// the row is 127. (Dettmers et al. 2022, "LLM.int8()", section 2.1, row-wise
// absmax quantisation.)
type Int8 struct {
	rows, cols int
	values     []int8
	scale      []float32 // by row
}

// NewInt8 quantises the rows × cols matrix w.
func NewInt8(w []float32, rows, cols int) *Int8 {
	q := &Int8{rows: rows, cols: cols, values: make([]int8, rows*cols), scale: make([]float32, rows)}
	for r := range rows {
		row := w[r*cols : (r+1)*cols]
		q.scale[r] = quantizeInt8(q.values[r*cols:(r+1)*cols], row)
	}
	return q
}

// quantizeInt8 rounds src to multiples of the scale that it returns.
func quantizeInt8(dst []int8, src []float32) float32 {
	top := absmax(src)
	if top == 0 {
		return 0
	}
	scale := top / 127
	for i, v := range src {
		dst[i] = int8(math.RoundToEven(float64(v / scale)))
	}
	return scale
}

func absmax(x []float32) float32 {
	var top float32
	for _, v := range x {
		top = max(top, v, -v)
	}
	return top
}

// Shape implements Quantized.
func (q *Int8) Shape() (rows, cols int) { return q.rows, q.cols }

// Bytes implements Quantized.
func (q *Int8) Bytes() int { return len(q.values) + 4*len(q.scale) }

// Rows implements Quantized.
func (q *Int8) Rows(dst []float32, first, n int) { q.decode(&exact, dst, first, n) }

func (q *Int8) decode(e *exactSet, dst []float32, from, n int) {
	for r := range n {
		scale := q.scale[from+r]
		src := q.values[(from+r)*q.cols : (from+r+1)*q.cols]
		out := dst[r*q.cols:][:len(src)]
		done := chunks(len(out), e.lanes, chunk, func(at, vectors int) {
			e.int8Row(&out[at], &src[at], vectors*e.lanes, scale)
		})
		for i := done; i < len(src); i++ {
			out[i] = float32(src[i]) * scale
		}
	}
}

// nf4Levels are the values of the 4-bit NormalFloat: quantiles of a normal
// distribution, scaled to [-1, 1], with an exact zero. (Dettmers et al. 2023,
// "QLoRA", appendix E.)
var nf4Levels = [16]float32{
	-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
	-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
	0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
	0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
}

const (
	nf4Block = 64  // values that share a magnitude
	nf4Group = 256 // magnitudes that share a scale and an offset
)

// NF4 keeps blocks of 64 values as 4-bit NormalFloats and their largest
// magnitude; the magnitudes themselves are kept as 8-bit integers around their
// mean, in groups of 256 (double quantisation, "QLoRA", section 3). A row
// starts a new block.
type NF4 struct {
	rows, cols int
	rowBlocks  int
	codes      []byte    // two values a byte, the first in the low half
	size       []int8    // by block
	scale      []float32 // by group
	mean       []float32 // by group
}

// NewNF4 quantises the rows × cols matrix w.
func NewNF4(w []float32, rows, cols int) *NF4 {
	perRow := (cols + nf4Block - 1) / nf4Block
	q := &NF4{rows: rows, cols: cols, rowBlocks: perRow,
		codes: make([]byte, rows*perRow*nf4Block/2), size: make([]int8, rows*perRow)}
	sizes := make([]float32, 0, rows*perRow)
	for r := range rows {
		for c := 0; c < cols; c += nf4Block {
			sizes = append(sizes, absmax(w[r*cols+c:r*cols+min(c+nf4Block, cols)]))
		}
	}
	q.quantizeSizes(sizes)
	for r := range rows {
		for b := range perRow {
			block := r*perRow + b
			values := w[r*cols+b*nf4Block : r*cols+min((b+1)*nf4Block, cols)]
			q.encode(block, values)
		}
	}
	return q
}

// quantizeSizes keeps the magnitudes in 8 bits.
func (q *NF4) quantizeSizes(sizes []float32) {
	for g := 0; g < len(sizes); g += nf4Group {
		part := sizes[g:min(g+nf4Group, len(sizes))]
		var sum float64
		for _, s := range part {
			sum += float64(s)
		}
		mean := float32(sum / float64(len(part)))
		for i := range part {
			part[i] -= mean
		}
		q.scale = append(q.scale, quantizeInt8(q.size[g:g+len(part)], part))
		q.mean = append(q.mean, mean)
	}
}

// magnitude is the size of a block as it is kept. The conversion of the product
// keeps it from being fused with the sum, so every machine gets the same bits.
func (q *NF4) magnitude(block int) float32 {
	g := block / nf4Group
	return q.mean[g] + float32(q.scale[g]*float32(q.size[block]))
}

// encode chooses for each value the nearest level times the block's magnitude,
// which may have come out as 0 or less; then all are zero.
func (q *NF4) encode(block int, values []float32) {
	size := q.magnitude(block)
	if !(size > 0) {
		size = float32(math.Inf(1))
	}
	codes := q.codes[block*nf4Block/2:][:(len(values)+1)/2]
	for i, v := range values {
		codes[i/2] |= nearestLevel(v/size) << (4 * (i & 1))
	}
}

// nf4Bounds are the largest values that are not nearer to the upper of two
// neighbouring levels, as ordered integers: their midpoints, to the last bit.
var nf4Bounds = func() (bounds [15]int32) {
	for i := range bounds {
		low, high := nf4Levels[i], nf4Levels[i+1]
		up := func(x float32) bool { return high-x < x-low }
		x := low + (high-low)/2
		for up(x) {
			x = math.Nextafter32(x, low)
		}
		for next := x; !up(next); next = math.Nextafter32(next, high) {
			x = next
		}
		bounds[i] = ordered(x)
	}
	return bounds
}()

// ordered maps floats to integers in the same order, save for NaN.
func ordered(x float32) int32 {
	b := int32(math.Float32bits(x))
	return b ^ int32(uint32(b>>31)>>1)
}

// nearestLevel is the number of bounds below x, found by halving. There is no
// branch, since nothing could guess it.
func nearestLevel(x float32) byte {
	key, code := int64(ordered(x)), int64(0)
	code += 8 & ((int64(nf4Bounds[7]) - key) >> 63)
	code += 4 & ((int64(nf4Bounds[code+3]) - key) >> 63)
	code += 2 & ((int64(nf4Bounds[code+1]) - key) >> 63)
	code += 1 & ((int64(nf4Bounds[code]) - key) >> 63)
	return byte(code)
}

// Shape implements Quantized.
func (q *NF4) Shape() (rows, cols int) { return q.rows, q.cols }

// Bytes implements Quantized.
func (q *NF4) Bytes() int { return len(q.codes) + len(q.size) + 4*len(q.scale) + 4*len(q.mean) }

// Rows implements Quantized.
func (q *NF4) Rows(dst []float32, first, n int) { q.decode(&exact, dst, first, n) }

func (q *NF4) decode(e *exactSet, dst []float32, from, n int) {
	dst = dst[:n*q.cols]
	row := q.cols
	if q.cols%nf4Block == 0 {
		row = len(dst) // whole blocks run on from row to row
	}
	for at := 0; at < len(dst); at += row {
		part := dst[at : at+row]
		for block := (from + at/q.cols) * q.rowBlocks; len(part) > 0; {
			group := block / nf4Group
			blocks := (group+1)*nf4Group - block
			n := min(len(part), blocks*nf4Block)
			q.decodeGroup(e, part[:n], block, group)
			part, block = part[n:], block+blocks
		}
	}
}

// decodeGroup decodes values from the start of a block on, all of one group.
func (q *NF4) decodeGroup(e *exactSet, dst []float32, block, group int) {
	codes := q.codes[block*nf4Block/2:][:(len(dst)+1)/2]
	done := chunks(len(dst), e.lanes, chunk, func(at, vectors int) {
		e.nf4Blocks(&dst[at], &codes[at/2], &q.size[block+at/nf4Block], vectors*e.lanes, q.scale[group], q.mean[group], &nf4Levels[0])
	})
	for done < len(dst) {
		size := q.magnitude(block + done/nf4Block)
		for end := min(done&^(nf4Block-1)+nf4Block, len(dst)); done < end; done++ {
			dst[done] = nf4Levels[codes[done/2]>>(4*(done&1))&15] * size
		}
	}
}
