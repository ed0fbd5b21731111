package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// maxJSONFile bounds the JSON files read whole, 256 MiB: a trainer_state.json
// of a million log entries fits, a weights file under the wrong name does not.
const maxJSONFile = 256 << 20

// readWhole reads a regular file of at most maxJSONFile bytes.
func readWhole(path string) ([]byte, error) {
	data, err := regular.Read(path, maxJSONFile)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, pathCause(err))
	}
	return data, nil
}

// pathCause drops the path that an error of package os repeats.
func pathCause(err error) error {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// record is a JSON object read field by field, so that one field of an
// unexpected type does not cost the others. It notes what it could not use.
type record struct {
	fields map[string]json.RawMessage
	odd    []string // names of fields that had an unexpected type
}

// decodeRecord reads a JSON object. Bare NaN, Infinity and -Infinity, which
// Python writes, are taken for what they mean.
func decodeRecord(data []byte) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(plainJSON(data), &r.fields); err != nil {
		return nil, err
	}
	if r.fields == nil {
		return nil, errors.New("null instead of an object")
	}
	return r, nil
}

func readRecord(path string) (*record, error) {
	data, err := readWhole(path)
	if err != nil {
		return nil, err
	}
	r, err := decodeRecord(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return r, nil
}

// plainJSON strips a byte order mark and puts quotes around bare NaN,
// Infinity and -Infinity outside strings; looseNumber knows those strings.
func plainJSON(data []byte) []byte {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !bytes.Contains(data, []byte("NaN")) && !bytes.Contains(data, []byte("Infinity")) {
		return data
	}
	out := make([]byte, 0, len(data)+64)
	inString := false
scan:
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case inString && c == '\\' && i+1 < len(data):
			out = append(out, c)
			i++
			c = data[i]
		case c == '"':
			inString = !inString
		case !inString:
			for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
				if bytes.HasPrefix(data[i:], []byte(word)) {
					out = append(append(append(out, '"'), word...), '"')
					i += len(word) - 1
					continue scan
				}
			}
		}
		out = append(out, c)
	}
	return out
}

// looseNumber reads a number, or a string that names one that is not finite.
func looseNumber(raw json.RawMessage) (float64, bool) {
	if len(raw) == 0 {
		return 0, false
	}
	if c := raw[0]; c == '-' || c-'0' <= 9 {
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, false
		}
		return f, true // out of range is an infinity
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return 0, false
	}
	return nonFiniteValue(s)
}

// nonFiniteValue reads what NonFinite and plainJSON call a number.
func nonFiniteValue(name string) (float64, bool) {
	switch strings.ToLower(name) {
	case "nan":
		return math.NaN(), true
	case "inf", "infinity":
		return math.Inf(1), true
	case "-inf", "-infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

func isFinite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// has returns a field that is there and not null.
func (r *record) has(name string) (json.RawMessage, bool) {
	raw, ok := r.fields[name]
	return raw, ok && string(raw) != "null"
}

func (r *record) note(name string) { r.odd = append(r.odd, name) }

// text reads a string; a number or truth value is taken as it is written.
func (r *record) text(name string) string {
	raw, ok := r.has(name)
	if !ok {
		return ""
	}
	s, ok := looseText(raw)
	if !ok {
		r.note(name)
	}
	return s
}

func looseText(raw json.RawMessage) (string, bool) {
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	case '{', '[':
		return "", false
	default:
		return string(raw), true
	}
}

// number reads a number, finite or not; nil when there is none. Truth values
// count as 0 and 1.
func (r *record) number(name string) *float64 {
	raw, ok := r.has(name)
	if !ok {
		return nil
	}
	f, ok := looseNumber(raw)
	if !ok {
		switch string(raw) {
		case "true":
			f = 1
		case "false":
			f = 0
		default:
			r.note(name)
			return nil
		}
	}
	return &f
}

// finite reads a finite number, 0 when there is none.
func (r *record) finite(name string) float64 {
	f := r.number(name)
	if f == nil {
		return 0
	}
	if !isFinite(*f) {
		r.note(name)
		return 0
	}
	return *f
}

// maxExact is the largest whole number up to which a float64 knows them all.
const maxExact = 1 << 53

// whole reads a whole number, 0 when there is none.
func (r *record) whole(name string) (n int64, ok bool) {
	f := r.number(name)
	if f == nil {
		return 0, false
	}
	if !(math.Abs(*f) <= maxExact) || *f != math.Trunc(*f) {
		r.note(name)
		return 0, false
	}
	return int64(*f), true
}

// object reads a nested object; nil when there is none.
func (r *record) object(name string) map[string]json.RawMessage {
	raw, ok := r.has(name)
	if !ok {
		return nil
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		r.note(name)
	}
	return m
}

// texts reads an object of strings; nil when there is none.
func (r *record) texts(name string) map[string]string {
	m := r.object(name)
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, raw := range m {
		if string(raw) == "null" {
			continue
		}
		s, ok := looseText(raw)
		if !ok {
			r.note(name + "." + k)
			continue
		}
		out[k] = s
	}
	return out
}

// finiteNumbers reads the finite numbers of an object, and names those that
// are not finite.
func finiteNumbers(m map[string]json.RawMessage, bad NonFinite) (map[string]float64, NonFinite) {
	if m == nil {
		return nil, bad
	}
	out := make(map[string]float64, len(m))
	for k, raw := range m {
		f, ok := looseNumber(raw)
		switch {
		case !ok:
		case isFinite(f):
			out[k] = f
		default:
			if bad == nil {
				bad = NonFinite{}
			}
			bad[k] = canonical.Float(f)
		}
	}
	return out, bad
}

// oddities returns what was noted, one line each, in order.
func (r *record) oddities(file string) []string {
	sort.Strings(r.odd)
	out := make([]string, 0, len(r.odd))
	for _, name := range r.odd {
		out = append(out, fmt.Sprintf("%s: %q has an unexpected value", file, name))
	}
	return out
}

// nonFiniteOf names the values of m that JSON cannot hold.
func nonFiniteOf(m map[string]float64) NonFinite {
	bad := NonFinite{}
	for name, f := range m {
		bad.add(name, &f)
	}
	return bad
}

// add names a value if it is there and not finite.
func (n NonFinite) add(name string, f *float64) {
	if f != nil && !isFinite(*f) {
		n[name] = canonical.Float(*f)
	}
}
