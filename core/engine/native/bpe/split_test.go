package bpe

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/fault"
)

func pieces(s splitter, text string) []string {
	var list []string
	if err := s.split(text, func(piece string) { list = append(list, piece) }); err != nil {
		panic(err)
	}
	return list
}

func TestDefaultSplit(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{"Hello, world!", []string{"Hello", ",", " world", "!"}},
		{"don't stop", []string{"don", "'t", " stop"}},
		{"'a' 'b'", []string{"'a", "'", " '", "b", "'"}},
		{"HH AH0 L OW1", []string{"HH", " AH0", " L", " OW1"}},
		{"x1 x12 12345 1", []string{"x1", " x", "12", " 123", "45", " 1"}},
		{"a  b \n c", []string{"a", " ", " b", " \n", " c"}},
		{"a\r\n\r\nb \n", []string{"a", "\r\n\r\n", "b", " \n"}},
		{"if x:\n\treturn", []string{"if", " x", ":", "\n\t", "return"}},
		{"cafe\u0301 नमस्ते", []string{"cafe\u0301", " नमस्ते"}},
		{"a\u00a0b", []string{"a", "\u00a0", "b"}},
		{"### Instruction:\nSay.\n\n### Input:\nx\n\n### Response:\ny",
			[]string{"### Instruction:\n", "Say", ".", "\n\n### Input:\n", "x", "\n\n### Response:\n", "y"}},
		{"x \n\n### Input:\n\n### Other:\n", []string{"x", " \n\n", "### Input:\n", "\n", "###", " Other", ":", "\n"}},
	}
	for _, test := range tests {
		assert.Equal(t, test.want, pieces(defaultScanner{}, test.text), "%q", test.text)
	}
}

// The scanner and the expression agree; the fuzz target looks further.
func FuzzDefaultSplit(f *testing.F) {
	expression, err := compile(DefaultSplit, false)
	require.NoError(f, err)
	random := rand.New(rand.NewPCG(7, 8))
	fragments := []string{" ", "  ", "\n", "\r", "\t", "'", "’", "a", "ß", "日", "\u0301", "1", "٣", "²", "Ⅷ", "#", "### ", "### Input:\n",
		"### Response:\n", "Instruction:\n", ".", "-", "😀", "\u200d", "\u00a0", "\u0085", "\u2028", "\ufeff", "\x00", "\x1b", "\u00ad", "\ufffd"}
	for range 2000 {
		var b strings.Builder
		for range 1 + random.IntN(10) {
			b.WriteString(fragments[random.IntN(len(fragments))])
		}
		f.Add(b.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		want := pieces(expression, text)
		require.Equal(t, want, pieces(defaultScanner{}, text), "%q", text)
		require.Equal(t, text, strings.Join(want, ""))
	})
}

