package bpe

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/atomicfile"
)

// noLimit is what Hugging Face writes as model_max_length when there is none:
// int(1e30).
const noLimit = "1000000000000000019884624838656"

// Save writes tokenizer.json, tokenizer_config.json and
// special_tokens_map.json into dir, which is made if need be. Each file is
// whole or absent, tokenizer.json comes last, and the bytes depend on the
// tokenizer alone. Errors are *FormatError.
func (t *Tokenizer) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return saveError(dir, err)
	}
	model, err := t.tokenizerFile()
	if err != nil {
		return saveError(filepath.Join(dir, tokenizerName), err)
	}
	for _, file := range []struct {
		name    string
		content any
	}{
		{specialName, t.specialFile()},
		{configName, t.configFile()},
		{tokenizerName, model},
	} {
		path := filepath.Join(dir, file.name)
		text, err := marshal(file.content, "  ")
		if err != nil {
			return saveError(path, err)
		}
		if err := atomicfile.WriteBytes(path, fs.FileMode(0o644), text); err != nil {
			return saveError(path, err)
		}
	}
	return nil
}

func saveError(path string, err error) error {
	return &FormatError{fault.Detail{Op: "save tokenizer", Path: path, Err: err}}
}

func (t *Tokenizer) tokenizerFile() (*tokenizerFile, error) {
	null := json.RawMessage("null")
	file := &tokenizerFile{
		Version: "1.0", Truncation: null, Padding: null, Normalizer: null, PostProcessor: null,
	}
	for id := range t.tokens {
		if t.special[id] {
			file.AddedTokens = append(file.AddedTokens, addedToken{int64(id), t.flags(id)})
		}
	}
	model := modelPart{Type: "BPE", IgnoreMerges: t.model.whole != nil}
	for id, token := range t.tokens {
		model.Vocab = append(model.Vocab, vocabEntry{token, int64(id)})
	}
	model.Merges = make(mergeList, len(t.rules))
	for i, r := range t.rules {
		model.Merges[i] = [2]string{t.tokens[r.left], t.tokens[r.right]}
	}
	var err error
	if file.PreTokenizer, err = t.pre.marshal(); err != nil {
		return nil, err
	}
	if file.Decoder, err = marshal(byteLevel(false, true), ""); err != nil {
		return nil, err
	}
	file.Model, err = marshal(model, "")
	return file, err
}

// marshal describes the pre-tokenizer: the splits, then ByteLevel with or
// without its own pattern.
func (p preTokenizer) marshal() (json.RawMessage, error) {
	ownPattern := false
	sequence := sequencePart{Type: "Sequence"}
	for _, s := range p {
		split := splitPart{Type: "Split", Behavior: "Isolated"}
		switch s.kind {
		case splitRegex:
			split.Pattern.Regex = s.pattern
		case splitString:
			split.Pattern.String = s.pattern
		case byteLevelStep:
			ownPattern = true
			continue
		}
		part, err := marshal(split, "")
		if err != nil {
			return nil, err
		}
		sequence.PreTokenizers = append(sequence.PreTokenizers, part)
	}
	last, err := marshal(byteLevel(false, ownPattern), "")
	if err != nil || len(sequence.PreTokenizers) == 0 {
		return last, err
	}
	sequence.PreTokenizers = append(sequence.PreTokenizers, last)
	return marshal(sequence, "")
}

func byteLevel(addPrefixSpace, useRegex bool) byteLevelPart {
	trim := true
	return byteLevelPart{Type: "ByteLevel", AddPrefixSpace: &addPrefixSpace, TrimOffsets: &trim, UseRegex: &useRegex}
}

func (t *Tokenizer) flags(id int) tokenFlags {
	return tokenFlags{Content: t.tokens[id], Special: true}
}

// configFile is tokenizer_config.json, its keys sorted as Hugging Face's are.
func (t *Tokenizer) configFile() any {
	decoder := map[string]tokenFlags{}
	for id := range t.tokens {
		if t.special[id] {
			decoder[strconv.Itoa(id)] = t.flags(id)
		}
	}
	limit := json.Number(noLimit)
	if t.maxLength > 0 {
		limit = json.Number(strconv.Itoa(t.maxLength))
	}
	return struct {
		AddedTokens map[string]tokenFlags `json:"added_tokens_decoder"`
		CleanUp     bool                  `json:"clean_up_tokenization_spaces"`
		EOS         string                `json:"eos_token"`
		MaxLength   json.Number           `json:"model_max_length"`
		PAD         string                `json:"pad_token"`
		Class       string                `json:"tokenizer_class"`
	}{decoder, false, t.tokens[t.eos], limit, t.tokens[t.pad], "PreTrainedTokenizerFast"}
}

// specialFile is special_tokens_map.json.
func (t *Tokenizer) specialFile() any {
	file := struct {
		Others []tokenFlags `json:"additional_special_tokens,omitempty"`
		EOS    tokenFlags   `json:"eos_token"`
		PAD    tokenFlags   `json:"pad_token"`
	}{nil, t.flags(int(t.eos)), t.flags(int(t.pad))}
	for id := range t.tokens {
		if t.special[id] && int32(id) != t.eos && int32(id) != t.pad {
			file.Others = append(file.Others, t.flags(id))
		}
	}
	return file
}
