package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/verifily/verifily-tui/core/server/wire"
)

// handle answers a call: with a value, which becomes JSON, or an error. A
// handler that has written the answer itself returns written.
type handle func(s *Server, c *call) (any, error)

// written is what a handler returns that has answered.
type written struct{}

// route is one operation. The table below feeds the dispatch, the OpenAPI
// document and the page of documentation, so they cannot drift apart.
type route struct {
	method, path string
	handle       handle
	open         bool // needs no key
	free         bool // takes no slot: it must be answered under any load
	doc          operation
}

const idPattern = "{id}"

func routes() []route {
	return []route{
		{http.MethodPost, "/v1/retrain", (*Server).retrain, false, false,
			describe[wire.RetrainRequest, retrainAnswer]("retrain", "Retrain and wait", "", noParameters, 400, 404, 422, 503)},
		{http.MethodPost, "/v1/jobs/retrain", (*Server).submitRetrain, false, false,
			describe[wire.RetrainRequest, wire.Submitted]("submitRetrain", "Retrain as a job", "", submitParameters, 400, 404, 422, 503)},
		{http.MethodPost, "/v1/jobs/train", (*Server).submitTrain, false, false,
			describe[wire.TrainRequest, wire.Submitted]("submitTrain", "Train as a job", "", submitParameters, 400, 422, 503)},
		{http.MethodPost, "/v1/jobs/eval", (*Server).submitEval, false, false,
			describe[wire.EvalRequest, wire.Submitted]("submitEval", "Evaluate as a job", "", submitParameters, 400, 422, 503)},
		{http.MethodPost, "/v1/jobs/compare", (*Server).submitCompare, false, false,
			describe[wire.CompareRequest, wire.Submitted]("submitCompare", "Compare as a job", "", submitParameters, 400, 422, 503)},
		{http.MethodGet, "/v1/jobs", (*Server).listJobs, false, false,
			describe[none, wire.JobList]("listJobs", "List jobs", "The newest first.", listParameters, 422, 503)},
		{http.MethodGet, "/v1/jobs/" + idPattern, (*Server).job, false, false,
			describe[none, wire.Job]("job", "What is known about a job", "", idParameter, 404, 503)},
		{http.MethodGet, "/v1/jobs/" + idPattern + "/result", (*Server).result, false, false,
			describe[none, jobResult]("jobResult", "The result of a job", "Of a retrain what the call that waits answers, of the others what they found, and job_id; which members a type of job has stands beside them. 409 while the job is queued or running; 404 when it failed.", idParameter, 404, 409, 503)},
		{http.MethodPost, "/v1/jobs/" + idPattern + "/cancel", (*Server).cancel, false, false,
			describe[none, wire.Job]("cancelJob", "Cancel a job", "A job that runs may end a moment later. It is then FAILED with an error that begins with cancelled and, of a training that had begun, names the run and how to resume it. 409 when it has ended already.", idParameter, 404, 409, 503)},
		{http.MethodGet, "/v1/jobs/" + idPattern + "/events", (*Server).events, false, true,
			describe[none, eventStream]("jobEvents", "Follow a job", "Server-sent events: state, with the job, and what it reports while it runs: step (step, total_steps, epoch, loss, learning_rate, grad_norm, tokens, tokens_per_second), eval (step, epoch, eval_loss, best), checkpoint (step), predict (done, total), log (level, message). A comment is sent when nothing happens. The stream ends with the job.", idParameter, 404, 503)},
		{http.MethodGet, "/v1/runs", (*Server).listRuns, false, false,
			describe[none, runList]("listRuns", "List runs", "The newest first.", runListParameters, 403, 404, 422)},
		{http.MethodGet, "/v1/runs/" + idPattern, (*Server).run, false, false,
			describe[none, runDetail]("run", "A run with its results", "", runParameters, 403, 404, 422)},
		{http.MethodPost, "/v1/monitor/start", (*Server).startMonitor, false, false,
			describe[wire.MonitorRequest, wire.MonitorStarted]("startMonitor", "Start a monitor", "", noParameters, 400, 403, 404, 422, 503)},
		{http.MethodPost, "/v1/monitor/stop", (*Server).stopMonitor, false, false,
			describe[none, wire.MonitorStarted]("stopMonitor", "Stop a monitor", "", monitorParameter, 404, 422, 503)},
		{http.MethodGet, "/v1/monitor/status", (*Server).monitorStatus, false, false,
			describe[none, wire.MonitorStatus]("monitorStatus", "The state of a monitor", "", monitorParameter, 404, 422, 503)},
		{http.MethodGet, "/v1/monitor/history", (*Server).monitorHistory, false, false,
			describe[none, wire.MonitorHistory]("monitorHistory", "What a monitor found", "", historyParameters, 404, 422, 503)},
		{http.MethodGet, "/health", (*Server).health, true, true,
			describe[none, wire.Health]("health", "Is the process alive", "", noParameters)},
		{http.MethodGet, "/ready", (*Server).ready, true, true,
			describe[none, wire.Readiness]("ready", "Can work be taken", "503 with the same checks until it can.", noParameters, 503)},
		{http.MethodGet, "/metrics", (*Server).serveMetrics, true, true,
			describe[none, metricsText]("metrics", "Measurements for Prometheus", "", noParameters)},
		{http.MethodGet, "/openapi.json", (*Server).serveOpenAPI, true, true,
			describe[none, anyObject]("openAPI", "This description", "", noParameters)},
		{http.MethodGet, "/docs", (*Server).serveDocs, true, true,
			describe[none, htmlPage]("docs", "This description, to be read", "", noParameters)},
	}
}

