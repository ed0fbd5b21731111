package metrics_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/metrics"
)

func countWords(s string) int { return len(strings.Fields(s)) }

func TestFormat(t *testing.T) {
	f, err := metrics.NewFormat([]metrics.FormatRule{
		{Name: "braces", Pattern: `^\{.*\}$`},
		{Name: "no apology", Pattern: `(?i)\bsorry\b`, Invert: true},
		{Name: "short", MaxTokens: 3},
		{Name: "no repeated word", Pattern: `\b(\w+) \1\b`, Invert: true},
	}, countWords)
	require.NoError(t, err)
	for text, want := range map[string][]string{
		"{a b}":            nil,
		"a":                {"braces"},
		"{Sorry}":          {"no apology"},
		"{sorrynot}":       nil,
		"{a b c d}":        {"short"},
		"{a a}":            {"no repeated word"},
		"so sorry so so x": {"braces", "no apology", "short", "no repeated word"},
	} {
		broken, err := f.Broken(text)
		require.NoError(t, err)
		assert.Equal(t, want, broken, text)
		ok, err := f.Complies(text)
		require.NoError(t, err)
		assert.Equal(t, want == nil, ok, text)
	}
}

func TestFormatWithoutRulesHoldsForEverything(t *testing.T) {
	f, err := metrics.NewFormat(nil, nil)
	require.NoError(t, err)
	ok, err := f.Complies("x")
	require.NoError(t, err)
	assert.True(t, ok)
}

func TestNewFormatRefusesRulesThatCannotBeUsed(t *testing.T) {
	for want, r := range map[string]metrics.FormatRule{
		"needs a name":                 {MaxTokens: 1},
		"needs a pattern":              {Name: "a"},
		"both a pattern":               {Name: "a", Pattern: "b", MaxTokens: 1},
		"max_tokens must be":           {Name: "a", MaxTokens: -1},
		"invert belongs":               {Name: "a", MaxTokens: 1, Invert: true},
		"does not compile":             {Name: "a", Pattern: "("},
		"max_tokens needs a tokenizer": {Name: "a", MaxTokens: 1},
	} {
		_, err := metrics.NewFormat([]metrics.FormatRule{r}, nil)
		require.ErrorContains(t, err, want)
	}
}

func TestAPatternThatBlowsUpIsAnError(t *testing.T) {
	f, err := metrics.NewFormat([]metrics.FormatRule{{Name: "slow", Pattern: `^(a+)+$`}}, nil)
	require.NoError(t, err)
	hostile := strings.Repeat("a", 60) + "\x1b[2J"
	_, err = f.Complies(hostile)
	require.ErrorContains(t, err, `format rule "slow": pattern took longer`)
	assert.NotContains(t, err.Error(), "\x1b")
}

func FuzzFormat(f *testing.F) {
	f.Add(`^\{(?<x>a)\k<x>\}$`, "{aa}")
	f.Add(`(?<!a)b|[^\p{L}]`, "ab")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 40 || len(text) > 40 {
			return // long ones find nothing new, they only take long
		}
		plain, err := metrics.NewFormat([]metrics.FormatRule{{Name: "a", Pattern: pattern}}, nil)
		if err != nil {
			return
		}
		inverted, err := metrics.NewFormat([]metrics.FormatRule{{Name: "a", Pattern: pattern, Invert: true}}, nil)
		require.NoError(t, err)
		a, errA := plain.Complies(text)
		b, errB := inverted.Complies(text)
		if errA == nil && errB == nil {
			require.NotEqual(t, a, b)
		}
	})
}
