package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Event is something that happened to a job.
type Event struct {
	Type string          // state, or what the job reports, such as step
	Data json.RawMessage // of a state the Job
}

// mostEvent bounds one event, in bytes.
const mostEvent = 4 << 20

// JobEvents calls fn with what happens to a job, beginning with its present
// state, until the job has ended, fn returns an error, or ctx ends. A stream
// that breaks off is an error: start again, with the state as it then is.
func (c *Client) JobEvents(ctx context.Context, id string, fn func(Event) error) error {
	req := request{method: http.MethodGet, path: "/v1/jobs/" + url.PathEscape(id) + "/events"}
	resp, err := c.send(ctx, &req, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		data, err := readAll(resp)
		if err != nil {
			return err
		}
		return errorOf(&req, resp, data)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, mostEvent)
	var e Event
	ended := false
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "event":
			e.Type = value
		case name == "data":
			e.Data = append(e.Data, value...)
		case lines.Text() == "" && e.Type != "":
			if err := fn(e); err != nil {
				return err
			}
			ended = ended || isLast(e)
			e = Event{}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if !ended {
		return fmt.Errorf("events of job %s: the stream broke off", id)
	}
	return nil
}

// isLast says whether an event tells that the job has ended.
func isLast(e Event) bool {
	var j Job
	return e.Type == "state" && json.Unmarshal(e.Data, &j) == nil && j.Finished()
}
