package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/text"
)

// detachedVariable tells a process that it is a batch in the background. It
// reports on descriptor 3 what it works on, and prints to a file.
const detachedVariable = "VERIFILY_TUI_DETACHED"

// outputFile is where a batch in the background prints, in its folder.
const outputFile = "output.log"

// detach starts the same command in the background and tells how to follow it.
func detach(args []string, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		report(stderr, fmt.Errorf("start in the background: %w", err))
		return batch.ExitToolError
	}
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer ready.Close()
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), detachedVariable+"=1")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = ownSession()
	err = cmd.Start()
	_ = theirs.Close() // the process has its own
	if err != nil {
		return fail(err)
	}
	// A line with the folder, or what went wrong.
	said, err := io.ReadAll(bufio.NewReader(ready))
	if err != nil {
		return fail(err)
	}
	dir, found := strings.CutPrefix(strings.TrimSpace(string(said)), "batch ")
	if !found {
		_ = cmd.Wait() // its exit code tells
		fmt.Fprint(stderr, string(said))
		if code := cmd.ProcessState.ExitCode(); code > 0 {
			return code
		}
		return batch.ExitToolError
	}
	dir = text.Escape(dir)
	fmt.Fprintf(stdout, "running in the background as process %d: %s\nfollow it:  verifily batch follow %s\nstop it:    verifily batch stop %s\n", cmd.Process.Pid, dir, dir, dir)
	return 0
}

// detached is the output of a batch in the background: a file in the folder of
// the batch, and, for errors before the first job, whoever started it.
type detached struct {
	mu    sync.Mutex
	ready *os.File // nil when whoever started it was told
	file  *os.File // nil until the folder is known
}

// Write prints to the file.
func (d *detached) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return len(p), nil
	}
	return d.file.Write(p)
}

// event takes note of the folder, and lets go of whoever started the batch
// when its jobs begin.
func (d *detached) event(ev batch.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ev.Kind == batch.EventBatch {
		f, err := os.OpenFile(filepath.Join(ev.Batch, outputFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err == nil {
			d.file = f
		}
	}
	if d.ready == nil || ev.Kind == batch.EventBatch || ev.Kind == batch.EventNote {
		return
	}
	if d.file != nil {
		_, _ = io.WriteString(d.ready, "batch "+filepath.Dir(d.file.Name())+"\n") // it may be gone
	}
	_ = d.ready.Close()
	d.ready = nil
}

// problems is where errors go: to the file and to whoever started the batch.
type problems struct{ *detached }

func (p problems) Write(data []byte) (int, error) {
	p.mu.Lock()
	if p.ready != nil {
		_, _ = p.ready.Write(data) // it may be gone
	}
	p.mu.Unlock()
	return p.detached.Write(data)
}
