package source

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Proof is what a gate rests on: checks, a file, or both.
type Proof struct {
	Path string // of the file; empty: none
	Rows []Check
	// Text is the file, cut to MaxProof bytes; More says that it goes on.
	Text string
	More bool
}

// Check is one thing that was looked at.
type Check struct {
	Name, Detail string
	OK           bool
	// Beside marks a check that does not decide.
	Beside bool
}

// MaxProof bounds what is read of a file that is evidence, in bytes: more than
// anybody reads on a screen.
const MaxProof = 256 << 10

// ContractProof looks at what the run contract asks for, and inside the files.
func (s *Source) ContractProof(ctx context.Context, dir string) (*Proof, error) {
	p := &Proof{}
	for _, item := range contract.Check(dir).Checks {
		p.Rows = append(p.Rows, Check{Name: item.File, Detail: item.Detail, OK: item.Status == contract.Pass})
	}
	items, err := contract.Content(ctx, dir)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		p.Rows = append(p.Rows, Check{Name: item.File, Detail: item.Detail, OK: item.Status == contract.Pass, Beside: true})
	}
	return p, nil
}

// HashProof hashes the files of a run again and lists each with what hashes.json
// says of it.
func (s *Source) HashProof(ctx context.Context, dir string) (*Proof, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	hashes, err := run.Hashes()
	if err != nil {
		return nil, err
	}
	seal, err := contract.Verify(ctx, dir)
	if err != nil {
		return nil, err
	}
	p := &Proof{Path: filepath.Join(dir, "hashes.json")}
	names := make([]string, 0, len(hashes.Files))
	for name := range hashes.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c := Check{Name: name, Detail: hashes.Files[name], OK: true}
		switch {
		case slices.Contains(seal.Missing, name):
			c.OK, c.Detail = false, "not there; recorded as "+c.Detail
		case slices.Contains(seal.Changed, name):
			c.OK, c.Detail = false, "not what was recorded as "+c.Detail
		}
		p.Rows = append(p.Rows, c)
	}
	chain := Check{Name: "chain", Detail: hashes.ChainHash, OK: seal.Chain}
	if !seal.Chain {
		chain.Detail = "is not that of the hashes above"
	}
	p.Rows = append(p.Rows, chain)
	for _, name := range seal.Unlisted {
		p.Rows = append(p.Rows, Check{Name: name, Detail: "not listed in hashes.json", OK: true, Beside: true})
	}
	return p, nil
}

// FileProof reads a file that a gate names: relative to the run, or else to the
// working directory. JSON on one line is laid out.
func (s *Source) FileProof(dir, name string) (*Proof, error) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		path = name
		f, err = regular.Open(path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxProof+1))
	if err != nil {
		return nil, err
	}
	p := &Proof{Path: path, More: len(data) > MaxProof}
	p.Text = string(data[:min(len(data), MaxProof)])
	if !p.More && strings.Count(strings.TrimSpace(p.Text), "\n") == 0 {
		var v json.RawMessage
		if json.Unmarshal(data, &v) == nil {
			if out, err := json.MarshalIndent(v, "", "  "); err == nil {
				p.Text = string(out)
			}
		}
	}
	return p, nil
}
