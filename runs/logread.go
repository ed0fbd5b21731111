package runs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/verifily/verifily-tui/runs/regular"
)

// Log is a stretch of train_log.jsonl.
type Log struct {
	Lines []LogLine
	// Next is the offset in bytes at which the next read goes on: the start of
	// the first line not returned.
	Next int64
	// Bad counts the lines left out because they are not JSON, have no step or
	// are longer than a megabyte.
	Bad int
}

// maxLogLine bounds a line: log lines have hundreds of bytes.
const maxLogLine = 1 << 20

// logBlock is how much is read at a time.
const logBlock = 1 << 20

// ReadLog reads whole lines of the log at path from a byte offset on, until
// about limit bytes are read; limit 0 reads to the end. A last line without
// its newline is being written, or torn: it is left for a later read.
func ReadLog(path string, offset, limit int64) (*Log, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, pathCause(err))
	}
	defer f.Close()
	log, _, err := readLog(f, offset, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, pathCause(err))
	}
	return log, nil
}

// readLog also returns the bytes of a last line without a newline.
func readLog(f *os.File, offset, limit int64) (*Log, []byte, error) {
	log := &Log{Next: offset}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	end := info.Size()
	if limit > 0 && end-offset > limit {
		end = offset + limit
	}
	var parser lineParser
	// carry holds the start of a line whose end is in a later block.
	var carry []byte
	block := make([]byte, min(logBlock, max(0, info.Size()-offset)))
	tooLong := false
	for at := offset; at < end; {
		n, err := f.ReadAt(block[:min(int64(len(block)), end-at)], at)
		if n == 0 {
			if errors.Is(err, io.EOF) {
				break // the file became shorter
			}
			return nil, nil, err
		}
		at += int64(n)
		last := bytes.LastIndexByte(block[:n], '\n')
		if last < 0 {
			if tooLong = tooLong || len(carry)+n > maxLogLine; tooLong {
				carry = carry[:0]
			} else {
				carry = append(carry, block[:n]...)
			}
			if at == end && limit > 0 && end < info.Size() {
				// A line longer than limit: go on to its end, or no call would
				// ever get past it.
				end = min(end+64<<10, info.Size())
			}
			continue
		}
		carry = append(carry, block[:last+1]...)
		text := string(carry)
		if tooLong {
			_, text, _ = strings.Cut(text, "\n")
			log.Bad++
			tooLong = false
		}
		log.Next = at - int64(n-last-1)
		parseLines(text, &parser, log)
		carry = append(carry[:0], block[last+1:n]...)
		if at-offset == int64(n) {
			log.grow(end-log.Next, log.Next-offset)
		}
	}
	return log, carry, nil
}

// grow makes room for the lines still to come, judged by those read so far.
func (l *Log) grow(bytesLeft, bytesRead int64) {
	expect := int64(len(l.Lines)) * bytesLeft / max(1, bytesRead)
	expect += expect/16 + 1
	if free := int64(cap(l.Lines) - len(l.Lines)); free < expect {
		lines := make([]LogLine, len(l.Lines), int64(len(l.Lines))+expect)
		copy(lines, l.Lines)
		l.Lines = lines
	}
}

// parseLines adds the lines of text, which ends with a newline.
func parseLines(text string, parser *lineParser, log *Log) {
	for text != "" {
		end := strings.IndexByte(text, '\n')
		s := text[:end]
		text = text[end+1:]
		line, err := parser.parse(s)
		switch {
		case err == nil:
			log.Lines = append(log.Lines, line)
		case strings.TrimSpace(s) != "":
			log.Bad++
		}
	}
}

// LogTail follows a log that is being written. It is not safe for concurrent
// use.
type LogTail struct {
	path string
	next int64
	// mark is the end of the last line returned: when it no longer stands in
	// front of next, the log was cut back and written anew.
	mark []byte
}

// NewLogTail returns a tail at the start of the log at path, which need not
// exist yet.
func NewLogTail(path string) *LogTail { return &LogTail{path: path} }

// markSize is enough to hold a timestamp, the part of a line that differs even
// when a resumed run repeats a step exactly.
const markSize = 256

// Next returns the lines written since the last call, about limit bytes of
// them at most (0: all). Restarted means that the log was cut back, as a resume
// does: what earlier calls returned is void, and the lines returned are the
// first ones of the file. A log that does not exist has no lines.
func (t *LogTail) Next(limit int64) (log *Log, restarted bool, err error) {
	f, err := regular.Open(t.path)
	if errors.Is(err, os.ErrNotExist) {
		restarted = t.next > 0
		t.next, t.mark = 0, nil
		return &Log{}, restarted, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", t.path, pathCause(err))
	}
	defer f.Close()
	if !t.holds(f) {
		t.next, t.mark, restarted = 0, nil, true
	}
	log, _, err = readLog(f, t.next, limit)
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", t.path, pathCause(err))
	}
	if log.Next > t.next {
		mark := make([]byte, min(markSize, log.Next))
		n, err := f.ReadAt(mark, log.Next-int64(len(mark)))
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, false, fmt.Errorf("read %s: %w", t.path, pathCause(err))
		}
		t.mark = mark[:n]
	}
	t.next = log.Next
	return log, restarted, nil
}

// holds reports whether the mark still stands where it was read.
func (t *LogTail) holds(f *os.File) bool {
	now := make([]byte, len(t.mark))
	n, _ := f.ReadAt(now, t.next-int64(len(t.mark)))
	return n == len(t.mark) && bytes.Equal(now, t.mark)
}

// endOfStep returns the offset of the first whole line with a step greater
// than step, or the end of the last whole line.
func endOfStep(f *os.File, step int) (int64, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), logBlock)
	var parser lineParser
	var at int64
	for {
		s, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return 0, err
		}
		if line, err := parser.parse(s); err == nil && line.Step > step {
			return at, nil
		}
		at += int64(len(s))
	}
}
