package safetensors_test

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/engine/native/safetensors"
	"github.com/verifily/verifily-tui/core/fault"
)

// build makes a file's bytes from a header and a number of data bytes, which
// count up from 0.
func build(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range data {
		b = append(b, byte(i))
	}
	return b
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func open(t *testing.T, path string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, f.Close()) })
	return f
}

// refuse asserts that the content is refused with a reason that contains want.
func refuse(t *testing.T, content []byte, want string) {
	t.Helper()
	path := write(t, content)
	_, err := safetensors.Open(path)
	var broken *safetensors.FormatError
	require.ErrorAs(t, err, &broken)
	assert.Equal(t, path, broken.Path)
	assert.Contains(t, broken.Reason, want)
	assert.NotEmpty(t, broken.Hint)
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	nan := math.Float32frombits(0x7fc12345)
	weights := []float32{0, float32(math.Copysign(0, -1)), 1.5, -math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Inf(-1)), nan, 3}
	big := make([]float32, 40_000) // more than one chunk of the writer
	for i := range big {
		big[i] = float32(i) * 0.25
	}
	tensors := []safetensors.Tensor{
		{Name: "z.weight", Shape: []int{2, 4}, Data: weights},
		{Name: "half", Shape: []int{3}, Data: []float32{1, -2, 65504}, DType: safetensors.F16},
		{Name: "brain", Shape: []int{1, 3}, Data: []float32{1, -2, 3}, DType: safetensors.BF16},
		{Name: "a.scalar", Shape: nil, Data: []float32{7}},
		{Name: "big", Shape: []int{200, 200}, Data: big},
		{Name: "empty", Shape: []int{0, 5}, Data: nil},
	}
	metadata := map[string]string{"format": "pt", "quote\"\\": "line\nbreak\x01 é\u2028"}
	require.NoError(t, safetensors.Write(path, tensors, metadata))

	f := open(t, path)
	assert.Equal(t, []string{"a.scalar", "big", "empty", "z.weight", "brain", "half"}, f.Names())
	assert.Equal(t, metadata, f.Metadata())
	for _, want := range tensors {
		info, ok := f.Info(want.Name)
		require.True(t, ok)
		assert.Equal(t, len(want.Data), info.Len(), want.Name)
		assert.True(t, slices.Equal(want.Shape, info.Shape), want.Name)

		got := make([]float32, len(want.Data))
		require.NoError(t, f.ReadF32(want.Name, got))
		assert.Equal(t, bits(want.Data), bits(got), want.Name)
		got, err := f.F32(want.Name)
		require.NoError(t, err)
		assert.Equal(t, bits(want.Data), bits(got), want.Name)
	}
}

// bits compares numbers by their bits, so that NaN and -0 count.
func bits(list []float32) []uint32 {
	out := make([]uint32, len(list))
	for i, v := range list {
		out[i] = math.Float32bits(v)
	}
	return out
}

// The expected bytes follow the reference library: metadata first, tensors by
// dtype (widest first) and then name, no white space, padded to 8 with spaces.
func TestCanonicalBytes(t *testing.T) {
	dir := t.TempDir()
	tensors := []safetensors.Tensor{
		{Name: "h", Shape: []int{1}, Data: []float32{1}, DType: safetensors.F16},
		{Name: "b", Shape: []int{2}, Data: []float32{2, 3}},
		{Name: "bf", Shape: []int{1}, Data: []float32{1}, DType: safetensors.BF16},
		{Name: "a", Shape: []int{1, 1}, Data: []float32{1}},
	}
	header := `{"__metadata__":{"format":"pt","x":"y"},` +
		`"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},` +
		`"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},` +
		`"bf":{"dtype":"BF16","shape":[1],"data_offsets":[12,14]},` +
		`"h":{"dtype":"F16","shape":[1],"data_offsets":[14,16]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := append(build(header, 0), 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40, 0x80, 0x3f, 0, 0x3c)

	first := filepath.Join(dir, "first")
	require.NoError(t, safetensors.Write(first, tensors, map[string]string{"x": "y", "format": "pt"}))
	got, err := os.ReadFile(first)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))

	slices.Reverse(tensors)
	second := filepath.Join(dir, "second")
	require.NoError(t, safetensors.Write(second, tensors, map[string]string{"format": "pt", "x": "y"}))
	again, err := os.ReadFile(second)
	require.NoError(t, err)
	assert.Equal(t, got, again)
}

func TestEveryPrefixIsRefused(t *testing.T) {
	whole := build(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}`, 16)
	f := open(t, write(t, whole))
	assert.Equal(t, []string{"a", "b"}, f.Names())
	path := filepath.Join(t.TempDir(), "cut")
	for n := range whole {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		_, err := safetensors.Open(path)
		var broken *safetensors.FormatError
		require.ErrorAs(t, err, &broken, "prefix of %d bytes", n)
	}
	refuse(t, whole[:len(whole)-5], "5 of 16 bytes of tensors are missing")
	refuse(t, whole[:20], fmt.Sprintf("%d bytes are missing", len(whole)-16-20))
	refuse(t, append(whole, 1, 2, 3), "3 bytes after the last tensor")
}

