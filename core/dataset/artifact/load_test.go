package artifact_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/fault"
)

// made ingests one row and returns the folder.
func made(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	ingest(t, artifact.Options{Input: input(t, "a.csv", "text,label\na,b\n"), OutDir: dir, Schema: dataset.Classification})
	return dir
}

// foreign makes an artifact as another program might: one row, and hashes.json.
func foreign(t *testing.T, hashes string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, artifact.DataName), row)
	write(t, filepath.Join(dir, artifact.HashesName), hashes)
	return dir
}

const (
	row = `{"instruction": "a", "output": "b"}` + "\n"
	sum = "f39fec75721e8f4094258fc6f8575c17021b9c5a9fd04f7dc13b97c4389f52a3"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestLoadAndVerify(t *testing.T) {
	dir := made(t)
	a, err := artifact.Load(dir)
	require.NoError(t, err)
	assert.Equal(t, dataset.Classification, a.Schema)
	assert.Equal(t, a.ChainHash, a.DatasetHash())
	doubts, err := a.Verify(context.Background())
	require.NoError(t, err)
	assert.Empty(t, doubts)

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = a.Verify(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestTamperingIsNamed(t *testing.T) {
	for _, name := range []string{artifact.DataName, artifact.ManifestName, artifact.ReportName} {
		dir := made(t)
		a, err := artifact.Load(dir)
		require.NoError(t, err)
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		write(t, path, strings.Replace(string(data), "a", "x", 1))
		_, err = a.Verify(context.Background())
		var bad *fault.DataError
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, path, bad.Problems[0].Path)
		require.ErrorContains(t, err, "was changed")

		require.NoError(t, os.Remove(path))
		_, err = a.Verify(context.Background())
		require.ErrorContains(t, err, "cannot be read: no such file")
	}
	dir := made(t)
	path := filepath.Join(dir, artifact.HashesName)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	a, err := artifact.Load(dir)
	require.NoError(t, err)
	write(t, path, strings.Replace(string(data), a.ChainHash, strings.Repeat("0", 64), 1))
	a, err = artifact.Load(dir)
	require.NoError(t, err)
	_, err = a.Verify(context.Background())
	require.ErrorContains(t, err, "chain_hash is not that of the files")
}

func TestTamperingIsToldOnce(t *testing.T) {
	dir := made(t)
	write(t, filepath.Join(dir, artifact.DataName), "{}\n")
	a, err := artifact.Load(dir)
	require.NoError(t, err)
	_, err = a.Verify(context.Background())
	var bad *fault.DataError
	require.ErrorAs(t, err, &bad)
	assert.Len(t, bad.Problems, 1)
}

func TestForeignHashes(t *testing.T) {
	chain := "6aa7fbb65bf1da0b0ba84d8ac1ebd9fa15b2b9d3a4a9ddd5f1cb97d3e37b5c60"
	cases := []struct {
		name, hashes string
		hash         string
		doubts       []string
		says         string
	}{
		{"nothing", `{}`, artifact.DefaultHash, []string{artifact.DataName}, ""},
		{"nulls", `{"files": null, "chain_hash": null}`, artifact.DefaultHash, []string{artifact.DataName}, ""},
		{"the first of files", `{"files": {"zebra": "by hand", "dataset.jsonl": "` + sum + `"}}`, "by hand", []string{"zebra"}, ""},
		{"empty chain", `{"chain_hash": "", "files": {"dataset.jsonl": "SHA256:` + sum + `"}}`, "SHA256:" + sum, []string{artifact.DataName}, ""},
		{"with a prefix", `{"files": {"dataset.jsonl": "sha256:` + strings.ToUpper(sum) + `"}}`, "sha256:" + strings.ToUpper(sum), nil, ""},
		{"chain by hand", `{"chain_hash": "abc", "files": {"dataset.jsonl": "` + sum + `"}}`, "abc", []string{"chain_hash"}, ""},
		{"chain alone", `{"chain_hash": "` + chain + `"}`, chain, []string{artifact.DataName, "chain_hash"}, ""},
		{"wrong chain", `{"chain_hash": "` + chain + `", "files": {"dataset.jsonl": "` + sum + `"}}`, chain, nil, "chain_hash is not that"},
		{"wrong hash", `{"files": {"dataset.jsonl": "` + chain + `"}}`, chain, nil, "was changed: its sha256 is " + sum},
		{"wrong dataset_hash", `{"dataset_hash": "` + chain + `"}`, artifact.DefaultHash, nil, "was changed"},
		{"right dataset_hash", `{"dataset_hash": "` + sum + `"}`, artifact.DefaultHash, nil, ""},
		{"leads out", `{"files": {"../x": "` + sum + `"}}`, sum, nil, "leads out of the folder"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, err := artifact.Load(foreign(t, c.hashes))
			require.NoError(t, err)
			assert.Equal(t, c.hash, a.DatasetHash())
			doubts, err := a.Verify(context.Background())
			assert.Equal(t, c.doubts, doubts)
			if c.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.says)
			}
			task, err := a.Task(context.Background())
			require.NoError(t, err)
			assert.Equal(t, dataset.SFT, task)
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	for hashes, says := range map[string]string{
		``:                                  "is no JSON object",
		`[]`:                                "is no JSON object",
		`{"files": []}`:                     "files: a list where an object belongs",
		`{"files": {"a": 1}}`:               `files."a": a number where one hash belongs`,
		`{"files": {"a": "b", "a": "c"}}`:   "where one hash belongs",
		`{"files": {"\ud800": "b"}}`:        "files: an object where an object of texts belongs",
		`{"chain_hash": 7}`:                 "chain_hash: a number where a text belongs",
		`{"dataset_hash": {}}`:              "dataset_hash: an object where a text belongs",
		`{"chain_hash":"", "chain_hash":0}`: `the key "chain_hash" is given twice`,
	} {
		_, err := artifact.Load(foreign(t, hashes))
		var bad *fault.DataError
		require.ErrorAs(t, err, &bad, hashes)
		require.ErrorContains(t, err, says)
		assert.NotEmpty(t, bad.Hint)
	}
}

func TestMissing(t *testing.T) {
	empty := t.TempDir()
	rowsOnly := t.TempDir()
	write(t, filepath.Join(rowsOnly, artifact.DataName), row)
	none := filepath.Join(empty, "none")
	for dir, want := range map[string]string{
		none:     "Dataset dir not found: " + none,
		empty:    "dataset.jsonl not found in " + empty,
		rowsOnly: "hashes.json not found in " + rowsOnly,
	} {
		_, err := artifact.Load(dir)
		var missing *artifact.MissingError
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, want, missing.Error())
		var bad *fault.DataError
		require.ErrorAs(t, err, &bad)
	}
}

func TestLoadReport(t *testing.T) {
	r, err := artifact.LoadReport(filepath.Join("testdata", "golden", artifact.ReportName))
	require.NoError(t, err)
	assert.Equal(t, &artifact.Report{
		RowCount: 4, Schema: dataset.SFT, ExactDuplicates: 1, UniqueRows: 3, PIITotalHits: 2, HasPII: true,
		PIIScan: map[string]int{"email": 1, "phone": 1, "ssn": 0, "ip": 0, "credit_card": 0},
	}, r)
	r, err = artifact.LoadReport(input(t, "r.json", "\ufeff"+`{"schema": {"a": 1}, "pii_total_hits": null, "row_count": 3.0, "more": []}`))
	require.NoError(t, err)
	assert.Equal(t, &artifact.Report{RowCount: 3}, r)
	for _, text := range []string{`{"pii_total_hits": "3"}`, `{"pii_total_hits": -1}`, `{"row_count": 1.5}`, `{"pii_scan": {"a": "b"}}`, `{"pii_scan": []}`, `{"pii_clean": 1}`, `{`, ``} {
		_, err := artifact.LoadReport(input(t, "r.json", text))
		var bad *fault.DataError
		require.ErrorAs(t, err, &bad, text)
	}
}

// FuzzIngest checks that whatever is ingested gives an artifact that opens and
// verifies, and that whatever is refused leaves nothing behind.
func FuzzIngest(f *testing.F) {
	f.Add("text,label\na,b\n\"c\"\"\n\",d\n", false, "", uint8(0))
	f.Add("\ufeffinstruction;output\r\na;b\r\n;\r\n\"x\r\n", true, ";", uint8(1))
	f.Add("text\tlabel\ta\rb\tc\td\r", false, "tab", uint8(0))
	f.Add(`{"text":"a","label":1,"tags":{"k":"v"}}`+"\n{}\n", false, "", uint8(2))
	f.Add(`{"question":"a","answer":true,"context":null,"x":[1]}`+"\n\xff\n", true, "", uint8(3))
	f.Add("question,answer,tags\nq,a,{}\n", true, "", uint8(0))
	base := f.TempDir()
	path, out := filepath.Join(base, "in"), filepath.Join(base, "dir", "out")
	require.NoError(f, os.Mkdir(filepath.Dir(out), 0o755))
	f.Fuzz(func(t *testing.T, text string, sft bool, delimiter string, kind uint8) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		require.NoError(t, os.RemoveAll(out))
		schema := dataset.Classification
		if sft {
			schema = dataset.SFT
		}
		s, err := artifact.Ingest(context.Background(), artifact.Options{
			Input: path, OutDir: out, Schema: schema, Delimiter: delimiter, Format: []string{"", artifact.CSV, artifact.JSONL}[kind%3], Strict: kind&4 != 0,
		})
		if err != nil {
			var typed fault.TrainError
			require.ErrorAs(t, err, &typed)
			left, err := os.ReadDir(filepath.Dir(out))
			require.NoError(t, err)
			require.Empty(t, left)
			return
		}
		a, err := artifact.Load(out)
		require.NoError(t, err)
		doubts, err := a.Verify(context.Background())
		require.NoError(t, err)
		require.Empty(t, doubts)
		require.Equal(t, s.ChainHash, a.DatasetHash())
		require.Len(t, rows(t, out, schema), s.RowsOut)
		require.Equal(t, s.RowsIn, s.RowsOut+s.Dropped)
	})
}
