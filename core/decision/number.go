package decision

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/runs/canonical"
)

// Number is a number as it was given: a whole number stays one, however
// large, and any other is the nearest double. It prints as the contract prints
// numbers (section 3: 37, 0.0666, 1.0, 1e-05). The zero Number is 0.
type Number struct {
	text  string
	float float64
}

// NewNumber takes a json.Number, an integer, a finite float64 or a truth value,
// which counts as 1 or 0.
func NewNumber(v any) (Number, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return Number{"True", 1}, nil
		}
		return Number{"False", 0}, nil
	case json.Number, int, int64, float64:
		text, err := canonical.JSON(v)
		if err != nil {
			return Number{}, fmt.Errorf("%v is not a number: %w", v, err)
		}
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil && math.IsInf(f, 0) {
			err = nil // a whole number beyond every double still has a size
		}
		return Number{string(text), f}, err
	}
	return Number{}, fmt.Errorf("%T is not a number", v)
}

// Float returns the nearest double.
func (n Number) Float() float64 { return n.float }

// String returns the number as the contract prints it.
func (n Number) String() string {
	if n.text == "" {
		return "0"
	}
	return n.text
}

// json is the form that package canonical encodes.
func (n Number) json() any {
	switch n.text {
	case "True", "False":
		return n.float == 1
	}
	return json.Number(n.String())
}

func (n Number) whole() bool { return !strings.ContainsAny(n.String(), ".eETF") }

// floatNumber makes a Number of a finite double.
func floatNumber(f float64) Number { return Number{canonical.Float(f), f} }

// round rounds to a number of decimals: the decimal nearest to the exact
// binary value, ties to even, as the contract's numbers are rounded.
func round(f float64, decimals int) float64 {
	out, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', decimals, 64), 64)
	return out
}

// Metric is a named number.
type Metric struct {
	Name  string
	Value Number
}

// Metrics are numbers by name, in the order in which they were given. Nil
// Metrics are unknown, empty ones are known to be none.
type Metrics []Metric

// Names lists the names.
func (m Metrics) Names() (names []string) {
	for _, x := range m {
		names = append(names, x.Name)
	}
	return names
}

// Get returns the number of a name.
func (m Metrics) Get(name string) (Number, bool) {
	for _, x := range m {
		if x.Name == name {
			return x.Value, true
		}
	}
	return Number{}, false
}

// object is the form that package canonical encodes; nil is null.
func (m Metrics) object() any {
	if m == nil {
		return nil
	}
	o := canonical.Object{}
	for _, x := range m {
		o = append(o, canonical.Member{Key: x.Name, Value: x.Value.json()})
	}
	return o
}

// differences returns new - base, rounded to six places, for the names that
// both have, in the order of the first.
func differences(now, base Metrics) Metrics {
	out := Metrics{}
	for _, m := range now {
		b, ok := base.Get(m.Name)
		if !ok {
			continue
		}
		d := m.Value.float - b.float
		if math.IsNaN(d) || math.IsInf(d, 0) {
			continue
		}
		n := floatNumber(round(d, 6))
		if m.Value.whole() && b.whole() && math.Abs(m.Value.float) < 1<<53 && math.Abs(b.float) < 1<<53 {
			n = Number{strconv.FormatInt(int64(d), 10), d}
		}
		out = append(out, Metric{m.Name, n})
	}
	return out
}
