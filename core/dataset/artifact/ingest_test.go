package artifact_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/canonical"
)

var update = flag.Bool("update", false, "write the golden files anew")

func clock() time.Time { return time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC) }

// input writes a file to be ingested.
func input(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func ingest(t *testing.T, opt artifact.Options) *artifact.Summary {
	t.Helper()
	s, err := artifact.Ingest(context.Background(), opt)
	require.NoError(t, err)
	return s
}

// rows reads the rows of an artifact, without lines and ids, which it checks.
func rows(t *testing.T, dir, schema string) []dataset.Row {
	t.Helper()
	var out []dataset.Row
	require.NoError(t, dataset.Scan(context.Background(), filepath.Join(dir, artifact.DataName), schema, func(r dataset.Row) error {
		id, err := r.ContentID()
		require.NoError(t, err)
		require.Equal(t, id, r.ID)
		r.Line, r.ID = 0, ""
		out = append(out, r)
		return nil
	}))
	return out
}

func document(t *testing.T, dir, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	var v map[string]any
	require.NoError(t, json.Unmarshal(data, &v))
	return v
}

func TestGolden(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	s := ingest(t, artifact.Options{
		Input: "testdata/questions.csv", OutDir: dir, Schema: dataset.SFT,
		Map: map[string]string{"question": "subject", "tags.source": "Origin"}, Tags: map[string]string{"batch": "one"},
		Version: "v1.2.3", Now: clock,
	})
	for _, name := range []string{artifact.DataName, artifact.ManifestName, artifact.ReportName, artifact.HashesName} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		golden := filepath.Join("testdata", "golden", name)
		if *update {
			require.NoError(t, os.WriteFile(golden, got, 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), name)
	}
	assert.Equal(t, [4]int{6, 4, 2, 1}, [4]int{s.RowsIn, s.RowsOut, s.Dropped, s.ExactDuplicates})
	assert.Equal(t, []artifact.Reason{{Reason: "missing answer", Rows: 1}, {Reason: "ragged row", Rows: 1}}, s.Reasons)
	assert.Equal(t, 2, s.PIIHits)
	left, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	assert.Len(t, left, 1, "nothing is left beside the artifact")
}

func TestRows(t *testing.T) {
	sft := func(instruction, input, output string, tags ...string) dataset.Row {
		r := dataset.Row{Instruction: instruction, Input: input, Output: output}
		for i := 0; i < len(tags); i += 2 {
			if r.Tags == nil {
				r.Tags = map[string]string{}
			}
			r.Tags[tags[i]] = tags[i+1]
		}
		return r
	}
	class := func(text, label string) dataset.Row { return dataset.Row{Text: text, Label: label} }
	cases := []struct {
		name, file, text string
		opt              artifact.Options
		want             []dataset.Row
		dropped          map[string]int
	}{
		{name: "csv", file: "a.csv", text: "instruction,input,output\na,,b\n\" c \",d,e\n", want: []dataset.Row{sft("a", "", "b"), sft(" c ", "d", "e")}},
		{name: "any case and other names", file: "a.csv", text: "PROMPT,Response,Notes\na,b,c\n", want: []dataset.Row{sft("a", "", "b")}},
		{name: "completion", file: "a.jsonl", text: `{"prompt":"a","completion":"b"}`, want: []dataset.Row{sft("a", "", "b")}},
		{name: "semicolon", file: "a.csv", text: "text;label\n\"a;b\";x\n1,5;y\n", opt: artifact.Options{Schema: "classification"}, want: []dataset.Row{class("a;b", "x"), class("1,5", "y")}},
		{name: "tab", file: "a.tsv", text: "label\ttext\nx\ta \"b\" c\n", opt: artifact.Options{Schema: "classification"}, want: []dataset.Row{class(`a "b" c`, "x")}},
		{name: "bar", file: "a.txt", text: "text|label\na,b|c\n", opt: artifact.Options{Schema: "classification"}, want: []dataset.Row{class("a,b", "c")}},
		{name: "delimiter given", file: "a.csv", text: "text label\na b\n", opt: artifact.Options{Schema: "classification", Delimiter: " "}, want: []dataset.Row{class("a", "b")}},
		{name: "header with commas, columns by semicolons", file: "a.csv", text: "\"x,y\";text;label\n1;2;3\n", opt: artifact.Options{Schema: "classification"}, want: []dataset.Row{class("2", "3")}},
		{name: "old line ends", file: "a.csv", text: "text,label\ra,b\r\"c\rd\",e\r", opt: artifact.Options{Schema: "classification"}, want: []dataset.Row{class("a", "b"), class("c\rd", "e")}},
		{name: "label is stripped", file: "a.csv", text: "text,label\n a , b\n", opt: artifact.Options{Schema: "classification"}, want: []dataset.Row{class(" a ", "b")}},
		{name: "blank lines", file: "a.csv", text: "\n  \ntext,label\n\r\n   \na,b\n\n", opt: artifact.Options{Schema: "classification"}, want: []dataset.Row{class("a", "b")}},
		{
			name: "questions", file: "a.jsonl",
			text: `{"question":" q ","answer":" a\n"}` + "\n" + `{"question":"q","answer":"a","context":" c "}` + "\n" + `{"question":"q","answer":"a","instruction":" Be brief. "}`,
			want: []dataset.Row{
				sft("Answer the question.", "Question:\nq", "a"),
				sft("Answer the question using the context.", "Context:\nc\n\nQuestion:\nq", "a"),
				sft("Be brief.", "Question:\nq", "a"),
			},
		},
		{name: "instruction and output win", file: "a.csv", text: "question,answer,instruction,output\nq,a,i,o\n,,i,o\nq,a,,\n", want: []dataset.Row{sft("i", "", "o"), sft("i", "", "o"), sft("Answer the question.", "Question:\nq", "a")}},
		{
			name: "a map for questions wins", file: "a.csv", text: "instruction,output,title,reply\ni,o,q,a\n",
			opt:  artifact.Options{Map: map[string]string{"question": "Title", "answer": "REPLY"}},
			want: []dataset.Row{sft("i", "Question:\nq", "a")},
		},
		{
			name: "a map", file: "a.csv", text: "Instruction,instruction2,out\nno,i,o\n",
			opt:  artifact.Options{Map: map[string]string{"instruction": "instruction2", "output": "OUT", "tags.from": "Instruction"}},
			want: []dataset.Row{sft("i", "", "o", "from", "no")},
		},
		{
			name: "the tags that win", file: "a.jsonl", text: `{"instruction":"i","output":"o","lang":"de","kind":" ","tags":{"a":"row","lang":"row","n":1,"none":null}}`,
			opt:  artifact.Options{Map: map[string]string{"tags.lang": "lang", "tags.kind": "kind"}, Tags: map[string]string{"a": "given"}},
			want: []dataset.Row{sft("i", "", "o", "a", "given", "lang", "de", "n", "1")},
		},
		{
			name: "values of JSON", file: "a.jsonl", opt: artifact.Options{Schema: "classification"},
			text: "{\"text\":\"a\",\"label\":1}\n{\"Text\":\"b\",\"LABEL\":true}\n{\"text\":\"c\",\"label\":1.50,\"Text\":\"no\"}",
			want: []dataset.Row{class("a", "1"), class("b", "true"), class("c", "1.50")},
		},
		{
			name: "dropped of CSV", file: "a.csv", opt: artifact.Options{Schema: "classification"},
			text: "text,label\nok,x\na\na,b,c\n,x\nx, \n\xff,x\n\"a\"b,x\n",
			want: []dataset.Row{class("ok", "x")},
			dropped: map[string]int{"ragged row": 2, "missing text": 1, "missing label": 1, "invalid UTF-8": 1,
				"broken quotes": 1},
		},
		{
			name: "dropped of JSONL", file: "a.jsonl", opt: artifact.Options{Schema: "classification"},
			text: strings.Join([]string{
				`{"text":"ok","label":"x"}`, `{"text":`, `[]`, `{"text":null,"label":"x"}`, `{"text":["a"],"label":"x"}`, `{"text":"a","label":{}}`,
				`{"text":"a","text":"b","label":"x"}`, `{"text":"\ud800","label":"x"}`, `{"text":"` + "\xff" + `","label":"x"}`,
				`{"text":"a","label":"x","tags":[]}`, `{"text":"a","label":"x","tags":{"a":{}}}`, `{"text":"a","label":"x","tags":{"a":"b","a":"c"}}`,
				`{"text":"a","label":"x","tags":{},"tags":{}}`, `{"text":"` + strings.Repeat("x", dataset.MaxLine) + `","label":"x"}`,
			}, "\n"),
			want: []dataset.Row{class("ok", "x")},
			dropped: map[string]int{"not a JSON object": 2, "missing text": 1, "not a text: text": 1, "not a text: label": 1, "given twice: text": 1,
				"half a character: text": 1, "invalid UTF-8": 1, "not a text: a": 1, "given twice: a tag": 1, "given twice: tags": 1},
		},
		{
			name: "too long", file: "a.csv", opt: artifact.Options{Schema: "classification"},
			text: "text,label\nok,x\n\"" + strings.Repeat("x\n", dataset.MaxLine/2) + "\",x\nfine,y\n" + strings.Repeat("\x01", dataset.MaxLine/4) + ",z\n",
			want: []dataset.Row{class("ok", "x"), class("fine", "y")}, dropped: map[string]int{"too long": 2},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			opt := c.opt
			opt.Input, opt.OutDir = input(t, c.file, c.text), filepath.Join(t.TempDir(), "out")
			if opt.Schema == "" {
				opt.Schema = dataset.SFT
			}
			s := ingest(t, opt)
			assert.Equal(t, c.want, rows(t, opt.OutDir, opt.Schema))
			got := map[string]int{}
			for _, r := range s.Reasons {
				got[r.Reason] = r.Rows
			}
			if c.dropped == nil {
				c.dropped = map[string]int{}
			}
			assert.Equal(t, s.RowsIn, s.RowsOut+s.Dropped)
			if s.Dropped > 12 {
				assert.Len(t, got, 10, "the most frequent reasons alone are listed")
			}
			assert.Equal(t, c.dropped, got)
			m := document(t, opt.OutDir, artifact.ManifestName)
			assert.EqualValues(t, s.Dropped, m["dropped_rows_count"])
			assert.Len(t, m["top_drop_reasons"], len(got))
			info, err := os.Stat(opt.Input)
			require.NoError(t, err)
			assert.EqualValues(t, info.Size(), m["input_provenance"].(map[string]any)["byte_size"])

			opt.Strict, opt.OutDir = true, filepath.Join(t.TempDir(), "strict")
			_, err = artifact.Ingest(context.Background(), opt)
			if s.Dropped == 0 {
				require.NoError(t, err)
				return
			}
			var data *fault.DataError
			require.ErrorAs(t, err, &data)
			assert.Len(t, data.Problems, min(s.Dropped, 20))
			assert.Contains(t, data.Reason, fmt.Sprintf("%d of %d rows cannot be used", s.Dropped, s.RowsIn))
			assert.NoDirExists(t, opt.OutDir)
		})
	}
}

