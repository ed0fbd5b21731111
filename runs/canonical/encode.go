package canonical

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds nesting, so that a value that contains itself is an error
// and not a full stack.
const maxDepth = 1000

// form says how tokens are laid out.
type form struct {
	sorted       bool
	ascii        bool
	indent       bool
	comma, colon string
}

type encoder struct {
	form
	out     []byte
	depth   int  // of nesting, pointers included
	level   int  // of indent: arrays and objects only
	lenient bool // a float that is not finite is null, not an error
}

func encode(v any, f form) ([]byte, error) {
	e := encoder{form: f}
	if err := e.any(v); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return e.out, nil
}

// any writes the types that JSON decoding gives directly, the others by
// reflection.
func (e *encoder) any(v any) error {
	switch v := v.(type) {
	case nil:
		e.out = append(e.out, "null"...)
	case string:
		return e.string(v)
	case json.Number:
		return e.number(string(v))
	case *big.Int:
		if v == nil {
			e.out = append(e.out, "null"...)
			return nil
		}
		e.out = v.Append(e.out, 10)
	case Object:
		return e.object(v)
	case lenient:
		outer := e.lenient
		e.lenient = true
		err := e.any(v.value)
		e.lenient = outer
		return err
	default:
		return e.value(reflect.ValueOf(v))
	}
	return nil
}

func (e *encoder) value(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Bool:
		e.out = strconv.AppendBool(e.out, v.Bool())
	case reflect.String:
		if n, ok := v.Interface().(json.Number); ok {
			return e.number(string(n))
		}
		return e.string(v.String())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.out = strconv.AppendInt(e.out, v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		e.out = strconv.AppendUint(e.out, v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return e.float(v.Float())
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			e.out = append(e.out, "null"...)
			return nil
		}
		if err := e.enter(); err != nil {
			return err
		}
		defer func() { e.depth-- }()
		if v.Kind() == reflect.Pointer && v.Type() != bigIntType {
			return e.any(v.Elem().Interface())
		}
		return e.any(v.Interface())
	case reflect.Slice, reflect.Array:
		return e.array(v)
	case reflect.Map:
		return e.mapping(v)
	case reflect.Struct:
		return e.structure(v)
	default:
		return fmt.Errorf("a value of type %s has no JSON form", v.Type())
	}
	return nil
}

var bigIntType = reflect.TypeFor[*big.Int]()

func (e *encoder) float(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		if e.lenient {
			e.out = append(e.out, "null"...)
			return nil
		}
		return fmt.Errorf("%s has no JSON form", Float(f))
	}
	e.out = AppendFloat(e.out, f)
	return nil
}

// number writes an integer literal digit by digit, whatever its size, and any
// other number as the float64 it denotes.
func (e *encoder) number(s string) error {
	if !validNumber(s) {
		return fmt.Errorf("%q is not a JSON number", s)
	}
	if strings.ContainsAny(s, ".eE") {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("number %s: %w", s, errors.Unwrap(err))
		}
		return e.float(f)
	}
	if s == "-0" { // the integer, which has no sign
		s = "0"
	}
	e.out = append(e.out, s...)
	return nil
}

// validNumber reports whether s is a number by the JSON grammar.
func validNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	digits := func() bool {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	if rest, zero := strings.CutPrefix(s, "0"); zero {
		s = rest
	} else if !digits() {
		return false
	}
	if rest, point := strings.CutPrefix(s, "."); point {
		if s = rest; !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}

func (e *encoder) array(v reflect.Value) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return fmt.Errorf("a value of type %s has no JSON form", v.Type())
	}
	if v.Kind() == reflect.Slice && v.IsNil() {
		e.out = append(e.out, "null"...)
		return nil
	}
	if err := e.enter(); err != nil {
		return err
	}
	e.level++
	e.out = append(e.out, '[')
	for i := range v.Len() {
		e.separate(i)
		if err := e.any(v.Index(i).Interface()); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	e.leave()
	e.close(v.Len(), ']')
	return nil
}

func (e *encoder) mapping(v reflect.Value) error {
	if v.Type().Key().Kind() != reflect.String {
		return fmt.Errorf("a map with keys of type %s has no JSON form", v.Type().Key())
	}
	if v.IsNil() {
		e.out = append(e.out, "null"...)
		return nil
	}
	members := make(Object, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		members = append(members, Member{it.Key().String(), it.Value().Interface()})
	}
	sortMembers(members)
	return e.members(members)
}

func (e *encoder) object(o Object) error {
	members := slices.Clone(o)
	sortMembers(members)
	for i := 1; i < len(members); i++ {
		if members[i].Key == members[i-1].Key {
			return fmt.Errorf("key %q appears twice", members[i].Key)
		}
	}
	if e.sorted {
		return e.members(members)
	}
	return e.members(o)
}

