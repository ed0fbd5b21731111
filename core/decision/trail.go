package decision

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/verifily/verifily-tui/core/text"
	"github.com/verifily/verifily-tui/runs"
	"github.com/verifily/verifily-tui/runs/regular"
)

// TrailName is the audit trail in decision/: a compact JSON line for every
// decision that was recorded, in their order.
const TrailName = "audit_log.jsonl"

// Entry is what a line of the audit trail says besides the decision.
type Entry struct {
	Time     time.Time
	RunID    string
	Reviewer string // who decided; may be empty
	Note     string // why; may be empty
}

// MaxNote bounds the note and the reviewer of an entry, in bytes: they explain a
// decision, and the trail is read whole.
const MaxNote = 16 << 10

// ErrTrailChanged: the audit trail is not the one that decision/hashes.json
// knows.
var ErrTrailChanged = errors.New("the audit trail " + TrailName + " is not as it was written")

// trailLine is a line of the trail.
type trailLine struct {
	TS       string `json:"ts"`
	Step     string `json:"step"`
	Status   string `json:"status"`
	RunID    string `json:"run_id"`
	Reviewer string `json:"reviewer"`
	Note     string `json:"note"`
	ExitCode int    `json:"exit_code"`
}

// line renders an entry. Characters that a terminal would obey or hide are
// escaped, so that the file can be looked at.
func (e Entry) line(d *Decision) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(trailLine{TS: runs.FormatTime(e.Time), Step: "decide", Status: d.Recommendation, RunID: e.RunID,
		Reviewer: e.Reviewer, Note: e.Note, ExitCode: d.ExitCode}); err != nil {
		return nil, fmt.Errorf("encode audit trail: %w", err)
	}
	out := make([]byte, 0, b.Len())
	for rest := b.Bytes(); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r < utf8.RuneSelf && r != 0x7f || !text.Hidden(r):
			out = append(out, rest[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	return out, nil
}

// extendTrail returns the trail of a run with one more line.
func extendTrail(folder string, d *Decision, e Entry) ([]byte, error) {
	line, err := e.line(d)
	if err != nil {
		return nil, err
	}
	trail, err := regular.Read(filepath.Join(folder, TrailName), maxEvidence)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read audit trail: %w", err)
	}
	known, err := knownTrail(folder)
	if err != nil {
		return nil, err
	}
	if !sameTrail(trail, known) {
		return nil, ErrTrailChanged
	}
	return append(trail, line...), nil
}

// knownTrail is the hash by which hashes.json of a decision knows the trail,
// empty when it knows of none.
func knownTrail(folder string) (string, error) {
	data, err := regular.Read(filepath.Join(folder, "hashes.json"), maxEvidence)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read hashes of the decision: %w", err)
	}
	var seal struct {
		Files map[string]string `json:"files"`
	}
	if err := json.Unmarshal(data, &seal); err != nil {
		return "", fmt.Errorf("%w: hashes.json beside it cannot be read", ErrTrailChanged)
	}
	return strings.ToLower(seal.Files[TrailName]), nil
}

// aheadLines is how many lines a trail may be ahead of its hashes: so many
// programs in a row may be killed between the two.
const aheadLines = 4

// sameTrail says whether a trail is the known one, or that and a few more
// lines: of programs that were killed before they could write the hashes. A
// trail of several lines without hashes has lost them.
func sameTrail(trail []byte, known string) bool {
	ahead := aheadLines
	if known == "" {
		ahead = 1
	}
	for range ahead + 1 {
		if hashOf(trail) == known {
			return true
		}
		trail = trail[:bytes.LastIndexByte(bytes.TrimSuffix(trail, []byte("\n")), '\n')+1]
	}
	return false
}

// hashOf is the hash of a trail, empty for one without lines.
func hashOf(trail []byte) string {
	if len(trail) == 0 {
		return ""
	}
	sum := sha256.Sum256(trail)
	return hex.EncodeToString(sum[:])
}
