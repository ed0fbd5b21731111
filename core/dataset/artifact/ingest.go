package artifact

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
)

const opIngest = "ingest"

// maxProblems is how many bad rows an error lists, and maxReasons how many
// reasons a manifest does.
const (
	maxProblems = 20
	maxReasons  = 10
)

var bom = []byte("\xef\xbb\xbf")

// ingest is one call of Ingest.
type ingest struct {
	opt       Options
	target    *folder
	comma     byte // 0: to be told by the file
	columns   *columns
	names     []string // of the columns, in their order
	delimiter string   // "" for JSONL
	stats     *stats

	rowsIn   int
	reasons  map[string]int
	problems []fault.Problem
	line     int // of the first bad row
}

// Ingest makes an artifact of a CSV or JSONL file. Text columns are told by
// their names, without regard to case: instruction or prompt, input, and
// output, response or completion; question, answer and context; text and label.
//
// Rows with instruction and output are taken as they are. Rows with question
// and answer become an input of `Context:` and `Question:` blocks, stripped; the
// instruction is theirs, if they have one, else a fixed one. Labels are
// stripped. Ids are always made anew from the content.
func Ingest(ctx context.Context, opt Options) (*Summary, error) {
	g := &ingest{opt: opt, reasons: map[string]int{}}
	if err := g.checkOptions(); err != nil {
		return nil, err
	}
	g.stats = newStats(opt.Schema)
	target, err := newFolder(opt.OutDir, opt.Overwrite)
	if err != nil {
		return nil, err
	}
	defer target.abort()
	g.target = target
	size, err := g.writeRows(ctx, target)
	if err != nil {
		return nil, err
	}
	if err := g.verdict(); err != nil {
		return nil, err
	}
	summary, err := g.describe(ctx, target, size)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %s: %w", opIngest, opt.Input, context.Cause(ctx))
	}
	if err := target.commit(); err != nil {
		return nil, err
	}
	return summary, nil
}

func (g *ingest) checkOptions() error {
	wrong := func(reason, hint string) error {
		return &fault.ConfigError{Detail: fault.Detail{Op: opIngest, Reason: reason, Hint: hint}}
	}
	o := &g.opt
	if o.Schema != dataset.SFT && o.Schema != dataset.Classification {
		return wrong(fmt.Sprintf("unknown schema %q", o.Schema), "the schema is sft or classification")
	}
	if o.Input == "" || o.OutDir == "" {
		return wrong("an input file and an output folder are needed", "")
	}
	if o.Format != "" && o.Format != CSV && o.Format != JSONL {
		return wrong(fmt.Sprintf("unknown format %q", o.Format), "the format is csv or jsonl")
	}
	switch d := o.Delimiter; {
	case d == "":
	case d == "tab":
		g.comma = '\t'
	case len(d) == 1 && d[0] < utf8.RuneSelf && d != `"` && d != "\r" && d != "\n" && d != "\x00":
		g.comma = d[0]
	default:
		return wrong(fmt.Sprintf("the delimiter %q cannot be used", d), `one ASCII character that is no quote, or "tab"`)
	}
	for key, value := range o.Tags {
		if key == "" || !utf8.ValidString(key) || !utf8.ValidString(value) {
			return wrong(fmt.Sprintf("the tag %q=%q is not a name and a text", key, value), "write KEY=VALUE")
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	var err error
	g.columns, err = newColumns(o.Schema, o.Map)
	return err
}

// bad is a DataError about the input.
func (g *ingest) bad(line int, reason, hint string) error {
	return &fault.DataError{Detail: fault.Detail{Op: opIngest, Path: g.opt.Input, Line: line, Reason: reason, Hint: hint}}
}

// writeRows writes dataset.jsonl and returns the size of the input.
func (g *ingest) writeRows(ctx context.Context, to *folder) (size int64, err error) {
	in, err := dataset.OpenStream(ctx, g.opt.Input)
	if err != nil {
		return 0, err
	}
	defer func() { _ = in.Close() }() // opened for reading only
	text := bufio.NewReaderSize(in, 64<<10)
	if g.opt.Format == "" {
		if g.opt.Format, err = guessFormat(g.opt.Input, text); err != nil {
			return 0, err
		}
	}
	err = to.write(DataName, func(w io.Writer) error {
		take := func(rec *record) error { return g.take(rec, w) }
		if g.opt.Format == CSV {
			return g.scanCSV(text, take)
		}
		return g.scanJSONL(ctx, take)
	})
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(g.opt.Input)
	if err != nil {
		return 0, g.bad(0, "is gone", "leave data alone while it is used")
	}
	return info.Size(), nil
}

// guessFormat tells the format by the name, else by the first character.
func guessFormat(path string, r *bufio.Reader) (string, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv", ".tsv", ".psv":
		return CSV, nil
	case ".jsonl", ".ndjson", ".json":
		return JSONL, nil
	}
	start, err := r.Peek(4 << 10)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(start, bom)), []byte("{")) {
		return JSONL, nil
	}
	return CSV, nil
}

