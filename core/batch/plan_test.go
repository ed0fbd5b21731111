package batch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/verifily/verifily-tui/core/batch"
	"github.com/verifily/verifily-tui/core/fault"
)

const trainYAML = `task: sft
base_model: builtin:nano
data_paths: {train: train.jsonl, val: val.jsonl, test: test.jsonl}
lora: {enabled: false}
tokenizer: {vocab_size: 300}
training: {num_epochs: 2, batch_size: 4, gradient_accumulation_steps: 2, save_steps: 3, logging_steps: 2}
eval: {slice_by_tags: [half], generation_max_new_tokens: 4, generation_num_beams: 1}
`

// inFolder makes a folder with files the current one for the test.
func inFolder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	t.Chdir(dir)
	return dir
}

func names(p *batch.Plan) []string {
	var out []string
	for _, j := range p.Jobs {
		out = append(out, j.Name)
	}
	return out
}

func TestPlanIsExpanded(t *testing.T) {
	inFolder(t, map[string]string{"train.yaml": trainYAML, "other.jsonl": ""})
	p, err := batch.Parse("plan.yaml", []byte(`
runs_dir: out/
defaults: {config: train.yaml, set: {training.num_epochs: 5}, eval: {slice_by: [source, half]}}
jobs:
  - name: human
    set: {data_paths: {train: data/human.jsonl}, seed: 7}
  - name: sweep
    matrix: {training.learning_rate: [1e-4, 2e-4], lora.r: [8, 16], seed: [1, 2]}
    exclude:
      - {training.learning_rate: 0.0001, lora.r: 8}
    include:
      - {training.learning_rate: 1e-3, training.num_epochs: 1}
    after: human
  - name: top
    set: {base_model: "job:human"}
  - name: check
    run: human
    eval: {test_data: other.jsonl, hard_examples: 3}
    after: [sweep]
compare: {metric: f1, slice_by: source, baseline: human}
decide: {job: top}
slots: {cpu: 3, cuda: 2}
stop: {on_failure: true, after: 8h, min_free_disk: 5GB}
retries: 1
`))
	require.NoError(t, err)
	assert.Equal(t, []string{"human", "sweep-1", "sweep-2", "sweep-3", "sweep-4", "sweep-5", "sweep-6", "sweep-7", "top", "check"}, names(p))
	assert.Equal(t, "out/", p.RunsDir)
	human, first, last := p.Jobs[0], p.Jobs[1], p.Jobs[7]
	assert.Equal(t, "data/human.jsonl", *human.Config.DataPaths.Train)
	assert.Equal(t, "human", *human.Config.Name)
	assert.Equal(t, "out/", human.Config.Output.Dir)
	assert.Equal(t, 5, human.Config.Training.NumEpochs)
	assert.Equal(t, []string{"source", "half"}, human.Config.Eval.SliceByTags)
	assert.EqualValues(t, 7, human.Config.Seed)
	// The first combination is excluded with both its seeds; the last key varies
	// fastest.
	assert.Equal(t, 1e-4, first.Config.Training.LearningRate)
	assert.Equal(t, 16, first.Config.LoRA.R)
	assert.EqualValues(t, 1, first.Config.Seed)
	assert.EqualValues(t, 2, p.Jobs[2].Config.Seed)
	assert.Equal(t, 2e-4, p.Jobs[3].Config.Training.LearningRate)
	assert.Equal(t, 1e-3, last.Config.Training.LearningRate)
	assert.Equal(t, 1, last.Config.Training.NumEpochs, "what is included wins over the defaults")
	assert.Equal(t, []string{"human"}, first.After)
	assert.Same(t, &first.After[0], &p.Jobs[2].After[0], "the list may be long, and so may the matrix")
	assert.Equal(t, []string{"human"}, p.Jobs[8].After, "the base model's job comes first")
	assert.Equal(t, "human", p.Jobs[8].BaseJob())
	check := p.Jobs[9]
	assert.Nil(t, check.Config)
	assert.Equal(t, []string{"human", "sweep-1", "sweep-2", "sweep-3", "sweep-4", "sweep-5", "sweep-6", "sweep-7"}, check.After)
	assert.Equal(t, 3, *check.Eval.HardExamples)
	assert.Equal(t, []string{"source", "half"}, check.Eval.SliceBy)
	assert.Equal(t, batch.Slots{CPU: 3, CUDA: 2}, p.Slots)
	assert.Equal(t, batch.Stop{OnFailure: true, After: 8 * time.Hour, MinFreeDisk: 5e9}, p.Stop)
	assert.Equal(t, 1, p.Retries)
}

