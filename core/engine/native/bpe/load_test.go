package bpe_test

import (
	"encoding/json"
	"io/fs"
	"maps"
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

type object = map[string]any

// readJSON reads one file of a tokenizer folder.
func readJSON(t testing.TB, dir, name string) object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	var value object
	require.NoError(t, json.Unmarshal(text, &value))
	return value
}

// folder writes a tokenizer folder; a nil value leaves the file out.
func folder(t testing.TB, tokenizer, config object) string {
	t.Helper()
	dir := t.TempDir()
	for name, value := range map[string]object{"tokenizer.json": tokenizer, "tokenizer_config.json": config} {
		if value == nil {
			continue
		}
		text, err := json.Marshal(value)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	return dir
}

func load(t testing.TB, dir string) *bpe.Tokenizer {
	t.Helper()
	tokenizer, err := bpe.Load(dir)
	require.NoError(t, err)
	return tokenizer
}

// savedMerges lists the merges of a tokenizer in their order.
func savedMerges(t testing.TB, tokenizer *bpe.Tokenizer) [][2]string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, tokenizer.Save(dir))
	var merges [][2]string
	for _, merge := range readJSON(t, dir, "tokenizer.json")["model"].(object)["merges"].([]any) {
		left, right, ok := strings.Cut(merge.(string), " ")
		require.True(t, ok)
		merges = append(merges, [2]string{left, right})
	}
	return merges
}

func TestSaveAndLoad(t *testing.T) {
	trained := learn(t, corpus(t), bpe.TrainOptions{VocabSize: 400, Special: []string{"<sep>"}, Split: `\p{L}+|\p{Nd}|[^\p{L}\p{Nd}]+`, MaxLength: 77})
	first, second := filepath.Join(t.TempDir(), "new", "folder"), t.TempDir()
	require.NoError(t, trained.Save(first))
	loaded := load(t, first)
	require.NoError(t, loaded.Save(second))
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"} {
		a, err := os.ReadFile(filepath.Join(first, name))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(second, name))
		require.NoError(t, err)
		assert.Equal(t, string(a), string(b), name)
	}
	assert.Equal(t, trained.EOS(), loaded.EOS())
	assert.Equal(t, trained.PAD(), loaded.PAD())
	assert.Equal(t, trained.VocabSize(), loaded.VocabSize())
	assert.True(t, loaded.Special(2))
	for _, text := range corpus(t) {
		assert.Equal(t, trained.Encode(nil, text), loaded.Encode(nil, text))
	}
	assert.Equal(t, 77.0, readJSON(t, second, "tokenizer_config.json")["model_max_length"])
}

// What Hugging Face's own tools expect to find.
func TestSavedShape(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, learn(t, nil, bpe.TrainOptions{VocabSize: 258}).Save(dir))
	file := readJSON(t, dir, "tokenizer.json")
	assert.ElementsMatch(t, []string{"version", "truncation", "padding", "added_tokens", "normalizer",
		"pre_tokenizer", "post_processor", "decoder", "model"}, slices.Collect(maps.Keys(file)))
	assert.Equal(t, object{"type": "Sequence", "pretokenizers": []any{
		object{"type": "Split", "pattern": object{"Regex": bpe.DefaultSplit}, "behavior": "Isolated", "invert": false},
		object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
	}}, file["pre_tokenizer"])
	assert.Equal(t, "ByteLevel", file["decoder"].(object)["type"])
	assert.Equal(t, object{"id": 1.0, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
		"normalized": false, "special": true}, file["added_tokens"].([]any)[1])
	config := readJSON(t, dir, "tokenizer_config.json")
	assert.Equal(t, "PreTrainedTokenizerFast", config["tokenizer_class"])
	assert.Equal(t, false, config["clean_up_tokenization_spaces"])
	assert.Equal(t, "</s>", config["eos_token"])
	assert.Equal(t, "<pad>", config["pad_token"])
	assert.Equal(t, 1e30, config["model_max_length"])
}

func TestSaveErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	var broken *bpe.FormatError
	tokenizer := learn(t, nil, bpe.TrainOptions{VocabSize: 258})
	require.ErrorAs(t, tokenizer.Save(file), &broken)
	assert.Equal(t, file, broken.Path)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "tokenizer.json"), 0o700))
	require.ErrorAs(t, tokenizer.Save(dir), &broken)
	assert.Equal(t, filepath.Join(dir, "tokenizer.json"), broken.Path)
}

// Other programs write the same tokenizer in other ways.
func TestLoadVariants(t *testing.T) {
	want := load(t, fixture)
	texts := corpus(t)
	tests := []struct {
		name   string
		change func(file, config object)
	}{
		{"merges as pairs", func(file, _ object) {
			model := file["model"].(object)
			for i, merge := range model["merges"].([]any) {
				left, right, _ := strings.Cut(merge.(string), " ")
				model["merges"].([]any)[i] = []string{left, right}
			}
		}},
		{"few fields", func(file, config object) {
			for _, key := range []string{"version", "truncation", "padding", "normalizer", "post_processor"} {
				delete(file, key)
			}
			model := file["model"].(object)
			for _, key := range []string{"type", "dropout", "unk_token", "continuing_subword_prefix",
				"end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges"} {
				delete(model, key)
			}
			clear(config)
			config["eos_token"] = object{"content": "</s>", "lstrip": false}
			config["pad_token"] = "<pad>"
		}},
		{"special tokens outside the model", func(file, _ object) {
			vocab := file["model"].(object)["vocab"].(object)
			delete(vocab, "<pad>")
			delete(vocab, "</s>")
		}},
		{"harmless options", func(file, _ object) {
			file["post_processor"] = object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}
			model := file["model"].(object)
			model["dropout"], model["unk_token"], model["end_of_word_suffix"], model["fuse_unk"] = 0, "</s>", "", true
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file, config := readJSON(t, fixture, "tokenizer.json"), readJSON(t, fixture, "tokenizer_config.json")
			test.change(file, config)
			got := load(t, folder(t, file, config))
			for _, text := range texts {
				require.Equal(t, want.Encode(nil, text), got.Encode(nil, text))
			}
			assert.Equal(t, want.EOS(), got.EOS())
			assert.Equal(t, want.PAD(), got.PAD())
		})
	}

	t.Run("end token from special_tokens_map.json, no padding token", func(t *testing.T) {
		dir := folder(t, readJSON(t, fixture, "tokenizer.json"), nil)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "special_tokens_map.json"), []byte(`{"eos_token":{"content":"</s>"}}`), 0o600))
		got := load(t, dir)
		assert.Equal(t, int32(1), got.EOS())
		assert.Equal(t, int32(1), got.PAD())
	})
}

func TestLoadSplits(t *testing.T) {
	split := func(kind, pattern string) object {
		return object{"type": "Split", "pattern": object{kind: pattern}, "behavior": "Isolated", "invert": false}
	}
	last := object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}
	file := readJSON(t, fixture, "tokenizer.json")
	vocab, merges := byteVocab()
	file["model"].(object)["vocab"], file["model"].(object)["merges"] = vocab, append(merges, "a b", "b c", "ab ab", "c Ġ")
	for i, token := range []string{"ab", "bc", "abab", "cĠ"} {
		vocab[token] = 258 + i
	}
	tests := []struct {
		name string
		pre  any
		want []string
	}{
		{"none", last, []string{"abab", "cĠ", "ab", ".", "c"}},
		{"string", []any{split("String", "."), split("String", "ba"), last}, []string{"a", "b", "a", "bc", "Ġ", "ab", ".", "c"}},
		{"two expressions", []any{split("Regex", `\s`), split("Regex", `a(?=bc)`), last}, []string{"ab", "a", "bc", "Ġ", "ab", ".", "c"}},
		{"empty matches cut", []any{split("Regex", `(?=bc)`), last}, []string{"ab", "a", "bc", "Ġ", "ab", ".", "c"}},
		{"GPT-2", object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}, []string{"abab", "c", "Ġ", "ab", ".", "c"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file["pre_tokenizer"] = test.pre
			if parts, ok := test.pre.([]any); ok {
				file["pre_tokenizer"] = object{"type": "Sequence", "pretokenizers": parts}
			}
			tokenizer := load(t, folder(t, file, readJSON(t, fixture, "tokenizer_config.json")))
			again := t.TempDir()
			require.NoError(t, tokenizer.Save(again))
			for _, tokenizer := range []*bpe.Tokenizer{tokenizer, load(t, again)} {
				var got []string
				for _, id := range tokenizer.Encode(nil, "ababc ab.c") {
					got = append(got, tokenizer.Token(id))
				}
				assert.Equal(t, test.want, got)
			}
		})
	}
}

