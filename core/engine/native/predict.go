package native

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/verifily/verifily-tui/core/config"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/engine"
	"github.com/verifily/verifily-tui/core/engine/native/bpe"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/metrics"
	"github.com/verifily/verifily-tui/runs"
)

// lossRows is how many rows of a file are tokenised and computed at a time
// when only losses are wanted.
const lossRows = 256

// meanLoss is the mean loss over the label tokens of a file, and their number.
func meanLoss(ctx context.Context, p *pool, e *examples) (float64, int, error) {
	var sum float64
	labels := 0
	for first := 0; first < e.file.Len(); first += lossRows {
		batch, err := e.batch(first, min(first+lossRows, e.file.Len()))
		if err != nil {
			return 0, 0, err
		}
		if err := p.eachLoss(ctx, batch, nil); err != nil {
			return 0, 0, err
		}
		for i, l := range batch.loss {
			if batch.seqs[i].outputs() > 0 {
				sum += l
				labels += batch.seqs[i].outputs()
			}
		}
	}
	if labels == 0 {
		return math.NaN(), 0, nil
	}
	return sum / float64(labels), labels, nil
}

// lossBatch is a stretch of a file with the summed loss of each row.
type lossBatch struct {
	seqs []sequence // by row; a row without room for a response has no outputs
	loss []float64  // by row
}

func (e *examples) batch(first, end int) (*lossBatch, error) {
	b := &lossBatch{loss: make([]float64, end-first)}
	for i := first; i < end; i++ {
		s, _, err := e.sequence(i)
		if err != nil {
			return nil, err
		}
		s.ordinal = i - first
		b.seqs = append(b.seqs, s)
	}
	return b, nil
}

// eachLoss computes the losses of a batch. row, when not nil, gets the
// probabilities of a classification row, less one at the label.
func (p *pool) eachLoss(ctx context.Context, b *lossBatch, row func(i int, loss float64, row []float32)) error {
	units := lossUnits(b.seqs, len(p.workers))
	err := p.run(len(units), func(w *worker, i int) {
		if ctx.Err() != nil {
			return
		}
		w.unitLosses(&units[i], func(seq int, loss float64, r []float32) {
			n := units[i].seqs[seq].ordinal
			b.loss[n] = loss
			if row != nil {
				row(n, loss, r)
			}
		})
	}, nil)
	return firstError(err, ctx.Err())
}

// lossUnits are the sequences that carry a loss, in units for this many workers.
func lossUnits(seqs []sequence, workers int) []unit {
	var usable batch
	for _, s := range seqs {
		if s.outputs() > 0 && s.inputs() > 0 {
			usable.seqs = append(usable.seqs, s)
		}
	}
	usable.divide(workers)
	return usable.units
}

// unitLosses takes a unit through the model and calls each with the losses of its
// sequences.
func (w *worker) unitLosses(u *unit, each func(seq int, loss float64, row []float32)) {
	w.a.reset()
	w.losses(w.forward(u, false, dropout{}, nil), each)
}

// predictor is a trained model, merged and ready to answer.
type predictor struct {
	model *Model
	tok   *bpe.Tokenizer
	cfg   *config.Config
	pool  *pool
	gen   generation
	meter *evalMeter
}

func openPredictor(job engine.PredictJob) (*predictor, error) {
	if err := checkDevice(job.Config); err != nil {
		return nil, err
	}
	b, err := openBase(job.RunDir, "", job.Config.Seed)
	if err != nil {
		return nil, notLoaded(job.RunDir, err)
	}
	b.keepScore()
	p := &predictor{cfg: job.Config}
	fail := func(err error) (*predictor, error) { return nil, firstError(err, b.src.close()) }
	dir := filepath.Join(job.RunDir, tokenizerDir)
	if !exists(dir) {
		dir = b.tokenizerDir
	}
	if p.tok, err = loadTokenizer(dir); err != nil {
		return fail(err)
	}
	if p.tok.VocabSize() > b.arch.VocabSize {
		return fail(notLoaded(job.RunDir, tooManyTokens(dir, p.tok, &b.arch)))
	}
	if (job.Test.Task() == dataset.Classification) != (len(b.arch.Labels) > 0) {
		return fail(&fault.EvalError{Detail: fault.Detail{Op: "evaluate", Path: job.RunDir,
			Reason: fmt.Sprintf("the run was not trained for task %s", job.Test.Task())}})
	}
	if job.Test.Task() != dataset.Classification {
		if err := checkGeneration(&job.Config.Eval, &b.arch, job.Test.Len()); err != nil {
			return fail(err)
		}
	}
	if p.model, err = newModel(b.arch, b.src, nil, false); err != nil {
		return fail(notLoaded(job.RunDir, err))
	}
	p.model.prepare(min(b.arch.MaxPositions, job.Config.Training.MaxSeqLength+job.Config.Eval.GenerationMaxNewTokens))
	if p.pool, err = newPool(p.model); err != nil {
		return fail(err)
	}
	p.gen = generationOf(p.cfg, p.tok)
	p.meter = newEvalMeter(shapeOf(b.arch), p.gen)
	return p, nil
}

// notLoaded says that a run's own model is no good.
func notLoaded(runDir string, err error) error {
	d := fault.Detail{Op: "load trained model", Path: runDir, Err: err}
	var typed fault.TrainError
	if errors.As(err, &typed) {
		d.Hint = typed.Fault().Hint
	}
	return &fault.EvalError{Detail: d}
}

