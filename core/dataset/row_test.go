package dataset_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
)

// write puts text into a new file and returns its path.
func write(t testing.TB, path, text string) string {
	t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.TempDir(), path)
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// scan returns the rows of a file and the error of the scan.
func scan(path, task string) (rows []dataset.Row, err error) {
	err = dataset.Scan(context.Background(), path, task, func(r dataset.Row) error {
		rows = append(rows, r)
		return nil
	})
	return rows, err
}

// dataError asserts that err is a DataError about path.
func dataError(t *testing.T, err error, path string) *fault.Detail {
	t.Helper()
	var data *fault.DataError
	require.ErrorAs(t, err, &data)
	assert.Equal(t, path, data.Path)
	assert.NotEmpty(t, data.Hint, "%v", err)
	return &data.Detail
}

func TestPrompt(t *testing.T) {
	tests := []struct {
		row                       dataset.Row
		prompt, source, reference string
	}{
		{dataset.Row{Instruction: "Add", Input: "1 2", Output: "3"},
			"### Instruction:\nAdd\n\n### Input:\n1 2\n\n### Response:\n", "Add\n1 2", "3"},
		{dataset.Row{Instruction: "Greet", Output: "Hello"},
			"### Instruction:\nGreet\n\n### Response:\n", "Greet", "Hello"},
		{dataset.Row{Text: "fine", Label: "good"}, "fine", "fine", "good"},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.prompt, tt.row.Prompt())
		assert.Equal(t, tt.source, tt.row.Source())
		assert.Equal(t, tt.reference, tt.row.Reference())
	}
}

