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
	Kind        string    `json:"kind"` // train, generate or gemm
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
	// Shapes are products: rows and columns of the result, and the terms of each
	// sum.
	Shapes [][3]int `json:"shapes"`
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
	GFLOPS    []float64 `json:"gflops"`  // of each shape: the best of many short runs
	PeakBytes int64     `json:"peak_bytes"`
}

// shape135M is a common small model's: hidden 576, 30 layers, vocabulary 49152.
var shape135M = Arch{VocabSize: 49152, Hidden: 576, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64, FFN: 1536,
	MaxPositions: 2048, RopeTheta: 10000, RMSEps: 1e-5, Tied: true, EOS: 1, PAD: 0}

var torchLoRA = &loraSpec{r: 16, alpha: 32, modules: []string{"q_proj", "v_proj"}, seed: 1}

func BenchmarkTorch(b *testing.B) {
	micro := benchArch(b, "builtin:micro", 4096)
	fmt.Printf("\n%-22s %10s %10s %7s %10s %10s %7s %12s %10s %10s %10s\n", "job", "this", "torch", "ratio", "memory", "torch", "ratio",
		"this-torch", "exact norm", "this-f64", "torch-f64")
	for _, c := range []struct {
		name         string
		arch         Arch
		isa          string // forced on both programs, or empty
		lora         bool
		batch, steps int
		pairs        int
	}{
		{"lora 256x6", micro, "", true, 8, 6, 5},
		{"lora 256x6 avx2", micro, "avx2", true, 8, 6, 5},
		{"full 256x6", micro, "", false, 8, 6, 5},
		{"lora 135M", shape135M, "", true, 4, 5, 5},
		{"full 135M", shape135M, "", false, 4, 5, 5},
		{"generate 256x6", micro, "", false, 16, 3, 5},
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
				ours = append(ours, runThis(b, dir, c.isa))
				theirs = append(theirs, runTorch(b, dir, c.isa))
			}
			var exact, exactNorm torchResult
			if job.Kind == "train" {
				exact = runTorch(b, dir, c.isa, "REFERENCE_DTYPE=float64")
				exactNorm = runTorch(b, dir, c.isa, "REFERENCE_NORM=float64")
			}
			printTorch(c.name, job, ours, theirs, exact, exactNorm)
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
// ISA is the instruction set of both, or empty for the best; for env see the
// reference.
func runTorch(b *testing.B, dir, isa string, env ...string) torchResult {
	b.Helper()
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import torch").CombinedOutput(); err != nil {
		b.Fatalf("%s cannot import torch: %s\ninstall it (Debian: apt-get install python3-torch libopenblas0-openmp), or set PYTHON to an interpreter that has it",
			python, strings.TrimSpace(string(out)))
	}
	if isa == "" {
		k, err := tensor.New()
		require.NoError(b, err)
		isa = k.ISA()
	} else {
		env = append(env, "ATEN_CPU_CAPABILITY="+isa)
	}
	core := map[string]string{"avx512": "SkylakeX", "avx2": "Haswell"}[isa]
	return runBench(b, exec.Command(python, "../../../testdata/bench/torch_reference.py", dir), append(env, "OPENBLAS_CORETYPE="+core)...)
}

// runThis runs this engine's part in a process of its own.
func runThis(b *testing.B, dir, isa string) torchResult {
	b.Helper()
	env := []string{torchChild + "=" + dir}
	if isa != "" {
		env = append(env, "VERIFILY_ISA="+isa)
	}
	return runBench(b, exec.Command(os.Args[0]), env...)
}

func runBench(b *testing.B, cmd *exec.Cmd, env ...string) torchResult {
	b.Helper()
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(b, err)
	var r torchResult
	require.NoError(b, json.Unmarshal(out, &r))
	return r
}

// printTorch prints one row: medians of the pairs, the ratio pair by pair, and
// how far the losses lie apart: of the two, of this one and of PyTorch with gradients
// clipped by their exact norm, and of each and a run in double precision.
func printTorch(name string, job torchJob, ours, theirs []torchResult, exact, exactNorm torchResult) {
	var a, t, ratio, mem, tmem []float64
	for i := range ours {
		a, t = append(a, ours[i].Seconds), append(t, theirs[i].Seconds)
		ratio = append(ratio, theirs[i].Seconds/ours[i].Seconds)
		mem, tmem = append(mem, float64(ours[i].PeakBytes)/1e6), append(tmem, float64(theirs[i].PeakBytes)/1e6)
	}
	diff := "tokens equal"
	if job.Kind == "train" {
		diff = fmt.Sprintf("%.1e %10.1e %10.1e %10.1e", lossDifference(ours[0], theirs[0]), lossDifference(ours[0], exactNorm), lossDifference(ours[0], exact), lossDifference(theirs[0], exact))
	} else if !slices.EqualFunc(ours[0].Tokens, theirs[0].Tokens, slices.Equal) {
		diff = "tokens differ"
	}
	fmt.Printf("%-22s %8.0fms %8.0fms %6.2fx %8.0fMB %8.0fMB %7.2f %12s\n", name,
		1e3*median(a), 1e3*median(t), median(ratio), median(mem), median(tmem), median(mem)/median(tmem), diff)
	if name == "lora 256x6" {
		fmt.Printf("  torch %s, %s, %d threads; this engine: %s, %d workers\n", theirs[0].Torch, theirs[0].BLAS, theirs[0].Threads, ours[0].ISA, ours[0].Threads)
	}
}

