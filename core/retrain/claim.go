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

// maxNumber is beyond any number that retrains came to by counting: a counter or a
// folder with a larger one was not written by them.
const maxNumber = 1_000_000_000

// claim is a number that somebody waits for.
type claim struct {
	number int
	err    error
}

// takeNumber gives out the next free number of a folder of retrains. A number
// is given out once, to one caller of one process.
func (p *place) takeNumber(ctx context.Context) (int, error) {
	c := &claim{}
	if err := p.numbers.do(ctx, c, p.giveOut); err != nil {
		return 0, err
	}
	return c.number, c.err
}

// giveOut gives out a number to each who waits for one.
func (p *place) giveOut(ctx context.Context, claims []*claim) error {
	unlock, err := p.lockCounter(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = errors.Join(p.nextNumbers(claims), unlock())
	}
	for _, c := range claims {
		c.err = err
	}
	return nil
}

// lockCounter takes the lock that keeps processes apart. A file system without
// locks is used without: the numbers stay unique there too, since a directory
// never replaces another.
func (p *place) lockCounter(ctx context.Context) (unlock func() error, err error) {
	l := flock.New(filepath.Join(p.dir, counterFile), flock.SetPermissions(0o644),
		flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NONBLOCK)) // a pipe is not waited for
	ok, err := l.TryLockContext(ctx, 2*time.Millisecond)
	if !ok && ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), l.Close())
	}
	var denied *fs.PathError
	if !ok && errors.As(err, &denied) && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)) {
		return nil, fmt.Errorf("lock %s: %w", p.dir, err)
	}
	return l.Close, nil
}

// nextNumbers reads the counter, passes over directories that other programs
// made, and writes the counter back. A counter that is not there, that a crash
// left empty or that is none is found again from the directories.
func (p *place) nextNumbers(claims []*claim) error {
	path := filepath.Join(p.dir, counterFile)
	const most = 64 // bytes: it is a number
	data, err := regular.Read(path, most)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || last < 0 || last > maxNumber {
		if last, err = lastNumber(p.dir); err != nil {
			return err
		}
	}
	for _, c := range claims {
		for {
			last++
			_, err := os.Lstat(filepath.Join(p.dir, fmt.Sprintf(numberedName, last)))
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err != nil {
				return err
			}
		}
		c.number = last
	}
	return os.WriteFile(path, []byte(strconv.Itoa(last)+"\n"), 0o644)
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
		if n, err := strconv.Atoi(digits); ok && err == nil && n <= maxNumber {
			last = max(last, n)
		}
	}
	return last, nil
}
