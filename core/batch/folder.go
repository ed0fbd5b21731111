package batch

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Names in the folder of a batch.
const (
	planFile    = "plan.yaml"
	infoFile    = "batch.json"
	jobsFile    = "jobs.json"
	journalFile = "journal.jsonl"
	jobsDir     = "jobs" // what the processes of jobs wrote to standard error
	lockFile    = ".lock"
	holderFile  = ".holder"
)

// mostOfFile bounds what is read of a file in the folder of a batch, in bytes: a
// journal of ten thousand jobs has some megabytes a start.
const mostOfFile = 1 << 30

// resultsFile is what an evaluation leaves in its folder.
const resultsFile = "eval_results.json"

// Info is batch.json: what a batch is.
type Info struct {
	BatchID string `json:"batch_id"`
	// PlanPath is the absolute path of the plan: a second start of the same
	// file goes on with the batch.
	PlanPath  string `json:"plan_path"`
	CreatedAt string `json:"created_at"`
	// Number counts the batches of a plan from 1: clocks may step back.
	Number int `json:"number"`
}

// folder is the directory of a batch, locked.
type folder struct {
	dir  string
	info Info
	old  bool // it was there before
	lock *flock.Flock
	beat *beat
	// replaced is the holder that ended without giving the lock up, if any.
	replaced *Holder
}

// Holder says which process works on a batch.
type Holder struct {
	Host string    `json:"host"`
	PID  int       `json:"pid"`
	Time time.Time `json:"time"` // when it was last known to live
}

// The holder of a batch writes that it lives every beatEvery; where locks
// cannot be trusted, it counts as gone when it has not for staleAfter.
const (
	beatEvery  = 5 * time.Second
	staleAfter = 30 * time.Second
)

// lookersHold is longer than anybody holds the lock of a batch who only looks
// whether it is held.
const lookersHold = 200 * time.Millisecond

// openFolder finds the newest batch of a plan in the folder of the runs, or
// makes one, and takes its lock.
func openFolder(runsDir, planPath string, fresh bool, now func() time.Time) (*folder, error) {
	planPath, err := filepath.Abs(planPath)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(runsDir, 0o755); err != nil {
		return nil, folderError(runsDir, err)
	}
	// Two starts at the same moment must not make a batch each.
	gate := flock.New(filepath.Join(runsDir, ".batch.lock"))
	if err := gate.Lock(); err != nil {
		return nil, folderError(runsDir, err)
	}
	defer gate.Unlock()
	f, err := findFolder(runsDir, planPath)
	if err != nil {
		return nil, err
	}
	if f == nil || fresh {
		number := 1
		if f != nil {
			number += f.info.Number
		}
		if f, err = makeFolder(runsDir, planPath, number, now()); err != nil {
			return nil, folderError(runsDir, err)
		}
	}
	return f, f.acquire(now)
}

// errDamaged: a file of a batch does not hold what this program wrote.
var errDamaged = errors.New("not as it was written")

func folderError(path string, err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		path, err = p.Path, p.Err
	}
	hint := "check free space and permissions"
	if errors.Is(err, errDamaged) {
		hint = "the file is damaged; --new starts another batch of the plan"
	}
	return &fault.TrainingError{Detail: fault.Detail{Op: "open batch", Path: path, Err: err, Hint: hint}}
}

// findFolder returns the batch of the plan with the highest number, nil when
// there is none.
func findFolder(runsDir, planPath string) (*folder, error) {
	list, err := List(runsDir)
	if err != nil {
		return nil, err
	}
	var newest *folder
	planPath = place(planPath)
	for _, b := range list {
		if place(b.PlanPath) == planPath && (newest == nil || b.Number > newest.info.Number) {
			newest = &folder{dir: filepath.Join(runsDir, b.BatchID), info: b, old: true}
		}
	}
	return newest, nil
}

// place is a path as the file system has its folder, so that it is the same by
// whatever way one came there. A plan that is a link itself keeps its name: it
// may be led elsewhere.
func place(path string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path
	}
	return filepath.Join(dir, filepath.Base(path))
}

// List returns the batches in a folder of runs, by name. Folders that hold no
// readable batch are left out.
func List(runsDir string) ([]Info, error) {
	entries, err := os.ReadDir(runsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, folderError(runsDir, err)
	}
	var out []Info
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "batch_") {
			continue
		}
		var info Info
		data, err := regular.Read(filepath.Join(runsDir, e.Name(), infoFile), mostOfFile)
		if err == nil && json.Unmarshal(data, &info) == nil {
			info.BatchID = e.Name()
			out = append(out, info)
		}
	}
	return out, nil
}

