package work

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/verifily/verifily-tui/core/server/wire"
)

// retrainInput is the input of a retrain, and what it was before Absolute.
type retrainInput struct {
	wire.RetrainRequest
	Sent *sent `json:"sent,omitempty"`
}

// sent is the data set as the client named it, and where it starts if it is
// relative.
type sent struct {
	DatasetDir string `json:"dataset_dir"`
	WorkingDir string `json:"working_dir"`
}

// Absolute returns the input of a job with its relative paths written out from
// the current folder, for jobs.Options.Prepare: a worker with another current
// folder then uses the same files. Names of runs, of models and what no handler
// understands stay as they are.
func Absolute(kind string, input json.RawMessage) (json.RawMessage, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	p := paths{wd}
	switch kind {
	case Retrain:
		var in retrainInput
		if understood(input, &in) {
			return p.retrain(in)
		}
	case Train:
		var in wire.TrainRequest
		if understood(input, &in) {
			return p.train(in)
		}
	case Eval:
		var in wire.EvalRequest
		if understood(input, &in) {
			p.run(&in.Run)
			p.path(in.TestData)
			p.path(in.OutputDir)
			return json.Marshal(in)
		}
	case Compare:
		var in wire.CompareRequest
		if understood(input, &in) {
			for i := range in.Runs {
				p.run(&in.Runs[i])
			}
			return json.Marshal(in)
		}
	}
	return input, nil
}

// understood reads an input as its handler will.
func understood(input json.RawMessage, to any) bool {
	dec := json.NewDecoder(bytes.NewReader(input))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	return dec.Decode(to) == nil
}

// paths writes out paths that start at a folder.
type paths struct{ from string }

// path makes a path absolute. Its parts stay as they are: ".." behind a link
// means something else than in the text.
func (p paths) path(path *string) {
	if path != nil && *path != "" && !filepath.IsAbs(*path) {
		*path = p.from + string(filepath.Separator) + *path
	}
}

// run makes the path of a run absolute, where it is not the name of one.
func (p paths) run(path *string) {
	if path == nil {
		return
	}
	if strings.ContainsRune(*path, filepath.Separator) || there(*path) {
		p.path(path)
	}
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (p paths) retrain(in retrainInput) (json.RawMessage, error) {
	if in.DatasetDir != "" && !filepath.IsAbs(in.DatasetDir) && in.Sent == nil {
		in.Sent = &sent{DatasetDir: in.DatasetDir, WorkingDir: p.from}
		p.path(&in.DatasetDir)
	}
	p.path(in.OutputDir)
	p.run(in.BaseRunDir)
	p.run(in.ContaminatedRunDir)
	return json.Marshal(in)
}

// train writes out the paths of a configuration that stands in the request; one
// in a file is read by the worker, from where the file is.
func (p paths) train(in wire.TrainRequest) (json.RawMessage, error) {
	if in.ConfigPath != "" {
		p.path(&in.ConfigPath)
	}
	p.path(in.OutputDir)
	p.member(in.Config, "base_model", func(base *string) {
		if !strings.HasPrefix(*base, "builtin:") && there(*base) {
			p.path(base)
		}
	})
	data, _ := in.Config["data_paths"].(map[string]any)
	for _, key := range []string{"train", "val", "test"} {
		p.member(data, key, p.path)
	}
	eval, _ := in.Config["eval"].(map[string]any)
	p.member(eval, "gold_set", p.path)
	output, _ := in.Config["output"].(map[string]any)
	p.member(output, "dir", p.path)
	return json.Marshal(in)
}

// member changes a text of a document.
func (p paths) member(doc map[string]any, key string, change func(*string)) {
	if text, ok := doc[key].(string); ok {
		change(&text)
		doc[key] = text
	}
}