// TestAfterKeepsTheOrder: what a job waits for is in the order of the plan.
func TestAfterKeepsTheOrder(t *testing.T) {
	inFolder(t, map[string]string{"train.yaml": trainYAML})
	p, err := batch.Parse("plan.yaml", []byte(`
defaults: {config: train.yaml}
jobs:
  - {name: s, matrix: {seed: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}
  - {name: b, after: [s-2, s, s-10]}
`))
	require.NoError(t, err)
	assert.Equal(t, names(p)[:10], p.Jobs[10].After)
}

// TestMatrixOfSettings: keys may be nested, and a value may be several settings
// that belong together.
func TestMatrixOfSettings(t *testing.T) {
	inFolder(t, map[string]string{"train.yaml": trainYAML})
	p, err := batch.Parse("plan.yaml", []byte(`
jobs:
  - name: a
    config: train.yaml
    matrix:
      lora: [{enabled: true, r: 4}, {enabled: false}]
      training: {batch_size: [2, 3], learning_rate: [1e-3]}
    exclude: [{lora.r: 4, training.batch_size: 3}]
`))
	require.NoError(t, err)
	require.Len(t, p.Jobs, 3)
	for i, want := range []struct {
		adapter bool
		rows    int
	}{{true, 2}, {false, 2}, {false, 3}} {
		cfg := p.Jobs[i].Config
		assert.Equal(t, want.adapter, cfg.LoRA.Enabled, i)
		assert.Equal(t, want.rows, cfg.Training.BatchSize, i)
		assert.Equal(t, 1e-3, cfg.Training.LearningRate, i)
	}
	assert.Equal(t, 4, p.Jobs[0].Config.LoRA.R)
}

func TestTrainYAMLIsAPlanOfOne(t *testing.T) {
	inFolder(t, map[string]string{"train.yaml": trainYAML})
	p, err := batch.Load("train.yaml")
	require.NoError(t, err)
	require.Equal(t, []string{"train"}, names(p))
	assert.Nil(t, p.Jobs[0].Config.Name, "the config is what verifily train would use")
	assert.Equal(t, batch.Slots{CPU: 1, CUDA: batch.AllGPUs}, p.Slots)
	assert.Equal(t, batch.DefaultRetries, p.Retries)
}

