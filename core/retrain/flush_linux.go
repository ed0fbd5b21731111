package retrain

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// startWriting lets the disk begin with what was written to a file. It promises
// nothing: that is for Sync, which then has less to wait for.
func startWriting(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

// flushFileSystem flushes everything that was written to a file system so far.
func flushFileSystem(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd()))), f.Close())
}
