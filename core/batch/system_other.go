//go:build !linux && !darwin

package batch

import (
	"math"
	"os"
	"syscall"
)

// signalZero asks whether a process is there.
func signalZero(p *os.Process) error { return p.Signal(syscall.Signal(0)) }

// freeBytes is what a user can still write where dir is; it is not known here.
func freeBytes(string) (int64, error) { return math.MaxInt64, nil }

// killedBy returns the signal that ended a process; it is not known here.
func killedBy(*os.ProcessState) syscall.Signal { return 0 }
