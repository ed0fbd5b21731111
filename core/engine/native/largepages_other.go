//go:build !linux

package native

// inLargePages does nothing where programs have no say.
func inLargePages(x []float32) []float32 { return x }
