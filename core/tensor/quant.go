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
func (q *Int8) Rows(dst []float32, first, n int) {
	for r := range n {
		scale := q.scale[first+r]
		src := q.values[(first+r)*q.cols : (first+r+1)*q.cols]
		out := dst[r*q.cols:][:len(src)]
		for i, v := range src {
			out[i] = float32(v) * scale
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

// magnitude is the size of a block as it is kept.
func (q *NF4) magnitude(block int) float32 {
	g := block / nf4Group
	return q.mean[g] + q.scale[g]*float32(q.size[block])
}

// encode chooses for each value the nearest level times the block's magnitude.
func (q *NF4) encode(block int, values []float32) {
	size := q.magnitude(block)
	for i, v := range values {
		code := byte(7) // zero
		if size > 0 {
			code = nearestLevel(v / size)
		}
		q.codes[(block*nf4Block+i)/2] |= code << (4 * (i & 1))
	}
}

func nearestLevel(x float32) byte {
	best := 0
	for i, l := range nf4Levels {
		if abs32(x-l) < abs32(x-nf4Levels[best]) {
			best = i
		}
	}
	return byte(best)
}

func abs32(x float32) float32 { return max(x, -x) }

// Shape implements Quantized.
func (q *NF4) Shape() (rows, cols int) { return q.rows, q.cols }

// Bytes implements Quantized.
func (q *NF4) Bytes() int { return len(q.codes) + len(q.size) + 4*len(q.scale) + 4*len(q.mean) }

// Rows implements Quantized.
func (q *NF4) Rows(dst []float32, first, n int) {
	for r := range n {
		out := dst[r*q.cols : (r+1)*q.cols]
		for b := range q.rowBlocks {
			block := (first+r)*q.rowBlocks + b
			size := q.magnitude(block)
			levels := nf4Levels
			for i := range levels {
				levels[i] *= size
			}
			part := out[b*nf4Block : min((b+1)*nf4Block, q.cols)]
			codes := q.codes[block*nf4Block/2:][:nf4Block/2]
			for i := 0; i+1 < len(part); i += 2 {
				c := codes[i/2]
				part[i], part[i+1] = levels[c&15], levels[c>>4]
			}
			if i := len(part) - 1; i&1 == 0 {
				part[i] = levels[codes[i/2]&15]
			}
		}
	}
}
