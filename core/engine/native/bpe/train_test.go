package bpe_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/engine/native/bpe"
	"github.com/verifily/verifily-tui/core/fault"
)

var update = flag.Bool("update", false, "write testdata/tokenizer anew; run golden.mjs afterwards")

// fixture is where the tokenizer learned from testdata/corpus.txt is kept.
const fixture = "testdata/tokenizer"

const fixtureSize = 800

// corpus is the texts that the fixture is learned from: the lines of
// testdata/corpus.txt, and prompts made of them.
func corpus(t testing.TB) []string {
	t.Helper()
	content, err := os.ReadFile("testdata/corpus.txt")
	require.NoError(t, err)
	texts := []string{string(content)}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	for i, line := range lines {
		prompt := "### Instruction:\n" + line
		if i%2 == 0 {
			prompt += "\n\n### Input:\n" + lines[len(lines)-1-i]
		}
		texts = append(texts, prompt+"\n\n### Response:\n"+line)
	}
	return texts
}

func learn(t testing.TB, texts []string, opt bpe.TrainOptions) *bpe.Tokenizer {
	t.Helper()
	tokenizer, err := bpe.Train(t.Context(), slices.Values(texts), opt)
	require.NoError(t, err)
	return tokenizer
}

// The bytes of a learned tokenizer do not change from run to run or from one
// version of the program to the next.
func TestTrainIsStable(t *testing.T) {
	tokenizer := learn(t, corpus(t), bpe.TrainOptions{VocabSize: fixtureSize, MaxLength: 512})
	dir := t.TempDir()
	if *update {
		dir = fixture
	}
	require.NoError(t, tokenizer.Save(dir))
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"} {
		want, err := os.ReadFile(filepath.Join(fixture, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), name)
	}
}

func TestTrainedVocabulary(t *testing.T) {
	tokenizer := learn(t, corpus(t), bpe.TrainOptions{VocabSize: fixtureSize, Special: []string{"</s>", "<sep>"}})
	assert.Equal(t, fixtureSize, tokenizer.VocabSize())
	assert.Equal(t, int32(0), tokenizer.PAD())
	assert.Equal(t, int32(1), tokenizer.EOS())
	var first []string
	for id := range int32(6) {
		first = append(first, tokenizer.Token(id))
	}
	assert.Equal(t, []string{"<pad>", "</s>", "<sep>", "!", `"`, "#"}, first)
	assert.Equal(t, "Ń", tokenizer.Token(2+256), "the last byte of the alphabet")
	assert.True(t, tokenizer.Special(2))
	assert.False(t, tokenizer.Special(3))
	assert.Empty(t, tokenizer.Token(-1))
	assert.Empty(t, tokenizer.Token(fixtureSize))

	for _, piece := range []string{"### Instruction:\n", "\n\n### Input:\n", "\n\n### Response:\n", " AH0", " the"} {
		assert.Len(t, tokenizer.Encode(nil, piece), 1, "%q is one token", piece)
	}
}

// What follows the prompt is cut the same way with and without it, so a
// response can be encoded apart from its prompt.
func TestResponseStandsAlone(t *testing.T) {
	tokenizer := learn(t, corpus(t), bpe.TrainOptions{VocabSize: fixtureSize})
	prompts := []string{
		"### Instruction:\nSpell it.\n\n### Response:\n",
		"### Instruction:\nSpell it.\n\n### Input:\n  train \n\n### Response:\n",
	}
	for _, prompt := range prompts {
		for _, response := range []string{"T R EY1 N", " T", "\n", "\n\nx", "1", "", "### Response:\n", "\t\tif", "’s"} {
			apart := tokenizer.Encode(tokenizer.Encode(nil, prompt), response)
			assert.Equal(t, apart, tokenizer.Encode(nil, prompt+response), "%q", response)
		}
	}
}

// naiveTrain is the definition of BPE training: count all neighbours anew,
// join the most frequent pair everywhere, repeat.
func naiveTrain(words map[string]int, tokens []string, size, least int) [][2]string {
	index := map[string]int{}
	for id, token := range tokens {
		index[token] = id
	}
	split := map[string][]string{}
	for word := range words {
		split[word] = strings.Split(word, "")
	}
	var merges [][2]string
	for len(tokens) < size {
		counts := map[[2]string]int{}
		for word, parts := range split {
			for i := 1; i < len(parts); i++ {
				counts[[2]string{parts[i-1], parts[i]}] += words[word]
			}
		}
		var best [2]string
		most := 0
		for p, n := range counts {
			if n > most || n == most && (index[p[0]] < index[best[0]] || index[p[0]] == index[best[0]] && index[p[1]] < index[best[1]]) {
				best, most = p, n
			}
		}
		if most < least {
			break
		}
		if !slices.Contains(merges, best) {
			merges = append(merges, best)
		}
		if joined := best[0] + best[1]; !slices.Contains(tokens, joined) {
			index[joined] = len(tokens)
			tokens = append(tokens, joined)
		}
		for word, parts := range split {
			var out []string
			for i := 0; i < len(parts); i++ {
				if i+1 < len(parts) && parts[i] == best[0] && parts[i+1] == best[1] {
					out = append(out, parts[i]+parts[i+1])
					i++
				} else {
					out = append(out, parts[i])
				}
			}
			split[word] = out
		}
	}
	return merges
}

func TestTrainMatchesDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		letters := "abcdefgh"[:1+round%8]
		words := map[string]int{}
		var texts []string
		for range 1 + random.IntN(40) {
			b := make([]byte, 1+random.IntN(12))
			for i := range b {
				b[i] = letters[random.IntN(len(letters))]
			}
			n := 1 + random.IntN(4)
			words[string(b)] += n
			for range n {
				texts = append(texts, string(b))
			}
		}
		size := 258 + random.IntN(40)
		least := 1 + random.IntN(3)
		tokenizer := learn(t, texts, bpe.TrainOptions{VocabSize: size, MinFrequency: least})
		var base []string
		for id := range int32(258) {
			base = append(base, tokenizer.Token(id))
		}
		want := naiveTrain(words, base, size, least)
		assert.Equal(t, want, savedMerges(t, tokenizer), "round %d: %v", round, words)
	}
}

func TestTrainStopsAtRarePairs(t *testing.T) {
	tokenizer := learn(t, []string{"ab ab ab", "cd"}, bpe.TrainOptions{VocabSize: 400})
	assert.Equal(t, [][2]string{{"a", "b"}, {"Ġ", "ab"}}, savedMerges(t, tokenizer))
	tokenizer = learn(t, nil, bpe.TrainOptions{VocabSize: 400})
	assert.Equal(t, 258, tokenizer.VocabSize())
}

// A special token cannot be learned from text that spells it.
func TestTrainNeverSpellsASpecialToken(t *testing.T) {
	texts := slices.Repeat([]string{"</s><pad>@@"}, 50)
	tokenizer := learn(t, texts, bpe.TrainOptions{VocabSize: 400, Split: `[^@]+`, Special: []string{"@@"}})
	ids := tokenizer.Encode(nil, "</s><pad>@@")
	for _, id := range ids {
		assert.False(t, tokenizer.Special(id))
	}
	assert.Equal(t, "</s><pad>@@", tokenizer.Decode(ids))
}

func TestTrainOrderOfTextsDoesNotMatter(t *testing.T) {
	texts := corpus(t)
	forward := learn(t, texts, bpe.TrainOptions{VocabSize: 500})
	slices.Reverse(texts)
	assert.Equal(t, savedMerges(t, forward), savedMerges(t, learn(t, texts, bpe.TrainOptions{VocabSize: 500})))
}

func TestTrainOptions(t *testing.T) {
	tests := []struct {
		name string
		opt  bpe.TrainOptions
		want string
	}{
		{"too small", bpe.TrainOptions{VocabSize: 257}, "257 tokens"},
		{"too small with special tokens", bpe.TrainOptions{VocabSize: 258, Special: []string{"<a>"}}, "258 tokens"},
		{"too large", bpe.TrainOptions{VocabSize: 1 << 30}, "cannot be learned"},
		{"special twice", bpe.TrainOptions{VocabSize: 300, Special: []string{"<a>", "<a>"}}, "named twice"},
		{"special empty", bpe.TrainOptions{VocabSize: 300, Special: []string{""}}, "cannot be a special token"},
		{"special is a byte", bpe.TrainOptions{VocabSize: 300, Special: []string{"Ġ"}}, "name of a byte"},
		{"negative", bpe.TrainOptions{VocabSize: 300, MinFrequency: -1}, "negative"},
		{"broken pattern", bpe.TrainOptions{VocabSize: 300, Split: `(`}, "pattern"},
		{"pattern of another dialect", bpe.TrainOptions{VocabSize: 300, Split: `^a`}, "anchor ^"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := bpe.Train(t.Context(), slices.Values([]string{"a"}), test.opt)
			var config *fault.ConfigError
			require.ErrorAs(t, err, &config)
			assert.Contains(t, config.Reason, test.want)
			assert.NotEmpty(t, config.Hint)
		})
	}
}

func TestTrainStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	texts := func(yield func(string) bool) {
		for i := 0; yield(fmt.Sprint("text ", i)); i++ {
			if i == 10 {
				cancel()
			}
		}
	}
	_, err := bpe.Train(ctx, texts, bpe.TrainOptions{VocabSize: 300})
	assert.ErrorIs(t, err, context.Canceled)

	_, err = bpe.Train(ctx, slices.Values([]string(nil)), bpe.TrainOptions{VocabSize: 300})
	assert.NoError(t, err, "nothing to do")
}
