package native

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/engine/native/safetensors"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/regular"
)

// progress is how far a run has come; it is trainer_state.json of a checkpoint.
// Random numbers are drawn from counters, so the step and the seed are the
// whole random state.
type progress struct {
	Step         int      `json:"global_step"`
	Epoch        float64  `json:"epoch"`
	MaxSteps     int      `json:"max_steps"`
	Samples      int64    `json:"samples_seen"`
	Tokens       int64    `json:"num_input_tokens_seen"`
	LossSum      float64  `json:"loss_sum"` // of the steps since the last logged one
	LossSteps    int      `json:"loss_steps"`
	LastLoss     float64  `json:"last_logged_loss"`
	Evaluated    int      `json:"evaluated_step"` // the last step whose evaluation is done
	EvalLoss     *float64 `json:"eval_loss"`
	BestEvalLoss *float64 `json:"best_metric"`
	BestEvalStep int      `json:"best_global_step"`
	Seconds      float64  `json:"train_seconds"`
	Seed         int64    `json:"seed"`
	ConfigHash   string   `json:"config_hash"`
	DataHash     string   `json:"data_hash"`
}

const (
	stateName     = "trainer_state.json"
	optimizerName = "optimizer.safetensors"
	schedulerName = "scheduler.json"
	randomName    = "rng_state.json"
)

func checkpointName(step int) string { return fmt.Sprintf("checkpoint-%d", step) }

// saveCheckpoint writes checkpoint-N whole or not at all: everything goes into
// a folder that readers ignore, which is renamed when it is on disk.
func (t *training) saveCheckpoint() (string, error) {
	rel := checkpointsDir + "/" + checkpointName(t.state.Step)
	root := filepath.Join(t.job.Dir, checkpointsDir)
	final := filepath.Join(t.job.Dir, filepath.FromSlash(rel))
	if exists(filepath.Join(final, stateName)) {
		// The same step of a run that is repeated after a crash has the same
		// bytes.
		return rel, nil
	}
	if err := os.RemoveAll(final); err != nil {
		return "", fmt.Errorf("replace incomplete checkpoint: %w", err)
	}
	if t.job.BeforeCheckpoint != nil {
		if err := t.job.BeforeCheckpoint(); err != nil {
			return "", err
		}
	}
	// The run directory is there, unless somebody deleted it.
	if err := os.Mkdir(root, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("save checkpoint: %w", err)
	}
	temp, err := os.MkdirTemp(root, ".saving-")
	if err != nil {
		return "", fmt.Errorf("save checkpoint: %w", err)
	}
	err = t.writeCheckpoint(temp)
	if err == nil {
		err = os.Chmod(temp, 0o755)
	}
	if err == nil {
		err = atomicfile.SyncDir(temp)
	}
	if err == nil {
		err = os.Rename(temp, final)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("save checkpoint: %w", err), os.RemoveAll(temp))
	}
	if err := atomicfile.SyncDir(root); err != nil {
		return "", fmt.Errorf("save checkpoint: %w", err)
	}
	return rel, t.dropOldCheckpoints(root)
}

func (t *training) writeCheckpoint(dir string) error {
	if err := t.saveWeights(dir); err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	for _, p := range t.model.trainable {
		tensors = append(tensors,
			safetensors.Tensor{Name: "exp_avg." + p.Name, Shape: p.Shape, Data: p.M},
			safetensors.Tensor{Name: "exp_avg_sq." + p.Name, Shape: p.Shape, Data: p.V})
	}
	if err := safetensors.Write(filepath.Join(dir, optimizerName), tensors, nil); err != nil {
		return err
	}
	scheduler := map[string]any{"type": t.schedule.kind, "base_lr": t.schedule.base, "last_step": t.state.Step,
		"warmup_steps": t.schedule.warmup, "total_steps": t.schedule.total}
	random := map[string]any{"generator": "philox4x32-10", "seed": t.cfg.Seed, "step": t.state.Step}
	if err := firstError(writeJSON(filepath.Join(dir, schedulerName), scheduler),
		writeJSON(filepath.Join(dir, randomName), random)); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, stateName), t.state)
}

// dropOldCheckpoints keeps the newest save_total_limit checkpoints and the one
// with the best evaluation loss.
func (t *training) dropOldCheckpoints(root string) error {
	limit := t.cfg.Training.SaveTotalLimit
	steps, err := checkpointSteps(root)
	if err != nil || limit == 0 {
		return err
	}
	for _, step := range steps[:max(0, len(steps)-limit)] {
		if t.state.BestEvalLoss != nil && step == t.state.BestEvalStep {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, checkpointName(step))); err != nil {
			return fmt.Errorf("drop old checkpoint: %w", err)
		}
	}
	return nil
}

// checkpointSteps lists the complete checkpoints of a folder, oldest first.
func checkpointSteps(root string) ([]int, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var steps []int
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "checkpoint-")
		step, err := strconv.Atoi(number)
		if ok && err == nil && exists(filepath.Join(root, e.Name(), stateName)) {
			steps = append(steps, step)
		}
	}
	slices.SortFunc(steps, cmp.Compare)
	return steps, nil
}

