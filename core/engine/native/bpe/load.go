package bpe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/fault"
)

// maxFile is the largest file that Load reads: the largest tokenizers in use
// have some 20 MB.
const maxFile = 256 << 20

const (
	opLoad    = "load tokenizer"
	hintAgain = "the file is damaged or incomplete: copy or download it again"
	hintKind  = "use a byte-level BPE tokenizer, or let training learn one"
)

// Load reads the tokenizer in dir: tokenizer.json, and the end and padding
// tokens from tokenizer_config.json or special_tokens_map.json. Every error is
// a *FormatError; one about something that is not supported names it.
//
// Supported are BPE models over the byte-level alphabet with a token for every
// byte, ignore_merges included; pre-tokenizers made of Split (Isolated) and a
// final ByteLevel; the ByteLevel decoder; and special added tokens. A
// tokenizer must have an end token; without a padding token the end token
// takes its place.
func Load(dir string) (*Tokenizer, error) {
	path := filepath.Join(dir, tokenizerName)
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var file tokenizerFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, syntaxError(path, text, err)
	}
	t, err := file.tokenizer()
	if err != nil {
		var broken *FormatError
		if errors.As(err, &broken) {
			broken.Path = path
			return nil, broken
		}
		return nil, loadError(path, hintAgain, "%v", err)
	}
	if err := t.loadConfig(dir); err != nil {
		return nil, err
	}
	return t, nil
}

func readFile(path string) ([]byte, error) {
	// Looked at before it is opened: opening a named pipe would wait for a
	// writer that may never come.
	stat, err := os.Stat(path)
	if err == nil && !stat.Mode().IsRegular() {
		return nil, loadError(path, hintAgain, "not a regular file")
	}
	if err == nil && stat.Size() > maxFile {
		return nil, loadError(path, hintAgain, "the file has %d bytes, above the limit of %d", stat.Size(), maxFile)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		var on *fs.PathError
		if errors.As(err, &on) {
			err = on.Err // the path stands in the message already
		}
		return nil, &FormatError{fault.Detail{Op: opLoad, Path: path, Err: err,
			Hint: "a tokenizer folder holds " + tokenizerName + " and " + configName}}
	}
	if !utf8.Valid(text) {
		return nil, loadError(path, hintAgain, "not UTF-8 text")
	}
	return text, nil
}

func loadError(path, hint, format string, args ...any) *FormatError {
	return &FormatError{fault.Detail{Op: opLoad, Path: path, Reason: fmt.Sprintf(format, args...), Hint: hint}}
}

// unsupported names a component that Encode could not follow exactly. Load
// fills in the path.
func unsupported(format string, args ...any) error {
	return loadError("", hintKind, format+" is not supported", args...)
}

func syntaxError(path string, text []byte, err error) error {
	broken := loadError(path, hintAgain, "not a tokenizer in JSON: %v", err)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		broken.Line = 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
	}
	return broken
}