// byteVocab is the smallest vocabulary: two special tokens and the bytes.
func byteVocab() (object, []any) {
	vocab := object{"<pad>": 0, "</s>": 1}
	shifted := rune(256)
	for b := range rune(256) {
		r := b
		if b < '!' || b > '~' && b < 0xa1 || b == 0xad {
			r = shifted
			shifted++
		}
		vocab[string(r)] = 2 + int(b)
	}
	return vocab, nil
}

// With ignore_merges a piece that is a token stays whole, even when no merge
// leads to it.
func TestIgnoreMerges(t *testing.T) {
	file, config := readJSON(t, fixture, "tokenizer.json"), readJSON(t, fixture, "tokenizer_config.json")
	model := file["model"].(object)
	vocab, _ := byteVocab()
	vocab["xyz"], vocab["xy"] = 258, 259
	model["vocab"], model["merges"] = vocab, []string{"x y"}
	for ignore, want := range map[bool][]int32{false: {259, 2 + 'z'}, true: {258}} {
		model["ignore_merges"] = ignore
		tokenizer := load(t, folder(t, file, config))
		assert.Equal(t, want, tokenizer.Encode(nil, "xyz"))
		assert.Equal(t, []int32{2 + '<', 2 + '/', 2 + 's', 2 + '>'}, tokenizer.Encode(nil, "</s>"), "ignore_merges %t", ignore)
	}
}

