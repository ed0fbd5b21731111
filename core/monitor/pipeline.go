package monitor

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs/regular"
	"github.com/verifily/verifily-tui/runs/yamlfile"
)

// maxPipeline bounds a pipeline.yaml, in bytes.
const maxPipeline = 1 << 20

// pipeline is a pipeline.yaml: what a monitor looks at. Paths are absolute, or
// relative to the current folder as the config's own is.
type pipeline struct {
	runDir      string
	trainData   string // empty, with evalData: contamination is not looked for
	evalData    string
	baselineRun string // empty: none
	criteria    decision.Criteria
}

var pipelineKeys = []string{"run_dir", "train_data", "eval_data", "baseline_run", "ship_if"}

// loadPipeline reads and checks a pipeline.yaml. Whether what it names is there
// shows at every tick anew.
func loadPipeline(path string) (*pipeline, error) {
	fail := func(reason, hint string, err error) error {
		return &fault.ConfigError{Detail: fault.Detail{Op: "read monitor config", Path: path, Reason: reason, Hint: hint, Err: err}}
	}
	data, err := regular.Read(path, maxPipeline)
	if err != nil {
		return nil, fail("", "name a pipeline.yaml", pathCause(err))
	}
	var doc map[string]any
	err = yamlfile.Decode(data, &doc)
	if err == nil && doc == nil {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fail("not valid YAML: "+text.Escape(err.Error()), "a pipeline.yaml starts like this: run_dir: runs/current", nil)
	}
	p := &pipeline{}
	for key := range doc {
		if !slices.Contains(pipelineKeys, key) {
			return nil, fail("unknown key "+text.Escape(key), "the keys are "+strings.Join(pipelineKeys, ", "), nil)
		}
	}
	for key, to := range map[string]*string{"run_dir": &p.runDir, "train_data": &p.trainData, "eval_data": &p.evalData, "baseline_run": &p.baselineRun} {
		switch v := doc[key].(type) {
		case nil:
		case string:
			if *to = v; v != "" && !filepath.IsAbs(v) {
				*to = filepath.Join(filepath.Dir(path), v)
			}
		default:
			return nil, fail(fmt.Sprintf("%s: must be a path, not %v", key, text.Escape(fmt.Sprint(v))), "", nil)
		}
	}
	if p.runDir == "" {
		return nil, fail("run_dir: is required", "name the run directory to watch", nil)
	}
	if (p.trainData == "") != (p.evalData == "") {
		return nil, fail("train_data and eval_data belong together", "name both, or neither", nil)
	}
	p.criteria = decision.DefaultCriteria()
	switch limits := doc["ship_if"].(type) {
	case nil:
	case map[string]any:
		if err := p.criteria.Override(limits); err != nil {
			return nil, fail("ship_if: "+err.Error(), "check the limits", nil)
		}
	default:
		return nil, fail("ship_if: must hold limits", "write ship_if: {min_f1: 0.5}", nil)
	}
	return p, nil
}

// pathCause drops the path that an error of package os repeats.
func pathCause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}
