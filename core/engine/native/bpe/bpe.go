// Package bpe is the byte-level BPE tokenizer: learned from text, saved and
// loaded as a Hugging Face fast tokenizer (tokenizer.json).
//
// It promises
//   - that Encode gives the ids that Hugging Face's library gives for the same
//     tokenizer.json, and that Load refuses, by name, every component it does
//     not implement: never an id that is silently different;
//   - that no text can forge a special token: Encode treats its input as plain
//     text, so "</s>" in a row of data is four harmless characters, where
//     Hugging Face would cut the row short. Whoever builds a sequence appends
//     EOS himself;
//   - that Decode(Encode(s)) == s for every s of valid UTF-8;
//   - that learning is deterministic: the same texts and options give the same
//     files, byte for byte.
//
// A text passes through a pre-tokenizer, which cuts it into pieces, and the
// model, which merges the bytes of each piece into tokens; ids pass through
// the decoder. There is no normalizer: text is never changed.
package bpe

import (
	"sync/atomic"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/fault"
)

// The special tokens that every learned tokenizer begins with, at ids 0 and 1.
const (
	PadToken = "<pad>"
	EOSToken = "</s>"
)

// FormatError: a tokenizer's files are broken, or use something that is not
// supported. Path, Reason and Hint are in the embedded Detail; Err is the
// cause when the system refused (errors.Is(err, fs.ErrNotExist) works).
type FormatError struct{ fault.Detail }

// Tokenizer turns text into ids and back. But for Err it does not change once
// made; any number of goroutines may use it.
type Tokenizer struct {
	tokens    []string // id to spelling, in the byte alphabet
	raw       []string // id to bytes; empty for special tokens
	special   []bool   // by id
	eos, pad  int32
	maxLength int // model_max_length, 0 for none
	longest   int // bytes of the longest token

	pre   preTokenizer
	model *model
	rules []merged // in order of rank, for saving

	failed atomic.Pointer[error] // of the first Encode that had one
}

// Encode appends the ids of text to dst. Special tokens are never produced:
// their spellings in the text are encoded like any other characters. Bytes
// that are not UTF-8 are taken as U+FFFD, one for each. With a split expression
// of the user's, look at Err before the ids are used.
func (t *Tokenizer) Encode(dst []int32, text string) []int32 {
	err := t.pre.split(validText(text), func(piece string) { dst = t.model.encode(dst, piece) })
	if err != nil {
		t.failed.CompareAndSwap(nil, &err)
	}
	return dst
}

// Err is nil unless a text was given to Encode that its split expression could
// not be matched with in ten seconds: then ids are missing, and it stays a
// *fault.ConfigError from then on.
func (t *Tokenizer) Err() error {
	if err := t.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Head is the start of text that its first n tokens can depend on: n longest
// tokens and some more. A caller that keeps n tokens encodes Head(text, n) and
// pays for them, not for the length of the text.
func (t *Tokenizer) Head(text string, n int) string {
	end := (n + headSlack) * t.longest
	if end >= len(text) {
		return text
	}
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// Tail is the end of text that its last n tokens can depend on.
func (t *Tokenizer) Tail(text string, n int) string {
	start := len(text) - (n+headSlack)*t.longest
	if start <= 0 {
		return text
	}
	for start < len(text) && !utf8.RuneStart(text[start]) {
		start++
	}
	return text[start:]
}

// headSlack is how many tokens near a cut may come out otherwise than in the
// whole text: words are shorter.
const headSlack = 64

// Decode turns ids into text. Special tokens and ids outside the vocabulary
// are left out; bytes that do not form UTF-8, as when a sequence ends within a
// character, become U+FFFD as in Hugging Face's decoder.
func (t *Tokenizer) Decode(ids []int32) string {
	var b []byte
	for _, id := range ids {
		if id >= 0 && int(id) < len(t.raw) {
			b = append(b, t.raw[id]...)
		}
	}
	return lossy(b)
}

// VocabSize is the number of tokens: ids run from 0 to VocabSize()-1.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// EOS is the id of the token that ends a sequence.
func (t *Tokenizer) EOS() int32 { return t.eos }

// PAD is the id of the token that fills a batch; the same as EOS in a loaded
// tokenizer that has none.
func (t *Tokenizer) PAD() int32 { return t.pad }

// Special says whether id is a special token, which Encode never produces and
// Decode leaves out.
func (t *Tokenizer) Special(id int32) bool {
	return id >= 0 && int(id) < len(t.special) && t.special[id]
}

// Token is the spelling of a token as in tokenizer.json, with a printable
// character for each byte ("Ġword" for " word"); empty outside the vocabulary.
func (t *Tokenizer) Token(id int32) string {
	if id < 0 || int(id) >= len(t.tokens) {
		return ""
	}
	return t.tokens[id]
}

// vocab is what Train and Load have in common: spellings by id, special
// tokens, and merges in order of rank.
type vocab struct {
	tokens  []string
	special []bool
	merges  []merged
}

// merged is one rule: the tokens left and right, side by side, become id.
type merged struct{ left, right, id int32 }

// newTokenizer prepares a checked vocabulary for use.
func newTokenizer(v vocab, pre preTokenizer, ignoreMerges bool) *Tokenizer {
	t := &Tokenizer{tokens: v.tokens, special: v.special, rules: v.merges, pre: pre, raw: make([]string, len(v.tokens))}
	for id, token := range v.tokens {
		if !v.special[id] {
			t.raw[id] = rawBytes(token)
			t.longest = max(t.longest, len(t.raw[id]))
		}
	}
	t.model = newModel(v, ignoreMerges)
	return t
}