// lossDifference is the largest over the first five steps.
func lossDifference(a, b torchResult) float64 {
	worst := 0.0
	for i := range min(5, len(a.Losses)) {
		worst = max(worst, abs(a.Losses[i]-b.Losses[i]))
	}
	return worst
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
	if job.Kind == "gemm" {
		k, err := tensor.New()
		if err != nil {
			return err
		}
		res := torchResult{ISA: k.ISA(), Threads: 1}
		for _, s := range job.Shapes {
			res.GFLOPS = append(res.GFLOPS, benchProduct(k, s[0], s[1], s[2]))
		}
		return json.NewEncoder(os.Stdout).Encode(res)
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
	largest := batch{seqs: seqs}
	largest.divide(len(s.pool.workers))
	for _, w := range s.pool.workers {
		w.a.grow(newMeter(s.m).floats(&largest.units[0], dropout{})) // all are alike
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
	part := func(i int) (from, to int) { return i * len(job.Prompts) / n, (i + 1) * len(job.Prompts) / n }
	meter := newEvalMeter(shapeOf(p.workers[0].m.Arch), g)
	for i := range n {
		from, to := part(i)
		meter.answers(job.Prompts[from:to])
	}
	p.reserve(meter.most())
	for range job.Steps {
		start := time.Now()
		out = make([][]int32, len(job.Prompts))
		err := p.run(n, func(w *worker, i int) {
			from, to := part(i)
			w.generate(context.Background(), g, job.Prompts[from:to], out[from:to])
		}, nil)
		if err != nil {
			panic(err)
		}
		times = append(times, time.Since(start).Seconds())
	}
	return out, times
}

// BenchmarkTorchGemm compares single products on one thread, the shapes of
// training and those of adapters, for each instruction set of the machine.
func BenchmarkTorchGemm(b *testing.B) {
	job := torchJob{Kind: "gemm", Threads: 1, Shapes: [][3]int{
		{256, 256, 256}, {512, 512, 512}, {1024, 1024, 1024}, {256, 688, 256}, {256, 1536, 576},
		{512, 16, 256}, {512, 256, 16}, {16, 256, 512}, {512, 8, 256}, {512, 256, 8},
	}}
	fmt.Printf("\n%-10s %-18s %12s %12s %7s\n", "isa", "product", "this GFLOPS", "torch", "ratio")
	for _, isa := range tensor.ISAs() {
		if isa == "generic" {
			continue
		}
		b.Run(isa, func(b *testing.B) {
			dir := b.TempDir()
			require.NoError(b, writeJSON(filepath.Join(dir, "job.json"), job))
			ours, theirs := make([][]float64, len(job.Shapes)), make([][]float64, len(job.Shapes))
			for range 5 {
				a, t := runThis(b, dir, isa), runTorch(b, dir, isa)
				for i := range job.Shapes {
					ours[i], theirs[i] = append(ours[i], a.GFLOPS[i]), append(theirs[i], t.GFLOPS[i])
				}
			}
			for i, s := range job.Shapes {
				var ratio []float64
				for j := range ours[i] {
					ratio = append(ratio, ours[i][j]/theirs[i][j])
				}
				fmt.Printf("%-10s %-18s %12.1f %12.1f %7.2f\n", isa, fmt.Sprintf("%d x %d x %d", s[0], s[1], s[2]), median(ours[i]), median(theirs[i]), median(ratio))
			}
		})
	}
}

// benchProduct is the speed of x·Wᵀ, the product of a linear layer.
func benchProduct(k tensor.Kernels, m, n, depth int) float64 {
	rng := tensor.NewPhilox(5)
	a, w, c := make([]float32, m*depth), make([]float32, n*depth), make([]float32, m*n)
	rng.Uniform(a, 1)
	rng.Uniform(w, 1)
	runs := max(1, 20_000_000/(2*m*n*depth))
	best := 0.0
	for range 30 {
		start := time.Now()
		for range runs {
			k.Gemm(tensor.Mat(c, m, n), tensor.Mat(a, m, depth), tensor.Mat(w, n, depth).T(), false)
		}
		best = max(best, float64(2*m*n*depth*runs)/float64(time.Since(start).Nanoseconds()))
	}
	return best
}
