//go:build unix

package safetensors

import (
	"errors"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// load maps a file read-only.
func load(path string) (data []byte, unmap func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // a mapping outlives its descriptor
	stat, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	size := stat.Size()
	if size > math.MaxInt {
		return nil, nil, errors.New("too large for the address space")
	}
	data, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return data, func() error { return os.NewSyscallError("munmap", unix.Munmap(data)) }, nil
}

// forget drops the pages that lie wholly within part of a mapped file. It is
// advice: when the system does not take it, nothing is lost but memory.
func forget(part []byte) {
	page := os.Getpagesize()
	start := -int(uintptr(unsafe.Pointer(unsafe.SliceData(part)))) & (page - 1)
	if n := (len(part) - start) &^ (page - 1); n > 0 {
		_ = unix.Madvise(part[start:start+n], unix.MADV_DONTNEED)
	}
}
