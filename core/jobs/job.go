package jobs

import "encoding/json"

// Status is the state of a job.
type Status string

// The states of a job. The last two are final.
const (
	Queued    Status = "QUEUED"
	Running   Status = "RUNNING"
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
)

// Final says whether a job in this state has ended.
func (s Status) Final() bool { return s == Succeeded || s == Failed }

// Valid says whether s is one of the states.
func (s Status) Valid() bool {
	return s == Queued || s == Running || s == Succeeded || s == Failed
}

// Statuses lists the states in the order in which a job takes them.
func Statuses() []Status { return []Status{Queued, Running, Succeeded, Failed} }

// Cancelled is the error of a job that was cancelled: it is FAILED. What the job
// left may follow, after a semicolon.
const Cancelled = "cancelled"

// Anonymous is the key id of a request without a key.
const Anonymous = "anonymous"

// Job is what is known about a job. Times are seconds since 1970.
type Job struct {
	ID         string   `json:"job_id"` // 16 hex digits
	Type       string   `json:"type"`
	Status     Status   `json:"status"`
	CreatedAt  float64  `json:"created_at"`
	StartedAt  *float64 `json:"started_at"` // of the first attempt
	FinishedAt *float64 `json:"finished_at"`
	RequestID  string   `json:"request_id"`
	APIKeyID   string   `json:"api_key_id"`
	ProjectID  string   `json:"project_id"`
	InputHash  string   `json:"input_hash"` // sha256:..., of the input with its keys sorted
	ResultPath *string  `json:"result_path"`
	Error      *string  `json:"error"`

	// What follows is no part of the answer.
	Input    json.RawMessage `json:"-"` // empty in a list
	Attempts int             `json:"-"` // begun so far
}

// Request asks for a job.
type Request struct {
	Kind      string          // a key of Options.Kinds
	Input     json.RawMessage // a JSON object, for the handler
	RequestID string          // empty: made up, 12 hex digits
	APIKeyID  string          // empty: Anonymous
	ProjectID string          // empty: "default"
	// IdempotencyKey, when not empty, makes a second Submit of the same key,
	// APIKeyID and ProjectID answer with the first one's job. With another kind or input
	// it is ErrKeyReused.
	IdempotencyKey string
}

// Filter chooses jobs.
type Filter struct {
	Status    Status // empty: any
	ProjectID string // empty: any
	Limit     int    // 1 to MaxList; 0 means DefaultList
	After     string // id of the last job of the page before; empty: the newest
}

// How many jobs List returns.
const (
	DefaultList = 50
	MaxList     = 500
)

// Event is something that happened to a job.
type Event struct {
	// Type is EventState, with Job set, or what the handler reported, with Data.
	Type string          `json:"type"`
	Job  *Job            `json:"job,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}

// EventState is the type of an event about the state of a job.
const EventState = "state"

// Stats counts jobs.
type Stats struct {
	Queued, Running, Succeeded, Failed int // in the database
	Workers                            int // jobs that this process runs at once
	Busy                               int // jobs that this process runs now
	Members                            int // processes that take jobs from this database
}