func TestPortablePatterns(t *testing.T) {
	for _, text := range []string{
		DefaultSplit, gpt2Pattern, `\s+`, `[a-z\]\[^$]+|.`, `(?:ab)+?c{1,3}d{2}e{3,}`, `(?<=a)b|(?<!a)c|(?>d*)`, `\u0041\p{Lu}\P{L}`,
		`[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, `\{x\}`, `(a+b)?`,
	} {
		_, err := compile(text, false)
		assert.NoError(t, err, text)
	}
	for text, want := range map[string]string{
		``:               "empty",
		`a\`:             "backslash",
		`\pL`:            "braces",
		`\w+`:            `escape \w`,
		`a\b`:            `escape \b`,
		`(a)\1`:          `escape \1`,
		`[\h]`:           `escape \h`,
		`^a`:             "anchor ^",
		`a$`:             "anchor $",
		`[a[b]]`:         "[ within a class",
		`[a&&b]`:         "& within a class",
		`[]a]`:           "] within a class",
		`[a`:             "without its ]",
		`a)`:             "without its (",
		`(a`:             "pattern",
		`(?i:a)`:         "group (?i:",
		`(?<name>a)`:     "group (?<n",
		`a{,3}`:          "must be escaped",
		`a{`:             "must be escaped",
		`{x}`:            "must be escaped",
		`(a+)+`:          "within a repetition",
		`(a|b*)*`:        "within a repetition",
		`((a+)b)+`:       "within a repetition",
		`(a{1,9999})*`:   "within a repetition",
		`(a*)?(?:(b+))+`: "within a repetition",
		`a**`:            "pattern",
		`\p{Nonsense}`:   "pattern",
	} {
		_, err := compile(text, false)
		assert.ErrorContains(t, err, want, text)
	}
	_, err := compile("[\x1b[2J", false)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "\x1b", "a hostile pattern is shown escaped")
	_, err = compile("(\x1b", false)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "\x1b", "a hostile pattern is shown escaped")
	_, err = compile("(^", true)
	assert.NoError(t, err, "a fixed string needs no escapes")
}

// An expression that would backtrack for ages is given up, and whoever encodes
// is told: how far it came depends on the machine.
func TestEndlessBacktracking(t *testing.T) {
	defer regexp2.StopTimeoutClock()
	const split = `c|(?:a|aa)*b`
	tokenizer, err := Train(context.Background(), slices.Values([]string{"abc"}), TrainOptions{VocabSize: 300, Split: split})
	require.NoError(t, err)
	tokenizer.pre[0].splitter.(*pattern).expression.MatchTimeout = time.Millisecond
	tokenizer.Encode(nil, "cab")
	require.NoError(t, tokenizer.Err())
	text := strings.Repeat("a", 60)
	tokenizer.Encode(nil, "c"+text+"c")
	var bad *fault.ConfigError
	require.ErrorAs(t, tokenizer.Err(), &bad)
	assert.Contains(t, bad.Reason, split)
	assert.Contains(t, bad.Hint, "tokenizer.split")
	assert.NotContains(t, bad.Error(), text, "the text may be long and holds anything")

	again := preTokenizer{{splitter: defaultScanner{}}, tokenizer.pre[0]}
	require.ErrorAs(t, again.split(text+" "+text, func(string) {}), &bad)
}

func TestLossy(t *testing.T) {
	tests := map[string]string{
		"ok é 日 😀":                 "ok é 日 😀",
		"\xff":                     "\ufffd",
		"\x80\x80":                 "\ufffd\ufffd",
		"\xc3":                     "\ufffd",
		"\xc0\xaf":                 "\ufffd\ufffd",
		"a\xe6\x97":                "a\ufffd",
		"\xe6\x97b":                "\ufffdb",
		"\xf0\x9f\x98":             "\ufffd",
		"\xf0\x9f\x98\xe6\x97\xa5": "\ufffd日",
		"\xe0\x80\x80":             "\ufffd\ufffd\ufffd",
		"\xed\xa0\x80":             "\ufffd\ufffd\ufffd",
		"\xf4\x90\x80\x80":         "\ufffd\ufffd\ufffd\ufffd",
		"\xf0\x80\x80\x80":         "\ufffd\ufffd\ufffd\ufffd",
		"\xf5\x80":                 "\ufffd\ufffd",
	}
	for in, want := range tests {
		assert.Equal(t, want, lossy([]byte(in)), "%q", in)
	}
}

// Past its limit the counter forgets rare pieces and keeps frequent ones.
func TestPieceCountsAreBounded(t *testing.T) {
	c := newPieceCounts(8)
	for round := range 100 {
		c.add("often")
		c.add("also")
		c.add(strings.Repeat("x", round+1))
		assert.LessOrEqual(t, len(c.names), 8)
	}
	assert.Equal(t, int64(100), c.count[c.index["often"]])
	assert.Equal(t, int64(100), c.count[c.index["also"]])

	c = newPieceCounts(100)
	c.add(strings.Repeat("y", 2*longestPiece+1))
	assert.Equal(t, []string{strings.Repeat("y", longestPiece), "y"}, c.names)
	assert.Equal(t, []int64{2, 1}, c.count)

	c = newPieceCounts(4)
	for range 5 {
		for _, piece := range []string{"a", "b", "c", "d"} {
			c.add(piece)
		}
	}
	c.add("e")
	assert.Equal(t, []string{"e"}, c.names, "when all are as frequent, all go")
}