// route builds the dispatch and the documents.
func (s *Server) route() error {
	table := routes()
	byPath := map[string][]route{}
	for _, r := range table {
		byPath[r.path] = append(byPath[r.path], r)
	}
	mux := http.NewServeMux()
	for path, methods := range byPath {
		mux.Handle(path, methodsOf(methods))
	}
	s.handler = http.HandlerFunc(s.serve)
	s.mux = mux
	var err error
	if s.openAPI, s.docs, err = document(table); err != nil {
		return err
	}
	return nil
}

// methodsOf is the routes of one path. It is only looked up, never served by the
// mux.
type methodsOf []route

func (methodsOf) ServeHTTP(http.ResponseWriter, *http.Request) {}

// answer lets the right handler answer a call.
func (s *Server) answer(c *call) error {
	found, pattern := s.mux.Handler(c.r)
	methods, known := found.(methodsOf)
	at := -1
	if known {
		c.route = pattern
		c.r.Pattern = pattern
		at = slices.IndexFunc(methods, func(r route) bool {
			return r.method == c.r.Method || r.method == http.MethodGet && c.r.Method == http.MethodHead
		})
	}
	if at < 0 || !methods[at].open {
		if err := s.checkOrigin(c.r); err != nil {
			return err
		}
		if err := s.authorize(c); err != nil {
			return err
		}
	}
	switch {
	case !known:
		return notFound("there is no %s", shortName(c.r.URL.Path))
	case at < 0:
		allow := make([]string, 0, len(methods)+1)
		for _, r := range methods {
			if allow = append(allow, r.method); r.method == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
		}
		slices.Sort(allow)
		return &problem{status: http.StatusMethodNotAllowed, kind: wire.Validation, allow: strings.Join(allow, ", "),
			message: "this path takes " + strings.Join(allow, ", ")}
	}
	c.subject = pathID(pattern, c.r.URL.Path)
	if err := s.readBody(c); err != nil {
		return err
	}
	conn := connOf(c.ctx())
	conn.works()
	defer conn.waits()
	if !methods[at].free {
		free, ok := take(s.active)
		if !ok {
			return tooMany("too many requests at once", busyWait)
		}
		defer free()
		defer s.flying.enter()()
	}
	v, err := methods[at].handle(s, c)
	if err != nil {
		return err
	}
	if _, done := v.(written); !done {
		s.write(c, http.StatusOK, v)
	}
	return nil
}

// pathID is the part of a path that stands where its pattern has {id}.
func pathID(pattern, path string) string {
	before, _, ok := strings.Cut(pattern, idPattern)
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(path, before), "/")
	return id
}
