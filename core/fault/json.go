package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// JSON says of a decoding error which key has a value of the wrong type, without
// the types of this program; other errors stay as they are.
func JSON(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	if wrong.Field == "" {
		return fmt.Errorf("holds a JSON %s, not %s", wrong.Value, wanted(wrong.Type))
	}
	return fmt.Errorf("%s must be %s, not %s", wrong.Field, wanted(wrong.Type), wrong.Value)
}

func wanted(t reflect.Type) string {
	if t == reflect.TypeFor[json.Number]() {
		return "a number"
	}
	switch t.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}