func TestBrokenHeaders(t *testing.T) {
	const ok = `"dtype":"F32","shape":[1],"data_offsets":[0,4]`
	tests := []struct {
		name, header string
		data         int
		want         string
	}{
		{"not JSON", `{"a":{` + ok + `]`, 4, "not JSON"},
		{"ends early", `{"a":`, 4, "ends in the middle"},
		{"not an object", `[1]`, 4, "does not begin with {"},
		{"empty", ``, 4, "does not begin with {"},
		{"leading space", ` {}`, 0, "does not begin with {"},
		{"text after", `{"a":{` + ok + `}} {}`, 4, "after the closing brace"},
		{"not UTF-8", "{\"\xff\":{" + ok + "}}", 4, "not UTF-8"},
		{"name twice", `{"a":{` + ok + `},"a":{` + ok + `}}`, 4, `"a" stands twice`},
		{"key twice", `{"a":{` + ok + `,"dtype":"F32"}}`, 4, `"dtype" stands twice`},
		{"tensor not an object", `{"a":5}`, 0, `"5" where an object is expected`},
		{"unknown dtype", `{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}`, 4, `unknown dtype "F31"`},
		{"dtype not a string", `{"a":{"dtype":5,"shape":[1],"data_offsets":[0,4]}}`, 4, `unknown dtype "5"`},
		{"no dtype", `{"a":{"shape":[1],"data_offsets":[0,4]}}`, 4, "dtype is missing"},
		{"no shape", `{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4, "shape is missing"},
		{"no offsets", `{"a":{"dtype":"F32","shape":[1]}}`, 4, "data_offsets is missing"},
		{"negative shape", `{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4, `"-1" is not a whole number`},
		{"fractional shape", `{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, 4, `"1.5" is not a whole number`},
		{"shape of strings", `{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}`, 4, "is not a whole number"},
		{"shape not a list", `{"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}`, 4, "a list is expected"},
		{"huge dimension", `{"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}}`, 4, "too large"},
		{"beyond 64 bits", `{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}}`, 4, "is not a whole number"},
		{"overflowing shape", `{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`, 4, "overflows"},
		{"overflowing bytes", `{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]}}`, 4, "overflows"},
		{"half a byte", `{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}`, 1, "whole bytes"},
		{"one offset", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}`, 4, "are not a begin and an end"},
		{"offsets reversed", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4, "are not a begin and an end"},
		{"wrong size", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4, "span 4 bytes, but shape [2] of F32 takes 8"},
		{"overlap", `{"a":{` + ok + `},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, 6, `"b" overlaps the one before it by 2`},
		{"hole", `{"a":{` + ok + `},"b":{"dtype":"F32","shape":[1],"data_offsets":[6,10]}}`, 10, `a hole of 2 bytes before tensor "b"`},
		{"hole at the start", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8, "a hole of 4 bytes"},
		{"metadata value", `{"__metadata__":{"a":1}}`, 0, `"a" is not a string`},
		{"metadata not an object", `{"__metadata__":"x"}`, 0, "an object is expected"},
		{"offsets far past the end", `{"a":{"dtype":"U8","shape":[9223372036854775000],"data_offsets":[0,9223372036854775000]}}`, 4, "overflows"},
		{"long hostile name", `{"` + strings.Repeat("x", 500) + `\u001b[2J":5}`, 0, `xxx"... `},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			refuse(t, build(test.header, test.data), strings.TrimSpace(test.want))
		})
	}
}

func TestAbsurdHeaderLength(t *testing.T) {
	for _, length := range []uint64{100_000_001, 1 << 40, math.MaxInt64, math.MaxUint64} {
		refuse(t, binary.LittleEndian.AppendUint64(nil, length), "above the limit")
	}
	refuse(t, binary.LittleEndian.AppendUint64(nil, 100_000_000), "100000000 bytes are missing")
}

func TestOpenWhatIsNotAFile(t *testing.T) {
	dir := t.TempDir()
	_, err := safetensors.Open(filepath.Join(dir, "none"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	var broken *safetensors.FormatError
	require.ErrorAs(t, err, &broken)
	assert.Equal(t, "read weights: "+filepath.Join(dir, "none")+": no such file or directory", err.Error())

	_, err = safetensors.Open(dir)
	require.ErrorAs(t, err, &broken)
	assert.Equal(t, "not a regular file", broken.Reason)

	var typed fault.TrainError
	assert.ErrorAs(t, err, &typed)
}

func TestUnalignedAndForeignFiles(t *testing.T) {
	// Out of order in the header, an odd byte first, unknown keys, no padding,
	// a zero-sized tensor between the others: all of it is allowed.
	content := build(`{"f":{"data_offsets":[1,5],"dtype":"F32","shape":[1],"note":{"x":[1]}},`+
		`"d":{"dtype":"F64","shape":[1],"data_offsets":[5,13]},`+
		`"none":{"dtype":"I64","shape":[3,0],"data_offsets":[1,1]},`+
		`"byte":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)
	content = binary.LittleEndian.AppendUint32(content, math.Float32bits(1.25))
	content = binary.LittleEndian.AppendUint64(content, math.Float64bits(0.1))
	f := open(t, write(t, content))
	assert.Equal(t, []string{"byte", "none", "f", "d"}, f.Names())
	assert.Nil(t, f.Metadata())
	info, ok := f.Info("f")
	require.True(t, ok)
	assert.Equal(t, safetensors.Info{DType: safetensors.F32, Shape: []int{1}, Bytes: 4}, info)

	got, err := f.F32("f")
	require.NoError(t, err)
	assert.Equal(t, []float32{1.25}, got)
	got, err = f.F32("d")
	require.NoError(t, err)
	assert.Equal(t, []float32{0.1}, got)
}

func TestReadErrors(t *testing.T) {
	path := write(t, build(`{"i":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"f":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8))
	f := open(t, path)
	for want, call := range map[string]func() error{
		`there is no tensor "x\x1b"`:       func() error { _, err := f.F32("x\x1b"); return err },
		`there is no tensor "y"`:           func() error { return f.ReadF32("y", nil) },
		`tensor "i" is I32`:                func() error { _, err := f.F32("i"); return err },
		`tensor "f" has 1 elements (shape`: func() error { return f.ReadF32("f", make([]float32, 2)) },
	} {
		var broken *safetensors.FormatError
		require.ErrorAs(t, call(), &broken)
		assert.Contains(t, broken.Reason, want)
		assert.Equal(t, path, broken.Path)
		assert.NotEmpty(t, broken.Hint)
	}
	_, ok := f.Info("x")
	assert.False(t, ok)

	info, _ := f.Info("f")
	info.Shape[0] = 99
	info, _ = f.Info("f")
	assert.Equal(t, []int{1}, info.Shape, "a caller cannot change the file's own shape")

	require.NoError(t, f.Close())
	_, err := f.F32("f")
	assert.ErrorIs(t, err, fs.ErrClosed)
}

func TestWriteErrors(t *testing.T) {
	one := []float32{1}
	tests := []struct {
		name     string
		tensors  []safetensors.Tensor
		metadata map[string]string
		want     string
	}{
		{"same name", []safetensors.Tensor{{Name: "a", Shape: []int{1}, Data: one}, {Name: "a", Shape: []int{1}, Data: one}}, nil, "two tensors"},
		{"reserved name", []safetensors.Tensor{{Name: "__metadata__", Shape: []int{1}, Data: one}}, nil, "cannot be the name"},
		{"name not text", []safetensors.Tensor{{Name: "\xff", Shape: []int{1}, Data: one}}, nil, "cannot be the name"},
		{"shape", []safetensors.Tensor{{Name: "a", Shape: []int{2}, Data: one}}, nil, "does not hold 1 elements"},
		{"negative shape", []safetensors.Tensor{{Name: "a", Shape: []int{-1, -1}, Data: one}}, nil, "does not hold"},
		{"dtype", []safetensors.Tensor{{Name: "a", Shape: []int{1}, Data: one, DType: "I8"}}, nil, "cannot write as"},
		{"metadata", nil, map[string]string{"a": "\xff"}, "not UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, []byte("before"))
			err := safetensors.Write(path, test.tensors, test.metadata)
			var broken *safetensors.FormatError
			require.ErrorAs(t, err, &broken)
			assert.Contains(t, broken.Reason, test.want)
			kept, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, "before", string(kept))
		})
	}
	path := filepath.Join(t.TempDir(), "no such folder", "model")
	err := safetensors.Write(path, nil, nil)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	var broken *safetensors.FormatError
	require.ErrorAs(t, err, &broken)
	assert.Equal(t, path, broken.Path)
}

// A reader keeps the weights it opened while a new file takes their place.
func TestWriteOverAnOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	tensor := func(v float32) []safetensors.Tensor {
		return []safetensors.Tensor{{Name: "a", Shape: []int{1}, Data: []float32{v}}}
	}
	require.NoError(t, safetensors.Write(path, tensor(1), nil))
	old, err := open(t, path).F32("a")
	require.NoError(t, err)
	require.NoError(t, safetensors.Write(path, tensor(2), nil))
	assert.Equal(t, []float32{1}, old)
	fresh, err := open(t, path).F32("a")
	require.NoError(t, err)
	assert.Equal(t, []float32{2}, fresh)
}

