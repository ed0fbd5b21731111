package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/verifily/verifily-tui/core"
	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/retrain"
	"github.com/verifily/verifily-tui/core/server/wire"
)

// operation describes a route for the OpenAPI document.
type operation struct {
	id, summary, text string
	parameters        []huma.Param
	request, answer   reflect.Type
	errors            []int
}

// Types that stand for bodies which are not JSON objects of a fixed form.
type (
	none        struct{}
	eventStream struct{}
	metricsText struct{}
	htmlPage    struct{}
	anyObject   struct{}
)

// contentTypes are those of the bodies that are not JSON.
var contentTypes = map[reflect.Type]string{
	reflect.TypeFor[eventStream](): "text/event-stream",
	reflect.TypeFor[metricsText](): "text/plain",
	reflect.TypeFor[htmlPage]():    "text/html",
}

// retrainAnswer is what a retrain answers with.
type retrainAnswer = core.RetrainResult

// jobResult describes what the jobs answer with: a retrain what the call that
// waits does, the others what they found. Each has the members of its type.
type jobResult struct {
	JobType     string             `json:"job_type" enum:"RETRAIN,TRAIN,EVAL,COMPARE"`
	RunDir      string             `json:"run_dir,omitempty" doc:"RETRAIN, TRAIN: the new run; EVAL: the run evaluated"`
	Decision    string             `json:"decision,omitempty" enum:"SHIP,DONT_SHIP,INVESTIGATE" doc:"RETRAIN"`
	ExitCode    int                `json:"exit_code,omitempty" doc:"RETRAIN"`
	EvalSummary map[string]float64 `json:"eval_summary,omitempty" doc:"RETRAIN: metrics by name"`
	Usage       *retrain.Usage     `json:"usage,omitempty" doc:"RETRAIN"`
	Artifacts   *retrain.Artifacts `json:"artifacts,omitempty" doc:"RETRAIN: paths"`
	ElapsedMS   int64              `json:"elapsed_ms,omitempty" doc:"RETRAIN"`
	RunID       string             `json:"run_id,omitempty" doc:"TRAIN"`
	RunMeta     map[string]any     `json:"run_meta,omitempty" doc:"TRAIN: run_meta.json of the run: status, seed, times, metrics and more"`
	EvalDir     string             `json:"eval_dir,omitempty" doc:"EVAL: the folder of the files it wrote"`
	EvalResults map[string]any     `json:"eval_results,omitempty" nullable:"true" doc:"EVAL, TRAIN: eval_results.json: num_examples, overall, intervals, slices and more; null of a training that had nothing to be evaluated on"`
	Comparison  map[string]any     `json:"comparison,omitempty" doc:"COMPARE: what verifily compare --format json prints: runs, pairing, overall, slices, examples, differences of config, data and environment, and more"`
	JobID       string             `json:"job_id"`
}

func describe[In, Out any](id, summary, text string, parameters []huma.Param, errors ...int) operation {
	return operation{id: id, summary: summary, text: text, parameters: parameters,
		request: reflect.TypeFor[In](), answer: reflect.TypeFor[Out](), errors: errors}
}

func textParam(in, name, doc string, required bool) huma.Param {
	return huma.Param{In: in, Name: name, Description: doc, Required: required, Schema: &huma.Schema{Type: huma.TypeString}}
}

func countParam(name, doc string, least, most, otherwise int) huma.Param {
	low, high := float64(least), float64(most)
	return huma.Param{In: "query", Name: name, Description: doc,
		Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &low, Maximum: &high, Default: otherwise}}
}

// The parameters of operations.
var (
	noParameters     []huma.Param
	submitParameters = []huma.Param{textParam("header", wire.IdempotencyHeader, "A second submission with the same key is answered with the job of the first", false)}
	idParameter      = []huma.Param{textParam("path", "id", "Id of the job", true)}
	listParameters   = []huma.Param{
		countParam("limit", "The most jobs", 1, jobs.MaxList, jobs.DefaultList),
		{In: "query", Name: "status", Description: "Only jobs in this state", Schema: &huma.Schema{Type: huma.TypeString, Enum: statuses()}},
		textParam("query", "project_id", "Only jobs of this project", false),
		textParam("query", "after", "Only jobs older than the one with this id, for the next page", false),
	}
	dirParameter      = textParam("query", "dir", "Folder of runs; the server's own if left out", false)
	runListParameters = []huma.Param{dirParameter, countParam("limit", "The most runs", 1, mostRuns, 100), textParam("query", "status", "Only runs in this state", false)}
	runParameters     = []huma.Param{textParam("path", "id", "Id or name of the run", true), dirParameter}
	monitorParameter  = []huma.Param{textParam("query", "monitor_id", "Id of the monitor", true)}
	historyParameters = []huma.Param{monitorParameter[0], countParam("last_n", "The last ticks; 0: all", 0, mostTicks, 0)}
)

