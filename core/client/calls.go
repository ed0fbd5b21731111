package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Retrain retrains and waits for the outcome. It is not repeated once it may have
// begun: submit a job where that matters.
func (c *Client) Retrain(ctx context.Context, req RetrainRequest) (*RetrainResult, error) {
	var out RetrainResult
	err := c.call(ctx, request{method: http.MethodPost, path: "/v1/retrain", body: req, safety: once}, &out)
	return result(&out, err)
}

func result[T any](v *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// SubmitOption changes a submission.
type SubmitOption func(*request)

// WithIdempotencyKey makes submissions with the same key and the same request
// one job. Without it every call has a key of its own, so that only its
// repetitions are.
func WithIdempotencyKey(key string) SubmitOption { return func(r *request) { r.key = key } }

// SubmitRetrainJob submits a retrain.
func (c *Client) SubmitRetrainJob(ctx context.Context, req RetrainRequest, opt ...SubmitOption) (*Submitted, error) {
	return c.submit(ctx, "retrain", req, opt)
}

// SubmitTrainJob submits a training.
func (c *Client) SubmitTrainJob(ctx context.Context, req TrainRequest, opt ...SubmitOption) (*Submitted, error) {
	return c.submit(ctx, "train", req, opt)
}

// SubmitEvalJob submits an evaluation.
func (c *Client) SubmitEvalJob(ctx context.Context, req EvalRequest, opt ...SubmitOption) (*Submitted, error) {
	return c.submit(ctx, "eval", req, opt)
}

// SubmitCompareJob submits a comparison.
func (c *Client) SubmitCompareJob(ctx context.Context, req CompareRequest, opt ...SubmitOption) (*Submitted, error) {
	return c.submit(ctx, "compare", req, opt)
}

func (c *Client) submit(ctx context.Context, kind string, body any, opt []SubmitOption) (*Submitted, error) {
	r := request{method: http.MethodPost, path: "/v1/jobs/" + kind, body: body, key: rand.Text()}
	for _, o := range opt {
		o(&r)
	}
	var out Submitted
	return result(&out, c.call(ctx, r, &out))
}

// Job returns what is known about a job.
func (c *Client) Job(ctx context.Context, id string) (*Job, error) {
	var out Job
	return result(&out, c.call(ctx, request{method: http.MethodGet, path: "/v1/jobs/" + url.PathEscape(id)}, &out))
}

// JobResult decodes the result of a job into out, such as a *RetrainResult. A job
// that has not finished is ErrNotFinished, one that failed ErrNotFound.
func (c *Client) JobResult(ctx context.Context, id string, out any) error {
	return c.call(ctx, request{method: http.MethodGet, path: "/v1/jobs/" + url.PathEscape(id) + "/result"}, out)
}

// RetrainJobResult is JobResult for a retrain.
func (c *Client) RetrainJobResult(ctx context.Context, id string) (*RetrainResult, error) {
	var out RetrainResult
	return result(&out, c.JobResult(ctx, id, &out))
}

// JobFilter chooses jobs; zero values choose all.
type JobFilter struct {
	Status    string // QUEUED, RUNNING, SUCCEEDED or FAILED
	ProjectID string
	Limit     int    // 1 to 500; 0 means 50
	After     string // id of the last job of the page before
}

// Jobs lists jobs, the newest first.
func (c *Client) Jobs(ctx context.Context, f JobFilter) ([]Job, error) {
	q := url.Values{}
	for name, value := range map[string]string{"status": f.Status, "project_id": f.ProjectID, "after": f.After} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	var out struct {
		Jobs []Job `json:"jobs"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/jobs", query: q}, &out)
	return out.Jobs, err
}

// CancelJob asks that a job ends. One that has ended is ErrNotFinished's 409.
func (c *Client) CancelJob(ctx context.Context, id string) (*Job, error) {
	var out Job
	return result(&out, c.call(ctx, request{method: http.MethodPost, path: "/v1/jobs/" + url.PathEscape(id) + "/cancel"}, &out))
}

// longestPoll bounds the time between two looks of WaitForJob.
const longestPoll = 2 * time.Second

// WaitForJob looks at a job until it has ended. One that failed is a *JobError.
func (c *Client) WaitForJob(ctx context.Context, id string) (*Job, error) {
	for wait := c.opt.FirstWait / 4; ; wait = min(wait*3/2, longestPoll) {
		j, err := c.Job(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case j.Status == "FAILED":
			return j, &JobError{Job: *j}
		case j.Finished():
			return j, nil
		}
		timer := time.NewTimer(spread(wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return j, ctx.Err()
		}
	}
}

// Health says whether the server's process answers. It is not repeated.
func (c *Client) Health(ctx context.Context) (*HealthStatus, error) {
	var out HealthStatus
	data, err := c.once(ctx, &request{method: http.MethodGet, path: "/health"}, nil)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	return result(&out, err)
}

// Ready says whether the server takes work, and why not. A server that is not
// ready is ErrNotReady, with its checks. It is not repeated.
func (c *Client) Ready(ctx context.Context) (*Readiness, error) {
	req := request{method: http.MethodGet, path: "/ready"}
	resp, err := c.send(ctx, &req, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := readAll(resp)
	if err != nil {
		return nil, err
	}
	var out Readiness
	decoded := json.Unmarshal(data, &out)
	if resp.StatusCode == http.StatusOK {
		return result(&out, decoded)
	}
	refused := errorOf(&req, resp, data)
	if decoded != nil || !errors.Is(refused, ErrNotReady) {
		return nil, refused
	}
	return &out, refused
}

// StartMonitor starts a monitor.
func (c *Client) StartMonitor(ctx context.Context, req MonitorRequest) (*MonitorStarted, error) {
	var out MonitorStarted
	return result(&out, c.call(ctx, request{method: http.MethodPost, path: "/v1/monitor/start", body: req, safety: once}, &out))
}

// StopMonitor stops a monitor.
func (c *Client) StopMonitor(ctx context.Context, id string) (*MonitorStarted, error) {
	var out MonitorStarted
	return result(&out, c.call(ctx, request{method: http.MethodPost, path: "/v1/monitor/stop", query: url.Values{"monitor_id": {id}}}, &out))
}

// MonitorStatus returns the state of a monitor.
func (c *Client) MonitorStatus(ctx context.Context, id string) (*MonitorStatus, error) {
	var out MonitorStatus
	return result(&out, c.call(ctx, request{method: http.MethodGet, path: "/v1/monitor/status", query: url.Values{"monitor_id": {id}}}, &out))
}

// MonitorHistory returns the last n ticks of a monitor, the oldest first; 0
// means all.
func (c *Client) MonitorHistory(ctx context.Context, id string, n int) (*MonitorHistory, error) {
	var out MonitorHistory
	q := url.Values{"monitor_id": {id}, "last_n": {strconv.Itoa(n)}}
	return result(&out, c.call(ctx, request{method: http.MethodGet, path: "/v1/monitor/history", query: q}, &out))
}
