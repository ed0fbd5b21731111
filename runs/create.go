package runs

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/verifily/verifily-tui/runs/atomicfile"
)

// CreateOptions says what a new run starts with.
type CreateOptions struct {
	// Meta is the first run_meta.json. RunID is set by Create, StartedAt and
	// Status (running) where they are empty.
	Meta Meta
	// Fill writes what the run has from the start, such as its configuration.
	// The folder that it writes to becomes that of the run when it returns nil;
	// may be nil.
	Fill func(*Writer) error
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// draftEnd and a leading dot mark the folder of a run that is being created.
const draftEnd = ".new"

// draftAge is how old a draft must be to count as left behind by a process that
// was killed; creating a run takes a moment.
const draftAge = time.Hour

// Create makes a new run folder in root, which is made if need be, named
// run_YYYYMMDD_HHMMSS_ and six random hex digits (UTC), with run_meta.json and
// what Fill writes. The folder is whole or absent: it gets its name when all of
// that is on disk. On error nothing is left behind.
func Create(root string, opt CreateOptions) (*Writer, error) {
	now := opt.Now
	if now == nil {
		now = time.Now
	}
	started := now().UTC()
	m := opt.Meta
	if m.StartedAt == "" {
		m.StartedAt = FormatTime(started)
	}
	if m.Status == "" {
		m.Status = StatusRunning
	}
	w, err := create(root, started, m, now, opt.Fill)
	if err != nil {
		return nil, fmt.Errorf("create run: %w", err)
	}
	return w, nil
}

func create(root string, started time.Time, m Meta, now func() time.Time, fill func(*Writer) error) (*Writer, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, dirPerm); err != nil {
		return nil, err
	}
	removeDrafts(root, now())
	draft, id, err := makeDraft(root, started)
	if err != nil {
		return nil, err
	}
	discard := func() { _ = os.RemoveAll(draft) } // made just now, by us
	lock, err := lockRun(draft)
	if err != nil {
		discard()
		return nil, err
	}
	w := &Writer{id: id, dir: draft, now: now, lock: lock, opened: now()}
	// A reader that sees "running" also sees a living writer.
	writeBeat(draft, now())
	err = w.WriteMeta(m)
	if err == nil && fill != nil {
		err = fill(w)
	}
	if err == nil {
		err = w.openLog()
	}
	if err == nil {
		err = w.appear(filepath.Join(root, id))
	}
	if err != nil {
		discard()
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// makeDraft makes the folder of a new run, hidden, and says what the run is
// called. It tries new random ends of the name until one is free.
func makeDraft(root string, at time.Time) (draft, id string, err error) {
	for range 100 {
		var random [3]byte
		if _, err := rand.Read(random[:]); err != nil {
			return "", "", err
		}
		id := "run_" + at.Format("20060102_150405") + "_" + hex.EncodeToString(random[:])
		draft := filepath.Join(root, "."+id+draftEnd)
		err := os.Mkdir(draft, dirPerm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", "", err
		}
		// Whoever has the draft is alone with the name: the draft of another
		// with this name is a run by now, if there was one.
		if _, err := os.Lstat(filepath.Join(root, id)); errors.Is(err, fs.ErrNotExist) {
			return draft, id, nil
		}
		if err := os.Remove(draft); err != nil {
			return "", "", err
		}
	}
	return "", "", fmt.Errorf("no free run name in %s", root)
}

// appear gives the folder of the run its name.
func (w *Writer) appear(dir string) error {
	if err := atomicfile.SyncDir(w.dir); err != nil {
		return err
	}
	if err := os.Rename(w.dir, dir); err != nil {
		return err
	}
	w.dir = dir
	w.beat = startHeartbeat(dir, w.now)
	if err := atomicfile.SyncDir(filepath.Dir(dir)); err != nil {
		return errors.Join(err, w.Close(), os.RemoveAll(dir))
	}
	return nil
}

// removeDrafts removes what processes that were killed while they created a run
// left behind. It is tidying: what cannot be removed stays.
func removeDrafts(root string, now time.Time) {
	dir, err := os.Open(root)
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if !strings.HasPrefix(name, ".run_") || !strings.HasSuffix(name, draftEnd) {
			continue
		}
		path := filepath.Join(root, name)
		info, err := os.Lstat(path)
		if err == nil && info.IsDir() && now.Sub(info.ModTime()) > draftAge && probeLock(path) != lockHeld {
			_ = os.RemoveAll(path)
		}
	}
}
