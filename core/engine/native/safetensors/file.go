package safetensors

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"unsafe"

	"github.com/verifily/verifily-tui/core/fault"
)

// File is an open weights file. Any number of goroutines may read it; Close
// must come after the last of them.
//
// On unix systems the file is mapped into memory, so opening costs next to
// nothing and pages are read when they are touched. Somebody who shortens the
// file while it is open makes later reads fault: replace weights by renaming
// a new file over them, as Write does.
type File struct {
	path  string
	head  *header
	index map[string]int // name to position in head.entries
	bytes []byte         // the whole file; nil once closed
	unmap func() error
}

// Open maps the file and checks all of its header against its size. Every
// error is a *FormatError.
func Open(path string) (*File, error) {
	// Looked at before it is opened: opening a named pipe would wait for a
	// writer that may never come.
	stat, err := os.Stat(path)
	if err != nil {
		return nil, systemError(opRead, path, err)
	}
	if !stat.Mode().IsRegular() {
		return nil, readError(path, "give the path of a .safetensors file", "not a regular file")
	}
	if stat.Size() < prefixBytes {
		return nil, readError(path, hintAgain, "the file has %d bytes, too few for a header length", stat.Size())
	}
	data, unmap, err := load(path)
	if err != nil {
		return nil, systemError(opRead, path, err)
	}
	head, err := parseHeader(path, data)
	if err != nil {
		_ = unmap() // the header's error is the one to report
		return nil, err
	}
	f := &File{path: path, head: head, bytes: data, unmap: unmap, index: make(map[string]int, len(head.entries))}
	for i, e := range head.entries {
		f.index[e.name] = i
	}
	return f, nil
}

func systemError(op, path string, err error) *FormatError {
	var on *fs.PathError
	if errors.As(err, &on) && on.Path == path {
		err = on.Err // the path stands in the message already
	}
	return &FormatError{fault.Detail{Op: op, Path: path, Err: err}}
}

// Names lists the tensors in the order of their bytes in the file.
func (f *File) Names() []string {
	names := make([]string, len(f.head.entries))
	for i, e := range f.head.entries {
		names[i] = e.name
	}
	return names
}

// Info describes a tensor; ok is false when the file has none of that name.
func (f *File) Info(name string) (info Info, ok bool) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, false
	}
	info = f.head.entries[i].Info
	info.Shape = slices.Clone(info.Shape)
	return info, true
}

// Metadata is a copy of the file's free key-value pairs; nil when it has none.
func (f *File) Metadata() map[string]string { return maps.Clone(f.head.metadata) }

// ReadF32 converts a tensor of dtype F32, F16, BF16 or F64 into dst, whose
// length must be the tensor's number of elements. F32, F16 and BF16 convert
// exactly, F64 rounds to nearest even. Errors are *FormatError: no such
// tensor, another dtype, another length, or the file is closed.
func (f *File) ReadF32(name string, dst []float32) error {
	e, err := f.find(name)
	if err != nil {
		return err
	}
	if n := e.Len(); n != len(dst) {
		return readError(f.path, "the weights belong to a model of another shape",
			"tensor %s has %d elements (shape %d), not %d", quote(name), n, e.Shape, len(dst))
	}
	decode(e.DType, dst, f.view(e))
	return nil
}

// F32 returns a tensor of dtype F32, F16, BF16 or F64 as float32. A tensor
// that is F32 and aligned in the file is a view of the file itself: it must
// not be written to and ends with Close. Others are converted copies.
func (f *File) F32(name string) ([]float32, error) {
	e, err := f.find(name)
	if err != nil {
		return nil, err
	}
	raw := f.view(e)
	n := e.Len()
	if e.DType == F32 && hostLittleEndian && n > 0 && uintptr(unsafe.Pointer(&raw[0]))%unsafe.Alignof(float32(0)) == 0 {
		return unsafe.Slice((*float32)(unsafe.Pointer(&raw[0])), n), nil
	}
	dst := make([]float32, n)
	decode(e.DType, dst, raw)
	return dst, nil
}

// Release says that a tensor will not be read again soon, so that its pages
// need not stay in memory. Views of it stay valid and are read anew when they
// are touched. A name that is not there is ignored.
func (f *File) Release(name string) {
	if i, ok := f.index[name]; ok && f.bytes != nil {
		forget(f.view(&f.head.entries[i]))
	}
}

// find returns a tensor that can be read as float32.
func (f *File) find(name string) (*entry, error) {
	if f.bytes == nil {
		return nil, &FormatError{fault.Detail{Op: opRead, Path: f.path, Err: fs.ErrClosed}}
	}
	i, ok := f.index[name]
	if !ok {
		return nil, readError(f.path, "the weights belong to a model of another kind, or parts of it were left out",
			"there is no tensor %s", quote(name))
	}
	e := &f.head.entries[i]
	switch e.DType {
	case F32, F16, BF16, F64:
		return e, nil
	}
	return nil, readError(f.path, "export the model in F32, F16 or BF16",
		"tensor %s is %s, which cannot be read as float32", quote(name), e.DType)
}

func (f *File) view(e *entry) []byte {
	return f.bytes[f.head.data+int(e.begin) : f.head.data+int(e.end)]
}

// Close ends the mapping, and with it every view that F32 returned. Closing
// twice is harmless.
func (f *File) Close() error {
	if f.bytes == nil {
		return nil
	}
	f.bytes = nil
	if err := f.unmap(); err != nil {
		return systemError(opRead, f.path, err)
	}
	return nil
}
