package decision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
)

// ParseResults reads the metrics of an eval_results.json: the numbers in
// "overall", else in "aggregate", in their order. Slices are left to the
// caller. JSON null gives nil.
func ParseResults(data []byte) (*Results, error) {
	top, err := object(data)
	if top == nil || err != nil {
		return nil, err
	}
	for _, name := range []string{"overall", "aggregate"} {
		i := slices.IndexFunc(top, func(m member) bool { return m.key == name })
		if i < 0 {
			continue
		}
		fields, err := object(top[i].value)
		if err != nil || len(fields) == 0 {
			continue // of another type: as if it were not there
		}
		m, err := numbersOf(fields)
		return &Results{Metrics: m}, err
	}
	return &Results{Metrics: Metrics{}}, nil
}

// numbersOf keeps the members that are numbers.
func numbersOf(fields []member) (Metrics, error) {
	out := Metrics{}
	for _, f := range fields {
		if c := f.value[0]; c != '-' && (c < '0' || c > '9') {
			continue
		}
		n, err := NewNumber(json.Number(f.value))
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", shortQuote(f.key), err)
		}
		out = append(out, Metric{f.key, n})
	}
	return out, nil
}

// ParseReport reads the report.json of a data set: pii_total_hits and, from
// other tools, quality.quality_score. JSON null gives nil. A negative number of
// hits, and one of the two given twice, are errors.
func ParseReport(data []byte) (*Report, error) {
	var raw *struct {
		PIIHits *json.Number `json:"pii_total_hits"`
		Quality *struct {
			Score *json.Number `json:"quality_score"`
		} `json:"quality"`
	}
	if len(data) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(data, &raw); err != nil || raw == nil {
		return nil, fault.JSON(err)
	}
	if err := once(data, "pii_total_hits", "quality"); err != nil {
		return nil, err
	}
	out := &Report{}
	var err error
	if out.PIIHits, err = optionalNumber(raw.PIIHits); err != nil {
		return nil, err
	}
	if out.PIIHits != nil && out.PIIHits.float < 0 {
		return nil, fmt.Errorf("pii_total_hits is %s", out.PIIHits)
	}
	if raw.Quality != nil {
		out.Quality, err = optionalNumber(raw.Quality.Score)
	}
	return out, err
}

func optionalNumber(n *json.Number) (*Number, error) {
	if n == nil {
		return nil, nil
	}
	out, err := NewNumber(*n)
	return &out, err
}

// ParseContamination reads a contamination.json: status, the two counts and,
// where it has them, the hashes of the files compared. A status other than PASS,
// WARN and FAIL, a negative count, a status that is better than the counts allow,
// and one of the three given twice are errors: a verdict must not rest on a file
// that can be read in two ways.
func ParseContamination(data []byte) (*Contamination, error) {
	var raw struct {
		Status string `json:"status"`
		Exact  int    `json:"exact_overlaps"`
		Near   int    `json:"near_duplicates"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fault.JSON(err)
	}
	if err := once(data, "status", "exact_overlaps", "near_duplicates"); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"PASS", "WARN", "FAIL"}, raw.Status) {
		return nil, fmt.Errorf("status is %s, not PASS, WARN or FAIL", shortQuote(raw.Status))
	}
	switch {
	case raw.Exact < 0 || raw.Near < 0:
		return nil, errors.New("a count is negative")
	case raw.Exact > 0 && raw.Status != "FAIL":
		return nil, fmt.Errorf("status is %s, and exact_overlaps is %d", raw.Status, raw.Exact)
	case raw.Near > 0 && raw.Status == "PASS":
		return nil, fmt.Errorf("status is PASS, and near_duplicates is %d", raw.Near)
	}
	out := &Contamination{Status: raw.Status, ExactOverlaps: raw.Exact, NearDuplicates: raw.Near}
	type file struct {
		SHA256 string `json:"sha256"`
	}
	var files struct{ Train, Eval file }
	if json.Unmarshal(data, &files) == nil { // other programs may use the names for something else
		out.TrainHash, out.EvalHash = files.Train.SHA256, files.Eval.SHA256
	}
	return out, nil
}

// once refuses keys that an object has twice, whatever their case: of those it
// is not clear which counts.
func once(data []byte, keys ...string) error {
	fields, err := dataset.Object(bytes.TrimSpace(data))
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, f := range fields {
		key := strings.ToLower(f.Key)
		if seen[key] && slices.Contains(keys, key) {
			return fmt.Errorf("%s is given twice", key)
		}
		seen[key] = true
	}
	return nil
}

// member is one key of an object in the order of the file.
type member struct {
	key   string
	value json.RawMessage
}

// object reads the members of a JSON object in their order; of a repeated key
// the last value counts. Null and nothing give nil.
func object(data []byte) ([]member, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || bytes.Equal(data, []byte("null")) {
		return nil, nil
	}
	fields, err := dataset.Object(data)
	if err != nil {
		return nil, err
	}
	out := []member{}
	at := map[string]int{}
	for _, f := range fields {
		if i, seen := at[f.Key]; seen {
			out[i].value = f.Raw
			continue
		}
		at[f.Key] = len(out)
		out = append(out, member{f.Key, f.Raw})
	}
	return out, nil
}
