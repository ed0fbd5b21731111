package retrain

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/verifily/verifily-tui/runs/atomicfile"
)

// subfolders are those of a retrain that hold files.
var subfolders = []string{"eval", "decision"}

// ending is a retrain that is written and waits to be on disk under its name.
type ending struct {
	temp, final string
	files       []string // written since
	err         error
}

// end brings a retrain to disk and gives it its name, together with others that
// end at the time. A name that is taken is fs.ErrExist.
func (p *place) end(e *ending) error {
	// Whoever waits must not leave before it is known whether the name was given.
	if err := p.endings.do(context.Background(), e, p.endAll); err != nil {
		return err
	}
	return e.err
}

// endAll never gives up.
func (p *place) endAll(_ context.Context, all []*ending) error {
	p.flush(all)
	for _, e := range all {
		if e.err == nil {
			e.err = publish(e.temp, e.final)
		}
	}
	if err := atomicfile.SyncDir(p.dir); err != nil {
		for _, e := range all {
			if e.err == nil {
				e.err = errors.Join(err, os.RemoveAll(e.final))
			}
		}
	}
	return nil
}

// costs is how long flushing has taken lately: the whole file system, which also
// waits for what other programs wrote, and the files of one retrain, each of
// which waits for the disk a few times.
type costs struct{ whole, each time.Duration }

const (
	// costsKept is how much of a cost is made of those before.
	costsKept = 0.75
	// forgotten is what is left of the cost of the way that was not taken, so that
	// it is tried again after some dozen groups.
	forgotten = 0.97
)

// better says that flushing the whole file system costs less for n retrains. At
// first, and on a system that cannot do it, it does not.
func (c *costs) better(n int) bool { return c.whole < time.Duration(n)*c.each }

func (c *costs) took(whole bool, d time.Duration) {
	learn := func(used, other *time.Duration) {
		*used = time.Duration(costsKept*float64(*used) + (1-costsKept)*float64(d))
		*other = time.Duration(forgotten * float64(*other))
	}
	if whole {
		learn(&c.whole, &c.each)
	} else {
		learn(&c.each, &c.whole)
	}
}

// flush brings retrains to disk, but not their names, the way that takes less.
func (p *place) flush(all []*ending) {
	begun := time.Now()
	if len(all) > 1 && p.costs.better(len(all)) {
		err := flushFileSystem(p.dir)
		if !errors.Is(err, errors.ErrUnsupported) {
			for _, e := range all {
				e.err = err
			}
			p.costs.took(true, time.Since(begun))
			return
		}
	}
	for some := all; len(some) > 0; some = some[min(len(some), flushedAtOnce):] {
		flushFiles(some[:min(len(some), flushedAtOnce)])
	}
	p.costs.took(false, time.Since(begun)/time.Duration(len(all)))
}

// flushedAtOnce bounds how many retrains have their dozen files open at once.
const flushedAtOnce = 32

// flushFiles flushes the files of retrains and the folders that they are in.
func flushFiles(some []*ending) {
	open := make([][]*os.File, len(some))
	for i, e := range some {
		open[i], e.err = e.start()
	}
	for i, e := range some {
		for _, f := range open[i] {
			e.err = errors.Join(e.err, f.Sync(), f.Close())
		}
		for _, sub := range subfolders {
			e.err = errors.Join(e.err, atomicfile.SyncDir(filepath.Join(e.temp, sub)))
		}
		e.err = errors.Join(e.err, atomicfile.SyncDir(e.temp))
	}
}

// start opens the files and lets the disk begin to write all of them.
func (e *ending) start() (open []*os.File, err error) {
	for _, path := range e.files {
		f, err := os.Open(path)
		if err != nil {
			return open, err
		}
		startWriting(f)
		open = append(open, f)
	}
	return open, nil
}
