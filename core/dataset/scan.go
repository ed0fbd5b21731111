package dataset

import (
	"context"
	"fmt"
	"io"

	"github.com/verifily/verifily-tui/core/fault"
)

// maxProblems is how many problems one error lists: enough to see a pattern,
// few enough to read.
const maxProblems = 20

// Scan reads the rows of a JSONL file in order and calls fn for every good one.
//
// Lines end with LF or CRLF, the last one also with the end of the file; blank
// lines are skipped, and a UTF-8 byte order mark at the start is accepted. Each
// other line is one JSON object with the fields of the task, as strings that
// are not blank; `id` and `tags` are optional, null counts as not given, fields
// of other names are ignored. Escaped NUL characters are kept.
//
// Bad rows do not stop the scan. Once the file is read they end it with one
// *fault.DataError that lists the first 20 problems and says how many rows are
// bad. A file without a row is a DataError as well. An error of fn ends the
// scan at once and is returned as it is.
func Scan(ctx context.Context, path, task string, fn func(Row) error) error {
	const op = "read data"
	if err := checkTask(op, task); err != nil {
		return err
	}
	f, err := openRegular(op, anywhere{}, path, path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // opened for reading only
	return scan(ctx, op, path, f, task, func(p *rowParser, l line) error {
		return fn(p.row(l.number))
	})
}

// scan is Scan over a stream, for callers that need no copy of the row: fn gets
// the parser that has just read line l. The stream is read to its end unless
// fn, the context or the disk fails.
func scan(ctx context.Context, op, path string, r io.Reader, task string, fn func(*rowParser, line) error) error {
	src := newLines(stoppable{ctx, r})
	parser := &rowParser{task: task}
	var bad findings
	rows := 0
	for {
		if err := ctx.Err(); err != nil {
			return readError(op, path, 0, err)
		}
		l, err := src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return readError(op, path, src.number+1, err)
		}
		if l.blank() {
			continue
		}
		rows++
		if l.tooLong {
			bad.add(path, l.number, fault.Problem{
				Reason: fmt.Sprintf("the line is longer than %d MiB", maxLine>>20),
				Hint:   "every row is one line; split or shorten the text",
			})
			continue
		}
		if problems := parser.parse(l.text); len(problems) > 0 {
			bad.add(path, l.number, problems...)
			continue
		}
		if err := fn(parser, l); err != nil {
			return err
		}
	}
	return bad.err(op, path, task, rows)
}

// findings collects the bad rows of a file.
type findings struct {
	rows      int // bad rows
	total     int // problems in them
	firstLine int
	first     []fault.Problem
}

func (b *findings) add(path string, line int, problems ...fault.Problem) {
	if b.rows == 0 {
		b.firstLine = line
	}
	b.rows++
	b.total += len(problems)
	for _, p := range problems {
		if len(b.first) == maxProblems {
			return
		}
		p.Path, p.Line = path, line
		b.first = append(b.first, p)
	}
}

// err returns nil when all of the rows were good and there was at least one.
func (b *findings) err(op, path, task string, rows int) error {
	d := fault.Detail{Op: op, Path: path, Line: b.firstLine, Problems: b.first}
	switch {
	case rows == 0:
		d.Reason, d.Hint = "holds no rows", rowHint(task)
		return &fault.DataError{Detail: d}
	case b.rows == 0:
		return nil
	}
	d.Reason = fmt.Sprintf("%d of %d rows %s bad", b.rows, rows, map[bool]string{true: "is", false: "are"}[b.rows == 1])
	if b.total > len(b.first) {
		d.Reason += fmt.Sprintf("; the first %d of %d problems", len(b.first), b.total)
	}
	d.Hint = "mend or remove these rows"
	if b.rows == rows {
		d.Hint = rowHint(task)
	}
	return &fault.DataError{Detail: d}
}
