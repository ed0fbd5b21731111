package contamination

import (
	"encoding/hex"
	"math"

	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// Report is contamination.json. status, exact_overlaps and near_duplicates are
// what a decision looks at.
type Report struct {
	Status string `json:"status"` // PASS, WARN or FAIL
	// ExactOverlaps counts evaluation rows whose text is in the training file.
	ExactOverlaps int `json:"exact_overlaps"`
	// NearDuplicates counts other evaluation rows that are near to a training
	// row.
	NearDuplicates int     `json:"near_duplicates"`
	Threshold      float64 `json:"threshold"`
	NGram          int     `json:"ngram"`
	LSH            LSH     `json:"lsh"`
	Counts         Counts  `json:"counts"`
	Train          File    `json:"train"`
	Eval           File    `json:"eval"`
	// Pairs lists the first pairs, exact ones first, then by line of the
	// evaluation file.
	Pairs []Pair `json:"pairs"`
}

// LSH says how candidates were found.
type LSH struct {
	Bands  int `json:"bands"`
	Rows   int `json:"rows"` // hashes in a band, which all agree in a candidate
	Hashes int `json:"hashes"`
	// MinMatches is how many of all hashes agree at least in a candidate.
	MinMatches int `json:"min_matches"`
	// RecallAtThreshold is the least probability, rounded down, with which a
	// pair at the threshold is a candidate; of more similar pairs more are:
	// 1 - (1-t^rows)^bands - P[Binomial(hashes, t) < min_matches].
	RecallAtThreshold float64 `json:"recall_at_threshold"`
}

// Counts holds numbers of rows beside those of the verdict.
type Counts struct {
	TrainRows      int `json:"train_rows"`
	EvalRows       int `json:"eval_rows"`
	EvalTexts      int `json:"eval_texts"`       // distinct texts of the evaluation file
	TrainExactRows int `json:"train_exact_rows"` // training rows whose text is in the evaluation file
	TrainNearRows  int `json:"train_near_rows"`  // other training rows near to one there
	Pairs          int `json:"pairs"`            // one an evaluation row that is exact or near
	PairsListed    int `json:"pairs_listed"`
}

// File is one of the files compared.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // hex
}

// Pair is an evaluation row and the first training row, by line, that it
// overlaps with.
type Pair struct {
	Kind       string  `json:"kind"` // exact or near
	Similarity float64 `json:"similarity"`
	Eval       RowRef  `json:"eval"`
	Train      RowRef  `json:"train"`
}

// RowRef names a row without quoting it.
type RowRef struct {
	Line int `json:"line"` // 1-based
	// ID is the row's own id, or the id of its content where it has none or one
	// over 100 bytes.
	ID string `json:"id"`
	// TextHash is "sha256:" and the hash of the normalised text.
	TextHash string `json:"text_hash"`
}

// Kinds of pairs.
const (
	Exact = "exact"
	Near  = "near"
)

// report puts together what the scan has found.
func (ix *index) report(opt Options, p plan, found totals, trainSum string) (*Report, error) {
	r := &Report{
		Status: Pass, Threshold: opt.Threshold, NGram: opt.NGram,
		LSH: LSH{
			Bands: p.bands, Rows: p.rows, Hashes: p.hashes, MinMatches: p.matches,
			RecallAtThreshold: math.Floor(p.recall*1e6) / 1e6,
		},
		Counts: Counts{
			TrainRows: found.rows, EvalRows: len(ix.rows), EvalTexts: len(ix.texts),
			TrainExactRows: found.exact, TrainNearRows: found.near,
		},
		Train: File{opt.TrainPath, trainSum},
		Eval:  File{opt.EvalPath, ix.file.SHA256()},
		Pairs: []Pair{},
	}
	var near []Pair
	for row, t := range ix.rows {
		e := &ix.texts[t]
		switch {
		case e.exactLine.Load() != noLine:
			if r.ExactOverlaps++; len(r.Pairs) < opt.MaxPairs {
				pair, err := ix.pair(Exact, row, e.exact)
				if err != nil {
					return nil, err
				}
				r.Pairs = append(r.Pairs, pair)
			}
		case e.nearLine.Load() != noLine:
			if r.NearDuplicates++; len(near) < opt.MaxPairs {
				pair, err := ix.pair(Near, row, e.near)
				if err != nil {
					return nil, err
				}
				near = append(near, pair)
			}
		}
	}
	r.Pairs = append(r.Pairs, near[:min(len(near), opt.MaxPairs-len(r.Pairs))]...)
	r.Counts.Pairs = r.ExactOverlaps + r.NearDuplicates
	r.Counts.PairsListed = len(r.Pairs)
	switch {
	case r.ExactOverlaps > 0:
		r.Status = Fail
	case r.NearDuplicates > 0:
		r.Status = Warn
	}
	return r, nil
}

func (ix *index) pair(kind string, row int, m match) (Pair, error) {
	r, err := ix.file.Row(row)
	if err != nil {
		return Pair{}, err
	}
	id, err := shortID(&r)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Kind: kind, Similarity: m.similarity,
		Eval:  RowRef{r.Line, id, "sha256:" + hex.EncodeToString(ix.texts[ix.rows[row]].sum[:])},
		Train: RowRef{m.line, m.id, "sha256:" + hex.EncodeToString(m.sum[:])},
	}, nil
}

// JSON returns the report as contamination.json has it.
func (r *Report) JSON() ([]byte, error) { return canonical.Indent(r) }

// Write writes the report to a file, whole or not at all.
func (r *Report) Write(path string) error {
	data, err := r.JSON()
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, 0o644, data)
}
