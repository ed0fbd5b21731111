package native

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"github.com/verifily/verifily-tui/core/fault"
)

// checkMemory refuses what would take more bytes than the machine has to give.
// Without it, the program would end without a word when they are touched.
// Where the machine does not tell, nothing is refused.
func checkMemory(what string, need int64, hint string) error {
	free, known := availableMemory()
	if !known || need <= free {
		return nil
	}
	return &fault.ConfigError{Detail: fault.Detail{Op: "plan memory",
		Reason: fmt.Sprintf("%s needs %s of memory, and %s are available", what, gibibytes(need), gibibytes(free)), Hint: hint}}
}

func gibibytes(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

// availableMemory is how many bytes programs can get without swapping; known
// is false on systems that do not say.
func availableMemory() (n int64, known bool) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	return memAvailable(text)
}

// memAvailable finds that number in the text of /proc/meminfo.
func memAvailable(text []byte) (n int64, known bool) {
	_, rest, found := bytes.Cut(text, []byte("MemAvailable:"))
	fields := bytes.Fields(rest)
	if !found || len(fields) < 2 || string(fields[1]) != "kB" {
		return 0, false
	}
	n, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil || n < 0 || n > 1<<50 {
		return 0, false
	}
	return n << 10, true
}
