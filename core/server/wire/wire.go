// Package wire holds the documents of the HTTP service, as both its ends see
// them. Field order is that of the answers.
package wire

import "encoding/json"

// The types of errors.
const (
	Validation  = "VALIDATION_ERROR" // 400, 405, 413, 422
	Auth        = "AUTH_ERROR"       // 401, 403
	NotFound    = "NOT_FOUND"        // 404
	Conflict    = "CONFLICT"         // 409
	RateLimited = "RATE_LIMITED"     // 429, with Retry-After
	Internal    = "INTERNAL_ERROR"   // 500
	NotReady    = "NOT_READY"        // 503
)

// The states of a job.
const (
	Queued    = "QUEUED"
	Running   = "RUNNING"
	Succeeded = "SUCCEEDED"
	Failed    = "FAILED"
)

// The names of headers.
const (
	RequestIDHeader   = "X-Request-ID"
	ProjectHeader     = "X-Project-ID"
	IdempotencyHeader = "Idempotency-Key"
)

// Failure is the body of every answer that is an error.
type Failure struct {
	Error Error `json:"error"`
}

// Error says what was wrong with a request.
type Error struct {
	Type      string `json:"type" enum:"VALIDATION_ERROR,AUTH_ERROR,NOT_FOUND,CONFLICT,RATE_LIMITED,INTERNAL_ERROR,NOT_READY"`
	Message   string `json:"message" doc:"What was wrong; of a body or a query, every field at once"`
	RequestID string `json:"request_id" doc:"The X-Request-ID of the answer"`
}

// RetrainRequest asks for a retrain. Only DatasetDir is needed; what is nil or
// empty is left out.
type RetrainRequest struct {
	DatasetDir         string      `json:"dataset_dir" doc:"Data set artifact: a folder with dataset.jsonl and hashes.json"`
	BaseRunDir         *string     `json:"base_run_dir,omitempty" nullable:"true" doc:"Run directory to compare with"`
	ContaminatedRunDir *string     `json:"contaminated_run_dir,omitempty" nullable:"true" doc:"Run directory whose contamination.json counts"`
	OutputDir          *string     `json:"output_dir,omitempty" nullable:"true" doc:"Folder of the retrains; a folder of the project in /tmp/verifily_retrain if left out"`
	Seed               json.Number `json:"seed,omitempty" doc:"Integer of any size; 42 if left out"`
	Mode               string      `json:"mode,omitempty" enum:"mock,real" default:"mock" doc:"mock trains nothing: its metrics are made up of the data set and the seed; real trains, where the server was started with VERIFILY_ENABLE_REAL_TRAIN=1"`
	Metric             string      `json:"metric,omitempty" default:"f1" doc:"The metric that matters, recorded"`
	Notes              *string     `json:"notes,omitempty" nullable:"true" doc:"Recorded"`
	ProjectID          *string     `json:"project_id,omitempty" nullable:"true" doc:"Project; the header X-Project-ID wins"`
	CI                 bool        `json:"ci,omitempty" doc:"Recorded in usage.json"`
	Privacy            bool        `json:"privacy,omitempty" doc:"Recorded in usage.json"`
}

// TrainRequest asks for a training. One of ConfigPath and Config is needed.
type TrainRequest struct {
	ConfigPath string         `json:"config_path,omitempty" doc:"train.yaml; relative paths in it start at the server's folder, else beside it"`
	Config     map[string]any `json:"config,omitempty" doc:"What a train.yaml holds"`
	OutputDir  *string        `json:"output_dir,omitempty" nullable:"true" doc:"Folder of the run directories; wins over output.dir"`
	Seed       json.Number    `json:"seed,omitempty" doc:"64-bit integer; wins over seed"`
	ProjectID  *string        `json:"project_id,omitempty" nullable:"true" doc:"Project; the header X-Project-ID wins"`
}

// EvalRequest asks for the evaluation of a run.
type EvalRequest struct {
	Run          string   `json:"run" doc:"Run directory, or the id or name of a run in the server's runs folder"`
	TestData     *string  `json:"test_data,omitempty" nullable:"true" doc:"JSONL file; else the run's own test data"`
	Metrics      []string `json:"metrics,omitempty" doc:"See eval.metrics"`
	SliceBy      []string `json:"slice_by,omitempty" doc:"Tag keys, also crossed as a*b"`
	HardExamples *int     `json:"hard_examples,omitempty" minimum:"0" doc:"The most to keep"`
	OutputDir    *string  `json:"output_dir,omitempty" nullable:"true" doc:"Where the files go; else eval/ of the run"`
	ProjectID    *string  `json:"project_id,omitempty" nullable:"true" doc:"Project; the header X-Project-ID wins"`
}

