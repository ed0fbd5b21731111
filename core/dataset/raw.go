package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/fault"
)

// MaxLine is the longest line of a data file in bytes, line break not counted.
const MaxLine = maxLine

// Lines reads a text file line by line, whatever the lines hold: fn gets the
// 1-based number of every line that is not blank and its text without line
// break and byte order mark, good until fn returns. A line over MaxLine is
// handed over as nil with tooLong set. An error of fn ends the reading and is
// returned as it is.
func Lines(ctx context.Context, path string, fn func(number int, text []byte, tooLong bool) error) error {
	const op = "read data"
	f, err := openRegular(op, anywhere{}, path, path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // opened for reading only
	src := newLines(stoppable{ctx, f})
	for {
		if err := ctx.Err(); err != nil {
			return readError(op, path, 0, err)
		}
		l, err := src.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return readError(op, path, src.number+1, err)
		}
		if l.blank() {
			continue
		}
		if err := fn(l.number, l.text, l.tooLong); err != nil {
			return err
		}
	}
}

// OpenStream opens a regular file to be read from start to end. Reading stops
// with the context; its errors name the file.
func OpenStream(ctx context.Context, path string) (io.ReadCloser, error) {
	const op = "read data"
	f, err := openRegular(op, anywhere{}, path, path)
	if err != nil {
		return nil, err
	}
	return &stream{stoppable{ctx, f}, f, path}, nil
}

type stream struct {
	r    stoppable
	f    io.Closer
	path string
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = readError("read data", s.path, 0, err)
	}
	return n, err
}

func (s *stream) Close() error { return s.f.Close() }

// SHA256 returns the sha256 of a file's bytes in lower-case hex. Unlike a plain
// hash it stops with the context, and refuses what is no regular file.
func SHA256(ctx context.Context, path string) (string, error) {
	f, err := OpenStream(ctx, path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // opened for reading only
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Member is one member of a JSON object.
type Member struct {
	Key string
	Raw []byte // the JSON text of the value; its first byte tells the kind

	data []byte
	v    value
}

// Kind names the kind of the value with its article: "a string", "null".
func (m Member) Kind() string { return m.v.kind.String() }

// Text returns the string that the value is. It is false for a value of
// another kind, and for a string with half a surrogate pair, which is no text.
func (m Member) Text() (string, bool) {
	if m.v.kind != kindString {
		return "", false
	}
	var scratch []byte
	text, ok := m.v.text(m.data, &scratch)
	return string(text), ok
}

// Object takes a JSON object apart. The members come in their order and as
// often as they are given; Raw is part of text. The error says at what byte
// the text stops being an object.
func Object(text []byte) ([]Member, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not valid UTF-8")
	}
	c := &cursor{data: text, depth: 1}
	if err := c.open(); err != nil {
		return nil, errors.New(syntaxReason(err))
	}
	var out []Member
	var scratch []byte
	for first := true; ; first = false {
		key, v, ok, err := c.member(first)
		if err == nil && !ok {
			err = c.end()
		}
		if err != nil {
			return nil, errors.New(syntaxReason(err))
		}
		if !ok {
			return out, nil
		}
		name, clean := key.text(text, &scratch)
		if !clean {
			return nil, errors.New("a key with half a surrogate pair")
		}
		out = append(out, Member{Key: string(name), Raw: v.raw(text), data: text, v: v})
	}
}

// errFound ends a reading that has what it wants.
var errFound = errors.New("found")

// DetectTask tells the task of a JSONL file by the fields of its first row. It
// is a DataError when they are those of no task, or of both.
func DetectTask(ctx context.Context, path string) (string, error) {
	const op = "tell the task of the data"
	task, line := "", 0
	err := Lines(ctx, path, func(number int, text []byte, tooLong bool) error {
		line = number
		members, err := Object(text)
		if err != nil {
			reason := err.Error()
			if tooLong {
				reason = fmt.Sprintf("the line is longer than %d MiB", maxLine>>20)
			}
			return &fault.DataError{Detail: fault.Detail{Op: op, Path: path, Line: number, Reason: reason, Hint: syntaxHint(text)}}
		}
		sft, classes := false, false
		for _, m := range members {
			sft = sft || m.Key == "instruction"
			classes = classes || m.Key == "text"
		}
		switch {
		case sft && !classes:
			task = SFT
		case classes && !sft:
			task = Classification
		}
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return "", err
	}
	if task == "" {
		d := fault.Detail{Op: op, Path: path, Line: line, Reason: "the first row is of no task", Hint: rowHint(SFT) + "; " + rowHint(Classification)}
		if line == 0 {
			d.Reason = "holds no rows"
		}
		return "", &fault.DataError{Detail: d}
	}
	return task, nil
}
