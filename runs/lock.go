package runs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// Hidden files of a run. They are no part of its content: hashes, listings
// and watchers leave them out.
const (
	lockFile     = ".lock"      // held by the process that trains
	evalLockFile = ".eval.lock" // held while eval/ and its hashes change
	beatFile     = ".heartbeat"
)

// ErrLocked: another process is writing the run.
var ErrLocked = errors.New("another process is writing this run")

// lockPatience is how long a lock is asked for again. Readers that look
// whether a lock is free hold it shared for an instant; a real owner keeps it
// for longer than this.
const lockPatience = 300 * time.Millisecond

// lockRun takes the exclusive lock of a run folder.
func lockRun(dir string) (*flock.Flock, error) {
	return lockFileIn(dir, lockFile, lockPatience)
}

// sealPatience is how long those who change hashes.json of a run wait for each
// other; they hold the lock only while they hash files.
const sealPatience = 5 * time.Minute

// LockSeal takes the lock under which hashes.json of a run, and what it says
// about eval/ and decision/, changes. unlock removes the lock file.
func LockSeal(dir string) (unlock func() error, err error) {
	l, err := lockFileIn(dir, evalLockFile, sealPatience)
	if err != nil {
		return nil, err
	}
	return func() error { return unlockGone(l) }, nil
}

// lockFileIn takes the lock that a file stands for. A file that the last owner
// removed is not the lock any more: then it is tried again with the new one.
func lockFileIn(dir, name string, patience time.Duration) (*flock.Flock, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	path := filepath.Join(dir, name)
	for {
		// A pipe in the place of the file is not waited for.
		l := flock.New(path, flock.SetPermissions(filePerm), flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NONBLOCK))
		ok, err := l.TryLockContext(ctx, min(patience/30, 100*time.Millisecond))
		switch {
		case ok && isFileAt(l, path):
			return l, nil
		case ok:
			if err := l.Unlock(); err != nil {
				return nil, fmt.Errorf("lock %s: %w", dir, err)
			}
		case err == nil || errors.Is(err, context.DeadlineExceeded):
			return nil, fmt.Errorf("lock %s: %w", dir, ErrLocked)
		default:
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
	}
}

// isFileAt tells whether the file that is locked is still the one at the path.
func isFileAt(l *flock.Flock, path string) bool {
	held, err := l.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(held, there)
}

// unlockGone removes the file of a held lock and gives the lock up. Whoever
// waits for it finds the file gone and makes a new one.
func unlockGone(l *flock.Flock) error {
	return errors.Join(remove(l.Path()), l.Unlock())
}

// lockState is what can be said about a run's lock without waiting.
type lockState int

const (
	lockUnknown lockState = iota // there is none, or the file system has no locks
	lockFree
	lockHeld
)

// probeLock looks at the lock without creating or changing anything.
func probeLock(dir string) lockState {
	path := filepath.Join(dir, lockFile)
	if !isFile(path) {
		return lockUnknown
	}
	l := flock.New(path, flock.SetFlag(os.O_RDONLY|syscall.O_NONBLOCK))
	ok, err := l.TryRLock()
	switch {
	case err != nil:
		return lockUnknown
	case !ok:
		return lockHeld
	}
	if l.Unlock() != nil {
		return lockUnknown
	}
	return lockFree
}
