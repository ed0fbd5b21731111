package bpe_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/engine/native/bpe"
)

type goldenItem struct {
	Text string
	IDs  []int32
}

// golden is what Hugging Face's library makes of the texts in golden.mjs.
func golden(t testing.TB) (file struct{ Default, GPT2, Decode []goldenItem }) {
	t.Helper()
	content, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &file))
	require.Greater(t, len(file.Default), 400)
	require.Greater(t, len(file.GPT2), 400)
	require.Greater(t, len(file.Decode), 100)
	return file
}

func TestGolden(t *testing.T) {
	tokenizer := load(t, fixture)
	for _, item := range golden(t).Default {
		assert.Equal(t, item.IDs, append([]int32{}, tokenizer.Encode(nil, item.Text)...), "%q", item.Text)
		assert.Equal(t, item.Text, tokenizer.Decode(item.IDs))
	}
}

func TestGoldenGPT2(t *testing.T) {
	file := readJSON(t, fixture, "tokenizer.json")
	file["pre_tokenizer"] = object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	tokenizer := load(t, folder(t, file, readJSON(t, fixture, "tokenizer_config.json")))
	for _, item := range golden(t).GPT2 {
		assert.Equal(t, item.IDs, append([]int32{}, tokenizer.Encode(nil, item.Text)...), "%q", item.Text)
	}
}

func TestGoldenDecode(t *testing.T) {
	tokenizer := load(t, fixture)
	for _, item := range golden(t).Decode {
		assert.Equal(t, item.Text, tokenizer.Decode(item.IDs), "%d", item.IDs)
	}
}

// Data cannot forge special tokens, nor can ids outside the vocabulary do harm.
func TestSpecialTokensArePlainText(t *testing.T) {
	tokenizer := load(t, fixture)
	for _, text := range []string{"</s>", "<pad>", "a</s>b", " </s> ", "</s></s><pad>", "<<pad>>"} {
		ids := tokenizer.Encode(nil, text)
		for _, id := range ids {
			assert.False(t, tokenizer.Special(id), "%q", text)
		}
		assert.Equal(t, text, tokenizer.Decode(ids))
	}
	a := tokenizer.Encode(nil, "a")
	ids := slices.Concat([]int32{tokenizer.PAD(), -1}, a, []int32{tokenizer.EOS(), 1 << 30})
	assert.Equal(t, "a", tokenizer.Decode(ids))
	assert.False(t, tokenizer.Special(-1))
	assert.False(t, tokenizer.Special(1<<30))
}

func TestInvalidUTF8(t *testing.T) {
	tokenizer := load(t, fixture)
	for text, want := range map[string]string{
		"a\xffb":          "a\ufffdb",
		"\xe6\x97":        "\ufffd\ufffd",
		"\xed\xa0\x80":    "\ufffd\ufffd\ufffd",
		"ok \xf0\x9f\x98": "ok \ufffd\ufffd\ufffd",
	} {
		assert.Equal(t, want, tokenizer.Decode(tokenizer.Encode(nil, text)), "%q", text)
	}
}

func TestEncodeAppends(t *testing.T) {
	tokenizer := load(t, fixture)
	first := tokenizer.Encode([]int32{7}, "the train")
	assert.Equal(t, int32(7), first[0])
	assert.Equal(t, tokenizer.Encode(nil, "the train"), first[1:])
	first[1] = -5 // what Encode returns belongs to the caller
	assert.NotContains(t, tokenizer.Encode(nil, "the train"), int32(-5))
}

// naiveEncode is the definition: join the pair of the lowest rank, leftmost
// first, until no rule applies.
func naiveEncode(rank map[[2]string]int, piece string) []string {
	parts := strings.Split(piece, "")
	for {
		best := -1
		for i := 1; i < len(parts); i++ {
			r, ok := rank[[2]string{parts[i-1], parts[i]}]
			if ok && (best < 0 || r < rank[[2]string{parts[best-1], parts[best]}]) {
				best = i
			}
		}
		if best < 0 {
			return parts
		}
		parts = slices.Concat(parts[:best-1], []string{parts[best-1] + parts[best]}, parts[best+1:])
	}
}

func TestEncodeMatchesDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abcde"[random.IntN(5)]
		}
		return string(b)
	}
	var texts []string
	for range 300 {
		texts = append(texts, word(1+random.IntN(15)))
	}
	tokenizer := learn(t, texts, bpe.TrainOptions{VocabSize: 500})
	rank := map[[2]string]int{}
	for i, merge := range savedMerges(t, tokenizer) {
		rank[merge] = i
	}
	for range 400 {
		text := word(1 + random.IntN(120)) // short ones are cached, long ones are not
		var got []string
		for _, id := range tokenizer.Encode(nil, text) {
			got = append(got, tokenizer.Token(id))
		}
		require.Equal(t, naiveEncode(rank, text), got, text)
	}
}

func TestConcurrentUse(t *testing.T) {
	tokenizer := load(t, fixture)
	items := golden(t).Default
	var all sync.WaitGroup
	for start := range 8 {
		all.Go(func() {
			var ids []int32
			for i := range items {
				item := items[(i+start*50)%len(items)]
				ids = tokenizer.Encode(ids[:0], item.Text)
				if !slices.Equal(item.IDs, ids) {
					t.Errorf("%q: %d, want %d", item.Text, ids, item.IDs)
				}
			}
		})
	}
	all.Wait()
}

// A piece of a megabyte ends: the work grows with n log n. With the square of
// the length it would take hours.
func TestVeryLongPieces(t *testing.T) {
	tokenizer := load(t, fixture)
	for _, unit := range []string{"a", " ", "日", "the", "\n#", "7"} {
		text := strings.Repeat(unit, (1<<20)/len(unit))
		ids := tokenizer.Encode(nil, text)
		require.Equal(t, text, tokenizer.Decode(ids), "%q", unit)
	}
}

func FuzzRoundTrip(f *testing.F) {
	for _, item := range golden(f).Default[:200] {
		f.Add(item.Text)
	}
	tokenizer := load(f, fixture)
	file := readJSON(f, fixture, "tokenizer.json")
	file["pre_tokenizer"] = object{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}
	gpt2 := load(f, folder(f, file, readJSON(f, fixture, "tokenizer_config.json")))
	f.Fuzz(func(t *testing.T, text string) {
		want := text
		if !utf8.ValidString(text) {
			want = string([]rune(text))
		}
		for _, tokenizer := range []*bpe.Tokenizer{tokenizer, gpt2} {
			ids := tokenizer.Encode(nil, text)
			require.Equal(t, want, tokenizer.Decode(ids))
			require.False(t, slices.ContainsFunc(ids, tokenizer.Special))
		}
	})
}

// naturalText strings words together by Zipf's law, as text does: a few very
// often, many rarely. 4 MB, 40,000 different words.
func naturalText() string {
	random := rand.New(rand.NewPCG(5, 6))
	zipf := rand.NewZipf(random, 1.1, 4, 39_999)
	words := make([]string, 40_000)
	for i := range words {
		b := make([]byte, 2+random.IntN(9))
		for j := range b {
			b[j] = "eeettaaoinshrdlucmfwygpbvk"[random.IntN(26)]
		}
		words[i] = string(b)
	}
	var b strings.Builder
	for n := 1; b.Len() < 4<<20; n++ {
		b.WriteString(words[zipf.Uint64()])
		switch {
		case n%90 == 0:
			b.WriteString(".\n\n")
		case n%12 == 0:
			b.WriteString(". ")
		case n%7 == 0:
			b.WriteString(", ")
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func BenchmarkEncode(b *testing.B) {
	text := naturalText()
	tokenizer := learn(b, []string{text}, bpe.TrainOptions{VocabSize: 8000})
	file := readJSON(b, fixture, "tokenizer.json")
	file["pre_tokenizer"] = object{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}
	gpt2 := load(b, folder(b, file, readJSON(b, fixture, "tokenizer_config.json")))
	run := func(name string, tokenizer *bpe.Tokenizer, text string) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			var ids []int32
			for b.Loop() {
				ids = tokenizer.Encode(ids[:0], text)
			}
		})
	}
	run("natural", tokenizer, text)
	run("expression", gpt2, text[:1<<20])
	run("one piece", tokenizer, strings.Repeat("the", 1<<18))
	content, err := os.ReadFile("testdata/corpus.txt")
	require.NoError(b, err)
	run("many scripts", tokenizer, strings.Repeat(string(content), 100))
}

func BenchmarkDecode(b *testing.B) {
	text := naturalText()
	tokenizer := load(b, fixture)
	ids := tokenizer.Encode(nil, text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tokenizer.Decode(ids)
	}
}

func BenchmarkTrain(b *testing.B) {
	text := naturalText()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		learn(b, []string{text}, bpe.TrainOptions{VocabSize: 8000})
	}
}
