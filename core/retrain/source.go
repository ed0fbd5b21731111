package retrain

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/verifily/verifily-tui/core/dataset"
	"github.com/verifily/verifily-tui/core/dataset/artifact"
	"github.com/verifily/verifily-tui/core/fault"
)

// NotFound is a part of the data set that is not there. It unwraps to a
// *fault.DataError with the same message.
type NotFound struct{ err *fault.DataError }

// Error returns the message that the service answers with.
func (e *NotFound) Error() string { return e.err.Error() }

// Unwrap returns the *fault.DataError.
func (e *NotFound) Unwrap() error { return e.err }

// loadArtifact opens a data set artifact without verifying it. What is not
// there is a *NotFound, anything else wrong a *fault.DataError.
func loadArtifact(dir string) (*artifact.Artifact, error) {
	a, err := artifact.Load(dir)
	var missing *artifact.MissingError
	if errors.As(err, &missing) {
		return nil, &NotFound{&fault.DataError{Detail: fault.Detail{Reason: missing.Error(),
			Hint: "name a data set artifact, as verifily ingest writes one"}}}
	}
	return a, err
}

// DatasetHash is what the mock calls the hash of a data set artifact.
func DatasetHash(dir string) (string, error) {
	a, err := loadArtifact(dir)
	if err != nil {
		return "", err
	}
	return a.DatasetHash(), nil
}

// source is a verified data set artifact.
type source struct {
	*artifact.Artifact
	// unverified names what no hash stands for.
	unverified []string

	sum    string // sha256 of dataset.jsonl, hex
	report string // report.json, empty where there is none
	rows   int
	bytes  int64 // of all files of the artifact
}

// openSource reads a data set artifact and holds it against its hashes.
func openSource(ctx context.Context, a *artifact.Artifact) (*source, error) {
	unverified, err := a.Verify(ctx)
	if err != nil {
		return nil, err
	}
	s := &source{Artifact: a, unverified: unverified}
	if err := s.readRows(ctx); err != nil {
		return nil, err
	}
	if s.rows == 0 {
		return nil, &fault.DataError{Detail: fault.Detail{Op: "read data set", Path: a.DataPath(), Reason: "holds no rows"}}
	}
	for _, name := range []string{artifact.DataName, artifact.HashesName, artifact.ManifestName, artifact.ReportName} {
		path := filepath.Join(a.Dir, name)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("not a regular file")
		}
		if err != nil {
			return nil, &fault.DataError{Detail: fault.Detail{Op: "read data set", Path: path, Err: err}}
		}
		s.bytes += info.Size()
		if name == artifact.ReportName {
			s.report = path
		}
	}
	return s, nil
}

// rowReaders are kept: a row is short, and the block that it is read in is not.
var rowReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}

// readRows hashes dataset.jsonl and counts its rows, the lines that are not
// blank.
func (s *source) readRows(ctx context.Context) error {
	f, err := dataset.OpenStream(ctx, s.DataPath())
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // opened for reading only
	hash := sha256.New()
	lines := rowReaders.Get().(*bufio.Reader)
	defer rowReaders.Put(lines)
	defer lines.Reset(nil)
	lines.Reset(io.TeeReader(f, hash))
	blank, first := true, true
	for {
		part, err := lines.ReadSlice('\n')
		if first {
			part, first = bytes.TrimPrefix(part, []byte("\ufeff")), false
		}
		blank = blank && len(bytes.TrimSpace(part)) == 0
		if errors.Is(err, bufio.ErrBufferFull) { // the line goes on
			continue
		}
		if !blank {
			s.rows++
		}
		blank = true
		if errors.Is(err, io.EOF) {
			s.sum = hex.EncodeToString(hash.Sum(nil))
			return nil
		}
		if err != nil {
			return err
		}
	}
}
