package runs

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// EventKind says what happened to a run.
type EventKind string

// The kinds of events.
const (
	RunAppeared EventKind = "appeared"
	RunChanged  EventKind = "changed"
	RunGone     EventKind = "gone"
)

// Event is a change below the watched folder. Events of one run that were not
// taken yet melt into one, so a slow reader loses none and is never flooded.
type Event struct {
	Kind EventKind
	Run  string // name of the folder
	Dir  string // path of the folder: the root as given to Watch, cleaned, and Run
	// Files lists, sorted, the slash paths relative to Dir of what is new,
	// changed or removed: files of the run and of its folders, and the names of
	// checkpoints. Hidden files are left out. Empty for RunGone.
	Files []string
}

// WatchOptions tunes Watch; the zero value is right for a local disk.
type WatchOptions struct {
	// Poll looks at the files instead of asking the kernel for changes, as
	// network file systems need it.
	Poll bool
	// Interval is the time between two looks while polling; 0 means 2 s. Looks
	// that take long are spread out further.
	Interval time.Duration
	// Settle is how long changes are gathered before they are told; 0 means
	// 100 ms.
	Settle time.Duration
}

// safetyInterval is how often the files are looked at although the kernel
// reports changes: it may lose some when very many come at once.
const safetyInterval = 30 * time.Second

// pollShare bounds the time spent looking to a tenth of one processor.
const pollShare = 10

// Watch tells of runs that appear directly below root, change and go, until
// ctx ends; then the channel is closed. Runs that are there already are not
// told of: who lists the runs after Watch has returned misses nothing. The
// root need not exist yet. Where the kernel cannot watch - too many folders, a
// file system without notices - the files are polled.
func Watch(ctx context.Context, root string, opt WatchOptions) (<-chan Event, error) {
	if info, err := os.Stat(root); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("watch %s: not a folder", root)
	}
	if opt.Interval <= 0 {
		opt.Interval = 2 * time.Second
	}
	if opt.Settle <= 0 {
		opt.Settle = 100 * time.Millisecond
	}
	w := &watcher{
		root: root, opt: opt, out: make(chan Event),
		runs: map[string]snapshot{}, dirty: map[string]bool{}, pending: map[string]*Event{},
	}
	w.lookAtAll()
	clear(w.pending)
	w.order = nil
	go w.loop(ctx)
	return w.out, nil
}

// watcher compares what stands on disk with what stood there before. Notices
// of the kernel and ticks of the poll only say where to look.
type watcher struct {
	root string
	opt  WatchOptions
	out  chan Event

	notices *fsnotify.Watcher // nil while polling
	broken  bool              // the kernel cannot watch this root
	refused atomic.Bool       // a folder could not be watched

	runs     map[string]snapshot
	dirty    map[string]bool // runs to look at
	allDirty bool            // the root to look at, and all runs

	pending map[string]*Event // by run
	order   []string          // runs with a pending event, oldest first
}

func (w *watcher) loop(ctx context.Context) {
	defer close(w.out)
	defer w.stopNotices()
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	settling := false
	arm := func() {
		if !settling {
			settling = true
			settle.Reset(w.opt.Settle)
		}
	}
	notified := w.notices != nil
	poll := time.NewTimer(w.interval(0))
	defer settle.Stop()
	defer poll.Stop()
	for {
		var out chan Event
		var first Event
		if len(w.order) > 0 {
			out, first = w.out, *w.pending[w.order[0]]
		}
		var notices chan fsnotify.Event
		var faults chan error
		if w.notices != nil {
			notices, faults = w.notices.Events, w.notices.Errors
		}
		select {
		case <-ctx.Done():
			return
		case out <- first:
			delete(w.pending, w.order[0])
			w.order = w.order[1:]
		case n := <-notices:
			if w.mark(n) {
				arm()
			}
		case <-faults: // some notices are lost
			w.allDirty = true
			arm()
		case <-settle.C:
			settling = false
			w.look()
		case <-poll.C:
			start := time.Now()
			w.lookAtAll()
			poll.Reset(w.interval(time.Since(start)))
		}
		if notified != (w.notices != nil) {
			notified = !notified
			poll.Reset(w.interval(0))
		}
	}
}

