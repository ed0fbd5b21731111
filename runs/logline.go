package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/verifily/verifily-tui/runs/canonical"
)

// lineFields names what LogLine has a field for; Metrics holds the rest.
var lineFields = map[string]bool{
	"step": true, "epoch": true, "loss": true, "learning_rate": true, "grad_norm": true,
	"eval_loss": true, "tokens": true, "tokens_per_second": true, "timestamp": true, "non_finite": true,
}

// TotalSteps is how many optimiser steps a run of a number of epochs will have:
// as many an epoch as so far. 0 when that is not known.
func (l LogLine) TotalSteps(epochs int) int {
	if !(l.Epoch > 0) || l.Step < 1 || epochs < 1 {
		return 0
	}
	if total := math.Round(float64(l.Step) / l.Epoch * float64(epochs)); total < math.MaxInt32 {
		return int(total)
	}
	return 0
}

// encode returns the line for the file, newline included.
func (l LogLine) encode() ([]byte, error) {
	bad := NonFinite{}
	var out canonical.Object
	put := func(name string, f *float64) {
		if f == nil {
			return
		}
		m := canonical.Member{Key: name}
		if isFinite(*f) {
			m.Value = *f
		}
		bad.add(name, f)
		out = append(out, m)
	}
	out = append(out, canonical.Member{Key: "step", Value: l.Step})
	put("epoch", &l.Epoch)
	put("loss", l.Loss)
	put("learning_rate", l.LearningRate)
	put("grad_norm", l.GradNorm)
	put("eval_loss", l.EvalLoss)
	out = append(out, canonical.Member{Key: "timestamp", Value: l.Timestamp})
	if l.Tokens != nil {
		out = append(out, canonical.Member{Key: "tokens", Value: *l.Tokens})
	}
	put("tokens_per_second", l.TokensPerSecond)
	for _, name := range slices.Sorted(maps.Keys(l.Metrics)) {
		if lineFields[name] {
			return nil, fmt.Errorf("metric %q has a field of its own in a log line", name)
		}
		f := l.Metrics[name]
		put(name, &f)
	}
	if len(bad) > 0 {
		out = append(out, canonical.Member{Key: "non_finite", Value: map[string]string(bad)})
	}
	data, err := canonical.Line(out)
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// lineParser reads log lines.
type lineParser struct {
	floats    slab[float64]
	ints      slab[int64]
	timestamp string
}

// slab hands out pointers into shared arrays: a million lines then cost
// thousands of allocations, not millions.
type slab[T any] []T

// box returns a pointer to a copy of v.
func (s *slab[T]) box(v T) *T {
	if len(*s) == cap(*s) {
		*s = make([]T, 0, min(max(16, 2*cap(*s)), 4096))
	}
	*s = append(*s, v)
	return &(*s)[len(*s)-1]
}

// stamp returns a copy of s that does not hold on to the text it is part of.
// Neighbouring lines often share a second.
func (p *lineParser) stamp(s string) string {
	if s != p.timestamp {
		p.timestamp = string([]byte(s))
	}
	return p.timestamp
}

// parse reads one line without its newline: the plain shape by hand, anything
// else through encoding/json.
func (p *lineParser) parse(s string) (LogLine, error) {
	if line, ok := p.plain(s); ok {
		return line, nil
	}
	return looseLine([]byte(s))
}

// plain reads the shape that nearly all lines have.
func (p *lineParser) plain(s string) (line LogLine, ok bool) {
	c := cursor{s: s}
	c.space()
	if !c.take('{') {
		return line, false
	}
	var timestamp string
	hasStep := false
	for more := true; more; {
		key, ok := c.key()
		if !ok {
			return line, false
		}
		switch key {
		case "step":
			n, ok := c.integer()
			if !ok {
				return line, false
			}
			line.Step, hasStep = int(n), true
		case "epoch":
			if line.Epoch, ok = c.number(); !ok {
				return line, false
			}
		case "loss":
			ok = p.field(&c, &line.Loss)
		case "learning_rate":
			ok = p.field(&c, &line.LearningRate)
		case "grad_norm":
			ok = p.field(&c, &line.GradNorm)
		case "eval_loss":
			ok = p.field(&c, &line.EvalLoss)
		case "tokens_per_second":
			ok = p.field(&c, &line.TokensPerSecond)
		case "tokens":
			n, isInt := c.integer()
			line.Tokens, ok = p.ints.box(n), isInt
		case "timestamp":
			timestamp, ok = c.text()
		default:
			return line, false
		}
		if !ok {
			return line, false
		}
		if more, ok = c.next(); !ok {
			return line, false
		}
	}
	line.Timestamp = p.stamp(timestamp)
	return line, hasStep && c.done()
}

func (p *lineParser) field(c *cursor, to **float64) bool {
	f, ok := c.number()
	if ok {
		*to = p.floats.box(f)
	}
	return ok
}

// looseLine reads any line that is an object with a step.
func looseLine(data []byte) (LogLine, error) {
	r, err := decodeRecord(data)
	if err != nil {
		return LogLine{}, err
	}
	step, ok := r.whole("step")
	if !ok || step < 0 {
		return LogLine{}, errors.New("no step")
	}
	restoreNonFinite(r)
	line := LogLine{
		Step:            int(step),
		Loss:            r.number("loss"),
		LearningRate:    r.number("learning_rate"),
		GradNorm:        r.number("grad_norm"),
		EvalLoss:        r.number("eval_loss"),
		TokensPerSecond: r.number("tokens_per_second"),
		Timestamp:       r.text("timestamp"),
	}
	if epoch := r.number("epoch"); epoch != nil {
		line.Epoch = *epoch
	}
	if n, ok := r.whole("tokens"); ok {
		line.Tokens = &n
	}
	for name, raw := range r.fields {
		if lineFields[name] {
			continue
		}
		if f, ok := looseNumber(raw); ok {
			if line.Metrics == nil {
				line.Metrics = map[string]float64{}
			}
			line.Metrics[name] = f
		}
	}
	return line, nil
}

// restoreNonFinite puts the values that "non_finite" names in place of their
// nulls.
func restoreNonFinite(r *record) {
	for name, raw := range r.object("non_finite") {
		if _, there := r.has(name); there {
			continue
		}
		if f, ok := looseNumber(raw); ok && !isFinite(f) {
			r.fields[name] = json.RawMessage(raw)
		}
	}
}
