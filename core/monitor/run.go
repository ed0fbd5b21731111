package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/jobs/database"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/core/server/wire"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/core/work"
)

const (
	// lookEvery is how often a process looks for monitors that nobody lets tick,
	// and for those of its own that were stopped elsewhere.
	lookEvery = time.Second
	// keepTicks is how many ticks of a monitor the database keeps. The file beside
	// the config has all.
	keepTicks = 100_000
	// retrainPatience is how long a tick waits for the run of its retrain.
	retrainPatience = 30 * time.Second
)

// Run lets the monitors of the database tick that no other process looks after,
// until ctx ends. The queue must have been started.
func (m *Monitors) Run(ctx context.Context) error {
	var ticking sync.WaitGroup
	defer ticking.Wait()
	defer m.release(context.WithoutCancel(ctx)) // after they have been told to end
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.NewTicker(lookEvery)
	defer timer.Stop()
	for {
		if err := m.claimAll(inner, &ticking); err != nil && ctx.Err() == nil {
			m.log.Debug("looking for monitors", "cause", err) // the queue reports a database that is gone
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.claim:
		case <-timer.C:
		}
	}
}

// claimAll takes monitors that no living process has, and ends those here that
// are no longer this process's.
func (m *Monitors) claimAll(ctx context.Context, ticking *sync.WaitGroup) error {
	me, alive := m.queue.Member()
	if !alive {
		m.endAllBut(nil)
		return nil
	}
	if _, err := m.db.Exec(ctx, `UPDATE verifily_monitor SET owner = $1 WHERE status = 'running'
		AND (owner IS NULL OR NOT EXISTS (SELECT 1 FROM verifily_member WHERE verifily_member.id = owner))`, me); err != nil {
		return err
	}
	mine, err := m.ids(ctx, `SELECT id FROM verifily_monitor WHERE status = 'running' AND owner = $1`, me)
	if err != nil {
		return err
	}
	m.endAllBut(mine)
	for _, id := range mine {
		m.mu.Lock()
		if m.here[id] == nil {
			inner, cancel := context.WithCancel(ctx)
			m.here[id] = cancel
			ticking.Go(func() {
				defer func() {
					cancel()
					m.mu.Lock()
					delete(m.here, id)
					m.mu.Unlock()
				}()
				if err := m.tickAll(inner, me, id); err != nil && inner.Err() == nil {
					m.log.Warn("a monitor pauses", "monitor", id, "cause", err) // it is claimed again
				}
			})
		}
		m.mu.Unlock()
	}
	return nil
}

// endAllBut ends the monitors here that are not listed.
func (m *Monitors) endAllBut(ids []string) {
	keep := make(map[string]bool, len(ids))
	for _, id := range ids {
		keep[id] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, cancel := range m.here {
		if !keep[id] {
			cancel()
		}
	}
}

// release lets other processes take the monitors of this one at once.
func (m *Monitors) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	me, _ := m.queue.Member()
	if _, err := m.db.Exec(ctx, `UPDATE verifily_monitor SET owner = NULL WHERE owner = $1`, me); err != nil {
		m.log.Debug("releasing monitors", "cause", err) // the others take them when this process is gone
	}
}

const releaseTimeout = 2 * time.Second

// watched is a monitor as it stands in the database.
type watched struct {
	id, owner          string
	count              int
	requestID, keyID   string
	tickedAt           *float64
	lastTick, settings []byte
	set                settings
	warned             bool // of what the last tick found in the data
}

func (m *Monitors) load(ctx context.Context, owner, id string) (*watched, error) {
	w := &watched{id: id, owner: owner}
	err := database.QueryRow(ctx, m.db, []any{&w.count, &w.requestID, &w.keyID, &w.tickedAt, &w.lastTick, &w.settings},
		`SELECT tick_count, request_id, api_key_id, ticked_at, last_tick, settings FROM verifily_monitor
		WHERE id = $1 AND owner = $2 AND status = 'running'`, id, owner)
	if err != nil {
		return nil, err
	}
	return w, json.Unmarshal(w.settings, &w.set)
}

