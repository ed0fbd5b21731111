package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	// prefixBytes is the little-endian length that precedes the header.
	prefixBytes = 8
	// maxHeader is the reference library's limit: a header of a million
	// tensors fits, and a hostile length cannot ask for more memory.
	maxHeader = 100_000_000

	metadataKey = "__metadata__"
)

// entry is one tensor of the header: its description and where its bytes lie
// in the data section.
type entry struct {
	Info
	name       string
	begin, end uint64
}

// header is the parsed and checked header of one file.
type header struct {
	entries  []entry // in order of their bytes in the file
	metadata map[string]string
	data     int // offset of the data section in the file
}

// parseHeader reads and checks the header of a whole file's bytes.
func parseHeader(path string, file []byte) (*header, error) {
	if len(file) < prefixBytes {
		return nil, readError(path, hintAgain, "the file has %d bytes, too few for a header length", len(file))
	}
	length := binary.LittleEndian.Uint64(file)
	rest := uint64(len(file) - prefixBytes)
	if length > maxHeader {
		return nil, readError(path, "this is not a safetensors file, or its first bytes are damaged",
			"the header length %d is above the limit of %d", length, maxHeader)
	}
	if length > rest {
		return nil, readError(path, hintAgain, "the file is cut short inside its header: %d bytes are missing", length-rest)
	}
	text := file[prefixBytes : prefixBytes+int(length)]
	if !utf8.Valid(text) {
		return nil, readError(path, hintAgain, "the header is not UTF-8 text")
	}
	if len(text) == 0 || text[0] != '{' {
		return nil, readError(path, hintAgain, "the header does not begin with {")
	}
	h := &header{data: prefixBytes + int(length)}
	if err := h.parse(text); err != nil {
		return nil, readError(path, hintAgain, "header: %v", err)
	}
	if err := h.layout(path, uint64(len(file)-h.data)); err != nil {
		return nil, err
	}
	return h, nil
}

// parse fills entries, in the order of the header, and metadata.
func (h *header) parse(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err := object(dec, func(name string) error {
		if name == metadataKey {
			return h.parseMetadata(dec)
		}
		e := entry{name: name}
		if err := e.parse(dec); err != nil {
			return fmt.Errorf("tensor %s: %w", quote(name), err)
		}
		h.entries = append(h.entries, e)
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more text after the closing brace")
	}
	return nil
}

func (h *header) parseMetadata(dec *json.Decoder) error {
	h.metadata = map[string]string{}
	return object(dec, func(key string) error {
		value, err := dec.Token()
		if err != nil {
			return broken(err)
		}
		s, ok := value.(string)
		if !ok {
			return fmt.Errorf("%s: %s is not a string", metadataKey, quote(key))
		}
		h.metadata[key] = s
		return nil
	})
}

// parse reads {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}
// and checks that the three agree. Further keys are passed over, as the
// reference library does.
func (e *entry) parse(dec *json.Decoder) error {
	var offsets []uint64
	seen := map[string]bool{}
	err := object(dec, func(key string) (err error) {
		seen[key] = true
		switch key {
		case "dtype":
			var token json.Token
			if token, err = dec.Token(); err != nil {
				return broken(err)
			}
			s, _ := token.(string)
			e.DType = DType(s)
			if _, ok := dtypes[e.DType]; !ok {
				return fmt.Errorf("unknown dtype %s", quote(fmt.Sprint(token)))
			}
		case "shape":
			var dims []uint64
			if dims, err = integers(dec); err != nil {
				return fmt.Errorf("shape: %w", err)
			}
			e.Shape = make([]int, len(dims))
			for i, d := range dims {
				if d > math.MaxInt {
					return fmt.Errorf("shape: %d is too large", d)
				}
				e.Shape[i] = int(d)
			}
		case "data_offsets":
			if offsets, err = integers(dec); err != nil {
				return fmt.Errorf("data_offsets: %w", err)
			}
		default:
			var skipped json.RawMessage
			if err = dec.Decode(&skipped); err != nil {
				return broken(err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[key] {
			return fmt.Errorf("%s is missing", key)
		}
	}
	return e.check(offsets)
}

func (e *entry) check(offsets []uint64) error {
	if len(offsets) != 2 || offsets[0] > offsets[1] {
		return fmt.Errorf("data_offsets %d are not a begin and an end", offsets)
	}
	e.begin, e.end = offsets[0], offsets[1]
	elements, ok := product(e.Shape)
	bits := dtypes[e.DType].bits
	if !ok || uint64(elements) > math.MaxInt64/bits {
		return fmt.Errorf("shape %d overflows", e.Shape)
	}
	total := uint64(elements) * bits
	if total%8 != 0 {
		return fmt.Errorf("shape %d of %s does not fill whole bytes", e.Shape, e.DType)
	}
	e.Bytes = int64(total / 8)
	if size := e.end - e.begin; size != uint64(e.Bytes) {
		return fmt.Errorf("data_offsets span %d bytes, but shape %d of %s takes %d", size, e.Shape, e.DType, e.Bytes)
	}
	return nil
}

// layout puts the entries in the order of their bytes and checks that they
// fill the data section of the given size exactly.
func (h *header) layout(path string, size uint64) error {
	slices.SortStableFunc(h.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	var at uint64
	for _, e := range h.entries {
		switch {
		case e.begin < at:
			return readError(path, hintAgain, "tensor %s overlaps the one before it by %d bytes", quote(e.name), at-e.begin)
		case e.begin > at:
			return readError(path, hintAgain, "a hole of %d bytes before tensor %s", e.begin-at, quote(e.name))
		}
		at = e.end
	}
	switch {
	case at > size:
		return readError(path, hintAgain, "the file is cut short: %d of %d bytes of tensors are missing", at-size, at)
	case at < size:
		return readError(path, hintAgain, "%d bytes after the last tensor belong to none", size-at)
	}
	return nil
}

// object reads one JSON object and calls field for each key, with the decoder
// standing at its value. A key that comes twice is an error.
func object(dec *json.Decoder, field func(key string) error) error {
	if err := delimiter(dec, '{', "an object"); err != nil {
		return err
	}
	seen := map[string]struct{}{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return broken(err)
		}
		key, _ := token.(string) // the decoder accepts nothing else as a key
		if _, twice := seen[key]; twice {
			return fmt.Errorf("the name %s stands twice", quote(key))
		}
		seen[key] = struct{}{}
		if err := field(key); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return broken(err)
	}
	return nil
}

// integers reads a JSON array of whole numbers from zero up.
func integers(dec *json.Decoder) ([]uint64, error) {
	if err := delimiter(dec, '[', "a list"); err != nil {
		return nil, err
	}
	list := []uint64{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, broken(err)
		}
		number, _ := token.(json.Number)
		n, err := strconv.ParseUint(number.String(), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s is not a whole number from 0 up", quote(fmt.Sprint(token)))
		}
		list = append(list, n)
	}
	if _, err := dec.Token(); err != nil {
		return nil, broken(err)
	}
	return list, nil
}

func delimiter(dec *json.Decoder, want json.Delim, what string) error {
	token, err := dec.Token()
	if err != nil {
		return broken(err)
	}
	if token != want {
		return fmt.Errorf("%s where %s is expected", quote(fmt.Sprint(token)), what)
	}
	return nil
}

// broken says that the text is not JSON; a text that just ends is told apart,
// since the decoder's bare EOF reads badly in a message.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("not JSON: it ends in the middle")
	}
	return fmt.Errorf("not JSON: %w", err)
}
