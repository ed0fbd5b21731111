package dataset_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
)

// version writes a classification DatasetVersion with the splits named, each of
// another size, and returns the path of its manifest. The salt makes its bytes
// differ.
func version(t testing.TB, dir, id, number, salt string, splits ...string) string {
	t.Helper()
	var parts []dataset.Part
	for i, split := range splits {
		text := strings.Repeat(`{"text":"`+split+salt+`","label":"x","tags":{"source":"s`+split+`"}}`+"\n", 3+i)
		path := write(t, filepath.Join(dir, split+".jsonl"), text)
		parts = append(parts, dataset.Part{Path: split + ".jsonl", Split: split, File: open(t, path, dataset.Classification)})
	}
	data, err := dataset.Describe(id, number, dataset.Classification, "2026-01-02T03:04:05Z", parts).JSON()
	require.NoError(t, err)
	return write(t, filepath.Join(dir, dataset.ManifestName), string(data))
}

// edit changes a JSON file by a function on its top-level object.
func edit(t testing.TB, path string, change func(m map[string]any)) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	m := map[string]any{}
	require.NoError(t, json.Unmarshal(data, &m))
	change(m)
	data, err = json.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o644))
}

// entry returns item i of the files of a decoded manifest.
func entry(m map[string]any, i int) map[string]any {
	return m["files"].([]any)[i].(map[string]any)
}

func TestManifestRoundTrip(t *testing.T) {
	path := version(t, t.TempDir(), "words", "1.0.0", "", "train", "val", "test")
	m, err := dataset.LoadManifest(path)
	require.NoError(t, err)
	assert.Equal(t, "words@1.0.0", m.Ref())
	assert.Equal(t, path, m.Path())
	assert.Equal(t, 12, m.NumRows)
	assert.Equal(t, "jsonl", m.Format)
	assert.Equal(t, "2026-01-02T03:04:05Z", m.CreatedAt)
	assert.Equal(t, []string{"source"}, m.TagKeys)
	assert.Equal(t, map[string]dataset.TagType{"source": {Type: "string", Values: []string{"stest", "strain", "sval"}}}, m.TagSchema)
	require.Len(t, m.Files, 3)
	assert.Equal(t, 4, m.Of("val")[0].NumRows)
	assert.Equal(t, dataset.ContentHashOf(m.Files), m.ContentHash)
	require.NoError(t, m.Verify(context.Background()))

	onDisk, err := os.ReadFile(path)
	require.NoError(t, err)
	again, err := m.JSON()
	require.NoError(t, err)
	assert.Equal(t, string(onDisk), string(again))
	var keys []string
	for line := range strings.Lines(string(onDisk)) {
		if key, found := strings.CutPrefix(line, `  "`); found {
			keys = append(keys, key[:strings.Index(key, `"`)])
		}
	}
	assert.Equal(t, []string{"dataset_id", "version", "format", "task", "num_rows", "content_hash", "created_at",
		"tag_keys", "files", "row_schema", "tag_schema"}, keys)
}

func TestTagsWithTooManyValuesAreNotListed(t *testing.T) {
	var text strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&text, `{"text":"a","label":"b","tags":{"n":"%d"}}`+"\n", i)
	}
	many := open(t, write(t, "many.jsonl", text.String()), dataset.Classification)
	few := open(t, write(t, "few.jsonl", `{"text":"a","label":"b","tags":{"n":"1"}}`), dataset.Classification)
	m := dataset.Describe("d", "1", dataset.Classification, "", []dataset.Part{
		{Path: "a", Split: "train", File: few}, {Path: "b", Split: "val", File: many}, {Path: "c", Split: "test", File: few},
	})
	assert.Equal(t, []string{"n"}, m.TagKeys)
	assert.Equal(t, dataset.TagType{Type: "string"}, m.TagSchema["n"])
}

