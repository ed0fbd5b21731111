package dataset

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/fault"
)

// Failures that a test run as root, or on a sound disk, cannot bring about.
func TestErrorsOfTheSystem(t *testing.T) {
	denied := openError("open data", "rows.jsonl", &fs.PathError{Op: "open", Path: "rows.jsonl", Err: syscall.EACCES})
	assert.Equal(t, "open data: rows.jsonl: may not be read: permission denied", denied.Error())
	require.ErrorIs(t, denied, fs.ErrPermission)

	broken := readError("read data", "rows.jsonl", 7, &fs.PathError{Op: "read", Path: "rows.jsonl", Err: syscall.EIO})
	assert.Equal(t, "read data: rows.jsonl:7: cannot be read: input/output error", broken.Error())

	for _, err := range []error{denied, broken} {
		var data *fault.DataError
		require.ErrorAs(t, err, &data)
		assert.NotEmpty(t, data.Hint)
	}
}

// breaking is a stream that gives some text and then an error.
type breaking struct {
	text string
	err  error
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.text == "" {
		return 0, b.err
	}
	n := copy(p, b.text)
	b.text = b.text[n:]
	return n, nil
}

func TestAReadErrorIsNoEndOfFile(t *testing.T) {
	cause := errors.New("bad sector")
	r := &breaking{"{\"text\":\"a\",\"label\":\"b\"}\n{\"text\":", cause}
	rows := 0
	err := scan(context.Background(), "read data", "rows.jsonl", r, Classification, func(*rowParser, line) error {
		rows++
		return nil
	})
	require.ErrorIs(t, err, cause)
	var data *fault.DataError
	require.ErrorAs(t, err, &data)
	assert.Equal(t, 2, data.Line)
	assert.Equal(t, 1, rows)
}
