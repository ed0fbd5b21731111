package bpe

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/fault"
)

const (
	// maxVocab is far above any tokenizer in use, and keeps an absurd number
	// in a configuration from becoming an absurd amount of memory.
	maxVocab = 1 << 22
	// maxPieces bounds the distinct pieces that are counted, about 150 MB.
	// When there are more, the rarest are forgotten.
	maxPieces = 2 << 20
	// longestPiece is where longer pieces are cut for counting: a long run
	// without a space (base64, a page of Chinese) then costs no more than text,
	// and no token that is worth having is that long.
	longestPiece = 256
)

// TrainOptions say what tokenizer to learn. The zero value of each field but
// VocabSize stands for the default.
type TrainOptions struct {
	// VocabSize is the number of tokens to end with, special tokens and the
	// 256 bytes included. Text that is too uniform ends with fewer.
	VocabSize int
	// Split is the expression that cuts a text into pieces; DefaultSplit if
	// empty. It must mean the same in the .NET dialect and in Oniguruma.
	Split string
	// Special are further special tokens, after PadToken and EOSToken.
	Special []string
	// MinFrequency is how often two neighbours must occur to become a token;
	// 2 if 0.
	MinFrequency int
	// MaxLength is the longest sequence that the model takes, written to
	// tokenizer_config.json; 0 for no limit.
	MaxLength int
}

// Train learns a tokenizer. Ids are PadToken 0, EOSToken 1, the further
// special tokens, the 256 bytes in the order of their characters in the byte
// alphabet, and then the merges in the order in which they were learned: at
// each step the two neighbours with the highest count, of equal counts those
// with the lowest ids, as in Hugging Face's BpeTrainer.
//
// Memory grows with the number of distinct pieces, not with the text. Options
// that cannot be met are a *fault.ConfigError; when ctx ends, its error.
func Train(ctx context.Context, texts iter.Seq[string], opt TrainOptions) (*Tokenizer, error) {
	special, pre, err := opt.check()
	if err != nil {
		return nil, err
	}
	counts := newPieceCounts(maxPieces)
	for text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := pre.split(validText(text), counts.add); err != nil {
			return nil, err
		}
	}
	tokens := append(special, alphabet()...)
	l := newLearner(tokens, len(special), counts)
	if err := l.learn(ctx, opt.VocabSize, int64(opt.MinFrequency)); err != nil {
		return nil, err
	}
	v := vocab{tokens: l.tokens, special: make([]bool, len(l.tokens)), merges: l.merges}
	for id := range special {
		v.special[id] = true
	}
	t := newTokenizer(v, pre, false)
	t.pad, t.eos, t.maxLength = 0, 1, opt.MaxLength
	return t, nil
}

// check fills in the defaults and returns the special tokens and the compiled
// pattern.
func (o *TrainOptions) check() (special []string, pre preTokenizer, err error) {
	special = []string{PadToken, EOSToken}
	for _, token := range o.Special {
		if token == PadToken || token == EOSToken {
			continue // they are there already
		}
		switch {
		case token == "" || !utf8.ValidString(token):
			return nil, nil, optionError("choose a name like <sep>", "%q cannot be a special token", token)
		case utf8.RuneCountInString(token) == 1 && spelled(token):
			return nil, nil, optionError("choose a name like <sep>", "the special token %q is also the name of a byte", token)
		case slices.Contains(special, token):
			return nil, nil, optionError("name it once", "the special token %q is named twice", token)
		}
		special = append(special, token)
	}
	if least := len(special) + 256; o.VocabSize < least || o.VocabSize > maxVocab {
		return nil, nil, optionError(fmt.Sprintf("choose a size from %d (special tokens and single bytes) to %d", least, maxVocab),
			"a vocabulary of %d tokens cannot be learned", o.VocabSize)
	}
	if o.MinFrequency < 0 || o.MaxLength < 0 {
		return nil, nil, optionError("leave it at 0 for the default", "the minimum frequency and the maximum length must not be negative")
	}
	if o.MinFrequency == 0 {
		o.MinFrequency = 2
	}
	if o.Split == "" {
		o.Split = DefaultSplit
	}
	cut, err := newStep(splitRegex, o.Split)
	if err != nil {
		return nil, nil, optionError("use an expression of classes, alternatives and look-arounds", "%v", err)
	}
	return special, preTokenizer{cut}, nil
}

func optionError(hint, format string, args ...any) error {
	return &fault.ConfigError{Detail: fault.Detail{Op: "learn tokenizer", Reason: fmt.Sprintf(format, args...), Hint: hint}}
}

// pieceCounts counts how often each piece occurs, up to a number of distinct
// pieces: past it the rarest are forgotten, in a way that depends on the order
// of the texts alone.
type pieceCounts struct {
	index map[string]int32
	names []string
	count []int64
	limit int
	floor int64 // pieces up to this count are forgotten next
}

func newPieceCounts(limit int) *pieceCounts {
	return &pieceCounts{index: map[string]int32{}, limit: limit, floor: 1}
}

func (c *pieceCounts) add(piece string) {
	for len(piece) > longestPiece {
		c.addShort(piece[:longestPiece])
		piece = piece[longestPiece:]
	}
	c.addShort(piece)
}

func (c *pieceCounts) addShort(piece string) {
	if i, ok := c.index[piece]; ok {
		c.count[i]++
		return
	}
	if len(c.names) >= c.limit {
		c.forget()
	}
	piece = strings.Clone(piece) // or the text it came from would stay in memory
	c.index[piece] = int32(len(c.names))
	c.names = append(c.names, piece)
	c.count = append(c.count, 1)
}

// forget drops the rarest pieces until at most half the limit is left.
func (c *pieceCounts) forget() {
	for len(c.names) > c.limit/2 {
		kept := 0
		for i, name := range c.names {
			if c.count[i] > c.floor {
				c.names[kept], c.count[kept] = name, c.count[i]
				kept++
			}
		}
		clear(c.names[kept:])
		c.names, c.count = c.names[:kept], c.count[:kept]
		if kept > c.limit/2 {
			c.floor *= 2
		}
	}
	clear(c.index)
	for i, name := range c.names {
		c.index[name] = int32(i)
	}
}
