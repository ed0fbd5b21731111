// Package artifact makes data set artifacts out of CSV and JSONL files, and
// opens and verifies those that this program or another has made.
//
// An artifact is a folder of four files: dataset.jsonl with the rows,
// manifest.json with where they came from, report.json with what is in them,
// and hashes.json.
//
// What it promises:
//
//   - The input is streamed: memory grows by about 40 bytes a row, never with
//     the size of the file. A row may have 16 MiB.
//   - Nothing is guessed: a row that cannot be read for certain is dropped and
//     counted under its reason, or ends the work when Strict is set; a file that
//     cannot (no header, an open quote at its end) is an error in any case.
//   - The folder is whole or absent. It is made beside its place, under a name
//     that begins with a dot, flushed to disk and renamed.
//   - The same input and options give the same dataset.jsonl, dataset_hash and
//     chain_hash. The chain covers the rows alone; manifest.json, which holds
//     the time, and report.json are hashed under `documents`.
//
// Errors a user can cause are *fault.DataError, and *fault.ConfigError where an
// option is wrong. A cancelled context is returned as its own error, wrapped.
package artifact

import (
	"time"

	"github.com/verifily/verifily-tui/core/contamination/pii"
	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// The files of an artifact.
const (
	DataName     = "dataset.jsonl"
	ManifestName = "manifest.json"
	ReportName   = "report.json"
	HashesName   = "hashes.json"
)

// Input formats.
const (
	CSV   = "csv" // any delimiter
	JSONL = "jsonl"
)

// Options says what is ingested and how.
type Options struct {
	Input  string
	OutDir string
	// Schema is dataset.SFT or dataset.Classification.
	Schema string
	// Map names the source column of a target, {"question": "subject"}. Targets
	// are instruction, input, output, question, answer and context, or text and
	// label, and tags.KEY for a tag that has the value of a column.
	Map map[string]string
	// Tags are put on every row. They win over tags.KEY columns, and those over
	// the tags that the rows of a JSONL file have.
	Tags map[string]string
	// Strict makes an error of every row that would be dropped.
	Strict bool
	// Format is CSV or JSONL; empty: told by the name, else by the first byte.
	Format string
	// Delimiter of a CSV file, one ASCII character or "tab"; empty: the one of
	// comma, semicolon, tab and | that fits the first rows.
	Delimiter string
	// Overwrite replaces an artifact in OutDir. A folder with any other file in
	// it is never replaced.
	Overwrite bool
	// Version of the program, for the manifest.
	Version string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Summary is the outcome of an ingest.
type Summary struct {
	OutDir          string   `json:"out_dir"`
	Schema          string   `json:"schema"`
	Format          string   `json:"input_format"`
	RowsIn          int      `json:"row_count_in"`
	RowsOut         int      `json:"row_count_out"`
	Dropped         int      `json:"dropped_rows_count"`
	Reasons         []Reason `json:"top_drop_reasons"` // most frequent first
	ExactDuplicates int      `json:"exact_duplicates"`
	PIIHits         int      `json:"pii_total_hits"`
	DatasetHash     string   `json:"dataset_hash"` // hex
	ChainHash       string   `json:"chain_hash"`   // hex
	// Unused lists the columns that no field and no tag was taken from, in the
	// order of the file; not id, which is worked out anew.
	Unused []string `json:"unused_columns"`
}

// Reason is why rows were dropped.
type Reason struct {
	Reason string `json:"reason"`
	Rows   int    `json:"rows"`
}

// manifest is manifest.json.
type manifest struct {
	Schema          string           `json:"schema"`
	InputPath       string           `json:"input_path"`
	RowsIn          int              `json:"row_count_in"`
	RowsOut         int              `json:"row_count_out"`
	Dropped         int              `json:"dropped_rows_count"`
	Reasons         canonical.Object `json:"top_drop_reasons"` // reason: rows, most frequent first
	TagDistribution canonical.Object `json:"tag_distribution"` // key: {value: rows}
	CreatedAt       string           `json:"created_at"`
	Version         string           `json:"verifily_version" empty:"null"`
	Provenance      provenance       `json:"input_provenance"`
	Format          string           `json:"input_format"`
}

type provenance struct {
	Format    string   `json:"format"`
	Path      string   `json:"source_path"`
	Columns   []string `json:"columns"`
	ByteSize  int64    `json:"byte_size"`
	Delimiter string   `json:"delimiter" empty:"null"`
}

// report is report.json.
type report struct {
	Rows          int              `json:"row_count"`
	Schema        string           `json:"schema"`
	Fields        canonical.Object `json:"field_stats"` // field: fieldStats
	Duplicates    int              `json:"exact_duplicates"`
	DuplicateRate float64          `json:"exact_duplicate_rate"`
	Unique        int              `json:"unique_rows"`
	PII           pii.Counts       `json:"pii_scan"`
	PIIHits       int              `json:"pii_total_hits"`
	Clean         bool             `json:"pii_clean"`
}

// hashes is hashes.json. documents is an addition to what readers know.
type hashes struct {
	Files       canonical.Object `json:"files"` // name: hex
	DatasetHash string           `json:"dataset_hash"`
	ChainHash   string           `json:"chain_hash"`
	Documents   canonical.Object `json:"documents"` // name: hex
}

// tagDistribution lists the values of tags. Of a key with very many values the
// first 1000 met are listed, as in a manifest of a data set.
func tagDistribution(tags []dataset.Tag) canonical.Object {
	out := canonical.Object{}
	for _, t := range tags {
		values := canonical.Object{}
		for _, v := range t.Values {
			values = append(values, canonical.Member{Key: v.Value, Value: v.Rows})
		}
		out = append(out, canonical.Member{Key: t.Key, Value: values})
	}
	return out
}
