// Package tensor holds the numerical kernels of the native engine: matrix
// products and the row operations of a Llama-style decoder, in float32.
//
// What it promises:
//
//   - A kernel's result depends on its operands alone, never on the number of
//     threads or on what ran before. Every sum has one fixed order.
//   - Row i of a product depends on row i of the left operand and on the right
//     operand, not on how many rows there are: a sequence computed alone and the
//     same sequence computed in a batch give the same bytes.
//   - No kernel allocates after its first call with a given shape.
//   - No kernel starts a goroutine. A Kernels value belongs to one worker.
//   - No kernel touches memory outside its operands; operands that do not fit
//     each other panic.
//
// There are three implementations: assembly for AVX-512 and for AVX2 with FMA,
// which the command in asm generates, and portable Go. Either assembly gives the
// same bytes on every machine that has it. Between the three, results differ in
// the last bits, save for Gemm, which is the same in both assemblies. Philox and
// Quantized give the same bits everywhere, and so are no part of Kernels.
package tensor

//go:generate go run ./asm -dir .

// Kernels is the set of operations the engine is written in. Implementations
// own scratch memory, so a value must not be shared between goroutines; make
// one a worker with New.
type Kernels interface {
	// ISA names the instruction set: "avx512", "avx2" or "generic".
	ISA() string

	// Gemm computes c = a·b, or c += a·b when acc is set. Shapes are m×k, k×n
	// and m×n; a and b may be transposed views, c must have unit column stride.
	// The operands must not overlap c.
	Gemm(c, a, b Matrix, acc bool)

	// Next says what comes after the next product: a right operand, or any
	// matrix that will be read. The product brings its first block into the
	// cache while it computes. No result depends on it.
	Next(b Matrix)

	// RMSNorm writes out[r] = x[r]/rms(x[r]) * w for each row of length d, and
	// the reciprocal root mean square of each row to inv. x and out may be the
	// same slice. (Zhang and Sennrich 2019, "Root Mean Square Layer
	// Normalization", eq. 4.)
	RMSNorm(out, inv, x, w []float32, d int, eps float32)

	// RMSNormBackward adds the gradient with respect to x to dx, and, unless dw
	// is nil, the gradient with respect to w to dw. inv is what RMSNorm wrote.
	RMSNormBackward(dx, dw, dy, x, w, inv []float32, d int)

	// Rope rotates each of the heads of x (rows × heads × dim) by the angle of
	// its row's position; inverse rotates back, which is also the gradient.
	// Feature i is paired with i+dim/2, as in Hugging Face's Llama. (Su et al.
	// 2021, "RoFormer", eq. 34.)
	Rope(x []float32, heads int, pos []int32, table *RopeTable, inverse bool)

	// SwiGLU writes out = silu(gate)*up. (Shazeer 2020, "GLU Variants Improve
	// Transformer".)
	SwiGLU(out, gate, up []float32)

	// SwiGLUBackward replaces gate and up by their gradients, given the
	// gradient dy of the product.
	SwiGLUBackward(gate, up, dy []float32)

	// CausalSoftmax turns each row of the m×n scores s into probabilities after
	// multiplying by scale. Row i may see columns 0..offset+i; the columns
	// behind become zero.
	CausalSoftmax(s Matrix, offset int, scale float32)

	// SoftmaxBackward replaces dp by scale*p*(dp - sum(p*dp)), row by row: the
	// gradient with respect to the unscaled scores. Shapes are equal.
	SoftmaxBackward(dp, p Matrix, scale float32)

	// CrossEntropy returns the loss -log softmax(logits)[target] of one row in
	// nats and replaces the row by its gradient times scale.
	CrossEntropy(logits []float32, target int, scale float32) float64

	// LogSumExp returns log(sum(exp(x))).
	LogSumExp(x []float32) float64

	// AdamW does one step of decoupled weight decay Adam on the slices, which
	// have equal lengths. (Loshchilov and Hutter 2019, algorithm 2.)
	AdamW(p, g, m, v []float32, step AdamWStep)

	// Add computes dst += src.
	Add(dst, src []float32)

	// Scale computes x *= f.
	Scale(x []float32, f float32)

	// SumSquares returns the sum of x² in float64, in one fixed order.
	SumSquares(x []float32) float64
}

// AdamWStep holds the scalars of one optimiser step.
type AdamWStep struct {
	LR          float32 // learning rate of this step
	Beta1       float32
	Beta2       float32
	Eps         float32
	WeightDecay float32
	Correction1 float32 // 1 - Beta1^t
	Correction2 float32 // 1 - Beta2^t
	GradScale   float32 // multiplies g first: clipping by the global norm
}

// Matrix is a view of float32 values: element (i, j) is
// Data[i*RowStride+j*ColStride].
type Matrix struct {
	Data      []float32
	Rows      int
	Cols      int
	RowStride int
	ColStride int
}

// Mat views data as rows×cols in row-major order.
func Mat(data []float32, rows, cols int) Matrix {
	return Matrix{Data: data, Rows: rows, Cols: cols, RowStride: cols, ColStride: 1}
}

// Strided views rows×cols values in row-major order whose rows are stride
// values apart.
func Strided(data []float32, rows, cols, stride int) Matrix {
	return Matrix{Data: data, Rows: rows, Cols: cols, RowStride: stride, ColStride: 1}
}

// T is the transposed view of the same values.
func (a Matrix) T() Matrix {
	return Matrix{Data: a.Data, Rows: a.Cols, Cols: a.Rows, RowStride: a.ColStride, ColStride: a.RowStride}
}

// Row is row i of a matrix with unit column stride.
func (a Matrix) Row(i int) []float32 {
	return a.Data[i*a.RowStride : i*a.RowStride+a.Cols]
}