// tokenizer builds the tokenizer without its end and padding tokens.
func (f *tokenizerFile) tokenizer() (*Tokenizer, error) {
	if f.Version != "" && f.Version != "1.0" {
		return nil, unsupported("version %.20q of the format", f.Version)
	}
	for _, c := range []struct {
		name string
		text json.RawMessage
	}{{"truncation", f.Truncation}, {"padding", f.Padding}, {"normalizer", f.Normalizer}} {
		if !absent(c.text) {
			return nil, unsupported("%s", describe(c.name, c.text))
		}
	}
	// ByteLevel as a post-processor moves offsets and leaves ids alone.
	if !absent(f.PostProcessor) && typeOf(f.PostProcessor) != "ByteLevel" {
		return nil, unsupported("%s", describe("post_processor", f.PostProcessor))
	}
	if typeOf(f.Decoder) != "ByteLevel" {
		return nil, unsupported("%s", describe("decoder", f.Decoder))
	}
	pre, err := loadPreTokenizer(f.PreTokenizer)
	if err != nil {
		return nil, err
	}
	if kind := typeOf(f.Model); absent(f.Model) || kind != "BPE" && kind != "" {
		return nil, unsupported("%s", describe("model", f.Model))
	}
	var model modelPart
	if err := strict(f.Model, &model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := model.check(); err != nil {
		return nil, err
	}
	v, err := model.vocab(f.AddedTokens)
	if err != nil {
		return nil, err
	}
	return newTokenizer(v, pre, model.IgnoreMerges), nil
}

// typeOf is the type that a component says it has, empty if it says none.
func typeOf(text json.RawMessage) string {
	var component struct{ Type string }
	if json.Unmarshal(text, &component) != nil {
		return ""
	}
	return component.Type
}

// describe names a component for a message.
func describe(name string, text json.RawMessage) string {
	if absent(text) {
		return "a tokenizer without a " + name
	}
	if kind := typeOf(text); kind != "" {
		return fmt.Sprintf("%s %.80q", name, kind)
	}
	return name
}

// loadPreTokenizer reads a ByteLevel, or a Sequence that ends in one with
// nothing but Splits before it.
func loadPreTokenizer(text json.RawMessage) (preTokenizer, error) {
	parts := []json.RawMessage{text}
	if typeOf(text) == "Sequence" {
		var sequence sequencePart
		if err := strict(text, &sequence); err != nil {
			return nil, fmt.Errorf("pre_tokenizer: %w", err)
		}
		parts = sequence.PreTokenizers
	}
	var pre preTokenizer
	for i, part := range parts {
		last := i == len(parts)-1
		switch kind := typeOf(part); {
		case kind == "Split" && !last:
			s, err := loadSplit(part)
			if err != nil {
				return nil, err
			}
			pre = append(pre, s)
		case kind == "ByteLevel" && last:
			own, err := loadByteLevel(part)
			if err != nil {
				return nil, err
			}
			return append(pre, own...), nil
		default:
			return nil, unsupported("%s in this place", describe("pre_tokenizer", part))
		}
	}
	return nil, unsupported("a pre_tokenizer without ByteLevel")
}

func loadSplit(text json.RawMessage) (step, error) {
	var part splitPart
	if err := strict(text, &part); err != nil {
		return step{}, fmt.Errorf("pre_tokenizer Split: %w", err)
	}
	if part.Behavior != "Isolated" || part.Invert {
		return step{}, unsupported("pre_tokenizer Split with behavior %.40q, invert %t", part.Behavior, part.Invert)
	}
	kind, pattern := splitRegex, part.Pattern.Regex
	if part.Pattern.String != "" {
		kind, pattern = splitString, part.Pattern.String
	}
	s, err := newStep(kind, pattern)
	if err != nil {
		return step{}, loadError("", hintKind, "pre_tokenizer Split: %v", err)
	}
	return s, nil
}

// loadByteLevel returns the step of ByteLevel's own pattern, or none.
func loadByteLevel(text json.RawMessage) (preTokenizer, error) {
	var part byteLevelPart
	if err := strict(text, &part); err != nil {
		return nil, fmt.Errorf("pre_tokenizer ByteLevel: %w", err)
	}
	if part.AddPrefixSpace == nil || *part.AddPrefixSpace {
		return nil, unsupported("pre_tokenizer ByteLevel with add_prefix_space")
	}
	if part.UseRegex != nil && !*part.UseRegex {
		return nil, nil
	}
	s, err := newStep(byteLevelStep, gpt2Pattern)
	return preTokenizer{s}, err
}

// check refuses the options of a BPE model that change ids.
func (m *modelPart) check() error {
	switch {
	case m.Dropout != nil && *m.Dropout != 0:
		return unsupported("model BPE with dropout")
	case m.ContinuingSubwordPrefix != nil && *m.ContinuingSubwordPrefix != "":
		return unsupported("model BPE with continuing_subword_prefix")
	case m.EndOfWordSuffix != nil && *m.EndOfWordSuffix != "":
		return unsupported("model BPE with end_of_word_suffix")
	case m.ByteFallback:
		return unsupported("model BPE with byte_fallback")
	case m.Vocab == nil:
		return errors.New("model: vocab is missing")
	case m.Merges == nil:
		return errors.New("model: merges is missing")
	}
	return nil
}

// vocab joins the model's vocabulary with the added tokens and checks that
// ids run from 0 without a hole, that no text can lead to a special token, and
// that every byte has its own token.
func (m *modelPart) vocab(added []addedToken) (vocab, error) {
	ids := make(map[string]int64, len(m.Vocab)+len(added))
	for _, e := range m.Vocab {
		if _, twice := ids[e.token]; twice {
			return vocab{}, fmt.Errorf("vocab: the token %.80q stands twice", e.token)
		}
		ids[e.token] = e.id
	}
	for _, a := range added {
		if !a.Special {
			return vocab{}, unsupported("the added token %.80q, which is not special,", a.Content)
		}
		if a.Content == "" {
			return vocab{}, errors.New("added_tokens: a token has no content")
		}
		if id, known := ids[a.Content]; known && id != a.ID {
			return vocab{}, fmt.Errorf("added_tokens: %.80q has the ids %d and %d", a.Content, id, a.ID)
		}
		ids[a.Content] = a.ID
	}
	v := vocab{tokens: make([]string, len(ids)), special: make([]bool, len(ids))}
	taken := make([]bool, len(ids))
	for token, id := range ids {
		if id < 0 || id >= int64(len(ids)) || len(ids) > maxVocab {
			return vocab{}, fmt.Errorf("vocab: %d tokens must have the ids 0 to %d, but an id is %d", len(ids), len(ids)-1, id)
		}
		if taken[id] {
			return vocab{}, fmt.Errorf("vocab: two tokens have the id %d", id)
		}
		taken[id], v.tokens[id] = true, token
	}
	for _, a := range added {
		v.special[a.ID] = true
	}
	for b, r := range byteRunes {
		if id, ok := ids[string(r)]; !ok || v.special[id] {
			return vocab{}, unsupported("a vocabulary without a token for the byte %#02x", b)
		}
	}
	var err error
	v.merges, err = m.Merges.resolve(ids, v.special)
	return v, err
}

// resolve turns the merges into rules.
func (m mergeList) resolve(ids map[string]int64, special []bool) ([]merged, error) {
	rules := make([]merged, len(m))
	seen := make(map[pair]struct{}, len(m))
	for i, parts := range m {
		var found [3]int64
		for j, token := range [...]string{parts[0], parts[1], parts[0] + parts[1]} {
			id, ok := ids[token]
			if !ok {
				return nil, fmt.Errorf("merge %d: the token %.80q is not in the vocabulary", i, token)
			}
			if !spelled(token) || token == "" {
				return nil, unsupported("merge %d of %.80q, which is not spelled in the byte-level alphabet,", i, token)
			}
			found[j] = id
		}
		if special[found[2]] {
			return nil, unsupported("merge %d, which makes the special token %.80q,", i, parts[0]+parts[1])
		}
		rules[i] = merged{int32(found[0]), int32(found[1]), int32(found[2])}
		p := pairOf(rules[i].left, rules[i].right)
		if _, twice := seen[p]; twice {
			return nil, fmt.Errorf("merge %d: %.80q and %.80q are merged twice", i, parts[0], parts[1])
		}
		seen[p] = struct{}{}
	}
	return rules, nil
}
