package decision

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/metrics"
)

// The criteria that the contract names.
const (
	minF1           = "min_f1"
	minExactMatch   = "min_exact_match"
	maxF1Regression = "max_f1_regression"
	maxPIIHits      = "max_pii_hits"
	minQualityScore = "min_quality_score"
)

// Criteria are limits by name: min_METRIC, max_METRIC, max_METRIC_regression,
// and the two that are no metrics of a run, max_pii_hits and min_quality_score.
// A limit that is left out is not asked for.
type Criteria map[string]Number

// DefaultCriteria are the limits where no others are given.
func DefaultCriteria() Criteria {
	return Criteria{minF1: floatNumber(0.5), minExactMatch: floatNumber(0.4),
		maxF1Regression: floatNumber(0.05), maxPIIHits: {"0", 0}}
}

// ValidateThresholds checks limits as they come from JSON (numbers as
// json.Number) or YAML: each is a number, the two minima are within 0 and 1 and
// the two maxima not below 0. A limit that is null is not asked for.
func ValidateThresholds(criteria map[string]any) error {
	for _, r := range []struct {
		key       string
		low, high string // as printed; empty: none
	}{
		{minF1, "0.0", "1.0"}, {minExactMatch, "0.0", "1.0"}, {maxF1Regression, "0.0", ""}, {maxPIIHits, "0", ""},
	} {
		v, ok := criteria[r.key]
		if !ok || v == nil {
			continue
		}
		n, err := NewNumber(v)
		if err != nil {
			return notNumber(r.key, v)
		}
		if n.float < 0 {
			return fmt.Errorf("ship_if.%s=%s invalid (must be >= %s)", r.key, n, r.low)
		}
		if r.high != "" && n.float > 1 {
			return fmt.Errorf("ship_if.%s=%s invalid (must be <= %s)", r.key, n, r.high)
		}
	}
	return nil
}

func notNumber(key string, v any) error {
	return fmt.Errorf("ship_if.%s must be a number, got %s", key, typeName(v))
}

// typeName names the type of a decoded value as the other tools do.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "NoneType"
	case string:
		return "str"
	case []any:
		return "list"
	case map[string]any:
		return "dict"
	case bool:
		return "bool"
	case json.Number, float64:
		return "float"
	}
	return "int"
}

// ParseCriteria validates limits and takes them over; those that are null are
// left out.
func ParseCriteria(raw map[string]any) (Criteria, error) {
	if err := ValidateThresholds(raw); err != nil {
		return nil, err
	}
	out := Criteria{}
	var bad []error
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		if raw[key] == nil {
			continue
		}
		n, err := NewNumber(raw[key])
		if err != nil {
			bad = append(bad, notNumber(key, raw[key]))
			continue
		}
		out[key] = n
	}
	return out, errors.Join(bad...)
}

// Override sets limits from outside; one that is null is no longer asked for.
// On error nothing has changed.
func (c Criteria) Override(raw map[string]any) error {
	given, err := ParseCriteria(raw)
	if err != nil {
		return err
	}
	for key, v := range raw {
		if v == nil {
			delete(c, key)
		}
	}
	maps.Copy(c, given)
	return nil
}

// limitKind says how a limit bounds its metric.
type limitKind int

const (
	atLeast limitKind = iota
	atMost
	regression
)

// limit is one criterion on a metric.
type limit struct {
	key    string
	kind   limitKind
	metric string
	bound  Number
}

// rule is how the value and the bound of a limit must stand to each other; the
// change of a metric that is better when lower may go up by the bound.
func (l limit) rule() string {
	switch {
	case l.kind == atLeast:
		return ">="
	case l.kind == atMost:
		return "<="
	case metrics.LowerIsBetter(l.metric):
		return "<= +"
	}
	return ">= -"
}

// parseKey splits a key such as min_accuracy. What is no limit on a metric
// gives false.
func parseKey(key string) (kind limitKind, metric string, ok bool) {
	if key == maxPIIHits || key == minQualityScore {
		return 0, "", false
	}
	if rest, is := strings.CutPrefix(key, "min_"); is {
		return atLeast, rest, rest != ""
	}
	rest, is := strings.CutPrefix(key, "max_")
	if name, reg := strings.CutSuffix(rest, "_regression"); is && reg {
		return regression, name, name != ""
	}
	return atMost, rest, is && rest != ""
}

// limits lists the criteria on metrics: first those of the contract in its
// order, then the others by name.
func (c Criteria) limits() []limit {
	var out []limit
	first := []string{minF1, minExactMatch, maxF1Regression}
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(c)), func(k string) bool { return slices.Contains(first, k) })
	for _, key := range append(first, keys...) {
		bound, set := c[key]
		if kind, metric, ok := parseKey(key); set && ok {
			out = append(out, limit{key, kind, metric, bound})
		}
	}
	return out
}
