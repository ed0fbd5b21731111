package runs

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/verifily/verifily-tui/runs/regular"
)

// errNotFolder: a part of the path is a file.
var errNotFolder error = syscall.ENOTDIR

// readSmall reads a file of a few kilobytes with as few system calls as it
// takes: a listing does this ten thousand times.
func readSmall(path string) ([]byte, os.FileInfo, error) {
	f, info, err := regular.OpenInfo(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info.Size() > maxJSONFile {
		return nil, nil, regular.ErrTooLarge
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], info, err
}

// stamp tells two states of a file apart: an append changes the size, a write
// in place the time, and a replacement the number, even within one tick of the
// file system's clock.
type stamp struct {
	modified int64 // nanoseconds
	size     int64
	number   uint64 // inode
}

func stampOf(info os.FileInfo) stamp {
	s := stamp{modified: info.ModTime().UnixNano(), size: info.Size()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.number = sys.Ino
	}
	return s
}
