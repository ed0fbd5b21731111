package server

import (
	"encoding/json"
	"errors"
	"regexp"
	"strconv"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/monitor"
	"github.com/verifily/verifily-tui/core/server/wire"
)

// The defaults and limits of monitors.
const (
	defaultInterval = 60
	defaultWindow   = 20
	longestInterval = 366 * 24 * 3600 // seconds
	mostTicks       = 1_000_000       // of one answer
)

// startMonitor answers POST /v1/monitor/start.
func (s *Server) startMonitor(c *call) (any, error) {
	f, err := readObject(c.body)
	if err != nil {
		return nil, err
	}
	path := f.need("config_path")
	interval := f.number("interval_seconds", defaultInterval, 1, longestInterval)
	ticks, window := f.count("max_ticks", 0, 0), f.count("rolling_window", defaultWindow, 1)
	req := monitor.Request{MonitorRequest: wire.MonitorRequest{ConfigPath: path, IntervalSeconds: &interval, MaxTicks: &ticks, RollingWindow: &window,
		AllowRetrain: f.flag("allow_retrain"), RetrainDatasetDir: filled(f.optional("retrain_dataset_dir"))},
		RequestID: c.id, APIKeyID: c.keyID}
	c.project = f.project(c)
	req.Project, req.ProjectID = c.project, &c.project
	if len(f.problems) == 0 && req.AllowRetrain && req.RetrainDatasetDir == nil {
		f.wrong("retrain_dataset_dir", "Field required with allow_retrain")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	if err := s.checkPipeline(path); err != nil {
		return nil, err
	}
	if req.RetrainDatasetDir != nil {
		if err := s.checkDataset(*req.RetrainDatasetDir); err != nil {
			return nil, err
		}
		if err := s.checkFolder("retrain_dataset_dir", *req.RetrainDatasetDir); err != nil {
			return nil, err
		}
	}
	if s.isDraining() {
		return nil, notReady("the server is stopping")
	}
	m, err := s.monitors()
	if err != nil {
		return nil, err
	}
	id, err := m.Start(c.ctx(), req)
	if err != nil {
		return nil, monitorProblem(c, id, err)
	}
	return wire.MonitorStarted{MonitorID: id, Status: "running"}, nil
}

var monitorPattern = regexp.MustCompile(`^[0-9a-f]{12}$`)

// monitored reads the monitor_id of a query.
func (s *Server) monitored(p *query) (Monitors, string, error) {
	id := p.need("monitor_id")
	if err := p.err(); err != nil {
		return nil, "", err
	}
	if !monitorPattern.MatchString(id) {
		return nil, "", notFound("Monitor not found: %s", shortName(id))
	}
	m, err := s.monitors()
	return m, id, err
}

// monitorProblem turns an error of the monitors into an answer.
func monitorProblem(c *call, id string, err error) error {
	var typed core.VerifilyTrainError
	switch {
	case errors.Is(err, monitor.ErrNotFound):
		return notFound("Monitor not found: %s", id)
	case errors.As(err, &typed):
		return err
	}
	return queueProblem(c.ctx(), id, err)
}

// stopMonitor answers POST /v1/monitor/stop.
func (s *Server) stopMonitor(c *call) (any, error) {
	p, err := readQuery(c)
	if err != nil {
		return nil, err
	}
	m, id, err := s.monitored(p)
	if err != nil {
		return nil, err
	}
	status, err := m.Stop(c.ctx(), id)
	if err != nil {
		return nil, monitorProblem(c, id, err)
	}
	return wire.MonitorStarted{MonitorID: status.MonitorID, Status: status.Status}, nil
}

// monitorStatus answers GET /v1/monitor/status.
func (s *Server) monitorStatus(c *call) (any, error) {
	p, err := readQuery(c)
	if err != nil {
		return nil, err
	}
	m, id, err := s.monitored(p)
	if err != nil {
		return nil, err
	}
	status, err := m.Status(c.ctx(), id)
	if err != nil {
		return nil, monitorProblem(c, id, err)
	}
	if status.Error != nil {
		reason := shorten(s.redact(*status.Error), mostMessage)
		status.Error = &reason
	}
	for name, v := range status.Config {
		if n, ok := v.(float64); ok { // a count is answered as it was sent, without a point
			status.Config[name] = json.Number(strconv.FormatFloat(n, 'f', -1, 64))
		}
	}
	return status, nil
}

// monitorHistory answers GET /v1/monitor/history.
func (s *Server) monitorHistory(c *call) (any, error) {
	p, err := readQuery(c)
	if err != nil {
		return nil, err
	}
	n := p.count("last_n", 0, 0, mostTicks)
	m, id, err := s.monitored(p)
	if err != nil {
		return nil, err
	}
	history, err := m.History(c.ctx(), id, n)
	if err != nil {
		return nil, monitorProblem(c, id, err)
	}
	if history.Ticks == nil {
		history.Ticks = []wire.Tick{}
	}
	return history, nil
}