func TestLoadErrors(t *testing.T) {
	part := func(file object, name string) object { return file[name].(object) }
	vocab := func(file object) object { return part(file, "model")["vocab"].(object) }
	tests := []struct {
		name   string
		change func(file, config object)
		want   string // in the reason
	}{
		{"normalizer", func(f, _ object) { f["normalizer"] = object{"type": "NFC"} }, `normalizer "NFC" is not supported`},
		{"truncation", func(f, _ object) { f["truncation"] = object{"max_length": 5} }, "truncation is not supported"},
		{"padding", func(f, _ object) { f["padding"] = object{"strategy": "BatchLongest"} }, "padding is not supported"},
		{"version", func(f, _ object) { f["version"] = "2.0" }, `version "2.0"`},
		{"post-processor", func(f, _ object) { f["post_processor"] = object{"type": "TemplateProcessing"} }, `post_processor "TemplateProcessing"`},
		{"decoder", func(f, _ object) { f["decoder"] = object{"type": "WordPiece"} }, `decoder "WordPiece"`},
		{"no decoder", func(f, _ object) { delete(f, "decoder") }, "without a decoder"},
		{"no pre-tokenizer", func(f, _ object) { f["pre_tokenizer"] = nil }, "without a pre_tokenizer"},
		{"pre-tokenizer", func(f, _ object) { f["pre_tokenizer"] = object{"type": "Metaspace"} }, `pre_tokenizer "Metaspace"`},
		{"digits", func(f, _ object) {
			f["pre_tokenizer"] = object{"type": "Sequence", "pretokenizers": []any{object{"type": "Digits"}, object{"type": "ByteLevel"}}}
		}, `pre_tokenizer "Digits"`},
		{"only a split", func(f, _ object) {
			f["pre_tokenizer"] = object{"type": "Split", "pattern": object{"Regex": "a"}, "behavior": "Isolated"}
		}, `pre_tokenizer "Split" in this place`},
		{"empty sequence", func(f, _ object) { f["pre_tokenizer"] = object{"type": "Sequence", "pretokenizers": []any{}} }, "without ByteLevel"},
		{"behavior", func(f, _ object) {
			part(f, "pre_tokenizer")["pretokenizers"].([]any)[0].(object)["behavior"] = "Removed"
		}, `Split with behavior "Removed"`},
		{"broken pattern", func(f, _ object) {
			part(f, "pre_tokenizer")["pretokenizers"].([]any)[0].(object)["pattern"] = object{"Regex": "[a"}
		}, `pattern "[a"`},
		{"no pattern", func(f, _ object) {
			part(f, "pre_tokenizer")["pretokenizers"].([]any)[0].(object)["pattern"] = object{}
		}, "pattern is empty"},
		{"prefix space", func(f, _ object) {
			f["pre_tokenizer"] = object{"type": "ByteLevel", "add_prefix_space": true}
		}, "add_prefix_space"},
		{"unknown field", func(f, _ object) { part(f, "model")["magic"] = 1 }, `unknown field "magic"`},
		{"model", func(f, _ object) { part(f, "model")["type"] = "Unigram" }, `model "Unigram"`},
		{"no model", func(f, _ object) { delete(f, "model") }, "without a model"},
		{"dropout", func(f, _ object) { part(f, "model")["dropout"] = 0.1 }, "dropout"},
		{"prefix", func(f, _ object) { part(f, "model")["continuing_subword_prefix"] = "##" }, "continuing_subword_prefix"},
		{"suffix", func(f, _ object) { part(f, "model")["end_of_word_suffix"] = "</w>" }, "end_of_word_suffix"},
		{"byte fallback", func(f, _ object) { part(f, "model")["byte_fallback"] = true }, "byte_fallback"},
		{"no vocab", func(f, _ object) { delete(part(f, "model"), "vocab") }, "vocab is missing"},
		{"no merges", func(f, _ object) { delete(part(f, "model"), "merges") }, "merges is missing"},
		{"vocab a list", func(f, _ object) { part(f, "model")["vocab"] = []int{} }, "vocab is not an object"},
		{"fractional id", func(f, _ object) { vocab(f)["a"] = 1.5 }, "not a whole number"},
		{"hole", func(f, _ object) { vocab(f)["NEW"] = 5000 }, "an id is 5000"},
		{"negative id", func(f, _ object) { vocab(f)["NEW"] = -1 }, "an id is -1"},
		{"same id twice", func(f, _ object) { vocab(f)["NEW"] = 300 }, "two tokens have the id 300"},
		{"byte missing", func(f, _ object) { v := vocab(f); v["NEW"] = v["a"]; delete(v, "a") }, "byte 0x61"},
		{"unknown token in a merge", func(f, _ object) { part(f, "model")["merges"] = []string{"a zzz"} }, `"zzz" is not in the vocabulary`},
		{"unknown result of a merge", func(f, _ object) { part(f, "model")["merges"] = []string{"q q"} }, `"qq" is not in the vocabulary`},
		{"merge twice", func(f, _ object) { part(f, "model")["merges"] = []string{"Ġ t", "Ġ t"} }, "merged twice"},
		{"merge of three", func(f, _ object) { part(f, "model")["merges"] = []string{"t h e"} }, "not a pair"},
		{"merge of numbers", func(f, _ object) { part(f, "model")["merges"] = []int{1} }, "not a pair"},
		{"merges an object", func(f, _ object) { part(f, "model")["merges"] = object{} }, "merges is not a list"},
		{"merge outside the alphabet", func(f, _ object) {
			v := vocab(f)
			v["日"], v["日a"] = len(v), len(v)+1
			part(f, "model")["merges"] = []string{"日 a"}
		}, "not spelled in the byte-level alphabet"},
		{"merge makes a special token", func(f, _ object) {
			v := vocab(f)
			v["</s"] = len(v)
			part(f, "model")["merges"] = []string{"< /", "</ s", "</s >"}
		}, `makes the special token "</s>"`},
		{"added token that is not special", func(f, _ object) { f["added_tokens"].([]any)[1].(object)["special"] = false }, `"</s>", which is not special`},
		{"added token with two ids", func(f, _ object) { f["added_tokens"].([]any)[1].(object)["id"] = 7 }, "has the ids 1 and 7"},
		{"added token without content", func(f, _ object) { f["added_tokens"].([]any)[1].(object)["content"] = "" }, "no content"},
		{"byte as special token", func(f, _ object) {
			f["added_tokens"].([]any)[1].(object)["content"], f["added_tokens"].([]any)[1].(object)["id"] = "a", vocab(f)["a"]
		}, "byte 0x61"},
		{"no end token", func(_, c object) { delete(c, "eos_token") }, "no end token"},
		{"end token unknown", func(_, c object) { c["eos_token"] = "<end>" }, `eos_token "<end>" is not a special token`},
		{"end token not special", func(_, c object) { c["eos_token"] = "a" }, `eos_token "a" is not a special token`},
		{"padding token unknown", func(_, c object) { c["pad_token"] = "<end>" }, `pad_token "<end>"`},
		{"end token a number", func(_, c object) { c["eos_token"] = 5 }, "neither a text nor an object"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file, config := readJSON(t, fixture, "tokenizer.json"), readJSON(t, fixture, "tokenizer_config.json")
			test.change(file, config)
			dir := folder(t, file, config)
			_, err := bpe.Load(dir)
			var broken *bpe.FormatError
			require.ErrorAs(t, err, &broken)
			assert.Contains(t, broken.Reason, test.want)
			assert.Equal(t, dir, filepath.Dir(broken.Path))
			assert.NotEmpty(t, broken.Hint)
		})
	}
}

