package monitor

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/retrain"
)

// Foreground is a monitor without a database: its state is the history beside
// the config, with which every call goes on.
type Foreground struct {
	ConfigPath string
	Interval   time.Duration // from one tick to the next
	MaxTicks   int           // 0: no end
	Window     int           // ticks that a tick is compared with; 0 means 20
	ProjectID  string
	// RetrainDatasetDir, when not empty, is retrained in mode mock by a tick that
	// ends in SHIP.
	RetrainDatasetDir string
	OutputDir         string // where the retrains go; empty: their default
	// Ticked is told every tick, and for what reason it could not be made.
	Ticked func(t Tick, failure error)
}

// Run ticks MaxTicks times, or until ctx ends. A config that cannot be read is a
// *core.ConfigError before the first tick; later it makes a tick ERROR. A history
// that cannot be written is an error.
func (f *Foreground) Run(ctx context.Context) error {
	window := f.Window
	if window == 0 {
		window = defaultWindow
	}
	if _, err := loadPipeline(f.ConfigPath); err != nil {
		return err
	}
	for n := 1; ; n++ {
		due := time.Now().Add(f.Interval)
		before, last, err := readHistory(f.ConfigPath, window)
		if err != nil {
			return f.unwritable(err)
		}
		t, _, failure := look(ctx, f.ConfigPath, last+1, metrics(before), nil)
		if failure == nil && f.RetrainDatasetDir != "" && mayRetrain(t) {
			failure = f.retrain(ctx, &t)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := appendTick(f.ConfigPath, line{Tick: t}); err != nil {
			return f.unwritable(err)
		}
		f.Ticked(t, failure)
		if n == f.MaxTicks {
			return nil
		}
		if !pause(ctx, time.Until(due)) {
			return ctx.Err()
		}
	}
}

func (f *Foreground) unwritable(err error) error {
	return &core.ConfigError{Detail: fault.Detail{Op: "keep monitor history", Path: filepath.Dir(f.ConfigPath), Err: err,
		Hint: "the history stands beside the config; make its folder writable"}}
}

func (f *Foreground) retrain(ctx context.Context, t *Tick) error {
	res, err := core.Retrain(ctx, core.RetrainOptions{DatasetDir: f.RetrainDatasetDir, Mode: retrain.ModeMock, OutputDir: f.OutputDir, ProjectID: f.ProjectID})
	if err != nil {
		return fmt.Errorf("retrain: %w", err)
	}
	t.RetrainSubmitted, t.RetrainRunDir = true, &res.RunDir
	return nil
}