func TestUnusedColumns(t *testing.T) {
	for _, c := range []struct {
		file, text string
		given      map[string]string
		want       []string
	}{
		{"a.csv", "question,answer,kind,ID,tags\nq,a,k,7,t\n", nil, []string{"kind", "tags"}},
		{"a.csv", "question,answer,Kind\nq,a,k\n", map[string]string{"tags.kind": "kind"}, []string{}},
		{"a.csv", "question,answer,subject\nq,a,s\n", map[string]string{"question": "subject"}, []string{"question"}},
		{"a.jsonl", `{"question":"q","answer":"a","tags":{"x":"y"}}` + "\n" + `{"prompt":"q","output":"a","note":"n"}` + "\n", nil, []string{"note"}},
	} {
		in := filepath.Join(t.TempDir(), c.file)
		require.NoError(t, os.WriteFile(in, []byte(c.text), 0o644))
		s, err := artifact.Ingest(context.Background(), artifact.Options{Input: in, OutDir: filepath.Join(t.TempDir(), "out"), Schema: "sft", Map: c.given})
		require.NoError(t, err, c.text)
		assert.Equal(t, c.want, s.Unused, c.text)
	}
}

func TestErrors(t *testing.T) {
	cases := []struct {
		name, file, text string
		opt              artifact.Options
		says             string
	}{
		{"schema", "a.csv", "a", artifact.Options{Schema: "chat"}, `unknown schema "chat"`},
		{"format", "a.csv", "a", artifact.Options{Format: "xml"}, `unknown format "xml"`},
		{"delimiter", "a.csv", "a", artifact.Options{Delimiter: "ab"}, `delimiter "ab" cannot be used`},
		{"map of no field", "a.csv", "a", artifact.Options{Map: map[string]string{"text": "x"}}, `the map has "text", which is no field of sft rows`},
		{"map of nothing", "a.csv", "a", artifact.Options{Map: map[string]string{"input": ""}}, "gives \"input\" no column"},
		{"tag", "a.csv", "a", artifact.Options{Tags: map[string]string{"": "x"}}, "is not a name and a text"},
		{"empty csv", "a.csv", "", artifact.Options{}, "holds no rows"},
		{"empty jsonl", "a.jsonl", "\n", artifact.Options{}, "holds no rows"},
		{"header alone", "a.csv", "instruction,output\n", artifact.Options{}, "holds no rows"},
		{"no columns", "a.csv", "foo,bar\n1,2\n", artifact.Options{}, "a.csv:1: no columns for instruction and output, or question and answer"},
		{"one column", "a.csv", "instruction\n1\n", artifact.Options{}, "no columns for"},
		{"mapped column", "a.csv", "\ninstruction,output\n1,2\n", artifact.Options{Map: map[string]string{"input": "x"}}, `a.csv:2: there is no column "x"`},
		{"column without a name", "a.csv", "instruction,,output\n1,2,3\n", artifact.Options{}, "column 2 of the header has no name"},
		{"column twice", "a.csv", "instruction,output,Output\n1,2,3\n", artifact.Options{}, `column "Output" stands twice`},
		{"header not UTF-8", "a.csv", "instruction,output,\xff\n1,2,3\n", artifact.Options{}, "not valid UTF-8"},
		{"control in header", "a.csv", "instruction,output,\x1b[31m\n1,2,3\n", artifact.Options{}, "control character"},
		{"broken header", "a.csv", "\"instruction\"x,output\n1,2\n", artifact.Options{}, "the header is broken"},
		{"UTF-16", "a.csv", "\xff\xfea\x00,\x00", artifact.Options{}, "is UTF-16"},
		{"open quote", "a.csv", "instruction,output\n1,2\n3,\"4\n5,6\n", artifact.Options{}, "a.csv:3: a quote is opened and never closed"},
		{"nothing of use", "a.jsonl", `{"a":1}` + "\n" + `{"b":1}`, artifact.Options{}, "none of 2 rows can be used"},
		{"list", "a.json", "[\n{}\n]", artifact.Options{}, "none of 3 rows can be used"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.opt.Input, c.opt.OutDir = input(t, c.file, c.text), filepath.Join(t.TempDir(), "out")
			if c.opt.Schema == "" {
				c.opt.Schema = dataset.SFT
			}
			_, err := artifact.Ingest(context.Background(), c.opt)
			require.ErrorContains(t, err, c.says)
			var typed fault.TrainError
			require.ErrorAs(t, err, &typed)
			assert.NotEmpty(t, typed.Fault().Hint)
			left, err := os.ReadDir(filepath.Dir(c.opt.OutDir))
			require.NoError(t, err)
			assert.Empty(t, left, "nothing is left behind")
		})
	}
	_, err := artifact.Ingest(context.Background(), artifact.Options{Input: t.TempDir(), OutDir: filepath.Join(t.TempDir(), "x"), Schema: dataset.SFT})
	require.ErrorContains(t, err, "is a folder")
	_, err = artifact.Ingest(context.Background(), artifact.Options{Schema: dataset.SFT})
	var config *fault.ConfigError
	require.ErrorAs(t, err, &config)
}

