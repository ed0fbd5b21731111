package system_test

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/verifily/verifily-tui/core/system"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// none is a machine without GPUs that counts how often it is asked.
type none struct{ asked int }

func (n *none) Read(context.Context) ([]system.GPU, error) {
	n.asked++
	return nil, errors.New("no driver")
}

func TestReadOwnProcess(t *testing.T) {
	gpus := &none{}
	m := system.NewMeter(gpus)
	first, err := m.Read(context.Background(), os.Getpid())
	require.NoError(t, err)
	require.NotNil(t, first.Process)
	assert.Equal(t, os.Getpid(), first.Process.PID)
	assert.Positive(t, first.Process.Memory)
	assert.Positive(t, first.Cores)
	assert.Greater(t, first.MemoryFull, first.MemoryUsed)
	assert.True(t, math.IsNaN(first.Process.CPU) && math.IsNaN(first.CPU), "there is nothing to compare the first reading with")
	busy := 0.0
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		busy += math.Sqrt(busy + 1)
	}
	second, err := m.Read(context.Background(), os.Getpid())
	require.NoError(t, err)
	assert.Greater(t, second.Process.CPU, 0.0, "%g", busy)
	assert.GreaterOrEqual(t, second.CPU, 0.0)
	assert.Equal(t, 1, gpus.asked, "a machine without GPUs is not asked every time")
}

// TestReadChild counts what a process started, and knows when one is gone.
func TestReadChild(t *testing.T) {
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	m := system.NewMeter(&none{})
	alone, err := m.Read(context.Background(), child.Process.Pid)
	require.NoError(t, err)
	require.NotNil(t, alone.Process)
	both, err := m.Read(context.Background(), os.Getpid())
	require.NoError(t, err)
	assert.Greater(t, both.Process.Memory, alone.Process.Memory, "the memory of a process is that of its descendants too")
	require.NoError(t, in.Close())
	require.NoError(t, child.Wait())
	gone, err := m.Read(context.Background(), child.Process.Pid)
	require.NoError(t, err)
	assert.Nil(t, gone.Process)
	noneAsked, err := m.Read(context.Background(), 0)
	require.NoError(t, err)
	assert.Nil(t, noneAsked.Process)
}

// said answers like nvidia-smi.
func said(devices, processes string) system.NvidiaSMI {
	return system.NvidiaSMI{Command: func(_ context.Context, args ...string) ([]byte, error) {
		if strings.HasPrefix(args[0], "--query-gpu") {
			return []byte(devices), nil
		}
		return []byte(processes), nil
	}}
}

func TestNvidia(t *testing.T) {
	pid := os.Getpid()
	smi := said("0, GPU-a, NVIDIA H200, 87, 3211, 143771, 41, 312.50\n1, GPU-b, NVIDIA H200, [N/A], [N/A], 143771, [N/A], [N/A]\n",
		"GPU-a, "+strconv.Itoa(pid)+", 3100\nGPU-a, 1, 50\nGPU-x, 5, 7\n")
	gpus, err := smi.Read(context.Background())
	require.NoError(t, err)
	require.Len(t, gpus, 2)
	assert.Equal(t, "NVIDIA H200", gpus[0].Name)
	assert.InDelta(t, 0.87, gpus[0].Busy, 1e-9)
	assert.Equal(t, int64(3211)<<20, gpus[0].MemoryUsed)
	assert.Equal(t, int64(143771)<<20, gpus[0].MemoryFull)
	assert.Equal(t, 41.0, gpus[0].Celsius)
	assert.Equal(t, 312.5, gpus[0].Watts)
	assert.Len(t, gpus[0].Processes, 2)
	assert.True(t, math.IsNaN(gpus[1].Busy) && math.IsNaN(gpus[1].Celsius))
	assert.Zero(t, gpus[1].MemoryUsed)

	r, err := system.NewMeter(smi).Read(context.Background(), pid)
	require.NoError(t, err)
	assert.Equal(t, int64(3100)<<20, r.Process.GPUMemory)
}

func TestNvidiaFails(t *testing.T) {
	_, err := system.NvidiaSMI{Command: func(context.Context, ...string) ([]byte, error) { return nil, exec.ErrNotFound }}.Read(context.Background())
	assert.ErrorIs(t, err, exec.ErrNotFound)
	gpus, err := said("No devices were found\n", "").Read(context.Background())
	assert.NoError(t, err)
	assert.Empty(t, gpus)
}

// FuzzNvidia: whatever a driver prints, readings stay within reason.
func FuzzNvidia(f *testing.F) {
	f.Add("0, GPU-a, NVIDIA H200, 87, 3211, 143771, 41, 312.50\n", "GPU-a, 17, 3100\n")
	f.Add("0, GPU-a, \"quoted\", 1e999, -5, nan, inf, \n\x00", "GPU-a, x")
	f.Fuzz(func(t *testing.T, devices, processes string) {
		gpus, err := said(devices, processes).Read(context.Background())
		if err != nil {
			return
		}
		for _, g := range gpus {
			if g.Index < 0 || g.MemoryUsed < 0 || g.MemoryFull < 0 || math.IsInf(g.Busy, 0) {
				t.Fatalf("%+v", g)
			}
		}
	})
}
