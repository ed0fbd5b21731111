package jobs

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// hostIdentity names what process ids are unique in: this boot of this machine,
// and the process namespace, since containers of one machine do not see each
// other's processes. Empty when it cannot be told.
func hostIdentity() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + namespace
}

// processBorn tells a process from another one that had the same id before: the
// tick of the machine at which it started. Empty when there is no such process,
// or it is dead and only not yet collected.
func processBorn(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name, in parentheses, may hold anything.
	_, rest, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := strings.Fields(string(rest))
	const state, starttime = 0, 19 // counted from the field after the name
	if !ok || len(fields) <= starttime || fields[state] == "Z" || fields[state] == "X" {
		return ""
	}
	return fields[starttime]
}
