package filter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/filter"
)

type row map[string]filter.Value

func (r row) Words() string { return r["name"].Text }

func (r row) Field(key string) (filter.Value, bool) {
	v, ok := r[key]
	return v, ok
}

var warm = row{
	"name":   {Text: "human+Warm start 3"},
	"status": {Text: "completed"},
	"f1":     {Text: "0.729", Number: 0.729, IsNumber: true},
	"age":    {Number: 7200, IsNumber: true},
}

func TestMatch(t *testing.T) {
	for query, want := range map[string]bool{
		"":                        true,
		"  ":                      true,
		"warm":                    true,
		"humwarm":                 true,
		"wrm":                     true,
		"cold":                    false,
		"warm start":              true,
		"warm cold":               false,
		`"warm start"`:            true,
		"f1>0.7":                  true,
		"f1>0.729":                false,
		"f1>=0.729":               true,
		"f1<72%":                  false,
		"f1<=73%":                 true,
		"f1:0.729":                true,
		"f1:0.7":                  false,
		"f1~0.7":                  true,
		"f1!=1":                   true,
		"age<3h":                  true,
		"age>1d":                  false,
		"status:comp":             true,
		"status=comp":             false,
		"status=COMPLETED":        true,
		"STATUS!=failed":          true,
		"name~warm f1>0.5":        true,
		"name~warm f1>0.8":        false,
		"lr<1":                    false,
		"lr!=1":                   true,
		`name:"warm start" f1>.1`: true,
	} {
		q, err := filter.Parse(query)
		require.NoError(t, err, query)
		assert.Equal(t, want, q.Match(warm), query)
	}
}

func TestMatchOfClosedSets(t *testing.T) {
	for query, want := range map[string]string{
		"decision:SHIP":             "SHIP",
		"decision:ship":             "SHIP",
		"decision=ship":             "SHIP",
		"decision:s":                "SHIP",
		"decision:dont":             "DONT_SHIP",
		"decision=dont":             "",
		"decision:DONT_SHIP":        "DONT_SHIP",
		"decision!=ship":            "DONT_SHIP INVESTIGATE later",
		"decision~ship":             "SHIP DONT_SHIP",
		"decision:_ship":            "",
		"decision:lat":              "later",
		"decision:later decision:l": "later",
	} {
		q, err := filter.Parse(query)
		require.NoError(t, err, query)
		var got []string
		for _, s := range []string{"SHIP", "DONT_SHIP", "INVESTIGATE", "later"} {
			v, _ := filter.Choice("decision", s)
			if q.Match(row{"decision": v}) {
				got = append(got, s)
			}
		}
		assert.Equal(t, want, strings.Join(got, " "), query)
	}
	q, err := filter.Parse("status:r")
	require.NoError(t, err)
	assert.False(t, q.Match(row{"status": {Text: "ready", OneOf: []string{"running", "ready"}}}), "more than one begins so")
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		query, reason string
		from, to      int
	}{
		{"f1>", "f1> needs a value after it", 0, 3},
		{"warm f1>high x", "f1> needs a number, not high", 5, 12},
		{">0.7", "> needs a name before it, as in f1>0.7", 0, 4},
		{"f1<NaN", "f1< needs a number, not NaN", 0, 6},
	} {
		_, err := filter.Parse(c.query)
		var wrong *filter.Error
		require.ErrorAs(t, err, &wrong, c.query)
		assert.Equal(t, filter.Error{From: c.from, To: c.to, Reason: c.reason}, *wrong)
	}
	q, err := filter.Parse("cold f1>")
	require.Error(t, err)
	assert.False(t, q.Match(warm), "what was understood still counts")
}

func TestKeys(t *testing.T) {
	q, err := filter.Parse("a f1>0.7 f1<0.9 Status:x")
	require.NoError(t, err)
	assert.Equal(t, []string{"f1", "status"}, q.Keys())
	assert.False(t, q.Empty())
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"f1>0.7 warm", `a"b c":d`, "<>=!~", "é~è", "x:1d", `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := filter.Parse(s)
		if wrong, ok := err.(*filter.Error); ok && (wrong.From < 0 || wrong.From >= wrong.To || wrong.To > len(s)) {
			t.Fatalf("place %d to %d of %q", wrong.From, wrong.To, s)
		}
		q.Match(warm)
	})
}
