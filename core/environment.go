package core

import (
	"bufio"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/verifily/verifily-tui/core/tensor"
	"github.com/verifily/verifily-tui/runs"
)

// environment describes what the bytes of a run depend on besides config and
// data: the program, the modules it trains with, the machine's kind and instruction
// set. It is found out once a process.
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
		CPU:            cpuModel(),
		InstructionSet: k.ISA(),
	}
	var linked []*debug.Module
	if info, ok := debug.ReadBuildInfo(); ok {
		linked = info.Deps
	}
	e.Packages = packages(linked)
	return e, nil
})

// packages are this program and those of its modules that training uses.
func packages(linked []*debug.Module) map[string]string {
	out := map[string]string{"verifily": Version()}
	for _, m := range linked {
		if slices.Contains(trainingModules, m.Path) {
			out[m.Path] = m.Version
		}
	}
	return out
}

// trainingModules are the modules that training and evaluation link: what else
// a program links, as for a screen or a server, cannot change their bytes.
var trainingModules = []string{
	"github.com/dlclark/regexp2",
	"github.com/fsnotify/fsnotify",
	"github.com/gofrs/flock",
	"github.com/google/renameio/v2",
	"golang.org/x/sys",
	"golang.org/x/text",
	"gopkg.in/yaml.v3",
}

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
