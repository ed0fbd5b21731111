package dataset

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/verifily/verifily-tui/runs/canonical"
)

// Encode returns the row as one line of JSON without a line break: the fields
// of its task, `tags`, `id`, separators ", " and ": ", UTF-8 not escaped. An
// empty input, absent tags and an empty id are left out. Row and Encode are
// inverse but for Line.
func (r Row) Encode() ([]byte, error) {
	o := r.content()
	if r.ID != "" {
		o = append(o, canonical.Member{Key: "id", Value: r.ID})
	}
	return canonical.Line(o)
}

// ContentID returns the id that belongs to what the row says: `row_` and the
// first 16 hex digits of the sha256 of the row without id, as Encode writes it
// but with keys sorted.
func (r Row) ContentID() (string, error) {
	data, err := canonical.SortedLine(r.content())
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return "row_" + hex.EncodeToString(sum[:])[:16], nil
}

// content is the row without id.
func (r Row) content() canonical.Object {
	var o canonical.Object
	if r.Instruction == "" {
		o = canonical.Object{{Key: "text", Value: r.Text}, {Key: "label", Value: r.Label}}
	} else {
		o = canonical.Object{{Key: "instruction", Value: r.Instruction}}
		if r.Input != "" {
			o = append(o, canonical.Member{Key: "input", Value: r.Input})
		}
		o = append(o, canonical.Member{Key: "output", Value: r.Output})
	}
	if r.Tags != nil {
		o = append(o, canonical.Member{Key: "tags", Value: r.Tags})
	}
	return o
}
