package contamination

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
)

// maxReport bounds what is read of a contamination.json.
const maxReport = 64 << 20

// Load reads a contamination.json, of this program or another. Keys that are
// missing or null are zero, unknown ones are ignored. A value of the wrong
// type, a count below zero and a status other than PASS, WARN and FAIL are a
// *fault.DataError: a verdict must not rest on a file that was misread. Only
// pairs of a foreign form are left out.
func Load(path string) (*Report, error) {
	const op = "read contamination result"
	bad := func(key, reason, hint string) error {
		d := fault.Detail{Op: op, Path: path, Reason: reason, Hint: hint}
		if key != "" {
			d.Reason = "is no contamination result"
			d.Problems = []fault.Problem{{Path: path, Key: key, Reason: reason}}
		}
		return &fault.DataError{Detail: d}
	}
	data, err := readFile(path, maxReport)
	if err != nil {
		return nil, &fault.DataError{Detail: fault.Detail{Op: op, Path: path, Reason: "cannot be read", Err: err,
			Hint: "give the file that the contamination check wrote"}}
	}
	members, err := dataset.Object(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if err != nil {
		return nil, bad("", err.Error(), "the file is one JSON object with status, exact_overlaps and near_duplicates")
	}
	r := &Report{}
	fields := map[string]any{
		"status": &r.Status, "exact_overlaps": &r.ExactOverlaps, "near_duplicates": &r.NearDuplicates,
		"threshold": &r.Threshold, "ngram": &r.NGram,
		"lsh.bands": &r.LSH.Bands, "lsh.rows": &r.LSH.Rows, "lsh.hashes": &r.LSH.Hashes,
		"lsh.min_matches": &r.LSH.MinMatches, "lsh.recall_at_threshold": &r.LSH.RecallAtThreshold,
		"counts.train_rows": &r.Counts.TrainRows, "counts.eval_rows": &r.Counts.EvalRows, "counts.eval_texts": &r.Counts.EvalTexts,
		"counts.train_exact_rows": &r.Counts.TrainExactRows, "counts.train_near_rows": &r.Counts.TrainNearRows,
		"counts.pairs": &r.Counts.Pairs, "counts.pairs_listed": &r.Counts.PairsListed,
		"train.path": &r.Train.Path, "train.sha256": &r.Train.SHA256, "eval.path": &r.Eval.Path, "eval.sha256": &r.Eval.SHA256,
	}
	if key, err := decode(members, "", fields); err != nil {
		return nil, bad(key, err.Error(), "")
	}
	for _, m := range members {
		if m.Key == "pairs" && json.Unmarshal(m.Raw, &r.Pairs) != nil {
			r.Pairs = nil
		}
	}
	switch r.Status {
	case "", Pass, Warn, Fail:
		return r, nil
	}
	return nil, bad("status", fmt.Sprintf("%q is not PASS, WARN or FAIL", r.Status), "")
}

// decode stores the members that fields names, and returns the key of one that
// cannot be. Objects are entered when a name has their key before a point.
func decode(members []dataset.Member, prefix string, fields map[string]any) (string, error) {
	seen := map[string]bool{}
	for _, m := range members {
		key := prefix + m.Key
		inner := false
		for name := range fields {
			inner = inner || strings.HasPrefix(name, key+".")
		}
		field, known := fields[key]
		if !known && !inner {
			continue
		}
		if seen[key] {
			return key, errors.New("given twice")
		}
		if seen[key] = true; m.Kind() == "null" {
			continue
		}
		if !inner {
			if err := store(field, m); err != nil {
				return key, err
			}
			continue
		}
		if m.Kind() != "an object" {
			return key, fmt.Errorf("%s where an object belongs", m.Kind())
		}
		below, err := dataset.Object(m.Raw)
		if err != nil {
			return key, err
		}
		if key, err := decode(below, key+".", fields); err != nil {
			return key, err
		}
	}
	return "", nil
}

// store reads a member into a *string, *int or *float64.
func store(field any, m dataset.Member) error {
	switch to := field.(type) {
	case *string:
		text, ok := m.Text()
		if !ok {
			return fmt.Errorf("%s where a text belongs", m.Kind())
		}
		*to = text
	case *int:
		if m.Kind() != "a number" {
			return fmt.Errorf("%s where a number belongs", m.Kind())
		}
		f, err := json.Number(m.Raw).Float64()
		if err != nil || f != math.Trunc(f) || f < 0 || f > 1<<53 {
			return errors.New("not a count: a whole number from 0 up belongs here")
		}
		*to = int(f)
	case *float64:
		if m.Kind() != "a number" {
			return fmt.Errorf("%s where a number belongs", m.Kind())
		}
		f, err := json.Number(m.Raw).Float64()
		if err != nil {
			return errors.New("a number out of range")
		}
		*to = f
	}
	return nil
}

// readFile reads a regular file of bounded size.
func readFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // opened for reading only
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("larger than %d MiB", most>>20)
	}
	return data, err
}
