package dataset_test

import (
	"context"
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

func textFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestLines(t *testing.T) {
	path := textFile(t, "\ufeffone\r\n\n  \ntwo\xff\n"+strings.Repeat("x", dataset.MaxLine+1)+"\nlast")
	type seen struct {
		number  int
		text    string
		tooLong bool
	}
	var got []seen
	require.NoError(t, dataset.Lines(context.Background(), path, func(number int, text []byte, tooLong bool) error {
		got = append(got, seen{number, string(text), tooLong})
		return nil
	}))
	assert.Equal(t, []seen{{1, "one", false}, {4, "two\xff", false}, {5, "", true}, {6, "last", false}}, got)

	stop := errors.New("stop")
	require.ErrorIs(t, dataset.Lines(context.Background(), path, func(int, []byte, bool) error { return stop }), stop)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, dataset.Lines(ctx, path, func(int, []byte, bool) error { return nil }), context.Canceled)
	var data *fault.DataError
	require.ErrorAs(t, dataset.Lines(context.Background(), t.TempDir(), nil), &data)
}

func TestSHA256(t *testing.T) {
	got, err := dataset.SHA256(context.Background(), textFile(t, "a=1|b=2"))
	require.NoError(t, err)
	assert.Equal(t, "95a180ca2b5d16039cd0a847cf9eb05eeb8bbb0b99a26d56c2f8df9dfa22b001", got)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = dataset.SHA256(ctx, textFile(t, "x"))
	require.ErrorIs(t, err, context.Canceled)
	var data *fault.DataError
	_, err = dataset.SHA256(context.Background(), t.TempDir())
	require.ErrorAs(t, err, &data)
}

func TestObject(t *testing.T) {
	members, err := dataset.Object([]byte(`{"a": "x\u00e9\n", "a": 1.50, "": [1, {"b": 2}], "half": "\ud800", "n": null}`))
	require.NoError(t, err)
	require.Len(t, members, 5)
	text, ok := members[0].Text()
	assert.True(t, ok)
	assert.Equal(t, "xé\n", text)
	assert.Equal(t, "a", members[1].Key)
	assert.Equal(t, "1.50", string(members[1].Raw))
	assert.Equal(t, "a number", members[1].Kind())
	assert.Equal(t, `[1, {"b": 2}]`, string(members[2].Raw))
	for _, m := range members[1:] {
		_, ok = m.Text()
		assert.False(t, ok, m.Key)
	}
	for text, says := range map[string]string{
		`[]`: "byte 1", `{"a":1} x`: "byte 9", `{"a":}`: "byte 6", "{\"\xff\":1}": "not valid UTF-8", `{"\ud800":1}`: "surrogate", ``: "byte 1",
	} {
		_, err := dataset.Object([]byte(text))
		require.ErrorContains(t, err, says, text)
	}
}

func TestDetectTask(t *testing.T) {
	for text, want := range map[string]string{
		"\n{\"instruction\":\"a\",\"output\":\"b\"}\nbroken": dataset.SFT,
		`{"label":"x","text":"a","input":"i"}`:               dataset.Classification,
	} {
		got, err := dataset.DetectTask(context.Background(), textFile(t, text))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for text, says := range map[string]string{
		"":                                     "holds no rows",
		`{"a":1}`:                              "rows.jsonl:1: the first row is of no task",
		`{"text":"a","instruction":1}`:         "of no task",
		"\n[1]":                                "rows.jsonl:2: broken JSON",
		strings.Repeat("x", dataset.MaxLine+1): "longer than 16 MiB",
	} {
		_, err := dataset.DetectTask(context.Background(), textFile(t, text))
		var data *fault.DataError
		require.ErrorAs(t, err, &data)
		require.ErrorContains(t, err, says)
		assert.NotEmpty(t, data.Hint)
	}
}
