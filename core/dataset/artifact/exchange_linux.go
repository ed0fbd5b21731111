package artifact

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange lets two folders change places, in one step where the file system
// can.
func exchange(from, target string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return exchangePlainly(from, target)
	}
	return err
}
