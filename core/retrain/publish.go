package retrain

import (
	"fmt"
	"io/fs"
	"os"
)

// publishPlainly renames a folder unless the new name is taken. Between the
// look and the rename another program, which does not take part in the lock of
// the numbers, could make an empty folder of that name, and nothing worse: a
// rename never replaces a folder with content.
func publishPlainly(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("rename %s: %w", to, fs.ErrExist)
	}
	return os.Rename(from, to)
}
