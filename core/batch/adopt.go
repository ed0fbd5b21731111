package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/verifily/verifily-tui/core/fault"
)

// Adopt makes a new batch of a plan that goes on with runs which exist already:
// dirs maps jobs of the plan to their run directories. It starts nothing and
// returns the folder of the batch; the next Run of the plan takes the runs up.
// A process may still train them: Run waits for it to let go, so whoever hands
// work over starts the process that goes on before it stops its own, and a
// crash of either at any moment loses nothing but the steps since the last
// checkpoint.
func Adopt(ctx context.Context, plan *Plan, dirs map[string]string) (dir string, err error) {
	s := &scheduler{plan: plan, opt: Options{Now: time.Now, Cores: runtime.GOMAXPROCS(0)}, byName: map[string]*state{}, asked: map[string]int{}}
	for name := range dirs {
		if !slices.ContainsFunc(plan.Jobs, func(j Job) bool { return j.Name == name && j.Config != nil }) {
			return "", &fault.ConfigError{Detail: fault.Detail{Op: "adopt run", Path: plan.Path, Reason: fmt.Sprintf("the plan trains no job %q", name)}}
		}
	}
	if s.folder, err = openFolder(plan.RunsDir, plan.Path, true, s.opt.Now); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.folder.close()) }()
	if err := s.open(ctx); err != nil {
		return s.folder.dir, err
	}
	defer func() { err = errors.Join(err, s.journal.close()) }()
	for _, st := range s.jobs {
		run := dirs[st.Name]
		w, err := s.resolve(st)
		if err != nil {
			if run == "" {
				continue // Run tells it
			}
			return s.folder.dir, err
		}
		s.number(w)
		if run == "" {
			continue
		}
		start := record{Kind: recordStart, Job: st.Name, Key: w.key, Data: w.data}
		for _, r := range []record{start, {Kind: recordRun, Job: st.Name, Run: s.below(run)}} {
			if err := s.journal.append(r); err != nil {
				return s.folder.dir, folderError(s.folder.dir, err)
			}
		}
	}
	return s.folder.dir, nil
}
