// Package contamination finds rows of a training file that stand in an
// evaluation file too, word for word or nearly so.
//
// What it promises:
//
//   - Rows are compared by their text: instruction, input and output, or text
//     and label, joined by a line break and normalised (metrics.Normalize:
//     lower case, every stretch of white space one space). Tags and ids take no
//     part. Rows that repeat inside one of the files are no contamination.
//   - An exact overlap is an evaluation row whose text has the sha256 of a
//     training row's text. None is missed.
//   - A near duplicate is an evaluation row without an exact overlap whose set
//     of character n-grams has a Jaccard similarity at or above the threshold
//     with that of a training row. Pairs are found by MinHash LSH and judged by
//     their n-grams themselves, so none is reported that is not one; how many
//     are found at least is worked out from the parameters and stated (LSH).
//   - The same files give the same report, byte for byte, with any number of
//     workers. It names rows by line, id and hash and never quotes them.
//   - The evaluation side is indexed in memory, about a kilobyte a row and up to
//     256 MiB of n-grams; the training side is streamed.
//
// n-grams are compared by a 64-bit hash. A text shorter than n characters is
// its own only n-gram; an empty one has none and is near to nothing.
//
// Errors a user can cause are *fault.DataError, and *fault.ConfigError where an
// option is wrong. A cancelled context is returned as its own error, wrapped.
package contamination

import (
	"context"
	"fmt"
	"math"
	"runtime"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
)

// The verdicts of a check.
const (
	Pass = "PASS" // nothing found
	Warn = "WARN" // near duplicates only
	Fail = "FAIL" // at least one exact overlap
)

// Defaults and bounds of Options.
const (
	DefaultThreshold = 0.8
	DefaultNGram     = 5
	DefaultMaxPairs  = 1000

	// MinThreshold is the lowest threshold: below it a few shared n-grams are
	// enough, and LSH has nothing left to sort out.
	MinThreshold = 0.1
	MaxNGram     = 32
)

// Options says what is compared with what. Zero values mean the defaults.
type Options struct {
	TrainPath, EvalPath string // JSONL files
	// Task is dataset.SFT or dataset.Classification; empty: told by the first
	// row of each file, which must agree.
	Task      string
	Threshold float64 // Jaccard similarity of near duplicates, 0.1 to 1
	NGram     int     // characters in an n-gram, 1 to 32
	Workers   int     // default: one a processor
	MaxPairs  int     // pairs listed in the report

	// keep bounds the n-grams of evaluation texts that stay in memory, in bytes;
	// those of further texts are made from the file again when they are needed.
	keep int64
}

func (o *Options) complete(ctx context.Context, op string) error {
	wrong := func(reason, hint string) error {
		return &fault.ConfigError{Detail: fault.Detail{Op: op, Reason: reason, Hint: hint}}
	}
	if o.Threshold == 0 {
		o.Threshold = DefaultThreshold
	}
	if o.NGram == 0 {
		o.NGram = DefaultNGram
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.keep == 0 {
		o.keep = 256 << 20
	}
	if o.MaxPairs == 0 {
		o.MaxPairs = DefaultMaxPairs
	}
	switch {
	case math.IsNaN(o.Threshold) || o.Threshold < MinThreshold || o.Threshold > 1:
		return wrong(fmt.Sprintf("the threshold is %v", o.Threshold), fmt.Sprintf("a similarity from %v to 1; %v is usual", MinThreshold, DefaultThreshold))
	case o.NGram < 1 || o.NGram > MaxNGram:
		return wrong(fmt.Sprintf("n-grams of %d characters", o.NGram), fmt.Sprintf("from 1 to %d; %d is usual", MaxNGram, DefaultNGram))
	case o.Workers < 0 || o.MaxPairs < 0:
		return wrong("a negative number of workers or pairs", "leave it out for the default")
	}
	if o.Task != "" {
		return nil
	}
	train, err := dataset.DetectTask(ctx, o.TrainPath)
	if err != nil {
		return err
	}
	eval, err := dataset.DetectTask(ctx, o.EvalPath)
	if err != nil {
		return err
	}
	if train != eval {
		return &fault.DataError{Detail: fault.Detail{
			Op: op, Path: o.EvalPath,
			Reason: fmt.Sprintf("holds %s rows, and %s holds %s rows", eval, o.TrainPath, train),
			Hint:   "both files must be of the same task",
		}}
	}
	o.Task = train
	return nil
}

// Check compares a training file with an evaluation file. Both are checked as
// dataset.Scan does.
func Check(ctx context.Context, opt Options) (*Report, error) {
	const op = "check contamination"
	if err := opt.complete(ctx, op); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	p := newPlan(opt.Threshold)
	ix, err := newIndex(ctx, opt, p)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ix.file.Close() }() // opened for reading only

	type hashed struct {
		sum string
		err error
	}
	sums := make(chan hashed, 1)
	go func() {
		sum, err := dataset.SHA256(ctx, opt.TrainPath)
		sums <- hashed{sum, err}
	}()
	totals, err := scanTrain(ctx, opt, ix)
	if err != nil {
		stop(err)
		<-sums
		return nil, err
	}
	train := <-sums
	if train.err != nil {
		return nil, train.err
	}
	return ix.report(opt, p, totals, train.sum)
}
