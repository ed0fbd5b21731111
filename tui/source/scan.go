package source

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/runs"
)

// scanner adds lines of a log to a history. It reads the shape that nearly all
// lines have - an object of numbers, with a timestamp - straight into columns,
// and says of any other that it cannot: those are for package runs, which knows
// all of JSON. What both read comes out the same.
type scanner struct {
	h     *History
	known [numbers]*Curve // of h, nil until they have a value
	line  fields
	date  [10]byte // the day that midnight is the beginning of
	// midnight is the unix time of date, -1 before there is one.
	midnight int64
}

// The numbers of a line that have a name of their own in runs.LogLine.
const (
	isLoss = iota
	isEvalLoss
	isRate
	isNorm
	isSpeed
	numbers
)

var numberNames = [numbers]string{isLoss: Loss, isEvalLoss: EvalLoss, isRate: LearningRate, isNorm: GradNorm, isSpeed: Speed}

// fields are what a line says.
type fields struct {
	step, epoch, tokens float64
	value               [numbers]float64
	has                 [numbers]bool
	hasTokens           bool
	unix                int64
	timed               bool
	names               []string // of further metrics
	more                []float64
}

func newScanner(h *History) *scanner {
	s := &scanner{h: h, midnight: -1}
	for i, name := range numberNames {
		s.known[i] = h.Curves[name]
	}
	return s
}

// lines adds all lines of a text that ends with a newline. It stops before the
// first one that has another shape and returns how many bytes it took.
func (s *scanner) lines(text []byte) int {
	at := 0
	for at < len(text) {
		end := bytes.IndexByte(text[at:], '\n')
		if !s.parse(text[at:at+end]) && len(bytes.TrimSpace(text[at:at+end])) > 0 {
			return at
		} else if s.line.step >= 0 {
			s.add()
		}
		at += end + 1
	}
	return at
}

// parse reads a line into s.line; without a step it leaves step negative.
func (s *scanner) parse(text []byte) bool {
	names, more := s.line.names[:0], s.line.more[:0]
	s.line = fields{step: -1, names: names, more: more}
	c := cursor{s: text}
	c.space()
	if !c.take('{') {
		return false
	}
	step := -1.0
	for {
		key, ok := c.text()
		if !ok || !c.take(':') {
			return false
		}
		switch string(key) {
		case "step":
			step, ok = c.whole()
		case "epoch":
			s.line.epoch, ok = c.number()
		case "tokens":
			s.line.tokens, ok = c.whole()
			s.line.hasTokens = true
		case "timestamp":
			var stamp []byte
			stamp, ok = c.text()
			s.line.unix, s.line.timed = s.unix(stamp)
		case "non_finite":
			return false
		case "loss":
			ok = c.field(&s.line, isLoss)
		case "eval_loss":
			ok = c.field(&s.line, isEvalLoss)
		case "learning_rate":
			ok = c.field(&s.line, isRate)
		case "grad_norm":
			ok = c.field(&s.line, isNorm)
		case "tokens_per_second":
			ok = c.field(&s.line, isSpeed)
		default:
			ok = s.metric(key, &c)
		}
		if !ok {
			return false
		}
		if c.take(',') {
			continue
		}
		if !c.take('}') || c.i != len(text) || step < 0 {
			return false
		}
		s.line.step = step
		return true
	}
}

// metric reads a number that the program which wrote the log has a name for.
func (s *scanner) metric(key []byte, c *cursor) bool {
	v, ok := c.number()
	if !ok {
		return false
	}
	for _, name := range s.line.names {
		if name == string(key) {
			return false // twice in a line: which one counts is not for here
		}
	}
	name := ""
	if at, ok := s.h.names[string(key)]; ok {
		name = at
	} else {
		name = string(key)
		if s.h.names == nil {
			s.h.names = map[string]string{}
		}
		if len(s.h.names) < maxCurves {
			s.h.names[name] = name
		}
	}
	s.line.names, s.line.more = append(s.line.names, name), append(s.line.more, v)
	return true
}

// unix reads a timestamp as runs.TimeFormat has it.
func (s *scanner) unix(stamp []byte) (int64, bool) {
	if len(stamp) != len(runs.TimeFormat) || stamp[10] != 'T' || stamp[13] != ':' || stamp[16] != ':' || stamp[19] != 'Z' {
		return unixOf(string(stamp))
	}
	hour, ok1 := two(stamp[11:])
	minute, ok2 := two(stamp[14:])
	second, ok3 := two(stamp[17:])
	if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 || second > 59 {
		return unixOf(string(stamp))
	}
	if s.midnight < 0 || !bytes.Equal(stamp[:10], s.date[:]) {
		day, ok := unixOf(string(stamp[:10]) + "T00:00:00Z")
		if !ok || day < 0 {
			return unixOf(string(stamp))
		}
		copy(s.date[:], stamp)
		s.midnight = day
	}
	return s.midnight + int64(hour*3600+minute*60+second), true
}

