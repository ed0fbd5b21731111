//go:build !amd64

package tensor

// machineISAs lists the instruction sets of this machine that there is
// assembly for: none.
func machineISAs() []instructionSet { return nil }

func (p Philox) dropoutVectors(_, _ []float32, _ uint64, _ uint32, _ float32) int { return 0 }
