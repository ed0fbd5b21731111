package native

import (
	"slices"

	"github.com/verifily/verifily-tui/core/tensor"
)

// quantSource keeps the matrices of a base in fewer bits, as
// lora.quantization asks: row-wise int8 for 8bit; NF4 for 4bit, with the
// embedding and the head in int8, whose rows are looked up one by one. Norms
// and a classification head stay as they are.
type quantSource struct {
	source
	bits string // "4bit" or "8bit"
}

func (s *quantSource) check(name string, shape []int) (int64, error) {
	bytes, err := s.source.check(name, shape)
	switch n := int64(size(shape)); {
	case err != nil || len(shape) != 2 || name == scoreName:
		return bytes, err
	case s.fourBit(name):
		return n/2 + n/16, nil // scales included
	default:
		return n, nil
	}
}

func (s *quantSource) fourBit(name string) bool {
	return s.bits == "4bit" && name != embedName && name != headName
}

// quantized returns a matrix in its few bits, or nil for a tensor that stays
// float32.
func (s *quantSource) quantized(name string, shape []int) (tensor.Quantized, error) {
	if len(shape) != 2 || name == scoreName {
		return nil, nil
	}
	values, err := s.source.tensor(name, shape)
	if err != nil {
		return nil, err
	}
	defer s.release(name)
	if s.fourBit(name) {
		return tensor.NewNF4(values, shape[0], shape[1]), nil
	}
	return tensor.NewInt8(values, shape[0], shape[1]), nil
}

// tensor gives the values as the quantised model computes with them.
func (s *quantSource) tensor(name string, shape []int) ([]float32, error) {
	q, err := s.quantized(name, shape)
	if err != nil || q == nil {
		if err == nil {
			return s.source.tensor(name, shape)
		}
		return nil, err
	}
	values := make([]float32, size(shape))
	q.Rows(values, 0, shape[0])
	return values, nil
}

// quantRows is how many rows of a quantised matrix are made float32 at a time:
// enough columns of the result for the product to be fast, few enough to stay
// in the second-level cache.
const quantRows = 64

// mulT computes y = x·Wᵀ.
func (w *worker) mulT(y, x tensor.Matrix, p *Param) {
	if p.Quant == nil {
		if next := p.above; next != nil && next.Quant == nil {
			w.k.Next(next.mat().T())
		}
		w.k.Gemm(y, x, p.mat().T(), false)
		return
	}
	w.eachRows(p, func(first int, rows tensor.Matrix) {
		w.k.Gemm(colsOf(y, first, rows.Rows), x, rows.T(), false)
	})
}

// mul computes dx = dy·W, or adds it to dx.
func (w *worker) mul(dx, dy tensor.Matrix, p *Param, acc bool) {
	if p.Quant == nil {
		if next := p.below; next != nil && next.Quant == nil {
			w.k.Next(next.mat())
		}
		w.k.Gemm(dx, dy, p.mat(), acc)
		return
	}
	w.eachRows(p, func(first int, rows tensor.Matrix) {
		w.k.Gemm(dx, colsOf(dy, first, rows.Rows), rows, acc || first > 0)
	})
}

// eachRows hands over a quantised matrix as float32, some rows at a time.
func (w *worker) eachRows(p *Param, do func(first int, rows tensor.Matrix)) {
	mark := w.a.mark()
	n, cols := p.Quant.Shape()
	block := w.a.mat(quantRows, cols)
	for first := 0; first < n; first += quantRows {
		rows := rowsOf(block, 0, min(quantRows, n-first))
		p.Quant.Rows(rows.Data, first, rows.Rows)
		do(first, rows)
	}
	w.a.release(mark)
}

// colsOf is n columns of a from first on.
func colsOf(a tensor.Matrix, first, n int) tensor.Matrix {
	return tensor.Strided(a.Data[first:], a.Rows, n, a.RowStride)
}

// embedding copies the embedding of one token.
func (m *Model) embedding(dst []float32, id int32) {
	if m.Embed.Quant != nil {
		m.Embed.Quant.Rows(dst, int(id), 1)
		return
	}
	d := m.Arch.Hidden
	copy(dst[:d], m.Embed.Value[int(id)*d:])
}

// baseBytes is the memory of the base's values.
func (m *Model) baseBytes() int64 {
	var n int64
	for _, p := range slices.Concat(m.params, m.adapters) {
		switch {
		case p.Quant != nil:
			n += int64(p.Quant.Bytes())
		case !p.trainable():
			n += 4 * int64(size(p.Shape))
		}
	}
	return n
}
