// Package monitor watches runs: at intervals it looks at what a pipeline.yaml
// names, decides, compares the metric with those before, and, where it may,
// submits a retrain.
//
// Monitors are kept in the database of the job queue, so they go on after a
// restart, in one process at a time. Every tick is counted once there, and stands
// as one whole line in monitor_history.jsonl beside the config; a retrain is
// submitted once a tick, however often the tick is begun.
package monitor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"time"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/jobs/database"
	"github.com/verifily/verifily-tui/core/server/wire"
)

// ErrNotFound is the error for an unknown monitor.
var ErrNotFound = errors.New("no such monitor")

// The states of a monitor. The last two are final.
const (
	Running   = "running"
	Completed = "completed" // it has made max_ticks ticks
	Stopped   = "stopped"
)

// Tick is one look of a monitor. A tick that could not be made has the decision
// ERROR. Delta is the difference to the mean of the rolling window of ticks
// before it, of the first tick to the baseline. ContaminationPass is nil when the
// config names no data to look at; that does not keep it from shipping.
type Tick = wire.Tick

// Status is the state of a monitor.
type Status = wire.MonitorStatus

// History is what a monitor found.
type History = wire.MonitorHistory

// Request says what to watch. Nil stands for the default.
type Request struct {
	wire.MonitorRequest
	RequestID, APIKeyID, Project string // for the jobs that it submits; Project wins over ProjectID
}

// Options say how to open Monitors.
type Options struct {
	Queue *jobs.Queue // whose database is used, and which takes the retrains
	// Allowed refuses the paths that monitors may not use, whether or not they are
	// there. It is asked at every tick, since what a config names and where links
	// lead may change. nil: all may be used.
	Allowed func(path string) error
	Logger  *slog.Logger // nil: silent
}

// Monitors are the monitors of a database. All methods may be called
// concurrently.
type Monitors struct {
	queue   *jobs.Queue
	db      database.DB
	allowed func(path string) error // nil: all may be used
	log     *slog.Logger

	mu    sync.Mutex
	here  map[string]context.CancelFunc // monitors that tick in this process
	claim chan struct{}                 // holds one when there may be something to claim
}

// Open makes the tables.
func Open(ctx context.Context, opt Options) (*Monitors, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Monitors{queue: opt.Queue, db: opt.Queue.Database(), allowed: opt.Allowed, log: opt.Logger, here: map[string]context.CancelFunc{},
		claim: make(chan struct{}, 1)}
	if err := m.db.Create(ctx, schema); err != nil {
		return nil, fmt.Errorf("open monitors: %w", err)
	}
	return m, nil
}

// settings are what a monitor was started with.
type settings struct {
	ConfigPath        string  `json:"config_path"`
	IntervalSeconds   float64 `json:"interval_seconds"`
	MaxTicks          int     `json:"max_ticks"`
	RollingWindow     int     `json:"rolling_window"`
	ProjectID         string  `json:"project_id"`
	AllowRetrain      bool    `json:"allow_retrain"`
	RetrainDatasetDir *string `json:"retrain_dataset_dir"`
}

const (
	defaultInterval = 60 // seconds
	defaultWindow   = 20 // ticks
	defaultProject  = "default"
	// longestInterval keeps an interval within what a timer takes, in seconds.
	longestInterval = 366 * 24 * 3600
)

// settings checks a request and fills in what it leaves out.
func (r *Request) settings() (settings, error) {
	s := settings{ConfigPath: r.ConfigPath, IntervalSeconds: defaultInterval, RollingWindow: defaultWindow, ProjectID: defaultProject,
		AllowRetrain: r.AllowRetrain, RetrainDatasetDir: r.RetrainDatasetDir}
	if r.IntervalSeconds != nil {
		s.IntervalSeconds = *r.IntervalSeconds
	}
	if r.MaxTicks != nil {
		s.MaxTicks = *r.MaxTicks
	}
	if r.RollingWindow != nil {
		s.RollingWindow = *r.RollingWindow
	}
	switch {
	case r.Project != "":
		s.ProjectID = r.Project
	case r.ProjectID != nil && *r.ProjectID != "":
		s.ProjectID = *r.ProjectID
	}
	wrong := ""
	switch {
	case s.ConfigPath == "":
		wrong = "config_path: is required"
	case math.IsNaN(s.IntervalSeconds), s.IntervalSeconds < 1, s.IntervalSeconds > longestInterval:
		wrong = "interval_seconds: must be from 1 to a year"
	case s.MaxTicks < 0:
		wrong = "max_ticks: must not be negative"
	case s.RollingWindow < 1:
		wrong = "rolling_window: must be at least 1"
	case s.AllowRetrain && (s.RetrainDatasetDir == nil || *s.RetrainDatasetDir == ""):
		wrong = "retrain_dataset_dir: is required with allow_retrain"
	}
	if wrong != "" {
		return s, &fault.ConfigError{Detail: fault.Detail{Op: "start monitor", Reason: wrong}}
	}
	// The process that goes on with it may have another current folder.
	for _, path := range []*string{&s.ConfigPath, s.RetrainDatasetDir} {
		if path == nil || *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return s, &fault.ConfigError{Detail: fault.Detail{Op: "start monitor", Path: *path, Err: err}}
		}
		if path == s.RetrainDatasetDir {
			s.RetrainDatasetDir = &abs
		} else {
			*path = abs
		}
	}
	_, err := loadPipeline(s.ConfigPath)
	return s, err
}

