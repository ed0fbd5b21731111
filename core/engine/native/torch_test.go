package native

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/engine/native/safetensors"
	"github.com/verifily/verifily-tui/core/tensor"
)

// BenchmarkTorch alternates this engine and the PyTorch reference on the same
// weights and tokens, each in a process of its own, and prints medians.
// `make bench-torch` runs it.

// torchChild makes the test program do this engine's part in a process of its
// own: the value is the folder of the job.
const torchChild = "VERIFILY_BENCH_JOB"

func TestMain(m *testing.M) {
	if dir := os.Getenv(torchChild); dir != "" {
		if err := benchChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// torchJob is job.json, the same for both programs.
type torchJob struct {
	Kind        string    `json:"kind"` // train or generate
	Arch        archFile  `json:"arch"`
	LoRA        bool      `json:"lora"`
	Scale       float64   `json:"scale"`
	IDs         [][]int32 `json:"ids"`
	First       int       `json:"first"`
	Steps       int       `json:"steps"`
	LR          float64   `json:"lr"`
	WeightDecay float64   `json:"weight_decay"`
	MaxGradNorm float64   `json:"max_grad_norm"`
	Prompts     [][]int32 `json:"prompts"`
	NewTokens   int       `json:"new_tokens"`
	Threads     int       `json:"threads"`
}

// torchResult is what either program prints.
type torchResult struct {
	Torch     string    `json:"torch"`
	BLAS      string    `json:"blas"`
	ISA       string    `json:"isa"`
	Threads   int       `json:"threads"`
	Losses    []float64 `json:"losses"`
	Tokens    [][]int32 `json:"tokens"`
	Seconds   float64   `json:"seconds"` // median of all steps but the first
	PeakBytes int64     `json:"peak_bytes"`
}

// shape135M is a common small model's: hidden 576, 30 layers, vocabulary 49152.
var shape135M = Arch{VocabSize: 49152, Hidden: 576, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64, FFN: 1536,
	MaxPositions: 2048, RopeTheta: 10000, RMSEps: 1e-5, Tied: true, EOS: 1, PAD: 0}

var torchLoRA = &loraSpec{r: 16, alpha: 32, modules: []string{"q_proj", "v_proj"}, seed: 1}

func BenchmarkTorch(b *testing.B) {
	micro := benchArch(b, "builtin:micro", 4096)
	fmt.Printf("\n%-22s %10s %10s %7s %10s %10s %7s %12s\n", "job", "this", "torch", "ratio", "memory", "torch", "ratio", "loss diff")
	for _, c := range []struct {
		name         string
		arch         Arch
		lora         bool
		batch, steps int
		pairs        int
	}{
		{"lora 256x6", micro, true, 8, 6, 5},
		{"full 256x6", micro, false, 8, 6, 5},
		{"lora 135M", shape135M, true, 4, 5, 3},
		{"full 135M", shape135M, false, 4, 5, 3},
		{"generate 256x6", micro, false, 16, 3, 5},
	} {
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			dir := b.TempDir()
			job := torchJob{Kind: "train", Arch: c.arch.file(), LoRA: c.lora, Scale: torchLoRA.alpha / float64(torchLoRA.r),
				First: 8, Steps: c.steps, LR: 1e-3, WeightDecay: 0.01, MaxGradNorm: 1, Threads: runtime.NumCPU(), NewTokens: 64}
			if strings.HasPrefix(c.name, "generate") {
				job.Kind = "generate"
			}
			for _, s := range benchSequences(c.batch, 128, 8, c.arch.VocabSize) {
				job.IDs = append(job.IDs, s.ids)
				job.Prompts = append(job.Prompts, s.ids[:32])
			}
			writeTorchJob(b, dir, c.arch, job)
			var ours, theirs []torchResult
			for range c.pairs {
				ours = append(ours, runBench(b, exec.Command(os.Args[0]), torchChild+"="+dir))
				theirs = append(theirs, runTorch(b, dir))
			}
			printTorch(c.name, job, ours, theirs)
		})
	}
}

// writeTorchJob writes the weights and the job for both programs.
func writeTorchJob(b *testing.B, dir string, arch Arch, job torchJob) {
	b.Helper()
	var lora *loraSpec
	if job.LoRA {
		lora = torchLoRA
	}
	m, err := newModel(arch, seedSource{1}, lora, false)
	require.NoError(b, err)
	save := func(name string, params []*Param) {
		var tensors []safetensors.Tensor
		for _, p := range params {
			tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
		}
		require.NoError(b, safetensors.Write(filepath.Join(dir, name), tensors, nil))
	}
	save(modelWeightsName, m.params)
	save("adapter.safetensors", m.adapters)
	require.NoError(b, writeJSON(filepath.Join(dir, "job.json"), job))
}

// runTorch runs the PyTorch reference with the BLAS kernels that fit the CPU.
func runTorch(b *testing.B, dir string) torchResult {
	b.Helper()
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import torch").CombinedOutput(); err != nil {
		b.Fatalf("%s cannot import torch: %s\ninstall it (Debian: apt-get install python3-torch libopenblas0-openmp), or set PYTHON to an interpreter that has it",
			python, strings.TrimSpace(string(out)))
	}
	k, err := tensor.New()
	require.NoError(b, err)
	core := map[string]string{"avx512": "SkylakeX", "avx2": "Haswell"}[k.ISA()]
	return runBench(b, exec.Command(python, "../../../testdata/bench/torch_reference.py", dir), "OPENBLAS_CORETYPE="+core)
}

