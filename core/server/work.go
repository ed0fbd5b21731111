package server

import (
	"encoding/json"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/work"
)

// submitTrain answers POST /v1/jobs/train. The configuration is read, checked
// and kept with the job, so that changing the file later changes nothing.
func (s *Server) submitTrain(c *call) (any, error) {
	f, err := readObject(c.body)
	if err != nil {
		return nil, err
	}
	req := wire.TrainRequest{ConfigPath: text(f.optional("config_path")), Config: f.object("config"),
		OutputDir: filled(f.optional("output_dir")), Seed: f.integer("seed")}
	c.project = f.project(c)
	if len(f.problems) == 0 && (req.ConfigPath == "") == (req.Config == nil) {
		f.wrong("config_path", "Exactly one of config_path and config is needed")
	}
	if !fitsInt64(req.Seed) {
		f.wrong("seed", "Input should be an integer of 64 bits")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	cfg, err := s.trainConfig(&req)
	if err != nil {
		return nil, err
	}
	return s.submit(c, work.Train, wire.TrainRequest{Config: cfg.Map(), ProjectID: &c.project})
}

// submitEval answers POST /v1/jobs/eval.
func (s *Server) submitEval(c *call) (any, error) {
	f, err := readObject(c.body)
	if err != nil {
		return nil, err
	}
	req := wire.EvalRequest{Run: f.need("run"), TestData: filled(f.optional("test_data")), Metrics: f.texts("metrics"),
		SliceBy: f.texts("slice_by"), OutputDir: filled(f.optional("output_dir"))}
	if v, ok := f.given("hard_examples"); ok && !isNull(v) {
		n := f.count("hard_examples", 0, 0)
		req.HardExamples = &n
	}
	c.project = f.project(c)
	if err := f.err(); err != nil {
		return nil, err
	}
	if err := s.checkEval(&req); err != nil {
		return nil, err
	}
	req.ProjectID = &c.project
	return s.submit(c, work.Eval, req)
}

// submitCompare answers POST /v1/jobs/compare.
func (s *Server) submitCompare(c *call) (any, error) {
	f, err := readObject(c.body)
	if err != nil {
		return nil, err
	}
	const fewest, most = 2, 64
	req := wire.CompareRequest{Runs: f.texts("runs"), Metric: filled(f.optional("metric")), SliceBy: f.texts("slice_by")}
	c.project = f.project(c)
	if n := len(req.Runs); len(f.problems) == 0 && (n < fewest || n > most) {
		f.wrong("runs", "List should have 2 to 64 items")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	if err := s.checkCompare(&req); err != nil {
		return nil, err
	}
	req.ProjectID = &c.project
	return s.submit(c, work.Compare, req)
}

// submit puts a job into the queue.
func (s *Server) submit(c *call, kind string, input any) (any, error) {
	if s.isDraining() {
		return nil, notReady("the server is stopping")
	}
	q, err := s.queue()
	if err != nil {
		return nil, err
	}
	key := c.r.Header.Get(wire.IdempotencyHeader)
	if key != "" && !requestPattern.MatchString(key) {
		return nil, unprocessable("header -> " + wire.IdempotencyHeader + ": Input should be at most 256 printable ASCII characters")
	}
	data, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	job, err := q.Submit(c.ctx(), jobs.Request{Kind: kind, Input: data, RequestID: c.id, APIKeyID: c.keyID, ProjectID: c.project, IdempotencyKey: key})
	if err != nil {
		return nil, queueProblem(c.ctx(), "", err)
	}
	s.metrics.submitted.WithLabelValues(job.Type).Inc()
	return wire.Submitted{JobID: job.ID, Status: string(job.Status), RequestID: c.id, ProjectID: c.project}, nil
}