func TestPlanErrors(t *testing.T) {
	job := "jobs:\n  - {name: a, config: train.yaml}\n"
	for name, c := range map[string]struct {
		plan string
		want []string // parts of the message, in order
	}{
		"empty":             {"", []string{"the file is empty"}},
		"a list":            {"- a", []string{"plan.yaml:1: the file holds a list"}},
		"not YAML":          {"jobs: [", []string{"not valid YAML"}},
		"two documents":     {job + "---\njobs: []\n", []string{"a second YAML document"}},
		"no jobs":           {"slots: {cpu: 1}", []string{"jobs: is required"}},
		"jobs is no list":   {"jobs: 3", []string{`plan.yaml:1: jobs: must be a list of jobs, not "3"`}},
		"unknown keys":      {job + "slotz: {cpu: 1}\nstop: {on_failur: true}\n", []string{"plan.yaml:3: slotz: unknown key (did you mean slots?)", "plan.yaml:4: stop.on_failur: unknown key (did you mean on_failure?)"}},
		"twice":             {job + "slots: {cpu: 1}\nslots: {cpu: 2}\n", []string{"plan.yaml:4: slots: is set twice, first on line 3"}},
		"same name":         {"jobs:\n  - {name: a, config: train.yaml}\n  - {name: a, config: train.yaml}\n", []string{"plan.yaml:3: jobs[2].name: a is the name of the job on line 2 too"}},
		"matrix name":       {"jobs:\n  - {name: a-1, config: train.yaml}\n  - {name: a, config: train.yaml, matrix: {seed: [1]}}\n", []string{"plan.yaml:3: a-1: is the name of a job on line 2 too"}},
		"no name":           {"jobs:\n  - {config: train.yaml}\n", []string{"plan.yaml:2: jobs[1].name: is required"}},
		"bad name":          {"jobs:\n  - {name: ../a, config: train.yaml}\n", []string{"plan.yaml:2: jobs[1].name: must be letters"}},
		"bad setting":       {"jobs:\n  - name: a\n    config: train.yaml\n    set:\n      training.learning_rate: fast\n      training.lerning_rate: 1\n", []string{"plan.yaml:5: a: training.learning_rate: must be a number", "plan.yaml:6: a: training.lerning_rate: unknown key", "learning_rate"}},
		"in a matrix":       {"jobs:\n  - name: a\n    config: train.yaml\n    matrix:\n      seed: [1, x]\n", []string{"plan.yaml:5: a: seed: must be a whole number"}},
		"matrix no list":    {"jobs:\n  - name: a\n    config: train.yaml\n    matrix: {seed: 1}\n", []string{"plan.yaml:4: jobs[1].matrix.seed: must be a list of values"}},
		"matrix is empty":   {"jobs:\n  - name: a\n    config: train.yaml\n    matrix: {seed: []}\n", []string{"plan.yaml:4: jobs[1].matrix.seed: must have a value at least"}},
		"no such metric":    {job + "compare: {metric: exact_mach}\n", []string{`plan.yaml:3: compare.metric: there is no metric "exact_mach" (did you mean exact_match?)`}},
		"other metric":      {job + "compare:\n  baseline: a\n  metric: wer\n", []string{"plan.yaml:5: compare.metric: is wer, which the evaluation of a does not compute (add it to eval.metrics)"}},
		"excludes all":      {"jobs:\n  - name: a\n    config: train.yaml\n    matrix: {seed: [1]}\n    exclude: [{seed: 1}]\n", []string{"a.matrix: leaves no job"}},
		"excludes nothing":  {"jobs:\n  - name: a\n    config: train.yaml\n    matrix: {seed: [1]}\n    exclude: [{seed: 2}]\n", []string{"plan.yaml:5: a.exclude: excludes nothing"}},
		"too many":          {"jobs:\n  - name: a\n    config: train.yaml\n    matrix: {seed: [" + strings.Repeat("1,", 200) + "1], lora.r: [" + strings.Repeat("1,", 200) + "1]}\n", []string{"a.matrix: makes more than 10000 jobs"}},
		"all at once":       {"jobs:\n  - name: a\n    config: train.yaml\n    set: {sed: 1}\n    matrix: {seed: 1}\n  - {name: b, config: train.yaml, after: b}\n  - {name: c, config: train.yaml, after: c}\n", []string{"plan.yaml:4: a: sed: unknown key", "plan.yaml:5: jobs[1].matrix.seed: must be a list", "plan.yaml:6: b: waits for itself", "plan.yaml:7: c: waits for itself"}},
		"exclude alone":     {"jobs:\n  - name: a\n    config: train.yaml\n    exclude: [{seed: 1}]\n", []string{"plan.yaml:4: a.exclude: means nothing without matrix"}},
		"nested and dotted": {"jobs:\n  - name: a\n    config: train.yaml\n    set:\n      training: {num_epochs: 1}\n      training.num_epochs: 2\n    matrix:\n      lora: [{r: 1}, {r: 2}]\n      lora.r: [3]\n", []string{"plan.yaml:6: jobs[1].set.training.num_epochs: is set twice, first on line 5", "plan.yaml:9: jobs[1].matrix.lora.r: is set twice, first on line 8"}},
		"a matrix as a job": {"jobs:\n  - {name: a, config: train.yaml, matrix: {seed: [1]}}\n  - {name: b, run: a}\n  - {name: c, config: train.yaml, set: {base_model: 'job:a'}}\ncompare: {baseline: a}\ndecide: {job: a}\n", []string{`plan.yaml:3: b.run: there is no job or run "a" (it is a matrix: name one of its jobs, such as a-1)`, `plan.yaml:4: c: base_model: there is no job "a" (it is a matrix`, `plan.yaml:5: compare.baseline: there is no job or run "a" (it is a matrix`, `plan.yaml:6: decide.job: there is no job "a" (it is a matrix`}},
		"same evaluation":   {"jobs:\n  - {name: a, config: train.yaml}\n  - {name: b, run: a, eval: {test_data: o.jsonl}}\n  - {name: c, run: a, eval: {test_data: o.jsonl, metrics: [f1]}}\n  - {name: d, run: a, eval: {metrics: [wer]}}\n  - {name: e, run: a}\n", []string{"2 problems", "plan.yaml:4: c.eval: is of the same run and data as that of the job b", "plan.yaml:5: d.eval: is of the same run and data as that of the job a, and one would replace the other"}},
		"no test data":      {"defaults: {eval: {test_data: none.jsonl}}\njobs:\n  - {name: a, config: train.yaml}\n  - name: b\n    run: a\n    eval:\n      test_data: hardd.jsonl\n  - {name: c, run: a}\n  - {name: d, run: a, eval: {test_data: ./}}\n", []string{"3 problems", "plan.yaml:1: defaults.eval.test_data: there is no none.jsonl (check the path)", "plan.yaml:7: b.eval.test_data: there is no hardd.jsonl (did you mean hard.jsonl?)", "plan.yaml:9: d.eval.test_data: cannot read ./: is a directory"}},
		"reserved":          {"jobs:\n  - {name: a, config: train.yaml, set: {name: b, output.dir: c}}\n", []string{"name: is given by the job's name", "output.dir: is the same for all jobs"}},
		"no config file":    {"jobs:\n  - {name: a, config: trian.yaml}\n", []string{"plan.yaml:2: a.config:", "trian.yaml"}},
		"incomplete config": {"jobs:\n  - {name: a, set: {task: sft}}\n", []string{"plan.yaml:2: a: base_model", "plan.yaml:2: a: data_paths.train: is required"}},
		"broken config":     {"jobs:\n  - {name: a, config: bad.yaml}\n  - {name: b, config: bad.yaml}\n", []string{"bad.yaml:2: bse_model: unknown key"}},
		"run with config":   {"jobs:\n  - {name: a, config: train.yaml}\n  - {name: b, run: a, set: {seed: 1}}\n", []string{"plan.yaml:3: jobs[2].set: means nothing beside run"}},
		"no such run":       {"jobs:\n  - {name: human, config: train.yaml}\n  - {name: b, run: humen}\n", []string{`plan.yaml:3: b.run: there is no job or run "humen" (did you mean the job human?)`}},
		"no such job":       {"jobs:\n  - {name: human, config: train.yaml, after: [humam]}\n", []string{`human.after: there is no job "humam" (did you mean human?)`}},
		"no such base":      {"jobs:\n  - {name: a, config: train.yaml, set: {base_model: 'job:b'}}\n", []string{`a: base_model: there is no job "b"`}},
		"lines of keys":     {"defaults:\n  config: none.yaml\njobs:\n  - name: a\n    set:\n      base_model: job:c\n    after:\n      x\n  - name: b\n    run: y\n  - name: d\n    matrix: {seed: [1]}\n    config: train.yaml\n    set: {base_model: 'job:c'}\n    exclude: [{seed: 1}]\n  - name: e\n    run: d\ndecide:\n  baseline: y\n  job: z\n", []string{"plan.yaml:2: a.config", "plan.yaml:7: a.after: there is no job", "plan.yaml:10: b.run: there is no", "plan.yaml:12: d.matrix: leaves no job", "plan.yaml:17: e.run", "plan.yaml:19: decide.baseline", "plan.yaml:20: decide.job"}},
		"line of a base":    {"jobs:\n  - name: a\n    config: train.yaml\n    set:\n      base_model: job:b\n", []string{"plan.yaml:5: a: base_model: there is no job"}},
		"line of an eval":   {"jobs:\n  - {name: a, config: train.yaml}\n  - name: b\n    run: a\n    eval: {metrics: [wer]}\n", []string{"plan.yaml:5: b.eval: is of the same run"}},
		"cycle":             {"jobs:\n  - {name: a, config: train.yaml, after: b}\n  - {name: b, config: train.yaml, after: a}\n", []string{"waits for itself"}},
		"baselines":         {job + "compare: {baseline: x}\ndecide:\n  baseline: y\n  job: z\n", []string{`plan.yaml:3: compare.baseline: there is no job or run "x"`, `decide.baseline: there is no job or run "y"`, `decide.job: there is no job "z"`}},
		"no policy":         {job + "decide: {policy: none.yaml}\n", []string{"decide.policy", "none.yaml"}},
		"numbers":           {job + "slots: {cpu: 0, cuda: some}\nretries: -1\nstop: {after: 3, min_free_disk: lots, on_failure: maybe}\n", []string{"slots.cpu: must be at least 1, not 0", "slots.cuda: must be a whole number", "retries: must be at least 0", "stop.after: must be a time", "stop.min_free_disk: must be a size", "stop.on_failure: must be true or false"}},
		"aliases":           {"jobs:\n  - name: a\n    config: train.yaml\n    set: {base_model: &b x, name: *b}\n  - *b\n", []string{"must hold keys of its own, not an alias"}},
	} {
		t.Run(name, func(t *testing.T) {
			inFolder(t, map[string]string{"train.yaml": trainYAML, "o.jsonl": "", "hard.jsonl": "", "bad.yaml": "task: sft\nbse_model: x\ndata_paths: {train: t.jsonl}\nbase_model: y\n"})
			_, err := batch.Parse("plan.yaml", []byte(c.plan))
			var typed *fault.ConfigError
			require.ErrorAs(t, err, &typed)
			for _, want := range c.want {
				assert.Contains(t, err.Error(), want)
			}
			if strings.Contains(c.plan, "matrix: {seed: 1}") {
				assert.NotContains(t, err.Error(), "leaves no job", "it follows from another fault")
			}
			if name == "broken config" {
				assert.Equal(t, 1, strings.Count(err.Error(), "bse_model"), "a fault is told once, not once a job")
			}
		})
	}
}

