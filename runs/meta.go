package runs

import (
	"encoding/json"
	"strconv"
	"strings"
)

// decodeMeta reads the content of run_meta.json: the shape that this package
// writes by hand, since a store reads it ten thousand times, and any other
// through decodeRecord.
func decodeMeta(data []byte) (Meta, []string, error) {
	if m, ok := plainMeta(string(data)); ok {
		return m, nil, nil
	}
	r, err := decodeRecord(data)
	if err != nil {
		return Meta{}, nil, err
	}
	m := metaOf(r)
	return m, r.oddities(metaFile), nil
}

// metaOf reads the fields that are there.
func metaOf(r *record) Meta {
	m := Meta{Status: Status(r.text("status"))}
	for _, f := range textFields(&m) {
		*f.to = r.text(f.name)
	}
	m.DurationSeconds = r.finite("duration_seconds")
	m.NonFinite = r.texts("non_finite")
	m.Metrics, m.NonFinite = finiteNumbers(r.object("metrics"), m.NonFinite)
	if raw, ok := r.has("seed"); ok {
		if s := strings.Trim(string(raw), `"`); isInteger(s) {
			m.Seed = json.Number(s)
		} else if n, ok := r.whole("seed"); ok { // 42.0
			m.Seed = json.Number(strconv.FormatInt(n, 10))
		}
	}
	return m
}

func isInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && (digits[0] != '0' || s == "0")
}

type textField struct {
	name string
	to   *string
}

// textFields lists the string fields of a Meta.
func textFields(m *Meta) [21]textField {
	return [21]textField{
		{"run_id", &m.RunID}, {"job_id", &m.JobID}, {"task", &m.Task}, {"base_model", &m.BaseModel},
		{"dataset_version", &m.DatasetVersion}, {"compute_mode", &m.ComputeMode}, {"device", &m.Device},
		{"started_at", &m.StartedAt}, {"completed_at", &m.CompletedAt}, {"artifact_path", &m.ArtifactPath},
		{"config_hash", &m.ConfigHash}, {"data_hash", &m.DataHash}, {"environment_hash", &m.EnvironmentHash},
		{"reproducibility_hash", &m.ReproducibilityHash}, {"run_name", &m.RunName},
		{"verifily_train_version", &m.Version}, {"mode", &m.Mode}, {"working_dir", &m.WorkingDir},
		{"repeats", &m.Repeats},
		{"base_weights_hash", &m.BaseWeightsHash}, {"error", &m.Error},
	}
}

// plainMeta reads a file of the usual shape.
func plainMeta(s string) (Meta, bool) {
	var m Meta
	fields := textFields(&m)
	// Fields come in the order of the struct, so the search for the next one
	// starts where the last one was found.
	at := 0
	c := cursor{s: s}
	c.space()
	if !c.take('{') {
		return m, false
	}
	for more := true; more; {
		key, ok := c.key()
		if !ok {
			return m, false
		}
		switch key {
		case "status":
			var status string
			if status, ok = c.text(); ok {
				m.Status = Status(status)
			}
		case "duration_seconds":
			m.DurationSeconds, ok = c.number()
		case "metrics":
			m.Metrics, ok = c.numbers()
		case "seed":
			var lit string
			if lit, ok = c.literal(); ok {
				ok = isInteger(lit)
				m.Seed = json.Number(lit)
			}
		default:
			ok = false
			for range fields {
				f := fields[at%len(fields)]
				at++
				if f.name == key {
					*f.to, ok = c.textOrNull()
					break
				}
			}
		}
		if !ok {
			return m, false
		}
		if more, ok = c.next(); !ok {
			return m, false
		}
	}
	return m, c.done()
}

// textOrNull steps over a string, or over null, which is "".
func (c *cursor) textOrNull() (string, bool) {
	if c.null() {
		return "", true
	}
	return c.text()
}

// numbers steps over an object of finite numbers.
func (c *cursor) numbers() (map[string]float64, bool) {
	if !c.take('{') {
		return nil, false
	}
	m := map[string]float64{}
	if c.take('}') {
		return m, true
	}
	for more := true; more; {
		name, ok := c.key()
		if !ok {
			return nil, false
		}
		if m[name], ok = c.number(); !ok {
			return nil, false
		}
		if more, ok = c.next(); !ok {
			return nil, false
		}
	}
	return m, true
}
