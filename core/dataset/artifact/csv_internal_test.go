package artifact

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func read(t *testing.T, r io.Reader, comma byte) (records [][]string, lines []int, err error) {
	t.Helper()
	c := &csvReader{r: bufio.NewReader(r), comma: comma}
	for {
		rec, err := c.next()
		if errors.Is(err, io.EOF) {
			return records, lines, nil
		}
		if err != nil {
			return records, lines, err
		}
		fields := []string{}
		for _, f := range rec.fields {
			fields = append(fields, string(f))
		}
		records, lines = append(records, fields), append(lines, rec.line)
	}
}

func TestLinesOfRecords(t *testing.T) {
	const text = "a,b\r\n\r\n\"c\r\nd\",e\rf,\"g\nh\n\"\n\n  \ni,j"
	for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
		records, lines, err := read(t, r, ',')
		require.NoError(t, err)
		assert.Equal(t, [][]string{{"a", "b"}, {"c\r\nd", "e"}, {"f", "g\nh\n"}, {"i", "j"}}, records)
		assert.Equal(t, []int{1, 3, 5, 10}, lines)
	}
	_, _, err := read(t, strings.NewReader("a\r\n\"b\n\",\"c"), ',')
	var open openQuote
	require.ErrorAs(t, err, &open)
	assert.Equal(t, 3, open.line)
	broken := errors.New("broken")
	_, _, err = read(t, io.MultiReader(strings.NewReader("a,b\nc"), iotest.ErrReader(broken)), ',')
	require.ErrorIs(t, err, broken)
}

func TestDetect(t *testing.T) {
	known := func(columns []string) int {
		c, err := newColumns("classification", nil)
		require.NoError(t, err)
		return c.known(columns)
	}
	for text, want := range map[string]byte{
		"text,label\na;b,c\n":         ',',
		"text;label,more\na;b,c\n":    ';',
		"a|b,c\n1|2,3\n4|5\n6|7\n":    '|',
		"a,b;c\n1,2;3\n":              ',',
		"\"text\tx\"\tlabel\n":        '\t',
		"\"text,label\n":              0,
		"text label\n":                0,
		"":                            0,
		"one;two\tlabel\n1;2\t3\n4;5": '\t',
	} {
		assert.Equal(t, string(want), string(detect([]byte(text), known)), "%q", text)
	}
}

// FuzzCSV compares records with those of encoding/csv where both take the text.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b\n", "\"a\nb\",c\n\n,d\n", "\"\"\"\",x\n", "a,b,c\n", "é,\u2028\n", "a\tb\n c\td", "\"a\"b\n", "x\r\ny", "\"", ";;\n"} {
		f.Add(s, uint8(len(s)))
	}
	f.Fuzz(func(t *testing.T, text string, kind uint8) {
		comma := delimiters[int(kind)%len(delimiters)]
		got, lines, _ := read(t, strings.NewReader(text), comma)
		last := 0
		for i, line := range lines {
			require.Greater(t, line, last)
			require.NotEmpty(t, got[i])
			last = line
		}
		// encoding/csv has rules of its own for these.
		text = strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\r", "")
		got, _, err := read(t, strings.NewReader(text), comma)
		r := csv.NewReader(strings.NewReader(text))
		r.Comma, r.FieldsPerRecord = rune(comma), -1
		records, wrong := r.ReadAll()
		if wrong != nil {
			return // it takes fewer texts
		}
		require.NoError(t, err)
		// A line of spaces is a record for encoding/csv, and no other is blank
		// and one field unless it is in quotes.
		blank := func(rec []string) bool { return len(rec) == 1 && strings.TrimSpace(rec[0]) == "" }
		want, have := slices.DeleteFunc(records, blank), slices.DeleteFunc(got, blank)
		require.Len(t, have, len(want))
		for i, rec := range want {
			require.Equal(t, rec, have[i])
		}
	})
}
