package bpe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The three files of a tokenizer folder.
const (
	tokenizerName = "tokenizer.json"
	configName    = "tokenizer_config.json"
	specialName   = "special_tokens_map.json"
)

// The shapes of tokenizer.json, with the fields in the order in which Hugging
// Face writes them.
type (
	tokenizerFile struct {
		Version       string          `json:"version"`
		Truncation    json.RawMessage `json:"truncation"`
		Padding       json.RawMessage `json:"padding"`
		AddedTokens   []addedToken    `json:"added_tokens"`
		Normalizer    json.RawMessage `json:"normalizer"`
		PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
		PostProcessor json.RawMessage `json:"post_processor"`
		Decoder       json.RawMessage `json:"decoder"`
		Model         json.RawMessage `json:"model"`
	}

	addedToken struct {
		ID int64 `json:"id"`
		tokenFlags
	}

	tokenFlags struct {
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
		Normalized bool   `json:"normalized"`
		Special    bool   `json:"special"`
	}

	sequencePart struct {
		Type          string            `json:"type"`
		PreTokenizers []json.RawMessage `json:"pretokenizers"`
	}

	splitPart struct {
		Type     string       `json:"type"`
		Pattern  splitPattern `json:"pattern"`
		Behavior string       `json:"behavior"`
		Invert   bool         `json:"invert"`
	}

	splitPattern struct {
		Regex  string `json:"Regex,omitempty"`
		String string `json:"String,omitempty"`
	}

	byteLevelPart struct {
		Type           string `json:"type"`
		AddPrefixSpace *bool  `json:"add_prefix_space"`
		TrimOffsets    *bool  `json:"trim_offsets"` // offsets alone, no ids
		UseRegex       *bool  `json:"use_regex"`    // true if absent
	}

	modelPart struct {
		Type                    string     `json:"type"`
		Dropout                 *float64   `json:"dropout"`
		UnkToken                *string    `json:"unk_token"`
		ContinuingSubwordPrefix *string    `json:"continuing_subword_prefix"`
		EndOfWordSuffix         *string    `json:"end_of_word_suffix"`
		FuseUnk                 bool       `json:"fuse_unk"` // without meaning when every byte has a token
		ByteFallback            bool       `json:"byte_fallback"`
		IgnoreMerges            bool       `json:"ignore_merges"`
		Vocab                   vocabulary `json:"vocab"`
		Merges                  mergeList  `json:"merges"`
	}
)

// vocabulary is the JSON object of tokens and ids, in the order of the file.
type vocabulary []vocabEntry

type vocabEntry struct {
	token string
	id    int64
}

func (v vocabulary) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, e := range v {
		if i > 0 {
			b.WriteByte(',')
		}
		text, err := marshal(e.token, "")
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s:%d", bytes.TrimSpace(text), e.id)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (v *vocabulary) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return errors.New("vocab is not an object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		e := vocabEntry{token: key.(string)} // the decoder accepts nothing else as a key
		if err := dec.Decode(&e.id); err != nil {
			return fmt.Errorf("vocab: the id of %.80q is not a whole number", e.token)
		}
		*v = append(*v, e)
	}
	return nil
}

// mergeList is the list of merges: written as "a b", read also as ["a", "b"].
type mergeList [][2]string

func (m mergeList) MarshalJSON() ([]byte, error) {
	joined := make([]string, len(m))
	for i, parts := range m {
		joined[i] = parts[0] + " " + parts[1]
	}
	return marshal(joined, "")
}

func (m *mergeList) UnmarshalJSON(text []byte) error {
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		return errors.New("merges is not a list")
	}
	*m = make(mergeList, len(items))
	for i, item := range items {
		var parts []string
		if item[0] == '"' {
			var joined string
			if err := json.Unmarshal(item, &joined); err != nil {
				return err
			}
			parts = strings.Split(joined, " ")
		} else if err := json.Unmarshal(item, &parts); err != nil {
			parts = nil
		}
		if len(parts) != 2 {
			return fmt.Errorf("merge %d is not a pair of tokens: %.80q", i, item)
		}
		(*m)[i] = [2]string(parts)
	}
	return nil
}

// marshal renders JSON as it is read by people: raw <, > and &, indented if
// asked, a line break at the end.
func marshal(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// strict decodes a component and refuses fields that it does not know: they
// could change what the component does.
func strict(text json.RawMessage, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// absent reports whether an optional component is missing or null.
func absent(text json.RawMessage) bool {
	return len(text) == 0 || string(text) == "null"
}