// tickAll lets a monitor tick until it is complete, stopped or no longer this
// process's. It is complete once its last tick stands in the history file, too.
func (m *Monitors) tickAll(ctx context.Context, owner, id string) error {
	w, err := m.load(ctx, owner, id)
	if errors.Is(err, database.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if w.lastTick != nil { // the process that made it may have died before it wrote it down
		var last Tick
		if err := json.Unmarshal(w.lastTick, &last); err != nil {
			return err
		}
		m.write(w, last)
	}
	for due := time.Now().Add(w.dueIn(time.Now())); !w.complete(); {
		if !pause(ctx, time.Until(due)) {
			return nil
		}
		due = time.Now().Add(w.set.interval())
		if err := m.tick(ctx, w); err != nil {
			if errors.Is(err, errNotMine) {
				err = nil
			}
			return err
		}
	}
	_, err = m.db.Exec(ctx, `UPDATE verifily_monitor SET status = $1 WHERE id = $2 AND owner = $3 AND status = 'running'`, Completed, id, owner)
	return err
}

// complete says that a monitor made all its ticks.
func (w *watched) complete() bool { return w.set.MaxTicks > 0 && w.count >= w.set.MaxTicks }

// errNotMine says that a monitor was stopped or taken over.
var errNotMine = errors.New("the monitor is no longer this process's")

// tick makes one tick and writes it down. When ctx ends on the way, there was
// none.
func (m *Monitors) tick(ctx context.Context, w *watched) error {
	before, err := m.window(ctx, w)
	if err != nil {
		return err
	}
	begun := time.Now()
	t, shared, failure := look(ctx, w.set.ConfigPath, w.count+1, before, m.allowed)
	if failure == nil && w.set.AllowRetrain && mayRetrain(t) {
		failure = m.retrain(ctx, w, &t)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := m.store(ctx, w, t, failure, begun); err != nil {
		return err
	}
	w.count = t.TickNumber
	m.warn(w, t, shared)
	m.write(w, t)
	return nil
}

// warn logs what a tick found in the data, once for all ticks in a row that find
// it.
func (m *Monitors) warn(w *watched, t Tick, shared *overlap) {
	if shared != nil && !w.warned {
		train, eval := text.Escape(shared.trainData), text.Escape(shared.evalData)
		m.log.Warn("a monitor finds evaluation data in the training data", "monitor", w.id, "tick", t.TickNumber, "exact_overlaps", shared.exact,
			"near_duplicates", shared.near, "next", "verifily contamination --train "+train+" --eval "+eval)
	}
	w.warned = shared != nil
}

// window returns the metric of the ticks before, the oldest first.
func (m *Monitors) window(ctx context.Context, w *watched) ([]float64, error) {
	h, err := m.History(ctx, w.id, w.set.RollingWindow)
	if err != nil {
		return nil, err
	}
	return metrics(h.Ticks), nil
}

func metrics(ticks []Tick) (out []float64) {
	for _, t := range ticks {
		if t.MetricValue != nil {
			out = append(out, *t.MetricValue)
		}
	}
	return out
}

// retrain submits a mock retrain, the same one however often the tick is begun,
// and waits a while for its run.
func (m *Monitors) retrain(ctx context.Context, w *watched, t *Tick) error {
	input, err := json.Marshal(wire.RetrainRequest{DatasetDir: *w.set.RetrainDatasetDir, Mode: retrain.ModeMock})
	if err != nil {
		return err
	}
	job, err := m.queue.Submit(ctx, jobs.Request{Kind: work.Retrain, Input: input, RequestID: w.requestID, APIKeyID: w.keyID,
		ProjectID: w.set.ProjectID, IdempotencyKey: fmt.Sprintf("monitor %s tick %d", w.id, t.TickNumber)})
	if err != nil {
		return fmt.Errorf("submit retrain: %w", err)
	}
	t.RetrainSubmitted = true
	waiting, cancel := context.WithTimeout(ctx, retrainPatience)
	defer cancel()
	job, err = m.queue.Wait(waiting, job.ID)
	switch {
	case err != nil:
		return nil // it goes on without being watched
	case job.Status == jobs.Failed:
		return fmt.Errorf("retrain failed: %s", *job.Error)
	}
	t.RetrainRunDir = job.ResultPath
	return nil
}

// store counts a tick, if the monitor is still this process's and still running.
func (m *Monitors) store(ctx context.Context, w *watched, t Tick, failure error, begun time.Time) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	var why *string
	if failure != nil {
		clean := database.Clean(reason(failure))
		why = &clean
	}
	return m.db.Write(ctx, func(ctx context.Context, tx database.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE verifily_monitor SET tick_count = $1, last_tick = $2, error = $3, ticked_at = $4
			WHERE id = $5 AND owner = $6 AND status = 'running' AND tick_count = $7`,
			t.TickNumber, data, why, float64(begun.UnixMicro())/1e6, w.id, w.owner, w.count)
		if err == nil && n == 0 {
			err = errNotMine
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO verifily_tick (monitor_id, number, tick) VALUES ($1, $2, $3)`, w.id, t.TickNumber, data); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM verifily_tick WHERE monitor_id = $1 AND number <= $2`, w.id, t.TickNumber-keepTicks)
		return err
	})
}

// write adds a tick to the file beside the config. The database has it, so a
// folder that cannot be written does not end the monitor.
func (m *Monitors) write(w *watched, t Tick) {
	err := allow(m.allowed, historyPath(w.set.ConfigPath))
	if err == nil {
		err = appendTick(w.set.ConfigPath, line{Tick: t, MonitorID: &w.id})
	}
	if err != nil {
		m.log.Warn("a tick is missing in the history file", "monitor", w.id, "tick", t.TickNumber, "cause", err)
	}
}

// dueIn is how long the next tick has to wait: what is left of the interval, and
// never more than that, whatever the clock says.
func (w *watched) dueIn(now time.Time) time.Duration {
	if w.tickedAt == nil {
		return 0
	}
	passed := now.Sub(time.UnixMicro(int64(*w.tickedAt * 1e6)))
	return max(0, min(w.set.interval(), w.set.interval()-passed))
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
