package core

import (
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// modules lists the modules that packages of this one are made of.
func modules(t *testing.T, packages ...string) []*debug.Module {
	t.Helper()
	args := []string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}"}
	for _, p := range packages {
		args = append(args, "github.com/verifily/verifily-tui/"+p)
	}
	out, err := exec.Command("go", args...).Output()
	require.NoError(t, err)
	var found []*debug.Module
	for line := range strings.Lines(string(out)) {
		if path, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			found = append(found, &debug.Module{Path: path, Version: version})
		}
	}
	return found
}

// TestPackages: both programs record the modules that training and evaluation
// link, all of them and no others.
func TestPackages(t *testing.T) {
	want := map[string]string{"verifily": Version()}
	for _, m := range modules(t, "core/engine/native", "core/config", "core/dataset", "core/metrics", "runs") {
		want[m.Path] = m.Version
	}
	require.Greater(t, len(want), 5)
	for _, program := range []string{"cmd/verifily", "cmd/verifily-tui"} {
		all := modules(t, program)
		assert.Greater(t, len(all), len(want), program)
		assert.Equal(t, want, packages(all), program)
	}
}
