// Package system reads how busy a machine is: processors, memory and GPUs, as a
// whole and of one process with its descendants.
//
// What cannot be read is left out rather than guessed: a process that is gone
// has no reading, a machine without a driver has no GPUs. Shares of processors
// are means since the reading before, so the first one of a process has none.
package system

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/process"
)

// Reading is what was found at a moment.
type Reading struct {
	At    time.Time
	Cores int
	// CPU is how many cores the machine was busy with since the last reading,
	// NaN where there was none.
	CPU                    float64
	MemoryUsed, MemoryFull int64    // bytes, 0 where not known
	Process                *Process // nil where it is gone, or not of this machine
	GPUs                   []GPU
}

// Process is the part of a process and its descendants.
type Process struct {
	PID    int
	CPU    float64 // cores, as in Reading
	Memory int64   // resident bytes
	// GPUMemory is what it holds on all GPUs, in bytes; 0 where not known.
	GPUMemory int64
}

// GPU is one device.
type GPU struct {
	Index                  int
	Name                   string
	Busy                   float64 // share of the time, 0 to 1; NaN where not known
	MemoryUsed, MemoryFull int64   // bytes, 0 where not known
	Celsius, Watts         float64 // NaN where not known
	Processes              map[int]int64
}

// GPUs reads the devices of the machine. An error means that there are none to
// be read; what it says matters to nobody but whoever looks for a driver.
type GPUs interface {
	Read(ctx context.Context) ([]GPU, error)
}

// Meter takes readings. It may be used from several goroutines.
type Meter struct {
	gpus GPUs

	mu        sync.Mutex
	at        time.Time
	busy      float64               // seconds of processor time of the machine
	processes map[int32]processTime // of the last reading, by pid
	noGPUs    time.Time             // when none were found
}

type processTime struct {
	created int64 // tells a process from a later one of the same number
	seconds float64
}

// NewMeter returns a meter that asks gpus for the devices; nil: nvidia-smi.
func NewMeter(gpus GPUs) *Meter {
	if gpus == nil {
		gpus = NvidiaSMI{}
	}
	return &Meter{gpus: gpus, processes: map[int32]processTime{}}
}

// lookAgain is when a machine without GPUs is asked once more: drivers are
// loaded late, and asking costs a process.
const lookAgain = 5 * time.Minute

// Read takes a reading; pid 0 asks for no process.
func (m *Meter) Read(ctx context.Context, pid int) (Reading, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := Reading{At: time.Now(), CPU: math.NaN()}
	passed := r.At.Sub(m.at).Seconds()
	if n, err := cpu.CountsWithContext(ctx, true); err == nil {
		r.Cores = n
	}
	if times, err := cpu.TimesWithContext(ctx, false); err == nil && len(times) == 1 {
		t := times[0]
		busy := t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal
		if !m.at.IsZero() && passed > 0 {
			r.CPU = max(0, busy-m.busy) / passed
		}
		m.busy = busy
	}
	if v, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		r.MemoryUsed, r.MemoryFull = int64(v.Used), int64(v.Total)
	}
	if m.noGPUs.IsZero() || r.At.Sub(m.noGPUs) > lookAgain {
		devices, err := m.gpus.Read(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			m.noGPUs = r.At
		}
		r.GPUs = devices
	}
	if pid > 0 {
		r.Process = m.process(ctx, int32(pid), passed)
	}
	for _, g := range r.GPUs {
		for pid, held := range g.Processes {
			if _, ours := m.processes[int32(pid)]; ours && r.Process != nil {
				r.Process.GPUMemory += held
			}
		}
	}
	m.at = r.At
	return r, ctx.Err()
}

// process reads a process and those that it started, nil where it is gone.
func (m *Meter) process(ctx context.Context, pid int32, passed float64) *Process {
	root, err := process.NewProcessWithContext(ctx, pid)
	if err != nil {
		clear(m.processes)
		return nil
	}
	now := map[int32]processTime{}
	out := &Process{PID: int(pid), CPU: math.NaN()}
	used, known := 0.0, false
	for _, p := range family(ctx, root) {
		times, err := p.TimesWithContext(ctx)
		if err != nil {
			continue // it ended just now
		}
		created, _ := p.CreateTimeWithContext(ctx) // without it a number used again looks like the process before
		t := processTime{created, times.User + times.System}
		now[p.Pid] = t
		if info, err := p.MemoryInfoWithContext(ctx); err == nil {
			out.Memory += int64(info.RSS)
		}
		if before, ok := m.processes[p.Pid]; ok && before.created == created {
			used, known = used+max(0, t.seconds-before.seconds), true
		}
	}
	if len(now) == 0 {
		clear(m.processes)
		return nil
	}
	if known && passed > 0 {
		out.CPU = used / passed
	}
	m.processes = now
	return out
}

// mostFamily bounds how many processes are read for one.
const mostFamily = 256

// family lists a process and its descendants.
func family(ctx context.Context, root *process.Process) []*process.Process {
	out := []*process.Process{root}
	for i := 0; i < len(out) && len(out) < mostFamily; i++ {
		children, err := out[i].ChildrenWithContext(ctx)
		if err != nil {
			continue // it has none
		}
		out = append(out, children...)
	}
	return out
}
