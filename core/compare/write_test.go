package compare_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/compare"
	"github.com/verifily/verifily-tui/runs"
)

var update = flag.Bool("update", false, "write the golden files")

// golden holds text against a file, once what differs between two test runs is
// taken out.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = regexp.MustCompile(`run(\\?_)\d{8}\\?_\d{6}\\?_[0-9a-f]{6}`).ReplaceAllString(got, "run${1}20260101${1}120000${1}abcdef")
	got = regexp.MustCompile(`"path": "[^"]*"`).ReplaceAllString(got, `"path": "runs/x"`)
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func example(t *testing.T) *compare.Result {
	t.Helper()
	a, b := answers(80, third), answers(80, func(i int) bool { return half(i) && i > 4 || i%4 == 1 })
	b[7].ID, b[7].Input = "other", "other"
	return compareRuns(t, compare.Options{SliceBy: []string{"source", "rare"}, MinSlice: 15},
		spec{name: "human-v2", preds: a, config: "training: {learning_rate: 2e-4}\nseed: 42\n",
			environment: &runs.Environment{RuntimeVersion: "go1.26.0", Packages: map[string]string{"torch": "2.2.0"}}},
		spec{name: "human+synthetic", preds: b, config: "training: {learning_rate: 4e-4}\nseed: 42\n",
			environment: &runs.Environment{RuntimeVersion: "go1.26.0", Packages: map[string]string{"torch": "2.3.1"}}})
}

func TestTables(t *testing.T) {
	r := example(t)
	for _, w := range []int{40, 60, 80, 120} {
		var out bytes.Buffer
		require.NoError(t, r.WriteTable(&out, w))
		golden(t, "table_"+strconv.Itoa(w)+".txt", out.String())
		var again bytes.Buffer
		require.NoError(t, r.WriteTable(&again, w))
		assert.Equal(t, out.String(), again.String())
	}
}

func TestMarkdown(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, example(t).WriteMarkdown(&out))
	golden(t, "markdown.md", out.String())
}

func TestCSV(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, example(t).WriteCSV(&out))
	golden(t, "rows.csv", out.String())
}

func TestJSON(t *testing.T) {
	r := example(t)
	r.Examples[0].Fixed, r.Examples[0].Broken = r.Examples[0].Fixed[:1], nil
	r.Slices = r.Slices[:1]
	r.Overall = r.Overall[:1]
	var out bytes.Buffer
	require.NoError(t, r.WriteJSON(&out))
	golden(t, "result.json", out.String())
}

const hostile = "a\x1b[31m\r\n\u202eb|`<script>` =x\u200b\x9b2J\U000e0041\xff世界 [l](http://x)"

// hostileResult has hostile text wherever text from data can stand.
func hostileResult(t *testing.T) *compare.Result {
	t.Helper()
	mutate := func(p []runs.Prediction, n int) []runs.Prediction {
		for i := range p {
			p[i].Input, p[i].Prediction, p[i].Reference = hostile+strconv.Itoa(i), hostile+strconv.Itoa(i*n), hostile+strconv.Itoa(i)
			p[i].Tags = map[string]string{"=" + hostile: "@" + hostile}
		}
		return p
	}
	config := func(v string) string { q, _ := json.Marshal(v); return string(q) + ": " + string(q) + "\n" }
	r := compareRuns(t, compare.Options{SliceBy: []string{"=" + strings.ToValidUTF8(hostile, "\uFFFD")}},
		spec{name: "-" + hostile, preds: mutate(answers(40, half), 1), config: config(strings.ToValidUTF8(hostile, "?"))},
		spec{name: "+" + hostile, preds: mutate(answers(40, half), 2), overall: map[string]float64{"=" + hostile: 1}, config: "x: 1\n"})
	r.Notes = append(r.Notes, hostile)
	return r
}

func TestHostileTextIsShownNotObeyed(t *testing.T) {
	r := hostileResult(t)
	require.Greater(t, len(r.Examples[0].Broken), 10)
	for name, write := range map[string]func(io.Writer) error{
		"table":    func(w io.Writer) error { return r.WriteTable(w, 70) },
		"json":     r.WriteJSON,
		"csv":      r.WriteCSV,
		"markdown": r.WriteMarkdown,
	} {
		var out bytes.Buffer
		require.NoError(t, write(&out), name)
		require.True(t, utf8.Valid(out.Bytes()), name)
		for i, c := range out.String() {
			require.True(t, c == '\n' || unicode.IsGraphic(c) && !unicode.Is(unicode.Bidi_Control, c) &&
				!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, c), "%s: %U at %d", name, c, i)
		}
	}
}

