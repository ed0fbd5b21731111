package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// flaw is one thing wrong with the value of one key.
type flaw struct {
	reason, hint string
	line         int // of an item of a list, 0: the line of the key
}

func flawf(format string, args ...any) []flaw {
	return []flaw{{reason: fmt.Sprintf(format, args...)}}
}

// field is one key of the config: how to store a value, how to read it back
// and what it must satisfy.
type field struct {
	key string // dotted
	// extra keys are not part of the format that other tools write; they enter
	// the map and the hash only when they differ from their default.
	extra bool
	// set stores a value of the right type. Ranges are left to check.
	set func(*Config, value) []flaw
	// get returns nil, bool, int, int64, float64, string, []any or a list of
	// canonical objects.
	get func(*Config) any
	// check says what is wrong with the stored value.
	check func(*Config) []flaw
}

// maxInt bounds every count, so that products of a few of them fit an int64.
const maxInt = math.MaxInt32

func intField(key string, at func(*Config) *int, least int) field {
	return field{
		key: key,
		set: func(c *Config, v value) []flaw {
			n, bad := v.integer()
			if bad == nil {
				*at(c) = int(n)
			}
			return bad
		},
		get:   func(c *Config) any { return *at(c) },
		check: func(c *Config) []flaw { return checkInt(*at(c), least) },
	}
}

func checkInt(n, least int) []flaw {
	switch {
	case n < least:
		return flawf("must be at least %d, not %d", least, n)
	case n > maxInt:
		return flawf("must be at most %d, not %d", maxInt, n)
	}
	return nil
}

func optionalIntField(key string, at func(*Config) **int, least int) field {
	return field{
		key: key,
		set: func(c *Config, v value) []flaw {
			if v.kind == null {
				*at(c) = nil
				return nil
			}
			n, bad := v.integer()
			if bad == nil {
				k := int(n)
				*at(c) = &k
			}
			return bad
		},
		get: func(c *Config) any {
			if p := *at(c); p != nil {
				return *p
			}
			return nil
		},
		check: func(c *Config) []flaw {
			if p := *at(c); p != nil {
				return checkInt(*p, least)
			}
			return nil
		},
	}
}

// int64Field holds any 64-bit integer.
func int64Field(key string, at func(*Config) *int64) field {
	return field{
		key: key,
		set: func(c *Config, v value) []flaw {
			n, bad := v.integer()
			if bad == nil {
				*at(c) = n
			}
			return bad
		},
		get:   func(c *Config) any { return *at(c) },
		check: func(*Config) []flaw { return nil },
	}
}

func (v value) integer() (int64, []flaw) {
	if v.kind == whole {
		n, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil {
			return 0, flawf("must be between %d and %d, not %s",
				math.MinInt64, math.MaxInt64, quiet(v.text))
		}
		return n, nil
	}
	bad := flawf("must be a whole number, not %s", v.describe())
	switch v.kind {
	case text:
		bad[0].hint = unquoteHint(v.text, whole)
	case oddWhole:
		bad[0].hint = "write it as a decimal number without leading zeros"
	case decimal:
		if f, err := strconv.ParseFloat(v.text, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			bad[0].hint = "write " + strconv.FormatFloat(f, 'f', -1, 64)
		}
	}
	return 0, bad
}

func unquoteHint(s string, kinds ...kind) string {
	if v := resolvePlain(s); slices.Contains(kinds, v.kind) {
		return "write it without quotes: " + quiet(v.text)
	}
	return ""
}

// floatField holds a finite number; says is empty when it is in range.
func floatField(key string, at func(*Config) *float64, says func(float64) string) field {
	return field{
		key: key,
		set: func(c *Config, v value) []flaw {
			f, bad := v.float()
			if bad == nil {
				*at(c) = f
			}
			return bad
		},
		// Adding 0 turns -0.0 into 0.0: equal numbers have equal hashes.
		get: func(c *Config) any { return *at(c) + 0 },
		check: func(c *Config) []flaw {
			f := *at(c)
			if math.IsNaN(f) || math.IsInf(f, 0) {
				return flawf("must be a finite number, not %v", f)
			}
			if rule := says(f); rule != "" {
				return flawf("must be %s, not %v", rule, f)
			}
			return nil
		},
	}
}

func (v value) float() (float64, []flaw) {
	if v.kind == whole || v.kind == decimal {
		f, err := strconv.ParseFloat(v.text, 64)
		if err != nil {
			return 0, flawf("%s is too large", quiet(v.text))
		}
		return f, nil
	}
	bad := flawf("must be a number, not %s", v.describe())
	switch v.kind {
	case text:
		bad[0].hint = unquoteHint(v.text, whole, decimal)
	case oddWhole:
		bad[0].hint = "write it as a decimal number without leading zeros"
	}
	return 0, bad
}

func above(least float64) func(float64) string {
	return func(f float64) string {
		if f > least {
			return ""
		}
		return fmt.Sprintf("greater than %v", least)
	}
}

func atLeast(least float64) func(float64) string {
	return func(f float64) string {
		if f >= least {
			return ""
		}
		return fmt.Sprintf("at least %v", least)
	}
}