func TestForeignManifests(t *testing.T) {
	path := version(t, t.TempDir(), "words", "1", "", "train")
	edit(t, path, func(m map[string]any) {
		m["content_hash"] = "sha256:made in another way"
		m["row_schema"] = []any{"text", "label"}
		m["owner"] = map[string]any{"team": "x"}
		m["tag_schema"], m["tag_keys"] = nil, nil
		entry(m, 0)["sha256"] = "sha256:" + strings.ToUpper(entry(m, 0)["sha256"].(string))
		entry(m, 0)["path"] = "./x/../train.jsonl"
	})
	m, err := dataset.LoadManifest(path)
	require.NoError(t, err)
	assert.Equal(t, []any{"text", "label"}, m.RowSchema)
	assert.Equal(t, "train.jsonl", m.Files[0].Path)
	require.NoError(t, m.Verify(context.Background()))
	data, err := m.JSON()
	require.NoError(t, err)
	assert.Contains(t, string(data), `"owner":{"team":"x"}`, "what others added is kept")
}

func TestMalformedManifests(t *testing.T) {
	hash := strings.Repeat("0", 64)
	good := map[string]string{
		"dataset_id": `"d"`, "version": `"1"`, "format": `"jsonl"`, "task": `"sft"`, "num_rows": `2`,
		"files": `[{"path":"a.jsonl","split":"train","num_rows":2,"sha256":"` + hash + `"}]`,
	}
	build := func(key, value string) string {
		var lines []string
		for _, k := range []string{"dataset_id", "version", "format", "task", "num_rows", "files", "tag_keys", "tag_schema"} {
			v := good[k]
			if k == key {
				v = value
			}
			if v != "" {
				lines = append(lines, fmt.Sprintf("%q: %s", k, v))
			}
		}
		return "{\n" + strings.Join(lines, ",\n") + "\n}"
	}
	file := func(path, split, rows, sum string) string {
		return fmt.Sprintf(`[{"path":%s,"split":%s,"num_rows":%s,"sha256":%s}]`, path, split, rows, sum)
	}
	sum := `"` + hash + `"`
	tests := []struct {
		name, text string
		line       int
		key        string
		reason     string
	}{
		{"empty", "", 1, "", "broken JSON: the text ends where a value is expected"},
		{"not JSON", "dataset: d", 1, "", "broken JSON"},
		{"torn", "{\n\"dataset_id\": \"d\",\n\"vers", 3, "", "broken JSON"},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", 1, "", "not valid UTF-8"},
		{"list", "[]", 1, "", "a list where an object belongs"},
		{"half a pair as key", `{"\ud800":1}`, 1, "", "half a surrogate pair"},
		{"no id", build("dataset_id", ""), 1, "dataset_id", "is missing"},
		{"null id", build("dataset_id", "null"), 1, "dataset_id", "is missing"},
		{"empty version", build("version", `""`), 3, "version", "is empty"},
		{"number as version", build("version", `1`), 3, "version", "a number where a string belongs"},
		{"half a pair", build("version", `"\ud800"`), 3, "version", "half a surrogate pair"},
		{"hostile id", build("dataset_id", `"\u001b[2J"`), 2, "dataset_id", `"\x1b[2J@1" is not of the form ID@VERSION`},
		{"key twice", build("version", `"1", "version": "2"`), 3, "version", "given twice"},
		{"format", build("format", `"parquet"`), 4, "format", `unknown format "parquet"`},
		{"task", build("task", `"rank"`), 5, "task", `unknown task "rank"`},
		{"rows as text", build("num_rows", `"2"`), 6, "num_rows", "a string where a number belongs"},
		{"negative rows", build("num_rows", `-2`), 6, "num_rows", "is not a number of rows"},
		{"half a row", build("num_rows", `1.5`), 6, "num_rows", "is not a number of rows"},
		{"absurd rows", build("num_rows", `1e300`), 6, "num_rows", "is not a number of rows"},
		{"wrong sum", build("num_rows", `3`), 7, "num_rows", "is 3, but the files have 2 rows in all"},
		{"no files", build("files", ""), 1, "files", "is missing"},
		{"empty files", build("files", `[ ]`), 7, "files", "is empty"},
		{"files as object", build("files", `{}`), 7, "files", "an object where a list belongs"},
		{"file as text", build("files", `["a.jsonl"]`), 7, "files[0]", "a string where an object belongs"},
		{"absolute path", build("files", file(`"/etc/passwd"`, `"train"`, "2", sum)), 7, "files[0].path", `"/etc/passwd" is absolute`},
		{"path outside", build("files", file(`"a/../../b"`, `"train"`, "2", sum)), 7, "files[0].path", "leads out of"},
		{"folder itself", build("files", file(`"a/.."`, `"train"`, "2", sum)), 7, "files[0].path", "is the folder itself"},
		{"backslash", build("files", file(`"..\\b"`, `"train"`, "2", sum)), 7, "files[0].path", "backslash"},
		{"NUL in path", build("files", file(`"a\u0000"`, `"train"`, "2", sum)), 7, "files[0].path", "NUL"},
		{"split", build("files", file(`"a"`, `"dev"`, "2", sum)), 7, "files[0].split", `unknown split "dev"`},
		{"short hash", build("files", file(`"a"`, `"train"`, "2", `"abc"`)), 7, "files[0].sha256", "is not a sha256"},
		{"no hash", build("files", file(`"a"`, `"train"`, "2", `null`)), 7, "files[0].sha256", "is missing"},
		{"path twice", build("files", strings.Replace(file(`"a"`, `"train"`, "1", sum), "]", ","+file(`"./a"`, `"val"`, "1", sum)[1:], 1)), 7, "files[1].path", "is listed twice"},
		{"tag keys", build("tag_keys", `["a", 1]`), 8, "tag_keys", "a number where a string belongs"},
		{"tag schema", build("tag_schema", `[]`), 8, "tag_schema", "a list where an object belongs"},
		{"tag type", build("tag_schema", `{"k": "string"}`), 8, "tag_schema.k", "a string where an object belongs"},
		{"tag values", build("tag_schema", `{"k": {"type": "string", "values": [true]}}`), 8, "tag_schema.k.values", "a boolean where a string belongs"},
		{"hostile tag key", build("tag_schema", `{"\u001b": {"type": 1}}`), 8, `tag_schema."\x1b".type`, "a number where a string belongs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, dataset.ManifestName, tt.text)
			_, err := dataset.LoadManifest(path)
			d := dataError(t, err, path)
			require.NotEmpty(t, d.Problems)
			p := d.Problems[0]
			assert.Equal(t, path, p.Path)
			assert.Equal(t, tt.key, p.Key)
			assert.Equal(t, tt.line, p.Line)
			assert.Contains(t, p.Reason, tt.reason)
			assert.NotContains(t, err.Error(), "\x1b")
		})
	}
	_, err := dataset.LoadManifest(write(t, dataset.ManifestName, "\ufeff"+build("", "")))
	require.NoError(t, err)
}

