package tensor

import (
	"fmt"
	"os"
	"strings"
)

// ISAVariable names the environment variable that forces an instruction set.
const ISAVariable = "VERIFILY_ISA"

// instructionSet is a way to compute the kernels on this machine.
type instructionSet struct {
	name string
	make func() Kernels
}

// available lists the ways of this machine, best first; the portable one is
// always there.
func available() []instructionSet {
	return append(machineISAs(), instructionSet{"generic", func() Kernels { return &generic{} }})
}

// ISAs names the instruction sets that NewISA accepts on this machine, best
// first.
func ISAs() []string {
	var names []string
	for _, s := range available() {
		names = append(names, s.name)
	}
	return names
}

// New makes the kernels of one worker for the best instruction set of this
// machine, or for the one that VERIFILY_ISA names.
func New() (Kernels, error) {
	return NewISA(os.Getenv(ISAVariable))
}

// NewISA makes the kernels of one worker for the named instruction set; the
// empty name chooses the best one this machine has. A name that this machine
// does not have is an error that lists those it has.
func NewISA(name string) (Kernels, error) {
	sets := available()
	if name == "" {
		return sets[0].make(), nil
	}
	for _, s := range sets {
		if s.name == name {
			return s.make(), nil
		}
	}
	return nil, fmt.Errorf("%s=%q: this machine has: %s", ISAVariable, name, strings.Join(ISAs(), ", "))
}