func runBench(b *testing.B, cmd *exec.Cmd, env string) torchResult {
	b.Helper()
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(b, err)
	var r torchResult
	require.NoError(b, json.Unmarshal(out, &r))
	return r
}

// printTorch prints one row: medians of the pairs, and the ratio pair by pair.
func printTorch(name string, job torchJob, ours, theirs []torchResult) {
	var a, t, ratio, mem, tmem []float64
	for i := range ours {
		a, t = append(a, ours[i].Seconds), append(t, theirs[i].Seconds)
		ratio = append(ratio, theirs[i].Seconds/ours[i].Seconds)
		mem, tmem = append(mem, float64(ours[i].PeakBytes)/1e6), append(tmem, float64(theirs[i].PeakBytes)/1e6)
	}
	diff := "tokens equal"
	if job.Kind == "train" {
		worst := 0.0
		for i := range min(5, len(ours[0].Losses)) {
			worst = max(worst, abs(ours[0].Losses[i]-theirs[0].Losses[i]))
		}
		diff = fmt.Sprintf("%.1e", worst)
	} else if !slices.EqualFunc(ours[0].Tokens, theirs[0].Tokens, slices.Equal) {
		diff = "tokens differ"
	}
	fmt.Printf("%-22s %8.0fms %8.0fms %6.2fx %8.0fMB %8.0fMB %7.2f %12s\n", name,
		1e3*median(a), 1e3*median(t), median(ratio), median(mem), median(tmem), median(mem)/median(tmem), diff)
	if name == "lora 256x6" {
		fmt.Printf("  torch %s, %s, %d threads; this engine: %s, %d workers\n", theirs[0].Torch, theirs[0].BLAS, theirs[0].Threads, ours[0].ISA, ours[0].Threads)
	}
}

func abs(x float64) float64 { return max(x, -x) }

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// benchChild does this engine's part of a job and prints the result.
func benchChild(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "job.json"))
	if err != nil {
		return err
	}
	var job torchJob
	if err := json.Unmarshal(data, &job); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, configName), job.Arch); err != nil {
		return err
	}
	base, err := openFolder(dir, 1)
	if err != nil {
		return err
	}
	var lora *loraSpec
	if job.LoRA {
		lora = torchLoRA
	}
	m, err := newModel(base.arch, base.src, lora, job.Kind == "train")
	if err != nil {
		return err
	}
	m.prepare(len(job.IDs[0]) + job.NewTokens)
	s, err := newStepper(m, job.WeightDecay, job.MaxGradNorm)
	if err != nil {
		return err
	}
	defer s.pool.close()
	res := torchResult{ISA: s.pool.workers[0].k.ISA(), Threads: len(s.pool.workers)}
	var times []float64
	if job.Kind == "generate" {
		res.Tokens, times = benchGenerate(s.pool, job)
	} else {
		res.Losses, times = benchTrain(s, job)
	}
	res.Seconds = median(times[1:])
	if res.PeakBytes, err = peakBytes(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(res)
}

// peakBytes is the most memory this process had resident. (The figure of
// getrusage is inherited from the parent.)
func peakBytes() (int64, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	var kb int64
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	_, err = fmt.Sscan(rest, &kb)
	return kb * 1024, err
}

func benchTrain(s *stepper, job torchJob) (losses, times []float64) {
	var seqs []sequence
	labels := 0
	for i, ids := range job.IDs {
		seqs = append(seqs, sequence{ids: ids, first: job.First, label: -1, ordinal: i})
		labels += seqs[i].outputs()
	}
	for _, w := range s.pool.workers {
		w.a.grow(s.m.scratchFloats(s.m.largestUnit(len(job.IDs[0])), dropout{}))
	}
	for step := range job.Steps {
		start := time.Now()
		loss, err := s.gradients(context.Background(), &batch{seqs: seqs}, labels, dropout{})
		if err != nil {
			panic(err)
		}
		norm, err := s.gradNorm()
		if err == nil {
			err = s.apply(step+1, job.LR, norm)
		}
		if err != nil {
			panic(err)
		}
		times = append(times, time.Since(start).Seconds())
		losses = append(losses, loss)
	}
	return losses, times
}

func benchGenerate(p *pool, job torchJob) (out [][]int32, times []float64) {
	g := generation{maxNew: job.NewTokens, beams: 1, eos: -1}
	n := len(p.workers)
	for range job.Steps {
		start := time.Now()
		out = make([][]int32, len(job.Prompts))
		err := p.run(n, func(w *worker, i int) {
			from, to := i*len(out)/n, (i+1)*len(out)/n
			w.generate(context.Background(), g, job.Prompts[from:to], out[from:to])
		}, nil)
		if err != nil {
			panic(err)
		}
		times = append(times, time.Since(start).Seconds())
	}
	return out, times
}
