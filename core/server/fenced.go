package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server/roots"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/work"
)

// Fenced returns handlers that check the paths of a job once more when it runs:
// it may have waited long, and links may have changed since it was taken.
func Fenced(kinds map[string]jobs.Handler, allowed *roots.Set, runsDir string) map[string]jobs.Handler {
	f := newFence(allowed, runsDir)
	out := map[string]jobs.Handler{}
	for kind, handle := range kinds {
		out[kind] = func(ctx context.Context, a *jobs.Attempt) (json.RawMessage, error) {
			if err := f.check(kind, a); err != nil {
				return nil, err
			}
			return handle(ctx, a)
		}
	}
	return out
}

// check checks the input of a job.
func (f *fence) check(kind string, a *jobs.Attempt) error {
	var err error
	read := func(to any) bool {
		if wrong := json.Unmarshal(a.Job.Input, to); wrong != nil {
			err = fmt.Errorf("read input of job %s: %w", a.Job.ID, wrong)
		}
		return err == nil
	}
	switch kind {
	case work.Retrain:
		var req wire.RetrainRequest
		if read(&req) {
			err = f.checkRetrain(&req, a.Job.ProjectID)
		}
	case work.Train:
		var req wire.TrainRequest
		if read(&req) {
			_, err = f.trainConfig(&req)
		}
	case work.Eval:
		var req wire.EvalRequest
		if read(&req) {
			err = f.checkEval(&req)
		}
	case work.Compare:
		var req wire.CompareRequest
		if read(&req) {
			err = f.checkCompare(&req)
		}
	}
	var refused *problem
	if errors.As(err, &refused) {
		return errors.New(refused.message)
	}
	return err
}
