package main

import (
	"os"
	"os/signal"
	"syscall"
)

var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

// checkpointSignal is what schedulers send some time before they end a job.
const checkpointSignal = syscall.SIGUSR1

// ignoreSignals makes the loss of the terminal, or of the reader of a pipe,
// nothing to end for.
func ignoreSignals() { signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE) }

// ownSession makes a process independent of the terminal.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