func TestPlanFileErrors(t *testing.T) {
	dir := inFolder(t, nil)
	_, err := batch.Load("none.yaml")
	assert.ErrorContains(t, err, "load plan: none.yaml")
	_, err = batch.Load(dir)
	assert.Error(t, err)
	require.NoError(t, os.WriteFile("big.yaml", make([]byte, 5<<20), 0o644))
	_, err = batch.Load("big.yaml")
	assert.ErrorContains(t, err, "too large")
	require.NoError(t, os.Symlink("/dev/zero", "zero.yaml"))
	_, err = batch.Load("zero.yaml")
	assert.ErrorContains(t, err, "not a regular file")
	require.NoError(t, syscall.Mkfifo("pipe.yaml", 0o600))
	_, err = batch.Load("pipe.yaml") // does not wait for a writer
	assert.ErrorContains(t, err, "not a regular file")
	_, err = batch.Parse("plan.yaml", []byte("jobs: [{name: a, config: pipe.yaml}]"))
	assert.ErrorContains(t, err, "not a regular file")
}

// TestHostilePlans: plans that are made to hurt are refused at once, in a few
// lines.
func TestHostilePlans(t *testing.T) {
	inFolder(t, map[string]string{"train.yaml": trainYAML})
	bomb := "a: &a [x,x,x,x,x,x,x,x]\n"
	for c := byte('b'); c < 'm'; c++ {
		bomb += fmt.Sprintf("%[1]c: &%[1]c [*%[2]c,*%[2]c,*%[2]c,*%[2]c,*%[2]c,*%[2]c,*%[2]c,*%[2]c]\n", c, c-1)
	}
	for name, plan := range map[string]string{
		"an alias bomb":        bomb + "jobs:\n  - {name: a, config: train.yaml, set: {eval.metrics: *l}}\n",
		"a merge key":          "jobs:\n  - {name: a, config: train.yaml, set: {<<: {seed: 1}}}\n",
		"deep lists":           "jobs: " + strings.Repeat("[", 20000) + strings.Repeat("]", 20000),
		"deep keys":            "jobs:\n  - {name: a, config: train.yaml, set: " + strings.Repeat("{a: ", 5000) + "1" + strings.Repeat("}", 5000) + "}\n",
		"a million jobs":       "jobs:\n  - {name: a, config: train.yaml, matrix: {seed: [" + strings.Repeat("1, ", 1000) + "2], lora.r: [" + strings.Repeat("1, ", 1000) + "2]}}\n",
		"many jobs":            "jobs:\n" + strings.Repeat("  - {name: x}\n", 100_000),
		"many included":        "jobs:\n  - {name: a, config: train.yaml, include: [" + strings.Repeat("{seed: 1}, ", 10_000) + "{seed: 2}]}\n",
		"ten thousand faults":  "jobs:\n" + strings.Repeat("  - {nam: x}\n", 10000),
		"a name with a path":   "jobs: [{name: ../../etc/passwd, config: train.yaml}]",
		"a name with an order": "jobs: [{name: \"a\\e[31m\", config: train.yaml}]",
		"a name like a flag":   "jobs: [{name: -rf, config: train.yaml}]",
	} {
		_, err := batch.Parse("plan.yaml", []byte(plan))
		var wrong *fault.ConfigError
		require.ErrorAs(t, err, &wrong, name)
		assert.Less(t, len(err.Error()), 10000, name)
		assert.NotContains(t, err.Error(), "\x1b", name)
	}
}

