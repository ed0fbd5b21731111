//go:build !unix

package safetensors

import "os"

// load reads a file into memory, for systems without mmap.
func load(path string) (data []byte, unmap func() error, err error) {
	data, err = os.ReadFile(path)
	return data, func() error { return nil }, err
}

// forget does nothing: the file is in memory as a whole.
func forget([]byte) {}