func TestHostileNamesAreQuoted(t *testing.T) {
	_, err := artifact.Ingest(context.Background(), artifact.Options{
		Input: input(t, "a.jsonl", `{"\u001b[31mred": 1}`), OutDir: filepath.Join(t.TempDir(), "x"), Schema: dataset.SFT})
	var data *fault.DataError
	require.ErrorAs(t, err, &data)
	assert.Contains(t, data.Hint, `"\x1b[31mred"`)
}

func TestOutDir(t *testing.T) {
	one := input(t, "a.csv", "text,label\na,b\n")
	two := input(t, "b.csv", "text,label\nc,d\ne,f\n")
	dir := filepath.Join(t.TempDir(), "out")
	opt := artifact.Options{Input: one, OutDir: dir, Schema: dataset.Classification}

	require.NoError(t, os.Mkdir(dir, 0o755))
	ingest(t, opt) // an empty folder is as good as none
	opt.Input = two
	_, err := artifact.Ingest(context.Background(), opt)
	require.ErrorContains(t, err, "is not empty")
	assert.Len(t, rows(t, dir, opt.Schema), 1)

	opt.Overwrite = true
	ingest(t, opt)
	assert.Len(t, rows(t, dir, opt.Schema), 2)

	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	opt.OutDir, opt.Input = link, one
	ingest(t, opt)
	assert.Len(t, rows(t, dir, opt.Schema), 1, "the folder behind a link is replaced, not the link")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600))
	_, err = artifact.Ingest(context.Background(), opt)
	require.ErrorContains(t, err, `"thesis.txt", which is no part of an artifact`)
	opt.OutDir = one
	_, err = artifact.Ingest(context.Background(), opt)
	require.ErrorContains(t, err, "cannot be used as the output folder")
	opt.OutDir = filepath.Join(one, "below")
	_, err = artifact.Ingest(context.Background(), opt)
	require.Error(t, err)
	assert.FileExists(t, one)
	left, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	assert.Len(t, left, 1)
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, text := range map[string]string{"a.csv": "text,label\na,b\n", "a.jsonl": `{"text":"a","label":"b"}`} {
		opt := artifact.Options{Input: input(t, name, text), OutDir: filepath.Join(t.TempDir(), "out"), Schema: dataset.Classification}
		_, err := artifact.Ingest(ctx, opt)
		require.ErrorIs(t, err, context.Canceled)
		left, err := os.ReadDir(filepath.Dir(opt.OutDir))
		require.NoError(t, err)
		assert.Empty(t, left)
	}
}

