package bpe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
)

// configFile holds what Load takes from tokenizer_config.json and
// special_tokens_map.json.
type configFile struct {
	EOS       tokenName       `json:"eos_token"`
	PAD       tokenName       `json:"pad_token"`
	MaxLength json.RawMessage `json:"model_max_length"`
}

// tokenName is a token given as its text or as an object with the text under
// "content"; empty when absent or null.
type tokenName string

func (n *tokenName) UnmarshalJSON(text []byte) error {
	var object struct{ Content string }
	if json.Unmarshal(text, (*string)(n)) == nil {
		return nil
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return errors.New("a token is neither a text nor an object with content")
	}
	*n = tokenName(object.Content)
	return nil
}

// loadConfig finds the end and the padding token. What tokenizer_config.json
// leaves open is taken from special_tokens_map.json; either may be missing.
func (t *Tokenizer) loadConfig(dir string) error {
	var config configFile
	for _, name := range []string{configName, specialName} {
		path := filepath.Join(dir, name)
		text, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var file configFile
		if err := json.Unmarshal(text, &file); err != nil {
			return syntaxError(path, text, err)
		}
		if config.EOS == "" {
			config.EOS = file.EOS
		}
		if config.PAD == "" {
			config.PAD = file.PAD
		}
		if config.MaxLength == nil {
			config.MaxLength = file.MaxLength
		}
	}
	path := filepath.Join(dir, configName)
	if config.EOS == "" {
		return loadError(path, "name the token that ends a sequence as eos_token", "the tokenizer has no end token (eos_token)")
	}
	var err error
	if t.eos, err = t.specialID("eos_token", config.EOS); err != nil {
		return loadError(path, "list it among added_tokens in "+tokenizerName+", marked as special", "%v", err)
	}
	t.pad = t.eos
	if config.PAD != "" {
		if t.pad, err = t.specialID("pad_token", config.PAD); err != nil {
			return loadError(path, "list it among added_tokens in "+tokenizerName+", marked as special", "%v", err)
		}
	}
	// Hugging Face writes a number beyond 64 bits for "no limit".
	if limit, err := strconv.Atoi(string(config.MaxLength)); err == nil && limit > 0 {
		t.maxLength = limit
	}
	return nil
}

func (t *Tokenizer) specialID(key string, name tokenName) (int32, error) {
	id := slices.Index(t.tokens, string(name))
	if id < 0 || !t.special[id] {
		return 0, fmt.Errorf("%s %.80q is not a special token of the tokenizer", key, string(name))
	}
	return int32(id), nil
}
