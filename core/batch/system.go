//go:build linux || darwin

package batch

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalZero asks whether a process is there.
func signalZero(p *os.Process) error { return p.Signal(syscall.Signal(0)) }

// freeBytes is what a user can still write where dir is.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// killedBy returns the signal that ended a process, 0 if it ended by itself.
func killedBy(s *os.ProcessState) syscall.Signal {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return w.Signal()
	}
	return 0
}
