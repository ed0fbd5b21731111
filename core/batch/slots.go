package batch

import (
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// slots are the places where jobs run.
type slots struct {
	cpu     int   // free
	gpus    []int // free, by index
	threads int   // processors of a CPU job
	all     []int // GPUs there are
}

// newSlots divides the processors among the CPU jobs that can run at once.
func newSlots(s Slots, gpus []int, cores, jobs int) *slots {
	if s.CUDA != AllGPUs && s.CUDA < len(gpus) {
		gpus = gpus[:s.CUDA]
	}
	cpu := max(min(s.CPU, jobs), 1)
	return &slots{cpu: s.CPU, gpus: slices.Clone(gpus), all: gpus, threads: max(cores/cpu, 1)}
}

// noGPU is the GPU of a job on the CPU.
const noGPU = -1

// take finds a place for a device of a config; ok is false when all are taken.
func (s *slots) take(device string) (gpu int, ok bool) {
	name, index, _ := strings.Cut(device, ":")
	if name != "cuda" || len(s.all) == 0 {
		// Without GPUs the engine says what is wrong.
		if s.cpu == 0 {
			return 0, false
		}
		s.cpu--
		return noGPU, true
	}
	i := 0
	if index != "" {
		want, err := strconv.Atoi(index)
		if err != nil || !slices.Contains(s.all, want) {
			want = s.all[0]
		}
		if i = slices.Index(s.gpus, want); i < 0 {
			return 0, false
		}
	}
	if len(s.gpus) == 0 {
		return 0, false
	}
	gpu = s.gpus[i]
	s.gpus = slices.Delete(s.gpus, i, i+1)
	return gpu, true
}

func (s *slots) free(gpu int) {
	if gpu == noGPU {
		s.cpu++
		return
	}
	at, _ := slices.BinarySearch(s.gpus, gpu)
	s.gpus = slices.Insert(s.gpus, at, gpu)
}

// GPUs lists the indices of the NVIDIA GPUs of this machine.
func GPUs() []int {
	out, err := exec.Command("nvidia-smi", "--query-gpu=index", "--format=csv,noheader").Output()
	if err != nil {
		return nil // no driver, no GPU
	}
	var list []int
	for _, field := range strings.Fields(string(out)) {
		if i, err := strconv.Atoi(field); err == nil {
			list = append(list, i)
		}
	}
	slices.Sort(list)
	return list
}
