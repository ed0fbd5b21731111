package runs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Names of the files of a run, relative to its folder.
const (
	metaFile        = "run_meta.json"
	configFile      = "config.yaml"
	manifestFile    = "manifest.json"
	environmentFile = "environment.json"
	logFile         = "train_log.jsonl"
	summaryFile     = "train_summary.json"
	hashesFile      = "hashes.json"
	adapterFile     = "adapter/adapter_model.safetensors"
	evalDir         = "eval"
	resultsFile     = "eval_results.json"
	hardFile        = "hard_examples.jsonl"
	predictionsFile = "predictions.jsonl"
	confusionFile   = "confusion_matrix.json"
)

const (
	filePerm = 0o644
	dirPerm  = 0o755
)

// Errors that callers tell apart.
var (
	// ErrNotRun: the folder holds no run.
	ErrNotRun = errors.New("not a run folder")
	// ErrCompleted: the run is completed and cannot be written any more.
	ErrCompleted = errors.New("the run is completed")
	// ErrIncomplete: files that a completed run must have are missing.
	ErrIncomplete = errors.New("files are missing")
	// ErrClosed: the writer was closed.
	ErrClosed = errors.New("the run is closed")
)

// Writer writes one run. It holds the run's lock until Close or Finish. Its
// methods may be called from several goroutines.
type Writer struct {
	id   string
	dir  string // absolute
	now  func() time.Time
	lock *flock.Flock
	beat *heartbeat // nil until the folder has its name

	opened  time.Time
	earlier float64 // seconds of the stretches before Reopen

	mu     sync.Mutex
	meta   Meta
	log    *os.File
	size   int64 // of the log, whole lines only
	closed bool
}

// Reopen takes up a run that stopped before it was completed, to resume it: it
// takes the lock, removes what a crash left behind (temporary files, a last
// log line without its end, hashes of a completion that did not happen), and
// marks the run as running. The errors include ErrNotRun, ErrCompleted and
// ErrLocked.
func Reopen(dir string) (*Writer, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("reopen run: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, metaFile)); errors.Is(err, os.ErrNotExist) {
		return nil, runError("reopen run", dir, fmt.Errorf("%w: it has no %s", ErrNotRun, metaFile))
	}
	lock, err := lockRun(dir)
	if err != nil {
		return nil, runError("reopen run", dir, err)
	}
	w, err := reopen(dir, lock)
	if err != nil {
		_ = unlockGone(lock) // why the run is not opened says more
		return nil, runError("reopen run", dir, err)
	}
	return w, nil
}

// runError says what was attempted with which run. It is a *fs.PathError, so
// that a caller who names both in its own words can take the cause alone.
func runError(op, dir string, err error) error { return &fs.PathError{Op: op, Path: dir, Err: err} }

func reopen(dir string, lock *flock.Flock) (*Writer, error) {
	r, err := readRecord(filepath.Join(dir, metaFile))
	if err != nil {
		return nil, err
	}
	m := metaOf(r)
	if m.Status == StatusCompleted {
		return nil, ErrCompleted
	}
	if err := clean(dir); err != nil {
		return nil, err
	}
	m.RunID = filepath.Base(dir)
	m.Status, m.CompletedAt, m.Error = StatusRunning, "", ""
	w := &Writer{id: m.RunID, dir: dir, now: time.Now, lock: lock}
	return w, w.start(m)
}

// leftover matches the temporary files of package atomicfile.
var leftover = regexp.MustCompile(`^\..+\.[a-z]+[0-9]+$`)

