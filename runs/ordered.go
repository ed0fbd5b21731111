package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/verifily/verifily-tui/runs/canonical"
)

// orderedObject decodes a JSON object with its keys in the order of the file,
// at every depth; of a repeated key the last value counts. Numbers stay as
// they are written. Package encoding/json bounds the depth.
func orderedObject(data []byte) (canonical.Object, error) {
	data = plainJSON(data)
	if !json.Valid(data) {
		var v any
		return nil, json.Unmarshal(data, &v) // says where
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := orderedValue(dec)
	if err != nil {
		return nil, err
	}
	o, ok := v.(canonical.Object)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return o, nil
}

func orderedValue(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := canonical.Object{}
		at := map[string]int{}
		for dec.More() {
			token, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key, ok := token.(string)
			if !ok {
				return nil, fmt.Errorf("key %v is not a string", token)
			}
			value, err := orderedValue(dec)
			if err != nil {
				return nil, err
			}
			if i, seen := at[key]; seen {
				o[i].Value = value
				continue
			}
			at[key] = len(o)
			o = append(o, canonical.Member{Key: key, Value: value})
		}
		_, err = dec.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			value, err := orderedValue(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = dec.Token()
		return list, err
	}
	return token, nil
}