func (s *settings) interval() time.Duration {
	return time.Duration(s.IntervalSeconds * float64(time.Second))
}

// Start adds a monitor and returns its id, 12 hex digits. A config that cannot
// be read is a *core.ConfigError.
func (m *Monitors) Start(ctx context.Context, req Request) (string, error) {
	s, err := req.settings()
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	id := newID()
	_, err = m.db.Exec(ctx, `INSERT INTO verifily_monitor (id, status, tick_count, request_id, api_key_id, started_at, settings)
		VALUES ($1, 'running', 0, $2, $3, $4, $5)`, id, req.RequestID, req.APIKeyID, float64(time.Now().UnixMicro())/1e6, data)
	if err != nil {
		return "", fmt.Errorf("start monitor: %w", err)
	}
	select {
	case m.claim <- struct{}{}:
	default:
	}
	return id, nil
}

// newID makes 12 hex digits.
func newID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program where there is no randomness
	return hex.EncodeToString(b[:])
}

// Stop ends a monitor. Stopping one that has ended changes nothing.
func (m *Monitors) Stop(ctx context.Context, id string) (Status, error) {
	if _, err := m.db.Exec(ctx, `UPDATE verifily_monitor SET status = 'stopped', owner = NULL WHERE id = $1 AND status = 'running'`, id); err != nil {
		return Status{}, fmt.Errorf("stop monitor: %w", err)
	}
	m.mu.Lock()
	if cancel := m.here[id]; cancel != nil {
		cancel()
	}
	m.mu.Unlock()
	return m.Status(ctx, id)
}

// Status returns the state of a monitor.
func (m *Monitors) Status(ctx context.Context, id string) (Status, error) {
	s := Status{MonitorID: id}
	var last, config []byte
	err := database.QueryRow(ctx, m.db, []any{&s.Status, &s.TickCount, &s.Error, &last, &config},
		`SELECT status, tick_count, error, last_tick, settings FROM verifily_monitor WHERE id = $1`, id)
	if errors.Is(err, database.ErrNoRows) {
		return Status{}, ErrNotFound
	}
	if err == nil && last != nil {
		s.LastTick = &Tick{}
		err = json.Unmarshal(last, s.LastTick)
	}
	if err == nil {
		err = json.Unmarshal(config, &s.Config)
	}
	if err != nil {
		return Status{}, fmt.Errorf("read monitor: %w", err)
	}
	return s, nil
}

// History returns the last n ticks of a monitor that are kept, the oldest first;
// 0 means all.
func (m *Monitors) History(ctx context.Context, id string, n int) (History, error) {
	s, err := m.Status(ctx, id)
	if err != nil {
		return History{}, err
	}
	h := History{MonitorID: id, TotalTicks: s.TickCount, Ticks: []Tick{}}
	first := 0
	if n > 0 {
		first = s.TickCount - n + 1
	}
	rows, err := m.db.Query(ctx, `SELECT tick FROM verifily_tick WHERE monitor_id = $1 AND number >= $2 AND number <= $3 ORDER BY number`,
		id, first, s.TickCount)
	if err != nil {
		return History{}, fmt.Errorf("read ticks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var data []byte
		var t Tick
		err := rows.Scan(&data)
		if err == nil {
			err = json.Unmarshal(data, &t)
		}
		if err != nil {
			return History{}, fmt.Errorf("read ticks: %w", err)
		}
		h.Ticks = append(h.Ticks, t)
	}
	if err := rows.Err(); err != nil {
		return History{}, fmt.Errorf("read ticks: %w", err)
	}
	return h, nil
}

// List returns the ids of all monitors, the newest first.
func (m *Monitors) List(ctx context.Context) ([]string, error) {
	return m.ids(ctx, `SELECT id FROM verifily_monitor ORDER BY seq DESC`)
}

func (m *Monitors) ids(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := m.db.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list monitors: %w", err)
	}
	defer rows.Close()
	ids := []string{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list monitors: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list monitors: %w", err)
	}
	return ids, nil
}
