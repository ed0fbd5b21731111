package canonical_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs/canonical"
)

func vectors(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	require.NoError(t, dec.Decode(into))
}

func TestDictVectors(t *testing.T) {
	var cases []struct {
		Dict    map[string]any
		Payload string
		SHA256  string
	}
	vectors(t, "dict_hash.json", &cases)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		got, err := canonical.JSON(c.Dict)
		require.NoError(t, err)
		assert.Equal(t, c.Payload, string(got))
		hash, err := canonical.Hash(c.Dict)
		require.NoError(t, err)
		assert.Equal(t, c.SHA256, hash)
	}
}

func TestChainVectors(t *testing.T) {
	var cases []struct {
		Files     map[string]string
		ChainHash string `json:"chain_hash"`
	}
	vectors(t, "chain_hash.json", &cases)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		assert.Equal(t, c.ChainHash, canonical.ChainHash(c.Files))
	}
}

func TestFloat(t *testing.T) {
	for want, f := range map[string]float64{
		"0.0": 0, "-0.0": math.Copysign(0, -1), "1.0": 1, "0.1": 0.1,
		"0.0001": 1e-4, "9.999e-05": 9.999e-5, "1e-05": 1e-5, "5e-324": 5e-324,
		"9999999999999998.0": 9999999999999998, "1e+16": 1e16, "-1.5e+300": -1.5e300,
		"1.7976931348623157e+308": math.MaxFloat64, "nan": math.NaN(), "-inf": math.Inf(-1), "inf": math.Inf(1),
	} {
		assert.Equal(t, want, canonical.Float(f))
	}
}

