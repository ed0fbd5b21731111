package safetensors

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/atomicfile"
)

// Tensor is one tensor to write. Data holds the product of Shape elements in
// row-major order. An empty DType means F32; F16 and BF16 round to nearest,
// ties to even.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
	DType DType
}

// writeChunk is how many elements are converted at a time: enough to keep the
// loop busy, and little beside any model.
const writeChunk = 16 << 10

// Write writes the tensors and the metadata (nil for none) to path: the whole
// file or, on any error, what was there before. The data is streamed, not
// copied. The order of tensors does not matter to the bytes written.
// Errors are *FormatError.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	if err := checkTensors(path, tensors, metadata); err != nil {
		return err
	}
	sorted := slices.Clone(tensors)
	for i := range sorted {
		sorted[i].DType = cmp.Or(sorted[i].DType, F32)
	}
	slices.SortFunc(sorted, func(a, b Tensor) int {
		return cmp.Or(-cmp.Compare(dtypes[a.DType].rank, dtypes[b.DType].rank), cmp.Compare(a.Name, b.Name))
	})
	text := appendHeader(nil, sorted, metadata)
	if len(text) > maxHeader {
		return writeError(path, "the names and the metadata take %d bytes, above the format's limit of %d", len(text), maxHeader)
	}
	err := atomicfile.Write(path, 0o644, func(w io.Writer) error {
		if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		var chunk []byte
		for _, t := range sorted {
			for part := range slices.Chunk(t.Data, writeChunk) {
				chunk = encode(t.DType, chunk[:0], part)
				if _, err := w.Write(chunk); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return systemError(opWrite, path, err)
	}
	return nil
}

func writeError(path, format string, args ...any) *FormatError {
	return &FormatError{fault.Detail{Op: opWrite, Path: path, Reason: fmt.Sprintf(format, args...)}}
}

func checkTensors(path string, tensors []Tensor, metadata map[string]string) error {
	seen := make(map[string]struct{}, len(tensors))
	for _, t := range tensors {
		if t.Name == metadataKey || !utf8.ValidString(t.Name) {
			return writeError(path, "%s cannot be the name of a tensor", quote(t.Name))
		}
		if _, twice := seen[t.Name]; twice {
			return writeError(path, "two tensors have the name %s", quote(t.Name))
		}
		seen[t.Name] = struct{}{}
		switch t.DType {
		case "", F32, F16, BF16:
		default:
			return writeError(path, "tensor %s: cannot write as %s", quote(t.Name), quote(string(t.DType)))
		}
		if n, ok := product(t.Shape); !ok || n != len(t.Data) {
			return writeError(path, "tensor %s: shape %d does not hold %d elements", quote(t.Name), t.Shape, len(t.Data))
		}
	}
	for key, value := range metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return writeError(path, "metadata %s is not UTF-8 text", quote(key))
		}
	}
	return nil
}

// appendHeader renders the JSON header as the reference library does, without
// white space between tokens, padded with spaces to a multiple of 8 bytes.
func appendHeader(b []byte, tensors []Tensor, metadata map[string]string) []byte {
	b = append(b, '{')
	if len(metadata) > 0 {
		b = append(b, `"`+metadataKey+`":{`...)
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, key), ':')
			b = appendString(b, metadata[key])
		}
		b = append(b, '}')
	}
	var at int64
	for _, t := range tensors {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendString(b, t.Name), `:{"dtype":"`...)
		b = append(append(b, t.DType...), `","shape":[`...)
		for i, d := range t.Shape {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(d), 10)
		}
		end := at + int64(len(t.Data))*int64(dtypes[t.DType].bits/8)
		b = append(b, `],"data_offsets":[`...)
		b = append(strconv.AppendInt(b, at, 10), ',')
		b = append(strconv.AppendInt(b, end, 10), ']', '}')
		at = end
	}
	b = append(b, '}')
	for len(b)%8 != 0 {
		b = append(b, ' ')
	}
	return b
}

// appendString renders a JSON string with the escapes of the reference
// library: encoding/json would escape more than the format's other writers.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		c := s[i]
		if at := strings.IndexByte("\"\\\b\f\n\r\t", c); at >= 0 {
			b = append(b, '\\', `"\bfnrt`[at])
		} else if c < ' ' {
			b = fmt.Appendf(b, `\u%04x`, c)
		} else {
			b = append(b, c)
		}
	}
	return append(b, '"')
}
