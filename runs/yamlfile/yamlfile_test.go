package yamlfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/runs/yamlfile"
)

func TestDecode(t *testing.T) {
	for text, want := range map[string]any{
		"": nil, "# nothing\n": nil, "5": 5, "a: [1, {b: c}]\n": map[string]any{"a": []any{1, map[string]any{"b": "c"}}},
		"a: &x {b: 1}\nc: *x\n": map[string]any{"a": map[string]any{"b": 1}, "c": map[string]any{"b": 1}},
	} {
		var got any
		require.NoError(t, yamlfile.Decode([]byte(text), &got), "%q", text)
		assert.Equal(t, want, got, "%q", text)
	}
}

// TestMany: what a decoder of YAML takes a time or a memory for that grows with
// the square of its length is refused.
func TestMany(t *testing.T) {
	var different strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&different, "k%d: 1\n", i)
	}
	for text, want := range map[string]string{
		strings.Repeat("a: 1\n", 5_000): `yaml: line 2: the key "a" is on line 1 already`,
		different.String():              "yaml: line 1: more than 5000 keys",
		"x: {a: 1, a: 2}":               `yaml: line 1: the key "a" is on line 1 already`,
		"a: [":                          "yaml: line 1: did not find expected node content",
		"a: &a [*a]\n":                  "yaml: anchor 'a' value contains itself",
	} {
		var got any
		assert.EqualError(t, yamlfile.Decode([]byte(text), &got), want)
	}
}
