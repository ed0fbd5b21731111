package config

import (
	"fmt"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs/canonical"
)

var formatRules = field{
	key: "eval.format_rules",
	set: func(c *Config, v value) []flaw {
		if v.kind == null {
			c.Eval.FormatRules = nil
			return nil
		}
		if v.kind != list {
			return flawf("must be a list of rules, not %s", v.describe())
		}
		var rules []metrics.FormatRule
		var bad []flaw
		for i, item := range v.list {
			rule, wrong := formatRule(item)
			for _, f := range wrong {
				f.reason = fmt.Sprintf("rule %d: %s", i+1, f.reason)
				bad = append(bad, f)
			}
			rules = append(rules, rule)
		}
		if bad == nil {
			c.Eval.FormatRules = rules
		}
		return bad
	},
	get: func(c *Config) any {
		if len(c.Eval.FormatRules) == 0 {
			return nil
		}
		out := make([]canonical.Object, len(c.Eval.FormatRules))
		for i, r := range c.Eval.FormatRules {
			out[i] = canonical.Object{{Key: "name", Value: r.Name}}
			if r.Pattern != "" {
				out[i] = append(out[i], canonical.Member{Key: "pattern", Value: r.Pattern})
			}
			if r.Invert {
				out[i] = append(out[i], canonical.Member{Key: "invert", Value: true})
			}
			if r.MaxTokens != 0 {
				out[i] = append(out[i], canonical.Member{Key: "max_tokens", Value: r.MaxTokens})
			}
		}
		return out
	},
	check: func(c *Config) []flaw {
		var bad []flaw
		first := make(map[string]int, len(c.Eval.FormatRules))
		for i, r := range c.Eval.FormatRules {
			j, twice := first[r.Name]
			if !twice {
				first[r.Name] = i
			}
			if err := r.Validate(); err != nil {
				bad = append(bad, flawf("rule %d: %s", i+1, printable(err.Error()))...)
			} else if !utf8.ValidString(r.Pattern) {
				bad = append(bad, flawf("rule %d: pattern is not valid UTF-8", i+1)...)
			} else if f := oneLine(r.Name); f != nil {
				bad = append(bad, flawf("rule %d: name %s", i+1, f[0].reason)...)
			} else if twice {
				bad = append(bad, flawf("rule %d repeats the name of rule %d", i+1, j+1)...)
			}
		}
		return bad
	},
}

var ruleKeys = []string{"name", "pattern", "invert", "max_tokens"}

func formatRule(v value) (metrics.FormatRule, []flaw) {
	var r metrics.FormatRule
	if v.kind != mapping {
		return r, []flaw{{line: v.line, reason: "must be a mapping with name and pattern or max_tokens, not " + v.describe()}}
	}
	var bad []flaw
	seen := map[string]bool{}
	for _, p := range v.pairs {
		if len(bad) > mostProblems {
			break
		}
		var wrong []flaw
		if seen[p.key] {
			wrong = flawf("is set twice")
		} else {
			wrong = setRule(&r, p)
		}
		seen[p.key] = true
		for _, f := range wrong {
			bad = append(bad, flaw{reason: quiet(p.key) + " " + f.reason, hint: f.hint, line: p.line})
		}
	}
	return r, bad
}

func setRule(r *metrics.FormatRule, p pair) (bad []flaw) {
	switch p.key {
	case "name":
		r.Name, bad = p.value.string()
	case "pattern":
		r.Pattern, bad = p.value.string()
	case "invert":
		r.Invert, bad = p.value.truth()
	case "max_tokens":
		var n int64
		if n, bad = p.value.integer(); bad == nil && (n < 1 || n > maxInt) {
			bad = flawf("must be between 1 and %d, not %d", maxInt, n)
		}
		r.MaxTokens = int(n)
	default:
		near, _ := Nearest(p.key, ruleKeys)
		bad = []flaw{{reason: "is not a key of a rule", hint: "did you mean " + near + "?"}}
	}
	return bad
}
