package metrics_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/verifily/verifily-tui/core/metrics"
)

func TestTextMetricsMatchTheVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/text_metrics.json")
	require.NoError(t, err)
	var vectors []struct {
		Prediction, Reference string
		ExactMatch            float64 `json:"exact_match"`
		F1                    float64
	}
	require.NoError(t, json.Unmarshal(data, &vectors))
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		assert.Equal(t, v.ExactMatch, metrics.ExactMatch(v.Prediction, v.Reference), "%q, %q", v.Prediction, v.Reference)
		assert.Equal(t, v.F1, metrics.TokenF1(v.Prediction, v.Reference), "%q, %q", v.Prediction, v.Reference)
	}
}

func TestNormalize(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "",
		" \t\r\n\v\f":              "",
		"  The   CAT.\n":           "the cat.",
		"a\u00a0b\u2003c\u2028d":   "a b c d",
		"a\x1cb\x1fc\u0085d":       "a b c d",
		"zero\u200bwidth":          "zero\u200bwidth",
		"ÉCOLE Straße":             "école straße",
		"ΟΔΟΣ ΣΟΦΟΣ":               "οδος σοφος",
		"İstanbul":                 "i\u0307stanbul",
		"\U00010400 \u1e9e \u2126": "\U00010428 ß ω",
	} {
		assert.Equal(t, want, metrics.Normalize(text), "%q", text)
	}
}

// TestSigmaLooksAtItsWordAlone: neither the length of the text before it nor
// that of its word decide what a capital sigma becomes.
func TestSigmaLooksAtItsWordAlone(t *testing.T) {
	for n := range 300 {
		assert.Equal(t, strings.Repeat("α ", n)+"οδος σ", metrics.Normalize(strings.Repeat("α ", n)+"ΟΔΟΣ Σ"), n)
		assert.Equal(t, strings.Repeat("α", n)+"σα", metrics.Normalize(strings.Repeat("α", n)+"ΣΑ"), n)
		assert.Equal(t, strings.Repeat("α", n+1)+"ς", metrics.Normalize(strings.Repeat("α", n+1)+"Σ"), n)
	}
}

func TestTokenF1CountsRepetition(t *testing.T) {
	// 2 shared of 3 predicted and 4 expected: P 2/3, R 1/2.
	assert.InDelta(t, 4.0/7, metrics.TokenF1("a a b", "A a c d"), 1e-15)
	assert.Equal(t, 1.0, metrics.TokenF1(" \n", ""))
}

func TestRouge(t *testing.T) {
	cases := []struct {
		prediction, reference string
		rouge1, rougeL        float64
	}{
		{"the cat sat", "the cat sat", 1, 1},
		{"", "", 0, 0},
		{"!", "?", 0, 0},
		{"a", "", 0, 0},
		{"The cat.", "the, cat", 1, 1},
		{"a b c", "c b a", 1, 1.0 / 3},
		// The example of Lin 2004: subsequences of 3 and 2 of 4 words.
		{"police kill the gunman", "police killed the gunman", 0.75, 0.75},
		{"the gunman kill police", "police killed the gunman", 0.75, 0.5},
		{"snake_case", "snake case", 1, 1},
		{"déjà vu", "DÉJÀ VU", 1, 1},
	}
	for _, c := range cases {
		assert.InDelta(t, c.rouge1, metrics.Rouge1(c.prediction, c.reference), 1e-15, "%q, %q", c.prediction, c.reference)
		assert.InDelta(t, c.rougeL, metrics.RougeL(c.prediction, c.reference), 1e-15, "%q, %q", c.prediction, c.reference)
	}
}

// slowLongestCommon is the textbook table.
func slowLongestCommon(a, b []string) int {
	table := make([][]int, len(a)+1)
	table[0] = make([]int, len(b)+1)
	for i, x := range a {
		table[i+1] = make([]int, len(b)+1)
		for j, y := range b {
			if x == y {
				table[i+1][j+1] = table[i][j] + 1
			} else {
				table[i+1][j+1] = max(table[i][j+1], table[i+1][j])
			}
		}
	}
	return table[len(a)][len(b)]
}

func TestRougeLMatchesTheTextbookTable(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(word, 1, 200).Draw(t, "a")
		b := rapid.SliceOfN(word, 1, 200).Draw(t, "b")
		common := slowLongestCommon(a, b)
		want := 2 * float64(common) / float64(len(a)+len(b))
		require.InDelta(t, want, metrics.RougeL(strings.Join(a, " "), strings.Join(b, " ")), 1e-12)
	})
}

func TestTextMetricsHold(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune("aAbB \n\x1f.Σσςİ\u00a0\ufffd"))) // few letters, many collisions
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		normal := metrics.Normalize(a)
		require.Equal(t, normal, metrics.Normalize(" "+a+"\n"))
		require.Equal(t, strings.Join(strings.Fields(normal), " "), normal)
		require.Equal(t, 1.0, metrics.ExactMatch(a, normal))
		for name, f := range map[string]func(a, b string) float64{
			"TokenF1": metrics.TokenF1, "Rouge1": metrics.Rouge1, "RougeL": metrics.RougeL, "ExactMatch": metrics.ExactMatch,
		} {
			v := f(a, b)
			require.True(t, v >= 0 && v <= 1, "%s %v", name, v)
			require.InDelta(t, v, f(b, a), 1e-15, name)
		}
		if metrics.ExactMatch(a, b) == 1 {
			require.Equal(t, 1.0, metrics.TokenF1(a, b))
		}
		require.LessOrEqual(t, metrics.RougeL(a, b), metrics.Rouge1(a, b)+1e-15)
	})
}

func TestPerplexity(t *testing.T) {
	assert.Equal(t, 1.0, metrics.Perplexity(0))
	assert.InDelta(t, math.E, metrics.Perplexity(1), 1e-15)
}

func FuzzTextMetrics(f *testing.F) {
	f.Add("The cat.", "the cat")
	f.Add("\xff\xfeΣ", "İ\x1c")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, v := range []float64{metrics.TokenF1(a, b), metrics.ExactMatch(a, b), metrics.Rouge1(a, b), metrics.RougeL(a, b)} {
			require.True(t, v >= 0 && v <= 1)
		}
		require.Equal(t, 1.0, metrics.TokenF1(a, a))
	})
}
