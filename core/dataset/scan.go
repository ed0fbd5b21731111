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
// *fault.DataError that says how many rows are bad and lists up to 20 problems:
// the first three of a kind with their lines, of the others their number. A file without a row is a DataError as well. An error of fn ends the
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
	bad := findings{path: path}
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
			bad.add(l.number, fault.Problem{
				Reason: fmt.Sprintf("the line is longer than %d MiB", maxLine>>20),
				Hint:   "every row is one line; split or shorten the text",
			})
			continue
		}
		if problems := parser.parse(l.text); len(problems) > 0 {
			bad.add(l.number, problems...)
			if parser.foreign {
				bad.foreign++
			}
			continue
		}
		if err := fn(parser, l); err != nil {
			return err
		}
	}
	return bad.err(op, task, rows)
}

// sameShown is how many problems of a kind are listed before the rest of them
// is counted: three show where to look, and a mistake made everywhere does not
// hide the others.
const sameShown = 3

// findings collects the bad rows of a file.
type findings struct {
	path      string
	rows      int // bad rows
	foreign   int // of these, rows of the other task
	total     int // problems in them
	firstLine int
	listed    []fault.Problem
	kinds     []findingKind
}

// findingKind is a problem that rows have in common.
type findingKind struct {
	problem  fault.Problem // without a line
	count    int
	lastLine int
}

func (b *findings) add(line int, problems ...fault.Problem) {
	if b.rows == 0 {
		b.firstLine = line
	}
	b.rows++
	b.total += len(problems)
	for _, p := range problems {
		p.Path = b.path
		k := b.kind(p)
		if k == nil {
			continue
		}
		k.count, k.lastLine = k.count+1, line
		if k.count <= sameShown {
			p.Line = line
			b.listed = append(b.listed, p)
		}
	}
}

// kind returns the kind of a problem, nil when there are more than can be
// listed.
func (b *findings) kind(p fault.Problem) *findingKind {
	for i := range b.kinds {
		if b.kinds[i].problem == p {
			return &b.kinds[i]
		}
	}
	if len(b.kinds) == maxProblems {
		return nil
	}
	b.kinds = append(b.kinds, findingKind{problem: p})
	return &b.kinds[len(b.kinds)-1]
}

// problems lists what was found, and how many problems it stands for.
func (b *findings) problems() (list []fault.Problem, covered int) {
	var rest []fault.Problem
	for _, k := range b.kinds {
		n := k.count - sameShown
		if n <= 0 {
			continue
		}
		p := k.problem
		if p.Reason += fmt.Sprintf(", in %d more rows, the last on line %d", n, k.lastLine); n == 1 {
			p.Reason = k.problem.Reason + fmt.Sprintf(", also on line %d", k.lastLine)
		}
		rest = append(rest, p)
		covered += n
	}
	list = b.listed[:min(len(b.listed), max(0, maxProblems-len(rest)))]
	covered += len(list)
	return append(list[:len(list):len(list)], rest...), covered
}

// err returns nil when all of the rows were good and there was at least one.
func (b *findings) err(op, task string, rows int) error {
	d := fault.Detail{Op: op, Path: b.path, Line: b.firstLine}
	switch {
	case rows == 0:
		d.Reason, d.Hint = "holds no rows", rowHint(task)
		return &fault.DataError{Detail: d}
	case b.rows == 0:
		return nil
	}
	var covered int
	d.Problems, covered = b.problems()
	d.Reason = fmt.Sprintf("%d of %d rows %s bad", b.rows, rows, map[bool]string{true: "is", false: "are"}[b.rows == 1])
	if b.total > covered {
		d.Reason += fmt.Sprintf("; %d of %d problems are shown", covered, b.total)
	}
	switch {
	case b.foreign == rows:
		d.Reason = fmt.Sprintf("these are rows of task %s, and the task is %s", otherTask(task), task)
		d.Hint, d.Problems = "set task: "+otherTask(task), nil
	case b.foreign == b.rows:
		d.Hint = fmt.Sprintf("the file mixes two tasks: give the rows of task %s a file of their own", otherTask(task))
	case b.rows == rows:
		d.Hint = rowHint(task)
	default:
		d.Hint = "mend or remove these rows"
	}
	return &fault.DataError{Detail: d}
}