// LatestCheckpoint returns the newest complete checkpoint of a run directory
// and its step, or an empty path when there is none.
func LatestCheckpoint(runDir string) (path string, step int, err error) {
	root := filepath.Join(runDir, checkpointsDir)
	steps, err := checkpointSteps(root)
	if err != nil || len(steps) == 0 {
		return "", 0, err
	}
	step = steps[len(steps)-1]
	return filepath.Join(root, checkpointName(step)), step, nil
}

// CheckCheckpoint opens the files of a checkpoint, of an adapter or of a whole
// model, so that nothing is given up for one that is damaged. Errors are
// *fault.TrainingError.
func CheckCheckpoint(dir string, adapter bool) error {
	weights := modelWeightsName
	if adapter {
		weights = adapterWeightsName
	}
	for _, name := range []string{weights, optimizerName} {
		f, err := safetensors.Open(filepath.Join(dir, name))
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			return brokenCheckpoint(dir, name, err)
		}
	}
	return nil
}

func brokenCheckpoint(dir, name string, err error) error {
	return &fault.TrainingError{Detail: fault.Detail{Op: "resume", Path: filepath.Join(dir, name), Err: err,
		Hint: "resume from an older checkpoint of the run, or start again without --resume"}}
}

// RemoveCheckpointsAfter removes the checkpoints of a run that were made after a
// step, newest first, and says how many. What is left of one when this is cut
// short, RemoveLeftovers removes.
func RemoveCheckpointsAfter(runDir string, step int) (removed int, err error) {
	root := filepath.Join(runDir, checkpointsDir)
	steps, err := checkpointSteps(root)
	for _, s := range slices.Backward(steps) {
		if err != nil || s <= step {
			break
		}
		// Renamed first: half a checkpoint must not look like a whole one.
		gone := filepath.Join(root, ".saving-"+checkpointName(s))
		if err = os.Rename(filepath.Join(root, checkpointName(s)), gone); err == nil {
			removed++
			err = os.RemoveAll(gone)
		}
	}
	if err == nil && removed > 0 {
		err = atomicfile.SyncDir(root)
	}
	if err != nil {
		err = fmt.Errorf("remove later checkpoints: %w", err)
	}
	return removed, err
}

// loadCheckpoint puts the state of a checkpoint into the training.
func (t *training) loadCheckpoint(dir string) error {
	broken := func(name string, err error) error { return brokenCheckpoint(dir, name, err) }
	data, err := regular.Read(filepath.Join(dir, stateName), maxJSON)
	if err != nil {
		return broken(stateName, err)
	}
	var state progress
	if err := json.Unmarshal(data, &state); err != nil {
		return broken(stateName, err)
	}
	if err := t.checkSameRun(dir, &state); err != nil {
		return err
	}
	weights := modelWeightsName
	if t.lora != nil {
		weights = adapterWeightsName
	}
	if err := t.readInto(filepath.Join(dir, weights), func(p *Param) (string, []float32) {
		if t.lora != nil && p == t.model.Score {
			return peftScoreName, p.Value
		}
		return p.Name, p.Value
	}); err != nil {
		return broken(weights, err)
	}
	moments := filepath.Join(dir, optimizerName)
	if err := firstError(
		t.readInto(moments, func(p *Param) (string, []float32) { return "exp_avg." + p.Name, p.M }),
		t.readInto(moments, func(p *Param) (string, []float32) { return "exp_avg_sq." + p.Name, p.V }),
	); err != nil {
		return broken(optimizerName, err)
	}
	t.state = state
	return nil
}

// checkSameRun refuses a checkpoint of another configuration or other data.
func (t *training) checkSameRun(dir string, state *progress) error {
	if state.ConfigHash != t.state.ConfigHash {
		return &fault.ConfigError{Detail: fault.Detail{Op: "resume", Path: dir,
			Reason: "the checkpoint belongs to a run with another configuration",
			Hint:   "resume without changing options, or start a new run"}}
	}
	if state.DataHash != t.state.DataHash {
		return &fault.DataError{Detail: fault.Detail{Op: "resume", Path: t.job.Data.Train.Path(),
			Reason: "the training data has changed since the checkpoint was written",
			Hint:   "restore the file, or start a new run"}}
	}
	if name := filepath.Base(dir); name != checkpointName(state.Step) {
		return &fault.TrainingError{Detail: fault.Detail{Op: "resume", Path: dir,
			Reason: fmt.Sprintf("the checkpoint was written at step %d, its name says otherwise", state.Step),
			Hint:   "give it back its name, or resume from another one"}}
	}
	if state.Step < 0 || state.Step > t.schedule.total {
		return &fault.TrainingError{Detail: fault.Detail{Op: "resume", Path: dir,
			Reason: fmt.Sprintf("the checkpoint is at step %d of %d", state.Step, t.schedule.total)}}
	}
	return nil
}

// readInto reads one tensor for each trained parameter from a file.
func (t *training) readInto(path string, where func(*Param) (string, []float32)) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	for _, p := range t.model.trainable {
		name, dst := where(p)
		info, ok := f.Info(name)
		switch {
		case !ok:
			err = fmt.Errorf("tensor %s is missing", name)
		case !slices.Equal(info.Shape, p.Shape):
			err = fmt.Errorf("tensor %s has shape %v, want %v", name, info.Shape, p.Shape)
		default:
			err = f.ReadF32(name, dst)
		}
		if err != nil {
			break
		}
	}
	return firstError(err, f.Close())
}
