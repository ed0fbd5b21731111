package bpe

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DefaultSplit cuts a text into the pieces that tokens never cross:
//
//   - a header of the sft prompt with the line breaks before it, so that each
//     header can become one token, and so that the response after it is cut
//     the same with and without its prompt;
//   - a word with the space or apostrophe before it, and with one digit after
//     it when it is only one ("AH0");
//   - up to three digits, with the space before them;
//   - other characters, with the space before them;
//   - white space, less the one space that belongs to the word after it.
//
// Every character is in exactly one piece. The classes are general categories
// alone (\s and \d differ between engines), so that .NET, Oniguruma and
// ECMAScript engines agree on every match.
const DefaultSplit = `\n*### (?:Instruction|Input|Response):\n` +
	`|[ '’]?[\p{L}\p{M}]+(?:\p{N}(?!\p{N}))?` +
	`| ?\p{N}{1,3}` +
	`| ?[^\p{Z}\t-\r\p{L}\p{M}\p{N}]+` +
	`|[\p{Z}\t-\r]+(?= [^\p{Z}\t-\r])` +
	`|[\p{Z}\t-\r]+`

// splitter cuts a text of valid UTF-8 into pieces: none empty, and their
// concatenation is the text, or on an error its start.
type splitter interface {
	split(text string, piece func(string)) error
}

// preTokenizer applies splitters one after the other, each to the pieces of
// the one before.
type preTokenizer []step

// step is one splitter and the pattern it came from, for saving.
type step struct {
	splitter
	pattern string
	kind    stepKind
}

type stepKind int

const (
	splitRegex    stepKind = iota // Split with a regular expression
	splitString                   // Split at a fixed string
	byteLevelStep                 // the pattern built into ByteLevel
)

func (p preTokenizer) split(text string, piece func(string)) error {
	switch len(p) {
	case 0:
		if text != "" {
			piece(text)
		}
		return nil
	case 1:
		return p[0].split(text, piece)
	}
	var failed error
	err := p[0].split(text, func(part string) {
		if failed == nil {
			failed = p[1:].split(part, piece)
		}
	})
	return cmp.Or(failed, err)
}

// newStep compiles a pattern; DefaultSplit has a scanner of its own.
func newStep(kind stepKind, pattern string) (step, error) {
	if kind == splitRegex && pattern == DefaultSplit {
		return step{splitter: defaultScanner{}, pattern: pattern, kind: kind}, nil
	}
	compiled, err := compile(pattern, kind == splitString)
	return step{splitter: compiled, pattern: pattern, kind: kind}, err
}

// defaultScanner matches DefaultSplit by hand: in time linear in the text, and
// many times faster than the expression.
type defaultScanner struct{}

func (defaultScanner) split(text string, piece func(string)) error {
	for at := 0; at < len(text); {
		end := nextPiece(text, at)
		piece(text[at:end])
		at = end
	}
	return nil
}

// nextPiece is the end of the piece that starts at byte i; the alternatives
// are tried in the order of the expression.
func nextPiece(s string, i int) int {
	if s[i] == '\n' || s[i] == '#' {
		if end := headerEnd(s, i); end > 0 {
			return end
		}
	}
	word := i // where a word would start, after a space or an apostrophe
	switch {
	case s[i] == ' ', s[i] == '\'':
		word++
	case strings.HasPrefix(s[i:], "’"):
		word += len("’")
	}
	if end := runEnd(s, word, letter); end > word {
		if digit := countedEnd(s, end, number, 2); digit > end && countedEnd(s, end, number, 1) == digit {
			end = digit
		}
		return end
	}
	other := i
	if s[i] == ' ' {
		other++
	}
	if end := countedEnd(s, other, number, 3); end > other {
		return end
	}
	if end := runEnd(s, other, symbol); end > other {
		return end
	}
	end := runEnd(s, i, space)
	if end < len(s) && s[end-1] == ' ' && end-1 > i {
		end-- // the space goes with what follows it
	}
	return end
}

// headerEnd is the end of a prompt header that starts at i, 0 for none.
func headerEnd(s string, i int) int {
	for i < len(s) && s[i] == '\n' {
		i++
	}
	rest, ok := strings.CutPrefix(s[i:], "### ")
	if !ok {
		return 0
	}
	for _, name := range [...]string{"Instruction:\n", "Input:\n", "Response:\n"} {
		if strings.HasPrefix(rest, name) {
			return i + len("### ") + len(name)
		}
	}
	return 0
}

// runEnd is the end of the run of characters of one class from i on.
func runEnd(s string, i int, want class) int { return countedEnd(s, i, want, len(s)) }

// countedEnd is the same for a run of at most n characters.
func countedEnd(s string, i int, want class, n int) int {
	for ; n > 0 && i < len(s); n-- {
		if c := s[i]; c < utf8.RuneSelf {
			if asciiClass[c] != want {
				break
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if classOf(r) != want {
			break
		}
		i += size
	}
	return i
}

// class is what DefaultSplit tells characters apart by; each character has
// exactly one.
type class uint8

const (
	symbol class = iota // whatever is none of the others
	letter              // categories L and M
	number              // category N
	space               // category Z and the controls from tab to carriage return
)

func classOf(r rune) class {
	switch {
	case unicode.IsLetter(r) || unicode.IsMark(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.Is(unicode.Z, r) || r >= '\t' && r <= '\r':
		return space
	}
	return symbol
}

var asciiClass = func() (table [utf8.RuneSelf]class) {
	for r := range table {
		table[r] = classOf(rune(r))
	}
	return table
}()
