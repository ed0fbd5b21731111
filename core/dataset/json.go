package dataset

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A strict JSON walker over one text in memory. Unlike encoding/json it sees
// every member of an object in order, so a key given twice is noticed; it
// matches keys exactly; it refuses half a surrogate pair instead of replacing
// it; and it allocates nothing for values that are skipped.

type kind byte

const (
	absent kind = iota
	kindNull
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// String names the kind with its article, for messages.
func (k kind) String() string {
	return [...]string{"nothing", "null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// value is a checked JSON value: data[start:end] of the text it was found in.
type value struct {
	kind       kind
	escaped    bool // a string with at least one backslash
	start, end int
}

// raw returns the JSON text of v.
func (v value) raw(data []byte) []byte { return data[v.start:v.end] }

// syntaxError says where a text stops being JSON.
type syntaxError struct {
	offset int
	reason string
}

func (e *syntaxError) Error() string { return e.reason }

// maxDepth bounds the recursion over nested lists and objects.
const maxDepth = 10000

// cursor walks data from pos on.
type cursor struct {
	data  []byte
	pos   int
	depth int
}

func (c *cursor) fail(format string, args ...any) error {
	return &syntaxError{offset: c.pos, reason: fmt.Sprintf(format, args...)}
}

// unexpected describes the byte at pos where something else was wanted.
func (c *cursor) unexpected(want string) error {
	if c.pos >= len(c.data) {
		return c.fail("the text ends where %s is expected", want)
	}
	if c.data[c.pos] == 0 {
		return c.fail("a NUL byte where %s is expected", want)
	}
	r, _ := utf8.DecodeRune(c.data[c.pos:])
	return c.fail("%+q where %s is expected", r, want)
}

func (c *cursor) space() {
	for c.pos < len(c.data) {
		switch c.data[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return
		}
	}
}

// end returns an error unless only white space is left.
func (c *cursor) end() error {
	c.space()
	if c.pos < len(c.data) {
		return c.unexpected("the end")
	}
	return nil
}

// open enters the object at pos.
func (c *cursor) open() error {
	c.space()
	if c.pos >= len(c.data) || c.data[c.pos] != '{' {
		return c.unexpected("'{'")
	}
	c.pos++
	return nil
}

// member returns the next member of the object that open entered; first says
// that none was read yet. ok is false after the last one, with the closing
// brace consumed.
func (c *cursor) member(first bool) (key, v value, ok bool, err error) {
	c.space()
	if c.pos < len(c.data) && c.data[c.pos] == '}' {
		c.pos++
		return key, v, false, nil
	}
	if !first {
		if c.pos >= len(c.data) || c.data[c.pos] != ',' {
			return key, v, false, c.unexpected("',' or '}'")
		}
		c.pos++
		c.space()
	}
	if c.pos >= len(c.data) || c.data[c.pos] != '"' {
		return key, v, false, c.unexpected("a key in double quotes")
	}
	if key, err = c.str(); err != nil {
		return key, v, false, err
	}
	c.space()
	if c.pos >= len(c.data) || c.data[c.pos] != ':' {
		return key, v, false, c.unexpected("':'")
	}
	c.pos++
	v, err = c.value()
	return key, v, err == nil, err
}

// value reads one value of any kind.
func (c *cursor) value() (value, error) {
	c.space()
	if c.pos >= len(c.data) {
		return value{}, c.unexpected("a value")
	}
	start := c.pos
	var k kind
	var err error
	switch b := c.data[c.pos]; {
	case b == '"':
		return c.str()
	case b == '{':
		k, err = kindObject, c.object()
	case b == '[':
		k, err = kindArray, c.array()
	case b == 't':
		k, err = kindBool, c.word("true")
	case b == 'f':
		k, err = kindBool, c.word("false")
	case b == 'n':
		k, err = kindNull, c.word("null")
	case b == '-' || b >= '0' && b <= '9':
		k, err = kindNumber, c.number()
	default:
		err = c.unexpected("a value")
	}
	return value{kind: k, start: start, end: c.pos}, err
}

func (c *cursor) object() error {
	if err := c.enter(); err != nil {
		return err
	}
	if err := c.open(); err != nil {
		return err
	}
	for first := true; ; first = false {
		_, _, ok, err := c.member(first)
		if err != nil {
			return err
		}
		if !ok {
			c.depth--
			return nil
		}
	}
}

func (c *cursor) array() error {
	if err := c.enter(); err != nil {
		return err
	}
	c.pos++
	c.space()
	if c.pos < len(c.data) && c.data[c.pos] == ']' {
		c.pos++
		c.depth--
		return nil
	}
	for {
		if _, err := c.value(); err != nil {
			return err
		}
		c.space()
		switch {
		case c.pos < len(c.data) && c.data[c.pos] == ',':
			c.pos++
		case c.pos < len(c.data) && c.data[c.pos] == ']':
			c.pos++
			c.depth--
			return nil
		default:
			return c.unexpected("',' or ']'")
		}
	}
}

func (c *cursor) enter() error {
	if c.depth++; c.depth > maxDepth {
		return c.fail("more than %d levels deep", maxDepth)
	}
	return nil
}

func (c *cursor) word(w string) error {
	if len(c.data)-c.pos < len(w) || string(c.data[c.pos:c.pos+len(w)]) != w {
		return c.unexpected("a value")
	}
	c.pos += len(w)
	return nil
}

// number reads -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (c *cursor) number() error {
	if c.data[c.pos] == '-' {
		c.pos++
	}
	if c.pos < len(c.data) && c.data[c.pos] == '0' {
		c.pos++
	} else if err := c.digits(); err != nil {
		return err
	}
	if c.pos < len(c.data) && c.data[c.pos] == '.' {
		c.pos++
		if err := c.digits(); err != nil {
			return err
		}
	}
	if c.pos < len(c.data) && (c.data[c.pos] == 'e' || c.data[c.pos] == 'E') {
		c.pos++
		if c.pos < len(c.data) && (c.data[c.pos] == '+' || c.data[c.pos] == '-') {
			c.pos++
		}
		return c.digits()
	}
	return nil
}

func (c *cursor) digits() error {
	start := c.pos
	for c.pos < len(c.data) && c.data[c.pos] >= '0' && c.data[c.pos] <= '9' {
		c.pos++
	}
	if c.pos == start {
		return c.unexpected("a digit")
	}
	return nil
}

// str reads the string whose opening quote is at pos.
func (c *cursor) str() (value, error) {
	v := value{kind: kindString, start: c.pos}
	for c.pos++; c.pos < len(c.data); c.pos++ {
		switch b := c.data[c.pos]; {
		case b == '"':
			c.pos++
			v.end = c.pos
			return v, nil
		case b == '\\':
			v.escaped = true
			if err := c.escape(); err != nil {
				return v, err
			}
		case b == 0:
			return v, c.fail("a NUL byte in a string")
		case b < 0x20:
			return v, c.fail("the control character %+q in a string must be escaped", rune(b))
		}
	}
	return v, c.fail("the text ends inside a string")
}

// escape checks the escape whose backslash is at pos, and stops on its last
// byte.
func (c *cursor) escape() error {
	c.pos++
	if c.pos >= len(c.data) {
		return c.fail("the text ends inside a string")
	}
	switch c.data[c.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			c.pos++
			if c.pos >= len(c.data) || !isHex(c.data[c.pos]) {
				return c.unexpected("a hex digit")
			}
		}
		return nil
	}
	return c.unexpected("an escape such as \\n")
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

// text returns the bytes that the string v stands for: a part of data where
// nothing is escaped, else appended to *scratch. ok is false when an escape is
// half a surrogate pair, which is no character.
func (v value) text(data []byte, scratch *[]byte) (text []byte, ok bool) {
	body := data[v.start+1 : v.end-1]
	if !v.escaped {
		return body, true
	}
	from := len(*scratch)
	out := *scratch
	for i := 0; i < len(body); {
		if body[i] != '\\' {
			out = append(out, body[i])
			i++
			continue
		}
		switch b := body[i+1]; b {
		case 'u':
			r := hex4(body[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				if i+6 > len(body) || body[i] != '\\' || body[i+1] != 'u' {
					return nil, false
				}
				if r = utf16.DecodeRune(r, hex4(body[i+2:])); r == utf8.RuneError {
					return nil, false
				}
				i += 6
			}
			out = utf8.AppendRune(out, r)
			continue
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		default:
			out = append(out, b)
		}
		i += 2
	}
	*scratch = out
	return out[from:], true
}

// hex4 reads four checked hex digits.
func hex4(b []byte) rune {
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}
