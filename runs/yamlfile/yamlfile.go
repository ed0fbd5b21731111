// Package yamlfile decodes YAML that strangers wrote. It takes a time and a
// memory that grow with the length of the text: the decoder beneath compares
// every key of a mapping with every other, and keeps a message for every two that
// are equal.
package yamlfile

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// mostKeys bounds the keys of one mapping.
const mostKeys = 5_000

// Decode decodes the first document of a text, as yaml.Unmarshal does.
func Decode(data []byte, to any) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return err
	}
	if doc.IsZero() {
		return nil
	}
	if err := check(&doc); err != nil {
		return err
	}
	return doc.Decode(to)
}

// check looks through what stands in the text; aliases add nothing to it.
func check(n *yaml.Node) error {
	if n.Kind == yaml.MappingNode {
		if len(n.Content)/2 > mostKeys {
			return fmt.Errorf("yaml: line %d: more than %d keys", n.Line, mostKeys)
		}
		type key struct {
			kind  yaml.Kind
			value string
		}
		lines := map[key]int{}
		for i := 0; i < len(n.Content); i += 2 {
			k := key{n.Content[i].Kind, n.Content[i].Value}
			if line, twice := lines[k]; twice {
				return fmt.Errorf("yaml: line %d: the key %q is on line %d already", n.Content[i].Line, k.value, line)
			}
			lines[k] = n.Content[i].Line
		}
	}
	for _, c := range n.Content {
		if err := check(c); err != nil {
			return err
		}
	}
	return nil
}