func TestReport(t *testing.T) {
	var text strings.Builder
	for i := 1; i <= 40; i++ {
		fmt.Fprintf(&text, "{\"instruction\":%q,\"output\":\"é\"}\n", strings.Repeat("ab ", i))
	}
	text.WriteString(`{"instruction":"ab ","output":"é"}` + "\n" + `{"instruction":"x","output":"mail a@b.co, 10.0.0.1"}` + "\n")
	dir := filepath.Join(t.TempDir(), "out")
	ingest(t, artifact.Options{Input: input(t, "a.jsonl", text.String()), OutDir: dir, Schema: dataset.SFT})
	r := document(t, dir, artifact.ReportName)
	assert.EqualValues(t, 42, r["row_count"])
	assert.EqualValues(t, 1, r["exact_duplicates"])
	assert.EqualValues(t, 1.0/42, r["exact_duplicate_rate"])
	assert.EqualValues(t, 41, r["unique_rows"])
	assert.Equal(t, map[string]any{"email": 1.0, "phone": 0.0, "ssn": 0.0, "ip": 1.0, "credit_card": 0.0}, r["pii_scan"])
	assert.EqualValues(t, 2, r["pii_total_hits"])
	assert.Equal(t, false, r["pii_clean"])
	fields := r["field_stats"].(map[string]any)
	assert.NotContains(t, fields, "input", "no row has one")
	// 1, 1, 1, 2, ..., 40 words: the 21st and 22nd are 19 and 20, the 40th is 38.
	assert.Equal(t, map[string]any{
		"token_min": 1.0, "token_median": 19.5, "token_p95": 38.0, "token_max": 40.0,
		"char_min": 1.0, "char_median": 58.5, "char_p95": 114.0, "char_max": 120.0,
	}, fields["instruction"])
	assert.EqualValues(t, 1, fields["output"].(map[string]any)["char_min"])
}

