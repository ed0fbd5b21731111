package retrain

import (
	"errors"

	"golang.org/x/sys/unix"
)

// publish gives a folder its final name. A name that is taken is fs.ErrExist;
// what has it is not touched.
func publish(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return publishPlainly(from, to) // a file system that knows only the plain rename
	}
	return err
}
