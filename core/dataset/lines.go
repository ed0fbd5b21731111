package dataset

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/verifily/verifily-tui/core/fault"
)

// maxLine is the longest row accepted, line break not counted.
const maxLine = 16 << 20

// bom may stand at the start of a UTF-8 file and is no part of the first row.
var bom = []byte("\xef\xbb\xbf")

// opener is where a file is opened: anywhere, or inside one folder (os.Root).
type opener interface {
	Stat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
}

// anywhere is the opener for paths that a user wrote down.
type anywhere struct{}

func (anywhere) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (anywhere) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

// openRegular opens name for reading and refuses everything that is no regular
// file. The kind is asked for first, because opening a device can do something,
// and again afterwards, because the path may lead elsewhere by then; the open
// itself does not wait for the other end of a pipe.
func openRegular(op string, in opener, name, path string) (*os.File, error) {
	info, err := in.Stat(name)
	if err != nil {
		return nil, openError(op, path, err)
	}
	if err := checkRegular(op, path, info); err != nil {
		return nil, err
	}
	f, err := in.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, openError(op, path, err)
	}
	if info, err = f.Stat(); err == nil {
		err = checkRegular(op, path, info)
	} else {
		err = openError(op, path, err)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

func checkRegular(op, path string, info fs.FileInfo) error {
	mode := info.Mode()
	d := fault.Detail{Op: op, Path: path, Hint: "give the path of a JSONL file"}
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		d.Reason = "is a folder, not a file"
	case mode&fs.ModeNamedPipe != 0:
		d.Reason = "is a pipe; the data is read more than once, so it must be a regular file"
		d.Hint = "write the stream to a file first"
	default:
		d.Reason = "is not a regular file"
	}
	return &fault.DataError{Detail: d}
}

// openError turns the error of an open or a stat into a DataError with a hint.
func openError(op, path string, err error) error {
	d := fault.Detail{Op: op, Path: path, Err: reduce(err)}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.Reason, d.Err = "no such file", nil
		d.Hint = "check the path; relative paths start at the current folder"
	case errors.Is(err, fs.ErrPermission):
		d.Reason = "may not be read"
		d.Hint = "check the file's permissions"
	default:
		d.Reason = "cannot be opened"
		d.Hint = "check the path, and the disk it leads to"
	}
	return &fault.DataError{Detail: d}
}

// reduce strips the path from an error that is shown beside one.
func reduce(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// line is one line of a file. Its text is good until the next call of next.
type line struct {
	text    []byte // without line break and without byte order mark
	offset  int64  // of text in the file
	number  int    // 1-based
	tooLong bool   // longer than maxLine; text is empty
}

func (l line) blank() bool { return !l.tooLong && len(bytes.TrimSpace(l.text)) == 0 }

// lines splits a stream into lines of bounded length. A longer line is read to
// its end and thrown away.
type lines struct {
	r      *bufio.Reader
	long   []byte // a line that did not fit r's buffer
	offset int64  // of the next byte
	number int    // of the last line
}

// newLines reads r in blocks of 256 KiB, large enough that most rows are handed
// over in place and that the cost of a system call disappears.
func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 256<<10)} }

// next returns the next line, or io.EOF.
func (s *lines) next() (line, error) {
	out := line{offset: s.offset}
	text, err := s.r.ReadSlice('\n')
	s.offset += int64(len(text))
	if errors.Is(err, bufio.ErrBufferFull) {
		text, out.tooLong, err = s.rest(text)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return line{}, err
	}
	if s.offset == out.offset {
		return line{}, io.EOF
	}
	s.number++
	out.number = s.number
	if s.number == 1 && bytes.HasPrefix(text, bom) {
		text = text[len(bom):]
		out.offset += int64(len(bom))
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	text = bytes.TrimSuffix(text, []byte("\r"))
	if out.tooLong = out.tooLong || len(text) > maxLine; !out.tooLong {
		out.text = text
	}
	return out, nil
}

// rest gathers a line that began with head.
func (s *lines) rest(head []byte) (text []byte, tooLong bool, err error) {
	const slack = 8 // room for a byte order mark and a line break
	s.long = append(s.long[:0], head...)
	for {
		part, err := s.r.ReadSlice('\n')
		s.offset += int64(len(part))
		if tooLong = tooLong || len(s.long)+len(part) > maxLine+slack; !tooLong {
			s.long = append(s.long, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if tooLong {
				return nil, true, err
			}
			return s.long, false, err
		}
	}
}

// stoppable is a reader that ends with the context's error once it is done.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// readError wraps what stopped the reading of path: a cancelled context as it
// is, anything else as a DataError.
func readError(op, path string, line int, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %s: %w", op, path, err)
	}
	return &fault.DataError{Detail: fault.Detail{
		Op: op, Path: path, Line: line, Reason: "cannot be read", Err: reduce(err),
		Hint: "check the disk or the network file system the file lies on",
	}}
}