func TestHashes(t *testing.T) {
	opt := artifact.Options{Input: input(t, "a.csv", "text,label\na,b\n"), Schema: dataset.Classification, OutDir: filepath.Join(t.TempDir(), "out")}
	s := ingest(t, opt)
	h := document(t, opt.OutDir, artifact.HashesName)
	sum, err := canonical.FileHash(filepath.Join(opt.OutDir, artifact.DataName))
	require.NoError(t, err)
	assert.Equal(t, map[string]any{artifact.DataName: sum}, h["files"])
	assert.Equal(t, sum, h["dataset_hash"])
	assert.Equal(t, canonical.ChainHash(map[string]string{artifact.DataName: sum}), h["chain_hash"])
	assert.Equal(t, [2]string{sum, h["chain_hash"].(string)}, [2]string{s.DatasetHash, s.ChainHash})

	opt.OutDir, opt.Now = filepath.Join(t.TempDir(), "again"), clock
	again := ingest(t, opt)
	assert.Equal(t, s.ChainHash, again.ChainHash, "the hash of the data does not depend on the time")
}

// TestRoundTrip writes rows as CSV and as JSONL and expects them back.
func TestRoundTrip(t *testing.T) {
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		dir := filepath.Join(base, fmt.Sprint(n))
		require.NoError(t, os.Mkdir(dir, 0o755))
		text := rapid.StringOf(rapid.SampledFrom([]rune("ab ,;\t|\"\n\réé世\u2028"))).Filter(func(s string) bool { return strings.TrimSpace(s) != "" })
		comma := rapid.SampledFrom([]rune(",;\t|")).Draw(rt, "comma")
		var want []dataset.Row
		var csvText, jsonText bytes.Buffer
		w := csv.NewWriter(&csvText)
		w.Comma = comma
		require.NoError(t, w.Write([]string{"Output", "instruction", "INPUT"}))
		for range rapid.IntRange(1, 6).Draw(rt, "rows") {
			r := dataset.Row{Instruction: text.Draw(rt, "instruction"), Output: text.Draw(rt, "output")}
			if rapid.Bool().Draw(rt, "has input") {
				r.Input = text.Draw(rt, "input")
			}
			want = append(want, r)
			require.NoError(t, w.Write([]string{r.Output, r.Instruction, r.Input}))
			line, err := r.Encode()
			require.NoError(t, err)
			jsonText.Write(append(line, '\n'))
		}
		w.Flush()
		hash := ""
		for name, data := range map[string][]byte{"a.csv": csvText.Bytes(), "a.jsonl": jsonText.Bytes()} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
			out := filepath.Join(dir, name+".out")
			s := ingest(t, artifact.Options{Input: filepath.Join(dir, name), OutDir: out, Schema: dataset.SFT, Strict: true})
			require.Equal(t, want, rows(t, out, dataset.SFT), name)
			if hash != "" {
				require.Equal(t, hash, s.DatasetHash, "both formats give the same bytes")
			}
			hash = s.DatasetHash
		}
	})
}

func BenchmarkIngest(b *testing.B) {
	var text strings.Builder
	text.WriteString("instruction,output,source\n")
	for i := range 20000 {
		fmt.Fprintf(&text, "Tell me about item %d,\"%s, and \"\"more\"\" of it\",human\n", i, strings.Repeat("some words of an answer ", 20))
	}
	dir := b.TempDir()
	path := filepath.Join(dir, "in.csv")
	require.NoError(b, os.WriteFile(path, []byte(text.String()), 0o600))
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		_, err := artifact.Ingest(context.Background(), artifact.Options{Input: path, OutDir: filepath.Join(dir, "out"), Schema: dataset.SFT, Overwrite: true, Map: map[string]string{"tags.source": "source"}})
		require.NoError(b, err)
	}
}
