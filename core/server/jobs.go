package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/verifily/verifily-tui/core/jobs"
	"github.com/verifily/verifily-tui/core/server/wire"
)

// query reads the parameters of a URL, each of them once, and gathers what is
// wrong.
type query struct {
	values   url.Values
	problems []string
}

func readQuery(c *call) (*query, error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, unprocessable("query: is not valid")
	}
	return &query{values: values}, nil
}

func (q *query) wrong(name, reason string) {
	q.problems = append(q.problems, "query -> "+name+": "+reason)
}

func (q *query) err() error {
	if len(q.problems) == 0 {
		return nil
	}
	return unprocessable(q.problems...)
}

// text returns a parameter, empty when it is not there.
func (q *query) text(name string) string {
	v := q.values[name]
	if len(v) > 1 {
		q.wrong(name, "is given twice")
	}
	if len(v) == 0 {
		return ""
	}
	return v[0]
}

// need returns a parameter that must be there.
func (q *query) need(name string) string {
	if !q.values.Has(name) {
		q.wrong(name, "Field required")
		return ""
	}
	return q.text(name)
}

// count returns a whole number in a range.
func (q *query) count(name string, otherwise, least, most int) int {
	if !q.values.Has(name) {
		return otherwise
	}
	v := q.text(name)
	n, err := strconv.Atoi(v)
	switch {
	case !integerPattern.MatchString(v):
		q.wrong(name, "Input should be a valid integer")
	case strings.HasPrefix(v, "-") && err != nil, err == nil && n < least:
		q.wrong(name, fmt.Sprintf("Input should be greater than or equal to %d", least))
	case err != nil || n > most:
		q.wrong(name, fmt.Sprintf("Input should be less than or equal to %d", most))
	default:
		return n
	}
	return otherwise
}

// listJobs answers GET /v1/jobs.
func (s *Server) listJobs(c *call) (any, error) {
	p, err := readQuery(c)
	if err != nil {
		return nil, err
	}
	f := jobs.Filter{Limit: p.count("limit", jobs.DefaultList, 1, jobs.MaxList), Status: jobs.Status(p.text("status")),
		ProjectID: p.text("project_id"), After: p.text("after")}
	if p.values.Has("status") && !f.Status.Valid() {
		p.wrong("status", "Input should be 'QUEUED', 'RUNNING', 'SUCCEEDED' or 'FAILED'")
	}
	if f.After != "" && !jobPattern.MatchString(f.After) {
		p.wrong("after", "Input should be the id of a job")
	}
	if f.ProjectID != "" && !projectPattern.MatchString(f.ProjectID) {
		p.wrong("project_id", projectRule)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	q, err := s.queue()
	if err != nil {
		return nil, err
	}
	list, err := q.List(c.ctx(), f)
	if err != nil {
		return nil, queueProblem(c.ctx(), f.After, err)
	}
	out := wire.JobList{Jobs: make([]wire.Job, len(list))}
	for i := range list {
		out.Jobs[i] = s.wireJob(&list[i])
	}
	return out, nil
}

// wireJob is a job as clients see it.
func (s *Server) wireJob(j *jobs.Job) wire.Job {
	out := wire.Job{JobID: j.ID, Type: j.Type, Status: string(j.Status), CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, FinishedAt: j.FinishedAt,
		RequestID: j.RequestID, APIKeyID: j.APIKeyID, ProjectID: j.ProjectID, InputHash: j.InputHash, ResultPath: j.ResultPath}
	if j.Error != nil {
		reason := shorten(s.redact(*j.Error), mostMessage)
		out.Error = &reason
	}
	return out
}

var jobPattern = regexp.MustCompile(`^[0-9a-f]{16}$`)

// subject returns the queue and the id of the job that a call is about.
func (s *Server) subject(c *call) (Queue, string, error) {
	if !jobPattern.MatchString(c.subject) {
		return nil, "", notFound("Job not found: %s", shortName(c.subject))
	}
	q, err := s.queue()
	return q, c.subject, err
}

// job answers GET /v1/jobs/{id}.
func (s *Server) job(c *call) (any, error) {
	q, id, err := s.subject(c)
	if err != nil {
		return nil, err
	}
	j, err := q.Job(c.ctx(), id)
	if err != nil {
		return nil, queueProblem(c.ctx(), id, err)
	}
	return s.wireJob(&j), nil
}

// result answers GET /v1/jobs/{id}/result.
func (s *Server) result(c *call) (any, error) {
	q, id, err := s.subject(c)
	if err != nil {
		return nil, err
	}
	data, j, err := q.Result(c.ctx(), id)
	switch {
	case errors.Is(err, jobs.ErrNotFinished):
		return nil, conflict(fmt.Sprintf("Job %s has no result yet: it is %s", id, j.Status))
	case errors.Is(err, jobs.ErrFailed):
		return nil, notFound("Job %s has no result: it %s: %s", id, j.Status, text(j.Error))
	case err != nil:
		return nil, queueProblem(c.ctx(), id, err)
	}
	return withJobID(data, id)
}

func conflict(message string) *problem {
	return &problem{status: http.StatusConflict, kind: wire.Conflict, message: message}
}

// withJobID adds job_id at the end of an object.
func withJobID(object json.RawMessage, id string) (json.RawMessage, error) {
	body, ok := bytes.CutSuffix(bytes.TrimSpace(object), []byte("}"))
	if body = bytes.TrimSpace(body); !ok || len(body) == 0 {
		return nil, fmt.Errorf("the result of job %s is no object", id)
	}
	if body[len(body)-1] != '{' {
		body = append(bytes.Clone(body), ',')
	}
	out := fmt.Appendf(bytes.Clone(body), `"job_id": %q}`, id)
	var indented bytes.Buffer
	if err := json.Indent(&indented, out, "", "  "); err != nil {
		return nil, fmt.Errorf("the result of job %s: %w", id, err)
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

// cancel answers POST /v1/jobs/{id}/cancel.
func (s *Server) cancel(c *call) (any, error) {
	q, id, err := s.subject(c)
	if err != nil {
		return nil, err
	}
	j, err := q.Cancel(c.ctx(), id)
	switch {
	case errors.Is(err, jobs.ErrFinished):
		return nil, conflict(fmt.Sprintf("Job %s has ended already", id))
	case err != nil:
		return nil, queueProblem(c.ctx(), id, err)
	}
	return s.wireJob(&j), nil
}
