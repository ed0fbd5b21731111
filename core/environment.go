package core

import (
	"bufio"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/verifily/verifily-tui/core/tensor"
	"github.com/verifily/verifily-tui/runs"
)

// environment describes what the bytes of a run depend on besides config and
// data: the program, its modules, the machine's kind and instruction set. It is
// found out once a process.
func environment() (runs.Environment, error) {
	e, err := findEnvironment()
	e.Packages = maps.Clone(e.Packages) // the caller's own
	return e, err
}

var findEnvironment = sync.OnceValues(func() (runs.Environment, error) {
	k, err := tensor.New()
	if err != nil {
		return runs.Environment{}, &ConfigError{Detail: detail("choose kernels", "", err)}
	}
	e := runs.Environment{
		RuntimeVersion: runtime.Version(),
		Platform:       runtime.GOOS + "/" + runtime.GOARCH,
		OS:             runtime.GOOS,
		Packages:       map[string]string{"verifily": Version()},
		CPU:            cpuModel(),
		InstructionSet: k.ISA(),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			e.Packages[dep.Path] = dep.Version
		}
	}
	return e, nil
})

// version is set by the linker for releases: -X .../core.version=v1.2.3. It is
// part of the environment, so that every release has a hash of its own; a plain
// go build is always "dev", whatever commit it is made from.
var version = "dev"

// Version is the version of this program.
func Version() string { return version }

// cpuModel is the processor's name, empty where the system does not tell.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
