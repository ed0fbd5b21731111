//go:build !linux

package jobs

// hostIdentity is not known here: the lease decides which process is dead.
func hostIdentity() string { return "" }

func processBorn(int) string { return "" }
