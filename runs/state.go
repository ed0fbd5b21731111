package runs

import (
	"os"
	"path/filepath"
	"time"
)

// foreignStaleAfter is how long a run that never had a heartbeat, written by
// another program, may write nothing and still count as running. A logging
// step of a large model takes minutes.
const foreignStaleAfter = 15 * time.Minute

// State returns the status of the run at a moment. It is the written status,
// except that a run written as running whose writer is gone is interrupted. A held lock shows a living writer, whatever the heartbeat says;
// a free lock with a heartbeat from this machine shows that it is gone; where
// locks cannot tell (another machine, a file system without them), a heartbeat
// older than staleAfter does. The error is that of Meta.
func (r *Run) State(now time.Time) (Status, error) {
	m, err := r.Meta()
	if err != nil {
		return "", err
	}
	return stateOf(r.dir, m.Status, now), nil
}

func stateOf(dir string, written Status, now time.Time) Status {
	if written != StatusRunning {
		return written
	}
	lock := probeLock(dir)
	if lock == lockHeld {
		return written
	}
	b, ok := readBeat(dir)
	if !ok {
		if now.Sub(lastWrite(dir)) > foreignStaleAfter || lock == lockFree {
			return StatusInterrupted
		}
		return written
	}
	if host, err := os.Hostname(); lock == lockFree && err == nil && host == b.Host {
		return StatusInterrupted
	}
	if now.Sub(b.Time) > staleAfter {
		return StatusInterrupted
	}
	return written
}

// lastWrite returns when one of the files that grow during a run was written.
func lastWrite(dir string) time.Time {
	var last time.Time
	for _, name := range []string{metaFile, logFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
