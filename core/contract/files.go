package contract

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// Seal is a hashes.json, or the decision/hashes.json of a decision, held
// against the files as they stand.
type Seal struct {
	Files   int      // named in hashes.json
	Changed []string // sorted: content differs from the hash
	Missing []string // sorted: not there, or not a regular file inside the run
	// Chain says whether chain_hash is that of the hashes listed.
	Chain bool
	// Unlisted names, sorted, the files of the run that the list leaves out,
	// without those that may come, change or go after completion.
	Unlisted []string
}

// Intact says whether every listed file and the chain are as they were sealed.
func (s Seal) Intact() bool { return s.Chain && len(s.Changed) == 0 && len(s.Missing) == 0 }

// String tells what differs in one line.
func (s Seal) String() string {
	if s.Intact() {
		return fmt.Sprintf("%d files, chain intact", s.Files)
	}
	var parts []string
	if len(s.Changed) > 0 {
		parts = append(parts, "changed: "+some(s.Changed))
	}
	if len(s.Missing) > 0 {
		parts = append(parts, "missing: "+some(s.Missing))
	}
	if !s.Chain {
		parts = append(parts, "chain_hash does not match the files listed")
	}
	return strings.Join(parts, "; ")
}

// some lists the first few names.
func some(names []string) string {
	const most = 5
	// Names come from data.
	out := text.Escape(strings.Join(names[:min(len(names), most)], ", "))
	if more := len(names) - most; more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out
}

// Verify hashes the files that hashes.json of a run names and holds them
// against it. The error is that of reading hashes.json, or of ctx.
func Verify(ctx context.Context, dir string) (Seal, error) {
	run, err := runs.Open(dir)
	if err != nil {
		return Seal{}, err
	}
	h, err := run.Hashes()
	if err != nil {
		return Seal{}, err
	}
	return verify(ctx, dir, h)
}

func verify(ctx context.Context, dir string, h runs.Hashes) (Seal, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Seal{}, err
	}
	defer root.Close()
	s := Seal{Files: len(h.Files), Chain: plainHex(h.ChainHash) == canonical.ChainHash(h.Files)}
	for _, name := range slices.Sorted(maps.Keys(h.Files)) {
		if err := ctx.Err(); err != nil {
			return Seal{}, err
		}
		got, err := hashIn(root, name)
		switch {
		case err != nil:
			s.Missing = append(s.Missing, name)
		case got != plainHex(h.Files[name]):
			s.Changed = append(s.Changed, name)
		}
	}
	s.Unlisted, err = unlisted(root, h.Files)
	return s, err
}

// plainHex takes hashes as other writers print them too.
func plainHex(s string) string {
	return strings.ToLower(strings.TrimPrefix(strings.TrimSpace(s), "sha256:"))
}

// hashIn hashes a regular file below root; links that lead out of it, devices
// and pipes are errors.
func hashIn(root *os.Root, name string) (string, error) {
	path := filepath.FromSlash(name)
	info, err := root.Stat(path)
	if err != nil {
		return "", err
	}
	if err := regular.Check(path, info); err != nil {
		return "", err
	}
	// The open does not wait for a pipe that took the place of the file.
	f, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return "", err
	}
	if err := regular.Check(path, info); err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// later names the top-level folders that may change after completion.
var later = []string{"checkpoints", "decision", "review"}

func unlisted(root *os.Root, listed map[string]string) ([]string, error) {
	var out []string
	err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && strings.HasPrefix(e.Name(), "."), e.IsDir() && slices.Contains(later, name):
			if e.IsDir() {
				return fs.SkipDir
			}
		case !e.IsDir() && listed[name] == "" && name != hashesFile:
			out = append(out, name)
		}
		return nil
	})
	return out, err
}
