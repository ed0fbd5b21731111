package runs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// beatEvery is how often a writer says that it lives: often enough that a
// watcher knows within seconds, rare enough for a network file system.
const beatEvery = 3 * time.Second

// staleAfter is how old a heartbeat must be to count as stopped: several
// beats, so that a stalled disk or a suspended second does not bury a run.
const staleAfter = 20 * time.Second

// beat is the content of the heartbeat file.
type beat struct {
	PID  int       `json:"pid"`
	Host string    `json:"host"`
	Time time.Time `json:"time"`
}

// heartbeat is the goroutine that writes beats until stop.
type heartbeat struct {
	quit chan struct{}
	done sync.WaitGroup
	once sync.Once
}

func startHeartbeat(dir string, now func() time.Time) *heartbeat {
	h := &heartbeat{quit: make(chan struct{})}
	writeBeat(dir, now())
	h.done.Go(func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-h.quit:
				return
			case <-tick.C:
				writeBeat(dir, now())
			}
		}
	})
	return h
}

// stop ends the goroutine and waits for it.
func (h *heartbeat) stop() {
	h.once.Do(func() { close(h.quit) })
	h.done.Wait()
}

// writeBeat replaces the heartbeat file. It is not flushed to disk: after a
// power failure no heartbeat matters. A beat that cannot be written must not
// stop the training; on a full disk the file's time still tells.
func writeBeat(dir string, now time.Time) {
	host, _ := os.Hostname()
	data, err := json.Marshal(beat{PID: os.Getpid(), Host: host, Time: now.UTC()})
	if err != nil {
		return
	}
	path := filepath.Join(dir, beatFile)
	next := path + ".next"
	if os.WriteFile(next, data, filePerm) != nil || os.Rename(next, path) != nil {
		_ = os.Remove(next)
		_ = os.Chtimes(path, now, now)
	}
}

// readBeat returns the last beat; its time is the later of what it says and
// when the file was written. False when there is none.
func readBeat(dir string) (beat, bool) {
	path := filepath.Join(dir, beatFile)
	info, err := os.Stat(path)
	if err != nil {
		return beat{}, false
	}
	var b beat
	if data, err := readWhole(path); err != nil || json.Unmarshal(data, &b) != nil {
		b = beat{}
	}
	if info.ModTime().After(b.Time) {
		b.Time = info.ModTime()
	}
	return b, true
}