// makeFolder makes the folder of a new batch; it counts only once batch.json
// is in it.
func makeFolder(runsDir, planPath string, number int, at time.Time) (*folder, error) {
	at = at.UTC()
	for range 100 {
		var random [3]byte
		if _, err := rand.Read(random[:]); err != nil {
			return nil, err
		}
		name := "batch_" + at.Format("20060102_150405") + "_" + hex.EncodeToString(random[:])
		dir := filepath.Join(runsDir, name)
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f := &folder{dir: dir, info: Info{BatchID: name, PlanPath: planPath, CreatedAt: runs.FormatTime(at), Number: number}}
		err = errors.Join(os.Mkdir(filepath.Join(dir, jobsDir), 0o755), f.writeJSON(infoFile, f.info), atomicfile.SyncDir(runsDir))
		if err != nil {
			_ = os.RemoveAll(dir) // it would hold nothing
		}
		return f, err
	}
	return nil, fmt.Errorf("no free batch name in %s", runsDir)
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *folder) writeJSON(name string, v any) error {
	data, err := canonical.Indent(v)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(f.path(name), 0o644, data)
}

// acquire takes the lock. The kernel frees the lock of a process that ended;
// where another machine holds the batch, or the file system has no locks, its
// heartbeat tells.
func (f *folder) acquire(now func() time.Time) error {
	here, err := os.Hostname()
	if err != nil {
		return folderError(f.dir, err)
	}
	holder, held := readHolder(f.dir)
	// Anybody may ask whether it is held, and holds it for a moment to do so.
	f.lock = flock.New(f.path(lockFile), flock.SetPermissions(0o644))
	soon, cancel := context.WithTimeout(context.Background(), lookersHold)
	defer cancel()
	got, err := f.lock.TryLockContext(soon, lookersHold/20)
	locks := err == nil || errors.Is(err, context.DeadlineExceeded)
	busy := locks && !got
	if held && !busy {
		alive := sinceBeat(f.dir) < staleAfter
		switch {
		case holder.Host != here:
			busy = alive
		case !locks:
			busy = alive && processAlive(holder.PID)
		}
	}
	if busy {
		_ = f.lock.Close() // it was not taken, or is given back
		reason := "another process works on this batch"
		if held {
			reason = fmt.Sprintf("process %d on %s works on this batch", holder.PID, holder.Host)
		}
		return &fault.ConfigError{Detail: fault.Detail{Op: "open batch", Path: f.dir, Reason: reason,
			Hint: "wait for it, stop it, or start another batch of the plan with --new"}}
	}
	if held {
		f.replaced = &holder
	}
	f.takeStop() // it was meant for an earlier start: nobody is seen to work yet
	f.beat = startBeat(f.dir, here, now)
	return nil
}

// sinceBeat is how long ago the holder's file was written, by the clock of the
// file system: those of two machines may differ.
func sinceBeat(dir string) time.Duration {
	probe := filepath.Join(dir, holderFile+".probe")
	if os.WriteFile(probe, nil, 0o644) != nil {
		return 0
	}
	defer os.Remove(probe)
	last, err := os.Stat(filepath.Join(dir, holderFile))
	fresh, ferr := os.Stat(probe)
	if err != nil || ferr != nil {
		return 0
	}
	return fresh.ModTime().Sub(last.ModTime())
}

func processAlive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = signalZero(p)
	return err == nil || errors.Is(err, fs.ErrPermission)
}

// readHolder returns who works, or worked until it was killed, on a batch.
func readHolder(dir string) (Holder, bool) {
	path := filepath.Join(dir, holderFile)
	var h Holder
	data, err := regular.Read(path, mostOfFile)
	if err != nil || json.Unmarshal(data, &h) != nil || h.PID == 0 {
		return Holder{}, false
	}
	return h, true
}

// close gives the batch up.
func (f *folder) close() error {
	f.beat.stop()
	err := os.Remove(f.path(holderFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // somebody removed it, or the batch
	}
	return errors.Join(err, f.lock.Close())
}

// beat is the goroutine that says who holds the batch.
type beat struct {
	quit chan struct{}
	done sync.WaitGroup
}

func startBeat(dir, host string, now func() time.Time) *beat {
	b := &beat{quit: make(chan struct{})}
	write := func() {
		data, err := json.Marshal(Holder{Host: host, PID: os.Getpid(), Time: now().UTC()})
		next := filepath.Join(dir, holderFile+".next")
		// A beat that cannot be written must not stop the batch.
		if err == nil && os.WriteFile(next, data, 0o644) == nil {
			_ = os.Rename(next, filepath.Join(dir, holderFile))
		}
	}
	write()
	b.done.Go(func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-b.quit:
				return
			case <-tick.C:
				write()
			}
		}
	})
	return b
}

func (b *beat) stop() {
	close(b.quit)
	b.done.Wait()
}

// keepPlan puts the plan as run into the folder; an earlier version of it
// stays as plan-1.yaml and so on.
func (f *folder) keepPlan(source []byte) error {
	old, err := regular.Read(f.path(planFile), mostOfFile)
	switch {
	case err == nil && string(old) == string(source):
		return nil
	case err == nil:
		for i := 1; ; i++ {
			name := f.path(fmt.Sprintf("plan-%d.yaml", i))
			if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
				if err := atomicfile.WriteBytes(name, 0o644, old); err != nil {
					return err
				}
				break
			}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return atomicfile.WriteBytes(f.path(planFile), 0o644, source)
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
