package core_test

import (
	"bufio"
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/verifily/verifily-tui/"

// screen lists the packages that only the screens may import.
var screen = []string{
	"github.com/charmbracelet/bubbletea", "github.com/charmbracelet/lipgloss",
	"github.com/charmbracelet/bubbles", "github.com/NimbleMarkets/ntcharts",
}

// floors is the house from the bottom up: a package may import its own floor
// and those below.
var floors = []string{"runs", "core", "tui", "cmd"}

func floor(pkg string) int {
	top, _, _ := strings.Cut(strings.TrimPrefix(pkg, module), "/")
	for i, f := range floors {
		if top == f {
			return i
		}
	}
	return -1
}

// TestImportsPointDown holds every package, with its tests, to the floors.
func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f",
		`{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}`, module+"...").Output()
	require.NoError(t, err)
	packages := 0
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		pkg, imports := fields[0], fields[1:]
		if floor(pkg) < 0 {
			continue // generators under scripts
		}
		packages++
		for _, imp := range imports {
			if strings.HasPrefix(imp, module) {
				assert.LessOrEqual(t, floor(imp), floor(pkg), "%s imports %s", pkg, imp)
			}
			for _, s := range screen {
				if strings.HasPrefix(imp, s) {
					assert.Equal(t, "tui", floors[floor(pkg)], "%s imports %s", pkg, imp)
				}
			}
		}
	}
	assert.Greater(t, packages, 10)
}