func unixOf(stamp string) (int64, bool) {
	at, err := time.Parse(runs.TimeFormat, strings.Clone(stamp))
	return at.Unix(), err == nil
}

func two(b []byte) (int, bool) {
	tens, ones := b[0]-'0', b[1]-'0'
	return int(tens)*10 + int(ones), tens <= 9 && ones <= 9
}

// add appends s.line to the columns.
func (s *scanner) add() {
	h, l := s.h, &s.line
	row := h.row(l.step, l.epoch, l.tokens, l.hasTokens, l.unix, l.timed)
	for i := range numbers {
		if !l.has[i] {
			continue
		}
		c := s.known[i]
		if c == nil {
			if c = h.curve(numberNames[i]); c == nil {
				continue
			}
			s.known[i] = c
		}
		c.Row, c.Y = append(c.Row, row), append(c.Y, l.value[i])
	}
	for i, name := range l.names {
		h.add(name, row, l.more[i])
	}
}

// cursor walks over a line.
type cursor struct {
	s []byte
	i int
}

func (c *cursor) space() {
	for c.i < len(c.s) && (c.s[c.i] == ' ' || c.s[c.i] == '\t' || c.s[c.i] == '\r') {
		c.i++
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

// text steps over a string of plain ASCII and the white space after it.
func (c *cursor) text() ([]byte, bool) {
	if c.i >= len(c.s) || c.s[c.i] != '"' {
		return nil, false
	}
	start := c.i + 1
	for i := start; i < len(c.s); i++ {
		switch b := c.s[i]; {
		case b == '"':
			c.i = i + 1
			c.space()
			return c.s[start:i], true
		case b < 0x20 || b >= 0x80 || b == '\\':
			return nil, false
		}
	}
	return nil, false
}

func (c *cursor) field(l *fields, at int) bool {
	v, ok := c.number()
	l.value[at], l.has[at] = v, true
	return ok
}

// tens are the powers of ten that a float64 holds exactly.
var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// number steps over a finite number by the JSON grammar. Where digits and power
// of ten are exact, so is one multiplication or division of the two; otherwise
// strconv finds the nearest value.
func (c *cursor) number() (float64, bool) {
	s, start := c.s, c.i
	i := start
	negative := i < len(s) && s[i] == '-'
	if negative {
		i++
	}
	first := i
	digits, power := uint64(0), 0
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		digits = digits*10 + uint64(s[i]-'0')
	}
	whole := i - first
	if whole == 0 || s[first] == '0' && whole > 1 {
		return 0, false
	}
	significant := whole
	if i < len(s) && s[i] == '.' {
		i++
		from := i
		for ; i < len(s) && s[i]-'0' <= 9; i++ {
			digits = digits*10 + uint64(s[i]-'0')
		}
		if i == from {
			return 0, false
		}
		power = from - i
		significant += i - from
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		sign := 1
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			if s[i] == '-' {
				sign = -1
			}
			i++
		}
		from, e := i, 0
		for ; i < len(s) && s[i]-'0' <= 9; i++ {
			e = min(e*10+int(s[i]-'0'), 1<<20)
		}
		if i == from {
			return 0, false
		}
		power += sign * e
	}
	c.i = i
	c.space()
	const exact = 1 << 53
	if significant <= 19 && digits <= exact && power >= -22 && power <= 22 {
		v := float64(digits)
		if power < 0 {
			v /= tens[-power]
		} else {
			v *= tens[power]
		}
		if negative {
			v = -v
		}
		return v, true
	}
	v, err := strconv.ParseFloat(string(s[start:i]), 64)
	return v, err == nil
}

// whole steps over a whole number of at most 15 digits, not negative.
func (c *cursor) whole() (float64, bool) {
	start := c.i
	for c.i < len(c.s) && c.s[c.i]-'0' <= 9 {
		c.i++
	}
	n := c.i - start
	if n == 0 || n > 15 || c.s[start] == '0' && n > 1 {
		return 0, false
	}
	if c.i < len(c.s) && (c.s[c.i] == '.' || c.s[c.i]|0x20 == 'e') {
		return 0, false
	}
	v := 0.0
	for _, b := range c.s[start:c.i] {
		v = v*10 + float64(b-'0')
	}
	c.space()
	return v, true
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
