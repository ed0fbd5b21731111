package metrics

import (
	"errors"
	"fmt"
	"time"

	"github.com/dlclark/regexp2"
)

// FormatRule is one rule about the form of a generated text. It has either a
// Pattern or MaxTokens.
type FormatRule struct {
	Name string
	// Pattern is a regular expression with the syntax of regexp2 (lookahead,
	// lookbehind and backreferences included). It may match anywhere in the
	// text; ^ and $ anchor it to the ends.
	Pattern string
	// Invert turns a pattern into one that must not match.
	Invert bool
	// MaxTokens is the largest number of tokens allowed; 0 when the rule is a
	// pattern.
	MaxTokens int
}

// Validate says what is wrong with the rule, nil when it can be used.
func (r FormatRule) Validate() error {
	switch {
	case r.Name == "":
		return errors.New("needs a name")
	case r.MaxTokens < 0:
		return fmt.Errorf("max_tokens must be at least 1, not %d", r.MaxTokens)
	case r.Pattern == "" && r.MaxTokens == 0:
		return errors.New("needs a pattern or max_tokens")
	case r.Pattern != "" && r.MaxTokens != 0:
		return errors.New("has both a pattern and max_tokens; make it two rules")
	case r.Invert && r.Pattern == "":
		return errors.New("invert belongs to a pattern")
	}
	if r.Pattern != "" {
		if _, err := regexp2.Compile(r.Pattern, regexp2.None); err != nil {
			return fmt.Errorf("pattern does not compile: %w", err)
		}
	}
	return nil
}

// A backtracking pattern can take exponential time on an unlucky text. One
// second is far more than any sane pattern needs and keeps a cancelled
// evaluation responsive.
const matchTimeout = time.Second

// Format checks texts against a list of rules.
type Format struct {
	rules  []FormatRule
	regexp []*regexp2.Regexp // nil where the rule counts tokens
	tokens func(string) int
}

// NewFormat compiles the rules. tokens counts the tokens of a text; it may be
// nil when no rule has MaxTokens.
func NewFormat(rules []FormatRule, tokens func(string) int) (*Format, error) {
	f := &Format{rules: rules, regexp: make([]*regexp2.Regexp, len(rules)), tokens: tokens}
	for i, r := range rules {
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("format rule %q: %w", r.Name, err)
		}
		if r.Pattern == "" {
			if tokens == nil {
				return nil, fmt.Errorf("format rule %q: max_tokens needs a tokenizer", r.Name)
			}
			continue
		}
		f.regexp[i] = regexp2.MustCompile(r.Pattern, regexp2.None)
		f.regexp[i].MatchTimeout = matchTimeout
	}
	return f, nil
}

// Broken lists the names of the rules that the text breaks, in the order of
// the rules. The error is a pattern that ran out of time on this text.
func (f *Format) Broken(text string) ([]string, error) {
	var broken []string
	for i, r := range f.rules {
		ok, err := f.passes(i, text)
		if err != nil {
			return nil, fmt.Errorf("format rule %q: %w", r.Name, err)
		}
		if !ok {
			broken = append(broken, r.Name)
		}
	}
	return broken, nil
}

// Complies says whether the text passes every rule.
func (f *Format) Complies(text string) (bool, error) {
	broken, err := f.Broken(text)
	return err == nil && len(broken) == 0, err
}

func (f *Format) passes(i int, text string) (bool, error) {
	r := f.rules[i]
	if f.regexp[i] == nil {
		return f.tokens(text) <= r.MaxTokens, nil
	}
	matched, err := f.regexp[i].MatchString(text)
	if err != nil {
		// The library's message repeats the whole text, which may be hostile.
		return false, fmt.Errorf("pattern took longer than %v on one text", matchTimeout)
	}
	return matched != r.Invert, nil
}