// reserve gives the workers what was measured so far, if the machine has it.
func (p *predictor) reserve() error {
	p.meter.w.forget()
	more := p.meter.most() - len(p.pool.workers[0].a.buf)
	err := checkMemory(fmt.Sprintf("answering with %d workers", len(p.pool.workers)), 4*int64(more)*int64(len(p.pool.workers)),
		"lower eval.batch_size, eval.generation_num_beams or eval.generation_max_new_tokens, or set GOMAXPROCS to fewer workers")
	if err == nil {
		p.pool.reserve(p.meter.most())
	}
	return err
}

func (p *predictor) close() error {
	p.pool.close()
	return p.model.close()
}

// Predict implements engine.Trainer.
func (Engine) Predict(ctx context.Context, job engine.PredictJob, each func(runs.Prediction) error) (err error) {
	defer tightHeap()()
	debug.FreeOSMemory() // training has left its memory
	p, err := openPredictor(job)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, p.close()) }()
	e := &examples{file: job.Test, tok: p.tok, maxLen: p.cfg.Training.MaxSeqLength, labels: labelIndex(p.model.Arch.Labels)}
	if err := e.checkLabels(); err != nil {
		return err
	}
	stretch := stretchRows(len(p.pool.workers), job.BatchSize)
	for first := 0; first < job.Test.Len(); first += stretch {
		end := min(first+stretch, job.Test.Len())
		preds, err := p.stretch(ctx, e, first, end, max(1, job.BatchSize))
		if err != nil {
			return err
		}
		for _, pr := range preds {
			if err := each(pr); err != nil {
				return err
			}
		}
		if job.Progress != nil {
			job.Progress(end, job.Test.Len())
		}
	}
	return nil
}

// stretchRows is how many rows are answered at a time: enough to keep every worker
// busy.
func stretchRows(workers, batchSize int) int { return max(lossRows, workers*batchSize) }

// stretch answers the rows first..end-1.
func (p *predictor) stretch(ctx context.Context, e *examples, first, end, batchSize int) ([]runs.Prediction, error) {
	batch, err := e.batch(first, end)
	if err != nil {
		return nil, err
	}
	preds := make([]runs.Prediction, end-first)
	for i := range preds {
		row, err := e.file.Row(first + i)
		if err != nil {
			return nil, err
		}
		preds[i] = runs.Prediction{Index: first + i, ID: row.ID, Input: runs.ShortInput(row.Source()),
			InputHash: runs.InputHash(row.Source()), Tags: row.Tags, Reference: row.Output}
		if e.file.Task() == dataset.Classification {
			preds[i].Reference = row.Label
		}
	}
	for _, u := range lossUnits(batch.seqs, len(p.pool.workers)) {
		p.meter.losses(u)
	}
	if err := p.reserve(); err != nil {
		return nil, err
	}
	labels := p.model.Arch.Labels
	err = p.pool.eachLoss(ctx, batch, func(i int, loss float64, row []float32) {
		if len(labels) > 0 {
			classify(&preds[i], labels, row, batch.seqs[i].label)
		}
	})
	if err != nil {
		return nil, err
	}
	for i := range preds {
		if n := batch.seqs[i].outputs(); n > 0 {
			mean := batch.loss[i] / float64(n)
			preds[i].Loss, preds[i].LossTokens = &mean, n
		}
	}
	if len(labels) > 0 {
		return preds, nil
	}
	return preds, p.answer(ctx, e, preds, batchSize)
}

// classify fills in the predicted label; row holds the probabilities less one
// at the true label.
func classify(p *runs.Prediction, labels []string, row []float32, label int) {
	row[label]++
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	truth, predicted, correct := float64(row[label]), float64(row[best]), best == label
	p.Prediction, p.Confidence, p.PredictedConfidence, p.Correct = labels[best], &truth, &predicted, &correct
}

// answer generates the response of each row.
func (p *predictor) answer(ctx context.Context, e *examples, preds []runs.Prediction, batchSize int) error {
	room := promptRoom(p.cfg, &p.model.Arch)
	prompts := make([][]int32, len(preds))
	for i := range preds {
		var err error
		if prompts[i], _, err = e.prompt(preds[i].Index, room); err != nil {
			return err
		}
	}
	batches := promptBatches(prompts, batchSize)
	answers := make([][][]int32, len(batches))
	for i, b := range batches {
		p.meter.answers(b)
		answers[i] = make([][]int32, len(b))
	}
	if err := p.reserve(); err != nil {
		return err
	}
	err := p.pool.run(len(batches), func(w *worker, i int) { w.generate(ctx, p.gen, batches[i], answers[i]) }, nil)
	if err := firstError(err, ctx.Err()); err != nil {
		return err
	}
	for i, answer := range slices.Concat(answers...) {
		text := p.tok.Decode(answer)
		f1, exact := metrics.TokenF1(text, preds[i].Reference), metrics.ExactMatch(text, preds[i].Reference)
		preds[i].Prediction, preds[i].F1, preds[i].ExactMatch = text, &f1, &exact
	}
	return nil
}

// maxPromptRows bounds the prompts that are computed together; more are not
// faster.
const maxPromptRows = 8192

// promptBatches divides prompts into batches of at most size, and fewer where they
// are long: answers do not depend on it, memory does.
func promptBatches(prompts [][]int32, size int) [][][]int32 {
	var batches [][][]int32
	first, rows := 0, 0
	for i, p := range prompts {
		if i > first && (i-first == size || rows+len(p) > maxPromptRows) {
			batches = append(batches, prompts[first:i])
			first, rows = i, 0
		}
		rows += len(p)
	}
	if first < len(prompts) {
		batches = append(batches, prompts[first:])
	}
	return batches
}
