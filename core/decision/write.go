package decision

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// hashesName is the file of hashes of a decision, and that of a run.
const hashesName = "hashes.json"

// File is one file of a decision, ready to be written.
type File struct {
	Name string // in decision/
	Data []byte
}

// Files returns the files of a decision in the order in which they are
// written: gates.json, decision.txt, decision.json, and hashes.json over those
// three, by which a change to any of them is seen.
func (d *Decision) Files() ([]File, error) { return d.files() }

// files adds further files, which hashes.json then covers too.
func (d *Decision) files(further ...File) ([]File, error) {
	gates, err := canonical.Indent(d.GatesObject())
	if err != nil {
		return nil, fmt.Errorf("encode gates: %w", err)
	}
	verdict, err := d.JSON()
	if err != nil {
		return nil, fmt.Errorf("encode decision: %w", err)
	}
	files := append([]File{{"gates.json", gates}, {"decision.txt", []byte(d.Text())}, {"decision.json", verdict}}, further...)
	sums := map[string]string{}
	for _, f := range files {
		sum := sha256.Sum256(f.Data)
		sums[f.Name] = hex.EncodeToString(sum[:])
	}
	seal, err := canonical.Indent(canonical.Object{{Key: "hash_algorithm", Value: runs.HashAlgorithm},
		{Key: "files", Value: sums}, {Key: "chain_hash", Value: canonical.ChainHash(sums)}})
	if err != nil {
		return nil, fmt.Errorf("encode hashes of the decision: %w", err)
	}
	return append(files, File{hashesName, seal}), nil
}

// Record puts a decision into decision/ of a run, in place of an earlier one,
// and adds the entry to the audit trail beside it. Where hashes.json of the run
// covers decision/, as that of a retrain does, its entries and the chain follow.
//
// All files are on disk before the first is put in place, one rename right
// behind the other. hashes.json of the decision comes after what it covers, and
// that of the run last. A program that is killed between two renames leaves a
// decision that does not verify, in any order; in this one the hashes never
// vouch for a file that is not there, and the trail is at most one line ahead
// of its hash, which the next call knows from a trail that was changed by hand.
//
// A trail that is not the one that was written is an error, ErrTrailChanged,
// and nothing is written: to go on would seal the change.
func Record(dir string, d *Decision, e Entry) error {
	folder := filepath.Join(dir, "decision")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("write decision: %w", err)
	}
	if info, err := os.Lstat(folder); err != nil || !info.IsDir() {
		return fmt.Errorf("write decision: %s is a link: %w", folder, cmp.Or(err, errors.ErrUnsupported))
	}
	unlock, err := runs.LockSeal(dir)
	if err != nil {
		return fmt.Errorf("write decision: %w", err)
	}
	return errors.Join(record(dir, folder, d, e), unlock())
}

func record(dir, folder string, d *Decision, e Entry) error {
	trail, err := extendTrail(folder, d, e)
	if err != nil {
		return err
	}
	files, err := d.files(File{TrailName, trail})
	if err != nil {
		return err
	}
	seal, err := refreshed(dir, files)
	if err != nil {
		return err
	}
	return place(dir, folder, files, seal)
}

// place writes all files under temporary names and then commits them in order,
// those of the decision and, unless it is nil, hashes.json of the run.
func place(dir, folder string, files []File, seal []byte) error {
	if err := sweep(folder, files); err != nil {
		return fmt.Errorf("write decision: %w", err)
	}
	if seal != nil {
		if err := sweep(dir, []File{{Name: hashesName}}); err != nil {
			return fmt.Errorf("write decision: %w", err)
		}
	}
	open := make([]*atomicfile.File, 0, len(files))
	defer func() {
		for _, f := range open {
			f.Abort()
		}
	}()
	stage := func(path string, data []byte) error {
		f, err := atomicfile.Create(path, 0o644)
		if err != nil {
			return fmt.Errorf("write decision: %w", err)
		}
		open = append(open, f)
		if _, err := f.Write(data); err != nil {
			return fmt.Errorf("write decision: %w", err)
		}
		return nil
	}
	for _, file := range files {
		if err := stage(filepath.Join(folder, file.Name), file.Data); err != nil {
			return err
		}
	}
	if seal != nil {
		if err := stage(filepath.Join(dir, hashesName), seal); err != nil {
			return err
		}
	}
	if err := atomicfile.CommitAll(open...); err != nil {
		return fmt.Errorf("write decision: %w", err)
	}
	return nil
}

// sweep removes the temporary files of programs that were killed while they
// wrote these files. Nobody writes them now: the lock is held.
func sweep(folder string, files []File) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		for _, f := range files {
			number, found := strings.CutPrefix(e.Name(), "."+f.Name)
			if found && number != "" && strings.Trim(number, "0123456789") == "" {
				err = errors.Join(err, os.Remove(filepath.Join(folder, e.Name())))
			}
		}
	}
	return err
}

// refreshed is hashes.json of the run with its entries for decision/ up to date,
// nil when it has none.
func refreshed(dir string, files []File) ([]byte, error) {
	path := filepath.Join(dir, hashesName)
	data, err := regular.Read(path, maxEvidence)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("refresh hashes: %w", err)
	}
	top, err := object(data)
	if err != nil {
		return nil, nil // not ours to mend; the checks of the run report it
	}
	sums := map[string]string{}
	covered := false
	out := canonical.Object{}
	for _, m := range top {
		if m.key == "files" {
			if json.Unmarshal(m.value, &sums) != nil {
				return nil, nil
			}
		}
		dec := json.NewDecoder(bytes.NewReader(m.value))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, fmt.Errorf("refresh hashes: read %s: %w", path, err)
		}
		out = append(out, canonical.Member{Key: m.key, Value: v})
	}
	for name := range sums {
		if strings.HasPrefix(name, "decision/") {
			covered = true
			delete(sums, name)
		}
	}
	if !covered {
		return nil, nil
	}
	for _, f := range files {
		sum := sha256.Sum256(f.Data)
		sums["decision/"+f.Name] = hex.EncodeToString(sum[:])
	}
	for i := range out {
		switch out[i].Key {
		case "files":
			out[i].Value = sums
		case "chain_hash":
			out[i].Value = canonical.ChainHash(sums)
		}
	}
	encoded, err := canonical.Indent(out)
	if err != nil {
		return nil, fmt.Errorf("refresh hashes: %w", err)
	}
	return encoded, nil
}
