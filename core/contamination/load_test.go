package contamination_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/contamination"
	"github.com/verifily/verifily-tui/core/fault"
)

func TestWriteAndLoad(t *testing.T) {
	r := check(t, contamination.Options{
		TrainPath: rows(t, []string{fox, "yes"}, []string{other, "no"}),
		EvalPath:  rows(t, []string{foxes, "yes"}, []string{other, "no"}),
	})
	path := filepath.Join(t.TempDir(), "contamination.json")
	require.NoError(t, r.Write(path))
	back, err := contamination.Load(path)
	require.NoError(t, err)
	assert.Equal(t, r, back)
	require.Error(t, r.Write(filepath.Join(path, "below")))
}

func TestLoadForeignFiles(t *testing.T) {
	cases := []struct {
		text        string
		status      string
		exact, near int
	}{
		{`{}`, "", 0, 0},
		{`{"status": "PASS"}`, "PASS", 0, 0},
		{"\ufeff" + `{"status": "WARN", "near_duplicates": 4, "exact_overlaps": null, "details": [{"x": 1}], "train": {}}`, "WARN", 0, 4},
		{`{"near_duplicates": 3.0, "exact_overlaps": 2e0, "status": "FAIL", "pairs": [["a", "b"]]}`, "FAIL", 2, 3},
	}
	for _, c := range cases {
		r, err := contamination.Load(file(t, c.text))
		require.NoError(t, err, c.text)
		assert.Equal(t, c.status, r.Status)
		assert.Equal(t, [2]int{c.exact, c.near}, [2]int{r.ExactOverlaps, r.NearDuplicates})
		assert.Empty(t, r.Pairs)
	}
}

func TestLoadRefuses(t *testing.T) {
	for text, says := range map[string]string{
		``:                              "broken JSON",
		`[]`:                            "broken JSON",
		"{\"status\": \"\xff\"}":        "not valid UTF-8",
		`{"status": 1}`:                 "status: a number where a text belongs",
		`{"status": "pass"}`:            `"pass" is not PASS`,
		`{"status":"PASS","status":""}`: "given twice",
		`{"exact_overlaps": "2"}`:       "exact_overlaps: a string where a number belongs",
		`{"exact_overlaps": 1.5}`:       "not a count",
		`{"near_duplicates": -1}`:       "not a count",
		`{"near_duplicates": 1e999}`:    "not a count",
		`{"threshold": true}`:           "a boolean where a number belongs",
		`{"threshold": 1e999}`:          "out of range",
		`{"lsh": []}`:                   "lsh: a list where an object belongs",
		`{"lsh": {"bands": {}}}`:        "lsh.bands: an object where a number belongs",
	} {
		_, err := contamination.Load(file(t, text))
		var data *fault.DataError
		require.ErrorAs(t, err, &data, text)
		require.ErrorContains(t, err, says)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		_, err := contamination.Load(path)
		var data *fault.DataError
		require.ErrorAs(t, err, &data)
		assert.NotEmpty(t, data.Hint)
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{`{"status":"WARN","near_duplicates":1,"lsh":{"bands":2},"pairs":[{"kind":"near"}]}`, `{"counts":null}`, `{"a.b":1}`, `{"lsh.bands":1}`} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "c.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, os.WriteFile(path, data, 0o600))
		r, err := contamination.Load(path)
		if err != nil {
			var bad *fault.DataError
			require.ErrorAs(t, err, &bad)
			return
		}
		require.GreaterOrEqual(t, r.ExactOverlaps, 0)
		require.NoError(t, r.Write(path))
		again, err := contamination.Load(path)
		require.NoError(t, err)
		if len(r.Pairs) == 0 {
			r.Pairs, again.Pairs = nil, nil // null and an empty list are one
		}
		require.Equal(t, r, again)
	})
}
