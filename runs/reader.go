package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/verifily/verifily-tui/runs/regular"
)

// Kind says what wrote a run folder.
type Kind string

const (
	// KindRun: a run directory of Verifily, of any age.
	KindRun Kind = "run"
	// KindTrainer: an output folder of the Hugging Face Trainer.
	KindTrainer Kind = "trainer"
)

// Run reads a run folder. Every call reads the files afresh, so a Run may be
// kept while the run goes on; its methods may be called from several
// goroutines. A file that is not there gives an error that is os.ErrNotExist.
type Run struct {
	dir   string
	given string
	kind  Kind

	mu  sync.Mutex
	odd map[string]bool
}

// Open looks at a folder and says what it is; the files are read when they are
// asked for. The error is ErrNotRun when the folder holds no file of a run.
func Open(dir string) (*Run, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, runError("open run", dir, err)
	}
	info, err := os.Stat(abs)
	if err != nil {
		return nil, runError("open run", dir, pathCause(err))
	}
	if !info.IsDir() {
		return nil, runError("open run", dir, fmt.Errorf("%w: it is a file", ErrNotRun))
	}
	kind, ok := kindOf(abs)
	if !ok {
		return nil, runError("open run", dir, fmt.Errorf("%w: neither run_meta.json nor trainer_state.json is there", ErrNotRun))
	}
	return &Run{dir: abs, given: dir, kind: kind}, nil
}

// runFiles are files that make a folder a run even without run_meta.json.
var runFiles = []string{metaFile, logFile, hashesFile, evalDir + "/" + resultsFile, configFile}

func kindOf(dir string) (Kind, bool) {
	if isFile(filepath.Join(dir, metaFile)) {
		return KindRun, true
	}
	if trainerStatePath(dir) != "" {
		return KindTrainer, true
	}
	for _, name := range runFiles {
		if isFile(filepath.Join(dir, name)) {
			return KindRun, true
		}
	}
	return "", false
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Dir returns the absolute path of the folder.
func (r *Run) Dir() string { return r.dir }

// Path returns the path of the folder as it was given to Open.
func (r *Run) Path() string { return r.given }

// Kind says what wrote the folder.
func (r *Run) Kind() Kind { return r.kind }

// Oddities lists, sorted, what the reads so far had to pass over: fields of an
// unexpected type, lines that are not JSON.
func (r *Run) Oddities() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.odd))
}

func (r *Run) note(odd ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.odd == nil {
		r.odd = map[string]bool{}
	}
	for _, o := range odd {
		r.odd[o] = true
	}
}

func (r *Run) path(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

// record reads a JSON object and hands it to read, noting what was odd.
func (r *Run) record(name string, read func(*record)) error {
	rec, err := readRecord(r.path(name))
	if err != nil {
		return err
	}
	read(rec)
	r.note(rec.oddities(name)...)
	return nil
}

// Meta reads run_meta.json. Of a Trainer folder it tells what
// trainer_state.json knows: the name, the status, the metrics.
func (r *Run) Meta() (Meta, error) {
	if r.kind == KindTrainer {
		t, err := readTrainerState(r.dir)
		if err != nil {
			return Meta{}, err
		}
		return t.meta(r.dir), nil
	}
	data, err := readWhole(r.path(metaFile))
	if err != nil {
		return Meta{}, err
	}
	m, odd, err := decodeMeta(data)
	if err != nil {
		return Meta{}, fmt.Errorf("read %s: %w", r.path(metaFile), err)
	}
	r.note(odd...)
	if m.RunID == "" {
		m.RunID = filepath.Base(r.dir)
	}
	return m, nil
}

// Log reads the training log whole: train_log.jsonl, or the log_history of
// trainer_state.json where that is all there is. A last line without its
// newline counts if it is whole.
func (r *Run) Log() (*Log, error) {
	f, err := regular.Open(r.path(logFile))
	if errors.Is(err, os.ErrNotExist) && trainerStatePath(r.dir) != "" {
		t, err := readTrainerState(r.dir)
		if err != nil {
			return nil, err
		}
		return t.log(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.path(logFile), pathCause(err))
	}
	defer f.Close()
	log, rest, err := readLog(f, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.path(logFile), pathCause(err))
	}
	if line, err := new(lineParser).parse(string(rest)); err == nil {
		log.Lines = append(log.Lines, line)
		log.Next += int64(len(rest))
	}
	if log.Bad > 0 {
		r.note(fmt.Sprintf("%s: %d unreadable lines", logFile, log.Bad))
	}
	return log, nil
}

// TailLog follows train_log.jsonl from its start.
func (r *Run) TailLog() *LogTail { return NewLogTail(r.path(logFile)) }

// Summary reads train_summary.json, or what trainer_state.json knows of it.
func (r *Run) Summary() (Summary, error) {
	if r.kind == KindTrainer {
		t, err := readTrainerState(r.dir)
		if err != nil {
			return Summary{}, err
		}
		return t.summary(), nil
	}
	var s Summary
	err := r.record(summaryFile, func(rec *record) {
		restoreNonFinite(rec)
		steps, _ := rec.whole("total_steps")
		s.TotalSteps = int(steps)
		s.TotalEpochs = rec.finite("total_epochs")
		s.FinalTrainLoss = rec.number("final_train_loss")
		s.BestEvalLoss = rec.number("best_eval_loss")
		if step, ok := rec.whole("best_eval_step"); ok {
			n := int(step)
			s.BestEvalStep = &n
		}
		s.TotalTrainSamples, _ = rec.whole("total_train_samples")
		s.TokensProcessed, _ = rec.whole("tokens_processed")
		s.WallTimeSeconds = rec.finite("wall_time_seconds")
		s.GPUHours = rec.finite("gpu_hours")
		s.NonFinite = rec.texts("non_finite")
	})
	return s, err
}

// Hashes reads hashes.json as it is written, hand-typed values included.
func (r *Run) Hashes() (Hashes, error) {
	var h Hashes
	err := r.record(hashesFile, func(rec *record) {
		h = Hashes{
			ConfigHash:          rec.text("config_hash"),
			DataHash:            rec.text("data_hash"),
			EnvironmentHash:     rec.text("environment_hash"),
			ReproducibilityHash: rec.text("reproducibility_hash"),
			AdapterWeightsHash:  rec.text("adapter_weights_hash"),
			HashAlgorithm:       rec.text("hash_algorithm"),
			Files:               rec.texts("files"),
			ChainHash:           rec.text("chain_hash"),
		}
	})
	return h, err
}

// Environment reads environment.json. Older writers give python_version in
// place of runtime_version.
func (r *Run) Environment() (Environment, error) {
	var e Environment
	err := r.record(environmentFile, func(rec *record) {
		e = Environment{
			RuntimeVersion: rec.text("runtime_version"),
			Platform:       rec.text("platform"),
			OS:             rec.text("os"),
			Packages:       rec.texts("packages"),
			CPU:            rec.text("cpu"),
			InstructionSet: rec.text("instruction_set"),
		}
		if e.RuntimeVersion == "" {
			e.RuntimeVersion = rec.text("python_version")
		}
		if raw, ok := rec.has("gpu"); ok {
			// Numbers keep their spelling, so that the hash of what was read
			// is the hash of what was written.
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.UseNumber()
			if dec.Decode(&e.GPU) != nil {
				rec.note("gpu")
				e.GPU = nil
			}
		}
	})
	return e, err
}

// Manifest reads manifest.json as it is.
func (r *Run) Manifest() ([]byte, error) { return readWhole(r.path(manifestFile)) }
