package artifact

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
)

// csvReader splits a stream into records. It follows RFC 4180, with any
// delimiter and with LF, CRLF or CR at the ends of lines. A quote inside a
// field that does not begin with one stands for itself. Lines without a
// character other than spaces are skipped.
type csvReader struct {
	r     *bufio.Reader
	comma byte
	line  int // lines ended so far

	text []byte
	ends []int // of the fields in text
}

// csvRecord is one record; its fields are good until the next call of next.
type csvRecord struct {
	line    int // where it begins, 1-based
	fields  [][]byte
	tooLong bool // over dataset.MaxLine; there are no fields
	broken  bool // text after a closing quote
}

// openQuote is the error of a file that ends inside quotes.
type openQuote struct{ line int }

func (e openQuote) Error() string { return "a quote is opened and never closed" }

// next returns the next record, or io.EOF.
func (c *csvReader) next() (csvRecord, error) {
	for {
		rec, quoted, err := c.record()
		if err != nil {
			return rec, err
		}
		if !rec.tooLong && !quoted && len(rec.fields) == 1 && len(bytes.TrimSpace(rec.fields[0])) == 0 {
			continue
		}
		return rec, nil
	}
}

func (c *csvReader) record() (rec csvRecord, quoted bool, err error) {
	const (
		begin  = iota // of a field
		plain         // inside a field
		inside        // quotes
		closed        // after what may be a closing quote
	)
	rec.line = c.line + 1
	c.text, c.ends = c.text[:0], c.ends[:0]
	state, opened, size := begin, 0, 0
	keep := func(b byte) {
		if size++; size <= dataset.MaxLine {
			c.text = append(c.text, b)
		}
	}
	finish := func() {
		c.ends = append(c.ends, len(c.text))
		if rec.tooLong = size > dataset.MaxLine; rec.tooLong {
			return
		}
		start := 0
		for _, end := range c.ends {
			rec.fields = append(rec.fields, c.text[start:end])
			start = end
		}
	}
	for read := 0; ; read++ {
		b, err := c.r.ReadByte()
		if errors.Is(err, io.EOF) {
			switch {
			case read == 0:
				return rec, false, io.EOF
			case state == inside:
				return rec, false, openQuote{opened}
			}
			finish()
			return rec, quoted, nil
		}
		if err != nil {
			return rec, false, err
		}
		if b == '\r' && c.peek() == '\n' && state != inside {
			continue // CRLF is told by its second half
		}
		end := b == '\n' || b == '\r'
		if end && (b == '\n' || c.peek() != '\n') {
			c.line++
		}
		switch {
		case state == inside:
			if b == '"' {
				state = closed
			} else {
				keep(b)
			}
		case end:
			finish()
			return rec, quoted, nil
		case b == c.comma:
			if size++; size <= dataset.MaxLine { // a row of delimiters is long, too
				c.ends = append(c.ends, len(c.text))
			}
			state = begin
		case b == '"' && state == begin:
			state, opened, quoted = inside, c.line+1, true
		case b == '"' && state == closed:
			keep(b) // two quotes are one
			state = inside
		default:
			rec.broken = rec.broken || state == closed
			keep(b)
			state = plain
		}
	}
}

// peek returns the next byte, 0 at the end.
func (c *csvReader) peek() byte {
	b, err := c.r.Peek(1)
	if err != nil {
		return 0
	}
	return b[0]
}

// delimiters are those that are tried, in the order of preference.
const delimiters = ",;\t|"

// sampleSize is how much of a file the delimiter is told by.
const sampleSize = 64 << 10

// detect returns the delimiter that makes most sense of the start of a file:
// first the one whose header has the most columns that known counts, then the
// one that gives the most rows as many fields as the header, then the one with
// the most columns. It is 0 when none makes two columns.
func detect(sample []byte, known func(columns []string) int) byte {
	const most = 50 // records
	var best byte
	var bestScore [3]int
	for _, comma := range []byte(delimiters) {
		c := &csvReader{r: bufio.NewReader(bytes.NewReader(sample)), comma: comma}
		header, err := c.next()
		if err != nil || header.broken || len(header.fields) < 2 {
			continue
		}
		columns := texts(header.fields)
		score := [3]int{known(columns), 0, len(columns)}
		for range most {
			rec, err := c.next()
			if err != nil {
				break
			}
			if len(rec.fields) == len(columns) && !rec.broken {
				score[1]++
			}
		}
		if best == 0 || slices.Compare(score[:], bestScore[:]) > 0 {
			best, bestScore = comma, score
		}
	}
	return best
}

