package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Registry holds the engines a program was built with, by name.
type Registry map[string]Trainer

// NewRegistry registers trainers under their own names.
func NewRegistry(trainers ...Trainer) Registry {
	r := Registry{}
	for _, t := range trainers {
		r[t.Name()] = t
	}
	return r
}

// Get returns the trainer with this name.
func (r Registry) Get(name string) (Trainer, error) {
	if t, ok := r[name]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("unknown engine %q: this program has %s",
		name, strings.Join(slices.Sorted(maps.Keys(r)), ", "))
}
