package bpe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"

	"github.com/verifily/verifily-tui/core/fault"
)

// gpt2Pattern is the expression built into the ByteLevel pre-tokenizer.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// matchTimeout bounds one match of an expression. A match takes microseconds,
// a long one milliseconds; only an expression that backtracks without end gets
// here. How far it came would depend on the machine, so it is an error.
const matchTimeout = 10 * time.Second

// pattern cuts a text at the matches of an expression: each match is a piece,
// and so is what lies between two ("Isolated").
type pattern struct{ expression *regexp2.Regexp }

func compile(text string, literal bool) (*pattern, error) {
	if text == "" {
		return nil, errors.New("the pattern is empty")
	}
	if literal {
		text = regexp2.Escape(text)
	} else if err := portable(text); err != nil {
		return nil, fmt.Errorf("pattern %.200q: %w", text, err)
	}
	expression, err := regexp2.Compile(text, regexp2.None)
	if err != nil {
		// The message repeats the pattern, which may hold anything, unescaped.
		reason := strings.TrimSuffix(err.Error(), " in `"+text+"`")
		return nil, fmt.Errorf("pattern %.200q: %s", text, reason)
	}
	expression.MatchTimeout = matchTimeout
	return &pattern{expression}, nil
}

func (p *pattern) split(text string, piece func(string)) error {
	runes := []rune(text)
	at, seen := 0, 0 // bytes of text that are cut off, and the runes in them
	cut := func(to int) {
		if to <= seen {
			return
		}
		end := at + to - seen
		if len(runes) != len(text) {
			end = at
			for _, r := range runes[seen:to] {
				end += utf8.RuneLen(r)
			}
		}
		piece(text[at:end])
		at, seen = end, to
	}
	match, err := p.expression.FindRunesMatch(runes)
	for err == nil && match != nil {
		cut(match.Index)
		cut(match.Index + match.Length)
		match, err = p.expression.FindNextMatch(match)
	}
	if err != nil { // it repeats the text, which may be long and holds anything
		return p.tooSlow()
	}
	cut(len(runes))
	return nil
}

// tooSlow is the error of a match that took too long.
func (p *pattern) tooSlow() error {
	return &fault.ConfigError{Detail: fault.Detail{Op: "tokenize",
		Reason: fmt.Sprintf("the split expression %.200q found no end of a match within %v", p.expression.String(), p.expression.MatchTimeout),
		Hint:   "make tokenizer.split simpler: with fewer repetitions that can match the same text; that of a loaded model stands in its " + tokenizerName}}
}

// portable refuses expressions that could mean something else in Oniguruma,
// where Hugging Face runs them, than in the .NET dialect used here, and those
// that repeat a repetition, which can take exponential time.
func portable(text string) error {
	groups := []bool{false} // whether each open group, outermost first, repeats something without bound
	closed := false         // whether what stands before i is a group that does
	for i := 0; i < len(text); {
		repeats, next := false, i+1
		switch c := text[i]; c {
		case '\\':
			n, err := escape(text[i:])
			if err != nil {
				return err
			}
			next = i + n
		case '[':
			n, err := bracket(text[i:])
			if err != nil {
				return err
			}
			next = i + n
		case '(':
			n, err := groupStart(text[i:])
			if err != nil {
				return err
			}
			groups, next = append(groups, false), i+n
		case ')':
			if len(groups) == 1 {
				return errors.New("a ) without its (")
			}
			repeats = groups[len(groups)-1]
			groups = groups[:len(groups)-1]
		case '*', '+', '{', '?':
			n, unbounded, err := quantifier(text[i:])
			if err != nil {
				return err
			}
			if unbounded && closed {
				return errors.New("a repetition within a repetition can take endless time")
			}
			groups[len(groups)-1] = groups[len(groups)-1] || unbounded
			next = i + n
		case '^', '$':
			return fmt.Errorf("the anchor %c is not supported", c)
		}
		if repeats {
			groups[len(groups)-1] = true
		}
		closed = repeats
		i = next
	}
	return nil
}

// escape is the length of the escape that text begins with.
func escape(text string) (int, error) {
	if len(text) < 2 {
		return 0, errors.New("it ends in a backslash")
	}
	switch c := text[1]; {
	case c == 'p' || c == 'P':
		end := strings.IndexByte(text, '}')
		if end < 0 || text[2] != '{' {
			return 0, errors.New(`\p needs a name in braces`)
		}
		return end + 1, nil
	case strings.IndexByte("sSdDtnrvfu", c) >= 0, c >= utf8.RuneSelf:
		return 2, nil
	case c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return 0, fmt.Errorf(`the escape \%c is not supported`, c)
	}
	return 2, nil
}

// bracket is the length of the character class that text begins with.
func bracket(text string) (int, error) {
	i := 1
	if strings.HasPrefix(text, "[^") {
		i = 2
	}
	for first := i; i < len(text); {
		switch {
		case text[i] == ']' && i > first:
			return i + 1, nil
		case text[i] == ']', text[i] == '[', strings.HasPrefix(text[i:], "&&"):
			return 0, fmt.Errorf("%c within a class must be escaped", text[i])
		case text[i] == '\\':
			n, err := escape(text[i:])
			if err != nil {
				return 0, err
			}
			i += n
		default:
			i++
		}
	}
	return 0, errors.New("a [ without its ]")
}

// groupStart is the length of the opening of a group.
func groupStart(text string) (int, error) {
	if !strings.HasPrefix(text, "(?") {
		return 1, nil
	}
	for _, opening := range [...]string{"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"} {
		if strings.HasPrefix(text, opening) {
			return len(opening), nil
		}
	}
	return 0, fmt.Errorf("the group %.4s is not supported", text)
}

// quantifier is the length of the quantifier that text begins with, and
// whether it repeats without bound, or so often that it is as bad.
func quantifier(text string) (n int, unbounded bool, err error) {
	if text[0] != '{' {
		return 1, text[0] != '?', nil
	}
	inside, _, ok := strings.Cut(text[1:], "}")
	low, high, isRange := strings.Cut(inside, ",")
	if !isRange {
		high = low
	}
	_, lowErr := strconv.ParseUint(low, 10, 16)
	most, highErr := strconv.ParseUint(high, 10, 16)
	if high == "" {
		highErr = nil
	}
	if !ok || lowErr != nil || highErr != nil {
		return 0, false, fmt.Errorf("{ that is not a repetition like {1,3} must be escaped")
	}
	return len(inside) + 2, high == "" || most > 255, nil
}
