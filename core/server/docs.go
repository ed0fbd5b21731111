package server

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/verifily/verifily-tui/core"
)

//go:embed docs.html
var docsSource string

//go:embed docs.css
var docsStyle string

// docsTemplate has no script and loads nothing, so the page works without any
// network.
var docsTemplate = template.Must(template.New("docs").Parse(docsSource))

// docsPolicy lets the page use its own style and nothing else.
var docsPolicy = func() string {
	sum := sha256.Sum256([]byte(docsStyle))
	return "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

type docsOperation struct {
	ID, Method, Path, Summary, Text string
	Open                            bool
	Parameters                      []docsField
	Body, Answer                    []docsField
	Errors                          []docsError
}

type docsField struct {
	Name, In, Type, Text string
	Ref                  string // name of the type in the page, if it is an object with members
	Required             bool
}

// docsType is an object that stands in a body.
type docsType struct {
	Name   string
	Fields []docsField
}

type docsError struct {
	Status int
	Text   string
}

// docsPage renders the page of the routes.
func docsPage(table []route, registry huma.Registry) ([]byte, error) {
	var ops []docsOperation
	for _, r := range table {
		op := docsOperation{ID: r.doc.id, Method: r.method, Path: r.path, Summary: r.doc.summary, Text: r.doc.text, Open: r.open,
			Body: fieldsOf(registry, r.doc.request), Answer: fieldsOf(registry, r.doc.answer)}
		for _, p := range r.doc.parameters {
			op.Parameters = append(op.Parameters, docsField{Name: p.Name, In: p.In, Type: typeText(p.Schema), Text: p.Description, Required: p.Required})
		}
		for _, status := range r.failures() {
			op.Errors = append(op.Errors, docsError{status, errorTexts[status]})
		}
		ops = append(ops, op)
	}
	var out bytes.Buffer
	err := docsTemplate.Execute(&out, map[string]any{"Version": core.Version(), "Style": template.CSS(docsStyle), "Operations": ops,
		"Types": typesOf(registry, ops)})
	return out.Bytes(), err
}

// fieldsOf lists the members of a body in the order of its type.
func fieldsOf(registry huma.Registry, t reflect.Type) []docsField {
	schema := registry.Schema(t, true, "")
	if schema.Ref != "" {
		schema = registry.SchemaFromRef(schema.Ref)
	}
	var out []docsField
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		p, ok := schema.Properties[name]
		if !ok {
			continue
		}
		out = append(out, docsField{Name: name, Type: typeText(p), Ref: refOf(registry, p), Text: p.Description, Required: slices.Contains(schema.Required, name)})
	}
	return out
}

// refOf is the name of the object that a value is, or is a list or a map of.
func refOf(registry huma.Registry, s *huma.Schema) string {
	for s.Ref == "" {
		of, isMap := s.AdditionalProperties.(*huma.Schema)
		switch {
		case s.Items != nil:
			s = s.Items
		case isMap:
			s = of
		default:
			return ""
		}
	}
	if len(registry.SchemaFromRef(s.Ref).Properties) == 0 {
		return ""
	}
	return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
}

// typesOf lists the objects that stand in bodies, and those in them, by name.
func typesOf(registry huma.Registry, ops []docsOperation) []docsType {
	types := map[string][]docsField{}
	var follow func([]docsField)
	follow = func(fields []docsField) {
		for _, f := range fields {
			if _, known := types[f.Ref]; known || f.Ref == "" {
				continue
			}
			types[f.Ref] = fieldsOf(registry, registry.TypeFromRef("#/components/schemas/"+f.Ref))
			follow(types[f.Ref])
		}
	}
	for _, op := range ops {
		follow(op.Body)
		follow(op.Answer)
	}
	var out []docsType
	for _, name := range slices.Sorted(maps.Keys(types)) {
		out = append(out, docsType{name, types[name]})
	}
	return out
}

// typeText says in a few words what a value may be.
func typeText(s *huma.Schema) string {
	text := s.Type
	if s.Ref != "" {
		text = s.Ref[strings.LastIndex(s.Ref, "/")+1:]
	}
	of, isMap := s.AdditionalProperties.(*huma.Schema)
	switch {
	case s.Type == huma.TypeArray && s.Items != nil:
		text = "list of " + typeText(s.Items)
	case isMap && typeText(of) != "": // else of anything
		text = "object of " + typeText(of)
	}
	if len(s.Enum) > 0 {
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = fmt.Sprint(v)
		}
		text = strings.Join(values, " | ")
	}
	if s.Minimum != nil {
		text += " ≥ " + strconv.FormatFloat(*s.Minimum, 'f', -1, 64)
	}
	if s.Maximum != nil {
		text += " ≤ " + strconv.FormatFloat(*s.Maximum, 'f', -1, 64)
	}
	if s.Nullable && s.Type != huma.TypeArray {
		text += " or null"
	}
	if s.Default != nil {
		text += fmt.Sprintf(" (%v)", reflect.Indirect(reflect.ValueOf(s.Default))) // a pointer for a field that is one
	}
	return text
}

// serveDocs answers GET /docs.
func (s *Server) serveDocs(c *call) (any, error) {
	c.w.Header().Set("Content-Security-Policy", docsPolicy)
	return page{contentType: "text/html; charset=utf-8", body: s.docs}, nil
}