func between(least, most float64) func(float64) string {
	return func(f float64) string {
		if f >= least && f <= most {
			return ""
		}
		return fmt.Sprintf("between %v and %v", least, most)
	}
}

// share is 0 or more and under 1, also in float32, which is computed with.
func share(f float64) string {
	if f >= 0 && float32(f) < 1 {
		return ""
	}
	return "at least 0 and less than 1"
}

func boolField(key string, at func(*Config) *bool) field {
	return field{
		key: key,
		set: func(c *Config, v value) []flaw {
			b, bad := v.truth()
			if bad == nil {
				*at(c) = b
			}
			return bad
		},
		get:   func(c *Config) any { return *at(c) },
		check: func(*Config) []flaw { return nil },
	}
}

func (v value) truth() (bool, []flaw) {
	if v.kind == boolean {
		return v.text == "true", nil
	}
	bad := flawf("must be true or false, not %s", v.describe())
	switch strings.ToLower(v.text) {
	case "true", "yes", "on", "y", "1":
		bad[0].hint = "write true"
	case "false", "no", "off", "n", "0":
		bad[0].hint = "write false"
	}
	return false, bad
}

// textField holds a text that must satisfy says.
func textField(key string, at func(*Config) *string, says func(string) []flaw) field {
	return field{
		key: key,
		set: func(c *Config, v value) []flaw {
			s, bad := v.string()
			if bad == nil {
				*at(c) = s
			}
			return bad
		},
		get:   func(c *Config) any { return *at(c) },
		check: func(c *Config) []flaw { return says(*at(c)) },
	}
}

func optionalTextField(key string, at func(*Config) **string, says func(string) []flaw) field {
	return field{
		key: key,
		set: func(c *Config, v value) []flaw {
			if v.kind == null {
				*at(c) = nil
				return nil
			}
			s, bad := v.string()
			if bad == nil {
				*at(c) = &s
			}
			return bad
		},
		get: func(c *Config) any {
			if p := *at(c); p != nil {
				return *p
			}
			return nil
		},
		check: func(c *Config) []flaw {
			if p := *at(c); p != nil {
				return says(*p)
			}
			return nil
		},
	}
}

func (v value) string() (string, []flaw) {
	if v.kind == text {
		return v.text, nil
	}
	bad := flawf("must be text, not %s", v.describe())
	switch v.kind {
	case boolean, whole, decimal, oddWhole:
		bad[0].hint = "put it in quotes: " + strconv.Quote(v.text)
	}
	return "", bad
}

// oneLine accepts any text that can stand in a line of a terminal.
func oneLine(s string) []flaw {
	switch {
	case s == "":
		return flawf("must not be empty")
	case !utf8.ValidString(s):
		return flawf("is not valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return flawf("must not contain control characters: %s", quoted(s))
	}
	return nil
}

// oneOf accepts the allowed words.
func oneOf(allowed ...string) func(string) []flaw {
	return func(s string) []flaw {
		if slices.Contains(allowed, s) {
			return nil
		}
		bad := flawf("must be %s, not %s", either(allowed), quoted(s))
		if near, close := Nearest(s, allowed); close {
			bad[0].hint = "did you mean " + near + "?"
		}
		return bad
	}
}

// either joins words as "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// strings reads a list of texts.
func (v value) strings() ([]string, []flaw) {
	if v.kind != list {
		bad := flawf("must be a list, not %s", v.describe())
		if v.kind == text && oneLine(v.text) == nil {
			bad[0].hint = "write [" + quiet(v.text) + "]"
		}
		return nil, bad
	}
	out := make([]string, 0, len(v.list))
	var bad []flaw
	for i, item := range v.list {
		s, wrong := item.string()
		for _, f := range wrong {
			f.reason = fmt.Sprintf("item %d %s", i+1, f.reason)
			f.line = item.line
			bad = append(bad, f)
		}
		out = append(out, s)
	}
	return out, bad
}

// listField holds null or a list of different texts, each of which must
// satisfy says.
func listField(key string, at func(*Config) *[]string, says func(string) []flaw) field {
	return field{
		key: key,
		set: func(c *Config, v value) []flaw {
			if v.kind == null {
				*at(c) = nil
				return nil
			}
			items, bad := v.strings()
			if bad == nil {
				*at(c) = items
			}
			return bad
		},
		get:   func(c *Config) any { return anyList(*at(c)) },
		check: func(c *Config) []flaw { return checkItems(*at(c), says) },
	}
}

func anyList(items []string) any {
	if items == nil {
		return nil
	}
	out := make([]any, len(items))
	for i, item := range items {
		out[i] = item
	}
	return out
}

func checkItems(items []string, says func(string) []flaw) []flaw {
	var bad []flaw
	first := make(map[string]int, len(items))
	for i, item := range items {
		if len(bad) > mostProblems {
			break
		}
		if j, twice := first[item]; twice {
			bad = append(bad, flawf("item %d repeats item %d, %s", i+1, j+1, quoted(item))...)
			continue
		}
		first[item] = i
		for _, f := range says(item) {
			f.reason = fmt.Sprintf("item %d %s", i+1, f.reason)
			bad = append(bad, f)
		}
	}
	return bad
}
