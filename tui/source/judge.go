package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/contract"
	"github.com/verifily/verifily-tui/core/decision"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Judgement is a decision, what it was made from, and how the run stands.
type Judgement struct {
	Decision *core.Decision
	Policy   string // policy file, empty: none
	Contract contract.Result
	// Seal is hashes.json held against the files; nil where SealError says why it
	// could not be.
	Seal      *contract.Seal
	SealError string
	Review    Progress
	Files     []string // that recording it writes, as paths
	// Recorded is the last line of the audit trail, nil where there is none.
	Recorded *Record
}

// Progress is how far the hard examples of a run have been read.
type Progress struct {
	Hard   int            // examples
	Read   int            // of them with a label
	Labels map[string]int // of them by label
}

// Record is a line of the audit trail of a run.
type Record struct {
	Time     string `json:"ts"`
	Status   string `json:"status"` // what was recommended
	Reviewer string `json:"reviewer"`
	Note     string `json:"note"`
}

// Decide judges a run against a baseline (empty: none), and checks its files.
// Nothing is written.
func (s *Source) Decide(ctx context.Context, run, base string) (*Judgement, error) {
	opt := decideOptions(run, base)
	opt.DryRun = true
	d, err := core.Decide(ctx, opt)
	if err != nil {
		return nil, err
	}
	j := &Judgement{Decision: d, Policy: opt.Policy, Contract: contract.Check(run)}
	seal, err := contract.Verify(ctx, run)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		j.SealError = "there is no hashes.json"
	case err != nil:
		j.SealError = err.Error()
	default:
		j.Seal = &seal
	}
	if hard, err := s.Hard(run, ""); err == nil {
		j.Review.Hard, j.Review.Labels = len(hard.Examples), map[string]int{}
		for i := range hard.Examples {
			if label := hard.Examples[i].Label; label != "" {
				j.Review.Read++
				j.Review.Labels[label]++
			}
		}
	}
	if j.Files, err = recordFiles(run, d); err != nil {
		return nil, err
	}
	j.Recorded, err = lastRecord(run)
	return j, err
}

// VerdictChanged is the error of Record where the files have come to another
// verdict since somebody agreed to one.
type VerdictChanged struct{ Agreed, Now string }

// Error implements error.
func (e *VerdictChanged) Error() string {
	return fmt.Sprintf("the verdict is %s by now, not %s: look at it again", e.Now, e.Agreed)
}

// Record judges a run anew and, where the verdict is still the one agreed to,
// writes it into the run with a note for the audit trail. It returns the files
// that were written, as paths. The reviewer is the name in the git config.
func (s *Source) Record(ctx context.Context, run, base, agreed, note string) ([]string, error) {
	opt := decideOptions(run, base)
	opt.DryRun = true
	d, err := core.Decide(ctx, opt)
	if err != nil {
		return nil, err
	}
	if d.Recommendation != agreed {
		return nil, &VerdictChanged{Agreed: agreed, Now: d.Recommendation}
	}
	opt.DryRun, opt.Note, opt.Reviewer = false, note, s.reviewer(ctx)
	if d, err = core.Decide(ctx, opt); err != nil {
		return nil, err
	}
	return recordFiles(run, d)
}

func recordFiles(run string, d *core.Decision) ([]string, error) {
	files, err := d.Files()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(run, "decision")
	out := []string{filepath.Join(folder, decision.TrailName)}
	for _, f := range files {
		out = append(out, filepath.Join(folder, f.Name))
	}
	return out, nil
}

func decideOptions(run, base string) core.DecideOptions {
	opt := core.DecideOptions{Run: run, Baseline: base}
	if exists(decision.PolicyFile) {
		opt.Policy = decision.PolicyFile
	}
	return opt
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// lastRecord reads the end of the audit trail. Lines that are not whole do not
// count.
func lastRecord(run string) (*Record, error) {
	data, err := regular.Read(filepath.Join(run, "decision", decision.TrailName), maxTrail)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var last *Record
	for line := range bytes.Lines(data) {
		var r Record
		if json.Unmarshal(line, &r) == nil && r.Status != "" {
			last = &r
		}
	}
	return last, nil
}

// maxTrail bounds the audit trail, a few hundred bytes a decision.
const maxTrail = 64 << 20
