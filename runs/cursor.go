package runs

import "strconv"

// cursor walks over JSON of the plain shape that this package writes: ASCII
// strings without escapes, numbers, null, no nesting beyond what a caller
// walks itself. A false answer means "not that plain", never "wrong": the
// caller then takes the tolerant way of loose.go, which knows all of JSON.
type cursor struct {
	s string
	i int
}

func (c *cursor) space() {
	for c.i < len(c.s) {
		switch c.s[c.i] {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return
		}
	}
}

// take steps over b and the white space after it, if b is next.
func (c *cursor) take(b byte) bool {
	if c.i < len(c.s) && c.s[c.i] == b {
		c.i++
		c.space()
		return true
	}
	return false
}

// text steps over a string and the white space after it.
func (c *cursor) text() (string, bool) {
	if c.i >= len(c.s) || c.s[c.i] != '"' {
		return "", false
	}
	start := c.i + 1
	for i := start; i < len(c.s); i++ {
		switch b := c.s[i]; {
		case b == '"':
			c.i = i + 1
			c.space()
			return c.s[start:i], true
		case b < 0x20 || b >= 0x80 || b == '\\':
			return "", false
		}
	}
	return "", false
}

// key steps over `"name" :`.
func (c *cursor) key() (string, bool) {
	name, ok := c.text()
	return name, ok && c.take(':')
}

// null steps over null and the white space after it.
func (c *cursor) null() bool {
	if len(c.s)-c.i >= 4 && c.s[c.i:c.i+4] == "null" {
		c.i += 4
		c.space()
		return true
	}
	return false
}

// literal steps over a number by the JSON grammar and returns it as written.
func (c *cursor) literal() (string, bool) {
	s, i := c.s, c.i
	if i < len(s) && s[i] == '-' {
		i++
	}
	digits := i
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	if i == digits || s[digits] == '0' && i > digits+1 {
		return "", false
	}
	if i < len(s) && s[i] == '.' {
		i++
		fraction := i
		for i < len(s) && s[i]-'0' <= 9 {
			i++
		}
		if i == fraction {
			return "", false
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		exponent := i
		for i < len(s) && s[i]-'0' <= 9 {
			i++
		}
		if i == exponent {
			return "", false
		}
	}
	lit := s[c.i:i]
	c.i = i
	c.space()
	return lit, true
}

// number steps over a finite number.
func (c *cursor) number() (float64, bool) {
	lit, ok := c.literal()
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(lit, 64)
	return f, err == nil
}

// integer steps over a whole number of at most 15 digits, not negative.
func (c *cursor) integer() (int64, bool) {
	lit, ok := c.literal()
	if !ok || len(lit) > 15 {
		return 0, false
	}
	var n int64
	for i := range len(lit) {
		d := lit[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int64(d)
	}
	return n, true
}

// next steps over what follows a member: a comma (more) or the closing brace.
func (c *cursor) next() (more, ok bool) {
	if c.take(',') {
		return true, true
	}
	return false, c.take('}')
}

// done reports whether everything was walked over.
func (c *cursor) done() bool { return c.i == len(c.s) }