// FuzzParse: whatever stands in a plan, it is a plan or a ConfigError.
func FuzzParse(f *testing.F) {
	f.Add([]byte("jobs:\n  - {name: a, config: train.yaml, matrix: {seed: [1, 2]}}\n"))
	f.Add([]byte("jobs: [{name: a, set: {training: {num_epochs: 1}}}]\nslots: {cpu: 2}\nstop: {after: 1h, min_free_disk: 1GiB}"))
	f.Add([]byte("jobs:\n- name: b\n  run: a\n  eval: {slice_by: x}\n  exclude: [{a: 1}]\n  include: [[]]\n"))
	f.Add([]byte("task: sft\nbase_model: x\n"))
	f.Add([]byte("jobs: [{name: a, matrix: {lora: [{r: 4}, {enabled: false}], training: {batch_size: [1, 2]}, x: {}}}]\ncompare: {metric: f2}"))
	f.Add([]byte("a: &a [*a]"))
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "train.yaml"), []byte(trainYAML), 0o644); err != nil {
		f.Fatal(err)
	}
	f.Chdir(dir)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := batch.Parse("plan.yaml", data)
		if err != nil {
			var typed *fault.ConfigError
			require.ErrorAs(t, err, &typed)
			return
		}
		require.NotEmpty(t, p.Jobs)
		seen := map[string]bool{}
		for _, j := range p.Jobs {
			require.False(t, seen[j.Name])
			seen[j.Name] = true
			require.True(t, (j.Config == nil) != (j.Run == ""), "a job trains or evaluates")
		}
	})
}
