package retrain

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// flushFileSystem flushes everything that was written to a file system so far.
func flushFileSystem(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd()))), f.Close())
}
