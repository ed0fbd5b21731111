package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// fields reads the members of a JSON object, each exactly as strict as the
// contract: a text is a string, an integer has no point and may be of any size.
// It gathers all that is wrong, in the order the members are asked for. Members
// that nobody asks for are passed over, as clients of later versions may send
// them.
type fields struct {
	members  map[string]json.RawMessage
	problems []string
}

// readObject reads a body. The error is a 422.
func readObject(body []byte) (*fields, error) {
	fail := func(reason string) (*fields, error) { return nil, unprocessable("body: " + reason) }
	if len(bytes.TrimSpace(body)) == 0 {
		return fail("Field required")
	}
	if !utf8.Valid(body) {
		return fail("is not UTF-8")
	}
	if !json.Valid(body) { // nesting beyond 10,000 is not valid either
		return fail("is not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fail("Input should be an object")
	}
	f := &fields{members: map[string]json.RawMessage{}}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fail("is not JSON")
		}
		name := key.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fail("is not JSON")
		}
		if _, twice := f.members[name]; twice {
			f.wrong(shortName(name), "is given twice")
		}
		f.members[name] = value
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		return fail("is not JSON")
	}
	return f, nil
}

// shortName keeps a name that a client made up at a readable length.
func shortName(name string) string {
	const most = 64
	if r := []rune(name); len(r) > most {
		return string(r[:most]) + "…"
	}
	return name
}

// mostProblems bounds a 422: a body has room for a hundred thousand members that
// are given twice. The fields of no request are as many.
const mostProblems = 100

func (f *fields) wrong(name, reason string) {
	switch len(f.problems) {
	case mostProblems:
		f.problems = append(f.problems, "body: there is more that is wrong")
	case mostProblems + 1:
	default:
		f.problems = append(f.problems, "body -> "+name+": "+reason)
	}
}

// err is the 422 that names every bad field, or nil.
func (f *fields) err() error {
	if len(f.problems) == 0 {
		return nil
	}
	return unprocessable(f.problems...)
}

// given returns a member; null counts as given.
func (f *fields) given(name string) (json.RawMessage, bool) {
	v, ok := f.members[name]
	return v, ok
}

func isNull(v json.RawMessage) bool { return string(v) == "null" }

// asText decodes a string; there must be one.
func (f *fields) asText(name string, v json.RawMessage) string {
	var s string
	if v[0] != '"' || json.Unmarshal(v, &s) != nil {
		f.wrong(name, "Input should be a valid string")
		return ""
	}
	return s
}

// need reads a text that must be there.
func (f *fields) need(name string) string {
	v, ok := f.given(name)
	if !ok {
		f.wrong(name, "Field required")
		return ""
	}
	return f.asText(name, v)
}

// optional reads a text that may be missing or null: then it is nil.
func (f *fields) optional(name string) *string {
	v, ok := f.given(name)
	if !ok || isNull(v) {
		return nil
	}
	s := f.asText(name, v)
	return &s
}

// text reads a text that may be missing, not null.
func (f *fields) text(name, otherwise string) string {
	v, ok := f.given(name)
	if !ok {
		return otherwise
	}
	return f.asText(name, v)
}

// oneOf reads a text out of a few.
func (f *fields) oneOf(name, otherwise string, values ...string) string {
	before := len(f.problems)
	s := f.text(name, otherwise)
	if len(f.problems) == before && !slices.Contains(values, s) {
		f.wrong(name, "Input should be '"+strings.Join(values, "' or '")+"'")
	}
	return s
}

// flag reads true or false.
func (f *fields) flag(name string) bool {
	v, ok := f.given(name)
	if !ok {
		return false
	}
	if s := string(v); s != "true" && s != "false" {
		f.wrong(name, "Input should be a valid boolean")
	}
	return string(v) == "true"
}

var integerPattern = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// mostDigits bounds whole numbers: calculating with one takes a time that grows
// with the square of its length, a second for some hundred thousand digits.
const mostDigits = 4300

