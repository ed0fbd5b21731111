package system

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// NvidiaSMI reads NVIDIA devices by the program that comes with their driver.
// The zero value runs it from the path.
type NvidiaSMI struct {
	// Command runs the program with arguments and returns what it prints; nil
	// runs nvidia-smi.
	Command func(ctx context.Context, args ...string) ([]byte, error)
}

// patience is how long the program may take: with a hung driver it never ends.
const patience = 3 * time.Second

func (n NvidiaSMI) run(ctx context.Context, args ...string) ([]byte, error) {
	if n.Command != nil {
		return n.Command(ctx, args...)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nvidia-smi", args...)
	cmd.WaitDelay = time.Second
	return cmd.Output()
}

// Read implements GPUs.
func (n NvidiaSMI) Read(ctx context.Context) ([]GPU, error) {
	out, err := n.run(ctx, "--query-gpu=index,uuid,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw", "--format=csv,noheader,nounits")
	if err != nil {
		return nil, fmt.Errorf("nvidia-smi: %w", err)
	}
	devices, byUUID, err := parseDevices(out)
	if err != nil || len(devices) == 0 {
		return nil, err
	}
	// Who uses them is told apart, and not in every container.
	if out, err := n.run(ctx, "--query-compute-apps=gpu_uuid,pid,used_memory", "--format=csv,noheader,nounits"); err == nil {
		parseProcesses(out, devices, byUUID)
	}
	return devices, nil
}

// mebibyte is the unit of memory that the program prints.
const mebibyte = 1 << 20

// records reads lines of values separated by commas, as far as they are whole.
func records(out []byte, fields int, each func([]string)) error {
	r := csv.NewReader(bytes.NewReader(out))
	r.TrimLeadingSpace, r.LazyQuotes, r.FieldsPerRecord = true, true, -1
	for {
		record, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("nvidia-smi: %w", err)
		}
		if len(record) == fields {
			each(record)
		}
	}
}

func parseDevices(out []byte) (devices []GPU, byUUID map[string]int, err error) {
	byUUID = map[string]int{}
	err = records(out, 8, func(f []string) {
		index, err := strconv.Atoi(strings.TrimSpace(f[0]))
		if err != nil || index < 0 {
			return
		}
		byUUID[f[1]] = len(devices)
		devices = append(devices, GPU{Index: index, Name: strings.TrimSpace(f[2]), Busy: value(f[3]) / 100,
			MemoryUsed: bytesOf(f[4]), MemoryFull: bytesOf(f[5]), Celsius: value(f[6]), Watts: value(f[7])})
	})
	return devices, byUUID, err
}

func parseProcesses(out []byte, devices []GPU, byUUID map[string]int) {
	_ = records(out, 3, func(f []string) { // what is not whole says nothing
		at, known := byUUID[f[0]]
		pid, err := strconv.Atoi(strings.TrimSpace(f[1]))
		if !known || err != nil {
			return
		}
		if devices[at].Processes == nil {
			devices[at].Processes = map[int]int64{}
		}
		devices[at].Processes[pid] += bytesOf(f[2])
	})
}

// value reads a number; "[N/A]" and the like are NaN.
func value(s string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}

func bytesOf(s string) int64 {
	v := value(s)
	if !(v >= 0) || v > 1<<40 {
		return 0
	}
	return int64(v * mebibyte)
}
