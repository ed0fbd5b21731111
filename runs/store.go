package runs

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Entry is a run in a listing.
type Entry struct {
	Name     string // name of the folder
	Dir      string // path of the folder: the root as given to the store, cleaned, and Name
	Kind     Kind
	Meta     Meta      // shared between listings: not to be changed
	Status   Status    // as State tells at the time of the listing
	Modified time.Time // when the meta data, or else the folder, was last written
	// Err says why Meta could not be read; the other fields are set all the
	// same.
	Err error
}

// Store lists the runs in a folder. It remembers what it read and reads a file
// again only when its time or size changed. A Store may be used from several
// goroutines.
type Store struct {
	root string

	mu    sync.Mutex
	known map[string]cached
}

// cached is an entry and the stamp of the file it was read from.
type cached struct {
	stamp stamp
	entry Entry
}

// NewStore returns a store over the run folders directly below root.
func NewStore(root string) *Store { return &Store{root: root} }

// List returns the runs directly below root, newest first: by the time they
// started, then by name. Folders that are no runs and hidden folders are left
// out. A root that does not exist has no runs.
func List(root string) ([]Entry, error) { return NewStore(root).List() }

// List is like the function List, and faster from the second time on.
func (s *Store) List() ([]Entry, error) {
	// A root that is a pipe must not be waited for.
	dir, err := os.OpenFile(s.root, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list runs in %s: %w", s.root, pathCause(err))
	}
	names, err := dir.Readdirnames(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, fmt.Errorf("list runs in %s: %w", s.root, err)
	}
	s.mu.Lock()
	known := s.known
	s.mu.Unlock()

	now := time.Now()
	found := make([]cached, len(names))
	isRun := make([]bool, len(names))
	forEach(len(names), func(i int) {
		if !strings.HasPrefix(names[i], ".") {
			found[i], isRun[i] = s.look(names[i], known, now)
		}
	})

	next := make(map[string]cached, len(names))
	entries := make([]Entry, 0, len(names))
	for i, c := range found {
		if isRun[i] {
			next[names[i]] = c
			entries = append(entries, c.entry)
		}
	}
	s.mu.Lock()
	s.known = next
	s.mu.Unlock()
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.started(), a.started()), cmp.Compare(b.Name, a.Name))
	})
	return entries, nil
}

// started returns the start in a form that sorts; foreign runs do not know it.
func (e *Entry) started() string {
	if e.Meta.StartedAt != "" {
		return e.Meta.StartedAt
	}
	return FormatTime(e.Modified)
}

// forEach calls do(0) to do(n-1), in no order, on all processors.
func forEach(n int, do func(int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	workers.Wait()
}

// look reads one folder, or takes what is known of it.
func (s *Store) look(name string, known map[string]cached, now time.Time) (cached, bool) {
	dir := filepath.Join(s.root, name)
	old, isKnown := known[name]
	c := cached{entry: Entry{Name: name, Dir: dir, Kind: KindRun}}
	path := dir + string(filepath.Separator) + metaFile
	if isKnown && old.entry.Kind == KindTrainer && !isFile(path) {
		path = trainerStatePath(dir)
	}
	if isKnown && path != "" {
		if info, err := os.Stat(path); err == nil && stampOf(info) == old.stamp {
			if old.entry.Kind == KindRun {
				old.entry.Status = stateOf(dir, old.entry.Meta.Status, now)
			}
			return old, true
		}
	}
	data, info, err := readSmall(dir + string(filepath.Separator) + metaFile)
	switch {
	case err == nil:
		c.stamp, c.entry.Modified = stampOf(info), info.ModTime()
		c.entry.Meta, _, c.entry.Err = decodeMeta(data)
		c.entry.Status = stateOf(dir, c.entry.Meta.Status, now)
	case errors.Is(err, os.ErrNotExist):
		return s.lookDeeper(c)
	case errors.Is(err, errNotFolder):
		return c, false // a file among the folders
	default:
		c.entry.Err = err
	}
	if c.entry.Err != nil {
		c.entry.Err = fmt.Errorf("read %s: %w", filepath.Join(dir, metaFile), pathCause(c.entry.Err))
	}
	c.fill()
	return c, true
}

// fill sets the run id of a run that does not tell it.
func (c *cached) fill() {
	if c.entry.Meta.RunID == "" {
		c.entry.Meta.RunID = c.entry.Name
	}
}

// lookDeeper judges a folder without run_meta.json.
func (s *Store) lookDeeper(c cached) (cached, bool) {
	kind, ok := kindOf(c.entry.Dir)
	if !ok {
		return c, false
	}
	c.entry.Kind = kind
	if kind == KindRun {
		if info, err := os.Stat(c.entry.Dir); err == nil {
			c.entry.Modified = info.ModTime()
		}
		c.entry.Err = fmt.Errorf("read %s: %w", filepath.Join(c.entry.Dir, metaFile), os.ErrNotExist)
		c.fill()
		return c, true
	}
	path := trainerStatePath(c.entry.Dir)
	info, err := os.Stat(path)
	if err == nil {
		c.stamp, c.entry.Modified = stampOf(info), info.ModTime()
		var t *trainerState
		if t, err = readTrainerState(c.entry.Dir); err == nil {
			c.entry.Meta = t.meta(c.entry.Dir)
			c.entry.Status = c.entry.Meta.Status
		}
	}
	c.entry.Err = err
	c.fill()
	return c, true
}
