// Package safetensors reads and writes model weights in the safetensors
// format: eight bytes of header length, a JSON header, the tensors' bytes.
//
// Open promises that a file it accepts is whole and consistent: every tensor
// lies inside the file, tensors neither overlap nor leave holes, and sizes
// match dtype and shape. A file that is cut short, or made up by somebody
// hostile, ends in a *FormatError and never in a panic or a huge allocation.
//
// Write promises a whole file or none, and the same bytes for the same
// tensors in whatever order they are given: the layout of the reference
// library (widest dtype first, then by name), metadata keys sorted.
package safetensors

import (
	"fmt"
	"math"
	"slices"

	"github.com/verifily/verifily-tui/core/fault"
)

// DType is the element type of a tensor, spelled as in the header.
type DType string

// The element types that can be read as and written from float32.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"  // IEEE 754 binary16
	BF16 DType = "BF16" // the upper half of a float32
)

// dtypes lists every element type of the format with its width in bits and
// its place in the layout: the reference library puts higher ranks first.
var dtypes = map[DType]struct{ bits, rank uint64 }{
	"BOOL": {8, 0}, "F4": {4, 1}, "F6_E2M3": {6, 2}, "F6_E3M2": {6, 3},
	"U8": {8, 4}, "I8": {8, 5}, "F8_E5M2": {8, 6}, "F8_E4M3": {8, 7}, "F8_E8M0": {8, 8},
	"I16": {16, 9}, "U16": {16, 10}, F16: {16, 11}, BF16: {16, 12},
	"I32": {32, 13}, "U32": {32, 14}, F32: {32, 15}, "C64": {64, 16},
	F64: {64, 17}, "I64": {64, 18}, "U64": {64, 19},
}

// Info describes one tensor of a file.
type Info struct {
	DType DType
	Shape []int // empty for a scalar
	Bytes int64 // size in the file
}

// Len is the number of elements.
func (i Info) Len() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// FormatError: a weights file is broken, lacks a tensor, or cannot be read
// or written. Path, Reason and Hint are in the embedded Detail; Err is the
// cause when the system refused (errors.Is(err, fs.ErrNotExist) works).
type FormatError struct{ fault.Detail }

const (
	opRead  = "read weights"
	opWrite = "write weights"

	hintAgain = "the file is damaged or incomplete: copy, download or export it again"
)

func readError(path, hint, format string, args ...any) *FormatError {
	return &FormatError{fault.Detail{Op: opRead, Path: path, Reason: fmt.Sprintf(format, args...), Hint: hint}}
}

// quote shows a name that came from a file: escaped, and cut to a length that
// fits in a message.
func quote(s string) string {
	const most = 80
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q...", s[:most])
}

// product multiplies dimensions; ok is false when one is negative or the
// product does not fit in an int.
func product(shape []int) (n int, ok bool) {
	if slices.ContainsFunc(shape, func(d int) bool { return d < 0 }) {
		return 0, false
	}
	if slices.Contains(shape, 0) {
		return 0, true
	}
	n = 1
	for _, d := range shape {
		if n > math.MaxInt/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}
