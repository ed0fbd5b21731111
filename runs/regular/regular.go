// Package regular reads regular files and nothing else.
//
// A path may lead to a pipe that nobody writes to, to a device without an end,
// or to a file larger than the memory. Open and Read refuse what is no regular
// file, Read also what is larger than its caller expects, and neither waits for
// another program.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// The causes of the *fs.PathError that Open and Read return, besides those of
// package os.
var (
	// ErrNotRegular: the path leads to a pipe, a device or the like. For a
	// folder the cause is syscall.EISDIR.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge: the file has more bytes than the caller allows.
	ErrTooLarge = errors.New("too large")
)

// Open opens a regular file for reading; links are followed.
func Open(path string) (*os.File, error) {
	f, _, err := OpenInfo(path)
	return f, err
}

// OpenInfo is Open, and says what was opened.
func OpenInfo(path string) (*os.File, fs.FileInfo, error) {
	// The kind is asked for first, because opening a device can do something,
	// and again afterwards, because the path may lead elsewhere by then. The
	// open itself does not wait for the other end of a pipe.
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if err := Check(path, info); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = Check(path, info)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, nil, err
	}
	return f, info, nil
}

// Check refuses what is no regular file, as Open does.
func Check(path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return &fs.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
	}
	return &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
}

// Read returns the content of a regular file of at most so many bytes.
func Read(path string, most int64) ([]byte, error) {
	f, info, err := OpenInfo(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > most {
		return nil, tooLarge(path, most)
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return data[:n], nil // it became shorter
	case err != nil:
		return nil, err
	}
	// Files that do not tell their size, and those that grow, have more.
	rest, err := io.ReadAll(io.LimitReader(f, most-info.Size()+1))
	if err != nil {
		return nil, err
	}
	if data = append(data, rest...); int64(len(data)) > most {
		return nil, tooLarge(path, most)
	}
	return data, nil
}

func tooLarge(path string, most int64) error {
	return &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: more than the %d bytes allowed", ErrTooLarge, most)}
}
