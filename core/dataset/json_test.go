package dataset

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// jsonTexts are texts on which a JSON reader is easily wrong.
var jsonTexts = []string{
	`{}`, `[]`, `""`, `0`, `-0`, `-`, `01`, `1.`, `1.5e+3`, `1e`, `.5`, `true`, `tru`, `nul`, `nullx`,
	`{"a":1}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{'a':1}`, `{"a":1 "b":2}`, `{"a":1}}`, `{"a":1} x`,
	`[1,]`, `[,1]`, `[1 2]`, `[[[]]]`, `[`, `{`, `"`, `"\`, `"\u12"`, `"\u12g4"`, `"\x"`, `"\/"`, `"a` + "\t" + `b"`, `"a` + "\x00" + `"`,
	`"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83dx"`, "\" \u2028 \x7f\"", " \t\r\n1\n", "\v1", "1\x00", "", " ",
	strings.Repeat("[", 10000) + strings.Repeat("]", 10000), strings.Repeat("[", 10001) + strings.Repeat("]", 10001),
}

// agree checks that the walker takes the texts that encoding/json takes, and
// reads the same text out of a string.
func agree(t *testing.T, data []byte) {
	c := &cursor{data: data}
	v, err := c.value()
	if err == nil {
		err = c.end()
	}
	require.Equal(t, json.Valid(data), err == nil, "%q: %v", data, err)
	if err != nil || v.kind != kindString {
		return
	}
	var want string
	require.NoError(t, json.Unmarshal(v.raw(data), &want))
	var scratch []byte
	got, ok := v.text(data, &scratch)
	if ok {
		require.Equal(t, want, string(got), "%q", data)
	} else {
		require.Contains(t, want, "\ufffd", "%q: only half a surrogate pair is refused", data)
	}
}

func TestWalkerAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range jsonTexts {
		agree(t, []byte(text))
	}
}

func FuzzWalker(f *testing.F) {
	for _, text := range jsonTexts {
		if len(text) < 100 { // mutating the deep ones would take all the time
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) {
			return // rows and manifests are refused before they are walked
		}
		agree(t, data)
	})
}

func TestSyntaxErrorsNameThePlace(t *testing.T) {
	for text, want := range map[string]string{
		`{"a": 1, b: 2}`:   `broken JSON at byte 10: 'b' where a key in double quotes is expected`,
		`{"a": "x`:         `broken JSON at byte 9: the text ends inside a string`,
		`{"a": 1`:          `broken JSON at byte 8: the text ends where ',' or '}' is expected`,
		`{"a": "` + "\x1b": `broken JSON at byte 8: the control character '\x1b' in a string must be escaped`,
		"{\"a\"\x00":       `broken JSON at byte 5: a NUL byte where ':' is expected`,
		`{"a": 1} é`:       `broken JSON at byte 10: '\u00e9' where the end is expected`,
	} {
		p := rowParser{task: SFT}
		problems := p.parse([]byte(text))
		require.Len(t, problems, 1, text)
		assert.Equal(t, want, problems[0].Reason, text)
	}
}