// take makes a row of a record and writes it, or counts why it cannot.
func (g *ingest) take(rec *record, w io.Writer) error {
	g.rowsIn++
	r, wrong := g.columns.row(rec)
	if wrong.reason != "" {
		g.drop(rec.line, wrong)
		return nil
	}
	if len(g.opt.Tags) > 0 {
		if r.Tags == nil {
			r.Tags = make(map[string]string, len(g.opt.Tags))
		}
		maps.Copy(r.Tags, g.opt.Tags)
	}
	var err error
	if r.ID, err = r.ContentID(); err != nil {
		return err
	}
	line, err := r.Encode()
	if err != nil {
		return err
	}
	if len(line) > dataset.MaxLine {
		g.drop(rec.line, tooLong)
		return nil
	}
	id, err := strconv.ParseUint(strings.TrimPrefix(r.ID, "row_"), 16, 64)
	if err != nil {
		return err
	}
	g.stats.add(&r, id)
	if _, err := w.Write(append(line, '\n')); err != nil {
		return g.target.failed(err)
	}
	return nil
}

func (g *ingest) drop(line int, p problem) {
	if len(g.reasons) == 0 {
		g.line = line
	}
	reason := p.reason
	if _, known := g.reasons[reason]; !known && len(g.reasons) >= 1000 {
		reason = "other reasons" // keys of hostile rows must not fill the memory
	}
	g.reasons[reason]++
	if len(g.problems) < maxProblems {
		what := p.reason
		if p.detail != "" {
			what = p.detail
		}
		g.problems = append(g.problems, fault.Problem{Path: g.opt.Input, Line: line, Key: p.key, Reason: what, Hint: p.hint})
	}
}

func (g *ingest) dropped() int { return g.rowsIn - g.stats.rows }

// verdict decides whether what was read can stand.
func (g *ingest) verdict() error {
	d := fault.Detail{Op: opIngest, Path: g.opt.Input, Line: g.line, Problems: g.problems}
	switch {
	case g.rowsIn == 0:
		d.Reason, d.Hint = "holds no rows", "every row is a line"
	case g.stats.rows == 0:
		d.Reason = fmt.Sprintf("none of %d rows can be used", g.rowsIn)
		d.Hint = fmt.Sprintf("the columns are %s; name those to use with --map FIELD=COLUMN", quoted(g.names))
	case g.opt.Strict && g.dropped() > 0:
		d.Reason = fmt.Sprintf("%d of %d rows cannot be used", g.dropped(), g.rowsIn)
		d.Hint = "mend these rows, or leave strict mode to drop them"
	default:
		return nil
	}
	if n := g.dropped(); n > len(g.problems) {
		d.Reason += fmt.Sprintf("; the first %d", len(g.problems))
	}
	return &fault.DataError{Detail: d}
}

// topReasons lists why rows were dropped, the most frequent first.
func (g *ingest) topReasons() []Reason {
	out := []Reason{}
	for reason, n := range g.reasons {
		out = append(out, Reason{reason, n})
	}
	slices.SortFunc(out, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), strings.Compare(a.Reason, b.Reason))
	})
	return out[:min(len(out), maxReasons)]
}

// describe reads the rows back as any reader would, and writes the other files.
func (g *ingest) describe(ctx context.Context, to *folder, size int64) (*Summary, error) {
	f, err := dataset.Open(ctx, to.path(DataName), g.opt.Schema)
	if err != nil {
		var bad *fault.DataError
		if errors.As(err, &bad) {
			bad.Op, bad.Path = opIngest, g.opt.Input // the file itself goes away
		}
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	reasons := g.topReasons()
	m := manifest{
		Schema: g.opt.Schema, InputPath: g.opt.Input,
		RowsIn: g.rowsIn, RowsOut: g.stats.rows, Dropped: g.dropped(), Reasons: canonical.Object{},
		TagDistribution: tagDistribution(f.Tags()),
		CreatedAt:       runs.FormatTime(g.opt.Now()), Version: g.opt.Version,
		Provenance: provenance{g.opt.Format, g.opt.Input, append([]string{}, g.names...), size, g.delimiter},
		Format:     g.opt.Format,
	}
	for _, r := range reasons {
		m.Reasons = append(m.Reasons, canonical.Member{Key: r.Reason, Value: r.Rows})
	}
	rep := g.stats.report()
	documents := canonical.Object{}
	for _, doc := range []struct {
		name    string
		content any
	}{{ManifestName, m}, {ReportName, rep}} {
		sum, err := to.writeJSON(doc.name, doc.content)
		if err != nil {
			return nil, err
		}
		documents = append(documents, canonical.Member{Key: doc.name, Value: sum})
	}
	h := hashes{
		Files:       canonical.Object{{Key: DataName, Value: f.SHA256()}},
		DatasetHash: f.SHA256(),
		ChainHash:   canonical.ChainHash(map[string]string{DataName: f.SHA256()}),
		Documents:   documents,
	}
	if _, err := to.writeJSON(HashesName, h); err != nil {
		return nil, err
	}
	return &Summary{
		OutDir: g.opt.OutDir, Schema: g.opt.Schema, Format: g.opt.Format,
		RowsIn: m.RowsIn, RowsOut: m.RowsOut, Dropped: m.Dropped, Reasons: reasons,
		ExactDuplicates: rep.Duplicates, PIIHits: rep.PIIHits,
		DatasetHash: h.DatasetHash, ChainHash: h.ChainHash,
		Unused: g.columns.unused(g.names, g.opt.Format),
	}, nil
}