// CompareRequest asks for a comparison of runs, the base first.
type CompareRequest struct {
	Runs      []string `json:"runs" minItems:"2" doc:"Run directories, or ids or names of runs in the server's runs folder"`
	Metric    *string  `json:"metric,omitempty" nullable:"true" doc:"By which slices are compared"`
	SliceBy   []string `json:"slice_by,omitempty" doc:"Tag keys, also crossed as a*b"`
	ProjectID *string  `json:"project_id,omitempty" nullable:"true" doc:"Project; the header X-Project-ID wins"`
}

// Submitted is the answer to a job that was taken.
type Submitted struct {
	JobID     string `json:"job_id" doc:"16 hex digits"`
	Status    string `json:"status" enum:"QUEUED,RUNNING,SUCCEEDED,FAILED"`
	RequestID string `json:"request_id"`
	ProjectID string `json:"project_id"`
}

// Job is what is known about a job. Times are epoch seconds.
type Job struct {
	JobID      string   `json:"job_id" doc:"16 hex digits"`
	Type       string   `json:"type" enum:"RETRAIN,TRAIN,EVAL,COMPARE"`
	Status     string   `json:"status" enum:"QUEUED,RUNNING,SUCCEEDED,FAILED"`
	CreatedAt  float64  `json:"created_at"`
	StartedAt  *float64 `json:"started_at"`
	FinishedAt *float64 `json:"finished_at"`
	RequestID  string   `json:"request_id"`
	APIKeyID   string   `json:"api_key_id" doc:"anonymous, or the first 12 hex digits of sha256(\"verifily:\" + key)"`
	ProjectID  string   `json:"project_id"`
	InputHash  string   `json:"input_hash"`
	ResultPath *string  `json:"result_path"`
	Error      *string  `json:"error" doc:"Why it failed; begins with cancelled when it was"`
}

// Finished says whether a job has ended.
func (j *Job) Finished() bool { return j.Status == Succeeded || j.Status == Failed }

// JobList is a list of jobs, the newest first.
type JobList struct {
	Jobs []Job `json:"jobs"`
}

// Health is the answer of /health.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

// Readiness is the answer of /ready.
type Readiness struct {
	Status string            `json:"status" enum:"ready,not_ready"`
	Checks map[string]string `json:"checks" doc:"ok, or what is missing, by name"`
}

// MonitorRequest starts a monitor. Zero values stand for the defaults.
type MonitorRequest struct {
	ConfigPath        string   `json:"config_path" doc:"pipeline.yaml: run_dir, and where wanted train_data with eval_data, baseline_run, ship_if; its paths start beside it"`
	IntervalSeconds   *float64 `json:"interval_seconds,omitempty" minimum:"1" default:"60"`
	MaxTicks          *int     `json:"max_ticks,omitempty" minimum:"0" default:"0" doc:"0: no end"`
	RollingWindow     *int     `json:"rolling_window,omitempty" minimum:"1" default:"20"`
	ProjectID         *string  `json:"project_id,omitempty" nullable:"true" doc:"Project; the header X-Project-ID wins"`
	AllowRetrain      bool     `json:"allow_retrain,omitempty" doc:"A tick that ends in SHIP submits a mock retrain"`
	RetrainDatasetDir *string  `json:"retrain_dataset_dir,omitempty" nullable:"true" doc:"Data set artifact of that retrain"`
}

// MonitorStarted is the answer to a monitor that was started or stopped.
type MonitorStarted struct {
	MonitorID string `json:"monitor_id" doc:"12 hex digits"`
	Status    string `json:"status" enum:"running,completed,stopped"`
}

// MonitorStatus is the state of a monitor.
type MonitorStatus struct {
	MonitorID string         `json:"monitor_id"`
	Status    string         `json:"status" enum:"running,completed,stopped"`
	TickCount int            `json:"tick_count"`
	LastTick  *Tick          `json:"last_tick"`
	Config    map[string]any `json:"config"`
	Error     *string        `json:"error"`
}

// MonitorHistory is what a monitor found.
type MonitorHistory struct {
	MonitorID  string `json:"monitor_id"`
	Ticks      []Tick `json:"ticks" doc:"The oldest first"`
	TotalTicks int    `json:"total_ticks"`
}

// Tick is one look of a monitor.
type Tick struct {
	TickNumber         int      `json:"tick_number"`
	Timestamp          string   `json:"timestamp"`
	Decision           string   `json:"decision" enum:"SHIP,DONT_SHIP,INVESTIGATE,ERROR"`
	MetricValue        *float64 `json:"metric_value" doc:"f1"`
	Delta              *float64 `json:"delta"`
	RegressionDetected bool     `json:"regression_detected"`
	ContaminationPass  *bool    `json:"contamination_pass"`
	ContractPass       bool     `json:"contract_pass"`
	RetrainSubmitted   bool     `json:"retrain_submitted"`
	RetrainRunDir      *string  `json:"retrain_run_dir"`
}
