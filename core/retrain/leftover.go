package retrain

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/verifily/verifily-tui/runs"
)

var tempPattern = regexp.MustCompile(`^\.retrain_[0-9a-f]{16}$`)

// makeTemp makes a hidden folder that becomes the directory of a retrain. It is
// locked until the file is closed, which is nil on a file system without locks.
func (p *place) makeTemp() (string, *os.File, error) {
	p.sweep()
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails: it ends the program where there is no randomness
		dir := filepath.Join(p.dir, tempPrefix+hex.EncodeToString(b[:]))
		p.temps.Store(dir, true)
		lock, err := makeLocked(dir)
		if err == nil {
			return dir, lock, nil
		}
		p.temps.Delete(dir)
		// One that is there is somebody's, and one that is gone or locked was swept
		// between the making and the lock.
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, errSwept) {
			return "", nil, err
		}
	}
}

var errSwept = errors.New("another program removes the folder")

func makeLocked(dir string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir, syscall.LOCK_EX)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
		return nil, errSwept
	}
	return lock, nil // nil on a file system without locks
}

const (
	// sweptAlways is how many entries a folder may have to be read for every
	// retrain. A larger one takes milliseconds, and is read in a tenth of the time
	// at most.
	sweptAlways = 256
	sweepShare  = 10
)

// sweep removes the hidden folders of programs that were killed, unless a large
// folder has just been read. That of one that still works is locked; where nothing
// can be locked, nothing is removed.
func (p *place) sweep() {
	if !p.sweeping.TryLock() {
		return // somebody is at it
	}
	defer p.sweeping.Unlock()
	begun := time.Now()
	if begun.Before(p.sweepAt) {
		return
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return // whoever makes a folder is told
	}
	for _, e := range entries {
		if !e.IsDir() || !tempPattern.MatchString(e.Name()) {
			continue
		}
		path := filepath.Join(p.dir, e.Name())
		if _, ours := p.temps.Load(path); ours {
			continue
		}
		if lock, err := lockFolder(path, syscall.LOCK_EX); err == nil {
			_ = os.RemoveAll(path) // hidden and harmless if it stays
			_ = lock.Close()
		}
	}
	if len(entries) > sweptAlways {
		p.sweepAt = time.Now().Add(sweepShare * time.Since(begun))
	}
}

// lockFolder locks a folder for as long as the file is open, without waiting. A
// folder that is not there any more once it is locked is fs.ErrNotExist.
func lockFolder(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err == nil {
		var locked, there fs.FileInfo
		if locked, err = f.Stat(); err == nil {
			there, err = os.Stat(path)
		}
		if err == nil && !os.SameFile(locked, there) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

// stay is the time that a retrain spends in its output folder. Whoever leaves
// as the last one removes what a training that failed has left.
type stay struct {
	out  string
	made bool     // the folder was not there before
	lock *os.File // of the folder, shared; nil on a file system without locks
}

// enter makes the output folder.
func enter(ctx context.Context, out string) (*stay, error) {
	_, err := os.Lstat(out)
	s := &stay{out: out, made: errors.Is(err, fs.ErrNotExist)}
	for {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return nil, err
		}
		lock, err := lockFolder(out, syscall.LOCK_SH)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed by one that left
		case errors.Is(err, syscall.EWOULDBLOCK): // one that leaves tidies up
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(2 * time.Millisecond):
			}
		default:
			s.lock = lock
			return s, nil
		}
	}
}

// leave tidies up after the retrain of data with the given sha256. Nothing but
// folders that are empty, and the splits of a training that failed, is removed.
func (s *stay) leave(j *job, failed bool) {
	if s.lock == nil {
		return
	}
	defer s.lock.Close()
	if syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return // somebody else is in there
	}
	// What cannot be removed is harmless, and what the caller needs to hear of is
	// why it failed.
	if j.req.Mode == ModeReal {
		removeEmpty(filepath.Join(s.out, trainedDir))
		if failed && !s.needsSplits(j.source.sum) {
			dir := splitsDir(s.out, j.source.sum)
			for _, name := range splitNames {
				_ = os.Remove(filepath.Join(dir, name))
			}
			removeEmpty(dir)
			removeEmpty(filepath.Dir(dir))
		}
	}
	if failed && s.made {
		removeEmpty(s.out)
	}
}

// removeEmpty removes a folder if it is one and empty.
func removeEmpty(dir string) {
	if info, err := os.Lstat(dir); err == nil && info.IsDir() {
		_ = os.Remove(dir)
	}
}

// needsSplits says whether a training reads the splits of a data set or has
// read them: a finished retrain is verified and repeated with them, and one that
// was killed can be resumed.
func (s *stay) needsSplits(sum string) bool {
	if _, err := os.Lstat(filepath.Join(s.out, trainedDir)); err == nil {
		return true // empty, it would be gone
	}
	entries, err := os.ReadDir(filepath.Join(s.out, "runs"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR)
	}
	for _, e := range entries {
		dir := filepath.Join(s.out, "runs", e.Name())
		if _, err := os.Lstat(filepath.Join(dir, trainedDir)); err != nil {
			continue // a mock, or none at all
		}
		run, err := runs.Open(dir)
		if err != nil {
			return true
		}
		if meta, err := run.Meta(); err != nil || meta.DataHash == "sha256:"+sum {
			return true
		}
	}
	return false
}