func TestLoadBrokenFiles(t *testing.T) {
	config := `{"eos_token": "</s>"}`
	tests := []struct {
		name, tokenizer, config, want string
		line                          int
	}{
		{"not JSON", "{\n\"version\":\n?", config, "invalid character", 3},
		{"cut short", `{"version": "1.0"`, config, "unexpected end", 1},
		{"wrong type", `{"version": 1}`, config, "not a tokenizer", 0},
		{"not UTF-8", "\xff\xfe", config, "not UTF-8", 0},
		{"empty object", `{}`, config, "without a decoder", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(test.tokenizer), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(test.config), 0o600))
			_, err := bpe.Load(dir)
			var broken *bpe.FormatError
			require.ErrorAs(t, err, &broken)
			assert.Contains(t, broken.Reason, test.want)
			assert.Equal(t, test.line, broken.Line)
		})
	}

	_, err := bpe.Load(t.TempDir())
	assert.ErrorIs(t, err, fs.ErrNotExist)
	var typed fault.TrainError
	require.ErrorAs(t, err, &typed)
	assert.NotEmpty(t, typed.Fault().Hint)

	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "tokenizer.json"), 0o700))
	_, err = bpe.Load(dir)
	assert.ErrorContains(t, err, "not a regular file")

	dir = t.TempDir()
	huge, err := os.Create(filepath.Join(dir, "tokenizer.json"))
	require.NoError(t, err)
	require.NoError(t, huge.Truncate(1<<40)) // a hole: it takes no room
	require.NoError(t, huge.Close())
	_, err = bpe.Load(dir)
	assert.ErrorContains(t, err, "above the limit")
}

func FuzzLoad(f *testing.F) {
	file, config := readJSON(f, fixture, "tokenizer.json"), readJSON(f, fixture, "tokenizer_config.json")
	vocab, _ := byteVocab()
	vocab["ab"] = 258
	file["model"].(object)["vocab"], file["model"].(object)["merges"] = vocab, []string{"a b"}
	maps.Copy(file, config) // one text serves as both files
	text, err := json.Marshal(file)
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(`{"model":{"vocab":{"a":0},"merges":[["a","a"]]},"decoder":{"type":"ByteLevel"},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		}
		tokenizer, err := bpe.Load(dir)
		if err != nil {
			var broken *bpe.FormatError
			require.ErrorAs(t, err, &broken)
			return
		}
		const sample = "It's a test: </s> ### Response:\n 日本"
		require.Equal(t, sample, tokenizer.Decode(tokenizer.Encode(nil, sample)))
	})
}