// interval is the time to the next full look after one that took so long.
func (w *watcher) interval(took time.Duration) time.Duration {
	if w.notices != nil {
		return max(safetyInterval, pollShare*took)
	}
	return max(w.opt.Interval, pollShare*took)
}

// mark notes where a notice tells to look.
func (w *watcher) mark(n fsnotify.Event) bool {
	if n.Op == fsnotify.Chmod || n.Op == 0 {
		return false
	}
	rel, err := filepath.Rel(w.root, n.Name)
	if err != nil || rel == "." {
		// The root itself was moved or removed: what is watched is no longer
		// what stands under its name.
		w.stopNotices()
		w.allDirty = true
		return true
	}
	parts := strings.Split(rel, string(filepath.Separator))
	if isHidden(parts[0]) || isHidden(parts[len(parts)-1]) {
		return false
	}
	w.dirty[parts[0]] = true
	return true
}

func isHidden(name string) bool { return strings.HasPrefix(name, ".") }

// look looks where notices told to.
func (w *watcher) look() {
	if w.allDirty {
		w.lookAtAll()
		return
	}
	names := slices.Sorted(maps.Keys(w.dirty))
	clear(w.dirty)
	w.lookAt(names)
}

// lookAtAll looks at every folder below the root.
func (w *watcher) lookAtAll() {
	w.allDirty = false
	clear(w.dirty)
	_, err := os.Stat(w.root)
	if err != nil {
		w.stopNotices() // they would watch a folder that is no longer here
	} else {
		w.startNotices()
	}
	names := map[string]bool{}
	if entries, err := os.ReadDir(w.root); err == nil {
		for _, e := range entries {
			if !isHidden(e.Name()) && (e.IsDir() || e.Type()&os.ModeSymlink != 0) {
				names[e.Name()] = true
			}
		}
	}
	for name := range w.runs {
		names[name] = true
	}
	w.lookAt(slices.Sorted(maps.Keys(names)))
}

// lookAt compares runs with what is known of them.
func (w *watcher) lookAt(names []string) {
	now := make([]snapshot, len(names))
	forEach(len(names), func(i int) { now[i] = w.snap(names[i]) })
	if w.refused.Load() && !w.broken {
		w.broken = true
		w.stopNotices()
	}
	for i, name := range names {
		old, was := w.runs[name]
		switch is := now[i].isRun(); {
		case is && was:
			if files := now[i].changes(old); len(files) > 0 {
				w.tell(RunChanged, name, files)
			}
		case is:
			w.tell(RunAppeared, name, now[i].changes(nil))
		case was:
			w.tell(RunGone, name, nil)
		}
		if now[i].isRun() {
			w.runs[name] = now[i]
		} else {
			delete(w.runs, name)
		}
	}
}

// tell melts an event into what is still pending for the run.
func (w *watcher) tell(kind EventKind, name string, files []string) {
	e := w.pending[name]
	if e == nil {
		w.pending[name] = &Event{Kind: kind, Run: name, Dir: filepath.Join(w.root, name), Files: files}
		w.order = append(w.order, name)
		return
	}
	switch {
	case kind == RunGone && e.Kind == RunAppeared: // never told of
		delete(w.pending, name)
		w.order = slices.DeleteFunc(w.order, func(n string) bool { return n == name })
	case kind == RunGone:
		e.Kind, e.Files = RunGone, nil
	case e.Kind == RunGone: // came back before it was told gone
		e.Kind, e.Files = RunChanged, files
	default:
		e.Files = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(e.Files), files...))))
	}
}

// startNotices asks the kernel for notices of the root, if it is not asked
// yet. Folders of runs follow as they are looked at.
func (w *watcher) startNotices() {
	if w.opt.Poll || w.broken || w.notices != nil {
		return
	}
	notices, err := fsnotify.NewWatcher()
	if err != nil {
		w.broken = true
		return
	}
	if notices.Add(w.root) != nil {
		_ = notices.Close()
		w.broken = true
		return
	}
	w.notices = notices
}

func (w *watcher) stopNotices() {
	if w.notices != nil {
		_ = w.notices.Close() // nothing is left that could be done
		w.notices = nil
	}
}