// clean removes what a crashed writer left behind, in all folders but those
// that others write to without the run's lock, and checkpoints/, whose writer
// knows itself what is unfinished there.
func clean(dir string) error {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && neverHashed[strings.TrimPrefix(path, dir+string(filepath.Separator))]:
			return fs.SkipDir
		case !e.IsDir() && leftover.MatchString(e.Name()):
			return remove(path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return remove(filepath.Join(dir, hashesFile))
}

// start starts the heartbeat, writes the meta data and opens the log.
func (w *Writer) start(m Meta) error {
	w.opened = w.now()
	// The heartbeat comes first: a reader that sees "running" then also sees
	// a living writer.
	w.beat = startHeartbeat(w.dir, w.now)
	err := w.WriteMeta(m)
	if err == nil {
		err = w.openLog()
	}
	if err != nil {
		w.beat.stop()
	}
	return err
}

// Dir returns the absolute path of the run folder.
func (w *Writer) Dir() string { return w.dir }

// ID returns the run id, which is the name of the folder.
func (w *Writer) ID() string { return w.id }

// Meta returns run_meta.json as last written.
func (w *Writer) Meta() Meta {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.meta
}

// WriteMeta replaces run_meta.json. The run id stays; StatusCompleted is left
// to Finish. DurationSeconds is that of the stretches before this one.
func (w *Writer) WriteMeta(m Meta) error {
	if m.Status == StatusCompleted {
		return fmt.Errorf("write %s: only Finish completes a run", w.path(metaFile))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	m.RunID = w.ID()
	data, err := m.encode()
	if err != nil {
		return fmt.Errorf("write %s: %w", w.path(metaFile), err)
	}
	if err := atomicfile.WriteBytes(w.path(metaFile), filePerm, data); err != nil {
		return err
	}
	w.meta, w.earlier = m, m.DurationSeconds
	return nil
}

// encode returns the content of run_meta.json.
func (m Meta) encode() ([]byte, error) {
	bad := nonFiniteOf(m.Metrics)
	for name, value := range m.NonFinite {
		if _, known := m.Metrics[name]; !known {
			bad[name] = value
		}
	}
	m.NonFinite = bad
	if m.Metrics == nil {
		m.Metrics = map[string]float64{}
	}
	return canonical.Indent(m)
}

// WriteConfig writes config.yaml: the full configuration as used.
func (w *Writer) WriteConfig(yaml []byte) error { return w.write(configFile, yaml) }

// WriteManifest writes manifest.json: the DatasetVersion used.
func (w *Writer) WriteManifest(manifest []byte) error { return w.write(manifestFile, manifest) }

// WriteEnvironment writes environment.json.
func (w *Writer) WriteEnvironment(e Environment) error {
	return w.writeJSON(environmentFile, e.filled())
}

// WriteSummary writes train_summary.json.
func (w *Writer) WriteSummary(s Summary) error {
	s.NonFinite = NonFinite{}
	s.NonFinite.add("final_train_loss", s.FinalTrainLoss)
	s.NonFinite.add("best_eval_loss", s.BestEvalLoss)
	return w.writeJSON(summaryFile, s)
}

func (w *Writer) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

func (w *Writer) writeJSON(name string, v any) error {
	data, err := canonical.Indent(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", w.path(name), err)
	}
	return w.write(name, data)
}

func (w *Writer) write(name string, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	return atomicfile.WriteBytes(w.path(name), filePerm, data)
}

// openLog opens train_log.jsonl for appending and cuts off a torn last line.
// The log must be a file of the run: a link would have another file written to.
func (w *Writer) openLog() error {
	path := w.path(logFile)
	if info, err := os.Lstat(path); err == nil {
		if err := regular.Check(path, info); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, filePerm)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = regular.Check(path, info)
	}
	var size int64
	if err == nil {
		size, err = wholeLines(f)
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open %s: %w", path, pathCause(err)), f.Close())
	}
	w.log, w.size = f, size
	return nil
}

// wholeLines returns the offset after the last newline.
func wholeLines(f *os.File) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	block := make([]byte, 64<<10)
	for end > 0 {
		start := max(0, end-int64(len(block)))
		n, err := f.ReadAt(block[:end-start], start)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(block[:n], '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// AppendLog adds a line to train_log.jsonl in one write call. A line that did
// not fit is taken back, so that what stands in the log is whole. An empty
// timestamp becomes now.
func (w *Writer) AppendLog(line LogLine) error {
	if line.Timestamp == "" {
		line.Timestamp = FormatTime(w.now())
	}
	data, err := line.encode()
	if err != nil {
		return fmt.Errorf("write %s: %w", w.path(logFile), err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	n, err := w.log.Write(data)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, w.log.Truncate(w.size))
		}
		return fmt.Errorf("write %s: %w", w.path(logFile), pathCause(err))
	}
	w.size += int64(len(data))
	return nil
}

// SyncLog flushes the log to disk. A checkpoint that is to be resumed from
// calls it first: the log then reaches at least as far as the checkpoint.
func (w *Writer) SyncLog() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	if err := w.log.Sync(); err != nil {
		return fmt.Errorf("flush %s: %w", w.path(logFile), pathCause(err))
	}
	return nil
}

// TruncateLogAfter cuts the log off before its first line with a step greater
// than step, so that a resumed run does not report a step twice.
func (w *Writer) TruncateLogAfter(step int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	size, err := endOfStep(w.log, step)
	if err == nil {
		err = w.log.Truncate(size)
	}
	if err == nil {
		err = w.log.Sync()
	}
	if err != nil {
		return fmt.Errorf("cut back %s: %w", w.path(logFile), pathCause(err))
	}
	w.size = size
	return nil
}

// Close stops the heartbeat and gives up the lock, leaving the status as it
// is: a run closed while running reads as interrupted. Close after Close or
// Finish does nothing.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.close()
}

func (w *Writer) close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	var err error
	if w.beat != nil {
		w.beat.stop()
	}
	if w.log != nil {
		err = w.log.Close()
	}
	return errors.Join(err, w.lock.Unlock())
}