func TestJSONValues(t *testing.T) {
	huge, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	type status string
	seven := 7
	cases := []struct {
		name string
		in   any
		want string
	}{
		{"nil", nil, `null`},
		{"bool", true, `true`},
		{"small ints", []any{int8(-1), uint16(2), int64(math.MinInt64), uint64(math.MaxUint64)}, `[-1,2,-9223372036854775808,18446744073709551615]`},
		{"huge int", []any{huge, json.Number("99999999999999999999"), json.Number("-0")}, `[-123456789012345678901234567890,99999999999999999999,0]`},
		{"number with point or exponent", []any{json.Number("1e3"), json.Number("1.50"), json.Number("2E-7")}, `[1000.0,1.5,2e-07]`},
		{"int and float stay apart", []any{1, 1.0, float32(0.5)}, `[1,1.0,0.5]`},
		{"keys by code point", map[string]any{"\U0001F600": 1, "\uFFFD": 2, "a": 3, "Z": 4, "": 5}, `{"":5,"Z":4,"a":3,"\ufffd":2,"\ud83d\ude00":1}`},
		{"controls", "\x00\x1f\x7f\u0080\b\f\r", `"\u0000\u001f\u007f\u0080\b\f\r"`},
		{"empty containers", map[string]any{"a": []any{}, "o": map[string]any{}}, `{"a":[],"o":{}}`},
		{"typed values", map[string]any{"s": status("ok"), "p": &seven, "n": (*int)(nil), "m": map[string]string{"b": "1", "a": "2"}, "f": [2]float64{1, 2}},
			`{"f":[1.0,2.0],"m":{"a":"2","b":"1"},"n":null,"p":7,"s":"ok"}`},
		{"object", canonical.Object{{Key: "z", Value: 1}, {Key: "a", Value: canonical.Object{}}}, `{"a":{},"z":1}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := canonical.JSON(c.in)
			require.NoError(t, err)
			assert.Equal(t, c.want, string(got))
		})
	}
}

func TestJSONRefuses(t *testing.T) {
	loop := map[string]any{}
	loop["self"] = loop
	cases := []struct {
		name string
		in   any
		says string
	}{
		{"nan", map[string]any{"x": []any{math.NaN()}}, `"x": [0]: nan has no JSON form`},
		{"inf", math.Inf(-1), "-inf has no JSON form"},
		{"number out of range", json.Number("1e999"), "out of range"},
		{"not a number", json.Number("0x10"), "not a JSON number"},
		{"leading zero", json.Number("01"), "not a JSON number"},
		{"bare point", json.Number("1."), "not a JSON number"},
		{"bare exponent", json.Number("1e+"), "not a JSON number"},
		{"nothing", json.Number(""), "not a JSON number"},
		{"broken text", "a\xff", "not valid UTF-8"},
		{"loop", loop, "nested more than"},
		{"function", func() {}, "has no JSON form"},
		{"bytes", []byte("x"), "has no JSON form"},
		{"keys that are not strings", map[int]string{1: "a"}, "keys of type int"},
		{"repeated key", canonical.Object{{Key: "a", Value: 1}, {Key: "a", Value: 2}}, "appears twice"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := canonical.JSON(c.in)
			require.ErrorContains(t, err, c.says)
		})
	}
}

type sample struct {
	Name    string             `json:"name"`
	Note    string             `json:"note" empty:"null"`
	Rate    float64            `json:"rate"`
	Skipped string             `json:"skipped,omitempty"`
	Zero    sub                `json:"zero,omitzero"`
	Metrics map[string]float64 `json:"metrics"`
	List    []int              `json:"list"`
	Bad     map[string]float64 `json:"bad" nonfinite:"null"`
	Plain   *bool
	Hidden  int `json:"-"`
	private int
}

type sub struct {
	N int `json:"n"`
}

// A pointer is no level of its own.
func TestPointersAreNotIndented(t *testing.T) {
	type inner struct {
		A int `json:"a"`
	}
	type outer struct {
		P *inner   `json:"p"`
		L []*inner `json:"l"`
		N any      `json:"n"`
	}
	in := inner{A: 1}
	v := outer{P: &in, L: []*inner{&in}, N: &in}
	want, err := canonical.Indent(v)
	require.NoError(t, err)
	assert.Equal(t, "{\n  \"p\": {\n    \"a\": 1\n  },\n  \"l\": [\n    {\n      \"a\": 1\n    }\n  ],\n  \"n\": {\n    \"a\": 1\n  }\n}\n", string(want))
	got, err := canonical.Indent(&v)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}

func TestIndentKeepsKeyOrder(t *testing.T) {
	in := sample{Name: "é—<&>\u2028\x7f\xff", Rate: 1, Metrics: map[string]float64{"b": 2e-5, "a": 1}, List: []int{}, Bad: map[string]float64{"x": math.NaN(), "y": 1}, Hidden: 1, private: 1}
	got, err := canonical.Indent(in)
	require.NoError(t, err)
	assert.Equal(t, "{\n  \"name\": \"é—<&>\u2028\x7f\uFFFD\",\n  \"note\": null,\n  \"rate\": 1.0,\n  \"metrics\": {\n    \"a\": 1.0,\n    \"b\": 2e-05\n  },\n  \"list\": [],\n  \"bad\": {\n    \"x\": null,\n    \"y\": 1.0\n  },\n  \"Plain\": null\n}\n", string(got))
	assert.True(t, json.Valid(got))

	in.Rate = math.NaN()
	_, err = canonical.Indent(in)
	require.ErrorContains(t, err, "nan has no JSON form")
}

func TestLine(t *testing.T) {
	in := canonical.Object{{Key: "b", Value: []any{1, "ü"}}, {Key: "a", Value: canonical.Object{{Key: "y", Value: 1}, {Key: "x", Value: 2.0}}}}
	got, err := canonical.Line(in)
	require.NoError(t, err)
	assert.Equal(t, `{"b": [1, "ü"], "a": {"y": 1, "x": 2.0}}`, string(got))
	got, err = canonical.SortedLine(in)
	require.NoError(t, err)
	assert.Equal(t, `{"a": {"x": 2.0, "y": 1}, "b": [1, "ü"]}`, string(got))
}

func TestFileHash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, []byte("a=1|b=2"), 0o600))
	got, err := canonical.FileHash(path)
	require.NoError(t, err)
	assert.Equal(t, "95a180ca2b5d16039cd0a847cf9eb05eeb8bbb0b99a26d56c2f8df9dfa22b001", got)
	_, err = canonical.FileHash(path + "x")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// FuzzJSON checks that the encoding of any decoded document is JSON again,
// means the same, and is a fixed point.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"b":1,"a":[1.0,-0.0,1e22,null,true]}`, `"\u2028\ud83d\ude00\u007f"`, `-0`, `1e-7`, `{"":{"":[]}}`, `123456789012345678901234567890`} {
		f.Add([]byte(s))
	}
	decode := func(data []byte) (any, error) {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		var v any
		err := dec.Decode(&v)
		return v, err
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := decode(data)
		if err != nil {
			return // it is no JSON
		}
		once, err := canonical.JSON(v)
		if err != nil {
			tooDeep := strings.Contains(err.Error(), "nested more than")
			require.True(t, tooDeep || errors.Is(err, strconv.ErrRange), "%v", err)
			return
		}
		for _, c := range once {
			require.True(t, c >= 0x20 && c < 0x7f, "byte %#x in %q", c, once)
		}
		back, err := decode(once)
		require.NoError(t, err)
		twice, err := canonical.JSON(back)
		require.NoError(t, err)
		require.Equal(t, string(once), string(twice))

		indented, err := canonical.Indent(v)
		require.NoError(t, err)
		back, err = decode(indented)
		require.NoError(t, err)
		again, err := canonical.JSON(back)
		require.NoError(t, err)
		require.Equal(t, string(once), string(again))
	})
}
