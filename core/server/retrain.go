package server

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"time"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/work"
)

// How long a client is told to wait: before it tries again while requests run,
// while trainings run, and while the queue is full.
const (
	busyWait      = time.Second
	trainingWait  = 30 * time.Second
	queueFullWait = 5 * time.Second
)

// retrain answers POST /v1/retrain: it runs and then answers. It ends when the
// client does not wait any longer.
func (s *Server) retrain(c *call) (any, error) {
	req, err := s.readRetrain(c)
	if err != nil {
		return nil, err
	}
	if s.isDraining() {
		return nil, notReady("the server is stopping")
	}
	if req.Mode == retrain.ModeReal {
		free, ok := take(s.trainings)
		if !ok {
			return nil, tooMany("a training is running; submit this one as a job", trainingWait)
		}
		defer free()
	} else {
		select {
		case s.mocks <- struct{}{}:
			defer func() { <-s.mocks }()
		case <-c.ctx().Done():
			return nil, c.ctx().Err()
		}
	}
	opt := core.RetrainOptions{DatasetDir: req.DatasetDir, BaseRunDir: text(req.BaseRunDir), ContaminatedRunDir: text(req.ContaminatedRunDir),
		RunsDir: s.runsDir, Mode: req.Mode, OutputDir: text(req.OutputDir), ProjectID: c.project, Seed: req.Seed, Metric: req.Metric,
		Notes: req.Notes, RequestID: c.id, CI: req.CI, Privacy: req.Privacy}
	res, err := core.Retrain(c.ctx(), opt)
	if err != nil {
		return nil, err
	}
	s.metrics.decided(res.Decision)
	data, err := res.JSON()
	return json.RawMessage(data), err
}

// submitRetrain answers POST /v1/jobs/retrain.
func (s *Server) submitRetrain(c *call) (any, error) {
	req, err := s.readRetrain(c)
	if err != nil {
		return nil, err
	}
	req.ProjectID = &c.project
	return s.submit(c, work.Retrain, req)
}

// readRetrain reads a request and finds out all that can be told before any
// work: its values, the data set, the mode, the other paths, in this order.
func (s *Server) readRetrain(c *call) (*wire.RetrainRequest, error) {
	f, err := readObject(c.body)
	if err != nil {
		return nil, err
	}
	req := &wire.RetrainRequest{
		DatasetDir: f.need("dataset_dir"), BaseRunDir: filled(f.optional("base_run_dir")),
		ContaminatedRunDir: filled(f.optional("contaminated_run_dir")), OutputDir: filled(f.optional("output_dir")),
		Seed: f.integer("seed"), Mode: f.oneOf("mode", retrain.ModeMock, retrain.ModeMock, retrain.ModeReal),
		Metric: f.text("metric", retrain.DefaultMetric), Notes: f.optional("notes"),
		CI: f.flag("ci"), Privacy: f.flag("privacy"),
	}
	c.project = f.project(c)
	if err := f.err(); err != nil {
		return nil, err
	}
	if req.OutputDir == nil {
		dir := filepath.Join(retrain.DefaultRoot, c.project)
		req.OutputDir = &dir
	}
	if req.Mode == retrain.ModeMock && req.Seed == "" {
		req.Seed = retrain.DefaultSeed
	}
	return req, s.checkRetrain(req, c.project)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// filled takes an empty text for a missing one.
func filled(s *string) *string {
	if s == nil || *s == "" {
		return nil
	}
	return s
}

func fitsInt64(n json.Number) bool {
	if n == "" {
		return true
	}
	_, err := n.Int64()
	return err == nil
}

func headerProject(c *call) (string, error) {
	id := c.r.Header.Get(wire.ProjectHeader)
	if id != "" && !projectPattern.MatchString(id) {
		return "", errors.New("header -> " + wire.ProjectHeader + ": " + projectRule)
	}
	return id, nil
}
