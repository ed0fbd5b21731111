package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/verifily/verifily-tui/core/fault"
)

// File gives access to any row of a JSONL file by number, reading it from disk
// each time. It is safe for use by several goroutines until Close.
type File struct {
	path, task string
	sum        string // sha256 of the whole file, hex
	f          *os.File
	size       int64
	modified   time.Time

	offsets []int64
	lengths []uint32
	blanks  []blankRun
	labels  []Count
	tags    []Tag

	buffers sync.Pool // of *rowBuffer
}

// blankRun says that before row there are blank lines in all; the number holds
// up to the next run. A file without blank lines needs none.
type blankRun struct{ row, blank int }

type rowBuffer struct {
	text   []byte
	parser rowParser
}

// Open reads the whole of a JSONL file once: it checks every row as Scan does,
// takes the file's sha256, counts labels and tags, and remembers where the rows
// begin. The file stays open until Close.
func Open(ctx context.Context, path, task string) (*File, error) {
	const op = "open data"
	if err := checkTask(op, task); err != nil {
		return nil, err
	}
	f, err := openRegular(op, anywhere{}, path, path)
	if err != nil {
		return nil, err
	}
	file, _, err := index(ctx, op, path, f, task)
	return file, err
}

// index is Open over a file just opened, which it closes unless it succeeds.
// The sha256 is returned whenever the file was read to its end, also when rows
// are bad, so that a file which differs from its manifest is known as such.
func index(ctx context.Context, op, path string, f *os.File, task string) (_ *File, sum string, err error) {
	defer func() {
		if err != nil {
			_ = f.Close() // opened for reading only
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, "", openError(op, path, err)
	}
	x := &File{path: path, task: task, f: f, size: info.Size(), modified: info.ModTime()}
	x.buffers.New = func() any { return &rowBuffer{parser: rowParser{task: task}} }

	hash := sha256.New()
	var labels counter
	var tags tagCounter
	err = scan(ctx, op, path, io.TeeReader(f, hash), task, func(p *rowParser, l line) error {
		if task == Classification && !labels.add(p.text[fieldLabel], maxLabels) {
			return tooManyLabels(op, path, l.number)
		}
		for _, t := range p.tags {
			tags.add(t.key, t.value)
		}
		x.add(l)
		return nil
	})
	if at, seekErr := f.Seek(0, io.SeekCurrent); seekErr == nil && at == info.Size() {
		sum = hex.EncodeToString(hash.Sum(nil))
	}
	if err != nil {
		return nil, sum, err
	}
	x.sum, x.labels, x.tags = sum, labels.sorted(), tags.sorted()
	x.offsets, x.lengths = slices.Clip(x.offsets), slices.Clip(x.lengths)
	if err := x.checkUnchanged(op, 0); err != nil {
		return nil, "", err
	}
	return x, sum, nil
}

func tooManyLabels(op, path string, line int) error {
	return &fault.DataError{Detail: fault.Detail{
		Op: op, Path: path, Line: line,
		Reason: fmt.Sprintf("more than %d different labels", maxLabels),
		Hint:   "label is one of a few classes; free text belongs in an sft row",
	}}
}

// add appends line l to the index.
func (x *File) add(l line) {
	row := len(x.offsets)
	blank := l.number - 1 - row
	before := 0
	if n := len(x.blanks); n > 0 {
		before = x.blanks[n-1].blank
	}
	if blank != before {
		x.blanks = append(x.blanks, blankRun{row, blank})
	}
	x.offsets = append(x.offsets, l.offset)
	x.lengths = append(x.lengths, uint32(len(l.text))) // at most maxLine
}

// line returns the 1-based line that row i stands on.
func (x *File) line(i int) int {
	n := sort.Search(len(x.blanks), func(k int) bool { return x.blanks[k].row > i })
	if n == 0 {
		return i + 1
	}
	return i + 1 + x.blanks[n-1].blank
}

// Len returns the number of rows, at least 1.
func (x *File) Len() int { return len(x.offsets) }

// Path returns the path the file was opened by.
func (x *File) Path() string { return x.path }

// Task returns the task the rows were checked for.
func (x *File) Task() string { return x.task }

// SHA256 returns the sha256 of the file's bytes in lower-case hex.
func (x *File) SHA256() string { return x.sum }

// Size returns the length of the file in bytes.
func (x *File) Size() int64 { return x.size }

// Labels returns the distinct labels of a classification file with their
// numbers of rows, sorted by label; nil for sft.
func (x *File) Labels() []Count {
	if x.task != Classification {
		return nil
	}
	return slices.Clone(x.labels)
}

// Tags returns the tag keys met with their values, sorted by key. Of more than
// MaxTagKeys the first ones met are kept.
func (x *File) Tags() []Tag { return slices.Clone(x.tags) }

// TagKeys returns the keys of Tags.
func (x *File) TagKeys() []string {
	keys := make([]string, len(x.tags))
	for i, t := range x.tags {
		keys[i] = t.Key
	}
	return keys
}

// Row returns row i, 0 <= i < Len. It is a DataError when the file was written
// to since Open: size or time differ, or there is no longer a row at its place.
func (x *File) Row(i int) (Row, error) {
	const op = "read row"
	if i < 0 || i >= x.Len() {
		return Row{}, &fault.DataError{Detail: fault.Detail{
			Op: op, Path: x.path, Reason: fmt.Sprintf("there is no row %d; the file has %d, counted from 0", i, x.Len()),
		}}
	}
	number := x.line(i)
	if err := x.checkUnchanged(op, number); err != nil {
		return Row{}, err
	}
	b := x.buffers.Get().(*rowBuffer)
	defer x.buffers.Put(b)
	b.text = slices.Grow(b.text[:0], int(x.lengths[i]))[:x.lengths[i]]
	if _, err := x.f.ReadAt(b.text, x.offsets[i]); err != nil {
		return Row{}, readError(op, x.path, number, err)
	}
	if problems := b.parser.parse(b.text); len(problems) > 0 {
		return Row{}, x.changed(op, number, "the row was good when the file was opened: "+problems[0].String())
	}
	return b.parser.row(number), nil
}

// checkUnchanged compares size and time with what they were at Open. A file
// that was replaced by a rename is no concern: the old one stays open.
func (x *File) checkUnchanged(op string, line int) error {
	info, err := x.f.Stat()
	if err != nil {
		return readError(op, x.path, line, err)
	}
	if info.Size() != x.size {
		return x.changed(op, line, fmt.Sprintf("it had %d bytes and has %d now", x.size, info.Size()))
	}
	if !info.ModTime().Equal(x.modified) {
		return x.changed(op, line, "it was written to at "+info.ModTime().UTC().Format(time.RFC3339))
	}
	return nil
}

// ErrChanged: a file is not any more what it was when it was opened.
var ErrChanged = errors.New("the file changed while it was in use")

func (x *File) changed(op string, line int, how string) error {
	return &fault.DataError{Detail: fault.Detail{
		Op: op, Path: x.path, Line: line,
		Err:  fmt.Errorf("%w: %s", ErrChanged, how),
		Hint: "leave data alone while it is used; write a new file and start again",
	}}
}

// Close releases the file. Row fails afterwards.
func (x *File) Close() error {
	if err := x.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close %s: %w", x.path, err)
	}
	return nil
}
