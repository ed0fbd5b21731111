package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is what a value of the file, a map or an override is.
type kind int

const (
	null kind = iota
	boolean
	whole    // a plain decimal integer
	decimal  // any other decimal number, infinities and NaN included
	oddWhole // 010, 0x10, 0b1: readers disagree about what it is
	text
	list
	mapping
	alien // a Go type that no config holds
)

// value is one value before it is known which key it belongs to. Files, maps
// and overrides all become values, so they are checked by the same rules.
type value struct {
	kind  kind
	text  string // a scalar as it was written
	list  []value
	pairs []pair
	line  int // 1-based, 0 when it did not come from a file
	// loose marks a whole number that came as a Go float64, which is the only
	// kind of number a decoded JSON body has. It serves as an integer too.
	loose bool
}

type pair struct {
	key   string
	line  int
	value value
}

// maxDepth is more than any config nests; what is deeper is never looked at.
const maxDepth = 8

// fromGo turns a Go value into a value.
func fromGo(v any, depth int) value {
	if depth > maxDepth {
		return value{kind: alien, text: "deeply nested value"}
	}
	switch v := v.(type) {
	case nil:
		return value{kind: null}
	case json.Number:
		return resolvePlain(v.String())
	}
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Bool:
		return value{kind: boolean, text: strconv.FormatBool(rv.Bool())}
	case reflect.String:
		return value{kind: text, text: rv.String()}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return value{kind: whole, text: strconv.FormatInt(rv.Int(), 10)}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return value{kind: whole, text: strconv.FormatUint(rv.Uint(), 10)}
	case reflect.Float32, reflect.Float64:
		f := rv.Float()
		if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return value{kind: whole, text: strconv.FormatFloat(f, 'f', -1, 64), loose: true}
		}
		return value{kind: decimal, text: strconv.FormatFloat(f, 'g', -1, rv.Type().Bits())}
	case reflect.Pointer:
		if rv.IsNil() {
			return value{kind: null}
		}
		return fromGo(rv.Elem().Interface(), depth+1)
	case reflect.Slice, reflect.Array:
		if rv.Kind() == reflect.Slice && rv.IsNil() {
			return value{kind: null}
		}
		out := value{kind: list}
		for i := range rv.Len() {
			out.list = append(out.list, fromGo(rv.Index(i).Interface(), depth+1))
		}
		return out
	case reflect.Map:
		if rv.Type().Key().Kind() == reflect.String {
			return fromGoMap(rv, depth)
		}
	}
	return value{kind: alien, text: fmt.Sprintf("Go value of type %T", v)}
}

func fromGoMap(rv reflect.Value, depth int) value {
	byKey := make(map[string]any, rv.Len())
	for it := rv.MapRange(); it.Next(); {
		byKey[it.Key().String()] = it.Value().Interface()
	}
	out := value{kind: mapping}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		out.pairs = append(out.pairs, pair{key: key, value: fromGo(byKey[key], depth+1)})
	}
	return out
}

var (
	wholePattern   = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*(_[0-9]+)*)$`)
	decimalPattern = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	specialPattern = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
	oddPattern     = regexp.MustCompile(`^[-+]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-9_]+|0[bB][01_]+)$`)
)

// resolvePlain says what an unquoted scalar is. Decimal numbers may carry an
// exponent (2e-4) and underscores between digits (1_000). Dates and the words
// yes, no, on and off are text.
func resolvePlain(s string) value {
	v := value{kind: text, text: s}
	switch s {
	case "", "~", "null", "Null", "NULL":
		v.kind = null
	case "true", "True", "TRUE", "false", "False", "FALSE":
		v.kind, v.text = boolean, strings.ToLower(s)
	default:
		switch {
		case wholePattern.MatchString(s):
			v.kind, v.text = whole, strings.ReplaceAll(s, "_", "")
		case oddPattern.MatchString(s):
			v.kind = oddWhole
		case decimalPattern.MatchString(s):
			v.kind, v.text = decimal, strings.ReplaceAll(s, "_", "")
		case specialPattern.MatchString(s):
			v.kind, v.text = decimal, strings.Replace(s, ".", "", 1)
		}
	}
	return v
}

// describe says what the value is, for a message.
func (v value) describe() string {
	switch v.kind {
	case null:
		return "empty"
	case boolean, whole, decimal, oddWhole:
		return quiet(v.text)
	case text:
		return "the text " + quoted(v.text)
	case list:
		return "a list"
	case mapping:
		return "a mapping"
	default:
		return "a " + v.text
	}
}

// maxShown bounds how much of a value a message repeats.
const maxShown = 60

// quoted shows s in quotes, shortened, control characters escaped.
func quoted(s string) string {
	if utf8.RuneCountInString(s) > maxShown {
		s = string([]rune(s)[:maxShown]) + "..."
	}
	return strconv.Quote(s)
}

// quiet shows a short value bare if that is safe in one line of a terminal,
// else quoted.
func quiet(s string) string {
	if s == "" || len(s) > maxShown {
		return quoted(s)
	}
	return printable(s)
}

// printable makes a message safe to stand in one line of a terminal.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}
