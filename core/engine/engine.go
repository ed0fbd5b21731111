// Package engine is the seam between what the product wants trained and what
// trains it. A Trainer gets a job and reports what happens as events; it writes
// weights, checkpoints and the tokenizer into the run directory and nothing
// else there. Logs, metadata, hashes and evaluation belong to package core.
//
// Events are delivered in order, one at a time, from one goroutine; none is
// dropped. A Trainer returns only after everything it started has ended.
package engine

import (
	"context"
	"errors"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/runs"
)

// ErrInterrupted is returned (wrapped) by Train when its context ended. The
// state was saved before: Result.Checkpoint names where.
var ErrInterrupted = errors.New("training was interrupted")

// Trainer trains models and lets trained models answer.
type Trainer interface {
	// Name is the registered name: "native", "hf", "mock".
	Name() string
	// Plan says what Train would do, without training.
	Plan(ctx context.Context, job Job) (*Plan, error)
	// Train runs the job to its end, its interruption or its failure. The
	// result is not nil on interruption.
	Train(ctx context.Context, job Job, emit func(Event)) (*Result, error)
	// Predict lets the model of a finished run answer a test file and hands
	// over the predictions in the order of the file.
	Predict(ctx context.Context, job PredictJob, each func(runs.Prediction) error) error
}

// Job is one training run.
type Job struct {
	Config *config.Config
	Data   *dataset.Resolved
	// Dir is the run directory, already made. Empty for Plan, unless it is about
	// a run to be resumed.
	Dir string
	// Resume is the checkpoint folder to continue from, or empty.
	Resume string
	// Gold is answered in the evaluation too; nil if there is none.
	Gold *dataset.File
	// BeforeCheckpoint, when not nil, is called before a checkpoint is written,
	// so that logs reach at least as far as what can be resumed from.
	BeforeCheckpoint func() error
	// Control pauses the run and asks for checkpoints; may be nil.
	Control *Control
}

// PredictJob asks a trained model for predictions.
type PredictJob struct {
	// RunDir is the run directory that holds adapter/ or model/.
	RunDir string
	Config *config.Config
	Test   *dataset.File
	// BatchSize is how many examples are decoded together, at least 1.
	BatchSize int
	// Progress is told how many of the test rows are done; may be nil.
	Progress func(done, total int)
}

// Plan is the outcome of a dry run.
type Plan struct {
	Engine          string   `json:"engine"`
	Device          string   `json:"device"`
	TrainRows       int      `json:"train_rows"`
	ValRows         int      `json:"val_rows"`
	TestRows        int      `json:"test_rows"`
	TrainTokens     int64    `json:"train_tokens"`     // one epoch, after truncation
	LabelTokens     int64    `json:"label_tokens"`     // of these, tokens with a loss
	LongestSequence int      `json:"longest_sequence"` // tokens, after truncation
	TruncatedRows   int      `json:"truncated_rows"`
	StepsPerEpoch   int      `json:"steps_per_epoch"`
	TotalSteps      int      `json:"total_steps"`
	WarmupSteps     int      `json:"warmup_steps"`
	VocabSize       int      `json:"vocab_size"`
	TrainableParams int64    `json:"trainable_parameters"`
	FrozenParams    int64    `json:"frozen_parameters"`
	MemoryBytes     int64    `json:"estimated_memory_bytes"`          // the most of training and evaluation
	TrainingBytes   int64    `json:"estimated_training_memory_bytes"` // of training alone
	Seconds         float64  `json:"estimated_seconds"`
	Warnings        []string `json:"warnings,omitempty"`
}

// Result is what a finished or interrupted run leaves.
type Result struct {
	TotalSteps     int     // optimiser steps done
	Epochs         float64 // passes over the training data
	FinalTrainLoss float64 // the last logged training loss
	BestEvalLoss   *float64
	BestEvalStep   int
	FinalEvalLoss  *float64
	Samples        int64   // training rows seen
	Tokens         int64   // tokens processed in training
	Seconds        float64 // time spent training, over all interruptions
	// ArtifactPath is what was trained, relative to the run directory:
	// "adapter" or "model".
	ArtifactPath string
	// WeightsFile is its weights file, relative to the run directory.
	WeightsFile string
	// Checkpoint is the last checkpoint written, relative to the run directory,
	// empty if there is none.
	Checkpoint string
	Device     string
}

// Event is something that happened in a run: StepEvent, EvalEvent,
// CheckpointEvent, PredictEvent, LogEvent or FinishedEvent.
type Event interface{ event() }

// StepEvent is sent after every optimiser step.
type StepEvent struct {
	Step, TotalSteps int
	Epoch            float64
	Loss             float64 // mean over the label tokens of this step, in nats
	LearningRate     float64
	GradNorm         float64 // before clipping
	Tokens           int64   // processed so far
	TokensPerSecond  float64 // since the previous step
	// Logged is set on logging steps; MeanLoss is then the mean of the step
	// losses since the last one.
	Logged   bool
	MeanLoss float64
}

// EvalEvent is sent after each pass over the validation data.
type EvalEvent struct {
	Step  int
	Epoch float64
	Loss  float64 // mean over the label tokens, in nats
	Best  bool
}

// CheckpointEvent is sent when a checkpoint is complete on disk.
type CheckpointEvent struct {
	Step int
	Path string // relative to the run directory
}

// PredictEvent is sent while the trained model answers the test data.
type PredictEvent struct{ Done, Total int }

// LogEvent is a line for the reader of the log.
type LogEvent struct {
	Warning bool
	Message string
}

// FinishedEvent is the last event of a run.
type FinishedEvent struct {
	Result *Result // may be nil when Err is set
	Err    error
}

func (StepEvent) event()       {}
func (EvalEvent) event()       {}
func (CheckpointEvent) event() {}
func (PredictEvent) event()    {}
func (LogEvent) event()        {}
func (FinishedEvent) event()   {}