func FuzzOpen(f *testing.F) {
	f.Add(build(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Add(build(`{"__metadata__":{"a":"b"},"a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]},"b":{"dtype":"F64","shape":[],"data_offsets":[4,12]}}`, 12))
	f.Add(build(`{"a":{"dtype":"F16","shape":[0],"data_offsets":[0,0]}}`, 0))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"))
	path := filepath.Join(f.TempDir(), "fuzz")
	f.Fuzz(func(t *testing.T, content []byte) {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		file, err := safetensors.Open(path)
		if err != nil {
			var broken *safetensors.FormatError
			require.ErrorAs(t, err, &broken)
			return
		}
		defer file.Close()
		var total int64
		for _, name := range file.Names() {
			info, ok := file.Info(name)
			require.True(t, ok)
			total += info.Bytes
			if values, err := file.F32(name); err == nil {
				require.Len(t, values, info.Len())
			}
		}
		require.LessOrEqual(t, total, int64(len(content)))
	})
}

func BenchmarkReadF32(b *testing.B) {
	values := make([]float32, 4<<20)
	for _, dtype := range []safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16} {
		b.Run(string(dtype), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "model")
			require.NoError(b, safetensors.Write(path, []safetensors.Tensor{{Name: "a", Shape: []int{len(values)}, Data: values, DType: dtype}}, nil))
			file, err := safetensors.Open(path)
			require.NoError(b, err)
			defer file.Close()
			b.SetBytes(int64(4 * len(values)))
			for b.Loop() {
				require.NoError(b, file.ReadF32("a", values))
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	values := make([]float32, 4<<20)
	path := filepath.Join(b.TempDir(), "model")
	b.SetBytes(int64(4 * len(values)))
	for b.Loop() {
		require.NoError(b, safetensors.Write(path, []safetensors.Tensor{{Name: "a", Shape: []int{len(values)}, Data: values}}, nil))
	}
}
