package jobs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Receipt says where work went that was handed over.
type Receipt struct {
	Plan  string // the plan that was written; starting it again goes on after a crash
	Batch string // folder of the batch that works on it
	Jobs  int
}

// HandOver gives what trains and what waits to a process of its own. The plan
// is written and its batch knows the run that trains; then start is asked for
// the process, which waits for the run to be let go; only then do the jobs here
// save their checkpoints and end. So a crash at any moment leaves the run to
// the other process, or as resumable as any that was interrupted. Where start
// fails everything goes on here, and nothing is left behind.
func (j *Jobs) HandOver(ctx context.Context, runsDir string, start func(ctx context.Context, plan string) error) (Receipt, error) {
	j.gate.Lock()
	defer j.gate.Unlock()
	work, err := j.settled(ctx)
	if err != nil {
		return Receipt{}, err
	}
	if len(work) == 0 {
		return Receipt{}, errors.New("nothing trains or waits here any more")
	}
	content, adopted, err := plan(work, runsDir)
	if err != nil {
		return Receipt{}, err
	}
	handed := Receipt{Jobs: len(work)}
	if handed.Plan, err = write(runsDir, content); err != nil {
		return Receipt{}, err
	}
	loaded, err := batch.Load(handed.Plan)
	if err == nil {
		handed.Batch, err = batch.Adopt(ctx, loaded, adopted)
	}
	if err == nil {
		err = start(ctx, handed.Plan)
	}
	if err != nil {
		_ = os.Remove(handed.Plan)
		if handed.Batch != "" {
			_ = os.RemoveAll(handed.Batch) // it holds what was written here alone
		}
		return Receipt{}, fmt.Errorf("hand over: %w", err)
	}
	j.mu.Lock()
	for _, w := range work {
		w.handed = true
		if !w.state.Ended() {
			w.state.Phase = Stopping
		}
		w.cancel()
	}
	j.mu.Unlock()
	j.tell()
	return handed, nil
}

// settled returns the jobs that are not over, once each of them that trains has
// a run directory and each that waits has a config.
func (j *Jobs) settled(ctx context.Context) ([]*job, error) {
	// Nothing tells that a job has got its directory but the state itself, and
	// the token of Changed is the screen's.
	const every = 20 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var work []*job
		ready := true
		j.mu.Lock()
		for _, next := range j.list {
			switch s := &next.state; {
			case s.Ended() || s.Phase == Stopping:
				continue
			case s.Phase == Waiting:
				ready = ready && (next.config != nil || next.spec.Resume != "")
			case s.Dir == "" && next.spec.Resume == "":
				next.control.Resume() // held, it would never get one
				ready = false
			}
			work = append(work, next)
		}
		j.mu.Unlock()
		if ready {
			return work, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// plan writes jobs down as a plan, which is JSON and so YAML as well, and says
// which of them have a run already.
func plan(work []*job, runsDir string) (content []byte, adopted map[string]string, err error) {
	type item struct {
		Name string         `json:"name"`
		Set  map[string]any `json:"set"`
	}
	file := struct {
		RunsDir string `json:"runs_dir"`
		Jobs    []item `json:"jobs"`
	}{RunsDir: runsDir}
	adopted = map[string]string{}
	for _, w := range work {
		dir, cfg := w.state.Dir, w.config
		if w.spec.Resume != "" {
			dir = w.spec.Resume
		}
		name := w.state.Name
		if dir != "" {
			if cfg, name, err = started(dir); err != nil {
				return nil, nil, err
			}
		}
		name = jobName(name, func(s string) bool {
			for _, i := range file.Jobs {
				if i.Name == s {
					return true
				}
			}
			return false
		})
		set := map[string]any{}
		for _, c := range config.Diff(config.Default(), cfg) {
			if c.Key != "name" && c.Key != "output.dir" {
				set[c.Key] = c.B
			}
		}
		file.Jobs = append(file.Jobs, item{name, set})
		if dir != "" {
			adopted[name] = dir
		}
	}
	content, err = canonical.Indent(file)
	return content, adopted, err
}

// started returns the config of a run, its paths as they lead to the data from
// here, and its name.
func started(dir string) (*config.Config, string, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, "", err
	}
	meta, err := run.Meta()
	if err != nil {
		return nil, "", err
	}
	cfg, err := config.Load(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return nil, "", err
	}
	here, err := os.Getwd()
	if err != nil || meta.WorkingDir == "" || meta.WorkingDir == here {
		return cfg, meta.RunName, err
	}
	for _, path := range []**string{&cfg.DataPaths.Train, &cfg.DataPaths.Val, &cfg.DataPaths.Test, &cfg.Eval.GoldSet} {
		if p := *path; p != nil && !filepath.IsAbs(*p) {
			abs := filepath.Join(meta.WorkingDir, *p)
			*path = &abs
		}
	}
	return cfg, meta.RunName, nil
}

// jobName turns the name of a run into one that a plan allows and does not
// have yet.
func jobName(name string, taken func(string) bool) string {
	const most = 80 // a plan takes 100
	var b strings.Builder
	for _, r := range name {
		switch {
		case b.Len() >= most:
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && (r == '.' || r == '_'):
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	base := strings.TrimRight(b.String(), "-")
	if base == "" {
		base = "train"
	}
	out := base
	for i := 2; taken(out); i++ {
		out = fmt.Sprintf("%s-%d", base, i)
	}
	return out
}

// write puts a plan beside the runs under a name of its own.
func write(runsDir string, content []byte) (string, error) {
	if err := os.MkdirAll(runsDir, 0o755); err != nil {
		return "", err
	}
	var random [3]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	name := "handover_" + time.Now().UTC().Format("20060102_150405") + "_" + hex.EncodeToString(random[:]) + ".yaml"
	path := filepath.Join(runsDir, name)
	return path, atomicfile.WriteBytes(path, 0o644, content)
}

// Background starts this program with a plan in a session of its own, where the
// end of the terminal does not reach it, and returns when it works on the plan.
func Background(ctx context.Context, plan string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "--batch", plan, "--detach")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) > 0 {
		return errors.New(strings.TrimPrefix(strings.TrimSpace(string(out)), "verifily-tui: "))
	}
	return err
}
