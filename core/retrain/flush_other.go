//go:build !linux

package retrain

import (
	"errors"
	"os"
)

func startWriting(*os.File) {}

func flushFileSystem(string) error { return errors.ErrUnsupported }
