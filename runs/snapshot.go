package runs

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// snapshot is what a run folder holds: slash path to the state of the file.
// Folders below a folder of the run, such as checkpoints, count as files.
type snapshot map[string]stamp

// isRun reports whether the folder is a run, by the rule of Open.
func (s snapshot) isRun() bool {
	for _, name := range runFiles {
		if _, ok := s[name]; ok {
			return true
		}
	}
	if _, ok := s[trainerFile]; ok {
		return true
	}
	for name := range s {
		if strings.HasPrefix(name, "checkpoint-") && strings.HasSuffix(name, "/"+trainerFile) {
			return true
		}
	}
	return false
}

// changes lists, sorted, what differs from an older snapshot.
func (s snapshot) changes(old snapshot) []string {
	var files []string
	for name, now := range s {
		if before, ok := old[name]; !ok || before != now {
			files = append(files, name)
		}
	}
	for name := range old {
		if _, ok := s[name]; !ok {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	return files
}

// snap takes a snapshot of a run, and asks for notices of its folders. It may
// run for several runs at once.
func (w *watcher) snap(name string) snapshot {
	dir := filepath.Join(w.root, name)
	s := snapshot{}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return s
	}
	for _, e := range w.entries(dir) {
		if !e.IsDir() {
			s.add(e.Name(), e)
			continue
		}
		for _, below := range w.entries(filepath.Join(dir, e.Name())) {
			s.add(e.Name()+"/"+below.Name(), below)
		}
	}
	return s
}

// add records an entry that is still there.
func (s snapshot) add(name string, e fs.DirEntry) {
	if info, err := e.Info(); err == nil {
		s[name] = stampOf(info)
	}
}

// entries lists a folder without hidden names; none if it is not there. It is
// watched before it is read, so that no change falls in between.
func (w *watcher) entries(dir string) []fs.DirEntry {
	if w.notices != nil && w.notices.Add(dir) != nil {
		if _, err := os.Stat(dir); err == nil {
			w.refused.Store(true)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return isHidden(e.Name()) })
}