func TestGoodRows(t *testing.T) {
	sft := func(line int, instruction, input, output string) dataset.Row {
		return dataset.Row{Line: line, Instruction: instruction, Input: input, Output: output}
	}
	tests := []struct {
		name, task, text string
		want             []dataset.Row
	}{
		{"line breaks", dataset.SFT, "{\"instruction\":\"a\",\"output\":\"b\"}\r\n\n \t\r\n{\"instruction\":\"c\",\"output\":\"d\"}",
			[]dataset.Row{sft(1, "a", "", "b"), sft(4, "c", "", "d")}},
		{"byte order mark", dataset.SFT, "\ufeff{\"instruction\":\"a\",\"output\":\"b\"}\n", []dataset.Row{sft(1, "a", "", "b")}},
		{"mark and blank line", dataset.SFT, "\ufeff\n{\"instruction\":\"a\",\"output\":\"b\"}\n", []dataset.Row{sft(2, "a", "", "b")}},
		{"null and empty input", dataset.SFT, `{"instruction":"a","input":null,"output":"b","id":null,"tags":null}` + "\n" +
			`{"instruction":"a","input":"","output":"b","tags":{}}`, []dataset.Row{sft(1, "a", "", "b"), sft(2, "a", "", "b")}},
		{"escapes", dataset.SFT, `{"instruction":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000","output":" kept "}`,
			[]dataset.Row{sft(1, "\"\\/\b\f\n\r\té😀\x00", "", " kept ")}},
		{"escaped names", dataset.SFT, `{"\u0069nstruction":"a","output":"b"}`, []dataset.Row{sft(1, "a", "", "b")}},
		{"other fields of any type", dataset.SFT, `{"x":[1,{"y":null}],"text":5,"label":[],"Instruction":1,"instruction":"a","output":"b","x":2}`,
			[]dataset.Row{sft(1, "a", "", "b")}},
		{"id and tags", dataset.Classification, `{"id":"row_1","tags":{"source":"human","é":"\u00e9"},"label":"pos","text":"ok","output":3}`,
			[]dataset.Row{{Line: 1, ID: "row_1", Text: "ok", Label: "pos", Tags: map[string]string{"source": "human", "é": "é"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := scan(write(t, "rows.jsonl", tt.text), tt.task)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestBadRows(t *testing.T) {
	tests := []struct{ name, task, line, key, reason, hint string }{
		{"not JSON", dataset.SFT, `instruction`, "", "'i' where '{' is expected", "one JSON object"},
		{"list", dataset.SFT, `[{"instruction":"a","output":"b"}]`, "", "'[' where '{' is expected", "looks like a JSON list"},
		{"indented", dataset.SFT, `{`, "", "the text ends", "indented JSON"},
		{"torn", dataset.SFT, `{"instruction":"a","output":"b`, "", "ends inside a string", "one JSON object"},
		{"two objects", dataset.SFT, `{"instruction":"a","output":"b"}{}`, "", "'{' where the end is expected", "one JSON object"},
		{"invalid UTF-8", dataset.SFT, "{\"instruction\":\"\xff\",\"output\":\"b\"}", "", "not valid UTF-8", "UTF-8"},
		{"NUL", dataset.SFT, "{\"instruction\":\"a\x00\",\"output\":\"b\"}", "", "NUL byte", "UTF-16"},
		{"missing", dataset.SFT, `{"instruction":"a"}`, "output", "is missing", "a row of task sft"},
		{"null", dataset.SFT, `{"instruction":"a","output":null}`, "output", "is missing", "a row of task sft"},
		{"empty", dataset.SFT, `{"instruction":"","output":"b"}`, "instruction", "is empty", "a row of task sft"},
		{"blank", dataset.SFT, `{"instruction":"a","output":" \n"}`, "output", "is empty", "a row of task sft"},
		{"other task", dataset.Classification, `{"text":"a","output":"b"}`, "label", "is missing", "a row of task classification"},
		{"wrong label type", dataset.Classification, `{"text":"a","label":1}`, "label", "a number where a string belongs", "in double quotes"},
		{"wrong type", dataset.SFT, `{"instruction":["a"],"output":"b"}`, "instruction", "a list where a string belongs", ""},
		{"wrong optional type", dataset.SFT, `{"instruction":"a","input":{},"output":"b"}`, "input", "an object where a string belongs", ""},
		{"wrong id type", dataset.SFT, `{"instruction":"a","output":"b","id":7}`, "id", "a number where a string belongs", "in double quotes"},
		{"twice", dataset.SFT, `{"instruction":"a","output":"b","output":"c"}`, "output", "given twice", ""},
		{"half a pair", dataset.SFT, `{"instruction":"a","output":"\ud800"}`, "output", "half a surrogate pair", ""},
		{"tags list", dataset.SFT, `{"instruction":"a","output":"b","tags":["x"]}`, "tags", "a list where an object of strings belongs", "source"},
		{"tag number", dataset.SFT, `{"instruction":"a","output":"b","tags":{"n":1}}`, "tags", `tag "n": a number where a string belongs`, "in double quotes"},
		{"tag twice", dataset.SFT, `{"instruction":"a","output":"b","tags":{"n":"1","n":"2"}}`, "tags", `tag "n" given twice`, ""},
		{"tags twice", dataset.SFT, `{"instruction":"a","output":"b","tags":{},"tags":{}}`, "tags", "given twice", ""},
		{"hostile tag", dataset.SFT, `{"instruction":"a","output":"b","tags":{"\u001b[2J":null}}`, "tags", `tag "\x1b[2J": null where`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			good := `{"instruction":"a","output":"b","text":"c","label":"d"}` + "\n"
			path := write(t, "rows.jsonl", good+"\n"+tt.line+"\n"+good)
			rows, err := scan(path, tt.task)
			require.Len(t, rows, 2, "the good rows are handed over")
			d := dataError(t, err, path)
			assert.Contains(t, d.Reason, "1 of 3 rows is bad")
			assert.Equal(t, 3, d.Line)
			require.Len(t, d.Problems, 1)
			p := d.Problems[0]
			assert.Equal(t, path, p.Path)
			assert.Equal(t, 3, p.Line)
			assert.Equal(t, tt.key, p.Key)
			assert.Contains(t, p.Reason, tt.reason)
			assert.Contains(t, p.Hint, tt.hint)
			assert.NotContains(t, err.Error(), "\x1b")
		})
	}
}

func TestManyTagsAreSearchedForDuplicates(t *testing.T) {
	var tags []string
	for i := range 40 {
		tags = append(tags, `"t`+strings.Repeat("x", i)+`":"v"`)
	}
	row := func(tags []string) string {
		return `{"text":"a","label":"b","tags":{` + strings.Join(tags, ",") + `}}`
	}
	rows, err := scan(write(t, "good.jsonl", row(tags)), dataset.Classification)
	require.NoError(t, err)
	assert.Len(t, rows[0].Tags, 40)
	for _, again := range []int{0, 20, 39} {
		_, err = scan(write(t, "bad.jsonl", row(append(tags[:40:40], tags[again]))), dataset.Classification)
		require.ErrorContains(t, err, "given twice", "tag %d", again)
	}
}

func TestOneRowMayHaveSeveralProblems(t *testing.T) {
	path := write(t, "rows.jsonl", `{"input":3,"tags":{"a":true,"b":null}}`)
	_, err := scan(path, dataset.SFT)
	d := dataError(t, err, path)
	var keys []string
	for _, p := range d.Problems {
		keys = append(keys, p.Key)
	}
	assert.Equal(t, []string{"input", "tags", "tags", "instruction", "output"}, keys)
	assert.Contains(t, d.Hint, "a row of task sft", "no row was right, so the layout is what is needed")
}

func TestRowsAreWrittenAsTheContractSays(t *testing.T) {
	row := dataset.Row{Instruction: "Say <é>", Input: "a\u2028b", Output: "\"x\"\n", Tags: map[string]string{"z": "1", "a": "2"}}
	id, err := row.ContentID()
	require.NoError(t, err)
	// sha256 of {"input": "a\u2028b", "instruction": "Say <é>", "output": "\"x\"\n", "tags": {"a": "2", "z": "1"}}
	assert.Equal(t, "row_0691de8f2885dc1b", id)
	row.ID = id
	data, err := row.Encode()
	require.NoError(t, err)
	assert.Equal(t, `{"instruction": "Say <é>", "input": "a`+"\u2028"+`b", "output": "\"x\"\n", "tags": {"a": "2", "z": "1"}, "id": "`+id+`"}`, string(data))

	for _, row := range []dataset.Row{
		row, {Text: "t", Label: "l"}, {Instruction: "i", Output: "o"}, {Text: "t", Label: "l", ID: "x", Tags: map[string]string{"k": ""}},
	} {
		data, err := row.Encode()
		require.NoError(t, err)
		task := dataset.SFT
		if row.Text != "" {
			task = dataset.Classification
		}
		rows, err := scan(write(t, "rows.jsonl", string(data)), task)
		require.NoError(t, err)
		row.Line = 1
		assert.Equal(t, row, rows[0])
	}
}

// FuzzScan checks rows against encoding/json: what is accepted is what that
// reads, and nothing is accepted that it refuses.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{"instruction":"a","output":"b","tags":{"k":"v"},"id":"1"}`, `{"text":"a","label":"b"}`, `{"instruction":"\ud83d\ude00","output":"\n"}`,
		"\ufeff{\"text\":\"a\",\"label\":\"b\"}\r\n\r\n{", `{"text":1}`, "\x00", `{"tags":{"a":"b","a":"c"}}`, `[]`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, sft bool) {
		task := dataset.Classification
		if sft {
			task = dataset.SFT
		}
		path := filepath.Join(t.TempDir(), "rows.jsonl")
		require.NoError(t, os.WriteFile(path, data, 0o644))
		lines := strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
		rows, err := scan(path, task)
		for _, r := range rows {
			var want struct {
				Instruction, Input, Output, Text, Label, ID string
				Tags                                        map[string]string
			}
			got := map[string]any{}
			require.NoError(t, json.Unmarshal([]byte(lines[r.Line-1]), &got))
			text := func(key string) string { s, _ := got[key].(string); return s }
			want.ID = text("id")
			if sft {
				want.Instruction, want.Input, want.Output = text("instruction"), text("input"), text("output")
			} else {
				want.Text, want.Label = text("text"), text("label")
			}
			tags, _ := got["tags"].(map[string]any)
			require.Len(t, r.Tags, len(tags))
			for k, v := range tags {
				require.Equal(t, v, r.Tags[k])
			}
			require.Equal(t, want.ID, r.ID)
			require.Equal(t, []string{want.Instruction, want.Input, want.Output, want.Text, want.Label},
				[]string{r.Instruction, r.Input, r.Output, r.Text, r.Label})
		}
		if err != nil {
			var bad *fault.DataError
			require.True(t, errors.As(err, &bad), "%v", err)
		}
		file, openErr := dataset.Open(context.Background(), path, task)
		require.Equal(t, err == nil, openErr == nil)
		if openErr != nil {
			return
		}
		defer func() { require.NoError(t, file.Close()) }()
		require.Equal(t, len(rows), file.Len())
		for i, want := range rows {
			row, err := file.Row(i)
			require.NoError(t, err)
			require.Equal(t, want, row)
		}
	})
}
