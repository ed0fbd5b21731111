//go:build !amd64

package tensor

// machineISAs lists the instruction sets of this machine that there is
// assembly for: none.
func machineISAs() []instructionSet { return nil }

func machineExact() []exactSet { return nil }
