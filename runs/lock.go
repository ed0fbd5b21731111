package runs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

func lockFileIn(dir, name string, patience time.Duration) (*flock.Flock, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l := flock.New(filepath.Join(dir, name), flock.SetPermissions(filePerm))
	ok, err := l.TryLockContext(ctx, patience/30)
	switch {
	case ok:
		return l, nil
	case err == nil || errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("lock %s: %w", dir, ErrLocked)
	default:
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
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
	if _, err := os.Stat(path); err != nil {
		return lockUnknown
	}
	l := flock.New(path, flock.SetFlag(os.O_RDONLY))
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