func statuses() []any {
	var out []any
	for _, s := range jobs.Statuses() {
		out = append(out, string(s))
	}
	return out
}

// errorTexts says what the statuses mean.
var errorTexts = map[int]string{
	http.StatusBadRequest: "The request cannot be served as it is", http.StatusUnauthorized: "The key is missing or wrong",
	http.StatusForbidden: "A path, or the origin of the request, is not allowed", http.StatusNotFound: "It is not there",
	http.StatusConflict: "The job is in another state", http.StatusRequestEntityTooLarge: "The body is larger than the server takes", http.StatusUnprocessableEntity: "Fields are wrong; the message names all of them",
	http.StatusTooManyRequests: "Too much at once; try again after Retry-After", http.StatusServiceUnavailable: "Not ready; try again after Retry-After",
	http.StatusInternalServerError: "The server's fault; its log tells more under the request_id",
}

// document builds the OpenAPI document of the routes and the page that shows it.
func document(table []route) (openAPI, docs []byte, err error) {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[json.Number](), reflect.TypeFor[int64]())
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: "verifily", Version: core.Version(), Description: "Retrain, train, evaluate, compare and watch models."},
		Components: &huma.Components{Schemas: registry, SecuritySchemes: map[string]*huma.SecurityScheme{
			"key": {Type: "http", Scheme: "bearer", Description: "The server's VERIFILY_API_KEY, where it has one"}}},
	}
	failure := registry.Schema(reflect.TypeFor[wire.Failure](), true, "Failure")
	for _, r := range table {
		doc.AddOperation(r.operation(registry, failure))
	}
	for _, schema := range registry.Map() {
		schema.AdditionalProperties = nil // clients and servers may add members
		for _, p := range schema.Properties {
			if p.Type == huma.TypeInteger && p.Format == "int64" {
				p.Format = "" // a seed has any size
			}
		}
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, nil, err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data, "", "  "); err != nil {
		return nil, nil, err
	}
	docs, err = docsPage(table, registry)
	return append(indented.Bytes(), '\n'), docs, err
}

func (r *route) operation(registry huma.Registry, failure *huma.Schema) *huma.Operation {
	op := &huma.Operation{Method: r.method, Path: r.path, OperationID: r.doc.id, Summary: r.doc.summary, Description: r.doc.text,
		Responses: map[string]*huma.Response{}}
	header := func(name, doc string) *huma.Param {
		p := textParam("header", name, doc, false)
		return &p
	}
	if strings.HasPrefix(r.path, "/v1/") {
		op.Parameters = append(op.Parameters, header(wire.RequestIDHeader, "Name of the request in logs and answers; made up if left out"))
		if r.method == http.MethodPost {
			op.Parameters = append(op.Parameters, header(wire.ProjectHeader, "Project; wins over project_id"))
		}
	}
	for i := range r.doc.parameters {
		op.Parameters = append(op.Parameters, &r.doc.parameters[i])
	}
	if r.doc.request != reflect.TypeFor[none]() {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: registry.Schema(r.doc.request, true, "")}}}
	}
	ids := map[string]*huma.Param{wire.RequestIDHeader: {Description: "Name of the request", Schema: &huma.Schema{Type: huma.TypeString}}}
	ok := &huma.Response{Description: "Done", Headers: ids, Content: map[string]*huma.MediaType{}}
	if kind, other := contentTypes[r.doc.answer]; other {
		ok.Content[kind] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	} else {
		ok.Content["application/json"] = &huma.MediaType{Schema: registry.Schema(r.doc.answer, true, "")}
	}
	op.Responses["200"] = ok
	if !r.open {
		op.Security = []map[string][]string{{"key": {}}}
	}
	if r.doc.answer == reflect.TypeFor[wire.Readiness]() {
		failure = registry.Schema(reflect.TypeFor[unready](), true, "")
	}
	for _, status := range r.failures() {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: errorTexts[status], Headers: ids,
			Content: map[string]*huma.MediaType{"application/json": {Schema: failure}}}
	}
	return op
}

// failures lists the statuses of a route that are errors: its own, and those of
// the guards before it.
func (r *route) failures() []int {
	out := slices.Clone(r.doc.errors)
	if !r.open {
		out = append(out, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusInternalServerError)
	}
	if r.doc.request != reflect.TypeFor[none]() {
		out = append(out, http.StatusRequestEntityTooLarge)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// serveOpenAPI answers GET /openapi.json.
func (s *Server) serveOpenAPI(*call) (any, error) { return json.RawMessage(s.openAPI), nil }