func TestManifestProblemsAreBounded(t *testing.T) {
	path := write(t, dataset.ManifestName, `{"dataset_id":"d","version":"1","format":"jsonl","task":"sft","num_rows":0,"files":[`+strings.Repeat("1,", 99)+`1]}`)
	_, err := dataset.LoadManifest(path)
	d := dataError(t, err, path)
	assert.Len(t, d.Problems, 20)
	assert.Contains(t, d.Reason, "the first 20 of 100 problems")

	path = write(t, dataset.ManifestName, strings.Repeat(" ", 16<<20+1))
	_, err = dataset.LoadManifest(path)
	assert.Contains(t, dataError(t, err, path).Reason, "is larger than 16 MiB")

	_, err = dataset.LoadManifest(t.TempDir())
	var data *fault.DataError
	require.ErrorAs(t, err, &data)
	assert.Contains(t, data.Reason, "is a folder")
}

func TestVerifyFindsWhatDiffers(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   []string // parts of the problems, in order
	}{
		{"one byte", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "val.jsonl"), strings.Repeat(`{"text":"vaL","label":"x","tags":{"source":"sval"}}`+"\n", 4))
		}, []string{"val.jsonl: sha256: does not match"}},
		{"a row more", func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, "val.jsonl"))
			require.NoError(t, err)
			write(t, filepath.Join(dir, "val.jsonl"), string(data)+"\n"+string(data))
		}, []string{"val.jsonl: sha256: does not match", "val.jsonl: num_rows: does not match the manifest: the file has 8 rows"}},
		{"a file away", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "train.jsonl")))
		}, []string{"train.jsonl: no such file"}},
		{"a folder for a file", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "train.jsonl")))
			require.NoError(t, os.Mkdir(filepath.Join(dir, "train.jsonl"), 0o755))
		}, []string{"train.jsonl: is a folder"}},
		{"a link out", func(t *testing.T, dir string) {
			out := filepath.Join(t.TempDir(), "train.jsonl")
			require.NoError(t, os.Rename(filepath.Join(dir, "train.jsonl"), out))
			require.NoError(t, os.Symlink(out, filepath.Join(dir, "train.jsonl")))
		}, []string{"train.jsonl: leads out of the manifest's folder by a link"}},
		{"content hash", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, dataset.ManifestName), func(m map[string]any) { m["content_hash"] = "chain:" + strings.Repeat("0", 64) })
		}, []string{"manifest.json: content_hash: does not match"}},
		{"numbers of rows", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, dataset.ManifestName), func(m map[string]any) {
				entry(m, 0)["num_rows"], entry(m, 1)["num_rows"] = 4, 3
			})
		}, []string{"train.jsonl: num_rows: does not match", "val.jsonl: num_rows: does not match"}},
		{"a link inside", func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "real")))
			require.NoError(t, os.Symlink("real", filepath.Join(dir, "train.jsonl")))
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := version(t, dir, "words", "1", "", "train", "val")
			tt.change(t, dir)
			m, err := dataset.LoadManifest(path)
			require.NoError(t, err)
			err = m.Verify(context.Background())
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			problems := dataError(t, err, path).Problems
			require.Len(t, problems, len(tt.want), "%v", err)
			for i, want := range tt.want {
				assert.Contains(t, problems[i].String(), want)
			}
		})
	}
	m, err := dataset.LoadManifest(version(t, t.TempDir(), "words", "1", "", "train"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, m.Verify(ctx), context.Canceled)
}