func texts(fields [][]byte) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = strings.TrimSpace(string(f))
	}
	return out
}

// openCSV reads the header of a CSV file. An empty delimiter is told by the
// start of the file.
func (g *ingest) openCSV(r io.Reader) (*csvReader, error) {
	c := &csvReader{r: bufio.NewReaderSize(r, 4*sampleSize)}
	sample, err := c.r.Peek(sampleSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.HasPrefix(sample, []byte("\xff\xfe")) || bytes.HasPrefix(sample, []byte("\xfe\xff")) {
		return nil, g.bad(1, "is UTF-16", "save the file as UTF-8")
	}
	if bytes.HasPrefix(sample, bom) {
		sample = sample[len(bom):]
		if _, err := c.r.Discard(len(bom)); err != nil {
			return nil, err
		}
	}
	if c.comma = g.comma; c.comma == 0 {
		if c.comma = detect(sample, g.columns.known); c.comma == 0 {
			c.comma = delimiters[0]
		}
	}
	header, err := c.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, g.bad(0, "holds no rows", "the first line names the columns")
	case err != nil:
		return nil, g.csvError(err)
	case header.tooLong || header.broken:
		return nil, g.bad(header.line, "the header is broken", "the first line names the columns")
	}
	g.names = texts(header.fields)
	g.delimiter = string(c.comma)
	return c, g.checkHeader(header.line)
}

func (g *ingest) checkHeader(line int) error {
	const hint = "the first line names the columns, each by a name of its own"
	seen := map[string]bool{}
	for i, name := range g.names {
		folded := strings.ToLower(name)
		switch {
		case !utf8.ValidString(name):
			return g.bad(line, fmt.Sprintf("column %d of the header is not valid UTF-8", i+1), "save the file as UTF-8")
		case name == "":
			return g.bad(line, fmt.Sprintf("column %d of the header has no name", i+1), hint)
		case strings.ContainsFunc(name, unicode.IsControl):
			return g.bad(line, fmt.Sprintf("column %d of the header has a control character in its name", i+1), hint)
		case seen[folded]:
			return g.bad(line, fmt.Sprintf("column %q stands twice in the header", name), hint)
		}
		seen[folded] = true
	}
	return g.columns.checkHeader(g, line)
}

// scanCSV hands every record of a CSV file to take.
func (g *ingest) scanCSV(r io.Reader, take func(*record) error) error {
	c, err := g.openCSV(r)
	if err != nil {
		return err
	}
	rec := &record{names: g.names}
	for {
		row, err := c.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return g.csvError(err)
		}
		rec.line, rec.fields, rec.problem = row.line, row.fields, problem{}
		switch {
		case row.tooLong:
			rec.problem = tooLong
		case row.broken:
			rec.problem = problem{reason: "broken quotes", detail: "text after a closing quote", hint: "a quote inside quotes is written twice"}
		case len(row.fields) != len(g.names):
			rec.problem = problem{reason: "ragged row", detail: fmt.Sprintf("%d fields, and the header has %d", len(row.fields), len(g.names)),
				hint: "put a field that holds the delimiter in quotes"}
		case !validUTF8(row.fields):
			rec.problem = notUTF8
		}
		if err := take(rec); err != nil {
			return err
		}
	}
}

func validUTF8(fields [][]byte) bool {
	for _, f := range fields {
		if !utf8.Valid(f) {
			return false
		}
	}
	return true
}

func (g *ingest) csvError(err error) error {
	var open openQuote
	if errors.As(err, &open) {
		return &fault.DataError{Detail: fault.Detail{
			Op: opIngest, Path: g.opt.Input, Line: open.line, Reason: open.Error(),
			Hint: "close the quote; a quote inside quotes is written twice",
		}}
	}
	return err
}
