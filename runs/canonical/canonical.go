// Package canonical encodes values as JSON whose bytes are fixed, and hashes
// them.
//
// The same value always gives the same bytes, whatever the order of a Go map:
// JSON is the compact, sorted, ASCII-only form that configuration and
// environment hashes are taken of; Indent and Line keep the order of keys and
// write plain UTF-8, for files that people read.
//
// In every form a float64 is the shortest decimal that reads back, always with
// a point or an exponent (see Float), and an int never has one, so the two
// stay apart. NaN and the infinities are errors: JSON has no such numbers.
//
// Values are nil, bool, strings, every integer type, *big.Int, float32,
// float64, json.Number, slices, arrays, maps with string keys, pointers to any
// of these, Object, and structs. Structs follow their json tags (name,
// omitempty, omitzero, "-"); the tag `empty:"null"` writes a zero value as
// null, `nonfinite:"null"` every NaN or infinity below the field. Maps are written with sorted keys in every form. Other types are
// errors; methods such as MarshalJSON are not called.
package canonical

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/runs/regular"
)

// Object is a JSON object with its keys in a chosen order. A key that appears
// twice is an error.
type Object []Member

// Member is one key of an Object.
type Member struct {
	Key   string
	Value any
}

// JSON returns the form that hashes are taken of: keys sorted by code point,
// separators "," and ":", everything outside 0x20 to 0x7e escaped with
// lower-case hex (surrogate pairs above U+FFFF). A string that is not valid
// UTF-8 is an error, since two such strings could share a hash.
func JSON(v any) ([]byte, error) {
	return encode(v, form{sorted: true, ascii: true, comma: ",", colon: ":"})
}

// Indent returns JSON indented by two spaces, keys in their own order, UTF-8
// not escaped, with a newline at the end. Bytes that are not UTF-8 become
// U+FFFD.
func Indent(v any) ([]byte, error) {
	out, err := encode(v, form{indent: true, comma: ",", colon: ": "})
	if err != nil {
		return nil, err
	}
	return append(out, '\n'), nil
}

// Line returns JSON on one line with separators ", " and ": ", keys in their
// own order, UTF-8 not escaped, without a newline at the end. Bytes that are
// not UTF-8 become U+FFFD.
func Line(v any) ([]byte, error) {
	return encode(v, form{comma: ", ", colon: ": "})
}

// SortedLine is Line with keys sorted by code point at every depth.
func SortedLine(v any) ([]byte, error) {
	return encode(v, form{sorted: true, comma: ", ", colon: ": "})
}

// Hash returns "sha256:" and the lower-case hex SHA-256 of JSON(v).
func Hash(v any) (string, error) {
	data, err := JSON(v)
	if err != nil {
		return "", err
	}
	return "sha256:" + hexSum(data), nil
}

// ChainHash returns the lower-case hex SHA-256 of the "name=hex" pairs joined
// by "|", names sorted by code point. Without files it is the hash of nothing.
func ChainHash(files map[string]string) string {
	pairs := make([]string, 0, len(files))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		pairs = append(pairs, name+"="+files[name])
	}
	return hexSum([]byte(strings.Join(pairs, "|")))
}

// FileHash returns the lower-case hex SHA-256 of a regular file's bytes. It
// reads in pieces, so the file may be larger than memory.
func FileHash(path string) (string, error) {
	f, err := regular.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash %s: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Float returns the shortest decimal that reads back as f, always with a point
// or an exponent: "1.0", "0.0002", "1e-05", "1e+16", "-0.0". Fixed notation is
// used from 1e-4 up to, not including, 1e16. NaN and the infinities are "nan",
// "inf" and "-inf", which are not JSON.
func Float(f float64) string { return string(AppendFloat(nil, f)) }

// AppendFloat appends Float(f) to dst.
func AppendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "nan"...)
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	for _, c := range dst[start:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