func (e *encoder) structure(v reflect.Value) error {
	fields, err := fieldsOf(v.Type())
	if err != nil {
		return err
	}
	members := make(Object, 0, len(fields))
	for _, f := range fields {
		fv := v.Field(f.index)
		switch {
		case f.omitEmpty && isEmpty(fv), f.omitZero && fv.IsZero():
		case f.nullEmpty && isEmpty(fv):
			members = append(members, Member{f.name, nil})
		case f.nullNonFinite:
			members = append(members, Member{f.name, lenient{fv.Interface()}})
		default:
			members = append(members, Member{f.name, fv.Interface()})
		}
	}
	if e.sorted {
		sortMembers(members)
	}
	return e.members(members)
}

// lenient marks the value of a field whose floats may be not finite.
type lenient struct{ value any }

// sortMembers sorts by the bytes of the keys: in UTF-8 that is the order of
// their code points.
func sortMembers(o Object) {
	slices.SortFunc(o, func(a, b Member) int { return cmp.Compare(a.Key, b.Key) })
}

func (e *encoder) members(o Object) error {
	if err := e.enter(); err != nil {
		return err
	}
	e.level++
	e.out = append(e.out, '{')
	for i, m := range o {
		e.separate(i)
		if err := e.string(m.Key); err != nil {
			return err
		}
		e.out = append(e.out, e.colon...)
		if err := e.any(m.Value); err != nil {
			return fmt.Errorf("%q: %w", m.Key, err)
		}
	}
	e.leave()
	e.close(len(o), '}')
	return nil
}

func (e *encoder) enter() error {
	if e.depth++; e.depth > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	return nil
}

// leave ends an array or object.
func (e *encoder) leave() {
	e.depth--
	e.level--
}

// separate stands before element i of an array or object.
func (e *encoder) separate(i int) {
	if i > 0 {
		e.out = append(e.out, e.comma...)
	}
	if e.indent {
		e.newline()
	}
}

// close ends an array or object of n elements; an empty one stays on its line.
func (e *encoder) close(n int, bracket byte) {
	if e.indent && n > 0 {
		e.newline()
	}
	e.out = append(e.out, bracket)
}

func (e *encoder) newline() {
	e.out = append(e.out, '\n')
	for range e.level {
		e.out = append(e.out, ' ', ' ')
	}
}

const hexDigits = "0123456789abcdef"

func (e *encoder) string(s string) error {
	e.out = append(e.out, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 && e.ascii {
				return fmt.Errorf("the string %q is not valid UTF-8", s)
			}
			if e.ascii {
				e.escape(r)
			} else {
				e.out = utf8.AppendRune(e.out, r)
			}
			i += size
			continue
		}
		switch {
		case c == '"' || c == '\\':
			e.out = append(e.out, '\\', c)
		case c == '\n':
			e.out = append(e.out, '\\', 'n')
		case c == '\r':
			e.out = append(e.out, '\\', 'r')
		case c == '\t':
			e.out = append(e.out, '\\', 't')
		case c == '\b':
			e.out = append(e.out, '\\', 'b')
		case c == '\f':
			e.out = append(e.out, '\\', 'f')
		case c < 0x20, c == 0x7f && e.ascii:
			e.escape(rune(c))
		default:
			e.out = append(e.out, c)
		}
		i++
	}
	e.out = append(e.out, '"')
	return nil
}

// escape writes r as \uXXXX, or as two of them.
func (e *encoder) escape(r rune) {
	if hi, lo := utf16.EncodeRune(r); r > 0xffff {
		e.escape(hi)
		e.escape(lo)
		return
	}
	e.out = append(e.out, '\\', 'u',
		hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// field is one written field of a struct type.
type field struct {
	index               int
	name                string
	omitEmpty, omitZero bool
	nullEmpty           bool // empty:"null"
	nullNonFinite       bool // nonfinite:"null"
}

var fieldCache sync.Map // reflect.Type to []field

func fieldsOf(t reflect.Type) ([]field, error) {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.([]field), nil
	}
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Anonymous {
			return nil, fmt.Errorf("type %s embeds %s: embedded fields have no JSON form here", t, sf.Name)
		}
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if !sf.IsExported() || name == "-" && options == "" {
			continue
		}
		f := field{index: i, name: cmp.Or(name, sf.Name),
			nullEmpty: sf.Tag.Get("empty") == "null", nullNonFinite: sf.Tag.Get("nonfinite") == "null"}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "omitempty":
				f.omitEmpty = true
			case "omitzero":
				f.omitZero = true
			}
		}
		fields = append(fields, f)
	}
	if len(fields) == 0 && t.NumField() > 0 {
		return nil, fmt.Errorf("a value of type %s has no JSON form", t)
	}
	fieldCache.Store(t, fields)
	return fields, nil
}

// isEmpty is encoding/json's notion for omitempty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.String, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}