func TestTablesFit(t *testing.T) {
	for _, r := range []*compare.Result{hostileResult(t), example(t)} {
		for w := 20; w < 160; w += 7 {
			var out bytes.Buffer
			require.NoError(t, r.WriteTable(&out, w))
			for _, line := range strings.Split(out.String(), "\n") {
				require.LessOrEqual(t, runewidth.StringWidth(line), max(w, 40), "%q", line)
			}
		}
	}
}

func TestLongIndentsEnd(t *testing.T) {
	r := example(t)
	r.Notes = []string{strings.Repeat(" ", 300) + "x" + strings.Repeat("y", 300)}
	r.Runs[0].Name = strings.Repeat(" ", 500)
	var out bytes.Buffer
	require.NoError(t, r.WriteTable(&out, 40))
	assert.Contains(t, out.String(), "yyy")
}

func TestJSONReadsBack(t *testing.T) {
	r := hostileResult(t)
	var out bytes.Buffer
	require.NoError(t, r.WriteJSON(&out))
	var back compare.Result
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	assert.Equal(t, strings.ToValidUTF8(r.Runs[0].Name, "\uFFFD"), back.Runs[0].Name, "nothing is lost but bytes that are no text")
	assert.Equal(t, r.Overall[0], back.Overall[0])
	assert.Equal(t, len(r.Examples[0].Broken), len(back.Examples[0].Broken))
}

func TestSpreadsheetsSeeNoFormulas(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, hostileResult(t).WriteCSV(&out))
	rows, err := csv.NewReader(&out).ReadAll()
	require.NoError(t, err)
	header := rows[0]
	texts := map[string]bool{"metric": true, "slice_key": true, "slice_value": true, "run_id": true, "run_name": true}
	guarded := 0
	for _, row := range rows[1:] {
		require.Len(t, row, len(header))
		for i, v := range row {
			if texts[header[i]] && v != "" {
				require.NotContains(t, "=+-@|%", v[:1], v)
				if v[0] == '\'' {
					guarded++
				}
			}
		}
	}
	assert.Greater(t, guarded, 4)
}

func TestMarkdownKeepsItsCells(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, hostileResult(t).WriteMarkdown(&out))
	bars := regexp.MustCompile(`(^|[^\\])(\\\\)*\|`)
	for _, line := range strings.Split(out.String(), "\n") {
		assert.NotContains(t, line, "<script")
		assert.NotRegexp(t, `[^\\]\]\(`, line)
		assert.NotContains(t, line, "http://")
		if strings.HasPrefix(line, "| ") && strings.Contains(line, "~") {
			assert.Len(t, bars.FindAllString(line, -1), 10, line)
		}
	}
}

// A config may hold megabytes: tables show the start, JSON has all of it.
func TestLongValuesAreCut(t *testing.T) {
	long := strings.Repeat("long ", 2_000_000)
	r := &compare.Result{Runs: []compare.Run{{ID: "a"}, {ID: "b"}}, Pairing: []compare.Pairing{{Run: "b", Note: "none"}}, Notes: []string{long},
		Config: []compare.Difference{{Name: long, Values: []any{long, 1}}}}
	for _, write := range []func(io.Writer) error{r.WriteMarkdown, func(w io.Writer) error { return r.WriteTable(w, 80) }} {
		var out bytes.Buffer
		require.NoError(t, write(&out))
		assert.Less(t, out.Len(), 10_000)
	}
	var out bytes.Buffer
	require.NoError(t, r.WriteJSON(&out))
	assert.Contains(t, out.String(), long)
}

// TestNothingIsTheSameThatIsNotKnown: runs of other programs may lack files.
func TestNothingIsTheSameThatIsNotKnown(t *testing.T) {
	for want, with := range map[string]*runs.Environment{"environment: same": {RuntimeVersion: "go1.26.0"}, "environment: not known": nil} {
		s := spec{preds: answers(40, half), config: "seed: 1\n", environment: with}
		var out bytes.Buffer
		require.NoError(t, compareRuns(t, compare.Options{}, s, s).WriteTable(&out, 80))
		assert.Contains(t, out.String(), want)
		assert.Contains(t, out.String(), "config: same")
	}
}
