package runs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/verifily/verifily-tui/runs/atomicfile"
	"github.com/verifily/verifily-tui/runs/canonical"
	"github.com/verifily/verifily-tui/runs/regular"
)

// neverHashed names the top-level folders that hashes.json leaves out:
// checkpoints may be deleted to win back space, decision and review are
// written after completion.
var neverHashed = map[string]bool{"checkpoints": true, "decision": true, "review": true}

// Finish ends the run with m.Status - completed, failed or interrupted - and
// closes the writer. An empty CompletedAt becomes now; a DurationSeconds that
// was not changed since Reopen or WriteMeta becomes the time since Create or
// Reopen and, of a resumed run, that of earlier stretches, without the pause.
//
// A completed run gets hashes.json, over the files as they then stand, and
// only after that the run_meta.json that says so; config.yaml, manifest.json
// and environment.json must be there (else ErrIncomplete). On error the run is
// not completed and the writer is still open: Finish can be called again, for
// instance with StatusFailed.
func (w *Writer) Finish(m Meta) error {
	switch m.Status {
	case StatusCompleted, StatusFailed, StatusInterrupted:
	default:
		return fmt.Errorf("finish run %s: status %q does not end a run", w.dir, m.Status)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	m.RunID = w.ID()
	now := w.now().UTC()
	if m.CompletedAt == "" {
		m.CompletedAt = FormatTime(now)
	}
	if m.DurationSeconds == w.earlier {
		m.DurationSeconds = w.earlier + max(0, now.Sub(w.opened).Seconds())
	}
	data, err := m.encode()
	if err != nil {
		return fmt.Errorf("finish run %s: %w", w.dir, err)
	}
	if err := w.log.Sync(); err != nil {
		return fmt.Errorf("finish run %s: flush %s: %w", w.dir, logFile, pathCause(err))
	}
	if m.Status == StatusCompleted {
		err = w.seal(m, data)
	} else if err = remove(w.path(hashesFile)); err == nil { // of a completion that failed half-way
		err = atomicfile.WriteBytes(w.path(metaFile), filePerm, data)
	}
	if err != nil {
		return fmt.Errorf("finish run: %w", err)
	}
	w.meta = m
	// The heartbeat of a run that has ended says nothing more. It goes while
	// the lock is held: it is nobody else's yet.
	w.beat.stop()
	err = remove(w.path(beatFile))
	if m.Status == StatusCompleted {
		// Nobody may write the run any more, so its lock has no use either.
		err = errors.Join(err, remove(w.path(lockFile)))
	}
	return errors.Join(err, w.close())
}

// seal writes hashes.json and then the final meta data.
func (w *Writer) seal(m Meta, meta []byte) error {
	for _, name := range []string{configFile, manifestFile, environmentFile} {
		if _, err := os.Stat(w.path(name)); err != nil {
			return fmt.Errorf("%s: %w: %s", w.dir, ErrIncomplete, name)
		}
	}
	unlock, err := LockSeal(w.dir)
	if err != nil {
		return err
	}
	err = func() error {
		files, err := hashTree(w.dir, "")
		if err != nil {
			return err
		}
		sum := sha256.Sum256(meta)
		files[metaFile] = hex.EncodeToString(sum[:])
		h := Hashes{
			ConfigHash: m.ConfigHash, DataHash: m.DataHash,
			EnvironmentHash: m.EnvironmentHash, ReproducibilityHash: m.ReproducibilityHash,
			AdapterWeightsHash: files[adapterFile], HashAlgorithm: HashAlgorithm,
			Files: files, ChainHash: canonical.ChainHash(files),
		}
		data, err := canonical.Indent(h)
		if err != nil {
			return fmt.Errorf("write %s: %w", w.path(hashesFile), err)
		}
		if err := atomicfile.WriteBytes(w.path(hashesFile), filePerm, data); err != nil {
			return err
		}
		return atomicfile.WriteBytes(w.path(metaFile), filePerm, meta)
	}()
	return errors.Join(err, unlock())
}

// hashTree hashes the files at and below a folder of the run (slash path,
// empty for all) and flushes them and their folders to disk. The keys are
// slash paths relative to the run. Left out are hidden files and folders,
// hashes.json and the folders of neverHashed. Links and other special files
// are errors: their content is not the run's.
func hashTree(run, below string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(filepath.Join(run, below), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(run, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		switch {
		case e.IsDir():
			if neverHashed[name] || name != "." && strings.HasPrefix(e.Name(), ".") {
				return fs.SkipDir
			}
			return atomicfile.SyncDir(path)
		case strings.HasPrefix(e.Name(), "."), name == hashesFile:
			return nil
		case !e.Type().IsRegular():
			return fmt.Errorf("hash %s: not a regular file", path)
		}
		files[name], err = hashAndSync(path)
		return err
	})
	return files, err
}

func hashAndSync(path string) (string, error) {
	f, err := regular.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash %s: %w", path, pathCause(err))
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("hash %s: %w", path, pathCause(err))
	}
	if err := f.Sync(); err != nil {
		return "", fmt.Errorf("flush %s: %w", path, pathCause(err))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// RefreshEval brings the entries for eval/ in hashes.json, and its chain_hash,
// up to the files that now stand in eval/. Everything else in hashes.json
// stays as it is. A run without hashes.json has nothing to refresh.
func RefreshEval(dir string) error {
	unlock, err := LockSeal(dir)
	if err != nil {
		return err
	}
	return errors.Join(refreshEval(dir), unlock())
}

// refreshEval is RefreshEval under the lock.
func refreshEval(dir string) error {
	path := filepath.Join(dir, hashesFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	data, err := readWhole(path)
	if err != nil {
		return err
	}
	top, err := orderedObject(data)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	files := map[string]string{}
	old, _ := member(top, "files").(canonical.Object)
	for _, m := range old {
		hash, ok := m.Value.(string)
		if ok && !strings.HasPrefix(m.Key, evalDir+"/") {
			files[m.Key] = hash
		}
	}
	if _, err := os.Stat(filepath.Join(dir, evalDir)); err == nil {
		now, err := hashTree(dir, evalDir)
		if err != nil {
			return err
		}
		for name, hash := range now {
			files[name] = hash
		}
	}
	top = setMember(top, "files", files)
	top = setMember(top, "chain_hash", canonical.ChainHash(files))
	out, err := canonical.Indent(top)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return atomicfile.WriteBytes(path, filePerm, out)
}

func member(o canonical.Object, key string) any {
	for _, m := range o {
		if m.Key == key {
			return m.Value
		}
	}
	return nil
}

func setMember(o canonical.Object, key string, value any) canonical.Object {
	for i := range o {
		if o[i].Key == key {
			o[i].Value = value
			return o
		}
	}
	return append(o, canonical.Member{Key: key, Value: value})
}
