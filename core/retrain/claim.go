package retrain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/verifily/verifily-tui/runs/regular"
)

const (
	numberedName = "retrain_%04d"
	// counterFile holds the last number that was given out, so that a number
	// is not given again when its directory was deleted. It is locked while it
	// changes.
	counterFile = ".retrain_number"
	tempPrefix  = ".retrain_"
)

// takeNumber gives out the next free number of a folder of retrains. A number
// is given out once, to one caller of one process.
func takeNumber(ctx context.Context, folder string) (int, error) {
	unlock, err := lockCounter(ctx, folder)
	if err != nil {
		return 0, err
	}
	n, err := nextNumber(folder)
	return n, errors.Join(err, unlock())
}

// counters has a lock for each folder: the lock of the file system keeps
// processes apart, this one spares goroutines of one process the polling.
var counters sync.Map // of absolute path to chan struct{}

// lockCounter takes the lock of a folder's counter. A file system without locks
// is used without: the numbers stay unique there too, since a directory never
// replaces another.
func lockCounter(ctx context.Context, folder string) (unlock func() error, err error) {
	key, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	made, _ := counters.LoadOrStore(key, make(chan struct{}, 1))
	turn := made.(chan struct{})
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l := flock.New(filepath.Join(folder, counterFile), flock.SetPermissions(0o644),
		flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NONBLOCK)) // a pipe is not waited for
	ok, err := l.TryLockContext(ctx, 2*time.Millisecond)
	if !ok && ctx.Err() != nil {
		<-turn
		return nil, ctx.Err()
	}
	var denied *fs.PathError
	if !ok && errors.As(err, &denied) && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)) {
		<-turn
		return nil, fmt.Errorf("lock %s: %w", folder, err)
	}
	return func() error {
		err := l.Close()
		<-turn
		return err
	}, nil
}

// nextNumber reads the counter, passes over directories that other programs
// made, and writes the counter back. A counter that is not there, or that a
// crash left empty, is found again from the directories.
func nextNumber(folder string) (int, error) {
	path := filepath.Join(folder, counterFile)
	const most = 64 // bytes: it is a number
	data, err := regular.Read(path, most)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || last < 0 {
		if last, err = lastNumber(folder); err != nil {
			return 0, err
		}
	}
	n := last + 1
	for {
		_, err := os.Lstat(filepath.Join(folder, fmt.Sprintf(numberedName, n)))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, os.WriteFile(path, []byte(strconv.Itoa(n)+"\n"), 0o644)
}

// lastNumber is the highest number of a directory in the folder.
func lastNumber(folder string) (int, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return 0, err
	}
	last := 0
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), "retrain_")
		if n, err := strconv.Atoi(digits); ok && err == nil {
			last = max(last, n)
		}
	}
	return last, nil
}
