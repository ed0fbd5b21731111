package retrain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/canonical"
)

// The shares of the rows that are held back.
const (
	testShare = 0.1
	valShare  = 0.1
)

// Splits are the files of a data set that was split for training.
type Splits struct {
	Train, Val, Test string // Val is empty when there are too few rows
	Rows             int    // of all files
}

// Split cuts dataset.jsonl of a job into training, validation and test data and
// writes the files to splits/ of the output folder, under the hash of the data.
//
// Where a row goes depends on the SHA-256 of its id alone (of its text, where
// it has none): a tenth each is held back for test and validation. So a row
// stays where it is when the data set grows, and rows with equal ids stay
// together. Of a data set too small for that, the row with the lowest hash
// becomes the test data; two rows are the least. Data without the hash of the
// job is a *fault.DataError.
func Split(ctx context.Context, job Job) (*Splits, error) {
	var parts [3]bytes.Buffer // train, val, test
	var counts [3]int
	var lowest []byte // hash of the row that comes first
	type placed struct {
		part int
		key  [sha256.Size]byte
		line []byte
	}
	var rows []placed
	err := dataset.Lines(ctx, job.DataPath, func(number int, text []byte, tooLong bool) error {
		if tooLong {
			return &fault.DataError{Detail: fault.Detail{Op: "split data set", Path: job.DataPath, Line: number, Reason: "the line is too long"}}
		}
		key := sha256.Sum256([]byte(rowID(text)))
		// 53 bits make a double between 0 and 1 without rounding.
		at := float64(binary.BigEndian.Uint64(key[:])>>11) / (1 << 53)
		part := 0
		switch {
		case at < testShare:
			part = 2
		case at < testShare+valShare:
			part = 1
		}
		if lowest == nil || bytes.Compare(key[:], lowest) < 0 {
			lowest = bytes.Clone(key[:])
		}
		counts[part]++
		rows = append(rows, placed{part, key, bytes.Clone(text)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	now, err := dataset.SHA256(ctx, job.DataPath)
	if err != nil {
		return nil, err
	}
	if now != job.DataHash {
		return nil, &fault.DataError{Detail: fault.Detail{Op: "split data set", Path: job.DataPath,
			Reason: "was changed after its hashes were verified", Hint: "leave the data set alone while it is used, and start again"}}
	}
	small := counts[2] == 0
	for _, r := range rows {
		if small && bytes.Equal(r.key[:], lowest) {
			counts[r.part]--
			counts[2]++
			r.part = 2
		}
		parts[r.part].Write(r.line)
		parts[r.part].WriteByte('\n')
	}
	if counts[0] == 0 || counts[2] == 0 {
		return nil, &fault.DataError{Detail: fault.Detail{Op: "split data set", Path: job.DataPath,
			Reason: fmt.Sprintf("too few different rows for training and test data: %d in all", len(rows)), Hint: "give at least a few dozen rows"}}
	}
	return writeSplits(job, parts, counts)
}

// rowID is the id of a row, else its text.
func rowID(text []byte) string {
	if members, err := dataset.Object(text); err == nil {
		for _, m := range members {
			if id, ok := m.Text(); m.Key == "id" && ok && id != "" {
				return id
			}
		}
	}
	return string(text)
}

// splitNames are the files of the splits: training, validation and test data.
var splitNames = [3]string{"train.jsonl", "val.jsonl", "test.jsonl"}

// splitsDir is where the splits of a data set stand.
func splitsDir(out, dataHash string) string {
	return filepath.Join(out, "splits", dataHash[:16])
}

func writeSplits(job Job, parts [3]bytes.Buffer, counts [3]int) (*Splits, error) {
	dir := splitsDir(job.OutputDir, job.DataHash)
	out := &Splits{Rows: counts[0] + counts[1] + counts[2]}
	fail := func(err error) error {
		return &fault.TrainingError{Detail: fault.Detail{Op: "write splits", Path: dir, Err: err,
			Hint: "check the output folder, its permissions and the free space"}}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fail(err)
	}
	for i, name := range splitNames {
		if counts[i] == 0 {
			continue
		}
		path := filepath.Join(dir, name)
		if err := writeOnce(path, parts[i].Bytes()); err != nil {
			return nil, fail(err)
		}
		*[]*string{&out.Train, &out.Val, &out.Test}[i] = path
	}
	return out, nil
}

// writeOnce leaves a file alone that has the content already: another training
// may be reading it.
func writeOnce(path string, data []byte) error {
	sum := sha256.Sum256(data)
	switch got, err := canonical.FileHash(path); {
	case err == nil && got == hex.EncodeToString(sum[:]):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return atomicfile.WriteBytes(path, 0o644, data)
}