// integer reads a whole number, of any size that can be meant; it is empty when
// it is missing.
func (f *fields) integer(name string) json.Number {
	v, ok := f.given(name)
	if !ok {
		return ""
	}
	if !integerPattern.Match(v) {
		f.wrong(name, "Input should be a valid integer")
		return ""
	}
	if len(bytes.TrimPrefix(v, []byte("-"))) > mostDigits {
		f.wrong(name, fmt.Sprintf("Input should have at most %d digits", mostDigits))
		return ""
	}
	if string(v) == "-0" {
		return "0"
	}
	return json.Number(v)
}

// count reads a whole number that is not below least.
func (f *fields) count(name string, otherwise, least int) int {
	before := len(f.problems)
	v := f.integer(name)
	if v == "" {
		return otherwise
	}
	n, err := v.Int64()
	switch {
	case len(f.problems) > before:
	case err != nil && v[0] == '-', err == nil && n < int64(least):
		f.wrong(name, fmt.Sprintf("Input should be greater than or equal to %d", least))
	case err != nil || n > math.MaxInt32:
		f.wrong(name, fmt.Sprintf("Input should be less than or equal to %d", math.MaxInt32))
	default:
		return int(n)
	}
	return otherwise
}

// number reads a number from least to most.
func (f *fields) number(name string, otherwise, least, most float64) float64 {
	v, ok := f.given(name)
	if !ok {
		return otherwise
	}
	if c := v[0]; c != '-' && (c < '0' || c > '9') {
		f.wrong(name, "Input should be a valid number")
		return otherwise
	}
	n, _ := strconv.ParseFloat(string(v), 64) // one out of range is an infinity
	switch {
	case n < least:
		f.wrong(name, fmt.Sprintf("Input should be greater than or equal to %g", least))
	case n > most:
		f.wrong(name, fmt.Sprintf("Input should be less than or equal to %g", most))
	default:
		return n
	}
	return otherwise
}

// mostItems bounds a list. What handlers do with an item can be a look through
// all rows of a data set.
const mostItems = 1000

// texts reads a list of texts that may be missing.
func (f *fields) texts(name string) []string {
	v, ok := f.given(name)
	if !ok || isNull(v) {
		return nil
	}
	var list []json.RawMessage
	if v[0] != '[' || json.Unmarshal(v, &list) != nil {
		f.wrong(name, "Input should be a valid list")
		return nil
	}
	if len(list) > mostItems {
		f.wrong(name, fmt.Sprintf("List should have at most %d items", mostItems))
		return nil
	}
	out := make([]string, 0, len(list))
	for i, item := range list {
		out = append(out, f.asText(fmt.Sprintf("%s -> %d", name, i), bytes.TrimSpace(item)))
	}
	return out
}

// object reads an object that may be missing; numbers stay as they are written.
func (f *fields) object(name string) map[string]any {
	v, ok := f.given(name)
	if !ok || isNull(v) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(v))
	d.UseNumber()
	var out map[string]any
	if v[0] != '{' || d.Decode(&out) != nil {
		f.wrong(name, "Input should be an object")
	}
	return out
}

// projectPattern keeps a project inside its folder.
var projectPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

const projectRule = "Input should be letters, digits and . _ -, at most 128, the first one no . or -"

// project finds out whose request it is: the header, then the body, then
// "default". Both are checked.
func (f *fields) project(c *call) string {
	before := len(f.problems)
	own := f.optional("project_id")
	if own != nil && *own != "" && len(f.problems) == before && !projectPattern.MatchString(*own) {
		f.wrong("project_id", projectRule)
	}
	header, err := headerProject(c)
	if err != nil {
		f.problems = append(f.problems, err.Error())
	}
	switch {
	case header != "":
		return header
	case own != nil && *own != "":
		return *own
	}
	return defaultProject
}