func TestRefs(t *testing.T) {
	for _, good := range []string{"a@1", "cmu-dict_2.x@1.0.0", "org/name@2024-01-01+b.1", "0@0"} {
		id, version, err := dataset.ParseRef(good)
		require.NoError(t, err)
		assert.Equal(t, good, id+"@"+version)
	}
	for _, bad := range []string{"", "@", "a", "a@", "@1", "a@1@2", "a b@1", "a@1/2", ".a@1", "a@-1", "é@1", "a@\x1b[2J", "../a@1", "a/../b@1"} {
		_, _, err := dataset.ParseRef(bad)
		var config *fault.ConfigError
		require.ErrorAs(t, err, &config, "%q", bad)
		assert.NotContains(t, err.Error(), "\x1b")
	}
}

// FuzzManifest checks that whatever is accepted keeps the promises that other
// packages rely on, and is read as encoding/json reads it.
func FuzzManifest(f *testing.F) {
	data, err := os.ReadFile(version(f, f.TempDir(), "words", "1", "", "train", "val", "test"))
	require.NoError(f, err)
	f.Add(data)
	for _, seed := range []string{``, `{}`, `[]`, `{"files":[{"path":"../x"}]}`, `{"files":[1,[],{}]}`, `{"tag_schema":{"":{}}}`,
		strings.Replace(string(data), "train.jsonl", `a\u002f..\u002f..`, 1)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), dataset.ManifestName)
		require.NoError(t, os.WriteFile(path, data, 0o644))
		m, err := dataset.LoadManifest(path)
		if err != nil {
			var bad *fault.DataError
			require.ErrorAs(t, err, &bad)
			return
		}
		var want map[string]any
		require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(string(data), "\ufeff")), &want))
		require.Equal(t, want["dataset_id"], m.DatasetID)
		require.Equal(t, want["version"], m.Version)
		_, _, err = dataset.ParseRef(m.Ref())
		require.NoError(t, err)
		require.NotEmpty(t, m.Files)
		sum := 0
		for _, file := range m.Files {
			require.True(t, filepath.IsLocal(file.Path), "%q", file.Path)
			require.Regexp(t, "^[0-9a-f]{64}$", file.SHA256)
			require.Contains(t, []string{"train", "val", "test"}, file.Split)
			sum += file.NumRows
		}
		require.Equal(t, m.NumRows, sum)
	})
}
