package retrain

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/verifily/verifily-tui/runs/atomicfile"
)

// crowd is how many retrains must be flushing at once for one flush of the whole
// file system to be cheaper than flushing their dozen files each: every flush
// of a file waits for the journal.
const crowd = 4

// active counts the retrains that are flushing.
var active atomic.Int32

// flushGroup hands out one flush of a file system to all who wait for one.
type flushGroup struct {
	mu      sync.Mutex
	next    *flushing  // not begun yet: those who ask now share it
	running sync.Mutex // held while one runs
}

type flushing struct {
	done chan struct{}
	err  error
}

// groups has a *flushGroup for each folder of retrains.
var groups sync.Map

// flush brings what was written to disk: the files, flushed at the same time,
// since the file system then writes its journal once or twice, and the folders.
func flush(folder string, files, folders []string) error {
	if active.Add(1) >= crowd {
		err := flushTogether(folder)
		active.Add(-1)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	} else {
		defer active.Add(-1)
	}
	errs := make([]error, len(files))
	var wg sync.WaitGroup
	for i, path := range files {
		wg.Go(func() { errs[i] = flushFile(path) })
	}
	wg.Wait()
	for _, dir := range folders {
		errs = append(errs, atomicfile.SyncDir(dir))
	}
	return errors.Join(errs...)
}

func flushFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// flushTogether flushes the file system that folder is on, in one go with all
// who ask for the same folder before it begins. The first to ask does it, once
// the one that is running has ended.
func flushTogether(folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	known, _ := groups.LoadOrStore(folder, &flushGroup{})
	group := known.(*flushGroup)
	group.mu.Lock()
	mine := group.next
	first := mine == nil
	if first {
		mine = &flushing{done: make(chan struct{})}
		group.next = mine
	}
	group.mu.Unlock()
	if !first {
		<-mine.done
		return mine.err
	}
	group.running.Lock()
	group.mu.Lock()
	group.next = nil
	group.mu.Unlock()
	mine.err = flushFileSystem(folder)
	group.running.Unlock()
	close(mine.done)
	return mine.err
}
